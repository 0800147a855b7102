"""A public data set as a packed store: every frame decoded, scaled and, where wanted, aligned once, not in every epoch.

The store is a folder: `pack.json` says what it was made from, the parts hold the clips. A part is finished or absent,
and its bytes depend on the data set and the settings alone: packing can be stopped at any moment, by any means, goes on
where it was, and ends with the same files.
"""

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from dferlib.data.sets import BENCHMARKS, Benchmark
from dferlib.data.sets.base import Subsets
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
from dferlib.data.table import ClipTable
from dferlib.devices import AT_ONCE, do_jobs, start_workers
from dferlib.errors import InputError, choose
from dferlib.files import make_folder, written_whole
from dferlib.video.faces.aligning import align as align_face
from dferlib.video.faces.landmarks import landmarks_file
from dferlib.video.reading import read_video

MANIFEST, SKIPPED = "pack.json", "skipped.txt"
PART_FRAMES = 2048  # a part is closed when it has so many: 100 MB in memory with 128 pixels
SIDES = (8, 1024)  # pixels
LANDMARKS = "landmarks"
TABLE = "table:"  # what the names of facts begin with that are columns of the table


@dataclass(frozen=True)
class _Job:
    """What it takes to make one part, in whatever process."""

    stem: Path
    root: Path
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

    Returns:
        All clips.

    Raises:
        InputError: there is no such data set or folder, `out` holds another store, the disk is too small, or nothing
            can be packed.
    """
    source = _open(name, root, size, layout)
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


def is_packed(folder: Path | str) -> bool:
    """Whether a folder holds what `pack` writes."""
    return (Path(folder) / MANIFEST).is_file()


def _open(name: str, root: Path | str, size: int, layout: str | None) -> Benchmark:
    """The data set, whose clips need not all be there."""
    if not SIDES[0] <= size <= SIDES[1]:
        raise InputError(f"the size is {size} pixels: give {SIDES[0]} to {SIDES[1]}")
    names = {known.lower(): known for known in BENCHMARKS}
    kind = BENCHMARKS[choose("data set", names.get(name.lower(), name), BENCHMARKS)]
    source = kind(root, split="all", layout=layout, size=size, strict=False)
    if not len(source):
        first = source.problems[0].text if source.problems else "its lists are empty"
        raise InputError(f"{kind.name}: no clip can be used in {source.root.path}; {first}")
    return source


def _plan(folder: Path, source: Benchmark, size: int, align: bool) -> list[_Job]:
    """All parts of a store, whose folder is claimed for them."""
    rows, bounds = _with_folds(source), _bounds(source.table.frames)
    points = [] if align else [source.landmark_files(k) for k in range(len(source))]
    if not any(points):
        points = []
    _claim(folder, _manifest(source, rows, len(bounds), align, bool(points)))
    return [
        _Job(_stem(folder, k), source.root.path, rows.iloc[low:high], size, align, points[low:high])
        for k, (low, high) in bounds
    ]


def _with_folds(source: Benchmark) -> pd.DataFrame:
    """The table with a column for the split in each fold whose lists are there."""
    rows = source.table.rows.drop(columns="split").assign(**{"split 1": source.table.rows["split"]})
    for fold in range(2, source.FOLDS + 1):
        try:
            splits = source.splits_in(fold)
        except InputError as error:
            source.note("missing", f"fold {fold}: {error}")
            continue
        rows[f"split {fold}"] = rows["id"].map(splits).fillna("")
    return rows


def _bounds(frames: np.ndarray) -> list[tuple[int, tuple[int, int]]]:
    """The number of each part, its first clip and the one after its last."""
    starts, inside = [0], 0
    for k, count in enumerate(frames.tolist()):
        if inside and inside + count > PART_FRAMES:
            starts.append(k)
            inside = 0
        inside += count
    return list(enumerate(zip(starts, [*starts[1:], len(frames)], strict=True)))


def _stem(folder: Path, part: int) -> Path:
    return folder / f"part-{part:05d}"


def _manifest(source: Benchmark, rows: pd.DataFrame, parts: int, align: bool, landmarks: bool) -> dict[str, Any]:
    folds = [int(column.split()[1]) for column in rows.columns if column.startswith("split ")]
    splits = sha256(rows[[f"split {fold}" for fold in folds]].to_csv().encode()).hexdigest()[:16]
    return {
        **{"data": source.name, "layout": source.layout, "size": source.size, "aligned": align},
        **{"classes": list(source.classes), "splits": list(source.SPLITS), "folds": folds, "parts": parts},
        **{"source": source.fingerprint, "lists": splits},
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
    there = _read_manifest(folder)
    for key, wanted in manifest.items():
        if there.get(key) != wanted:
            what = f"is packed with {key} {there.get(key)!r}, not {wanted!r}"
            if key in ("source", "lists"):
                what = "is out of date: the files of the data set have changed since it was packed"
            raise InputError(f"{folder} {what}; choose another folder")


def _read_manifest(folder: Path) -> dict[str, Any]:
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
    root, clips, problems = Root(job.root), [], []
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
    store = ClipStore([_stem(folder, k) for k in range(_read_manifest(folder)["parts"])])
    listed = [f"{problem.kind}: {problem.text}" for problem in source.problems]
    listed += [f"unreadable: {text}" for text in store.facts("problem") if text]
    if not store.lengths.any():
        raise InputError(f"nothing in {source.root.path} could be packed; {listed[0]}")
    with written_whole(folder / SKIPPED) as temporary:
        temporary.write_text("".join(f"{' '.join(line.split())}\n" for line in listed), encoding="utf-8")


class PackedClips(Subsets):
    """One split of a data set that `pack` wrote, with the table, the folds and the classes of the original.

    Args:
        folder: the packed store.
        fold: which fold of the cross-validation, from 1.
        split: the name of a split, or "all".

    Raises:
        InputError: the folder holds no packed clips, is not finished, or has no such fold or split.
    """

    def __init__(self, folder: Path | str, fold: int = 1, split: str = "train") -> None:
        self.folder, self.fold, self.split = Path(folder), fold, split
        self.about = _read_manifest(self.folder)
        self.name, self.SPLITS = str(self.about["data"]), tuple(self.about["splits"])
        choose(f"split of {self.folder}", split, (*self.SPLITS, "all"))
        if fold not in self.about["folds"]:
            there = ", ".join(map(str, self.about["folds"]))
            raise InputError(f"{self.folder} has no fold {fold}: it has {there}")
        stems = [_stem(self.folder, k) for k in range(self.about["parts"])]
        if missing := sum(not facts_file(stem).exists() for stem in stems):
            remedy = "run the same `dferlib pack` again to go on"
            raise InputError(f"{self.folder} is not finished: {missing} of {len(stems)} parts are missing; {remedy}")
        self.store = ClipStore(stems)
        self.table = self._read_table()

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
