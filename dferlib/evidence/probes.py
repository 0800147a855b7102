"""Probes: does the library still do what made a record? A little of it is done again, on clips that never change.

A record of a run holds a probe: the losses of a few training steps and the logits that follow, with the model and the
configuration of the run, on a few small clips that come with the package, in float32 on one thread. The record is
current if the library gives the same today. So code may be renamed, moved and written anew, and no record looks old;
another schedule, augmentation, loss or layer is seen in the records that it concerns, and in no others.

`python -m dferlib.evidence.probes FILE` makes the clips anew, from MakeFaces. Other clips make every record old.
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dferlib.data.table import ArraySource, ClipTable
from dferlib.errors import InputError
from dferlib.evidence.source import BEHAVIOUR, digest_of
from dferlib.files import cache_dir, written_whole
from dferlib.models import create_model, list_models
from dferlib.training.checkpoints import save_model
from dferlib.training.config import TrainConfig
from dferlib.training.evaluation import evaluate
from dferlib.training.loop import train

CLIPS = Path(__file__).with_name("probe_clips.npz")
SIDE = 32  # pixels, of the clips in the file
EPOCHS, BATCH = 6, 3
LABELS = (0, 0, 1, 0, 1, 2)  # of the training clips: uneven, and both alike and different within a batch
# A whole network with batch normalisation that learns multiplies the rounding of one step up to ten times in the next:
# after twelve steps at its own rate, one thread and two differ by as much as two seeds. So it learns slower here.
WHOLE_RATE = 0.01
STRONGER_DECAY = 50.0  # weight decay, which a few steps would not show
SHIPPED = (None, "makefaces", "dlib")  # weights that need no download; a probe starts without others
# The largest difference between the probe of a record and today's that means nothing, see `difference`. Over the
# book's records torch 2.11 in place of 2.14 made 3e-6, and AVX2 in place of AVX-512 7e-5, in the network that rounds
# worst. The least that a change which the tests make does to a record that it concerns is 5e-4.
TOLERANCE = 3e-4
KEPT_SOURCES = 4  # versions of the library whose probes stay in the cache


@dataclass(frozen=True)
class Probe:
    """What came out.

    Attributes:
        losses: the mean training loss of each epoch.
        logits: of the test clips, `(N, C)`.
    """

    losses: list[float]
    logits: list[list[float]]


def probe(config: dict[str, Any], classes: int) -> Probe:
    """Train the model of a record for a few steps, as the record was trained, and evaluate it.

    It takes about a second, and none while the library's source is the same: the outcome is kept in the cache folder.

    Args:
        config: of a record: `model` and `train`.
        classes: how many.

    Raises:
        InputError: this library cannot build or train such a model here; weights that it starts from are not installed,
            for one.
    """
    plan = _plan(config, classes)
    if plan["model"]["name"] not in list_models():
        return _trained(plan)  # it says that there is no such model
    path = _cache_folder() / f"{_digest(json.dumps(plan, sort_keys=True).encode())}.json"
    if path.is_file():
        return Probe(**json.loads(path.read_text()))
    found = _trained_apart(plan) if int(os.environ.get("WORLD_SIZE", 1)) > 1 else _trained(plan)
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(asdict(found)))
    return found


def difference(one: Probe, other: Probe) -> float:
    """How much two probes differ: the largest difference of losses over their mean, or of logits over their spread.

    Infinite where one has other epochs, clips or classes, or is no number.
    """
    largest = 0.0
    for mine, theirs in ((one.losses, other.losses), (one.logits, other.logits)):
        a, b = np.asarray(mine, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
        if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
            return float("inf")
        largest = max(largest, float(np.abs(a - b).max() / max(np.sqrt(np.square(a).mean()), 1e-12)))
    return largest


def agree(one: dict[str, Any] | None, other: Probe) -> bool:
    """Whether the probe that a file holds, if it holds one, is the same as another but for rounding."""
    return one is not None and difference(Probe(**one), other) <= TOLERANCE


def to_dict(found: Probe) -> dict[str, Any]:
    """Plain values for JSON, with as many digits as float32 has."""

    def rounded(value: Any) -> Any:
        return [rounded(item) for item in value] if isinstance(value, list) else float(f"{value:.7g}")

    return {name: rounded(value) for name, value in asdict(found).items()}


def _plan(config: dict[str, Any], classes: int) -> dict[str, Any]:
    """What decides a probe. Seed, device, precision and the number of epochs do not."""
    model, given = config["model"], TrainConfig(**config["train"])
    overrides = dict(model.get("overrides", {}))
    if overrides.get("weights") not in SHIPPED:
        overrides["weights"] = None
    train = replace(
        given,
        epochs=EPOCHS,
        batch_size=BATCH,
        lr=given.lr * (WHOLE_RATE if given.backbone_lr_scale else 1.0),
        weight_decay=given.weight_decay * STRONGER_DECAY,
        milestones=[max(1, round(epoch * EPOCHS / given.epochs)) for epoch in given.milestones],
        seed=0,
        device="cpu",
        precision="32-true",
        compile=False,
        start="other weights" if given.start else "",
        select="val",
    )
    return {
        "model": {"name": model["name"], "scale": model["scale"], "overrides": overrides},
        "train": asdict(train),
        "classes": classes,
    }


def _trained(plan: dict[str, Any]) -> Probe:
    model, config = plan["model"], TrainConfig(**plan["train"])
    splits = fixed_clips(plan["classes"])

    def build(seed: int) -> Any:
        torch.manual_seed(seed)
        return create_model(model["name"], plan["classes"], model["scale"], **model["overrides"])

    with _one_thread(), _same_beginning(), torch.random.fork_rng(), TemporaryDirectory() as folder:
        if config.start:  # a checkpoint of the same model stands in for the one that the run started from
            config = replace(config, start=str(Path(folder) / "start.safetensors"))
            save_model(build(1), config.start, splits["train"].classes)
        net = build(0)
        history = train(net, splits["train"], splits["val"], config, progress=False)
        found = evaluate(net, splits["test"], device="cpu", per_segment=config.per_segment)
    return Probe([epoch.train_loss for epoch in history.epochs], found.logits.tolist())


def _trained_apart(plan: dict[str, Any]) -> Probe:
    """The same in a process of its own, which is none of those that `torchrun` has started."""
    alone = {key: value for key, value in os.environ.items() if key not in ("WORLD_SIZE", "RANK", "LOCAL_RANK")}
    command = [sys.executable, "-m", "dferlib.evidence.probes"]
    done = subprocess.run(command, input=json.dumps(plan), env=alone, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"the probe of {plan['model']['name']} failed: {done.stderr.strip().splitlines()[-1]}")
    return Probe(**json.loads(done.stdout.splitlines()[-1]))


def fixed_clips(classes: int) -> dict[str, ArraySource]:
    """The clips of all probes: six to learn from, three to choose by, three to test on, at 64 px.

    Args:
        classes: how many the labels are of.

    Returns:
        "train", "val" and "test".
    """
    with np.load(CLIPS, allow_pickle=False) as file:
        frames, lengths = file["frames"], file["lengths"]
    clips = np.split(frames.repeat(2, -1).repeat(2, -2), lengths.cumsum()[:-1])
    rows = pd.DataFrame({"id": [f"clip {k}" for k in range(len(clips))], "frames": lengths})
    rows["group"], rows["split"] = rows["id"], ["train"] * 6 + ["val"] * 3 + ["test"] * 3
    rows["label"] = np.array([*LABELS, *range(3), *range(3)]) % classes
    names = tuple(f"class {k}" for k in range(classes))
    found = {}
    for split in ("train", "val", "test"):
        part = rows[rows["split"] == split]
        found[split] = ArraySource(ClipTable(part, names), [clips[k] for k in part.index])
    return found


def make_clips(path: Path) -> None:
    """Write the clips that `fixed_clips` reads: one or two people's of each class, from MakeFaces, small."""
    from dferlib.data.transforms import resize
    from dferlib.makefaces import MakeFaces

    source, rng = MakeFaces("train", "mini"), np.random.default_rng(0)
    clips = []
    for label in np.arange(12) % len(source.classes):
        index = int(rng.choice(np.flatnonzero(source.table.labels == label)))
        count = int(source.table.frames[index])
        some = np.linspace(0, count - 1, rng.integers(10, 21)).round().astype(np.int64)
        clips.append(resize(torch.from_numpy(source.read(index, some))[None], SIDE)[0].numpy())
    with written_whole(path) as temporary:
        np.savez_compressed(temporary, frames=np.concatenate(clips), lengths=[len(clip) for clip in clips])


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _same_beginning() -> Iterator[None]:
    """Let `trunc_normal_` draw as it does from torch 2.14 on; before, the same seed gave other weights."""

    @torch.no_grad()
    def draw(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Tensor:
        return tensor.normal_(mean, std).clamp_(a, b)  # at some hundredths nothing is ever cut off

    real = nn.init.trunc_normal_
    nn.init.trunc_normal_ = draw  # type: ignore[assignment]
    try:
        yield
    finally:
        nn.init.trunc_normal_ = real


@cache
def _cache_folder() -> Path:
    """Where the probes of this source, these packages and this processor are kept; those of older sources are removed.

    Found once: a process does not change its source.
    """
    packages = [version(name) for name in ("torch", "torchvision", "numpy", "lightning")]
    made_by = [*packages, platform.processor(), platform.machine(), digest_of(BEHAVIOUR, Path(__file__).parents[1])]
    folder = cache_dir() / "probes" / _digest(json.dumps(made_by).encode())
    others = sorted(folder.parent.glob("*"), key=lambda one: one.stat().st_mtime) if folder.parent.is_dir() else []
    for old in [other for other in others if other != folder][:-KEPT_SOURCES]:
        rmtree(old, ignore_errors=True)
    return folder


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def main(arguments: Sequence[str]) -> None:
    """Make the clips in the file that is named, or the probe whose plan comes on standard input."""
    if arguments:
        make_clips(Path(arguments[0]))
    else:
        print(json.dumps(asdict(_trained(json.load(sys.stdin)))))


if __name__ == "__main__":
    main(sys.argv[1:])
