"""Training and evaluation: one readable loop."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from dferlib.checkpoints import save_model
from dferlib.data.sampling import segment_indices
from dferlib.data.table import ArraySource, ClipSource
from dferlib.data.transforms import Augment, normalise, prepare
from dferlib.devices import DEVICES, pick_device
from dferlib.errors import InputError, choose
from dferlib.files import make_folder, written_whole
from dferlib.metrics import summary
from dferlib.models.base import ClipModel

LOSSES = ("cross_entropy", "label_smoothing", "compact")
PRECISIONS = ("auto", "32-true", "bf16-mixed")
CHECKPOINT = "best.safetensors"
HOLD_BYTES = 2**30  # clips that take no more than this are read once and kept in memory


@dataclass(frozen=True)
class TrainConfig:
    """How to train. The defaults are the recipe of the book-scale models.

    Args:
        epochs: passes over the training clips.
        batch_size: clips a step.
        lr: learning rate of everything but the backbone, for AdamW.
        backbone_lr_scale: what part of it the backbone gets; 0 freezes it (in evaluation mode).
        weight_decay: of AdamW.
        warmup: part of all steps in which the rate rises from 0, before it falls as half a cosine.
        clip_norm: largest norm of the gradient.
        loss: "cross_entropy", "label_smoothing" (0.1) or "compact" (STT, Eq. 17, beta 0.2).
        per_segment: consecutive frames of each segment of a clip (T of STT, 3.2); there are frames / T segments.
        seed: of the order of clips, their frames, augmentation and dropout.
        device: "auto", "cpu", "cuda" or "mps".
        precision: "auto" (bf16-mixed on a CUDA device, otherwise 32-true), "32-true" or "bf16-mixed".

    Raises:
        InputError: a name is unknown or a number is out of range.
    """

    epochs: int = 8
    batch_size: int = 32
    lr: float = 1e-3
    backbone_lr_scale: float = 0.5
    weight_decay: float = 0.05
    warmup: float = 0.1
    clip_norm: float = 1.0
    loss: str = "cross_entropy"
    per_segment: int = 1
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        choose("loss", self.loss, LOSSES)
        choose("device", self.device, DEVICES)
        choose("precision", self.precision, PRECISIONS)
        for name in ("epochs", "batch_size", "per_segment"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: it must be 1 or more")
        for name in ("lr", "clip_norm"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}: it must be above 0")
        for name in ("backbone_lr_scale", "weight_decay", "warmup", "seed"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}: it must not be negative")


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training clips came to. Accuracies and recalls run from 0 to 1."""

    epoch: int
    train_loss: float
    train_accuracy: float
    val_uar: float
    val_war: float
    seconds: float


@dataclass
class History:
    """The course of a training, epoch by epoch."""

    epochs: list[Epoch] = field(default_factory=list)

    @property
    def best(self) -> Epoch:
        """The epoch whose weights are kept: the highest validation UAR, the first of equals."""
        return max(self.epochs, key=lambda epoch: epoch.val_uar)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: `best_epoch` and the list `epochs`."""
        return {"best_epoch": self.best.epoch, "epochs": [asdict(epoch) for epoch in self.epochs]}


@dataclass(frozen=True)
class Predictions:
    """What a model says of each clip of a source, in its order.

    Args:
        ids: text `(N,)`.
        labels: int64 `(N,)`.
        groups: who is seen, text `(N,)`.
        logits: float32 `(N, C)`.
        classes: names of the C classes.
        features: clip embeddings, float32 `(N, D)`, where they were asked for.
    """

    ids: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    logits: np.ndarray
    classes: tuple[str, ...]
    features: np.ndarray | None = None

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each clip, int64 `(N,)`."""
        return self.logits.argmax(1)

    def metrics(self) -> dict[str, Any]:
        """UAR, WAR, recalls and confusion matrix, see `dferlib.metrics.summary`."""
        return summary(self.labels, self.logits)


def train(
    model: ClipModel,
    train_source: ClipSource,
    val_source: ClipSource,
    config: TrainConfig | None = None,
    out: Path | str | None = None,
    progress: bool = True,
) -> History:
    """Train a model; at the end it holds the weights of the epoch with the highest validation UAR.

    The same seed on the same machine gives the same weights. Stopped early, by Ctrl-C or a loss that is no number,
    the model and the file hold the best epoch so far.

    Args:
        model: made by `create_model`; trained in place.
        train_source: the clips to learn from.
        val_source: the clips by which the epoch is chosen.
        config: how; the defaults if not given.
        out: folder for `best.safetensors` and `history.json`, both written anew after each epoch that calls for it.
        progress: show a bar.

    Returns:
        Loss, accuracy, validation UAR and WAR and seconds of each epoch.

    Raises:
        InputError: the classes or the number of frames do not fit, the folder cannot be written, or the loss becomes
            nan or infinite.
    """
    config = config or TrainConfig()
    for source in (train_source, val_source):
        _check(model, source, config.per_segment)
    folder = make_folder(Path(out)) if out is not None else None
    train_source, val_source = _held(train_source), _held(val_source)
    about = {"train": asdict(config), "data": {"train": train_source.fingerprint, "val": val_source.fingerprint}}
    model.classes = train_source.classes
    history, best_weights = History(), None
    with _lent(model, config):
        trainer = _Trainer(model, train_source, config)
        bar = tqdm(total=trainer.steps, unit="step", disable=not progress)
        try:
            for number in range(1, config.epochs + 1):
                started = perf_counter()
                loss, accuracy = trainer.epoch(bar, f"epoch {number}/{config.epochs}")
                found = evaluate(model, val_source, device=config.device, per_segment=config.per_segment).metrics()
                seconds = perf_counter() - started
                history.epochs.append(Epoch(number, loss, accuracy, found["uar"], found["war"], seconds))
                if history.best.epoch == number:
                    best_weights = {key: value.clone() for key, value in model.state_dict().items()}
                    if folder is not None:
                        best = asdict(history.best)
                        save_model(model, folder / CHECKPOINT, train_source.classes, **about, best=best)
                if folder is not None:
                    with written_whole(folder / "history.json") as path:
                        path.write_text(json.dumps(history.to_dict(), indent=1))
                bar.set_postfix_str(f"loss {loss:.3f}, validation UAR {100 * found['uar']:.1f} %")
        finally:
            bar.close()
            if best_weights is not None:
                model.load_state_dict(best_weights)
    return history


def evaluate(
    model: ClipModel,
    source: ClipSource,
    batch_size: int = 64,
    device: str = "auto",
    per_segment: int = 1,
    shuffle_frames: bool = False,
    features: bool = False,
    progress: bool = False,
) -> Predictions:
    """Run a model over every clip of a source, once each, on the middle frames of its segments.

    Args:
        model: made by `create_model` or `load_model`.
        source: the clips.
        batch_size: clips at once; it does not change the result.
        device: where to compute; the model returns to where it was.
        per_segment: consecutive frames of each segment, as in training.
        shuffle_frames: put the chosen frames of each clip into a random order, to see whether order matters.
        features: keep the clip embeddings too.
        progress: show a bar if it takes more than two seconds.

    Raises:
        InputError: the classes or the number of frames do not fit, or a logit is nan or infinite.
    """
    _check(model, source, per_segment)
    spec, target = model.input_spec, pick_device(device)
    home, was_training = next(model.parameters()).device, model.training
    rng = np.random.default_rng(0)
    logits, embeddings = [], []
    model.to(target).eval()
    try:
        with torch.inference_mode(), tqdm(total=len(source), unit="clip", disable=not progress, delay=2) as bar:
            for indices in np.split(np.arange(len(source)), range(batch_size, len(source), batch_size)):
                clips = []
                for index in indices:
                    chosen = segment_indices(source.table.frames[index], spec.frames // per_segment, per_segment)
                    clips.append(source.read(int(index), rng.permutation(chosen) if shuffle_frames else chosen))
                embedding = model.forward_features(prepare(torch.from_numpy(np.stack(clips)).to(target), spec))
                embeddings.append(embedding.cpu().numpy())
                logits.append(model.head(embedding).cpu().numpy())
                bar.update(len(indices))
    finally:
        model.to(home).train(was_training)
    scores, table = np.concatenate(logits), source.table
    if not np.isfinite(scores).all():
        first = str(table.ids[~np.isfinite(scores).all(1)][0])
        raise InputError(
            f"the model gives nan or infinity for clip {first!r}: train it again, with a lower learning rate"
        )
    embedded = np.concatenate(embeddings) if features else None
    return Predictions(table.ids, table.labels, table.groups, scores, source.classes, embedded)


class _Trainer:
    """The model, the optimiser and the training clips, one epoch at a time."""

    def __init__(self, model: ClipModel, source: ClipSource, config: TrainConfig) -> None:
        from lightning.fabric import Fabric  # here, because it takes seconds to import

        device = pick_device(config.device)
        mixed = config.precision == "bf16-mixed" or (config.precision == "auto" and device.type == "cuda")
        self.fabric = Fabric(accelerator=device.type, devices=1, precision="bf16-mixed" if mixed else "32-true")
        self.config, self.source, self.spec = config, source, model.input_spec
        self.steps = config.epochs * math.ceil(len(source) / config.batch_size)
        self.backbone = model.backbone
        backbone = {id(parameter) for parameter in model.backbone.parameters()}
        groups = [{"params": [p for p in model.parameters() if id(p) not in backbone], "lr": config.lr}]
        if config.backbone_lr_scale > 0:
            groups.append({"params": list(model.backbone.parameters()), "lr": config.lr * config.backbone_lr_scale})
        optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
        self.module, self.optimizer = self.fabric.setup(model, optimizer)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        self.loss = _loss(config.loss)
        self.rng = np.random.default_rng(config.seed)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.augment = Augment(self.spec.size, generator=self.generator)

    def _rate(self, step: int) -> float:
        rising = min(1.0, (step + 1) / max(1.0, self.config.warmup * self.steps))
        return rising * 0.5 * (1 + math.cos(math.pi * step / self.steps))

    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """Read clips at random frames, augment and normalise them on the device; with their labels."""
        frames, device = self.source.table.frames[indices], self.fabric.device
        segments = self.spec.frames // self.config.per_segment
        clips = [
            self.source.read(int(index), segment_indices(count, segments, self.config.per_segment, self.rng))
            for index, count in zip(indices, frames, strict=True)
        ]
        pixels = self.augment(torch.from_numpy(np.stack(clips)).to(device))
        labels = torch.from_numpy(self.source.table.labels[indices]).to(device)
        return normalise(pixels, self.spec.mean, self.spec.std), labels

    def epoch(self, bar: tqdm, title: str) -> tuple[float, float]:
        """Learn from every training clip once, in random order; return the mean loss and the accuracy on the way."""
        self.module.train()
        if self.config.backbone_lr_scale == 0:
            self.backbone.eval()  # frozen means its batch statistics too
        bar.set_description_str(title)
        order = torch.randperm(len(self.source), generator=self.generator).numpy()
        total, correct = 0.0, 0
        for start in range(0, len(order), self.config.batch_size):
            clips, labels = self.batch(order[start : start + self.config.batch_size])
            logits = self.module(clips)
            loss = self.loss(logits, labels)
            self.optimizer.zero_grad()
            self.fabric.backward(loss)
            norm = self.fabric.clip_gradients(
                self.module, self.optimizer, max_norm=self.config.clip_norm, error_if_nonfinite=False
            )
            assert norm is not None  # it would be for clipping by value
            if not math.isfinite(loss.item() + norm.item()):  # before the step, so that no weight is spoilt
                raise InputError(
                    f"{title}: the loss is {loss.item():g} and its gradient {norm.item():g}, so training stopped; "
                    f"choose a lower learning rate than {self.config.lr:g}"
                )
            self.optimizer.step()
            self.schedule.step()
            total += loss.item() * len(labels)
            correct += int((logits.argmax(1) == labels).sum())
            bar.update()
        return total / len(order), correct / len(order)


def _loss(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    if name == "compact":
        from dferlib.losses import CompactLoss

        return CompactLoss(beta=0.2)
    return nn.CrossEntropyLoss(label_smoothing=0.1 if name == "label_smoothing" else 0.0)


def _check(model: ClipModel, source: ClipSource, per_segment: int) -> None:
    outputs, frames = model.config["num_classes"], model.input_spec.frames
    if not len(source):
        raise InputError("the data set holds no clips: there is nothing to train or evaluate on")
    if len(source.classes) != outputs:
        raise InputError(f"the data has {len(source.classes)} classes, the model {outputs}: they must be the same")
    if frames % per_segment:
        raise InputError(f"the model takes {frames} frames, which {per_segment} per segment does not divide")


def _held(source: ClipSource) -> ClipSource:
    """Read a small source into memory once; leave a large one where it is."""
    if isinstance(source, ArraySource):
        return source
    counts = source.table.frames
    if source.read(0, np.zeros(1, dtype=np.int64)).nbytes * int(counts.sum()) > HOLD_BYTES:
        return source
    clips = [source.read(index, np.arange(count)) for index, count in enumerate(counts)]
    return ArraySource(source.table, clips, source.fingerprint)


@contextmanager
def _lent(model: ClipModel, config: TrainConfig) -> Iterator[None]:
    """Seed torch and freeze what is to be frozen for the time of a training, then leave all as it was."""
    home, was_training = next(model.parameters()).device, model.training
    wanted = [parameter.requires_grad for parameter in model.backbone.parameters()]
    deterministic = torch.backends.cudnn.deterministic
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        torch.backends.cudnn.deterministic = True
        if config.backbone_lr_scale == 0:
            model.backbone.requires_grad_(False)
        try:
            yield
        finally:
            torch.backends.cudnn.deterministic = deterministic
            for parameter, flag in zip(model.backbone.parameters(), wanted, strict=True):
                parameter.requires_grad_(flag)
            model.to(home).train(was_training)


def _save(
    model: ClipModel,
    path: Path,
    train_source: ClipSource,
    val_source: ClipSource,
    config: TrainConfig,
    history: History,
) -> None:
    """Write the checkpoint of the best epoch so far."""
    data = {"train": train_source.fingerprint, "val": val_source.fingerprint}
    save_model(model, path, train_source.classes, train=asdict(config), data=data, best=asdict(history.best))
