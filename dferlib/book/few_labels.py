"""The records of `benchmarks.masked_autoencoder`, as the sentences and figures of a chapter ask for them."""

import json
import re
from functools import cache
from pathlib import Path

import numpy as np

from dferlib.book.folders import project_folder
from dferlib.book.photographs import BOTH, predictions
from dferlib.errors import InputError
from dferlib.evidence.results import Run, load_runs
from dferlib.evidence.statistics import Interval, compare, interval
from dferlib.training.evaluation import Predictions

NAME = re.compile(r"(?P<start>\w+)-(?P<how>frozen|tuned)-(?P<percent>[\d.]+)-percent-seed(?P<seed>\d+)")
Key = tuple[str, str, float]  # what the backbone has learnt before, "frozen" or "tuned", and the share of the labels


class FewLabels:
    """What a GRU makes of so many labels, by what its backbone has learnt before.

    Args:
        folder: of the records; `results/masked_autoencoder` of the project if not given.

    Attributes:
        about: what was pretrained and chosen: `ways`, each with `errors` and `explained`; `chosen`; `rates`.
        runs: by what was learnt before, how it was trained and the share of the labels: the run of each seed.

    Raises:
        InputError: there are no records.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or project_folder("results") / "masked_autoencoder"
        if not (self.folder / "about.json").exists():
            raise InputError(f"no records are in {self.folder}: `python -m benchmarks.masked_autoencoder` makes them")
        self.about = json.loads((self.folder / "about.json").read_text())
        self._said = json.loads((self.folder / "photographs.json").read_text())
        self.runs: dict[Key, dict[int, Run]] = {}
        for run in load_runs(self.folder):
            if found := NAME.fullmatch(run.name):
                key = found["start"], found["how"], float(found["percent"]) / 100
                self.runs.setdefault(key, {})[int(found["seed"])] = run
        self.predictions = cache(self._predictions)

    @property
    def seeds(self) -> int:
        """How many trainings a row has."""
        return min(len(runs) for runs in self.runs.values())

    def clips(self, share: float) -> int:
        """How many labelled clips a share is, the mean over seeds."""
        found = [
            run.record["config"]["data"]["clips"]
            for (_, how, part), runs in self.runs.items()
            if (how, part) == ("tuned", share)
            for run in runs.values()
        ]
        return round(float(np.mean(found)))

    def uar(self, start: str, share: float, how: str = "tuned") -> Interval:
        """UAR on the test clips: the mean over seeds, the interval over people and seeds."""
        return interval(list(self.predictions(start, share, how).values()))

    def gap(self, start: str, other: str, share: float, how: str = "tuned") -> Interval:
        """How much more the UAR is from one start than from another, seed by seed, with the same labels."""
        ours, theirs = self.predictions(start, share, how), self.predictions(other, share, how)
        seeds = sorted(ours.keys() & theirs.keys())
        return compare([ours[seed] for seed in seeds], [theirs[seed] for seed in seeds]).uar

    def photographs(self, start: str, share: float, kind: str = BOTH) -> Interval:
        """Which part of the photographs gets its own class, of seven; see `dferlib.book.photographs`."""
        return interval(self._photographs(start, share, kind))

    def photographs_gap(self, start: str, other: str, share: float, kind: str = BOTH) -> Interval:
        """How much more of them is right from one start than from another."""
        return compare(self._photographs(start, share, kind), self._photographs(other, share, kind)).uar

    def _runs(self, start: str, share: float, how: str) -> dict[int, Run]:
        if (start, how, share) not in self.runs:
            known = ", ".join(f"{one} {way} {100 * part:g} %" for one, way, part in sorted(self.runs))
            raise InputError(f"no records are of {start} {how} with {100 * share:g} % of the labels: there are {known}")
        return self.runs[start, how, share]

    def _predictions(self, start: str, share: float, how: str) -> dict[int, Predictions]:
        return {seed: run.predictions() for seed, run in sorted(self._runs(start, share, how).items())}

    def _photographs(self, start: str, share: float, kind: str) -> list[Predictions]:
        return [
            predictions({"logits": {"box": self._said[run.name]}, "classes": run.record["classes"]}, kind, "box")
            for _, run in sorted(self._runs(start, share, "tuned").items())
        ]
