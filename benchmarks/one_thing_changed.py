"""One thing changed: everybody's clip rendered again with another skin, age, light and so on, and every model asked.

The people are in no data set. What is changed, and in which pairs, is in `dferlib.evidence.changed`. Asked are the four
models whose weights come with the records, and six that are trained here as the study `before_attention` trains them,
with the learning rates that were chosen there. `--treatments` adds STTs that learnt otherwise, three seeds each: with
other losses, other augmentations, and from the lighter half of the people against as many of everybody. What was
trained, and what was answered, is kept in the cache folder: a run that was stopped goes on where it was.

The record goes to results/one_thing_changed/: about.json says who was seen and what was asked, and each model has its
logits in a file of its own.

python -m benchmarks.one_thing_changed --treatments    (a quarter of an hour on two cores)
"""

import argparse
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.asked import MODELS, RESULTS, Asked, kept_answers, weights_of
from dferlib.data.sampling import segment_indices
from dferlib.data.transforms import prepare
from dferlib.devices import do_jobs, start_workers
from dferlib.emotions import EMOTIONS
from dferlib.evidence.changed import CHANGES, concerns, draw_take, edits, render_edits
from dferlib.evidence.results import versions
from dferlib.evidence.studies import MakeFacesClips
from dferlib.files import written_whole
from dferlib.makefaces.generator import source_hash
from dferlib.models import ClipModel
from dferlib.models.base import Maps
from dferlib.training.checkpoints import load_model

RECORDS = RESULTS / "one_thing_changed"
PEOPLE = 252  # a multiple of seven: all classes are equally frequent
SEEDS = (0, 1, 2)  # of the treatments
CODE = ("changed",)  # of `dferlib.evidence`, by which clips are drawn
_stt = partial(Asked, "stt_table1", "stt", "")
TREATMENTS = {
    "plain": _stt(),
    "label smoothing": _stt({"loss": "label_smoothing"}),
    "compact loss": _stt({"loss": "compact"}),
    "colours": _stt({"saturation": 0.5}),
    "erasing": _stt({"erase": 0.5}),
    "lighter half": _stt(people="lighter"),
    "any half": _stt(people="half"),
}


@lru_cache(maxsize=1)
def load_models(paths: tuple[Path, ...]) -> list[tuple[str, ClipModel]]:
    """Models, each with a name that two share if their backbones give the same maps of the same clips."""
    found = []
    for path in paths:
        model = load_model(path)
        digest = hashlib.sha256(repr(model.input_spec).encode())
        for name, value in model.backbone.state_dict().items() if hasattr(model, "backbone") else ():
            digest.update(name.encode() + value.numpy().tobytes())
        own = type(model).feature_maps is not ClipModel.feature_maps or not hasattr(model, "backbone")
        found.append((str(path) if own else digest.hexdigest(), model))
    return found


@torch.inference_mode()
def ask_all(models: Iterable[tuple[str, ClipModel]], clips: np.ndarray) -> np.ndarray:
    """Logits (M, E, C) of all models; maps that several need are computed once."""
    maps: dict[str, Maps] = {}
    said = []
    for name, model in models:
        if name not in maps:
            frames = segment_indices(clips.shape[1], model.input_spec.frames)
            maps[name] = model.feature_maps(prepare(torch.from_numpy(clips[:, frames]), model.input_spec))
        said.append(model.forward_from_maps(maps[name]).numpy())
    return np.stack(said)


@dataclass(frozen=True)
class Job:
    """Somebody's clips, and who is asked about them."""

    number: int
    paths: tuple[Path, ...]


def examine(job: Job) -> np.ndarray:
    """Logits (M, E, C) of somebody's clip with every edit, nan where an edit does not concern the person."""
    wanted = edits({name: change for name, change in CHANGES.items() if concerns(job.number, change)})
    clips = np.stack([clip for _, clip in render_edits(job.number, wanted)])
    said = ask_all(load_models(job.paths), clips)
    out = np.full((len(job.paths), len(edits()), said.shape[-1]), np.nan, dtype=np.float32)
    out[:, [edits().index(edit) for edit in wanted]] = said
    return out


def ask_everybody(models: list[dict[str, Any]], paths: tuple[Path, ...], people: int, workers: int) -> np.ndarray:
    """Logits (M, E, P, C) of everybody's clips; whoever was asked about before is not asked again."""
    folder = kept_answers("one_thing_changed", CODE, repr(edits()), [one["weights"] for one in models])
    files = [folder / f"{number}.npy" for number in range(people)]
    todo = [Job(number, paths) for number in range(people) if not files[number].exists()]
    with start_workers(workers) as pool, tqdm(total=len(todo), unit="person") as bar:
        for job, logits in do_jobs(pool, examine, partial(next, iter(todo), None), workers):
            with written_whole(files[job.number]) as temporary:
                np.save(temporary, logits)
            bar.update()
    return np.stack([np.load(file) for file in files], 2)


def about_people(people: int) -> list[dict[str, Any]]:
    """What a table says of everybody as they are drawn."""
    return [{"number": n, "label": n % len(EMOTIONS), **draw_take(n).person.summary()} for n in range(people)]


def main(arguments: list[str] | None = None) -> None:
    """Train what is missing, render, ask, and write the record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=int, default=PEOPLE, help="how many")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--treatments", action="store_true", help="ask STTs that learnt otherwise, too")
    parser.add_argument("--out", type=Path, default=RECORDS, help="folder of the record")
    given = parser.parse_args(arguments)
    asked = [(name, one, 0) for name, one in MODELS.items()]
    if given.treatments:
        asked += [(name, one, seed) for name, one in TREATMENTS.items() for seed in SEEDS]
    clips, models, paths = MakeFacesClips(), [], []
    for name, one, seed in tqdm(asked, "weights", unit="model"):
        path = weights_of(one, seed, clips)
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        models.append({"name": name, "seed": seed, **asdict(one), "weights": checksum, "treatment": name in TREATMENTS})
        paths.append(path)
    logits = ask_everybody(models, tuple(paths), given.people, given.workers)
    given.out.mkdir(parents=True, exist_ok=True)
    for one, said in zip(models, logits, strict=True):
        one["file"] = f"{one['name'].lower().replace(' ', '_')}-seed{one['seed']}.npz"
        with written_whole(given.out / one["file"]) as temporary:
            np.savez_compressed(temporary, logits=said.astype(np.float16))
    names = edits()
    pairs = {name: [names.index(change.before), names.index(change.after)] for name, change in CHANGES.items()}
    about = {"source": source_hash(), "versions": versions(), "classes": EMOTIONS, "pairs": pairs}
    about |= {"edits": [repr(edit) for edit in names], "models": models, "people": about_people(given.people)}
    with written_whole(given.out / "about.json") as temporary:
        temporary.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
