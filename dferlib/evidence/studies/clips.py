"""The clips of the rows of a study."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from dferlib.data.protocols import Joined, Part
from dferlib.data.table import ClipSource

# what gives a row its clips: from `Row.data` to the "train", "val" and "test" splits
Clips = Callable[[dict[str, Any]], dict[str, ClipSource]]


class MakeFacesClips:
    """The clips of rows: rows that ask for the same share them, and the maps that are kept with them.

    Args:
        size: "book" or "paper".
        root: folder of the clips; default the cache folder.
    """

    def __init__(self, size: str = "book", root: Path | None = None) -> None:
        self.size, self.root = size, root
        self._loaded: dict[str, dict[str, ClipSource]] = {}

    def __call__(self, data: dict[str, Any]) -> dict[str, ClipSource]:
        """The splits that `Row.data` asks for; what is missing of them is rendered."""
        from dferlib.makefaces import SPLITS, MakeFaces

        if repr(data) not in self._loaded:
            asked = {key: value for key, value in data.items() if key != "people"}
            make = partial(MakeFaces, size=self.size, root=self.root)
            splits: dict[str, ClipSource]
            if isinstance(levels := asked.get("difficulty"), list):
                splits = {s: Joined({one: make(s, **{**asked, "difficulty": one}) for one in levels}) for s in SPLITS}
            else:
                splits = {s: make(s, **asked) for s in SPLITS}
            if "people" in data:
                groups = splits["train"].table.groups
                _, number = np.unique(groups, return_inverse=True)
                splits["train"] = Part(splits["train"], np.flatnonzero(number < data["people"]), "train")
            self._loaded[repr(data)] = splits
        return self._loaded[repr(data)]

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_this_process, (self.size, self.root)  # each process opens the files for itself, once


@cache
def _of_this_process(size: str, root: Path | None) -> MakeFacesClips:
    return MakeFacesClips(size, root)


def fingerprints(sources: dict[str, ClipSource]) -> dict[str, str]:
    """Of each split."""
    return {split: source.fingerprint for split, source in sources.items()}
