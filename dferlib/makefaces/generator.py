"""Making the clips of MakeFaces and writing them to disk, part by part.

A part holds four people with four clips each. Every clip draws from its own random stream, keyed by seed, split,
person and clip, so the bytes do not depend on how many workers share the work or where an interrupted run went on.

Run as a module it is one worker: `python -m dferlib.makefaces.generator FOLDER VERSION WORKER WORKERS SPLIT...`
"""

import hashlib
import os
import subprocess
import sys
import threading
import time
from functools import lru_cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from dferlib.data.store import facts_file, write_part
from dferlib.errors import InputError, choose
from dferlib.files import cache_dir, make_folder
from dferlib.makefaces.camera import Camera, film, sample_camera
from dferlib.makefaces.knobs import Knobs
from dferlib.makefaces.performance import DYNAMICS, Performance, perform, perform_dynamics, shape_weights
from dferlib.makefaces.protocol import CLIPS_PER_PERSON, SPLITS, Version

if TYPE_CHECKING:
    from dferlib.makefaces.render import Actor

SECONDS = 2.0  # length of a clip
HALF_WIDTH = 0.085  # metres from the middle of the picture to its edge: a tight crop, as the papers' sets have
TURN, SWAY = (0.17, 0.07, 0.04), (0.08, 0.05, 0.035)  # radians of yaw, pitch, roll: between clips and within one
LARGEST_TURN = 0.6
MOTION_UNIT = 1e-4  # metres: motion maps are stored in tenths of a millimetre


@lru_cache(maxsize=1)
def recipe() -> str:
    """A short hash of everything that decides the pixels: the code in this folder, the assets, compiled or not."""
    digest = hashlib.sha256(b"compiled" if find_spec("numba") else b"")
    folder = files("dferlib.makefaces")
    for item in sorted([*folder.iterdir(), *(folder / "assets").iterdir()], key=lambda f: f.name):
        if item.name.endswith((".py", ".npz")):
            digest.update(item.name.encode() + item.read_bytes())
    return digest.hexdigest()[:10]


def folder_of(root: Path | None, version: Version) -> Path:
    """Where a version of the data set lies under `root` (default: the cache folder)."""
    return (root or cache_dir()) / f"makefaces-{version.name}-{recipe()}"


def part_stem(folder: Path, split: str, part: int) -> Path:
    """Folder and beginning of the names of a part's files."""
    return folder / split / f"part-{part:04d}"


def draw_pose(frames: int, knobs: Knobs, rng: np.random.Generator) -> np.ndarray:
    """(T, 3) yaw, pitch and roll in radians: how the head is held, and how it moves meanwhile."""
    t = np.linspace(0, 1, frames)[:, None]
    held = rng.normal(0, TURN) * knobs.turn
    sway = rng.normal(0, SWAY) * knobs.sway * np.sin(t * rng.uniform(2, 7, 3) + rng.uniform(0, 6, 3))
    return np.clip(held + sway, -LARGEST_TURN, LARGEST_TURN).astype(np.float32)


def shoot(
    actor: "Actor",
    weights: np.ndarray,
    pose: np.ndarray,
    knobs: Knobs,
    rng: np.random.Generator,
    half_width: float = HALF_WIDTH,
) -> tuple[np.ndarray, dict[str, np.ndarray | float | str]]:
    """Film a person: light, framing, what comes in front of the face, the camera and its file.

    Args:
        actor: who, ready to render.
        weights: (T, 52) of the face shapes.
        pose: (T, 3) yaw, pitch and roll of the head in radians.
        knobs: how hard.
        rng: the source of every draw.
        half_width: metres on the face from the middle of the picture to its edge.

    Returns:
        (T, 3, S, S) uint8, and what is true of it, see `MakeFaces.truth`.
    """
    import torch

    from dferlib.makefaces.occluders import occlude, possible_kinds, sample_occluder
    from dferlib.makefaces.render import sample_scene

    frames = len(pose)
    scene = sample_scene(rng, frames, actor.size, half_width, knobs.misaligned, knobs.flicker)
    done = actor.render(weights, pose, scene)
    pictures, hidden = done.pictures, torch.zeros_like(done.face)
    kind = draw_occluder(knobs, rng)
    if kind in possible_kinds(actor.person):
        pictures, hidden = occlude(pictures, sample_occluder(kind, actor, rng), actor, pose, scene)
    else:
        kind = ""
    camera = sample_camera(knobs.camera, frames, actor.size, rng)
    hidden_share = (hidden * done.face).sum((1, 2)) / done.face.sum((1, 2)).clamp(min=1)
    return film(pictures, camera, rng).numpy(), {
        "pose": pose,
        "motion": (done.motion / MOTION_UNIT).round().clamp(0, 255).to(torch.uint8).cpu().numpy(),
        "landmarks": done.landmarks.cpu().numpy().astype(np.float32),
        "hidden": hidden_share.clamp(0, 1).cpu().numpy().astype(np.float32),
        "in_front": kind,
        "light": scene.light.astype(np.float32),
        "offset": scene.offset.astype(np.float32),
        **camera_truth(camera),
    }


def draw_occluder(knobs: Knobs, rng: np.random.Generator) -> str:
    """What comes in front of the face in a clip: one kind at most, "" for nothing."""
    kinds = ("glasses", "sunglasses", "hand", "hair")
    reached = np.cumsum([getattr(knobs, kind) for kind in kinds]) > rng.random()
    return kinds[int(reached.argmax())] if reached.any() else ""


def camera_truth(camera: Camera) -> dict[str, np.ndarray | float]:
    """What the camera did, as numbers: a quality of 100 stands for no compression."""
    return {
        "blur": camera.blur,
        "smear": camera.smear.astype(np.float32),
        "noise": camera.noise,
        "quality": 100.0 if camera.quality is None else float(camera.quality),
        "shrink": camera.shrink,
        "dropped": camera.dropped,
    }


def act(version: Version, label: int, rng: np.random.Generator) -> Performance:
    """Draw what a face does in a clip of one class."""
    name = version.classes[label]
    if version.task in DYNAMICS:
        return perform_dynamics(version.task, label, version.spec.frames, rng, version.knobs, SECONDS)
    return perform(name, version.spec.frames, rng, version.knobs, SECONDS)


def make_clip(
    actor: "Actor", version: Version, label: int, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, np.ndarray | float | str]]:
    """Draw and film one clip.

    Args:
        actor: a `render.Actor`.
        version: of the data set.
        label: which class.
        rng: the source of every draw.

    Returns:
        (T, 3, S, S) uint8, and what is true of it, see `MakeFaces.truth`.
    """
    performance = act(version, label, rng)
    pose = draw_pose(version.spec.frames, version.knobs, rng)
    pictures, seen = shoot(actor, shape_weights(performance, actor.action_index), pose, version.knobs, rng)
    return pictures, {**vars(performance), **seen}


def make_person(
    version: Version, split: str, person: int, device: str = "cpu"
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Film every clip of one person.

    Args:
        version: of the data set.
        split: one of `SPLITS`; no person is in two.
        person: number within the split.
        device: where to render.

    Returns:
        frames: (clips, T, 3, S, S) uint8.
        truth: arrays with a row a clip, the person's own facts among them.
    """
    from dferlib.makefaces.assets import load_head
    from dferlib.makefaces.identity import sample_identity
    from dferlib.makefaces.render import Actor

    key = [version.seed, SPLITS.index(choose("split", split, SPLITS)), person]
    identity = sample_identity(np.random.default_rng(key), load_head().shape_names)
    actor = Actor(identity, version.spec.picture, device)
    labels = version.labels(split)[CLIPS_PER_PERSON * person : CLIPS_PER_PERSON * (person + 1)]
    clips = [make_clip(actor, version, int(k), np.random.default_rng([*key, 1 + c])) for c, k in enumerate(labels)]
    facts = {"person": person, **identity.summary()}
    rows = [{"label": label, **facts, **truth} for label, (_, truth) in zip(labels, clips, strict=True)]
    return np.stack([frames for frames, _ in clips]), {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def make_part(folder: Path, version: Version, split: str, part: int) -> None:
    """Film the people of a part and write it."""
    people = [make_person(version, split, person) for person in version.parts(split)[part]]
    frames = np.concatenate([f for f, _ in people])
    truth = {name: np.concatenate([t[name] for _, t in people]) for name in people[0][1]}
    layers = {"frames": frames.reshape(-1, *frames.shape[2:])}
    layers["motion"] = truth.pop("motion").reshape(len(layers["frames"]), *frames.shape[3:])
    write_part(part_stem(folder, split, part), layers, np.full(len(frames), frames.shape[1]), truth)


def missing_parts(folder: Path, version: Version, splits: tuple[str, ...]) -> list[tuple[str, int]]:
    """The parts that are not finished yet."""
    every = [(split, part) for split in splits for part in range(len(version.parts(split)))]
    return [job for job in every if not facts_file(part_stem(folder, *job)).exists()]


def generate(
    version: Version,
    root: Path | None = None,
    splits: tuple[str, ...] = SPLITS,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Make what is missing of a version of the data set and print the rate.

    Args:
        version: which.
        root: folder to put it in; default the cache folder.
        splits: which of `SPLITS`.
        workers: processes; default one a core.
        progress: show a progress bar.

    Returns:
        The folder. It can be interrupted at any moment; the next call goes on with the parts that are missing.

    Raises:
        InputError: unknown split, a folder that cannot be written, or a worker that failed.
    """
    folder = folder_of(root, version)
    for split in splits:
        choose("split", split, SPLITS)
    todo = missing_parts(folder, version, splits)
    if not todo:
        return folder
    make_folder(folder)
    spec = version.spec
    frames_in = {job: len(version.parts(job[0])[job[1]]) * CLIPS_PER_PERSON * spec.frames for job in todo}
    start = time.perf_counter()
    title = f"MakeFaces {version.size}, {version.task}, {version.difficulty}, {spec.picture} px"
    with tqdm(total=sum(frames_in.values()), unit="frame", desc=title, disable=not progress) as bar:
        _run_workers(folder, version, splits, min(workers or os.cpu_count() or 1, len(todo)), frames_in, bar)
    seconds, count = time.perf_counter() - start, sum(frames_in.values())
    if progress:
        print(f"{title}: {count} frames in {seconds:.0f} s, {count / seconds:.0f} frames/s")
    return folder


def _run_workers(
    folder: Path,
    version: Version,
    splits: tuple[str, ...],
    workers: int,
    frames_in: dict[tuple[str, int], int],
    bar: tqdm,
) -> None:
    """Start the workers and watch the parts appear. They end with this process, however it ends."""
    command = [sys.executable, "-m", "dferlib.makefaces.generator", str(folder), version.to_json()]
    running = [
        # the open pipe is the leash: when this process dies, the worker reads its end and stops
        subprocess.Popen(
            [*command, str(k), str(workers), *splits], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for k in range(workers)
    ]
    waiting = set(frames_in)
    try:
        while waiting:
            alive = any(process.poll() is None for process in running)
            done = {job for job in waiting if facts_file(part_stem(folder, *job)).exists()}
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


def _work(folder: Path, version: Version, worker: int, workers: int, splits: tuple[str, ...]) -> None:
    """One worker: every `workers`-th part, where it is missing."""
    import torch

    torch.set_num_threads(1)
    every = [(split, part) for split in splits for part in range(len(version.parts(split)))]
    for split, part in every[worker::workers]:
        if not facts_file(part_stem(folder, split, part)).exists():
            make_part(folder, version, split, part)


def _leash() -> None:
    sys.stdin.read()
    os._exit(1)


def main(arguments: list[str]) -> int:
    """The worker's command line."""
    folder, version, worker, workers, *splits = arguments
    threading.Thread(target=_leash, daemon=True).start()
    try:
        _work(Path(folder), Version.from_json(version), int(worker), int(workers), tuple(splits))
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
