"""What are labels worth to a backbone that has learnt without any? A masked autoencoder, action units, and nothing.

Three masked autoencoders learn from the training clips of MakeFaces, of which they get the frames and nothing else.
What their backbones know is then held against two others: the one that comes with dferlib, which has learnt action
units from the truth of rendered frames, and one with random weights.

First a linear read-out: backbones stay as they are, and ridge regression learns the classes from the mean and the
maximum of the maps over the frames, with 1, 5, 20 and 100 % of the labels. Labels are those of people drawn at random,
other ones with each seed. How strong the ridge is, is chosen on the clips of as many validation people. The same is
done with the pixels themselves, small and grey: what they tell without any network is no merit of one. The read-out is
also asked about the photographs of `benchmarks.real_faces`; nothing is learnt from these.

With `--tune`, whole networks are trained, too: a GRU on each backbone, with a fifth of the labels, three seeds each,
and the learning rates that the study `initialisation` chose for such networks. Of the masked autoencoders it is the one
that is best on the validation clips in the read-out with these labels.

The record goes to results/masked_autoencoder/: about.json, read_out.npz, filled.npz, and a run for each whole network.
Backbones are kept in the cache folder. What is there is not done again.

pip install "dferlib[faces,face-weights]"; python -m benchmarks.masked_autoencoder    (ten minutes on one core)
"""

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import recall_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import avg_pool2d, instance_norm

from benchmarks.real_faces import PHOTOS
from dferlib.data.sampling import segment_indices
from dferlib.data.table import ClipSource
from dferlib.data.transforms import center_crop, normalise, prepare, stored_size, to_float
from dferlib.evidence.results import device_name, save_run, versions
from dferlib.evidence.studies.clips import fingerprints
from dferlib.evidence.transfer import SHARES, some_people
from dferlib.files import cache_dir, make_folder, written_whole
from dferlib.inference.photographs import ASKED, cut_faces, still_clips
from dferlib.makefaces import SPLITS, MakeFaces
from dferlib.makefaces.generator import source_hash
from dferlib.models import ClipModel, create_model
from dferlib.models.backbones import FACE_MEAN, FACE_STD, load_face_weights
from dferlib.models.masked_autoencoder import WAYS, MaskedAutoencoder, draw_masks
from dferlib.training.config import TrainConfig
from dferlib.training.evaluation import evaluate
from dferlib.training.loop import train
from dferlib.training.self_supervised import BATCH, explained, pretrain

RECORDS = Path(__file__).parents[1] / "results" / "masked_autoencoder"
PIXELS, NOTHING, UNITS = "pixels", "nothing", "action_units"
STARTS = (PIXELS, NOTHING, *WAYS, UNITS)  # what is known before the first label
MODEL, FRAMES = "resnet18_gru", 4  # half of the book's frames, so that all of it takes minutes
DRAWS = 10  # of people, for the read-out
RIDGES = (1e2, 1e3, 1e4, 1e5)
AT_ONCE = 16  # clips that a backbone looks at
GRAIN = 4  # pixels that count as one, where there is no network
FIFTH = 0.2  # the share with which the way is chosen and whole networks are trained
SEEDS, EPOCHS = (0, 1, 2), 20  # of whole networks
RATES, SCALES = {NOTHING: 1e-3}, {NOTHING: 1.0}  # of all others 3e-3, and half of it for the backbone
SHOWN = 1  # validation clips of which the record has what was filled in


@dataclass(frozen=True)
class Plan:
    """The training of a whole network.

    Attributes:
        start: what its backbone has learnt, one of `STARTS` but the pixels.
        seed: of everything, also of who is labelled.
    """

    start: str
    seed: int

    @property
    def name(self) -> str:
        """Of its record."""
        return f"{self.start}-seed{self.seed}"

    @property
    def config(self) -> TrainConfig:
        """How it is trained."""
        rate, scale = RATES.get(self.start, 3e-3), SCALES.get(self.start, 0.5)
        return TrainConfig(EPOCHS, lr=rate, backbone_lr_scale=scale, seed=self.seed, device="cpu")


class Work:
    """What all parts share: clips, backbones, and what is known so far.

    Args:
        size: of MakeFaces.
        steps: of each pretraining.
        out: folder of the records.
    """

    def __init__(self, size: str, steps: int, out: Path) -> None:
        self.steps, self.out = steps, make_folder(out)
        self.clips: dict[str, ClipSource] = {split: MakeFaces(split, size) for split in SPLITS}
        self.part = cache(self._part)
        file = self.out / "about.json"
        self.about: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"ways": {}}
        self.about |= {"source": source_hash(), "versions": versions(), "steps": steps, "batch": BATCH}

    def write(self) -> None:
        """Write what is known so far."""
        with written_whole(self.out / "about.json") as temporary:
            temporary.write_text(json.dumps(self.about, indent=1) + "\n")

    def _part(self, split: str, share: float, seed: int) -> ClipSource:
        return some_people(self.clips[split], share, seed)

    def autoencoder(self, way: str) -> MaskedAutoencoder:
        """Pretrained, or as it was kept."""
        key = f"{source_hash()}-{self.clips['train'].fingerprint}-{self.steps}-{way}"
        file = make_folder(cache_dir() / "masked-autoencoder") / f"{key}.safetensors"
        model = MaskedAutoencoder(way)
        if not file.exists() or way not in self.about["ways"]:
            began = time.process_time()
            made = pretrain(self.clips["train"], way, self.steps, progress=False)
            seconds = round(time.process_time() - began, 1)
            weights = {name: value.contiguous() for name, value in made.model.state_dict().items()}
            with written_whole(file) as temporary:
                save_file(weights, temporary)
            known = {"explained": explained(made.model, self.clips["val"]), "processor_seconds": seconds}
            known["weights"] = hashlib.sha256(file.read_bytes()).hexdigest()
            self.about["ways"][way] = {**known, "errors": [round(error, 4) for error in made.errors]}
            self.write()
            print(f"{way}: explains {known['explained']:.3f} of what is hidden, {seconds:.0f} s", flush=True)
        model.load_state_dict(load_file(file))
        return model.eval()

    def model(self, start: str, seed: int) -> ClipModel:
        """A GRU on the backbone of a start; what has learnt nothing is as the seed will have it."""
        torch.manual_seed(seed)
        model = create_model(MODEL, frames=FRAMES, weights=None)
        if start == UNITS:
            load_face_weights(model.backbone)
        elif start in WAYS:
            model.backbone.load_state_dict(self.autoencoder(start).backbone.state_dict())
        return model.eval()

    def do(self, plan: Plan) -> None:
        """Train and test a whole network, and write its record, if it is not there."""
        if (self.out / f"{plan.name}.json").exists():
            return
        began, model = time.perf_counter(), self.model(plan.start, plan.seed)
        sources = {split: self.part(split, FIFTH, plan.seed) for split in ("train", "val")}
        history = train(model, sources["train"], sources["val"], plan.config, progress=False)
        run = save_run(
            self.out,
            plan.name,
            config={
                "model": {"name": MODEL, "scale": "book", "overrides": {"frames": FRAMES, "weights": None}},
                "train": asdict(plan.config),
                "data": {"share": FIFTH, "clips": len(sources["train"])},
                "start": plan.start,
            },
            seed=plan.seed,
            data=fingerprints({**sources, "test": self.clips["test"]}),
            predictions=evaluate(model, self.clips["test"], device="cpu"),
            history=history,
            device=device_name("cpu"),
            seconds=time.perf_counter() - began,
        )
        print(f"{plan.name}: test UAR {100 * run.metrics['uar']:.1f} %", flush=True)

    def fill_in(self) -> None:
        """Write what each way fills in of a few validation clips, each frame with the clip's first as the other."""
        clips = np.stack([self.clips["val"].read(k) for k in range(SHOWN)])
        count, frames = clips.shape[:2]
        pixels = center_crop(torch.from_numpy(clips), 56)
        seen = normalise(to_float(pixels), FACE_MEAN, FACE_STD).flatten(0, 1)
        others = seen.unflatten(0, (count, frames))[:, :1].expand(-1, frames, -1, -1, -1).flatten(0, 1)
        hidden = draw_masks(len(seen), 56, random=torch.Generator().manual_seed(0))
        arrays = {"clips": pixels.numpy(), "hidden": hidden.unflatten(0, (count, frames)).numpy()}
        for way in WAYS:
            model = self.autoencoder(way)
            with torch.no_grad():
                filled = model(seen, others, hidden)
            for name, value in filled._asdict().items():
                arrays[f"{way}_{name}"] = value.unflatten(0, (count, frames)).numpy().astype(np.float16)
        with written_whole(self.out / "filled.npz") as temporary:
            np.savez_compressed(temporary, **arrays)


@torch.inference_mode()
def features(model: ClipModel, clips: Iterator[np.ndarray], of_pixels: bool = False) -> np.ndarray:
    """The mean and the maximum over the frames of a backbone's maps, float32 (N, 2 C h w).

    Args:
        model: its maps are taken, or only its way to prepare clips.
        clips: (F, 3, S, S) uint8.
        of_pixels: take small grey frames for the maps.
    """
    found, given = list[Tensor](), list(clips)
    for start in range(0, len(given), AT_ONCE):
        batch = np.stack(given[start : start + AT_ONCE])
        inputs = prepare(torch.from_numpy(batch), model.input_spec)
        if of_pixels:  # without light and contrast, as the backbone sees them
            small = avg_pool2d(instance_norm(inputs.mean(2)), GRAIN)  # each frame is a channel here
            maps = small.flatten(2)
        else:
            maps = model.feature_maps(inputs).flatten(2)
        found.append(torch.cat([maps.mean(1), maps.amax(1)], 1))
    return torch.cat(found).numpy()


def middle_frames(source: ClipSource) -> Iterator[np.ndarray]:
    """Of each clip the frames that are looked at."""
    for index, count in enumerate(source.table.frames):
        yield source.read(index, segment_indices(count, FRAMES))


def rows_of(whole: ClipSource, part: ClipSource) -> np.ndarray:
    """Where the clips of a part are in the whole."""
    return np.flatnonzero(np.isin(whole.table.ids, part.table.ids))


def fit(x: np.ndarray, labels: np.ndarray, held: np.ndarray, held_labels: np.ndarray) -> tuple[Pipeline, float]:
    """Ridge regression of the classes, as strong as is best on held-out clips, and the UAR there."""
    best: tuple[Pipeline, float] | None = None
    for ridge in RIDGES:
        model = make_pipeline(StandardScaler(), RidgeClassifier(ridge)).fit(x, labels)
        uar = float(recall_score(held_labels, model.predict(held), labels=np.unique(held_labels), average="macro"))
        if best is None or uar >= best[1]:
            best = model, uar
    assert best is not None
    return best


def read_out(work: Work, photos: Path) -> None:
    """Read the classes out of every backbone, with every share of the labels, and write what came out."""
    cuts = cut_faces(photos, stored_size(create_model(MODEL).input_spec.size))
    stills = [clip.transpose(0, 3, 1, 2) for one in cuts.values() for clip in still_clips(one, "box", FRAMES)]
    labels = {split: source.table.labels for split, source in work.clips.items()}
    shape = (len(STARTS), len(SHARES), DRAWS)
    test = np.zeros((*shape, len(labels["test"]), 7), dtype=np.float16)
    asked = np.zeros((*shape, len(stills), 7), dtype=np.float16)
    val = np.zeros(shape)
    for i, start in enumerate(STARTS):
        model, raw = work.model(start, 0), start == PIXELS
        x = {split: features(model, middle_frames(source), raw) for split, source in work.clips.items()}
        of_stills = features(model, iter(stills), raw)
        for j, share in enumerate(SHARES):
            for seed in range(DRAWS):
                if share == 1 and seed:  # everybody, whatever the draw
                    for array in (test, asked, val):
                        array[i, j, seed] = array[i, j, 0]
                    continue
                rows, held = (rows_of(work.clips[s], work.part(s, share, seed)) for s in ("train", "val"))
                net, val[i, j, seed] = fit(x["train"][rows], labels["train"][rows], x["val"][held], labels["val"][held])
                for logits, inputs in ((test, x["test"]), (asked, of_stills)):
                    logits[i, j, seed][:, net.classes_] = net.decision_function(inputs)
                    logits[i, j, seed][:, np.setdiff1d(range(7), net.classes_)] = -10
        print(f"{start}: validation UAR {val[i].mean(1).round(3)}", flush=True)
    table = work.clips["test"].table
    about = {"ids": table.ids, "labels": table.labels, "groups": table.groups}
    photographs = np.array([f"{person}_{kind}" for person in cuts for kind in ASKED])
    with written_whole(work.out / "read_out.npz") as temporary:
        np.savez_compressed(temporary, test=test, photographs=asked, photograph_ids=photographs, val=val, **about)
    fifth = {way: float(val[STARTS.index(way), SHARES.index(FIFTH)].mean()) for way in WAYS}
    counts = {str(share): [len(work.part("train", share, seed)) for seed in range(DRAWS)] for share in SHARES}
    work.about |= {"starts": STARTS, "shares": SHARES, "clips": counts, "classes": work.clips["test"].classes}
    work.about |= {"val_uar": fifth, "chosen": max(fifth, key=lambda way: fifth[way])}
    work.write()


def main(arguments: list[str] | None = None) -> None:
    """Do what is not there yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=800, help="of each pretraining")
    parser.add_argument("--tune", action="store_true", help="train whole networks, too: minutes for each")
    parser.add_argument("--size", default="book", help="of MakeFaces")
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="NUMBER_neutral.jpg and NUMBER_smiling.jpg")
    parser.add_argument("--out", type=Path, default=RECORDS, help="folder of the records")
    given = parser.parse_args(arguments)
    work = Work(given.size, given.steps, given.out)
    if not (given.out / "filled.npz").exists():
        work.fill_in()
    if not (given.out / "read_out.npz").exists():
        read_out(work, given.photos)
    for seed in SEEDS if given.tune else ():
        for start in (NOTHING, work.about["chosen"], UNITS):
            work.do(Plan(start, seed))


if __name__ == "__main__":
    main()
