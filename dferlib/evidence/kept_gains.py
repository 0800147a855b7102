"""Gains that claims are judged by and that are no metric of a study: of records that scripts of `benchmarks` make."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dferlib.evidence.class_distances import class_ratio
from dferlib.evidence.drawn import Drawn
from dferlib.evidence.flips import draw_people
from dferlib.evidence.statistics import DRAWS
from dferlib.makefaces.generator import source_hash

FACE = "mean face"  # the control that asks no model
Gain = tuple[float, np.ndarray]  # as measured, and in each draw


def draw_distance_gain(folder: Path, more: str, less: str) -> Gain | None:
    """By which part the ratio of distances is larger with one loss than with another, seed by seed.

    The ratio is that of `class_ratio`: the mean distance between clips of different classes, by that within a class.

    Args:
        folder: of the record of `benchmarks.features`.
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


def draw_map_gain(folder: Path, whose: str, score: str) -> Gain | None:
    """How much higher the maps of a trained model score than those of chance weights, and than the mean face.

    Args:
        folder: of the record of `benchmarks.map_scores`.
        whose: a model and a kind of map, such as "STT, Grad-CAM".
            It is one model, so that the draws are of people alone.
        score: "place", or another one of `dferlib.evidence.map_scores.SCORES` of which more is better.

    Returns:
        The smaller one of the two gains, the mean over people, and the same in each draw of people (draws,); nothing
        where the record has no such maps.
    """
    if not (folder / "about.json").is_file():
        return None
    about, (model, kind) = _about(folder), whose.rsplit(", ", 1)
    files = {one["name"]: one["file"] for one in about["models"]}
    if model not in files:
        return None
    row, column, control = (about[n].index(it) for n, it in (("kinds", kind), ("scores", score), ("controls", FACE)))
    with np.load(folder / files[model], allow_pickle=False) as data:
        trained, chance = (data[name][:, row, column].astype(np.float64) for name in ("trained", "chance"))
        gains = np.stack([trained - chance, trained - data["controls"][:, control, column]])
    gains = gains[:, np.isfinite(gains).all(0)]
    if not gains.size:
        return None
    times = draw_people(gains.shape[1], 0)
    return float(gains.mean(1).min()), (gains @ times.T / gains.shape[1]).min(0)


GAINS = {"features": draw_distance_gain, "map_scores": draw_map_gain}  # by the folder of the record


def is_old(folder: Path) -> bool:
    """Whether the record is of clips as the library rendered them before."""
    return bool(_about(folder)["source"] != source_hash())


def _about(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    return found


def _seeds(file: Path, name: str) -> set[int]:
    with np.load(file, allow_pickle=False) as data:
        apart = (one.rsplit(", ", 1) for one in data.files)
        return {int(end[0]) for loss, *end in apart if loss == name and end and end[0].isdigit()}


@lru_cache(maxsize=32)
def _ratio(file: Path, stamp: int, name: str) -> Drawn:
    """Of a file as it is since `stamp`: several claims, and several judgements, ask for the same."""
    about = _about(file.parent)
    with np.load(file, allow_pickle=False) as data:
        features = data[name].astype(np.float64)
    return class_ratio(features, np.array(about["labels"]), np.array(about["groups"]))
