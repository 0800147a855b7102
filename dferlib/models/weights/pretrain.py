"""Make `slim_resnet_makefaces.safetensors`: the small backbone that every book-scale model starts from.

At book scale nothing is learnt from scratch: 1,000 clips are too few for a network to find out what a face is. So
the backbone first learns to measure action units, head pose and gaze on single rendered frames of people who are in
no split of MakeFaces. This is supervision from the same generator; the book says so wherever it matters.

    python -m dferlib.models.weights.pretrain            (about fifteen minutes on two cores)
"""

import json
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

from dferlib.data.makefaces.actions import DISTRACTORS, UNITS, VARIANTS
from dferlib.data.makefaces.assets import load_head
from dferlib.data.makefaces.generator import TURN, recipe, shoot
from dferlib.data.makefaces.identity import sample_identity
from dferlib.data.makefaces.knobs import DIFFICULTIES
from dferlib.data.makefaces.performance import face_shapes
from dferlib.data.makefaces.render import Actor
from dferlib.files import cache_dir, make_folder, written_whole
from dferlib.models.backbones import FACE_MEAN, FACE_STD, SlimResNet

PEOPLE, HELD_OUT = 1200, 100
FRAMES_PER_PERSON, FRAMES_PER_LIGHT = 16, 4
PICTURE, CROP = 64, 56
EPOCHS, BATCH, RATE, DECAY = 16, 64, 2e-3, 0.05
TARGETS = (*UNITS, "yaw", "pitch", "roll", "gaze right", "gaze up")
MIRROR = torch.tensor([-1.0 if t in ("yaw", "roll", "gaze right") else 1.0 for t in TARGETS])


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


def render_person(person: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames (N, 3, S, S) uint8 of one person and their targets (N, len(TARGETS))."""
    torch.set_num_threads(1)
    rng = np.random.default_rng([0, 9, person])  # 9 is the number of no split
    actor = Actor(sample_identity(rng, load_head().shape_names), PICTURE)
    frames, targets = [], []
    for _ in range(FRAMES_PER_PERSON // FRAMES_PER_LIGHT):
        n = FRAMES_PER_LIGHT
        units = np.stack([draw_units(rng) for _ in range(n)])
        pose = rng.normal(0, 1.2 * np.array(TURN), (n, 3)).clip(-0.6, 0.6)
        gaze = rng.normal(0, 0.2, (n, 2)).clip(-0.6, 0.6)
        weights = face_shapes(units, gaze, rng.normal(0, 0.07, len(UNITS)), actor.action_index)
        frames.append(shoot(actor, weights, pose.astype(np.float32), DIFFICULTIES["standard"], rng)[0])
        targets.append(np.concatenate([units, pose, gaze], 1))
    return np.concatenate(frames), np.concatenate(targets).astype(np.float32)


def render(workers: int) -> tuple[Tensor, Tensor]:
    """Every frame and target, rendered once and kept in the cache folder."""
    file = make_folder(cache_dir()) / f"pretraining-{recipe()}-{PEOPLE}x{FRAMES_PER_PERSON}.npz"
    if not file.exists():
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            rendered = list(tqdm(pool.map(render_person, range(PEOPLE), chunksize=4), total=PEOPLE, desc="people"))
        with written_whole(file) as path:
            np.savez(
                path, frames=np.concatenate([f for f, _ in rendered]), targets=np.concatenate([t for _, t in rendered])
            )
    with np.load(file) as data:
        return torch.from_numpy(data["frames"]), torch.from_numpy(data["targets"])


def augment(frames: Tensor, targets: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Crop each frame at random, mirror half of them (targets too), change brightness and contrast."""
    n = len(frames)
    corner = torch.randint(PICTURE - CROP + 1, (n, 2), generator=random)
    crops = torch.stack([f[:, y : y + CROP, x : x + CROP] for f, (y, x) in zip(frames, corner.tolist(), strict=True)])
    mirrored = torch.rand(n, generator=random) < 0.5
    crops[mirrored] = crops[mirrored].flip(-1)
    targets = torch.where(mirrored[:, None], targets * MIRROR, targets)
    gain = 0.75 + 0.5 * torch.rand(n, 1, 1, 1, generator=random)
    shift = 0.6 * torch.rand(n, 1, 1, 1, generator=random) - 0.3
    return standardise(crops) * gain + shift, targets


def standardise(frames: Tensor) -> Tensor:
    """uint8 to the backbone's input."""
    return (frames.float() / 255 - FACE_MEAN[0]) / FACE_STD[0]


def r2(net: nn.Module, frames: Tensor, targets: Tensor) -> Tensor:
    """(len(TARGETS),) the share of each target's variance that the network explains."""
    edge = (PICTURE - CROP) // 2
    net.eval()
    with torch.no_grad():
        out = [net(standardise(f[:, :, edge : edge + CROP, edge : edge + CROP])) for f in frames.split(256)]
    return 1 - ((torch.cat(out) - targets) ** 2).mean(0) / targets.var(0)


def main() -> None:
    """Render, train, print how well each target is measured on people who were held out, write the weights."""
    torch.manual_seed(0)
    frames, targets = render(workers=2)
    mean, std = targets.mean(0), targets.std(0)
    targets = (targets - mean) / std
    cut = (PEOPLE - HELD_OUT) * FRAMES_PER_PERSON
    backbone = SlimResNet()
    head = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(backbone.out_channels * 16, len(TARGETS)))
    net = nn.Sequential(backbone, head).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    steps = EPOCHS * (cut // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.1)
    random = torch.Generator().manual_seed(0)
    for epoch in range(EPOCHS):
        net.train()
        start, total = time.perf_counter(), 0.0
        order = torch.randperm(cut, generator=random)[: cut // BATCH * BATCH]
        for batch in order.split(BATCH):
            x, y = augment(frames[batch], targets[batch], random)
            loss = (net(x.contiguous(memory_format=torch.channels_last)) - y).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        score = r2(net, frames[cut:], targets[cut:])
        print(
            f"epoch {epoch + 1}: loss {total / (cut // BATCH):.3f}, held-out R2 median {score.median():.3f}, "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
    scores = dict(zip(TARGETS, [round(float(s), 3) for s in score], strict=True))
    print(json.dumps(scores, indent=1))
    about = {
        "made_by": "dferlib/models/weights/pretrain.py",
        "recipe": recipe(),
        "people": str(PEOPLE - HELD_OUT),
        "frames": str(cut),
        "epochs": str(EPOCHS),
        "held_out_r2": json.dumps(scores),
    }
    with written_whole(Path(__file__).with_name("slim_resnet_makefaces.safetensors")) as path:
        save_file({name: t.contiguous() for name, t in backbone.state_dict().items()}, path, metadata=about)


if __name__ == "__main__":
    main()
