"""What a loss does to the distances between classes, from the features that `benchmarks.features` keeps."""

import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from dferlib.evidence.class_distances import class_ratio
from dferlib.evidence.drawn import Drawn
from dferlib.evidence.statistics import DRAWS
from dferlib.makefaces.generator import source_hash

RECORD = "features"  # the folder in `results`


def draw_distance_gain(folder: Path, more: str, less: str) -> tuple[float, np.ndarray] | None:
    """By which part the ratio of distances is larger with one loss than with another, seed by seed.

    The ratio is that of `class_ratio`: the mean distance between clips of different classes, by that within a class.

    Args:
        folder: of the record, with `about.json` and `features.npz`.
        more: a loss, as the record calls it; its features with seed 0 are "more, 0" there.
        less: the one that it is compared with.

    Returns:
        The mean over the seeds that both have, and the same in each draw of people and seeds (draws,); nothing where
        no such features are kept.
    """
    file = folder / "features.npz"
    if not file.is_file():
        return None
    seeds = _seeds(file, more) & _seeds(file, less)
    if not seeds:
        return None
    stamp = file.stat().st_mtime_ns
    each = [[_ratio(file.resolve(), stamp, f"{name}, {s}") for name in (more, less)] for s in sorted(seeds)]
    values = np.array([one.value / other.value - 1 for one, other in each])
    draws = np.array([one.draws / other.draws - 1 for one, other in each])
    times = np.random.default_rng(0).multinomial(len(values), np.full(len(values), 1 / len(values)), DRAWS)
    return float(values.mean()), (times.T * draws).sum(0) / len(values)


def is_old(folder: Path) -> bool:
    """Whether the record is of clips as the library rendered them before."""
    return bool(json.loads((folder / "about.json").read_text(encoding="utf-8"))["source"] != source_hash())


def _seeds(file: Path, name: str) -> set[int]:
    with np.load(file, allow_pickle=False) as data:
        apart = (one.rsplit(", ", 1) for one in data.files)
        return {int(end[0]) for loss, *end in apart if loss == name and end and end[0].isdigit()}


@lru_cache(maxsize=32)
def _ratio(file: Path, stamp: int, name: str) -> Drawn:
    """Of a file as it is since `stamp`: several claims, and several judgements, ask for the same."""
    about = json.loads((file.parent / "about.json").read_text(encoding="utf-8"))
    with np.load(file, allow_pickle=False) as data:
        features = data[name].astype(np.float64)
    return class_ratio(features, np.array(about["labels"]), np.array(about["groups"]))
