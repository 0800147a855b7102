"""What models say of photographs of people at rest and smiling, by what they have learnt from."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from dferlib.book.folders import project_folder
from dferlib.errors import InputError, choose
from dferlib.evidence.statistics import Interval, compare, interval
from dferlib.inference.photographs import ASKED
from dferlib.makefaces.realism.photographs import MEASURED
from dferlib.training.evaluation import Predictions

BOTH = "both"


class Photographs:
    """The records of `benchmarks.rendered_to_real`: rows that lack something, each with a run for every seed.

    Figures are of the people after the first `MEASURED` ones, by whom MakeFaces is drawn.

    Args:
        folder: of the records; `results/rendered_to_real` of the project if not given.

    Raises:
        InputError: there are no records.
    """

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or project_folder("results") / "rendered_to_real"
        self.records: dict[str, dict[int, dict[str, Any]]] = {}
        for file in sorted(folder.glob("*.json")):
            record = json.loads(file.read_text())
            self.records.setdefault(record["lacks"], {})[record["seed"]] = record
        if not self.records:
            raise InputError(f"no records are in {folder}: `python -m benchmarks.rendered_to_real` makes them")
        self._found: dict[tuple[str, ...], Interval] = {}

    def right(self, row: str, kind: str = BOTH, way: str = "box") -> Interval:
        """What part of the photographs gets its own class, of seven: the mean over seeds, the interval over people too.

        Args:
            row: what is lacking.
            kind: "neutral", "smiling", or "both" for the mean of the two parts.
            way: "box" or "aligned".
        """
        key = (row, kind, way)
        if key not in self._found:
            self._found[key] = interval(self._said(row, sorted(self._row(row)), kind, way))
        return self._found[key]

    def gap(self, row: str, other: str, kind: str = BOTH, way: str = "box") -> Interval:
        """How much more is right with a row than with another, seed by seed, of the same photographs."""
        key = (row, other, kind, way)
        if key not in self._found:
            seeds = sorted(self._row(row).keys() & self._row(other).keys())
            ours, theirs = (self._said(name, seeds, kind, way) for name in (row, other))
            self._found[key] = compare(ours, theirs).uar
        return self._found[key]

    def called(self, row: str, name: str, kind: str = "neutral", way: str = "box") -> float:
        """What part of the photographs of a kind is given the class of this name, the mean over seeds."""
        runs = self._said(row, sorted(self._row(row)), kind, way)
        return float(np.mean([run.predicted == run.classes.index(name) for run in runs]))

    def by_person(self, rows: Sequence[str], way: str = "box") -> pd.Series:
        """What part of each person's photographs is right, the mean over both kinds and all runs of some rows."""
        runs = [run for row in rows for run in self._said(row, sorted(self._row(row)), BOTH, way)]
        right = np.mean([run.predicted == run.labels for run in runs], 0)
        return pd.Series(right, runs[0].groups).groupby(level=0).mean()

    def worst(self, row: str, way: str = "box") -> pd.DataFrame:
        """The wrong answers by how sure they are: probabilities are means over seeds."""
        runs = self._said(row, sorted(self._row(row)), BOTH, way)
        sure = np.mean([softmax(run.logits, 1) for run in runs], 0)
        said, names = sure.argmax(1), np.array(runs[0].classes)
        columns = {"photograph": runs[0].ids, "said": names[said], "probability": sure.max(1)}
        return pd.DataFrame(columns)[said != runs[0].labels].sort_values(
            "probability", ascending=False, ignore_index=True
        )

    def val_uar(self, row: str) -> float:
        """UAR on the rendered validation clips that lack the same, the mean over seeds."""
        return float(np.mean([record["val_uar"] for record in self._row(row).values()]))

    def _row(self, row: str) -> dict[int, dict[str, Any]]:
        return self.records[choose("row", row, self.records)]

    def _said(self, row: str, seeds: list[int], kind: str, way: str) -> list[Predictions]:
        return [predictions(self._row(row)[seed], kind, way) for seed in seeds]


def predictions(record: dict[str, Any], kind: str, way: str) -> Predictions:
    """What a record says of the photographs of a kind, or of both, of those people who set no figure."""
    logits, classes = record["logits"][way], tuple(record["classes"])
    people = sorted({name.split("_")[0] for name in logits})[MEASURED:]
    ids = [f"{person}_{one}" for person in people for one in ASKED if kind in (one, BOTH)]
    labels = [classes.index(ASKED[name.split("_")[1]]) for name in ids]
    groups = [name.split("_")[0] for name in ids]
    said = np.array([logits[name] for name in ids], dtype=np.float32)
    return Predictions(np.array(ids), np.array(labels), np.array(groups), said, classes)
