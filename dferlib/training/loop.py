"""Training: one readable loop. How it is set stands in `config`, how a model is judged in `evaluation`."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from dferlib.data.table import ClipSource
from dferlib.errors import InputError
from dferlib.files import make_folder, written_whole
from dferlib.models.base import ClipModel
from dferlib.training.checkpoints import load_state, load_weights, save_model, save_state
from dferlib.training.config import TrainConfig as TrainConfig
from dferlib.training.evaluation import Predictions as Predictions
from dferlib.training.evaluation import check_fits
from dferlib.training.evaluation import evaluate as evaluate
from dferlib.training.loader import Loader, frozen_maps, held
from dferlib.training.objective import Objective, make_loss
from dferlib.training.optimiser import climbed, make_optimizer, rate, recomputed, statistics_kept
from dferlib.training.processes import gathered, is_first, make_fabric, shared_batch_norm

if TYPE_CHECKING:
    from lightning.fabric import Fabric

CHECKPOINT = "best.safetensors"
STATE = "last.pt"
HISTORY = "history.json"
SAVE_STEPS = 500  # the state is written at the end of each epoch, and in a long one after so many steps


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


def train(
    model: ClipModel,
    train_source: ClipSource,
    val_source: ClipSource,
    config: TrainConfig | None = None,
    out: Path | str | None = None,
    progress: bool = True,
    resume: bool = False,
    tensorboard: bool = False,
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
        tensorboard: also write the course of the training to `tensorboard/` in that folder, for that program.

    Returns:
        Loss, accuracy, validation UAR and WAR and seconds of each epoch.

    Raises:
        InputError: the classes or the number of frames do not fit, a clip cannot be read, the folder cannot be written,
            the state there is damaged or of another training, or the loss becomes nan or infinite.
    """
    config = config or TrainConfig()
    for source in (train_source, val_source):
        check_fits(model, source, config.per_segment)
    if (resume or tensorboard) and out is None:
        what = "nothing to resume from" if resume else "no place for what TensorBoard reads"
        raise InputError(f"there is {what}: give the folder of the training as out")
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
        _sweep(folder)
    fabric = make_fabric(config.device, config.precision)
    spared = recomputed(model) if config.recompute else nullcontext()
    with _lent(model, config), shared_batch_norm(model), spared:
        trainer = Trainer(fabric, model, train_source, val_source, config, about)
        try:
            if folder is not None and resume and (folder / STATE).exists():
                trainer.load(folder / STATE)
            trainer.run(folder, progress and is_first(), tensorboard and is_first())
        finally:
            if trainer.best:
                model.load_state_dict(trainer.best)
    return trainer.history


class Trainer:
    """The model, the optimiser, the clips, and how far it has come.

    Args:
        fabric: from `make_fabric`.
        model: made by `create_model`; moved to the device and trained in place.
        source: the clips to learn from.
        val_source: the clips by which the epoch is chosen.
        config: how.
        about: what the training is, for its files; a state is for no other.
    """

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

    def run(self, folder: Path | None, progress: bool, tensorboard: bool = False) -> None:
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
                    if tensorboard:
                        _write_events(folder / "tensorboard", epoch)
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
            about = {key: self.about[key] for key in ("train", "data")}
            save_model(self.model, folder / CHECKPOINT, self.source.classes, self.best, **about, best=asdict(best))
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
        return {
            "objective": self.objective,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "precision": self.fabric.strategy.precision,  # the scale of the loss in 16-mixed
        }


def _write_events(folder: Path, epoch: Epoch) -> None:
    """Add an epoch to what TensorBoard shows."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError("tensorboard is not installed: pip install tensorboard, or train without it") from error
    with SummaryWriter(folder, purge_step=epoch.epoch) as writer:  # a repeated epoch takes the place of the first try
        for name, value in asdict(epoch).items():
            if name != "epoch":
                writer.add_scalar(name, value, epoch.epoch)


def _sweep(folder: Path) -> None:
    """Remove what a killed training has left half written."""
    for name in map(Path, (CHECKPOINT, STATE, HISTORY)):
        for path in folder.glob(f".{name.stem}.*.tmp{name.suffix}"):
            path.unlink(missing_ok=True)


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
