"""What the seven data sets have in common: find the layout, list the clips, count and read their frames."""

import copy
import hashlib
import logging
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from tqdm import tqdm

from dferlib.data.sets.files import TOLD, Problem, Root, count_frames, file_sizes, is_video, read_clip
from dferlib.data.table import ClipTable
from dferlib.emotions import EMOTIONS
from dferlib.errors import InputError, choose

log = logging.getLogger("dferlib")
LISTED = "listed"  # the column of the table for how many frames the list says a clip has, where it says so

# the names that data sets give to the seven classes, in lower case
SYNONYMS = {
    **{name: name for name in EMOTIONS},
    "happy": "happiness",
    "hap": "happiness",
    "sad": "sadness",
    "neu": "neutral",
    "angry": "anger",
    "ang": "anger",
    "surprised": "surprise",
    "sur": "surprise",
    "dis": "disgust",
    "disgusted": "disgust",
    "fea": "fear",
    "fearful": "fear",
}


@dataclass(frozen=True)
class Clip:
    """One clip as a data set lists it, before anybody has looked for its frames.

    Args:
        id: its name, unique in the data set.
        label: index into the classes.
        group: who is seen, or the clip's own name where nobody knows.
        split: "train", "val" or "test".
        path: the folder of frames or the video, absolute.
        frames: how many there should be, where the list says so.
        more: further columns of the table.
    """

    id: str
    label: int
    group: str
    split: str
    path: str
    frames: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


class Subsets:
    """What every source that reads by its own table can do: give a part of its clips, as a source of the same kind."""

    table: ClipTable

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""
        return self.table.classes

    @property
    def emotions(self) -> dict[str, str | None]:
        """For each class the one of `dferlib.EMOTIONS` that it is, or None (contempt, for example)."""
        return {name: name if name in EMOTIONS else None for name in self.classes}

    def __len__(self) -> int:
        return len(self.table)

    def select(self, which: np.ndarray) -> Self:
        """The same data set with some of its clips: a boolean mask, or positions in the wanted order."""
        return self._with(self.table.select(which))

    def as_emotions(self) -> Self:
        """The same data set in the classes of `dferlib.EMOTIONS`, without the clips of classes that are not there."""
        known = np.array([self.emotions[self.classes[label]] is not None for label in self.table.labels], dtype=bool)
        rows = self.table.rows[known]
        names = [str(self.emotions[self.classes[label]]) for label in rows["label"]]
        labels = np.array([EMOTIONS.index(name) for name in names], dtype=np.int64)
        return self._with(ClipTable(rows.assign(label=labels), EMOTIONS))

    def hold_out(self, share: float = 0.1) -> tuple[Self, Self]:
        """Set a part aside to choose the epoch by, as the test clips must not be used for that.

        No person is in both parts where the data set knows its people. The choice is always the same.

        Args:
            share: how much to set aside, about.

        Returns:
            What is left to learn from, and the part that was set aside, with the split "val".

        Raises:
            InputError: the share is not between 0 and 1, or nothing would be left on one side.
        """
        if not 0 < share < 1:
            raise InputError(f"share is {share}: give a part between 0 and 1, such as 0.1")
        # people by the class that they show first: where each clip is its own group, every class gives its share
        first = self.table.rows.sort_values(["label", "group"], kind="stable").drop_duplicates("group")["group"]
        steps = np.floor(np.arange(1, len(first) + 1) * share + 0.5)
        chosen = self.table.rows["group"].isin(first[np.diff(steps, prepend=0) > 0]).to_numpy()
        if not chosen.any() or chosen.all():
            raise InputError(f"{share:.0%} of {len(first)} groups leaves nothing on one side: give another share")
        rest, aside = self.select(~chosen), self.select(chosen)
        return rest, aside._with(ClipTable(aside.table.rows.assign(split="val"), aside.classes))

    def _with(self, table: ClipTable) -> Self:
        other = copy.copy(self)
        other.table = table
        other.__dict__.pop("fingerprint", None)
        return other


class Benchmark(Subsets, ABC):
    """One split of a data set that lies on disk as its makers, or those who prepared it, gave it away.

    Nothing is read outside of the folder and of `links`, nothing is written, and images are opened only by `read`.

    Args:
        root: the folder of the data set; one or two folders that an archive put around it do no harm.
        fold: which fold of the cross-validation, from 1.
        split: the name of a split, or "all".
        layout: which of the layouts in `layouts`, where the folder holds several; the first that is there if not
            given. A line in the log names it.
        size: side of the frames that `read` gives; None leaves them as they are.
        strict: raise if anything is wrong. Otherwise leave such clips out and list them in `problems`. A clip that is
            longer or shorter than its list says is used and told in both cases.
        links: folders elsewhere into which symbolic links may lead; no others are followed.

    Attributes:
        problems: what is wrong, see `Problem`.
        lacks: what the split lacks of what it should hold, in words; it goes into each record made from it.

    Raises:
        InputError: the folder holds no layout of this data set, or, if `strict`, a clip is missing, listed twice, or
            has an impossible label.
    """

    name: ClassVar[str]
    CLASSES: ClassVar[tuple[str, ...]]
    SPLITS: ClassVar[tuple[str, ...]] = ("train", "test")
    FOLDS: ClassVar[int] = 1
    FIRST: ClassVar[int | None] = None  # the number of every clip's first frame, where all copies agree on it
    OFFICIAL: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self,
        root: Path | str,
        fold: int = 1,
        split: str = "train",
        *,
        layout: str | None = None,
        size: int | None = 128,
        strict: bool = True,
        links: Iterable[Path | str] = (),
    ) -> None:
        choose(f"split of {self.name}", split, (*self.SPLITS, "all"))
        if not 1 <= fold <= self.FOLDS:
            raise InputError(f"{self.name} has no fold {fold}: give 1{f' to {self.FOLDS}' if self.FOLDS > 1 else ''}")
        self.root, self.fold, self.split, self.size = Root(root, links), fold, split, size
        self.problems: list[Problem] = []
        self.layout, self.lists = "", ""
        self.counts: dict[str, int] = {}  # what else there is to compare with the official figures
        self.listed = self._unique(self._list(layout))
        self.table = self._counted([clip for clip in self.listed if split in (clip.split, "all")])
        self.lacks = shortfall(self.OFFICIAL, fold, split, Counter(clip.split for clip in self.listed), self.table)
        if strict:
            self._refuse_what_is_wrong()
        left = f"; see `problems`, {len(self.problems)} in all: {self.problems[0].text}" if self.problems else ""
        lists = f" with labels from {self.lists}" if self.lists else ""
        where = f"fold {fold}, split {split!r}" if self.FOLDS > 1 else f"split {split!r}"
        what = f"layout {self.layout!r}{lists} in {self.root.path}"
        level = logging.WARNING if strict and self.problems else logging.INFO
        log.log(level, "%s: %s, %s: %d clips%s", self.name, what, where, len(self.table), left)

    def _refuse_what_is_wrong(self) -> None:
        """Raise at anything that keeps a clip from being used."""
        fatal = [problem for problem in self.problems if problem.kind not in TOLD]
        if fatal:
            first, more = fatal[0], len(fatal) - 1
            others = f" ({more} more; `dferlib check-data {self.name} {self.root.path}` lists them)" if more else ""
            remedy = "strict=False, or `dferlib pack`, leaves such clips out"
            raise InputError(f"{self.name}: {first.text}{others}; {remedy}")
        if not len(self.table):
            where = f"the split {self.split!r} is in {self.root.path}"
            raise InputError(f"{self.name}: no clip of {where}: its lists are empty")

    @abstractmethod
    def layouts(self) -> Mapping[str, tuple[str, ...]]:
        """The layouts that are known, the preferred first: a name, and where such clips lie in the folder."""

    @abstractmethod
    def _list(self, layout: str | None) -> Iterable[Clip]:
        """List the clips of every split of the fold; set `layout`, and `lists` where files list them."""

    def read(self, index: int, frames: np.ndarray | None = None) -> np.ndarray:
        """Read frames of one clip.

        Args:
            index: which clip.
            frames: (F,) which of its frames, in any order and as often as wanted; default all.

        Returns:
            (F, 3, H, W) uint8: the middle square of each frame scaled to `size`, or all of it where that is None.

        Raises:
            InputError: a frame cannot be read; the message names the file.
        """
        row = self.table.rows.iloc[index]
        wanted = np.arange(row["frames"]) if frames is None else np.asarray(frames)
        return read_clip(self.root, str(self.root.path / row["path"]), int(row["frames"]), wanted, self.size)

    def landmark_files(self, index: int) -> list[str]:
        """Paths of the files with the landmarks of each frame of a clip; none where the set has no landmarks."""
        return []

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of ids, labels, frame size and the name and length of every file; no file is opened."""
        columns = (self.table.ids.tolist(), self.table.labels.tolist(), self.table.frames.tolist())
        digest = hashlib.sha256(repr((self.name, self.layout, self.size, self.classes, columns)).encode())
        for path in self.table.rows["path"]:
            digest.update(repr(file_sizes(str(self.root.path / path))).encode())
        return digest.hexdigest()[:16]

    def _find(self, layout: str | None, places: Mapping[str, tuple[str, ...]] | None = None) -> str:
        """Choose among the layouts that are there; return the path of the clips."""
        places = places or self.layouts()
        found = {name: path for name, spots in places.items() if (path := self.root.locate(*spots))}
        if not found:
            spots = ", ".join(spot for group in places.values() for spot in group)
            where = f"none of {spots} is in it{self.root.hint()}"
            raise InputError(f"{self.root.path} is not {self.name} as it is known: {where}")
        if layout is not None:
            choose(f"layout of {self.name} in {self.root.path}", layout, found)
        self.layout = layout or next(iter(found))
        return found[self.layout]

    def _label(self, word: str, where: str) -> int | None:
        """The label of a class by its name in any spelling that data sets use; note a problem if there is none."""
        name = SYNONYMS.get(word.lower(), word.lower())
        if name in self.CLASSES:
            return self.CLASSES.index(name)
        self.note("label", f"{where}: {word[:40]!r} is no class of {self.name} ({', '.join(self.CLASSES)})")
        return None

    def splits_in(self, fold: int) -> dict[str, str]:
        """The split of every clip, by its id, in another fold of the same copy; no frames are counted.

        Raises:
            InputError: the lists of that fold are missing or cannot be read.
        """
        other = copy.copy(self)
        other.fold, other.problems, other.counts = fold, [], {}
        return {clip.id: clip.split for clip in other._unique(other._list(self.layout))}

    def note(self, kind: str, text: str) -> None:
        """Remember that something is wrong."""
        self.problems.append(Problem(kind, text))

    def _unique(self, clips: Iterable[Clip]) -> list[Clip]:
        seen: dict[str, Clip] = {}
        for clip in clips:
            if (other := seen.get(clip.id)) is not None:
                where = "" if clip.split == other.split else f", in {other.split} and in {clip.split}"
                self.note("duplicate", f"clip {clip.id!r} is listed twice{where}: {clip.path}")
            else:
                seen[clip.id] = clip
        return list(seen.values())

    def _counted(self, clips: list[Clip]) -> ClipTable:
        """Count the frames of clips; leave out and note those that have none."""
        # decoding lets other threads run, listing a folder does not
        videos = any(is_video(clip.path) for clip in clips)
        with (
            ThreadPoolExecutor(os.cpu_count()) as pool,
            tqdm(total=len(clips), unit="clip", desc=f"{self.name}: counting frames", delay=2, leave=False) as bar,
        ):
            counts = []
            for counted in pool.map(self._count, clips) if videos else map(self._count, clips):
                counts.append(counted)
                bar.update()
        rows = []
        for clip, (count, problems) in zip(clips, counts, strict=True):
            self.problems += problems
            if not count:
                continue
            path = Path(clip.path).relative_to(self.root.path).as_posix()
            about = {"id": clip.id, "label": clip.label, "group": clip.group, "split": clip.split, "frames": count}
            said = {} if clip.frames is None else {LISTED: clip.frames}
            rows.append({**about, "path": path, **said, **clip.more})
        columns = ["id", "label", "group", "split", "frames", "path"]
        return ClipTable(pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns), self.CLASSES)

    def _count(self, clip: Clip) -> tuple[int, list[Problem]]:
        try:
            count, others = count_frames(self.root, self.root.inside(clip.path))
        except InputError as error:
            return 0, [Problem("unreadable" if is_video(clip.path) else "inconsistent", str(error))]
        if not count:
            what = "there is no such video" if is_video(clip.path) else "there are no frames"
            return 0, [Problem("missing", f"clip {clip.id!r}: {what}: {clip.path}")]
        told = []
        if clip.frames is not None and clip.frames != count:
            what = f"should have {clip.frames} frames, {clip.path} holds {count}: they are used as they are"
            told.append(Problem("length", f"clip {clip.id!r} {what}"))
        if others:
            what = f"{others} images are left out: they show another face, or have no number at the end of their names"
            told.append(Problem("extra", f"clip {clip.id!r}: {what}: {clip.path}"))
        return count, told


def shortfall(official: Mapping[str, Any], fold: int, split: str, listed: Mapping[str, int], table: ClipTable) -> str:
    """What a split lacks of what it should hold, in words; empty if it is whole.

    Args:
        official: figures of the makers, as `Benchmark.OFFICIAL`.
        fold: which.
        split: which, or "all".
        listed: how many clips the lists of the fold have in each split.
        table: the clips that can be used.
    """
    everything, total = sum(listed.values()), official.get("totals", {}).get("clips")
    figures = official.get("splits", {}).get(split)
    wanted = figures[fold - 1] if figures else (everything if split == "all" else listed.get(split, 0),)
    told = []
    if len(table) < max(wanted) and len(table) not in wanted:
        told.append(f"{len(table)} of {max(wanted)} clips of the split {split!r}")
    if not figures and total and everything < total:
        told.append(f"{everything} of {total} clips of the set are listed")
    rows = table.rows.dropna(subset=[LISTED]) if LISTED in table.rows else table.rows[:0]
    if len(rows) and (others := int((rows[LISTED] != rows["frames"]).sum())):
        told.append(f"{others} of its clips are of another length than listed")
    return "; ".join(told)


class SubjectFolds(Benchmark):
    """A data set whose folds are made of people: fold i tests on the subjects i, i + 10, i + 20, ...

    Subjects are taken in ascending order. The fold of everybody depends on who is in the folder, so that an incomplete
    copy has other folds.
    """

    FOLDS = 10

    def _split_by_subject(self, clips: list[Clip]) -> list[Clip]:
        tested = set(sorted({clip.group for clip in clips})[self.fold - 1 :: self.FOLDS])
        return [replace(clip, split="test" if clip.group in tested else "train") for clip in clips]
