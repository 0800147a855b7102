"""Which versions of MakeFaces there are: sizes, tasks, class frequencies, splits and folds."""

import hashlib
from dataclasses import dataclass, field

import numpy as np

from dferlib.emotions import EMOTIONS
from dferlib.errors import InputError, choose
from dferlib.makefaces.knobs import DIFFICULTIES, Knobs
from dferlib.makefaces.performance import DYNAMICS

SPLITS = ("train", "val", "test")
FOLDS = 5
CLIPS_PER_PERSON = 4
PEOPLE_PER_PART = 4
PEOPLE_PER_BLOCK = 7  # seven people with four clips each show each of seven classes equally often
VAL_SHARE = 7  # of the blocks that are not in the test fold, every seventh validates


@dataclass(frozen=True)
class Size:
    """How large a version of the data set is.

    Attributes:
        side: side of the stored square frames in pixels; models take a crop of 7/8 of it.
        frames: frames in a clip of two seconds.
        people: people in train, val and test. Multiples of seven make seven classes exactly equal.
    """

    side: int
    frames: int
    people: tuple[int, int, int]


SIZES = {
    "mini": Size(64, 12, (35, 7, 21)),
    "book": Size(64, 12, (252, 49, 252)),
    "paper": Size(128, 16, (2100, 301, 602)),
}
TASKS: dict[str, tuple[str, ...]] = {
    "emotions": EMOTIONS,
    "emotions and contempt": (*EMOTIONS, "contempt"),
    **DYNAMICS,
}
# how frequent the seven emotions are; DFEW's are those of its single-labelled clips
PRIORS: dict[str, tuple[float, ...] | None] = {
    "balanced": None,
    "dfew": (0.209, 0.162, 0.228, 0.186, 0.126, 0.012, 0.077),
}


@dataclass(frozen=True)
class Version:
    """Everything that decides the clips, but the code.

    Attributes:
        size: one of `SIZES`.
        seed: decides every pixel; another seed gives other people.
        task: one of `TASKS`; what the classes are.
        prior: one of `PRIORS`; how frequent they are.
        knobs: how hard the clips are.

    Raises:
        InputError: a name is unknown, or the prior does not fit the task.
    """

    size: str = "book"
    seed: int = 0
    task: str = "emotions"
    prior: str = "balanced"
    knobs: Knobs = field(default_factory=lambda: DIFFICULTIES["standard"])

    def __post_init__(self) -> None:
        choose("size", self.size, SIZES)
        choose("task", self.task, TASKS)
        prior = PRIORS[choose("prior", self.prior, PRIORS)]
        if prior is not None and len(prior) != len(self.classes):
            raise InputError(f"the prior {self.prior!r} is for {len(prior)} classes, the task {self.task!r} has others")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""
        return TASKS[self.task]

    @property
    def spec(self) -> Size:
        """Side of the frames, their number and people."""
        return SIZES[self.size]

    @property
    def difficulty(self) -> str:
        """One of `DIFFICULTIES`, or a short hash of knobs of your own."""
        for name, knobs in DIFFICULTIES.items():
            if knobs == self.knobs:
                return name
        return hashlib.sha256(repr(self.knobs).encode()).hexdigest()[:8]

    @property
    def name(self) -> str:
        """What tells this version from others, as part of a folder's name."""
        parts = (self.size, self.task.replace(" ", "-"), self.difficulty, self.prior, f"seed{self.seed}")
        return "-".join(parts)

    def people(self, split: str) -> int:
        """How many people a split has."""
        return self.spec.people[SPLITS.index(choose("split", split, SPLITS))]

    def parts(self, split: str) -> list[range]:
        """The people of each part of a split."""
        people = self.people(split)
        return [range(k, min(k + PEOPLE_PER_PART, people)) for k in range(0, people, PEOPLE_PER_PART)]

    def labels(self, split: str) -> np.ndarray:
        """The label of every clip of a split, (4 x people,) int64: clip c of person p is at 4 p + c."""
        count = CLIPS_PER_PERSON * self.people(split)
        prior = PRIORS[self.prior]
        if prior is None:
            return np.arange(count) % len(self.classes)
        # largest remainders: the counts come as near to the prior as whole numbers can
        exact = count * np.array(prior) / sum(prior)
        counts = np.floor(exact).astype(np.int64)
        counts[np.argsort(counts - exact, kind="stable")[: count - counts.sum()]] += 1
        labels = np.repeat(np.arange(len(prior)), counts)
        return np.random.default_rng([self.seed, SPLITS.index(split), 1 << 30]).permutation(labels)


def fold_split(version: Version, fold: int) -> dict[str, list[tuple[str, int]]]:
    """Share the people of all three splits among train, val and test of one of five folds.

    Blocks of seven people go to the folds in turn; the blocks of the fold asked for are the test. Of the others, every
    seventh validates. Papers that use five folds (DFEW) have no validation part: they choose the epoch on the test.

    Args:
        version: whose people.
        fold: 1 to 5.

    Returns:
        For each split the people as (split in which they are stored, number).

    Raises:
        InputError: there is no such fold.
    """
    if fold not in range(1, FOLDS + 1):
        raise InputError(f"fold is {fold}: choose one of 1 to {FOLDS}")
    everyone = [(split, person) for split in SPLITS for person in range(version.people(split))]
    out: dict[str, list[tuple[str, int]]] = {split: [] for split in SPLITS}
    others = 0
    for start in range(0, len(everyone), PEOPLE_PER_BLOCK):
        block = everyone[start : start + PEOPLE_PER_BLOCK]
        if start // PEOPLE_PER_BLOCK % FOLDS == fold - 1:
            out["test"] += block
            continue
        out["val" if others % VAL_SHARE == VAL_SHARE - 1 else "train"] += block
        others += 1
    return out
