"""Making the clips of MakeFaces and writing them to disk, part by part.

A part holds four people with four clips each. Every clip draws from its own random stream, keyed by seed, split,
person and clip, so the bytes do not depend on how many workers share the work or where an interrupted run went on.
"""

import hashlib
import os
import time
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from dferlib.data.store import PartArrays, facts_file, write_part
from dferlib.devices import AT_ONCE, do_jobs, start_workers
from dferlib.errors import InputError, choose
from dferlib.files import cache_dir, make_folder
from dferlib.makefaces.blend_shapes import shape_weights
from dferlib.makefaces.camera import Camera, apply_camera, sample_camera
from dferlib.makefaces.knobs import Knobs
from dferlib.makefaces.performance import DYNAMICS, Performance, perform, perform_dynamics
from dferlib.makefaces.protocol import CLIPS_PER_PERSON, SPLITS, Version

if TYPE_CHECKING:
    from torch import Tensor

    from dferlib.makefaces.render import Actor, Rendered

SECONDS = 2.0  # length of a clip
FRAMES_A_PROCESS = 1500  # a process that begins, imports and loads the head takes as long as these
HALF_WIDTH = 0.085  # metres from the middle of the frame to its edge: a tight crop, as the papers' sets have
TURN, SWAY = (0.17, 0.07, 0.04), (0.08, 0.05, 0.035)  # radians of yaw, pitch, roll: between clips and within one
LARGEST_TURN = 0.6
LOWERED, TILTED = (0.10, 0.28), (0.06, 0.18)  # radians: pitch and roll of a head that hangs
MOTION_UNIT = 1e-4  # metres: motion maps are stored in tenths of a millimetre


@lru_cache(maxsize=1)
def source_hash() -> str:
    """A short hash of everything that decides the pixels: the code in this folder, the assets, compiled or not."""
    digest = hashlib.sha256(b"compiled" if find_spec("numba") else b"")
    folder = Path(__file__).parent
    for item in sorted(folder.rglob("*")):
        where = item.relative_to(folder)
        if item.suffix in (".py", ".npz") and where.parts[0] not in ("baking", "realism"):  # their results are assets
            digest.update(where.as_posix().encode() + item.read_bytes())
    return digest.hexdigest()[:10]


def folder_of(root: Path | None, version: Version) -> Path:
    """Where a version of the data set lies under `root` (default: the cache folder)."""
    return (root or cache_dir()) / f"makefaces-{version.name}-{source_hash()}"


def part_stem(folder: Path, split: str, part: int) -> Path:
    """Folder and beginning of the names of a part's files."""
    return folder / split / f"part-{part:04d}"


def sample_pose(frames: int, knobs: Knobs, rng: np.random.Generator) -> np.ndarray:
    """(F, 3) yaw, pitch and roll in radians: how the head is held, and how it moves meanwhile."""
    t = np.linspace(0, 1, frames)[:, None]
    held = rng.normal(0, TURN) * knobs.turn
    lowered, tilted, side = rng.uniform(*LOWERED), rng.uniform(*TILTED), rng.choice([-1, 1])
    if rng.random() < knobs.hanging:
        held += (0, lowered, side * tilted)
    sway = rng.normal(0, SWAY) * knobs.sway * np.sin(t * rng.uniform(2, 7, 3) + rng.uniform(0, 6, 3))
    return np.clip(held + sway, -LARGEST_TURN, LARGEST_TURN).astype(np.float32)


def render_clip(
    actor: "Actor",
    weights: np.ndarray,
    pose: np.ndarray,
    knobs: Knobs,
    rng: np.random.Generator,
    half_width: float = HALF_WIDTH,
    tears: float = 0.0,
) -> tuple[np.ndarray, dict[str, np.ndarray | float | str]]:
    """Render one clip of a person: light, framing, what comes in front of the face, the camera and its file.

    Args:
        actor: who, ready to render.
        weights: (F, 52) of the blend shapes.
        pose: (F, 3) yaw, pitch and roll of the head in radians.
        knobs: how hard.
        rng: the source of every draw.
        half_width: metres on the face from the middle of the frame to its edge.
        tears: how wet the cheeks are, 0 to 1.

    Returns:
        (F, 3, S, S) uint8, and what is true of it, see `MakeFaces.truth`.
    """
    import torch

    from dferlib.makefaces.occluders import occlude, possible_kinds, sample_occluder
    from dferlib.makefaces.scene import sample_scene

    scene = sample_scene(rng, len(pose), actor.size, half_width, misaligned=knobs.misaligned, flicker=knobs.flicker)
    done = actor.render(weights, pose, scene, tears)
    frames, hidden = done.frames, torch.zeros_like(done.face)
    kind = sample_occluder_kind(knobs, rng)
    if kind in possible_kinds(actor.person):
        frames, hidden = occlude(frames, sample_occluder(kind, actor, rng), actor, pose, scene)
    else:
        kind = ""
    camera = sample_camera(knobs.camera, len(pose), actor.size, rng)
    return apply_camera(frames, camera, rng).numpy(), {
        "pose": pose,
        **rendered_truth(done, hidden),
        "in_front": kind,
        "light": scene.light.astype(np.float32),
        "offset": scene.offset.astype(np.float32),
        **camera_truth(camera),
    }


def sample_occluder_kind(knobs: Knobs, rng: np.random.Generator) -> str:
    """What comes in front of the face in a clip: one kind at most, "" for nothing."""
    kinds = ("glasses", "sunglasses", "hand", "hair")
    reached = np.cumsum([getattr(knobs, kind) for kind in kinds]) > rng.random()
    return kinds[int(reached.argmax())] if reached.any() else ""


def rendered_truth(done: "Rendered", hidden: "Tensor") -> dict[str, np.ndarray]:
    """What the renderer knows of F frames, as numbers; `hidden` (F, S, S) is how much of each pixel is covered."""
    hidden_share = (hidden * done.face).sum((1, 2)) / done.face.sum((1, 2)).clamp(min=1)
    return {
        "motion": (done.motion / MOTION_UNIT).round().clamp(0, 255).byte().cpu().numpy(),
        "landmarks": done.landmarks.cpu().numpy().astype(np.float32),
        "hidden": hidden_share.clamp(0, 1).cpu().numpy().astype(np.float32),
    }


def camera_truth(camera: Camera) -> dict[str, np.ndarray | float]:
    """What the camera did, as numbers: a quality of 100 stands for no compression."""
    return {
        "blur": camera.blur,
        "smear": camera.smear.astype(np.float32),
        "noise": camera.noise,
        "quality": 100.0 if camera.quality is None else float(camera.quality),
        "shrink": camera.shrink,
        "dropped": camera.dropped,
        **{name: getattr(camera, name) for name in ("sharpen", "contrast", "gamma", "saturation")},
    }


def sample_performance(version: Version, label: int, rng: np.random.Generator) -> Performance:
    """Draw what a face does in a clip of one class."""
    name = version.classes[label]
    if version.task in DYNAMICS:
        return perform_dynamics(version.task, label, version.spec.frames, rng, version.knobs, SECONDS)
    return perform(name, version.spec.frames, rng, version.knobs, SECONDS)


def make_clip(
    actor: "Actor", version: Version, label: int, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, np.ndarray | float | str]]:
    """Draw and render one clip.

    Args:
        actor: a `render.Actor`.
        version: of the data set.
        label: which class.
        rng: the source of every draw.

    Returns:
        (F, 3, S, S) uint8, and what is true of it, see `MakeFaces.truth`.
    """
    performance = sample_performance(version, label, rng)
    pose = sample_pose(version.spec.frames, version.knobs, rng)
    weights = shape_weights(performance, actor.action_index)
    frames, seen = render_clip(actor, weights, pose, version.knobs, rng, tears=performance.tears)
    return frames, {**vars(performance), **seen}


def make_person(
    version: Version, split: str, person: int, device: str = "cpu"
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Render every clip of one person.

    Args:
        version: of the data set.
        split: one of `SPLITS`; no person is in two.
        person: number within the split.
        device: where to render.

    Returns:
        frames: (clips, F, 3, S, S) uint8.
        truth: arrays with a row a clip, the person's own facts among them.
    """
    from dferlib.makefaces.assets import load_head
    from dferlib.makefaces.identity import sample_identity
    from dferlib.makefaces.render import Actor

    key = [version.seed, SPLITS.index(choose("split", split, SPLITS)), person]
    identity = sample_identity(np.random.default_rng(key), load_head().shape_names)
    actor = Actor(identity, version.spec.side, device)
    labels = version.labels(split)[CLIPS_PER_PERSON * person : CLIPS_PER_PERSON * (person + 1)]
    clips = [make_clip(actor, version, int(k), np.random.default_rng([*key, 1 + c])) for c, k in enumerate(labels)]
    facts = {"person": person, **identity.summary()}
    rows = [{"label": label, **facts, **truth} for label, (_, truth) in zip(labels, clips, strict=True)]
    return np.stack([frames for frames, _ in clips]), {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def make_part(version: Version, split: str, part: int) -> PartArrays:
    """Render the people of a part; the bytes are those of one thread.

    Returns:
        What `write_part` takes.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        people = [make_person(version, split, person) for person in version.parts(split)[part]]
    finally:
        torch.set_num_threads(threads)
    frames = np.concatenate([f for f, _ in people])
    truth = {name: np.concatenate([t[name] for _, t in people]) for name in people[0][1]}
    layers = {"frames": frames.reshape(-1, *frames.shape[2:])}
    layers["motion"] = truth.pop("motion").reshape(len(layers["frames"]), *frames.shape[3:])
    return layers, np.full(len(frames), frames.shape[1]), truth


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
    executor: Executor | None = None,
) -> Path:
    """Make what is missing of a version of the data set and print the rate.

    Args:
        version: which.
        root: folder to put it in; default the cache folder.
        splits: which of `SPLITS`.
        workers: processes; default one a core, and fewer where they would take longer to begin than to render.
        progress: show a progress bar.
        executor: renders instead, anything with the interface of `concurrent.futures`; its machines need no folder,
            the parts are written here. `workers` is how many it is given at a time.

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
    spec, start = version.spec, time.perf_counter()
    frames = sum(len(version.parts(split)[part]) for split, part in todo) * CLIPS_PER_PERSON * spec.frames
    paying = min(os.cpu_count() or 1, 1 + frames // FRAMES_A_PROCESS)
    together = workers or (AT_ONCE if executor else paying)
    title = f"MakeFaces {version.size}, {version.task}, {version.difficulty}, {spec.side} px"
    next_job = partial(next, iter([_Job(source_hash(), version, *where) for where in todo]), None)
    with (
        tqdm(total=frames, unit="frame", desc=title, disable=not progress) as bar,
        start_workers(min(together, len(todo)), executor, script=False) as pool,
    ):
        for job, part in do_jobs(pool, _make, next_job, together):
            write_part(part_stem(folder, job.split, job.part), *part)
            bar.update(len(part[0]["frames"]))
    seconds = time.perf_counter() - start
    if progress:
        print(f"{title}: {frames} frames in {seconds:.0f} s, {frames / seconds:.0f} frames/s")
    return folder


@dataclass(frozen=True)
class _Job:
    """A part to make, in whatever process."""

    source_hash: str  # of the process that asks
    version: Version
    split: str
    part: int


def _make(job: _Job) -> PartArrays:
    if job.source_hash != source_hash():
        raise InputError("a worker would render other pixels: give it the same dferlib, and numba or none, as here")
    return make_part(job.version, job.split, job.part)
