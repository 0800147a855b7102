"""Which clips to learn from, to choose by and to test on: hold-out, k folds, folds of people.

Public data sets bring folds of their own (`DFEW(fold=2)`, `CKPlus(fold=7)`, `MakeFaces(fold=3)`). These functions do
the same for any source of clips. No person is ever on two sides; where every clip is a group of its own, they are
k folds.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from dferlib.data.packed import PackedClips
from dferlib.data.sets import BENCHMARKS
from dferlib.data.table import ClipSource, ClipTable, lacks, name_of
from dferlib.errors import InputError, choose


class Part:
    """Some of the clips of a source, which is a source again.

    Args:
        source: all of them.
        which: a boolean mask over them, or their positions, int64 `(N,)`, in the wanted order.
        split: what this part is for: "train", "val" or "test".

    Raises:
        InputError: a position is not there, or the mask is of another length.
    """

    def __init__(self, source: ClipSource, which: np.ndarray, split: str) -> None:
        which = np.asarray(which)
        if which.dtype == bool and len(which) == len(source):
            which = np.flatnonzero(which)
        if which.dtype == bool or np.any((which < 0) | (which >= len(source))):
            raise InputError(
                f"there are {len(source)} clips: give a mask over these, or positions from 0 on below that"
            )
        self.source, self.which = source, which.astype(np.int64)
        rows = source.table.rows.iloc[self.which].assign(split=split)
        self.table = ClipTable(rows, source.classes)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""
        return self.source.classes

    @property
    def fingerprint(self) -> str:
        """Differs whenever the clips of the source do, or other clips are chosen."""
        return hashlib.sha256(self.source.fingerprint.encode() + self.which.tobytes()).hexdigest()[:16]

    @property
    def lacks(self) -> str:
        """See `dferlib.data.table.lacks`."""
        return lacks(self.source)

    def __len__(self) -> int:
        return len(self.which)

    def read(self, index: int, frames: np.ndarray) -> np.ndarray:
        """Return the asked frames of one clip, uint8 `(F, C, H, W)`."""
        return self.source.read(int(self.which[index]), frames)


class Joined:
    """The clips of several sources one after the other, which are a source again.

    Args:
        sources: by a name that is put before the ids of their clips. Who has the same group in two sources is one
            person. They must have the same classes in the same order.

    Raises:
        InputError: none was given, or their classes differ.
    """

    def __init__(self, sources: Mapping[str, ClipSource]) -> None:
        self.sources = list(sources.values())
        if not self.sources or any(source.classes != self.sources[0].classes for source in self.sources):
            raise InputError("to join clips takes one source or more, all with the same classes in the same order")
        parts = [s.table.rows.assign(id=f"{name}/" + s.table.rows["id"].astype(str)) for name, s in sources.items()]
        self.table = ClipTable(pd.concat(parts, ignore_index=True), self.sources[0].classes)
        self._starts = np.cumsum([0] + [len(source) for source in self.sources])
        self.name = " and ".join(sorted({name_of(source) for source in self.sources}))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""
        return self.table.classes

    @property
    def fingerprint(self) -> str:
        """Differs whenever the clips of a source do."""
        return hashlib.sha256(" ".join(source.fingerprint for source in self.sources).encode()).hexdigest()[:16]

    @property
    def lacks(self) -> str:
        """See `dferlib.data.table.lacks`."""
        return "; ".join(filter(None, map(lacks, self.sources)))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, index: int, frames: np.ndarray) -> np.ndarray:
        """Return the asked frames of one clip, uint8 `(F, C, H, W)`."""
        which = int(np.searchsorted(self._starts, index, "right")) - 1
        return self.sources[which].read(index - int(self._starts[which]), frames)


def folds(source: ClipSource, count: int, seed: int = 0) -> list[tuple[Part, Part]]:
    """Divide the people of a source into folds with the classes as equally frequent as can be.

    Args:
        source: all clips.
        count: k.
        seed: of the division.

    Returns:
        For each fold the clips to learn from, and those to test on. Every clip is tested on once.

    Raises:
        InputError: there are fewer than two folds, or fewer people than folds.
    """
    people = len(np.unique(source.table.groups))
    if not 2 <= count <= people:
        raise InputError(f"{count} folds of {people} people: give from 2 to {people}")
    from sklearn.model_selection import StratifiedGroupKFold

    cut = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    pairs = cut.split(np.zeros(len(source)), source.table.labels, source.table.groups)
    return [(Part(source, rest, "train"), Part(source, tested, "test")) for rest, tested in pairs]


def hold_out(source: ClipSource, share: float = 0.1, seed: int = 0) -> tuple[Part, Part]:
    """Set the clips of some people aside, to choose the epoch by.

    Args:
        source: the clips to learn from.
        share: how much to set aside, about: one part of 2, 3, 4 and so on.
        seed: of the choice.

    Returns:
        What is left to learn from, and what was set aside.

    Raises:
        InputError: the share is not above 0 and at most a half, or there are too few people for it.
    """
    if not 0 < share <= 0.5:
        raise InputError(f"share is {share}: give a part above 0 and up to 0.5, such as 0.1")
    rest, aside = folds(source, round(1 / share), seed)[0]
    return rest, Part(source, aside.which, "val")


def public_splits(
    name: str,
    root: Path | str | None,
    fold: int = 1,
    size: int = 128,
    layout: str | None = None,
    links: Iterable[Path | str] = (),
) -> dict[str, ClipSource]:
    """What a public data set gives to learn from, to choose by and to test on.

    A tenth of the people, or of the clips where nobody knows who is in them, is held out of the training clips to
    choose the epoch by. The test clips are those that papers report: of AFEW, the validation clips.

    Args:
        name: one of `BENCHMARKS`; or, without a root, a folder that `pack` wrote.
        root: its folder.
        fold: which one.
        size: side to which the frames are scaled; packed ones have theirs already.
        layout: which layout, where the folder holds several.
        links: folders elsewhere into which symbolic links may lead.

    Returns:
        "train", "val" and "test".

    Raises:
        InputError: an unknown name, the folder does not hold that data set, or packed clips have changed on disk.
    """
    if root is None:
        packed = PackedClips(name, fold, "train")
        packed.verify()  # before hours are spent on frames that a disk has spoilt
        learnt, chosen_by = packed.hold_out()
        return {"train": learnt, "val": chosen_by, "test": PackedClips(name, fold, packed.SPLITS[-1])}
    kind = BENCHMARKS[choose("data set", name, BENCHMARKS)]
    links = tuple(links)
    rest, aside = kind(root, fold, "train", layout=layout, size=size, links=links).hold_out()
    tested = kind(root, fold, kind.SPLITS[-1], layout=layout, size=size, links=links)
    return {"train": rest, "val": aside, "test": tested}
