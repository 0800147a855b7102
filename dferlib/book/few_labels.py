"""The record of `benchmarks.masked_autoencoder`, as the sentences and figures of a chapter ask for it."""

import json
from functools import cache
from pathlib import Path

import numpy as np

from dferlib.book.folders import project_folder
from dferlib.book.photographs import BOTH, predictions
from dferlib.errors import InputError, choose
from dferlib.evidence.results import Run, load_runs
from dferlib.evidence.statistics import Interval, compare, interval
from dferlib.makefaces.generator import source_hash
from dferlib.training.evaluation import Predictions


class FewLabels:
    """What is made of so many labels, by what the backbone has learnt before.

    Args:
        folder: of the record; `results/masked_autoencoder` of the project if not given.

    Attributes:
        about: what was pretrained and chosen: `ways`, each with `errors` and `explained`; `chosen`; `steps`.
        starts: what backbones have learnt before.
        shares: of the labels, with which the classes are read out of each.
        runs: of whole networks, by start and seed.

    Raises:
        InputError: there is no record.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or project_folder("results") / "masked_autoencoder"
        if not (self.folder / "read_out.npz").exists():
            raise InputError(f"no record is in {self.folder}: `python -m benchmarks.masked_autoencoder` makes it")
        self.about = json.loads((self.folder / "about.json").read_text())
        self.starts, self.shares = tuple(self.about["starts"]), tuple(self.about["shares"])
        self.runs: dict[str, dict[int, Run]] = {start: {} for start in self.starts}
        for run in load_runs(self.folder):
            self.runs[run.record["config"]["start"]][run.record["seed"]] = run
        with np.load(self.folder / "read_out.npz", allow_pickle=False) as file:
            self._arrays = {name: file[name] for name in file}
        self.read_out = cache(self._read_out)

    @property
    def is_current(self) -> bool:
        """Whether today's clips are those of the record."""
        return self.about["source"] == source_hash()

    def clips(self, share: float) -> float:
        """How many labelled clips a share is, the mean over the draws of people."""
        return float(np.mean(self.about["clips"][str(share)]))

    def uar(self, start: str, share: float) -> Interval:
        """UAR of the read-out on the test clips: the mean over draws, the interval over draws and test people."""
        return interval(self.read_out(start, share))

    def gap(self, start: str, other: str, share: float) -> Interval:
        """How much more the UAR is from one start than from another, draw by draw, with the same labels."""
        return compare(self.read_out(start, share), self.read_out(other, share)).uar

    def tuned(self, start: str) -> Interval:
        """UAR of whole networks, trained with a fifth of the labels: the interval over seeds and test people."""
        return interval([run.predictions() for _, run in sorted(self.runs[start].items())])

    def tuned_gap(self, start: str, other: str) -> Interval:
        """How much more that is from one start than from another, seed by seed, with the same labels."""
        ours, theirs = self.runs[start], self.runs[other]
        seeds = sorted(ours.keys() & theirs.keys())
        return compare([ours[s].predictions() for s in seeds], [theirs[s].predictions() for s in seeds]).uar

    def photographs(self, start: str, share: float, kind: str = BOTH) -> Interval:
        """Which part of the photographs gets its own class, of seven; see `dferlib.book.photographs`."""
        return interval(self._photographs(start, share, kind))

    def photographs_gap(self, start: str, other: str, share: float, kind: str = BOTH) -> Interval:
        """How much more of them is right from one start than from another, draw by draw."""
        return compare(self._photographs(start, share, kind), self._photographs(other, share, kind)).uar

    def _logits(self, name: str, start: str, share: float) -> np.ndarray:
        """(draws, clips, classes) float32."""
        i, j = (known.index(choose(what, it, known)) for what, it, known in self._where(start, share))
        return self._arrays[name][i, j].astype(np.float32)

    def _where(self, start: str, share: float) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        return ("start", start, self.starts), ("share", str(share), tuple(map(str, self.shares)))

    def _read_out(self, start: str, share: float) -> list[Predictions]:
        ids, labels, groups = (self._arrays[name] for name in ("ids", "labels", "groups"))
        classes = tuple(self.about["classes"])
        return [Predictions(ids, labels, groups, said, classes) for said in self._logits("test", start, share)]

    def _photographs(self, start: str, share: float, kind: str) -> list[Predictions]:
        ids, classes = self._arrays["photograph_ids"].tolist(), self.about["classes"]
        found = []
        for said in self._logits("photographs", start, share):
            record = {"logits": {"box": dict(zip(ids, said.tolist(), strict=True))}, "classes": classes}
            found.append(predictions(record, kind, "box"))
        return found
