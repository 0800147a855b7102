"""A public data set as a packed store: every frame decoded, scaled and, where wanted, aligned once, not in every epoch.

The store is a folder: `pack.json` says what it was made from, the parts hold the clips. A part is finished or absent,
and its bytes depend on the data set and the settings alone: packing can be stopped at any moment, by any means, goes on
where it was, and ends with the same files.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from dferlib.data.packed import LANDMARKS, MANIFEST, SKIPPED, TABLE, PackedClips, part_stem, read_manifest
from dferlib.data.sets import BENCHMARKS, Benchmark
from dferlib.data.sets.base import LISTED
from dferlib.data.sets.files import (
    Root,
    frame_names,
    image_size,
    in_square,
    is_video,
    read_clip,
    read_image,
    read_landmarks,
)
from dferlib.data.store import ClipStore, PartArrays, facts_file, write_part
from dferlib.devices import AT_ONCE, do_jobs, start_workers
from dferlib.errors import InputError, choose
from dferlib.files import make_folder, written_whole
from dferlib.video.faces.aligning import align as align_face
from dferlib.video.faces.landmarks import landmarks_file
from dferlib.video.reading import read_video

PART_FRAMES = 2048  # a part is closed when it has so many: 100 MB in memory with 128 pixels
SIDES = (8, 1024)  # pixels


@dataclass(frozen=True)
class _Job:
    """What it takes to make one part, in whatever process."""

    stem: Path
    root: Path
    links: tuple[Path, ...]
    rows: pd.DataFrame
    size: int
    align: bool
    landmarks: list[list[str]]  # for each clip the file of each frame; empty if none are kept


def pack(
    name: str,
    root: Path | str,
    out: Path | str,
    size: int = 128,
    align: bool = False,
    layout: str | None = None,
    workers: int | None = None,
    progress: bool = True,
    executor: Executor | None = None,
    links: Iterable[Path | str] = (),
) -> "PackedClips":
    """Pack every clip of a data set, with all of its folds, or go on with a packing that was stopped.

    Clips that cannot be read are left out; `skipped.txt` in the folder lists them and why. Landmarks that come with a
    set (CK+) are kept too, unless the faces are aligned.

    Args:
        name: one of `BENCHMARKS`, in any case.
        root: its folder.
        out: the folder of the packed store; made if it is not there.
        size: side of the packed frames in pixels; a model with inputs of 112 pixels wants 128.
        align: find the face in each clip and cut it out as MakeFaces frames its faces, see
            `dferlib.video.faces.aligning`. A clip in which no face is found counts as one that cannot be read.
            Otherwise the middle square is taken.
        layout: which layout, where the folder holds several.
        workers: processes; one a core if not given. With 1, everything happens in this one.
        progress: show a bar, and say how large the store becomes.
        executor: reads the clips instead, anything with the interface of `concurrent.futures`. All of its machines must
            see `root` at the same path; the parts are written here. `workers` is how many it is given at a time.
        links: folders elsewhere into which symbolic links may lead; no others are followed.

    Returns:
        All clips.

    Raises:
        InputError: no such data set or folder, `out` holds another store, the disk is too small, or nothing is left.
    """
    source = _open(name, root, size, layout, links)
    if align:
        landmarks_file()  # what is missing is told before anything is read
    folder = make_folder(Path(out))
    todo = [job for job in _plan(folder, source, size, align) if not facts_file(job.stem).exists()]
    _check_space(folder, source, todo, progress)
    count = workers or (AT_ONCE if executor else os.cpu_count() or 1)
    _make(todo, count, executor, f"packing {source.name} at {size} px", progress)
    for left in folder.glob(".part-*.tmp.*"):  # by whoever was killed
        left.unlink()
    _list_skipped(folder, source)
    return PackedClips(folder, split="all")


def _open(name: str, root: Path | str, size: int, layout: str | None, links: Iterable[Path | str]) -> Benchmark:
    """The data set, whose clips need not all be there."""
    if not SIDES[0] <= size <= SIDES[1]:
        raise InputError(f"the size is {size} pixels: give {SIDES[0]} to {SIDES[1]}")
    names = {known.lower(): known for known in BENCHMARKS}
    kind = BENCHMARKS[choose("data set", names.get(name.lower(), name), BENCHMARKS)]
    source = kind(root, split="all", layout=layout, size=size, strict=False, links=links)
    if not len(source):
        first = source.problems[0].text if source.problems else "its lists are empty"
        raise InputError(f"{kind.name}: no clip can be used in {source.root.path}; {first}")
    return source


def _plan(folder: Path, source: Benchmark, size: int, align: bool) -> list[_Job]:
    """All parts of a store, whose folder is claimed for them."""
    listed = _splits_of_folds(source)
    rows, bounds = _with_folds(source, listed), _bounds(source.table.frames)
    points = [] if align else [source.landmark_files(k) for k in range(len(source))]
    if not any(points):
        points = []
    _claim(folder, _manifest(source, rows, listed, len(bounds), align, bool(points)))
    root = source.root
    return [
        _Job(part_stem(folder, k), root.path, root.links, rows.iloc[low:high], size, align, points[low:high])
        for k, (low, high) in bounds
    ]


def _splits_of_folds(source: Benchmark) -> dict[int, dict[str, str]]:
    """The split of every listed clip, by its id, in each fold whose lists are there."""
    found = {1: {clip.id: clip.split for clip in source.listed}}
    for fold in range(2, source.FOLDS + 1):
        try:
            found[fold] = source.splits_in(fold)
        except InputError as error:
            source.note("missing", f"fold {fold}: {error}")
    return found


def _with_folds(source: Benchmark, listed: dict[int, dict[str, str]]) -> pd.DataFrame:
    """The table with a column for the split in each fold."""
    rows = source.table.rows.drop(columns="split")
    return rows.assign(**{f"split {fold}": rows["id"].map(splits).fillna("") for fold, splits in listed.items()})


def _bounds(frames: np.ndarray) -> list[tuple[int, tuple[int, int]]]:
    """The number of each part, its first clip and the one after its last."""
    starts, inside = [0], 0
    for k, count in enumerate(frames.tolist()):
        if inside and inside + count > PART_FRAMES:
            starts.append(k)
            inside = 0
        inside += count
    return list(enumerate(zip(starts, [*starts[1:], len(frames)], strict=True)))


def _manifest(
    source: Benchmark,
    rows: pd.DataFrame,
    listed: dict[int, dict[str, str]],
    parts: int,
    align: bool,
    landmarks: bool,
) -> dict[str, Any]:
    folds = list(listed)
    splits = sha256(rows[[f"split {fold}" for fold in folds]].to_csv().encode()).hexdigest()[:16]
    return {
        **{"data": source.name, "layout": source.layout, "size": source.size, "aligned": align},
        **{"classes": list(source.classes), "splits": list(source.SPLITS), "folds": folds, "parts": parts},
        **{"source": source.fingerprint, "lists": splits},
        # how many clips should be there
        **{LISTED: {str(fold): dict(Counter(found.values())) for fold, found in listed.items()}},
        **({LANDMARKS: True} if landmarks else {}),
    }


def _claim(folder: Path, manifest: dict[str, Any]) -> None:
    """Write what the folder is to hold, or compare it with what it holds already."""
    path = folder / MANIFEST
    if not path.exists():
        if any(folder.glob("part-*")):
            raise InputError(f"{folder} holds parts of something else: choose an empty folder")
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        return
    there = read_manifest(folder)
    for key, wanted in manifest.items():
        if there.get(key) != wanted:
            what = f"is packed with {key} {there.get(key)!r}, not {wanted!r}"
            if key in ("source", "lists", LISTED):
                what = "is out of date: the files of the data set have changed since it was packed"
            raise InputError(f"{folder} {what}; choose another folder")


def _check_space(folder: Path, source: Benchmark, todo: list[_Job], progress: bool) -> None:
    clip = 3 * (source.size or 0) ** 2
    needed, free = (sum(int(job.rows["frames"].sum()) for job in todo) * clip, shutil.disk_usage(folder).free)
    if needed > free:
        raise InputError(f"{folder} needs {needed / 1e9:.1f} GB more and the disk has {free / 1e9:.1f} GB: free some")
    if progress and todo:
        whole = int(source.table.frames.sum())
        rest = "" if needed == whole * clip else f", {needed / 1e9:.2f} GB of it still to come"
        print(f"{source.name}: {len(source)} clips, {whole} frames, {whole * clip / 1e9:.2f} GB{rest}", flush=True)


def _make(todo: list[_Job], count: int, executor: Executor | None, title: str, progress: bool) -> None:
    """Make parts, each in whatever process has time; this one writes them."""
    total = sum(int(job.rows["frames"].sum()) for job in todo)
    with (
        tqdm(total=total, unit="frame", desc=title, delay=2, disable=not progress) as bar,
        start_workers(min(count, len(todo)), executor, script=False) as pool,
    ):
        for job, part in do_jobs(pool, _read_part, partial(next, iter(todo), None), count):
            write_part(job.stem, *part)
            bar.update(int(job.rows["frames"].sum()))


def _read_part(job: _Job) -> PartArrays:
    """Read the clips of a part; a clip that cannot be read becomes one of no frames, with the reason."""
    if job.align:
        landmarks_file()  # an executor's machine may lack it, or the folder
    root, clips, problems = Root(job.root, job.links), [], []
    nothing = np.empty((0, 3, job.size, job.size), dtype=np.uint8)
    for path, count in zip(job.rows["path"], job.rows["frames"], strict=True):
        where = str(root.path / path)
        try:
            clip = _aligned(root, where, job.size) if job.align else None
            clips.append(read_clip(root, where, count, np.arange(count), job.size) if clip is None else clip)
            problems.append("")
        except InputError as error:
            clips.append(nothing)
            problems.append(str(error))
    facts = {f"{TABLE}{name}": _plain(column) for name, column in job.rows.items()}
    lengths, layers = [len(clip) for clip in clips], {"frames": np.concatenate(clips)}
    if job.landmarks:
        found = [_landmarks(root, job, k, count) for k, count in enumerate(lengths)]
        layers[LANDMARKS] = np.concatenate([points for points, _ in found])
        problems = [problem or other for problem, (_, other) in zip(problems, found, strict=True)]
    return layers, lengths, {**facts, "problem": np.array(problems)}


def _landmarks(root: Root, job: _Job, clip: int, count: int) -> tuple[np.ndarray, str]:
    """The landmarks (F, 68, 2) of a clip in pixels of the packed frames, and what was wrong; nan if anything was."""
    nothing = np.full((count, 68, 2), np.nan, np.float32)
    if not count:
        return nothing, ""
    folder = root.inside(str(job.rows["path"].iloc[clip]))
    try:
        if len(job.landmarks[clip]) != count:
            raise InputError(f"there are no landmarks for {folder}: unpack them again")
        points = np.stack([read_landmarks(root, path) for path in job.landmarks[clip]])
        wide, high = image_size(root.inside(folder, frame_names(root, folder)[0]))
    except InputError as error:
        return nothing, str(error)
    return in_square(points, wide, high, job.size).astype(np.float32), ""


def _plain(column: pd.Series) -> np.ndarray:
    """A column as numbers or as text: what a store keeps."""
    return column.to_numpy() if column.dtype.kind in "biuf" else column.to_numpy(dtype=str)


def _aligned(root: Root, path: str, size: int) -> np.ndarray:
    """A clip's face, (F, 3, size, size) uint8."""
    clip = align_face(lambda: _frames(root, path), size)
    if clip is None:
        raise InputError(f"no face is found in {path}: pack without alignment to keep such clips")
    return clip.transpose(0, 3, 1, 2)


def _frames(root: Root, path: str) -> Iterator[np.ndarray]:
    """The frames of a clip as they are, one by one, (H, W, 3) uint8."""
    if is_video(path):
        for _, frame in read_video(root.inside(path)):
            yield frame
        return
    for name in frame_names(root, root.inside(path)):
        yield read_image(root.inside(path, name), None).transpose(1, 2, 0)


def _list_skipped(folder: Path, source: Benchmark) -> None:
    store = ClipStore([part_stem(folder, k) for k in range(read_manifest(folder)["parts"])])
    listed = [f"{problem.kind}: {problem.text}" for problem in source.problems]
    listed += [f"unreadable: {text}" for text in store.facts("problem") if text]
    if not store.lengths.any():
        raise InputError(f"nothing in {source.root.path} could be packed; {listed[0]}")
    with written_whole(folder / SKIPPED) as temporary:
        temporary.write_text("".join(f"{' '.join(line.split())}\n" for line in listed), "utf-8", "backslashreplace")
