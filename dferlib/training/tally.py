"""The training loss and accuracy of an epoch, without making a GPU wait for them in every step."""

import math

import torch
from torch import Tensor

from dferlib.errors import InputError
from dferlib.training.config import TrainConfig
from dferlib.training.processes import all_gather


class Tally:
    """What the steps of an epoch came to.

    A number that Python looks at must have been computed, so each look at one ends the work that a GPU has before it.
    `add` therefore leaves the numbers where they are, and `read` takes those of many steps over in one copy.

    Args:
        config: of the training.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.sums = torch.zeros(3, dtype=torch.float64)  # of what was read: losses of clips, correct clips, clips
        self.unread: list[Tensor] = []  # of each step: mean loss, norm of the gradient, correct clips, clips

    def add(self, loss: Tensor, norm: Tensor, *, logits: Tensor, labels: Tensor) -> None:
        """Note a step.

        Args:
            loss: mean of the batch, ().
            norm: of the gradient, ().
            logits: (B, C).
            labels: (B,).
        """
        correct = (logits.argmax(1) == labels).sum()
        clips = correct.new_full((), len(labels))
        self.unread.append(torch.stack([part.detach().float() for part in (loss, norm, correct, clips)]))

    def read(self, epoch: int) -> None:
        """Look at the steps that were noted since the last time.

        Raises:
            InputError: the loss of one, or its gradient, is nan or infinite; that of the first of them is told. With
                16-mixed the gradient may be: its scaler leaves such a step out itself.
        """
        if not self.unread:
            return
        rows = torch.stack(self.unread).tolist()
        self.unread.clear()
        for loss, norm, correct, clips in rows:
            watched = loss if self.config.precision == "16-mixed" else loss + norm
            if not math.isfinite(watched):
                raise InputError(
                    f"epoch {epoch}/{self.config.epochs}: the loss is {loss:g} and its gradient {norm:g}, "
                    f"so training stopped; choose a lower learning rate than {self.config.lr:g}"
                )
            self.sums += torch.tensor([loss * clips, correct, clips], dtype=torch.float64)

    def gather(self) -> Tensor:
        """The sums of all processes, float64 (3,). Every process must call it."""
        return torch.stack(all_gather([self.sums])).sum(0)

    def means(self) -> tuple[float, float]:
        """Loss and accuracy, over the clips of all processes. Every process must call it."""
        loss, correct, clips = self.gather().tolist()
        return loss / clips, correct / clips
