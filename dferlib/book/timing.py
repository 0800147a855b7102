"""The record of `benchmarks.using_time`, as sentences and figures of a chapter ask for it, and its clips to play."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from dferlib.book.asked import AskedRecord
from dferlib.book.changing import so_far
from dferlib.book.explorers import Interactive
from dferlib.book.panels import Bars, Curves
from dferlib.book.playing import player
from dferlib.emotions import EMOTIONS
from dferlib.errors import choose
from dferlib.evidence.flips import Answers
from dferlib.evidence.frame_readings import rank_agreement
from dferlib.evidence.statistics import Interval
from dferlib.evidence.time_scores import mean_over_people, order_score, uar, uar_lost
from dferlib.evidence.using_time import FLOOR_OF_PAIRS, PAIRS, PLAIN
from dferlib.makefaces.generator import SECONDS
from dferlib.models.base import ClipModel


class UsingTime(AskedRecord):
    """What every model says of everybody's clip, as it is and shown otherwise in time.

    Args:
        folder: of the record; `results/using_time` of the project if not given.

    Attributes:
        people: a row for each of P people: number, label, whether the clip holds `two` expressions, and what
            `Identity.summary` says.
        level: (P, F) how far the expression has risen in the clip as it is.
        models: names of those that know emotions.
        learners: names of those that have learnt the task that only time can solve.

    Raises:
        InputError: there is no record.
    """

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__("using_time", folder)
        clips = self.load("clips.npz")
        self.people = pd.DataFrame(self.about["people"]).assign(two=clips["two"])
        self.level = clips["level"]
        self._models = {one["name"]: one for one in self.about["models"]}
        self._learners = {one["name"]: one for one in self.about["task_models"]}
        self.models, self.learners = tuple(self._models), tuple(self._learners)
        self.answers = cache(self._answers)

    @property
    def labels(self) -> np.ndarray:
        """The class of each person's clip, (P,)."""
        return self.people["label"].to_numpy()

    def _answers(self, name: str) -> Answers:
        """What a model says. A change is the name of what is shown in place of the clip as it is, or one of `PAIRS`."""
        logits = self.load(self._models[choose("model", name, self._models)]["file"])["logits"]
        names = self.about["names"]
        pairs = {shown: (names.index(PLAIN), k) for k, shown in enumerate(names)}
        pairs |= {pair: (names.index(one), names.index(other)) for pair, (one, other) in PAIRS.items()}
        first = FLOOR_OF_PAIRS.removesuffix(", grain")
        pairs[FLOOR_OF_PAIRS] = (names.index(first), names.index(FLOOR_OF_PAIRS))
        return Answers(logits, self.labels, pairs, tuple(self.about["classes"]))

    def right(self, name: str, *shown: str) -> np.ndarray:
        """(P,) 1 where a model is right: of the clip as it is, or the mean over the ways in which it is shown."""
        edits = [self.about["names"].index(one) for one in shown or (PLAIN,)]
        return np.mean([self.answers(name).right(edit) for edit in edits], 0)

    def uar(self, name: str, *shown: str, only: np.ndarray | None = None) -> Interval:
        """UAR of clips as they are, or shown otherwise, the mean of several ways; `only` (P,) bool: whose."""
        some = np.ones(len(self.labels), bool) if only is None else only
        return uar(self.right(name, *shown)[some], self.labels[some])

    def lost(self, name: str, *shown: str, only: np.ndarray | None = None) -> Interval:
        """How much UAR is lost where clips are shown so; the mean of several ways."""
        some = np.ones(len(self.labels), bool) if only is None else only
        return uar_lost(self.right(name)[some], self.right(name, *shown)[some], self.labels[some])

    def score(self, name: str, *shown: str) -> Interval:
        """The part of what is right above chance that is lost where clips are shown so, see `order_score`."""
        return order_score(self.right(name), self.right(name, *shown), self.labels)

    def flips(self, name: str, *shown: str) -> np.ndarray:
        """(P,) whether the answer is another where the clip is shown so; the mean of several ways."""
        return np.mean([self.answers(name).flips(one) for one in shown], 0)

    def moved(self, name: str, *shown: str) -> np.ndarray:
        """(P,) how far logits move, in parts of the mean distance between two people's clips as they are."""
        return np.mean([self.answers(name).moved(one) for one in shown], 0)

    def read(self, name: str, way: str) -> np.ndarray:
        """(P, F) how much a model reads of each frame, by its "token" or by the "gradient".

        Raises:
            InputError: the model has no such reading.
        """
        found = self.load(self._models[choose("model", name, self._models)]["file"])
        ways = [key for key in found if key != "logits"]
        return found[choose(f"way in which {name} reads", way, ways)]

    def reads(self, name: str) -> tuple[str, ...]:
        """The ways in which it is known what a model reads."""
        found = self.load(self._models[choose("model", name, self._models)]["file"])
        return tuple(key for key in found if key != "logits")

    def agreement(self, name: str, way: str) -> dict[str, Interval]:
        """How well what is read agrees with where the expression is: in ranks over the frames of each clip.

        Returns:
            "own" curve, the mean over "other" people's curves, and how much the own is "above" those.
        """
        own, other = rank_agreement(self.read(name, way), self.level)
        found = {"own": own, "other": other, "above": own - other}
        return {name: mean_over_people(values) for name, values in found.items()}

    def task_right(self, name: str, *shown: str) -> np.ndarray:
        """(P, 2) 1 where a learner is right about the clips of both labels; the mean of several ways."""
        logits = self.load(self._learners[choose("learner", name, self._learners)]["file"])["logits"]
        edits = [self.about["task_names"].index(one) for one in shown or (PLAIN,)]
        said = logits[edits].argmax(-1)  # (ways, P, 2)
        return (said == np.arange(2)).mean(0)

    def task_uar(self, name: str, *shown: str) -> Interval:
        """UAR of a learner on clips of the task shown in some way."""
        right = self.task_right(name, *shown)
        return uar(right, np.broadcast_to(np.arange(2), right.shape))

    def task_score(self, name: str, *shown: str) -> Interval:
        """The part of what a learner gets right above chance that is lost where clips are shown so."""
        right = self.task_right(name)
        return order_score(right, self.task_right(name, *shown), np.broadcast_to(np.arange(2), right.shape))


def shown_with_answers(model: ClipModel, clips: Mapping[str, np.ndarray], label: int, most: int = 3) -> Interactive:
    """Clips that can be chosen, each with what a model would answer if the clip ended at this frame.

    Args:
        model: who is asked.
        clips: by name, (F, 3, S, S) uint8.
        label: what they show.
        most: how many classes have bars: those that are most probable at the end of any clip.
    """
    said = {name: so_far(model, clip) for name, clip in clips.items()}
    best = np.argsort(-np.max([rows[-1] for rows in said.values()], 0), kind="stable")[:most]
    bars = {name: {EMOTIONS[k]: rows[:, k] for k in sorted({*best, label})} for name, rows in said.items()}
    last = len(next(iter(clips.values()))) - 1
    ends = "; ".join(f"{name}: {EMOTIONS[int(rows[-1].argmax())]}" for name, rows in said.items())
    return player(
        clips,
        [Bars("the answer so far", bars, first=last)],
        alt=f"The same clip of {EMOTIONS[label]}, shown in {len(clips)} ways. At the end the model says of {ends}.",
        seconds=SECONDS,
        first=last,
    )


def read_with_curve(clip: np.ndarray, level: np.ndarray, read: Mapping[str, np.ndarray], alt: str) -> Interactive:
    """A clip over two sets of curves: how far the expression has risen, and how much is read of each frame.

    Args:
        clip: (F, 3, S, S) uint8.
        level: (F,) from 0 to 1.
        read: by name, (F,) of any scale: each is drawn from its least to its most.
        alt: what it shows.
    """
    scaled = {name: (one - one.min()) / max(float(np.ptp(one)), 1e-9) for name, one in read.items()}
    panels = [Curves("how far the expression has risen", {"expression": level}), Curves("how much is read", scaled)]
    return player(clip, panels, alt=alt, seconds=SECONDS, first=int(level.argmax()))
