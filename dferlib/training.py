"""Training and evaluation: one readable loop."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from dferlib.checkpoints import load_state, load_weights, save_model, save_state
from dferlib.data.table import ClipSource
from dferlib.data.transforms import prepare
from dferlib.devices import DEVICES, pick_device
from dferlib.errors import InputError, choose
from dferlib.files import make_folder, written_whole
from dferlib.loader import Clips, Loader, ahead, frozen_maps, held, middle_frames
from dferlib.metrics import summary
from dferlib.models.base import ClipModel
from dferlib.objectives import LOSSES, WEIGHABLE, Objective, make_loss
from dferlib.optimise import OPTIMIZERS, SCHEDULES, climbed, make_optimizer, rate, statistics_kept
from dferlib.processes import gathered, is_first, make_fabric, place, shared_batch_norm

if TYPE_CHECKING:
    from lightning.fabric import Fabric

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
BALANCES = ("none", "weights", "sampling")
SELECTS = ("val", "test")
CHECKPOINT = "best.safetensors"
STATE = "last.pt"
HISTORY = "history.json"
SAVE_STEPS = 500  # the state is written at the end of each epoch, and in a long one after so many steps


@dataclass(frozen=True)
class TrainConfig:
    """How to train. The defaults are the recipe of the book-scale models; `dferlib.recipes` has those of the papers.

    Args:
        epochs: passes over the training clips.
        batch_size: clips a step, in all processes together.
        lr: learning rate of everything but the backbone.
        backbone_lr_scale: what part of it the backbone gets; 0 freezes it (in evaluation mode). The maps of a frozen
            backbone are computed once and kept, see `dferlib.loader.KeptMaps`.
        weight_decay: of the optimiser.
        warmup: part of all steps in which the rate rises from 0.
        clip_norm: largest norm of the gradient; 0 for any.
        loss: "cross_entropy", "label_smoothing" (0.1), "compact" (STT, Eq. 17, beta 0.2), "center" and "ec_stfl" (cross
            entropy and 0.003 or 10 times that loss of the features), or "joint", the model's own (STANER, Eq. 15).
        per_segment: consecutive frames of each segment of a clip (T of STT, 3.2); there are frames / T segments.
        seed: of the order of clips, their frames, augmentation and dropout.
        device: "auto", "cpu", "cuda" or "mps".
        precision: "auto" (bf16-mixed on a CUDA device, otherwise 32-true), "32-true", "bf16-mixed" or "16-mixed".
        optimizer: "adamw", or "sgd" with momentum 0.9.
        sam: how far sharpness-aware minimisation looks, rho (0.05 in its paper); 0 does without.
        schedule: "cosine" falls as half a cosine to 0; "steps" stays, and is divided by 10 at each milestone.
        milestones: after how many epochs.
        ema: decay of an exponential moving average of the weights, which is what is validated and kept; 0 for none.
        balance: "weights" weighs each class in the loss by N / (C n), "sampling" draws the clips of an epoch so that
            all classes are equally frequent, "none" does neither.
        saturation: how much the colours of a clip are strengthened or weakened at most, as a part.
        erase: how probable it is that a rectangle of a clip is erased.
        compile: let torch compile the model: minutes at the start, faster steps on a GPU.
        start: checkpoint whose weights to start from (fine-tuning); the head is new if it has other classes.
        select: "val", or "test" only to show what choosing the epoch on the test clips does to the numbers.

    Raises:
        InputError: a name is unknown, a number is out of range, or two settings exclude each other.
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
    optimizer: str = "adamw"
    sam: float = 0.0
    schedule: str = "cosine"
    milestones: tuple[int, ...] = ()
    ema: float = 0.0
    balance: str = "none"
    saturation: float = 0.0
    erase: float = 0.0
    compile: bool = False
    start: str = ""
    select: str = "val"

    def __post_init__(self) -> None:
        object.__setattr__(self, "milestones", tuple(self.milestones))  # JSON gives a list
        choose("loss", self.loss, LOSSES)
        choose("device", self.device, DEVICES)
        choose("precision", self.precision, PRECISIONS)
        choose("optimizer", self.optimizer, OPTIMIZERS)
        choose("schedule", self.schedule, SCHEDULES)
        choose("balance", self.balance, BALANCES)
        choose("select", self.select, SELECTS)
        for name in ("epochs", "batch_size", "per_segment"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: it must be 1 or more")
        if not self.lr > 0:
            raise InputError(f"lr is {self.lr}: it must be above 0")
        for name in ("backbone_lr_scale", "weight_decay", "warmup", "clip_norm", "sam", "saturation", "seed"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}: it must not be negative")
        for name in ("ema", "erase"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}: it must be between 0 and 1")
        self._check_pairs()

    def _check_pairs(self) -> None:
        if self.milestones and self.schedule != "steps":
            raise InputError(f"milestones belong to schedule='steps', not {self.schedule!r}: leave them out")
        if self.sam and self.precision == "16-mixed":
            raise InputError("sharpness-aware minimisation does not work with 16-mixed: choose bf16-mixed")
        if self.balance == "weights" and self.loss not in WEIGHABLE:
            raise InputError(f"the loss {self.loss!r} takes no class weights: choose balance='sampling'")


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
    resume: bool = False,
) -> History:
    """Train a model; at the end it holds the weights of the epoch with the highest validation UAR.

    The same seed on the same machine gives the same weights, also when the training was killed and resumed in between.
    Stopped early, by Ctrl-C or a loss that is no number, the model and the file hold the best epoch so far. Under
    `torchrun` every process calls this, and they train one model together.

    Args:
        model: made by `create_model`; trained in place.
        train_source: the clips to learn from.
        val_source: the clips by which the epoch is chosen.
        config: how; the defaults if not given.
        out: folder for `best.safetensors`, `history.json` and `last.pt`, from which a training is resumed.
        progress: show a bar.
        resume: go on from `last.pt` in that folder, if it is there.

    Returns:
        Loss, accuracy, validation UAR and WAR and seconds of each epoch.

    Raises:
        InputError: the classes or the number of frames do not fit, a clip cannot be read, the folder cannot be written,
            the state there is damaged or of another training, or the loss becomes nan or infinite.
    """
    config = config or TrainConfig()
    for source in (train_source, val_source):
        _check(model, source, config.per_segment)
    if resume and out is None:
        raise InputError("there is nothing to resume from: give the folder of the training as out")
    folder = make_folder(Path(out)) if out is not None else None
    model.classes = train_source.classes
    if config.start:
        load_weights(model, config.start)
    about = {
        "model": model.config,
        "train": asdict(config),
        "data": {"train": train_source.fingerprint, "val": val_source.fingerprint},
    }
    if folder is not None and is_first():
        for name in (CHECKPOINT, STATE, HISTORY):  # what a killed training has left half written
            for path in folder.glob(f".{Path(name).stem}.*.tmp{Path(name).suffix}"):
                path.unlink()
    fabric = make_fabric(config.device, config.precision)
    with _lent(model, config), shared_batch_norm(model):
        trainer = Trainer(fabric, model, train_source, val_source, config, about)
        try:
            if folder is not None and resume and (folder / STATE).exists():
                trainer.load(folder / STATE)
            trainer.run(folder, progress and is_first())
        finally:
            if trainer.best:
                model.load_state_dict(trainer.best)
    return trainer.history


def evaluate(
    model: ClipModel,
    source: ClipSource,
    batch_size: int = 64,
    device: str = "auto",
    per_segment: int = 1,
    shuffle_frames: bool = False,
    features: bool = False,
    progress: bool = False,
    maps: Tensor | None = None,
) -> Predictions:
    """Run a model over every clip of a source, once each, on the middle frames of its segments.

    Where several processes train together, each must call this, does a share of the clips and gets all results.

    Args:
        model: made by `create_model` or `load_model`.
        source: the clips.
        batch_size: clips at once; it does not change the result.
        device: where to compute; the model returns to where it was.
        per_segment: consecutive frames of each segment, as in training.
        shuffle_frames: put the chosen frames of each clip into a random order, to see whether order matters.
        features: keep the clip embeddings too.
        progress: show a bar if it takes more than two seconds.
        maps: what the model's backbone gives for each of these clips (N, ...), if that is known already.

    Raises:
        InputError: the classes or the number of frames do not fit, or a logit is nan or infinite.
    """
    _check(model, source, per_segment)
    target, rng = pick_device(device), np.random.default_rng(0)
    home, was_training = next(model.parameters()).device, model.training
    frames = middle_frames(source, model.input_spec, per_segment)
    if shuffle_frames:
        frames = rng.permuted(frames, axis=1)
    rank, processes = place()
    mine = np.array_split(np.arange(len(source)), processes)[rank]
    shares = [mine[start : start + batch_size] for start in range(0, len(mine), batch_size)]
    clips, found = Clips(source, target, hold=False), []

    def make(number: int) -> Tensor:
        if maps is not None:
            return maps[torch.from_numpy(shares[number])].to(target)
        return prepare(clips.take(shares[number], frames[shares[number]]), model.input_spec)

    model.to(target).eval()
    try:
        with torch.inference_mode(), tqdm(total=len(mine), unit="clip", disable=not progress, delay=2) as bar:
            for inputs in ahead(make, range(len(shares))):
                embedding = model.forward_features(inputs) if maps is None else model.features_from_maps(inputs)
                found.append((model.head(embedding).float().cpu().numpy(), embedding.float().cpu().numpy()))
                bar.update(len(inputs))
    finally:
        model.to(home).train(was_training)
    everything = gathered(found)
    scores, embedded = (np.concatenate(part) for part in zip(*everything, strict=True))
    table = source.table
    if not np.isfinite(scores).all():
        first = str(table.ids[~np.isfinite(scores).all(1)][0])
        raise InputError(
            f"the model gives nan or infinity for clip {first!r}: train it again, with a lower learning rate"
        )
    return Predictions(table.ids, table.labels, table.groups, scores, source.classes, embedded if features else None)


class Trainer:
    """The model, the optimiser, the clips, and how far it has come."""

    def __init__(
        self,
        fabric: "Fabric",
        model: ClipModel,
        source: ClipSource,
        val_source: ClipSource,
        config: TrainConfig,
        about: dict[str, Any],
    ) -> None:
        self.fabric, self.model, self.config, self.about = fabric, model, config, about
        self.sources = source, val_source  # as they were given: what maps are kept with
        self.source, self.val_source = held(source), held(val_source)
        self.maps: Tensor | None = None  # of the validation clips, if the backbone is frozen
        # the layout that convolutions of GPUs and CPUs are fastest in; the clips have it too
        model.to(memory_format=torch.channels_last).to(self.fabric.device)
        self.loader = Loader(self.source, model, config, self.fabric.device)
        weights = self._class_weights() if config.balance == "weights" else None
        self.objective = Objective(model, make_loss(config.loss, model, weights))
        self.optimizer = make_optimizer(model, config)
        compiled = cast(Objective, torch.compile(self.objective)) if config.compile else self.objective
        self.module, self.stepper = self.fabric.setup(compiled, self.optimizer)
        per_epoch = self.loader.per_epoch
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda step: rate(
                step, config.epochs * per_epoch, per_epoch, config.warmup, config.schedule, config.milestones
            ),
        )
        self.average = None
        if config.ema:
            self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True)
        self.history, self.best = History(), dict[str, Tensor]()
        self.step = 0  # how many were taken in this epoch
        self.tally = torch.zeros(3, dtype=torch.float64)  # of this epoch: sum of losses, correct clips, clips

    def _class_weights(self) -> Tensor:
        labels, classes = self.source.table.labels, len(self.source.classes)
        counts = np.bincount(labels, minlength=classes)
        return torch.tensor(len(labels) / (classes * counts.clip(1)), dtype=torch.float32)

    def _keep_maps(self) -> None:
        """Have the frozen backbone look at every clip once, and train on its maps, if there is room for them."""
        maps = frozen_maps(self.model, None, self.sources[1], self.config)
        self.loader.maps = frozen_maps(self.model, self.loader, self.sources[0], self.config) if maps else []
        self.objective.from_maps = bool(self.loader.maps)
        self.maps = maps[0] if self.loader.maps else None

    def run(self, folder: Path | None, progress: bool) -> None:
        """Go through the epochs that are left, judge each on the validation clips, keep the best."""
        config, per_epoch = self.config, self.loader.per_epoch
        if config.backbone_lr_scale == 0 and len(self.history.epochs) < config.epochs:
            self._keep_maps()
        taken = len(self.history.epochs) * per_epoch + self.step
        with tqdm(total=config.epochs * per_epoch, initial=taken, unit="step", disable=not progress) as bar:
            for number in range(len(self.history.epochs) + 1, config.epochs + 1):
                started = perf_counter()
                bar.set_description_str(f"epoch {number}/{config.epochs}")
                self.epoch(number, bar, folder)
                judged = self.model if self.average is None else cast(ClipModel, self.average.module)
                found = evaluate(
                    judged, self.val_source, device=config.device, per_segment=config.per_segment, maps=self.maps
                ).metrics()
                total, correct, clips = torch.stack(gathered([self.tally])).sum(0).tolist()
                seconds = perf_counter() - started
                epoch = Epoch(number, total / clips, correct / clips, found["uar"], found["war"], seconds)
                self.history.epochs.append(epoch)
                self.step, self.tally = 0, torch.zeros_like(self.tally)
                if self.history.best is epoch:
                    self.best = {key: value.clone() for key, value in judged.state_dict().items()}
                if folder is not None and is_first():
                    self.save(folder)
                bar.set_postfix_str(f"loss {epoch.train_loss:.3f}, validation UAR {100 * epoch.val_uar:.1f} %")

    def epoch(self, number: int, bar: tqdm | None = None, folder: Path | None = None) -> None:
        """Learn from the clips of an epoch, in random order, from the step on that was reached."""
        self.module.train()
        if self.config.backbone_lr_scale == 0:
            self.model.backbone.eval()  # frozen means its batch statistics too
        for batch in self.loader.epoch(number, self.step):
            chance = np.random.SeedSequence([self.config.seed, number, self.step, self.fabric.global_rank])
            seed = int(chance.generate_state(1)[0])
            torch.manual_seed(seed)  # for dropout: what a step does depends on no other step

            loss, logits = self.module(batch.inputs, batch.labels)
            self.optimizer.zero_grad()
            self.fabric.backward(loss * batch.weight)
            if self.config.sam:
                with climbed(self.model.parameters(), self.config.sam), statistics_kept(self.objective):
                    self.optimizer.zero_grad()
                    torch.manual_seed(seed)
                    self.fabric.backward(self.module(batch.inputs, batch.labels)[0] * batch.weight)
            norm = self.fabric.clip_gradients(
                self.module, self.stepper, max_norm=self.config.clip_norm or math.inf, error_if_nonfinite=False
            )
            self._check_finite(number, loss, norm)
            self.stepper.step()
            self.schedule.step()
            if self.average is not None:
                self.average.update_parameters(self.model)

            clips = len(batch.labels)
            correct = int((logits.argmax(1) == batch.labels).sum())
            self.tally += torch.tensor([loss.item() * clips, correct, clips], dtype=torch.float64)
            self.step += 1
            if bar is not None:
                bar.update()
            if folder is not None and self.step % SAVE_STEPS == 0 and self.step < self.loader.per_epoch:
                tally = torch.stack(gathered([self.tally])).sum(0)
                if is_first():
                    self.save_state(folder, tally)

    def _check_finite(self, number: int, loss: Tensor, norm: Tensor | None) -> None:
        """Stop before a step that would spoil the weights; in 16-mixed the scaler leaves such a step out itself."""
        assert norm is not None  # it would be for clipping by value
        watched = loss.item() if self.config.precision == "16-mixed" else loss.item() + norm.item()
        if not math.isfinite(watched):
            raise InputError(
                f"epoch {number}/{self.config.epochs}: the loss is {loss.item():g} and its gradient {norm.item():g}, "
                f"so training stopped; choose a lower learning rate than {self.config.lr:g}"
            )

    def save(self, folder: Path) -> None:
        """Write what an epoch has changed: the history, the state, and the best weights if they are new."""
        best = self.history.best
        if best is self.history.epochs[-1]:
            weights, about = {**self.best}, {key: self.about[key] for key in ("train", "data")}
            save_model(self.model, folder / CHECKPOINT, self.source.classes, weights, **about, best=asdict(best))
        with written_whole(folder / HISTORY) as path:
            path.write_text(json.dumps(self.history.to_dict(), indent=1))
        self.save_state(folder, self.tally)

    def save_state(self, folder: Path, tally: Tensor) -> None:
        """Write all that is needed to go on. What chance will decide follows from the numbers of the steps."""
        state = {
            "history": [asdict(epoch) for epoch in self.history.epochs],
            "step": self.step,
            "tally": tally,
            "best": self.best,
            "average": None if self.average is None else self.average.state_dict(),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }
        save_state(folder / STATE, state, self.about)

    def load(self, path: Path) -> None:
        """Go back to where the state in a file was written.

        Raises:
            InputError: it is damaged, or of another training.
        """
        state = load_state(path, self.about, self.fabric.device)
        try:
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
            self.history = History([Epoch(**epoch) for epoch in state["history"]])
            self.step, self.best = state["step"], state["best"]
            if is_first():
                self.tally = state["tally"].cpu()
        except (KeyError, TypeError, RuntimeError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise InputError(f"{path} does not fit this training ({first}): start anew without resume") from error

    def _parts(self) -> dict[str, Any]:
        """What has a state of its own."""
        scaler = self.fabric.strategy.precision
        return {
            "objective": self.objective,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "precision": scaler,
        }


def _check(model: ClipModel, source: ClipSource, per_segment: int) -> None:
    outputs, frames = model.config["num_classes"], model.input_spec.frames
    if not len(source):
        raise InputError("the data set holds no clips: there is nothing to train or evaluate on")
    if len(source.classes) != outputs:
        raise InputError(f"the data has {len(source.classes)} classes, the model {outputs}: they must be the same")
    if frames % per_segment:
        raise InputError(f"the model takes {frames} frames, which {per_segment} per segment does not divide")


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
            model.to(memory_format=torch.contiguous_format).to(home).train(was_training)
