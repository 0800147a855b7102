"""The training loop, to be read from top to bottom: what is set up, the epochs, the steps of an epoch.

What it calls stands beside it: `loader` makes the batches, `objective` says what is minimised and `optimiser` by what
steps, `sharpness` and `averaging` change a step, `evaluation` judges, `state` changes and `run_folder` keeps it.
"""

import logging
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from dferlib.data.classes import match_classes
from dferlib.data.table import ClipSource
from dferlib.errors import InputError
from dferlib.models.base import ClipModel, Maps
from dferlib.training.averaging import WeightAverage
from dferlib.training.calibration import fit_temperature
from dferlib.training.checkpoints import load_weights
from dferlib.training.clips import load_into_memory
from dferlib.training.config import TrainConfig
from dferlib.training.evaluation import check_fits, evaluate
from dferlib.training.history import Epoch, History
from dferlib.training.kept_maps import frozen_maps
from dferlib.training.loader import Loader
from dferlib.training.objective import Objective, class_weights, make_loss
from dferlib.training.optimiser import make_optimizer, make_schedule
from dferlib.training.preparation import prepare_for_training
from dferlib.training.processes import is_first, make_fabric
from dferlib.training.run_folder import RunFolder
from dferlib.training.sharpness import ascend, freeze_statistics
from dferlib.training.state import TrainState
from dferlib.training.tally import Tally

if TYPE_CHECKING:
    from lightning.fabric import Fabric

log = logging.getLogger("dferlib")
SAVE_STEPS = 500  # the state is written at the end of each epoch, and in a long one after so many steps
READ_STEPS = {"cpu": 1, "cuda": 50, "mps": 50}  # how often losses are looked at: each look makes a GPU finish its work


def train(
    model: ClipModel,
    train_source: ClipSource,
    val_source: ClipSource,
    config: TrainConfig | None = None,
    out: Path | str | None = None,
    *,
    progress: bool = True,
    resume: bool = False,
    tensorboard: bool = False,
) -> History:
    """Train a model and tell how it went; it then holds the weights of the epoch with the highest validation UAR.

    The same seed on the same machine gives the same weights, also when it was killed and resumed in between. Stopped
    early, by Ctrl-C or a loss that is no number, model and file hold the best epoch so far; in the first epoch the
    model is put back to what it began with. Under `torchrun` each process calls this.

    Args:
        model: made by `create_model`; trained in place.
        train_source: the clips to learn from.
        val_source: the clips by which the epoch is chosen.
        config: how; the defaults if not given.
        out: folder for `best.safetensors`, `history.json`, and `last.pt`, from which a training is resumed.
        progress: show a bar.
        resume: go on from `last.pt` in that folder, if it is there.
        tensorboard: also write `tensorboard/` in that folder.

    Raises:
        InputError: clips cannot be read, or do not fit the model or each other, by the names of their classes; the
            folder cannot be written, the state there is damaged or of another training; the loss is no number.
    """
    config = config or TrainConfig()
    train_source, val_source = _fit(model, train_source, val_source, config)
    about = _describe(model, config, train_source=train_source, val_source=val_source)
    folder = RunFolder(out, about, resume=resume, tensorboard=tensorboard)
    new, model.classes = not hasattr(model, "classes"), train_source.classes
    if config.start:
        load_weights(model, config.start)
    fabric = make_fabric(config.device, config.precision)
    with prepare_for_training(model, config):
        trainer = Trainer(fabric, model, train_source=train_source, val_source=val_source, config=config)
        try:
            folder.load_state(trainer.state, fabric.device)
            trainer.run(folder, progress and is_first())
        finally:
            model.load_state_dict(trainer.state.best)
            if new and not trainer.state.history.epochs:
                del model.classes  # it has learnt none
    folder.note_known(model, train_source, val_source, config)
    return trainer.state.history


def _fit(
    model: ClipModel, train_source: ClipSource, val_source: ClipSource, config: TrainConfig
) -> tuple[ClipSource, ClipSource]:
    """Both sources in the classes that the model has, or gets: those of the training clips."""
    known = getattr(model, "classes", train_source.classes)
    check_fits(model, train_source, config.per_segment)
    if set(train_source.classes) != set(known):
        differ = ", ".join(sorted(set(known) ^ set(train_source.classes)))
        raise InputError(
            f"the model knows other classes than the clips to learn from: {differ} are not in both; to learn others, "
            "make a new model and let it start from the weights of this one (`start`)"
        )
    train_source, val_source = match_classes(train_source, known), match_classes(val_source, known)
    check_fits(model, val_source, config.per_segment)
    if both := len(np.intersect1d(train_source.table.groups, val_source.table.groups)):
        what = "so that the validation tells little of new people: choose by the clips of others"
        log.warning("%d people, by their groups, are in the training and in the validation clips, %s", both, what)
    return train_source, val_source


def _describe(
    model: ClipModel, config: TrainConfig, *, train_source: ClipSource, val_source: ClipSource
) -> dict[str, dict[str, Any]]:
    """What a training is: a saved state is for no other."""
    data = {"train": train_source.fingerprint, "val": val_source.fingerprint}
    return {"model": model.config, "train": asdict(config), "data": data}


class Trainer:
    """A model, its optimiser and its clips, and the loop that brings them together.

    Args:
        fabric: from `make_fabric`.
        model: made by `create_model`; moved to the device and trained in place.
        train_source: the clips to learn from.
        val_source: the clips by which the epoch is chosen.
        config: how.
    """

    def __init__(
        self,
        fabric: "Fabric",
        model: ClipModel,
        *,
        train_source: ClipSource,
        val_source: ClipSource,
        config: TrainConfig,
    ) -> None:
        self.fabric, self.model, self.config = fabric, model, config
        self.sources = train_source, val_source
        train_clips, self.val_clips = load_into_memory(train_source), load_into_memory(val_source)
        # the layout that convolutions of GPUs and CPUs are fastest in; the clips have it too
        model.to(memory_format=torch.channels_last).to(fabric.device)
        self.loader = Loader(train_clips, model, config=config, device=fabric.device)
        weights = class_weights(train_clips) if config.balance == "weights" else None
        objective = Objective(model, make_loss(config.loss, model, weights=weights))
        optimizer = make_optimizer(model, config)
        compiled = cast(Objective, torch.compile(objective)) if config.compile else objective
        self.module, self.optimizer = fabric.setup(compiled, optimizer)
        self.state = TrainState(
            objective=objective,
            optimizer=optimizer,
            schedule=make_schedule(optimizer, config, self.loader.per_epoch),
            precision=fabric.strategy.precision,
            tally=Tally(config),
            average=WeightAverage(model, config.ema) if config.ema else None,
            best={key: value.clone() for key, value in model.state_dict().items()},
        )
        self.val_maps: Maps | None = None  # of a frozen backbone

    def run(self, folder: RunFolder, progress: bool = True) -> None:
        """Go through the epochs that are left, judge each on the validation clips, keep the best."""
        config, state, per_epoch = self.config, self.state, self.loader.per_epoch
        over = len(state.history.epochs)
        if config.backbone_lr_scale == 0 and over < config.epochs:
            self._train_on_kept_maps()
        taken = over * per_epoch + state.step
        with tqdm(total=config.epochs * per_epoch, initial=taken, unit="step", disable=not progress) as bar:
            for number in range(over + 1, config.epochs + 1):
                started = perf_counter()
                bar.set_description_str(f"epoch {number}/{config.epochs}")
                for step in self.epoch(number):
                    bar.update()
                    if step % SAVE_STEPS == 0 and step < per_epoch:
                        state.tally.read(number)  # what is spoilt must not get into a file
                        folder.save_state(state)
                judged = self.model if state.average is None else state.average.model
                predictions = evaluate(
                    judged, self.val_clips, device=config.device, per_segment=config.per_segment, maps=self.val_maps
                )
                found, (loss, accuracy) = predictions.metrics(), state.tally.means()
                epoch = Epoch(
                    number, loss, accuracy, val_uar=found["uar"], val_war=found["war"],
                    temperature=fit_temperature(predictions.logits, predictions.labels),
                    seconds=perf_counter() - started,
                )  # fmt: skip
                state.end_epoch(epoch, judged.state_dict())  # keeps the weights if they are the best
                folder.save_epoch(self.model, state)
                bar.set_postfix_str(f"loss {loss:.3f}, validation UAR {100 * epoch.val_uar:.1f} %")

    def epoch(self, number: int) -> Iterator[int]:
        """Learn from the clips of an epoch in random order, from the step on that was reached; yields after each."""
        config, model, state = self.config, self.model, self.state
        self.module.train()  # but for a frozen backbone
        for batch in self.loader.epoch(number, first=state.step):
            seed = self._seed(number, state.step)  # what dropout does in a step depends on no other step
            torch.manual_seed(seed)
            loss, logits = self.module(batch.inputs, batch.labels)
            self.optimizer.zero_grad()
            self.fabric.backward(loss * batch.weight)

            if config.sam:
                with ascend(model.parameters(), rho=config.sam), freeze_statistics(state.objective):
                    torch.manual_seed(seed)  # the same dropout
                    self.optimizer.zero_grad()
                    self.fabric.backward(self.module(batch.inputs, batch.labels)[0] * batch.weight)

            norm = self.fabric.clip_gradients(
                self.module, self.optimizer, max_norm=config.clip_norm or math.inf, error_if_nonfinite=False
            )
            state.tally.add(loss, cast(Tensor, norm), logits=logits, labels=batch.labels)
            if state.step % READ_STEPS[self.fabric.device.type] == 0:
                state.tally.read(number)  # stops where the next step would spoil the weights

            self.optimizer.step()
            state.schedule.step()
            if state.average is not None:
                state.average.update_parameters(model)
            state.step += 1
            yield state.step
        state.tally.read(number)

    def _seed(self, epoch: int, step: int) -> int:
        chance = np.random.SeedSequence([self.config.seed, epoch, step, self.fabric.global_rank])
        return int(chance.generate_state(1)[0])

    def _train_on_kept_maps(self) -> None:
        """Have the frozen backbone look at every clip once, and train on its maps, if there is room for them."""
        train_source, val_source = self.sources
        plain = frozen_maps(self.model, val_source, config=self.config)
        views = frozen_maps(self.model, train_source, config=self.config, loader=self.loader) if plain else []
        self.loader.maps, self.state.objective.from_maps = views, bool(views)
        self.val_maps = plain[0] if views else None
