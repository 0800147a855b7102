"""How fast this machine predicts with a model and trains it: the library's own loops, on clips of noise."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import pandas as pd
from tqdm import tqdm

from dferlib.data.table import ArraySource, ClipTable
from dferlib.data.transforms import stored_size
from dferlib.models import ClipModel
from dferlib.training.config import TrainConfig
from dferlib.training.evaluation import evaluate
from dferlib.training.loop import Trainer
from dferlib.training.processes import make_fabric

STEPS = 4  # batches in a round


@dataclass(frozen=True)
class Speed:
    """Clips a second, the making of the batches included; medians over the rounds.

    Attributes:
        predicted: in evaluation.
        trained: in training, forward, backward and update.
    """

    predicted: float
    trained: float


def noise(model: ClipModel, count: int) -> ArraySource:
    """Clips of noise in the shape that a model is trained on: speed does not depend on what a frame shows."""
    rng, spec, classes = np.random.default_rng(0), model.input_spec, model.config["num_classes"]
    numbers, side = np.arange(count), stored_size(spec.size)
    rows = pd.DataFrame({"id": numbers.astype(str), "label": numbers % classes, "group": numbers})
    table = ClipTable(rows.assign(split="train", frames=spec.frames), tuple(f"class {k}" for k in range(classes)))
    shape = (spec.frames, 3, side, side)
    return ArraySource(table, [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(count)])


def measure_speed(model: ClipModel, config: TrainConfig, rounds: int = 5, progress: bool = False) -> Speed:
    """Predict and train in turns, on clips that lie in memory.

    Args:
        model: made by `create_model`; it learns noise, so take one that is not needed any more.
        config: how it is trained, and where: batch size, precision, optimiser, device.
        rounds: how often each is measured, after a round that warms up.
        progress: show a bar.

    Raises:
        InputError: there is no such device, or it cannot compute in this precision.
    """
    clips = noise(model, STEPS * config.batch_size)
    fabric = make_fabric(config.device, config.precision)
    trainer = Trainer(fabric, model, train_source=clips, val_source=clips, config=config)

    def predict(_: int) -> None:
        evaluate(model, clips, batch_size=config.batch_size, device=config.device, per_segment=config.per_segment)

    def learn(number: int) -> None:
        trainer.state.step = 0
        for _ in trainer.epoch(number):
            pass

    def seconds(work: Callable[[int], None], number: int) -> float:
        started = perf_counter()
        work(number)
        return perf_counter() - started

    numbers = tqdm(range(1, rounds + 2), unit="round", disable=not progress, leave=False)
    times = np.array([(seconds(predict, number), seconds(learn, number)) for number in numbers])[1:]
    predicted, trained = len(clips) / np.median(times, 0)
    return Speed(float(predicted), float(trained))
