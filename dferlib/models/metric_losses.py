"""Losses on clip features instead of logits: they pull a class together, and are added to cross entropy.

Both compute in float32 whatever the features are. `model.forward_features(clips)` gives the features.
"""

import torch
from torch import Tensor, nn

from dferlib.errors import InputError
from dferlib.models.losses import check_labels, precise


class CenterLoss(nn.Module):
    """Center loss (Wen et al., ECCV 2016): half the squared distance of each feature to the centre of its class.

    The mean over the batch is taken, where the original has the sum, so that the batch size does not change its weight.
    The centres are no parameters: while the loss is in training mode each call moves the centres of the classes that it
    sees towards their features (Eq. 4 there), after the loss has been computed. They begin at zero.

    Args:
        num_classes: C.
        dim: D, channels of the features.
        rate: how far the centres move, alpha in the original; above 0 and at most 1.

    Raises:
        InputError: the rate is out of range.
    """

    centers: Tensor

    def __init__(self, num_classes: int, dim: int, rate: float = 0.5) -> None:
        super().__init__()
        if not 0 < rate <= 1:
            raise InputError(f"rate is {rate}: it must be above 0 and at most 1")
        self.rate = rate
        self.register_buffer("centers", torch.zeros(num_classes, dim))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of features (B, D) and labels (B,) int64.

        Raises:
            InputError: features of another width, or a label out of range.
        """
        classes, dim = self.centers.shape
        if features.dim() != 2 or features.shape[1] != dim:
            raise InputError(f"features have shape {tuple(features.shape)}: these centres take (batch, {dim})")
        check_labels(labels, classes)
        away = precise(features) - self.centers[labels]
        if self.training:
            with torch.no_grad():
                total = torch.zeros_like(self.centers).index_add_(0, labels, away.to(self.centers.dtype))
                count = labels.new_zeros(classes, 1).index_add_(0, labels, torch.ones_like(labels)[:, None])
                self.centers += self.rate * total / (1 + count)
        return away.square().sum(1).mean() / 2


class ECSTFLLoss(nn.Module):
    """The loss of EC-STFL (Jiang et al., ACM Multimedia 2020, the paper of DFEW), as its authors' code computes it.

    For each clip, the mean distance to the clips of its class, itself among them, times the sum of the inverse
    distances to all others over one more than their number; the mean of that over the batch, divided by the batch size
    once more. Distances are L1. They add 10 times this to cross entropy. A batch of one class costs nothing.
    """

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """The loss of features (B, D) and labels (B,) int64.

        Raises:
            InputError: features and labels do not belong together.
        """
        if features.dim() != 2 or labels.shape != features.shape[:1]:
            raise InputError(
                f"features have shape {tuple(features.shape)} and labels {tuple(labels.shape)}:"
                " give (batch, dim) and (batch,)"
            )
        features = precise(features)
        distance = (features[:, None] - features[None]).abs().sum(2)
        same = labels[:, None] == labels[None]
        near = distance.masked_fill(~same, 0).sum(1) / same.sum(1)
        far = (1 / (distance + 1e-6)).masked_fill(same, 0).sum(1) / ((~same).sum(1) + 1)
        return (near * far).mean() / len(labels)
