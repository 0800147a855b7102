"""The records of a study, as the sentences and figures of a chapter ask for them."""

from pathlib import Path

import numpy as np

from dferlib.book.folders import project_folder
from dferlib.errors import choose
from dferlib.evidence.results import Run, load_runs
from dferlib.evidence.statistics import Interval, compare, interval
from dferlib.training.evaluation import Predictions


class Rows:
    """The rows of a study, each with a run for every seed. All metrics are computed again from the logits.

    Args:
        studies: their names; a row that is in several is taken from the first one.
        root: the folder of the studies; `results` of the project if not given.

    Raises:
        InputError: a folder is not there, or a record's metrics do not follow from its logits.
    """

    def __init__(self, *studies: str, root: Path | None = None) -> None:
        self.runs: dict[str, dict[int, Run]] = {}
        for study in studies:
            own: dict[str, dict[int, Run]] = {}
            for run in load_runs((root or project_folder("results")) / study):
                run.check()
                own.setdefault(run.name.rsplit("-seed", 1)[0], {})[run.record["seed"]] = run
            self.runs = own | self.runs
        self._found: dict[tuple[str, ...], Interval] = {}  # chapters ask for the same twice, and each takes many draws

    def uar(self, row: str) -> Interval:
        """The mean UAR of a row over its seeds, with the interval over people and seeds.

        Raises:
            InputError: there is no such row.
        """
        if (row,) not in self._found:
            self._found[row,] = interval(self._told(row, sorted(self._row(row))))
        return self._found[row,]

    def gap(self, row: str, other: str) -> Interval:
        """How much higher the UAR of a row is than another's, seed by seed, on the same clips.

        Raises:
            InputError: there is no such row, or they have no seed in common or other clips.
        """
        if (row, other) not in self._found:
            seeds = sorted(self._row(row).keys() & self._row(other).keys())
            self._found[row, other] = compare(self._told(row, seeds), self._told(other, seeds)).uar
        return self._found[row, other]

    def recall(self, row: str, name: str) -> float:
        """What part of the test clips of a class a row finds, the mean over its seeds.

        Raises:
            InputError: there is no such row, or no such class.
        """
        runs = [run.record for run in self._row(row).values()]
        place = runs[0]["classes"].index(choose("class", name, runs[0]["classes"]))
        return float(np.mean([record["metrics"]["recalls"][place] for record in runs]))

    def train_accuracy(self, row: str) -> float:
        """What part of the training clips is right in the last epoch, the mean over the seeds."""
        ended = [run.record["history"]["epochs"][-1]["train_accuracy"] for run in self._row(row).values()]
        return float(np.mean(ended))

    def _row(self, row: str) -> dict[int, Run]:
        return self.runs[choose("row", row, self.runs)]

    def _told(self, row: str, seeds: list[int]) -> list[Predictions]:
        return [self._row(row)[seed].predictions() for seed in seeds]
