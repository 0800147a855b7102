"""Making the clips of MakeFaces and writing them to disk, part by part.

A part holds four people with four clips each. Every clip draws from its own random stream, keyed by seed, split,
person and clip, so the bytes do not depend on how many workers share the work or where an interrupted run went on.

Run as a module it is one worker: `python -m dferlib.data.makefaces.generator FOLDER SIZE SEED WORKER WORKERS SPLIT...`
"""

import hashlib
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from dferlib import EMOTIONS
from dferlib.errors import InputError, choose
from dferlib.files import cache_dir, make_folder, written_whole

if TYPE_CHECKING:
    from torch import Tensor

    from dferlib.data.makefaces.render import Actor

SPLITS = ("train", "val", "test")
CLIPS_PER_PERSON = 4
PEOPLE_PER_PART = 4
SECONDS = 2.0  # length of a clip
HALF_WIDTH = 0.085  # metres from the middle of the picture to its edge: a tight crop, as the papers' sets have
MISALIGNED = 0.003  # metres, the spread of the crop's error
TURN, SWAY = (0.17, 0.07, 0.04), (0.08, 0.05, 0.035)  # radians of yaw, pitch, roll: between clips and within one


@dataclass(frozen=True)
class Size:
    """How large a version of the data set is.

    Attributes:
        picture: side of the stored square frames in pixels; models take a crop of 7/8 of it.
        frames: frames in a clip.
        people: people in train, val and test. Multiples of seven make the classes exactly equal.
    """

    picture: int
    frames: int
    people: tuple[int, int, int]


SIZES = {
    "mini": Size(64, 12, (35, 7, 21)),
    "book": Size(64, 12, (252, 49, 252)),
}


@lru_cache(maxsize=1)
def recipe() -> str:
    """A short hash of everything that decides the pixels: the code in this folder and the assets."""
    digest = hashlib.sha256()
    folder = files("dferlib.data.makefaces")
    for item in sorted([*folder.iterdir(), *(folder / "assets").iterdir()], key=lambda f: f.name):
        if item.name.endswith((".py", ".npz")):
            digest.update(item.name.encode() + item.read_bytes())
    return digest.hexdigest()[:10]


def folder_of(root: Path | None, size: str, seed: int) -> Path:
    """Where a version of the data set lies under `root` (default: the cache folder)."""
    return (root or cache_dir()) / f"makefaces-{choose('size', size, SIZES)}-seed{seed}-{recipe()}"


def parts_of(size: str, split: str) -> list[range]:
    """The people of each part of a split."""
    people = SIZES[choose("size", size, SIZES)].people[SPLITS.index(choose("split", split, SPLITS))]
    return [range(k, min(k + PEOPLE_PER_PART, people)) for k in range(0, people, PEOPLE_PER_PART)]


def part_files(folder: Path, split: str, part: int) -> tuple[Path, Path]:
    """The two files of a part: its frames and its truth. The truth is written last: it seals the part."""
    stem = folder / split / f"part-{part:04d}"
    return stem.with_suffix(".npy"), stem.with_suffix(".npz")


def make_person(
    size: str, split: str, person: int, seed: int, device: str = "cpu"
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Render every clip of one person.

    Args:
        size: one of `SIZES`.
        split: one of `SPLITS`; no person is in two.
        person: number within the split.
        seed: of the data set.
        device: where to render.

    Returns:
        frames: (clips, T, 3, S, S) uint8.
        truth: arrays with a row a clip: label, person, intensity, units (T, U), expression (T,), phase (T,),
            pose (T, 3), gaze (T, 2), and the person's own facts.
    """
    import torch

    from dferlib.data.makefaces.assets import load_head
    from dferlib.data.makefaces.identity import sample_identity
    from dferlib.data.makefaces.render import Actor

    spec, key = SIZES[size], [seed, SPLITS.index(split), person]
    identity = sample_identity(np.random.default_rng(key), load_head().shape_names)
    actor = Actor(identity, spec.picture, device)
    frames, rows = [], []
    for clip in range(CLIPS_PER_PERSON):
        label = (CLIPS_PER_PERSON * person + clip) % len(EMOTIONS)
        rng = np.random.default_rng([*key, 1 + clip])
        pictures, truth = make_clip(actor, EMOTIONS[label], spec.frames, rng)
        frames.append((pictures * 255).round().to(torch.uint8).cpu().numpy())
        rows.append({"label": label, "person": person, **truth, **identity.summary()})
    return np.stack(frames), {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def make_clip(
    actor: "Actor", emotion: str, frames: int, rng: np.random.Generator
) -> tuple["Tensor", dict[str, np.ndarray | float]]:
    """Draw and render one clip.

    Args:
        actor: a `render.Actor`.
        emotion: one of `EMOTIONS`.
        frames: T.
        rng: the source of every draw.

    Returns:
        (T, 3, S, S) float in [0, 1], and the truth: units, expression, phase, pose, gaze, intensity.
    """
    import torch

    from dferlib.data.makefaces.actions import perform, shape_weights
    from dferlib.data.makefaces.render import sample_scene

    performance = perform(emotion, frames, rng, SECONDS)
    t = np.linspace(0, 1, frames)[:, None]
    pose = rng.normal(0, TURN) + rng.normal(0, SWAY) * np.sin(t * rng.uniform(2, 7, 3) + rng.uniform(0, 6, 3))
    pose = np.clip(pose, -0.6, 0.6).astype(np.float32)
    scene = sample_scene(rng, frames, actor.size, HALF_WIDTH, MISALIGNED)
    pictures = actor.render(shape_weights(performance, actor.action_index), pose, scene).pictures
    grain = rng.standard_normal(pictures.shape, dtype=np.float32) * np.float32(rng.uniform(0.003, 0.02))
    pictures = (pictures + torch.from_numpy(grain).to(pictures.device)).clamp(0, 1)
    return pictures, {
        "units": performance.units,
        "expression": performance.expression,
        "phase": performance.phase,
        "pose": pose,
        "gaze": performance.gaze,
        "intensity": performance.intensity,
    }


def write_part(folder: Path, size: str, split: str, part: int, seed: int) -> None:
    """Render a part and write it: first the frames, then the truth with the frames' checksum."""
    people = [make_person(size, split, person, seed) for person in parts_of(size, split)[part]]
    frames = np.concatenate([f for f, _ in people])
    truth = {name: np.concatenate([t[name] for _, t in people]) for name in people[0][1]}
    frames_file, truth_file = part_files(folder, split, part)
    with written_whole(frames_file) as path:
        np.save(path, frames)
    digest = hashlib.sha256(frames_file.read_bytes()).hexdigest()
    with written_whole(truth_file) as path:
        np.savez_compressed(path, allow_pickle=False, sha256=np.array(digest), **truth)


def missing_parts(folder: Path, size: str, splits: tuple[str, ...]) -> list[tuple[str, int]]:
    """The parts that are not finished yet."""
    every = [(split, part) for split in splits for part in range(len(parts_of(size, split)))]
    return [job for job in every if not all(file.exists() for file in part_files(folder, *job))]


def generate(
    root: Path | None = None,
    size: str = "book",
    seed: int = 0,
    splits: tuple[str, ...] = SPLITS,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Make what is missing of a version of the data set and print the rate.

    Args:
        root: folder to put it in; default the cache folder.
        size: one of `SIZES`.
        seed: decides every pixel.
        splits: which of `SPLITS`.
        workers: processes; default one a core.
        progress: show a progress bar.

    Returns:
        The folder. It can be interrupted at any moment; the next call goes on with the parts that are missing.

    Raises:
        InputError: unknown size or split, a folder that cannot be written, or a worker that failed.
    """
    folder = folder_of(root, size, seed)
    for split in splits:
        choose("split", split, SPLITS)
    todo = missing_parts(folder, size, splits)
    if not todo:
        return folder
    make_folder(folder)
    spec = SIZES[size]
    frames_in = {job: len(parts_of(size, job[0])[job[1]]) * CLIPS_PER_PERSON * spec.frames for job in todo}
    start = time.perf_counter()
    title = f"MakeFaces {size}, {spec.picture} px"
    with tqdm(total=sum(frames_in.values()), unit="frame", desc=title, disable=not progress) as bar:
        _run_workers(folder, size, seed, splits, min(workers or os.cpu_count() or 1, len(todo)), todo, frames_in, bar)
    seconds, count = time.perf_counter() - start, sum(frames_in.values())
    if progress:
        print(
            f"MakeFaces {size}: {count} frames of {spec.picture} px in {seconds:.0f} s, {count / seconds:.0f} frames/s"
        )
    return folder


def _run_workers(
    folder: Path,
    size: str,
    seed: int,
    splits: tuple[str, ...],
    workers: int,
    todo: list[tuple[str, int]],
    frames_in: dict[tuple[str, int], int],
    bar: tqdm,
) -> None:
    """Start the workers and watch the parts appear. They end with this process, however it ends."""
    command = [sys.executable, "-m", "dferlib.data.makefaces.generator", str(folder), size, str(seed)]
    running = [
        # the open pipe is the leash: when this process dies, the worker reads its end and stops
        subprocess.Popen(
            [*command, str(k), str(workers), *splits], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for k in range(workers)
    ]
    waiting = set(todo)
    try:
        while waiting:
            alive = any(process.poll() is None for process in running)
            done = {job for job in waiting if all(file.exists() for file in part_files(folder, *job))}
            if done:
                bar.update(sum(frames_in[job] for job in done))
            waiting -= done
            failed = [process for process in running if process.poll()]
            if failed or (waiting and not done and not alive):
                lines = (failed[0].communicate()[1] if failed else "").strip().splitlines()
                raise InputError(lines[-1] if lines else f"a worker stopped before {folder} was finished; run it again")
            time.sleep(0.05)
    finally:
        for process in running:
            process.kill()
            process.communicate()


def _work(folder: Path, size: str, seed: int, worker: int, workers: int, splits: tuple[str, ...]) -> None:
    """One worker: every `workers`-th of the missing parts."""
    import torch

    torch.set_num_threads(1)
    every = [(split, part) for split in splits for part in range(len(parts_of(size, split)))]
    for split, part in every[worker::workers]:
        if not all(file.exists() for file in part_files(folder, split, part)):
            write_part(folder, size, split, part, seed)


def _leash() -> None:
    sys.stdin.read()
    os._exit(1)


def main(arguments: list[str]) -> int:
    """The worker's command line."""
    folder, size, seed, worker, workers, *splits = arguments
    threading.Thread(target=_leash, daemon=True).start()
    try:
        _work(Path(folder), size, int(seed), int(worker), int(workers), tuple(splits))
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
