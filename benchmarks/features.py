"""What the features know: distances between classes, what can be read from features linearly, and pictures of them.

Features are those of the test clips of MakeFaces. Asked are models with the weights that come with the records, others
that were trained for `benchmarks.one_thing_changed`, each beside itself before training, and the maps of the backbone.
STTs trained with cross entropy and with the compact loss, three seeds each, say what the loss does to distances, and so
do LOGO-Formers with the same loss as their regulariser and without it. What was trained is kept in the cache folder.

The record goes to results/features/: about.json says who was asked, probes.npz what was read of everybody, planes.npz
holds the layouts, and features.npz the features, rounded.

python -m benchmarks.features    (a quarter of an hour on one core, most of it training)
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from tqdm import tqdm

from benchmarks.asked import MODELS, RESULTS, Asked, weights_of
from benchmarks.one_thing_changed import SEEDS, TREATMENTS
from dferlib.data.transforms import prepare
from dferlib.evidence.explain import embed_in_plane
from dferlib.evidence.linear_probes import TRAITS, read_linearly, shuffled_people, squares, traits_of
from dferlib.evidence.results import versions
from dferlib.evidence.studies import STUDIES, MakeFacesClips
from dferlib.files import written_whole
from dferlib.makefaces import MakeFaces
from dferlib.makefaces.generator import source_hash
from dferlib.models import ClipModel, create_model
from dferlib.training.checkpoints import load_model
from dferlib.training.clips import middle_frames
from dferlib.training.evaluation import evaluate

RECORDS = RESULTS / "features"
ASKED = ("Frame average", "ResNet-GRU", "Former-DFER", "STT", "LOGO-Former", "MSSTNet", "STANER")
LOSSES = {  # and who is trained with them
    "cross entropy": TREATMENTS["plain"],
    "compact loss": TREATMENTS["compact loss"],
    "LOGO-Former, cross entropy": Asked("logo_table2", "logo-former_wo_reg"),
    "LOGO-Former, compact loss": Asked("logo_table2", "logo-former"),
}
PERPLEXITIES, LAYOUTS = (2, 10, 30, 100), 3  # seeds of each
DRAWN_CLIPS = 504  # of half of the people: those in the pictures
EACH_PLACE, MEAN_MAP = "backbone, each place", "backbone, mean"
LABEL = "the label alone"  # no features: what whoever knows the expression, and no more, could read


def features_of(model: ClipModel, source: MakeFaces) -> np.ndarray:
    """Clip features (N, D) of every clip."""
    found = evaluate(model, source, features=True, device="cpu").features
    assert found is not None
    return found


@torch.inference_mode()
def backbone_maps(model: ClipModel, source: MakeFaces) -> np.ndarray:
    """The backbone's maps of every clip, mean over the frames, (N, C, h, w)."""
    frames, spec, found = middle_frames(source, model.input_spec, 1), model.input_spec, []
    for some in np.array_split(np.arange(len(source)), len(source) // 8):
        clips = np.stack([source.read(k, frames[k]) for k in some])
        found.append(model.feature_maps(prepare(torch.from_numpy(clips), spec)).mean(1).numpy())
    return np.concatenate(found)


def everybody(clips: MakeFacesClips, source: MakeFaces) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Features by the name of who gives them, and what the record says of the models."""
    found, about = {}, []
    for name in tqdm(ASKED, "features", unit="model"):
        path, row = weights_of(MODELS[name], 0, clips), STUDIES[MODELS[name].study].rows[MODELS[name].row]
        torch.manual_seed(0)
        untrained = create_model(row.model, **row.overrides).eval()
        found[name], found[f"{name}, before"] = (features_of(it, source) for it in (load_model(path), untrained))
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        kept = {"study": MODELS[name].study, "kept": MODELS[name].kept}
        about.append({"name": name, "model": row.model, "weights": checksum, **kept})
    maps = backbone_maps(load_model(weights_of(MODELS["STT"], 0, clips)), source)
    found |= {EACH_PLACE: maps.reshape(len(maps), -1), MEAN_MAP: maps.mean((2, 3))}
    torch.manual_seed(0)
    found["random weights"] = features_of(create_model("stt", weights=None).eval(), source)
    found[LABEL] = np.eye(len(source.classes))[source.table.labels]
    return found, about


def read_all(features: dict[str, np.ndarray], source: MakeFaces) -> dict[str, np.ndarray]:
    """Of every probe the squared errors (P, T), and the spread of the traits, in parts of a person's usual spread."""
    traits, groups = traits_of(source).to_numpy(), source.table.groups
    mixed = shuffled_people(traits, groups)
    found = {}
    for name, each in tqdm(features.items(), "probes", unit="model"):
        said, guessed = read_linearly(each, traits, groups)
        found[name], found["spread"] = squares(said, traits, groups), squares(guessed, traits, groups)
        if name in (EACH_PLACE, "STT"):
            said, guessed = read_linearly(each, mixed, groups)
            found[f"{name}, shuffled"] = squares(said, mixed, groups)
            found["shuffled spread"] = squares(guessed, mixed, groups)
    usual = found["spread"].mean(0)  # of a person: half-floats hold what is about one
    return {name: (each / usual).astype(np.float16) for name, each in found.items()}


def rounded(features: np.ndarray) -> np.ndarray:
    """Features turned to their principal axes and rounded so that distances stay: small numbers, which pack well."""
    turned = PCA().fit_transform(features)
    step = np.linalg.norm(turned, axis=1).mean() / 50
    return np.round(turned / step).clip(-127, 127).astype(np.int8)


def lay_out(spaces: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Layouts by "name, perplexity, seed", and PCA by "name, PCA", each (N, 2) of int16: its larger side is 1000."""
    found = {}
    for name, space in tqdm(spaces.items(), "layouts", unit="space"):
        found[f"{name}, PCA"] = PCA(2).fit_transform(space)
        for perplexity in PERPLEXITIES:
            for seed in range(LAYOUTS):
                plane = embed_in_plane(space.astype(np.float32), seed, perplexity, "random")
                found[f"{name}, {perplexity}, {seed}"] = plane
    return {
        name: np.round(1000 * (plane - plane.min(0)) / np.ptp(plane, 0).max()).astype(np.int16)
        for name, plane in found.items()
    }


def write(out: Path, name: str, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays to a file of the record."""
    with written_whole(out / f"{name}.npz") as temporary:
        np.savez_compressed(temporary, **arrays)


def main(arguments: list[str] | None = None) -> None:
    """Train what is missing, ask, and write the record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=RECORDS, help="folder of the record")
    given = parser.parse_args(arguments)
    clips, source = MakeFacesClips(), MakeFaces("test")
    features, about_models = everybody(clips, source)
    given.out.mkdir(parents=True, exist_ok=True)
    write(given.out, "probes", read_all(features, source))
    losses, about_losses = {}, []
    for loss, one in LOSSES.items():
        for seed in SEEDS:
            path = weights_of(one, seed, clips)
            said = evaluate(load_model(path), source, features=True, device="cpu")
            assert said.features is not None
            losses[f"{loss}, {seed}"] = rounded(said.features)
            checksum, uar = hashlib.sha256(path.read_bytes()).hexdigest(), said.metrics()["uar"]
            about_losses.append({"loss": loss, "seed": seed, "weights": checksum, "uar": uar})
    untrained = {"STT, before": rounded(features["STT, before"])}
    untrained["random weights"] = rounded(features["random weights"])[:DRAWN_CLIPS]
    write(given.out, "features", losses | untrained)
    noise = np.random.default_rng(0).normal(size=(DRAWN_CLIPS, 128))
    spaces = {"trained": losses["cross entropy, 0"], "random weights": untrained["random weights"]}
    spaces = {name: each[:DRAWN_CLIPS].astype(float) for name, each in spaces.items()} | {"noise": noise}
    write(given.out, "planes", lay_out(spaces))
    about = {"source": source_hash(), "clips": source.fingerprint, "versions": versions(), "traits": TRAITS}
    about |= {"labels": source.table.labels.tolist(), "groups": [str(who) for who in source.table.groups]}
    about |= {"models": about_models, "losses": about_losses, "perplexities": PERPLEXITIES, "seeds": LAYOUTS}
    with written_whole(given.out / "about.json") as temporary:
        temporary.write_text(json.dumps(about, indent=None) + "\n")


if __name__ == "__main__":
    main()
