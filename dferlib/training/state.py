"""Everything that a training changes as it goes on, so that it can stop anywhere and be resumed."""

from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from dferlib.training.averaging import WeightAverage
from dferlib.training.history import Epoch, History
from dferlib.training.objective import Objective
from dferlib.training.processes import is_first
from dferlib.training.tally import Tally


class Stateful(Protocol):
    """What can be saved and loaded."""

    def state_dict(self) -> dict[str, Any]:
        """What to save."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Take over what was saved."""


@dataclass
class TrainState:
    """How far a training has come. What chance will decide follows from the seed and the numbers of the steps.

    Attributes:
        objective: the model and its loss.
        optimizer: with its momentum.
        schedule: of the learning rates.
        precision: of Fabric, with the scale of the loss in 16-mixed.
        tally: loss and accuracy of this epoch so far.
        best: the weights of the best epoch; until one is over, those that the model began with.
        average: of the weights, if one is wanted.
        history: the epochs that are over.
        step: how many steps were taken in this epoch.
    """

    objective: Objective
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    precision: Stateful
    tally: Tally
    best: dict[str, Tensor]
    average: WeightAverage | None = None
    history: History = field(default_factory=History)
    step: int = 0

    def end_epoch(self, epoch: Epoch, weights: dict[str, Tensor]) -> None:
        """Note what an epoch came to, keep its weights if they are the best so far, and be ready for the next."""
        self.history.epochs.append(epoch)
        if self.history.best is epoch:
            self.best = {key: value.clone() for key, value in weights.items()}
        self.step, self.tally = 0, Tally(self.tally.config)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values. Every process must call it, for each has a part of the tally."""
        return {
            "history": [asdict(epoch) for epoch in self.history.epochs],
            "step": self.step,
            "tally": self.tally.gather(),
            "best": self.best,
            "average": None if self.average is None else self.average.state_dict(),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where `state_dict` was called."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.history = History([Epoch(**epoch) for epoch in state["history"]])
        self.step, self.best = state["step"], state["best"]
        if is_first():
            self.tally.sums = state["tally"].cpu()

    def _parts(self) -> dict[str, Stateful]:
        return {
            "objective": self.objective,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "precision": self.precision,
        }
