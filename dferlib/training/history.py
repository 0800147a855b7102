"""The course of a training: what each epoch came to, for its record and for TensorBoard."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dferlib.errors import InputError


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training clips came to. Accuracies and recalls run from 0 to 1.

    `temperature` is what its logits are divided by where probabilities are asked for, see `fit_temperature`.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_uar: float
    val_war: float
    seconds: float
    temperature: float = 1.0


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


def write_tensorboard(folder: Path, epoch: Epoch) -> None:
    """Add an epoch to what TensorBoard shows.

    Raises:
        InputError: tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError("tensorboard is not installed: pip install tensorboard, or train without it") from error
    with SummaryWriter(folder, purge_step=epoch.epoch) as writer:  # a repeated epoch takes the place of the first try
        for name, value in asdict(epoch).items():
            if name != "epoch":
                writer.add_scalar(name, value, epoch.epoch)
