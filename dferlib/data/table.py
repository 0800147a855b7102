"""A table of clips, and what every data set of this library looks like from outside."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from dferlib.errors import InputError

COLUMNS = ("id", "label", "group", "split", "frames")


@dataclass(frozen=True)
class ClipTable:
    """One row a clip.

    Args:
        rows: a data frame with at least the columns `id` (unique text), `label` (index into `classes`), `group` (who is
            seen: clips of one person share it), `split` ("train", "val", "test") and `frames` (how many there are).
        classes: names of the classes, in the order of the labels.

    Raises:
        InputError: a column is missing, an id occurs twice or is not there, a clip says not who is seen, a label is out
            of range, a clip has no frames, or a class is there twice.
    """

    rows: pd.DataFrame
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        rows = self.rows.reset_index(drop=True)
        object.__setattr__(self, "rows", rows)
        if isinstance(self.classes, str):
            raise InputError(f"the classes of the clip table are the text {self.classes!r}: give a list of names")
        object.__setattr__(self, "classes", tuple(self.classes))
        if len(set(self.classes)) < len(self.classes):
            raise InputError(f"the clip table has a class twice: {', '.join(map(str, self.classes))}")
        if missing := [name for name in COLUMNS if name not in rows.columns]:
            raise InputError(f"the clip table lacks the column {missing[0]!r}: it needs {', '.join(COLUMNS)}")
        for name in ("label", "frames"):
            if len(rows) and not pd.api.types.is_integer_dtype(rows[name]):
                raise InputError(f"the column {name!r} of the clip table holds {rows[name].dtype}: it needs integers")
        for name, what in (("id", "an id of its own"), ("group", "who is seen, or the clip's own id")):
            # what is not there would become a name: one person with all clips of which nobody knows who is in them
            if (gone := rows[name].isna() | (rows[name].astype(str) == "")).any():
                raise InputError(f"row {int(gone.to_numpy().argmax())} of the clip table has no {name}: give {what}")
        if (twice := rows["id"].astype(str).duplicated()).any():
            raise InputError(f"the clip id {str(rows['id'][twice].iloc[0])!r} occurs twice: ids must be unique")
        for name, low, high in (("label", 0, len(self.classes) - 1), ("frames", 1, np.inf)):
            if (bad := (rows[name] < low) | (rows[name] > high)).any():
                first = rows[bad].iloc[0]
                wanted = f"0 to {high}" if name == "label" else "1 or more"
                raise InputError(f"clip {first['id']!r} has {name} {first[name]}: it must be {wanted}")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ids(self) -> np.ndarray:
        """The id of every clip, as text."""
        return self.rows["id"].to_numpy(dtype=str)

    @property
    def labels(self) -> np.ndarray:
        """The label of every clip, int64."""
        return self.rows["label"].to_numpy(dtype=np.int64)

    @property
    def groups(self) -> np.ndarray:
        """Who is seen in every clip, as text."""
        return self.rows["group"].astype(str).to_numpy(dtype=str)

    @property
    def frames(self) -> np.ndarray:
        """How many frames every clip has, int64."""
        return self.rows["frames"].to_numpy(dtype=np.int64)

    def select(self, which: str | np.ndarray) -> "ClipTable":
        """Return the table of some of the clips.

        Args:
            which: the name of a split, a boolean mask over the rows, or their positions in the wanted order.

        Raises:
            InputError: no clip is of that split; the message lists the splits that there are.
        """
        if isinstance(which, str):
            mask = (self.rows["split"] == which).to_numpy()
            if not mask.any():
                names = ", ".join(sorted(map(str, self.rows["split"].unique())))
                raise InputError(f"no clips in the split {which!r}: the table has {names or 'no clips at all'}")
            which = mask
        which = np.asarray(which)
        positions = np.flatnonzero(which) if which.dtype == bool else which
        return ClipTable(self.rows.iloc[positions], self.classes)


class ClipSource(Protocol):
    """What training and evaluation need from a data set: a table, and the frames of a clip on request."""

    @property
    def table(self) -> ClipTable:
        """One row a clip, in the order of `read`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""

    @property
    def fingerprint(self) -> str:
        """Text that differs whenever the clips or their labels differ."""

    def __len__(self) -> int: ...

    def read(self, index: int, frames: np.ndarray) -> np.ndarray:
        """Return the asked frames of one clip, uint8 `(F, C, H, W)`."""


def lacks(source: ClipSource) -> str:
    """What a source lacks of what it should hold, in words that go into every record; empty if it is whole.

    A source may say so in an attribute of that name; one without is taken for whole.
    """
    return str(getattr(source, "lacks", ""))


def name_of(source: ClipSource) -> str:
    """The name of the data set that a source, or the source of which it is a part, belongs to."""
    while hasattr(source, "source"):
        source = source.source
    return str(getattr(source, "name", type(source).__name__))


def check_frames(name: str, clip: object, count: int) -> None:
    """Refuse what are no frames of a clip as every source gives them.

    Raises:
        InputError: they are no array uint8 `(count, 3, H, W)`.
    """
    wanted = f"uint8 ({count}, 3, height, width)"
    if not isinstance(clip, np.ndarray):
        raise InputError(f"clip {name!r} is {type(clip).__name__}: it must be a NumPy array, {wanted}")
    if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[:2] != (count, 3):
        raise InputError(f"clip {name!r} is {clip.dtype} {clip.shape}: it must be {wanted}")


class ArraySource:
    """Clips that are in memory already: your own arrays, or a small data set read once.

    Args:
        table: one row a clip.
        clips: for each row the frames, uint8 `(F, C, H, W)`; F may differ from clip to clip.
        fingerprint: what names these clips; a hash over everything where it is not given.

    Raises:
        InputError: the clips do not fit the table.
    """

    def __init__(self, table: ClipTable, clips: Sequence[np.ndarray], fingerprint: str | None = None) -> None:
        if len(clips) != len(table):
            raise InputError(f"{len(clips)} clips for a table of {len(table)} rows: give one clip for each row")
        for name, frames, clip in zip(table.ids.tolist(), table.frames, clips, strict=True):
            check_frames(name, clip, int(frames))
        self.table = table
        self.clips = clips
        self.fingerprint = fingerprint or self._hash()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""
        return self.table.classes

    def __len__(self) -> int:
        return len(self.table)

    def read(self, index: int, frames: np.ndarray) -> np.ndarray:
        """Return the asked frames of one clip, uint8 `(F, C, H, W)`."""
        return self.clips[index][frames]

    def _hash(self) -> str:
        digest = hashlib.sha256(repr((self.classes, self.table.ids.tolist(), self.table.labels.tolist())).encode())
        for clip in self.clips:
            digest.update(repr(clip.shape).encode())
            digest.update(np.ascontiguousarray(clip).data)
        return digest.hexdigest()[:16]
