"""What the data sets have in common whose splits are lists in text files, of their makers or of public code."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dferlib.data.sets.base import Benchmark
from dferlib.data.sets.files import is_video, read_text
from dferlib.errors import InputError

CLIP_ID = re.compile(r"[0-9]{1,9}")  # the number of a clip


@dataclass(frozen=True)
class Line:
    """What a line of a list says of a clip, whose folder is `steps` down from that of all clips."""

    split: str
    folder: str
    steps: tuple[str, ...]
    frames: int
    label: str
    where: str


class Listed(Benchmark):
    """A data set with one text file for each split of each fold."""

    def _lists(self, places: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
        """Find the list of every split; give its split and its path."""
        for split, spots in places.items():
            if (path := self.root.locate(*spots)) is None:
                names = " or ".join(spots)
                raise InputError(f"{self.root.path} lacks the list of the {split} clips of {self.name}: {names}")
            if split == self.SPLITS[0]:
                self.lists = os.path.relpath(path, self.root.path)
            yield split, path

    def _annotated(self, layout: str | None, places: Mapping[str, tuple[str, ...]], depth: int) -> Iterator[Line]:
        """The lists of public code: `<folder of frames> <number of frames> <number of a class>`.

        The folders are those of another machine. Where clips are in none of the known places, they may be in a folder
        that is called as the one there.

        Args:
            layout: which.
            places: of the list of each split.
            depth: how many folders down from all clips a clip is.
        """
        folder = ""
        for split, path in self._lists(places):
            for k, line in enumerate(read_text(path), 1):
                where, parts = f"{path}, line {k}", line.replace("\\", "/").rsplit(maxsplit=2)
                if not line:
                    continue
                steps = parts[0].rstrip("/").split("/")
                if len(parts) != 3 or not CLIP_ID.fullmatch(parts[1]) or len(steps) < depth:
                    raise InputError(f"{where}: {line[:60]!r} is not a folder, a number of frames and a label")
                if not folder:
                    near = steps[-1 - depth] if len(steps) > depth else ""
                    own = {f"folder {near!r} of the list": (near,)} if near not in ("", ".", "..") else {}
                    folder = self._find(layout, {**self.layouts(), **own})
                yield Line(split, folder, tuple(steps[-depth:]), frames=int(parts[1]), label=parts[2], where=where)

    def _number(self, label: str, first: int, classes: Sequence[str], where: str) -> int | None:
        """The label by the number of a class, the first of which is `first`; note a problem if there is none."""
        last = first + len(classes) - 1
        if re.fullmatch(r"[0-9]+(\.0+)?", label) and first <= float(label) <= last:
            return self.CLASSES.index(classes[int(float(label)) - first])
        self.note("label", f"{where}: the label is {label[:40]!r}: it must be {first} to {last}")
        return None

    def _numbered(self, folder: str) -> dict[int, str]:
        """The clips in a folder by their numbers, padded with zeros or not."""
        found: dict[int, str] = {}
        for name in self.root.names(folder):
            stem = Path(name).stem if is_video(name) else name
            if not CLIP_ID.fullmatch(stem):
                continue
            if (other := found.get(int(stem))) is not None:
                self.note("duplicate", f"{folder} holds clip {int(stem)} twice, as {other} and as {name}")
            else:
                found[int(stem)] = name
        self.counts[f"clips in {self.layout}"] = len(found)
        return found
