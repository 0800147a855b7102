"""Make `slim_resnet_makefaces.safetensors`: the small backbone that every book-scale model starts from.

At book scale nothing is learnt from scratch: 1,000 clips are too few for a network to find out what a face is. So
the backbone first learns to measure action units, head pose and gaze on single rendered frames of people who are in
no split of MakeFaces. This is supervision from the same generator; the book says so wherever it matters.

It sees every person at every difficulty, cropped tightly as MakeFaces is, and loosely, with hair and chin, as other
data sets are. How much of each target's variance it explains on people it never saw stands in the file, for both.

    python -m dferlib.training.pretraining            (about half an hour on two cores)
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from dferlib.data.transforms import center_crop, stored_size
from dferlib.files import cache_dir, make_folder, written_whole
from dferlib.makefaces.actions import DISTRACTORS, UNITS, VARIANTS
from dferlib.makefaces.assets import load_head
from dferlib.makefaces.blend_shapes import blend_shape_weights
from dferlib.makefaces.generator import HALF_WIDTH, LARGEST_TURN, TURN, render_clip, source_hash
from dferlib.makefaces.identity import Identity, sample_identity
from dferlib.makefaces.knobs import DIFFICULTIES, Knobs
from dferlib.makefaces.render import Actor
from dferlib.models.backbones import FACE_MEAN, FACE_STD, SlimResNet

PEOPLE, HELD_OUT = 2960, 100
FRAMINGS = {"tight": HALF_WIDTH, "loose": 0.125}  # metres from the middle of the frame to its edge
FRAMES_PER_LIGHT = 3
CROP = 56
STORED_SIZE = stored_size(CROP)
STRETCH = 0.14  # of a crop's width and height, each by itself
EPOCHS, BATCH, RATE, DECAY = 20, 64, 2e-3, 0.05
HALF = torch.cpu.get_capabilities().get("avx512_bf16", False)  # bfloat16, where it is nearly twice as fast
TARGETS = (*UNITS, "yaw", "pitch", "roll", "gaze right", "gaze up")
MIRROR = torch.tensor([-1.0 if t in ("yaw", "roll", "gaze right") else 1.0 for t in TARGETS])
WEIGHTS = Path(__file__).parents[1] / "models" / "weights" / "slim_resnet_makefaces.safetensors"


@dataclass(frozen=True)
class Examples:
    """Single frames and what is true of them.

    Attributes:
        frames: (N, 3, S, S) uint8.
        targets: (N, len(TARGETS)), float32.
        framing: (N,) index into `FRAMINGS`.
    """

    frames: Tensor
    targets: Tensor
    framing: Tensor

    def __getitem__(self, which: slice | Tensor) -> "Examples":
        return Examples(self.frames[which], self.targets[which], self.framing[which])


def draw_units(rng: np.random.Generator) -> np.ndarray:
    """(U,) action units of one frame: an expression at any strength, unrelated units on top, sometimes closed eyes."""
    units = np.zeros(len(UNITS), dtype=np.float32)
    variants = VARIANTS[list(VARIANTS)[rng.integers(len(VARIANTS))]]
    recipes = [(variants[rng.integers(len(variants))], rng.uniform(0, 1))] if rng.random() < 0.75 else []
    recipes += [(recipe_, rng.uniform(0, 1)) for chance, recipe_ in DISTRACTORS if rng.random() < chance / 2]
    for name in rng.choice(UNITS, rng.integers(0, 5), replace=False):
        recipes.append(({name: 1.0}, rng.uniform(0, 0.8)))
    for recipe_, strength in recipes:
        for name, weight in recipe_.items():
            units[UNITS.index(name)] += weight * strength * rng.uniform(0.75, 1.25)
    return units.clip(0, 1)


def sharp(knobs: Knobs) -> Knobs:
    """The same without lost frames: each would show what the frame before it did, with targets of its own."""
    return replace(knobs, camera=replace(knobs.camera, dropped=0.0))


def render_person(
    person: int,
    reshape: Callable[[Identity, np.random.Generator], Identity] | None = None,
    simplify: Callable[[Knobs], Knobs] | None = None,
) -> dict[str, np.ndarray]:
    """The fields of `Examples` for one person: `FRAMES_PER_LIGHT` frames of each framing at each difficulty.

    Everything that makes clips hard, occlusion, blur, noise and compression among it, comes from the generator.

    Args:
        person: number of the person.
        reshape: gives the person another face, for experiments.
        simplify: takes something out of each difficulty, for experiments.
    """
    torch.set_num_threads(1)
    rng = np.random.default_rng([0, 9, person])  # 9 is the number of no split
    identity = sample_identity(rng, load_head().shape_names)
    actor = Actor(reshape(identity, np.random.default_rng([1, 9, person])) if reshape else identity, STORED_SIZE)
    frames, targets, framings = [], [], []
    n = FRAMES_PER_LIGHT
    for framing, knobs in product(range(len(FRAMINGS)), DIFFICULTIES.values()):
        units = np.stack([draw_units(rng) for _ in range(n)])
        pose = rng.normal(0, 1.2 * np.array(TURN), (n, 3)).clip(-LARGEST_TURN, LARGEST_TURN)
        gaze = rng.normal(0, 0.2, (n, 2)).clip(-0.6, 0.6)
        weights = blend_shape_weights(units, gaze, rng.normal(0, 0.07, len(UNITS)), actor.action_index)
        half_width = list(FRAMINGS.values())[framing]
        knobs = sharp(simplify(knobs) if simplify else knobs)
        frames.append(render_clip(actor, weights, pose.astype(np.float32), knobs, rng, half_width)[0])
        targets.append(np.concatenate([units, pose, gaze], 1))
        framings.append(np.full(n, framing))
    parts = {"frames": frames, "targets": targets, "framing": framings}
    done = {name: np.concatenate(part) for name, part in parts.items()}
    return {**done, "targets": done["targets"].astype(np.float32)}


def render(people: int, workers: int) -> Examples:
    """Every example of people 0 to `people`, person by person, rendered once and kept in the cache folder."""
    file = make_folder(cache_dir()) / f"pretraining-{source_hash()}-{people}.npz"
    if not file.exists():
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            rendered = list(tqdm(pool.map(render_person, range(people), chunksize=4), total=people, desc="people"))
        with written_whole(file) as path:
            np.savez(path, allow_pickle=False, **joined(rendered))
    with np.load(file) as data:
        return examples_of(data)


def joined(people: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The fields of `Examples` for some people, from those of each."""
    return {name: np.concatenate([one[name] for one in people]) for name in people[0]}


def examples_of(fields: Mapping[str, np.ndarray]) -> Examples:
    """The fields of `Examples` as tensors."""
    return Examples(*(torch.from_numpy(fields[name]) for name in ("frames", "targets", "framing")))


def augment(frames: Tensor, targets: Tensor, random: torch.Generator, disguised: bool = True) -> tuple[Tensor, Tensor]:
    """Crop each frame at random, stretched by up to `STRETCH`; mirror half, and their targets; disguise them."""
    n = len(frames)
    mirrored = torch.rand(n, generator=random) < 0.5
    targets = torch.where(mirrored[:, None], targets * MIRROR, targets)
    size = CROP / STORED_SIZE * (1 + STRETCH * (2 * torch.rand(n, 2, generator=random) - 1))  # half a side: 1
    place = (2 * torch.rand(n, 2, generator=random) - 1) * (1 - size).clamp(min=0)
    where = torch.zeros(n, 2, 3)
    where[:, [0, 1], [0, 1]], where[:, :, 2] = size, place
    where[mirrored, 0] *= torch.tensor([-1.0, 1.0, 1.0])
    grid = nn.functional.affine_grid(where, [n, 3, CROP, CROP], align_corners=False)
    crops = nn.functional.grid_sample(frames.float(), grid, align_corners=False, padding_mode="border")
    return standardise(disguise(crops, random) if disguised else crops), targets


def disguise(crops: Tensor, random: torch.Generator) -> Tensor:
    """Other tone, colour, sharpness and grain, a fifth without colour: (N, 3, H, W), values from 0 to 255."""

    def draw(low: float, high: float, channels: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(len(crops), channels, 1, 1, generator=random)

    x = crops / 255
    x = x ** draw(0.75, 1.35)
    x = x + draw(-0.5, 1.0) * (x - nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False))
    middle = x.mean((1, 2, 3), keepdim=True)
    x = middle + draw(0.7, 1.4) * (x - middle) + draw(-0.12, 0.12) + draw(-0.06, 0.06, channels=3)
    grey = draw(0, 1) < 0.2
    x = torch.where(grey, x.mean(1, keepdim=True), x)
    grain = torch.empty_like(x[:, :1]).normal_(generator=random)
    return 255 * (x + draw(0, 0.03) * grain).clamp(0, 1)


def standardise(frames: Tensor) -> Tensor:
    """Values from 0 to 255 to the backbone's input."""
    return (frames.float() / 255 - FACE_MEAN[0]) / FACE_STD[0]


def r2(net: nn.Module, examples: Examples) -> Tensor:
    """(len(TARGETS),) the share of each target's variance that the network explains."""
    net.eval()
    with torch.no_grad():
        out = [net(standardise(center_crop(frames, CROP))) for frames in examples.frames.split(256)]
    targets = examples.targets
    return 1 - ((torch.cat(out) - targets) ** 2).mean(0) / targets.var(0, unbiased=False)


def fit(
    train: Examples, held_out: Examples, epochs: int, disguised: bool = True
) -> tuple[SlimResNet, dict[str, dict[str, float]]]:
    """Train a backbone.

    Args:
        train: what to learn from.
        held_out: other people.
        epochs: passes.
        disguised: whether tone, colour, sharpness and grain are drawn anew each time, see `disguise`.

    Returns:
        The backbone, and for each framing the share of each target's variance that it explains on the held-out people.
    """
    torch.manual_seed(0)
    mean, std = train.targets.mean(0), train.targets.std(0)
    train, held_out = (replace(part, targets=(part.targets - mean) / std) for part in (train, held_out))
    backbone, count = SlimResNet(), len(train.frames) // BATCH * BATCH
    head = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(backbone.out_channels * 16, len(TARGETS)))
    net = nn.Sequential(backbone, head).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, RATE, total_steps=epochs * (count // BATCH), pct_start=0.1
    )
    random = torch.Generator().manual_seed(0)
    for epoch in range(epochs):
        net.train()
        start, total = time.perf_counter(), 0.0
        for batch in torch.randperm(len(train.frames), generator=random)[:count].split(BATCH):
            x, y = augment(train.frames[batch], train.targets[batch], random, disguised)
            with torch.autocast("cpu", torch.bfloat16, enabled=HALF):
                out = net(x.contiguous(memory_format=torch.channels_last))
            loss = (out.float() - y).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * BATCH
        scores = {name: r2(net, held_out[held_out.framing == k]) for k, name in enumerate(FRAMINGS)}
        medians = ", ".join(f"{name} {float(score.median()):.3f}" for name, score in scores.items())
        seconds = time.perf_counter() - start
        print(f"epoch {epoch + 1}: loss {total / count:.3f}, median R2 {medians}, {seconds:.0f} s", flush=True)
    rounded = {
        name: dict(zip(TARGETS, [round(float(value), 3) for value in score], strict=True))
        for name, score in scores.items()
    }
    return backbone, rounded


def write(backbone: SlimResNet, path: Path, about: dict[str, str]) -> None:
    """Write the backbone's weights, and beside them what is said about them."""
    tensors = {name: tensor.contiguous() for name, tensor in backbone.state_dict().items()}
    with written_whole(path) as temporary:
        save_file(tensors, temporary, metadata={"made_by": "dferlib/training/pretraining.py", **about})


def main() -> None:
    """Render, train, print how well each target is measured on people who were held out, write the weights."""
    examples = render(PEOPLE + HELD_OUT, workers=2)
    cut = PEOPLE * len(examples.frames) // (PEOPLE + HELD_OUT)
    backbone, scores = fit(examples[:cut], examples[cut:], EPOCHS)
    print(json.dumps(scores, indent=1))
    about = {"recipe": source_hash(), "people": str(PEOPLE), "frames": str(cut), "epochs": str(EPOCHS)}
    write(backbone, WEIGHTS, {**about, "held_out_r2": json.dumps(scores)})


if __name__ == "__main__":
    main()
