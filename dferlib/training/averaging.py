"""An exponential moving average of the weights: what is validated and kept, where one is asked for."""

from typing import cast

from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dferlib.models.base import ClipModel


class WeightAverage(AveragedModel):
    """w <- decay * w + (1 - decay) * the weights after each step; the running statistics of batches too.

    Args:
        model: whose weights.
        decay: between 0 and 1; near 1 the average has a long memory.
    """

    def __init__(self, model: ClipModel, decay: float) -> None:
        super().__init__(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)

    @property
    def model(self) -> ClipModel:
        """A model with the average as its weights."""
        return cast(ClipModel, self.module)
