"""MakeFaces: rendered clips of faces that nobody has to ask for, with the truth of every frame."""

import hashlib
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from dferlib.data.store import ClipStore
from dferlib.data.table import ClipTable
from dferlib.errors import choose
from dferlib.makefaces.actions import UNITS
from dferlib.makefaces.generator import MOTION_UNIT, generate, part_stem
from dferlib.makefaces.knobs import DIFFICULTIES, Knobs
from dferlib.makefaces.performance import PHASES
from dferlib.makefaces.protocol import CLIPS_PER_PERSON, PRIORS, SIZES, SPLITS, TASKS, Version, fold_split

__all__ = [
    "DIFFICULTIES",
    "PHASES",
    "PRIORS",
    "SIZES",
    "SPLITS",
    "TASKS",
    "UNITS",
    "Knobs",
    "MakeFaces",
    "Version",
    "generate",
]

PERSONAL = ("female", "age", "african", "asian", "caucasian", "skin_tone", "hairstyle", "beard")
OF_CLIPS = (
    "intensity",
    "earlier_emotion",
    "talking",
    "movements",
    "blinks",
    "in_front",
    "blur",
    "noise",
    "quality",
    "shrink",
)
OF_FRAMES = (
    *("units", "expression", "earlier", "phase", "pose", "gaze", "landmarks"),
    *("hidden", "light", "offset", "smear", "dropped"),
)


class MakeFaces:
    """One split of the synthetic data set, made on first use and read from disk afterwards.

    No person is in two splits.

    Args:
        split: "train", "val" or "test".
        size: "mini" (252 clips of 64 px, seconds to make), "book" (2,212 clips) or "paper" (12,012 clips of 128 px).
        seed: decides every pixel; another seed gives other people.
        difficulty: "easy", "standard" or "hard", or `Knobs` of your own.
        task: what the classes are: "emotions" (seven), "emotions and contempt" (eight), or two classes that only time
            can tell apart: "onset", "direction" or "order".
        prior: how frequent the classes are: "balanced", or as in "dfew".
        fold: 1 to 5: take the people of all splits together and share them anew, as papers with five folds do.
        root: folder of the data; default the cache folder.
        workers: processes that generate what is missing; default one a core.
        progress: show a progress bar while generating.

    Raises:
        InputError: a name is unknown, or a folder cannot be written.
    """

    def __init__(
        self,
        split: str = "train",
        size: str = "book",
        seed: int = 0,
        difficulty: str | Knobs = "standard",
        task: str = "emotions",
        prior: str = "balanced",
        fold: int | None = None,
        root: Path | None = None,
        workers: int | None = None,
        progress: bool = True,
    ) -> None:
        choose("split", split, SPLITS)
        if isinstance(difficulty, str):
            difficulty = DIFFICULTIES[choose("difficulty", difficulty, DIFFICULTIES)]
        self.split, self.version = split, Version(size, seed, task, prior, difficulty)
        stored = (split,) if fold is None else SPLITS
        wanted = set(fold_split(self.version, fold)[split]) if fold is not None else None
        self.folder = generate(self.version, root, stored, workers, progress)
        stems = [(s, part_stem(self.folder, s, k)) for s in stored for k in range(len(self.version.parts(s)))]
        self.store = ClipStore([stem for _, stem in stems])
        home = np.repeat(stored, [CLIPS_PER_PERSON * self.version.people(s) for s in stored])
        people = list(zip(home.tolist(), self.store.facts("person").tolist(), strict=True))
        self._rows = np.array([row for row, who in enumerate(people) if wanted is None or who in wanted])
        self._people = [f"{people[row][0]}-{people[row][1]:04d}" for row in self._rows]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""
        return self.version.classes

    @cached_property
    def table(self) -> ClipTable:
        """One row a clip: id, label, group (the person), split, frames, facts about the clip and about the person."""
        rows = {
            "id": [f"{who}-{row % CLIPS_PER_PERSON}" for who, row in zip(self._people, self._rows, strict=True)],
            "label": self.store.facts("label")[self._rows].astype(np.int64),
            "group": self._people,
            "split": [self.split] * len(self),
            "frames": self.store.lengths[self._rows],
            **{name: self.store.facts(name)[self._rows] for name in (*OF_CLIPS, *PERSONAL)},
        }
        return ClipTable(pd.DataFrame(rows), self.classes)

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of every pixel of the stored parts, and of which clips of them these are."""
        return hashlib.sha256(self.store.fingerprint.encode() + self._rows.tobytes()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, index: int, frames: np.ndarray | None = None) -> np.ndarray:
        """Read frames of one clip.

        Args:
            index: which clip.
            frames: (T,) which of its frames, in any order and as often as wanted; default all.

        Returns:
            (T, 3, S, S) uint8.
        """
        return self.store.read(self._rows[index], frames)

    def truth(self, index: int) -> dict[str, np.ndarray]:
        """What the face did in one clip of T frames.

        Returns:
            Of every frame: `units` (T, 22) intensity of each of `UNITS`, `expression` (T,) how far the expression that
            names the clip has risen, `earlier` (T,) the same of the other one, `phase` (T,) index into `PHASES`,
            `pose` (T, 3) yaw, pitch and roll in radians, `gaze` (T, 2) right and up, `landmarks` (T, 68, 2) right and
            down in pixels, `hidden` (T,) share of the face that something in front of it hides, `light` (T, 3) factor
            on each lamp, `offset` (T, 2) how far the crop misses the face, right and up in metres, `smear` (T, 2) in
            pixels, `dropped` (T,) whether the frame shows the one before it.
            Of the clip: `intensity`, `timing` (4,) start, rise, hold and fall in seconds, `asymmetry` (22,) how much
            stronger each unit is on the left, and the columns of the table.
        """
        names = (*OF_FRAMES, *OF_CLIPS, *PERSONAL, "timing", "asymmetry")
        return {name: self._facts[name][self._rows[index]] for name in names}

    def motion(self, index: int) -> np.ndarray:
        """(T, S, S) metres that the surface seen by each pixel moved from the neutral face in the same pose."""
        return self.store.read(self._rows[index], layer="motion") * np.float32(MOTION_UNIT)

    @cached_property
    def _facts(self) -> dict[str, np.ndarray]:
        return {name: self.store.facts(name) for name in (*OF_FRAMES, *OF_CLIPS, *PERSONAL, "timing", "asymmetry")}

    def verify(self) -> None:
        """Compare every part with its checksums.

        Raises:
            InputError: a part differs; the message names it.
        """
        self.store.verify()
