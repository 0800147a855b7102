"""How to train: every setting, its default, and what it may be."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

from dferlib.devices import DEVICES
from dferlib.errors import InputError, choose, of_kind
from dferlib.training.objective import LOSSES, WEIGHABLE

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "steps")
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
BALANCES = ("none", "weights", "sampling")
SELECTS = ("val", "test")


@dataclass(frozen=True)
class TrainConfig:
    """How to train. The defaults are the recipe of the book-scale models; those of the papers are in `recipes`.

    Args:
        epochs: passes over the training clips.
        batch_size: clips a step, in all processes together.
        lr: learning rate of everything but the backbone.
        backbone_lr_scale: what part of it the backbone gets; 0 freezes it (in evaluation mode). The maps of a frozen
            backbone are computed once and kept, see `dferlib.training.kept_maps`.
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
        sam: rho, how far sharpness-aware minimisation looks (0.05 in its paper); 0 does without.
        schedule: "cosine" falls as half a cosine to 0; "steps" stays, and is divided by 10 at each milestone.
        milestones: after how many epochs.
        ema: decay of an exponential moving average of the weights, which is what is validated and kept; 0 for none.
        balance: "weights" weighs each class in the loss by N / (C n), "sampling" draws the clips of an epoch so that
            all classes are equally frequent, "none" does neither.
        saturation: how much the colours of a clip are strengthened or weakened at most, as a part.
        erase: how probable it is that a rectangle of a clip is erased.
        compile: let torch compile the model: minutes at the start, faster steps on a GPU.
        recompute: activation checkpointing, for less memory and slower steps.
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
    milestones: Sequence[int] = ()
    ema: float = 0.0
    balance: str = "none"
    saturation: float = 0.0
    erase: float = 0.0
    compile: bool = False
    recompute: bool = False
    start: str = ""
    select: str = "val"

    def __post_init__(self) -> None:
        if isinstance(self.start, Path):
            object.__setattr__(self, "start", str(self.start))
        for field in fields(self):
            object.__setattr__(self, field.name, of_kind(field.name, getattr(self, field.name), field.default))
        object.__setattr__(self, "milestones", list(self.milestones))  # as JSON will give it back
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
        for name in ("backbone_lr_scale", "weight_decay", "clip_norm", "sam", "seed"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}: it must not be negative")
        for name in ("ema", "erase", "warmup", "saturation"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}: it must be between 0 and 1")
        if self.ema == 1:
            raise InputError("ema is 1: then nothing is ever learnt; give a number below, such as 0.99")
        if any(later <= earlier for earlier, later in pairwise([0, *self.milestones])):
            raise InputError(f"milestones are {self.milestones}: give epochs that rise, the first 1 or more")
        self._check_pairs()

    def _check_pairs(self) -> None:
        if self.milestones and self.schedule != "steps":
            raise InputError(f"milestones belong to schedule='steps', not {self.schedule!r}: leave them out")
        if self.sam and self.precision == "16-mixed":
            raise InputError("sharpness-aware minimisation does not work with 16-mixed: choose bf16-mixed")
        if self.balance == "weights" and self.loss not in WEIGHABLE:
            raise InputError(f"the loss {self.loss!r} takes no class weights: choose balance='sampling'")
