"""MakeFaces as a data set: clips of one split, made on first use, with the truth of every frame."""

import hashlib
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from dferlib.data.store import ClipStore
from dferlib.data.table import ClipTable
from dferlib.errors import choose
from dferlib.makefaces.generator import MOTION_UNIT, generate, part_stem
from dferlib.makefaces.knobs import DIFFICULTIES, Knobs
from dferlib.makefaces.protocol import CLIPS_PER_PERSON, SPLITS, Version, fold_split

PERSON_FACTS = ("female", "age", "african", "asian", "caucasian", "skin_tone", "hairstyle", "beard")
CLIP_FACTS = (
    "intensity",
    "earlier_emotion",
    "talking",
    "movements",
    "blinks",
    "tears",
    "in_front",
    "blur",
    "noise",
    "quality",
    "shrink",
    "sharpen",
    "contrast",
    "gamma",
    "saturation",
)
FRAME_FACTS = (
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
            **{name: self.store.facts(name)[self._rows] for name in (*CLIP_FACTS, *PERSON_FACTS)},
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
            frames: (F,) which of its frames, in any order and as often as wanted; default all.

        Returns:
            (F, 3, S, S) uint8.
        """
        return self.store.read(self._rows[index], frames)

    def truth(self, index: int) -> dict[str, np.ndarray]:
        """What the face did in one clip of F frames.

        Returns:
            Of every frame: `units` (F, 22) intensity of each of `UNITS`, `expression` (F,) how far the expression that
            names the clip has risen, `earlier` (F,) the same of the other one, `phase` (F,) index into `PHASES`,
            `pose` (F, 3) yaw, pitch and roll in radians, `gaze` (F, 2) right and up, `landmarks` (F, 68, 2) right and
            down in pixels, `hidden` (F,) share of the face that something in front of it hides, `light` (F, 3) factor
            on each lamp, `offset` (F, 2) how far the crop misses the face, right and up in metres, `smear` (F, 2) in
            pixels, `dropped` (F,) whether the frame shows the one before it.
            Of the clip: `intensity`, `timing` (4,) start, rise, hold and fall in seconds, `asymmetry` (22,) how much
            stronger each unit is on the left, and the columns of the table.
        """
        names = (*FRAME_FACTS, *CLIP_FACTS, *PERSON_FACTS, "timing", "asymmetry")
        return {name: self._facts[name][self._rows[index]] for name in names}

    def motion(self, index: int) -> np.ndarray:
        """(F, S, S) metres that the surface seen by each pixel moved from the neutral face in the same pose."""
        return self.store.read(self._rows[index], layer="motion") * np.float32(MOTION_UNIT)

    @cached_property
    def _facts(self) -> dict[str, np.ndarray]:
        return {
            name: self.store.facts(name) for name in (*FRAME_FACTS, *CLIP_FACTS, *PERSON_FACTS, "timing", "asymmetry")
        }

    def verify(self) -> None:
        """Compare every part with its checksums.

        Raises:
            InputError: a part differs; the message names it.
        """
        self.store.verify()
