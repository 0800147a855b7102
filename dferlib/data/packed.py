"""Reading what `pack` wrote: the table, the folds and the classes of a data set, and frames that need no decoding."""

import json
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dferlib.data.sets import BENCHMARKS
from dferlib.data.sets.base import LISTED, Subsets, shortfall
from dferlib.data.store import ClipStore, facts_file
from dferlib.data.table import ClipTable
from dferlib.errors import InputError, choose

MANIFEST, SKIPPED = "pack.json", "skipped.txt"
LANDMARKS = "landmarks"
TABLE = "table:"  # what the names of facts begin with that are columns of the table


def is_packed(folder: Path | str) -> bool:
    """Whether a folder holds what `pack` writes."""
    return (Path(folder) / MANIFEST).is_file()


def part_stem(folder: Path, part: int) -> Path:
    """Where a part is: the folder and the first part of the names of its files."""
    return folder / f"part-{part:05d}"


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a packed store was made from.

    Raises:
        InputError: there is none in the folder, or it is damaged.
    """
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        wanted = {"data", "layout", "size", "aligned", "classes", "splits", "folds", "parts"}
        if not isinstance(found, dict) or not wanted <= found.keys():
            raise ValueError("it lacks an entry")
    except FileNotFoundError as error:
        raise InputError(f"{folder} holds no packed clips: give a folder that `dferlib pack` wrote") from error
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}; delete {folder} and pack again") from error
    return found


class PackedClips(Subsets):
    """One split of a data set that `pack` wrote, with the table, the folds and the classes of the original.

    Args:
        folder: the packed store.
        fold: which fold of the cross-validation, from 1.
        split: the name of a split, or "all".

    Attributes:
        lacks: what the split lacks of what it should hold, in words; see `dferlib.data.table.lacks`.

    Raises:
        InputError: the folder holds no packed clips, is not finished, or has no such fold or split.
    """

    def __init__(self, folder: Path | str, fold: int = 1, split: str = "train") -> None:
        self.folder, self.fold, self.split = Path(folder), fold, split
        self.about = read_manifest(self.folder)
        self.name, self.SPLITS = str(self.about["data"]), tuple(self.about["splits"])
        choose(f"split of {self.folder}", split, (*self.SPLITS, "all"))
        if fold not in self.about["folds"]:
            there = ", ".join(map(str, self.about["folds"]))
            raise InputError(f"{self.folder} has no fold {fold}: it has {there}")
        stems = [part_stem(self.folder, k) for k in range(self.about["parts"])]
        if missing := sum(not facts_file(stem).exists() for stem in stems):
            remedy = "run the same `dferlib pack` again to go on"
            raise InputError(f"{self.folder} is not finished: {missing} of {len(stems)} parts are missing; {remedy}")
        self.store = ClipStore(stems)
        self.table = self._read_table()
        official = BENCHMARKS[self.name].OFFICIAL if self.name in BENCHMARKS else {}
        listed = self.about.get(LISTED, {}).get(str(fold))  # what was packed before has it not
        self.lacks = "" if listed is None else shortfall(official, fold, split, listed, self.table)

    def _read_table(self) -> ClipTable:
        names = [name for name in self.store.fact_names if name.startswith(TABLE)]
        rows = pd.DataFrame({name.removeprefix(TABLE): self.store.facts(name) for name in names})
        rows = rows.assign(frames=self.store.lengths, stored=np.arange(len(self.store)))
        splits = rows[f"split {self.fold}"]
        rows = rows.drop(columns=[name for name in rows.columns if name.startswith("split ")])
        kept = (rows["frames"] > 0) & (splits != "") & ((splits == self.split) | (self.split == "all"))
        return ClipTable(rows.assign(split=splits)[kept], tuple(self.about["classes"]))

    def read(self, index: int, frames: np.ndarray | None = None) -> np.ndarray:
        """Read frames of one clip.

        Args:
            index: which clip.
            frames: (F,) which of its frames, in any order and as often as wanted; default all.

        Returns:
            (F, 3, S, S) uint8.
        """
        return self.store.read(int(self.table.rows["stored"].iloc[index]), frames)

    def landmarks(self, index: int, frames: np.ndarray | None = None) -> np.ndarray:
        """Read the 68 landmarks that came with frames of one clip.

        Args:
            index: which clip.
            frames: (F,) which of its frames; default all.

        Returns:
            (F, 68, 2) float32, x to the right and y down in pixels of the packed frames; nan where they could not be
            read.

        Raises:
            InputError: the set has none, or they were not unpacked when it was packed, or the faces are aligned.
        """
        if not self.about.get(LANDMARKS):
            raise InputError(f"{self.folder} has no landmarks: pack CK+ with its folder Landmarks, not aligned")
        return self.store.read(int(self.table.rows["stored"].iloc[index]), frames, LANDMARKS)

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of every packed pixel, and of which clips these are and their labels."""
        chosen = repr((self.classes, self.table.ids.tolist(), self.table.labels.tolist()))
        return sha256((self.store.fingerprint + chosen).encode()).hexdigest()[:16]

    @property
    def skipped(self) -> list[str]:
        """A line for each thing that was wrong with the original, clips that are left out among them."""
        path = self.folder / SKIPPED
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def verify(self) -> None:
        """Compare every part with its checksums.

        Raises:
            InputError: a part differs; the message names it.
        """
        self.store.verify()
