"""What `dferlib check-data` reports: what is in the folder of a public data set, and what is wrong with it."""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from dferlib.data.sets import BENCHMARKS, Benchmark, Problem
from dferlib.data.sets.files import inspect
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
    name: str, root: Path | str, layout: str | None = None, every_frame: bool = False, progress: bool = True
) -> Report:
    """Read all folds of a data set and compare it with itself and with the official figures.

    Args:
        name: one of `BENCHMARKS`, in any case.
        root: its folder.
        layout: which layout, where the folder holds several.
        every_frame: decode every image, not one of each clip.
        progress: show a bar.

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
            sources.append(kind(root, fold, split, layout=layout, strict=False))
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
