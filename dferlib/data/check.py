"""What `dferlib check-data` reports: what is in the folder of a public data set, and what is wrong with it."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from dferlib.data.sets import BENCHMARKS, Benchmark, Problem
from dferlib.data.sets.files import Root, frame_names, frame_number, is_video, read_image
from dferlib.errors import InputError, choose


@dataclass(frozen=True)
class Report:
    """What was found in a folder.

    Args:
        facts: lines for people: layout, clips, classes, folds, numbers of frames.
        problems: everything that is wrong, each once.
    """

    facts: list[str]
    problems: list[Problem]

    def lines(self, limit: int | None = 20) -> list[str]:
        """The problems as lines, by their kind; `limit` of each kind, or all."""
        lines = []
        for kind, count in Counter(problem.kind for problem in self.problems).items():
            texts = [problem.text for problem in self.problems if problem.kind == kind]
            lines += [f"{kind}: {text}" for text in texts[:limit]]
            if limit is not None and count > limit:
                lines.append(f"{kind}: and {count - limit} more")
        return lines


def check_data(
    name: str,
    root: Path | str,
    layout: str | None = None,
    every_frame: bool = False,
    progress: bool = True,
    links: Iterable[Path | str] = (),
) -> Report:
    """Read all folds of a data set and compare it with itself and with the official figures.

    Args:
        name: one of `BENCHMARKS`, in any case.
        root: its folder.
        layout: which layout, where the folder holds several.
        every_frame: decode every image, not one of each clip.
        progress: show a bar.
        links: folders elsewhere into which symbolic links may lead.

    Returns:
        What is there and what is wrong. An incomplete copy is wrong: `problems` says what it lacks.

    Raises:
        InputError: there is no such data set, or the folder does not hold it at all.
    """
    names = {known.lower(): known for known in BENCHMARKS}
    kind = BENCHMARKS[choose("data set", names.get(name.lower(), name), BENCHMARKS)]
    # the test clips of all folds are all clips: so every clip is counted once
    split = "test" if kind.FOLDS > 1 else "all"
    problems: list[Problem] = []
    sources: list[Benchmark] = []
    for fold in range(1, kind.FOLDS + 1):
        try:
            sources.append(kind(root, fold, split, layout=layout, strict=False, links=links))
        except InputError as error:
            if not sources:
                raise
            problems.append(Problem("missing", f"fold {fold}: {error}"))
    problems += [problem for source in sources for problem in source.problems]
    problems += _between_folds(sources)
    rows = pd.concat([source.table.rows for source in sources], ignore_index=True).drop_duplicates("id")
    if not len(rows):
        first = problems[0].text if problems else "the lists are empty"
        raise InputError(f"{kind.name}: no clip can be used in {root}, of {len(sources[0].listed)} listed; {first}")
    problems += _in_clips(sources[0], rows, every_frame, progress)
    problems += [Problem("unofficial", text) for text in _unofficial(sources, rows)]
    return Report(_facts(sources, rows), list(dict.fromkeys(problems)))


def _between_folds(sources: list[Benchmark]) -> Iterator[Problem]:
    """Each clip must be tested in one fold and learnt from in all others, with the same label."""
    if len(sources) < 2:
        return
    labels = [{clip.id: clip.label for clip in source.listed} for source in sources]
    tested = Counter(clip.id for source in sources for clip in source.listed if clip.split == "test")
    for clip in sorted(set().union(*labels)):
        there = [known[clip] for known in labels if clip in known]
        if len(set(there)) > 1:
            found = ", ".join(sources[0].CLASSES[label] for label in sorted(set(there)))
            yield Problem("inconsistent", f"clip {clip!r} has several labels in the folds: {found}")
        if len(there) < len(sources) or tested[clip] != 1:
            of = f"is in {len(there)} of {len(sources)} folds, and in the test part of {tested[clip]}"
            yield Problem("inconsistent", f"clip {clip!r} {of}; it must be in all, and in the test part of one")


def _in_clips(source: Benchmark, rows: pd.DataFrame, every_frame: bool, progress: bool) -> Iterator[Problem]:
    def look(path: str) -> list[Problem]:
        return inspect(source.root, str(source.root.path / path), source.FIRST, every_frame)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(look, rows["path"])
        for problems in tqdm(found, "looking at clips", len(rows), unit="clip", disable=not progress, delay=2):
            yield from problems


def _unofficial(sources: list[Benchmark], rows: pd.DataFrame) -> Iterator[str]:
    """Differences to the figures that the makers or the papers give."""
    first, official = sources[0], sources[0].OFFICIAL
    totals = {"clips": len(rows), "people": rows["group"].nunique(), **first.counts}
    for what, number in official.get("totals", {}).items():
        if what in totals and totals[what] != number:
            yield f"{totals[what]} {what}, {number} officially"
    for source in sources:
        for split, numbers in official.get("splits", {}).items():
            count = sum(clip.split == split for clip in source.listed)
            wanted = numbers[source.fold - 1]
            if count not in wanted:
                where = f" of fold {source.fold}" if first.FOLDS > 1 else ""
                yield f"{count} clips in the split {split!r}{where}, {' or '.join(map(str, wanted))} officially"
    classes = Counter(first.CLASSES[label] for label in rows["label"])
    tested = Counter(first.CLASSES[clip.label] for clip in first.listed if clip.split == "test")
    for what, found in (("classes", classes), ("test classes of fold 1", tested)):
        for name, number in official.get(what, {}).items():
            if found[name] != number:
                yield f"{what}: {name} {found[name]}, {number} officially"
    low, high = official.get("frames", (1, np.inf))
    odd = rows[(rows["frames"] < low) | (rows["frames"] > high)]
    for name, count, path in zip(odd["id"], odd["frames"], odd["path"], strict=True):
        yield f"clip {name!r} has {count} frames, {low} to {high} officially: {path}"


def _facts(sources: list[Benchmark], rows: pd.DataFrame) -> list[str]:
    first = sources[0]
    counts = rows["frames"]
    people = rows["group"].nunique()
    lines = [
        f"{first.name} in {first.root.path}",
        f"layout    {first.layout}" + (f", labels from {first.lists}" if first.lists else ""),
        f"clips     {len(rows)}" + (f" of {people} people" if people < len(rows) else ""),
        f"frames    {counts.sum()} in all; {counts.min()} to {counts.max()} a clip, {counts.median():g} in the middle;"
        f" {(counts < 16).sum()} clips have fewer than 16",
        "classes   " + ", ".join(f"{name} {(rows['label'] == k).sum()}" for k, name in enumerate(first.CLASSES)),
    ]
    lines += [f"also      {count} {what}" for what, count in first.counts.items()]
    for source in sources:
        splits = [f"{name} {sum(clip.split == name for clip in source.listed)}" for name in source.SPLITS]
        title = f"fold {source.fold}" if first.FOLDS > 1 else "splits"
        lines.append(f"{title:9} {', '.join(splits)}")
    return lines


def inspect(root: Root, path: str, first: int | None, every_frame: bool) -> list[Problem]:
    """Look for gaps and files that cannot be read in a clip of frames whose numbers begin with `first`, if given.

    Every image is tried for its beginning and end, which finds what is empty, cut short or no image. The middle one,
    or every one on request, is decoded too, which takes a hundred times as long.
    """
    if is_video(path):
        return []  # it was read through when its frames were counted
    names = frame_names(root, root.inside(path))  # no name in it leads out of the root
    numbers = [frame_number(name) or 0 for name in names]
    problems = []
    if first is not None and numbers[0] > first:
        problems.append(Problem("missing", f"{path}: the first frame is {names[0]}, it must be number {first}"))
    if missing := numbers[-1] - numbers[0] + 1 - len(numbers):
        last = next(k for k, (one, two) in enumerate(pairwise(numbers)) if two > one + 1)
        which = f"{missing} frames are missing, the first after {names[last]}"
        problems.append(Problem("missing", f"{path}: {which}"))
    for k, name in enumerate(names):
        file = f"{path}/{name}"
        if not _looks_whole(file):
            problems.append(Problem("unreadable", f"{file}: empty, cut short or no image"))
        elif every_frame or k == len(names) // 2:
            try:
                read_image(file, 8)
            except InputError:
                problems.append(Problem("unreadable", f"{file}: damaged, it cannot be decoded"))
    return problems


def _looks_whole(path: str) -> bool:
    try:
        with Path(path).open("rb", buffering=0) as file:  # a buffer would read far more than is looked at
            head = file.read(8)
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - 64))
            tail = file.read()
    except OSError:
        return False
    if head.startswith(b"\xff\xd8"):
        return b"\xff\xd9" in tail  # some writers pad the end
    if head.startswith(b"\x89PNG"):
        return b"IEND" in tail
    return head.startswith(b"BM")
