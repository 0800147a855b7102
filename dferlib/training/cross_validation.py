"""Training once for each fold, so that every clip is tested on by a model that has not seen it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from dferlib.data.protocols import hold_out
from dferlib.data.table import ClipSource
from dferlib.models.base import ClipModel
from dferlib.training.config import TrainConfig
from dferlib.training.evaluation import Predictions, evaluate
from dferlib.training.loop import train


def cross_validate(
    make_model: Callable[[], ClipModel],
    parts: Sequence[tuple[ClipSource, ClipSource]],
    config: TrainConfig | None = None,
    share: float = 0.1,
    progress: bool = True,
) -> Predictions:
    """Train a new model for each fold, and put together what each says of the clips that it has not seen.

    Args:
        make_model: gives an untrained model.
        parts: for each fold the clips to learn from, and those to test on, see `folds`.
        config: how to train; the defaults if not given.
        share: what part of the clips to learn from is set aside to choose the epoch by. With `select="test"` nothing
            is, and the epoch is chosen on the test clips: only to show what that does to the numbers.
        progress: show a bar for each fold.

    Returns:
        For all test clips, fold by fold. Its `metrics()` are those of the whole, in which each clip counts once.

    Raises:
        InputError: see `hold_out`, `train` and `evaluate`.
    """
    config, found = config or TrainConfig(), []
    for number, (source, tested) in enumerate(parts):
        learnt, judge = (source, tested) if config.select == "test" else hold_out(source, share, config.seed)
        model = make_model()
        train(model, learnt, judge, replace(config, seed=config.seed + number), progress=progress)
        found.append(evaluate(model, tested, device=config.device, per_segment=config.per_segment))
    joined = {name: np.concatenate([getattr(part, name) for part in found]) for name in ("ids", "labels", "groups")}
    return Predictions(**joined, logits=np.concatenate([part.logits for part in found]), classes=found[0].classes)
