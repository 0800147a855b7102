"""What a training minimises: a model and its loss as one module, so that one forward pass gives the loss."""

from typing import Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dferlib.data.table import ClipSource
from dferlib.errors import InputError, choose
from dferlib.models.base import ClipModel, Maps, keep_modes
from dferlib.models.losses import CompactLoss
from dferlib.models.metric_losses import CenterLoss, ECSTFLLoss
from dferlib.training.processes import rank_and_world_size

LOSSES = ("cross_entropy", "label_smoothing", "compact", "center", "ec_stfl", "joint")
WEIGHABLE = ("cross_entropy", "label_smoothing", "center", "ec_stfl")  # those with a cross entropy of torch inside
SMOOTHING = 0.1
COMPACT_BETA = 0.2  # STT, 4.2
CENTER_WEIGHT = 0.003  # lambda of Wen et al., 2016
EC_STFL_WEIGHT = 10.0  # of the authors' code


class JointModel(Protocol):
    """A model with a loss of its own."""

    def loss_from_features(self, features: Tensor, labels: Tensor) -> Tensor:
        """The loss of clip features (B, D) and labels (B,)."""


class CrossEntropy(nn.Module):
    """Cross entropy, its mean taken over the clips even where classes have weights.

    torch divides by the sum of the weights in the batch instead, so that the weight of a clip depends on its company.

    Args:
        weights: of the classes (C,), or None.
        smoothing: of the labels.
    """

    def __init__(self, weights: Tensor | None = None, smoothing: float = 0.0) -> None:
        super().__init__()
        self.smoothing = smoothing
        self.weights: Tensor | None
        self.register_buffer("weights", weights)

    def forward(self, features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of logits (B, C) and labels (B,); features (B, D) are not looked at."""
        each = F.cross_entropy(logits, labels, self.weights, label_smoothing=self.smoothing, reduction="none")
        return each.mean()


class OnLogits(nn.Module):
    """A loss of logits and labels alone."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of logits (B, C) and labels (B,)."""
        return self.loss(logits, labels)


class WithFeatures(nn.Module):
    """Cross entropy and a loss on clip features.

    Args:
        entropy: of the logits.
        loss: called with features (B, D) and labels (B,).
        weight: of the second.
    """

    def __init__(self, entropy: CrossEntropy, loss: nn.Module, *, weight: float) -> None:
        super().__init__()
        self.entropy, self.loss, self.weight = entropy, loss, weight

    def forward(self, features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """The sum for features (B, D), logits (B, C) and labels (B,)."""
        return self.entropy(features, logits, labels) + self.weight * self.loss(features, labels)


def make_loss(name: str, model: ClipModel, *, weights: Tensor | None = None) -> nn.Module | None:
    """Build a loss that is called as `loss(features, logits, labels)`.

    Args:
        name: one of `LOSSES`.
        model: what it is for.
        weights: of the classes (C,), or None.

    Returns:
        The loss; None for "joint", which is the model's own.

    Raises:
        InputError: the loss takes no class weights, it compares clips of several processes, or the model has no joint
            loss.
    """
    choose("loss", name, LOSSES)
    if weights is not None and name not in WEIGHABLE:
        raise InputError(f"the loss {name!r} takes no class weights: choose balance='sampling'")
    entropy = CrossEntropy(weights, SMOOTHING if name == "label_smoothing" else 0.0)
    if name == "joint":
        if not hasattr(model, "loss_from_features"):
            raise InputError(f"the model {model.config['name']!r} has no joint loss: choose another loss")
        return None
    if name == "compact":
        return OnLogits(CompactLoss(COMPACT_BETA))
    if name in ("center", "ec_stfl") and rank_and_world_size()[1] > 1:
        raise InputError(f"the loss {name!r} compares all clips of a batch: train in one process, or with another loss")
    if name == "center":
        center = CenterLoss(model.config["num_classes"], _feature_width(model))
        return WithFeatures(entropy, center, weight=CENTER_WEIGHT)
    return WithFeatures(entropy, ECSTFLLoss(), weight=EC_STFL_WEIGHT) if name == "ec_stfl" else entropy


def class_weights(source: ClipSource) -> Tensor:
    """N / (C n) for each class with n of the N clips, float32 (C,): every class counts alike in the loss."""
    labels, classes = source.table.labels, len(source.classes)
    counts = np.bincount(labels, minlength=classes)
    return torch.tensor(len(labels) / (classes * counts.clip(1)), dtype=torch.float32)


class Objective(nn.Module):
    """A model and its loss.

    Args:
        model: made by `create_model`.
        loss: see `make_loss`.
        from_maps: the inputs are the maps of a frozen backbone instead of clips.
    """

    def __init__(self, model: ClipModel, loss: nn.Module | None, from_maps: bool = False) -> None:
        super().__init__()
        self.model, self.loss, self.from_maps = model, loss, from_maps

    def forward(self, inputs: Maps, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss and the logits (B, C) of clips (B, F, 3, H, W), or of their maps, and labels (B,)."""
        model = self.model
        features = model.features_from_maps(inputs) if self.from_maps else model.forward_features(inputs)
        logits = model.head(features).float()
        if self.loss is None:
            return cast(JointModel, model).loss_from_features(features, labels), logits
        return self.loss(features, logits, labels), logits


@torch.no_grad()
def _feature_width(model: ClipModel) -> int:
    """How many channels the clip features have: one clip of zeros tells."""
    spec, first = model.input_spec, next(model.parameters())
    clip = torch.zeros(1, spec.frames, 3, spec.size, spec.size, device=first.device)
    with keep_modes(model):
        return model.eval().forward_features(clip).shape[1]
