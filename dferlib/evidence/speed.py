"""How fast this machine is with a model: work timed in turns, and beside it what the machine does at its best."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from dferlib.data.table import ArraySource, ClipTable
from dferlib.data.transforms import stored_size
from dferlib.devices import pick_device
from dferlib.evidence.complexity import pass_cost
from dferlib.models import ClipModel
from dferlib.training.config import TrainConfig
from dferlib.training.evaluation import evaluate
from dferlib.training.loop import Trainer
from dferlib.training.processes import make_fabric

Work = Callable[[], object]

LEAST, MOST = 3, 50  # how often work is repeated
SIDES = {"cpu": 2048, "cuda": 8192, "mps": 4096}  # of the matrices whose product is timed
COPIED = 2**28  # bytes that are copied, read once and written once; more than most caches hold
TOGETHER = {"cpu": 1, "cuda": 8, "mps": 8}  # batches timed at once: a GPU is told of the next one before it is done
HALVES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


@dataclass(frozen=True)
class Timing:
    """How long a piece of work took.

    Attributes:
        seconds: of each repeat, in their order.
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds."""
        return float(np.median(self.seconds))

    @property
    def middle(self) -> tuple[float, float]:
        """The quartiles in seconds: half of the repeats lie between them."""
        low, high = np.quantile(self.seconds, (0.25, 0.75))
        return float(low), float(high)

    def over(self, other: "Timing") -> "Timing":
        """This in parts of another that was timed in the same turns, turn by turn."""
        return Timing(tuple(one / two for one, two in zip(self.seconds, other.seconds, strict=True)))


def stopwatch(device: torch.device) -> Callable[[Work], float]:
    """What says how many seconds a piece of work takes on a device, until its last result is there."""
    if device.type == "cuda":

        def on_gpu(work: Work) -> float:
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            torch.cuda.synchronize(device)
            start.record(torch.cuda.current_stream(device))
            work()
            end.record(torch.cuda.current_stream(device))
            end.synchronize()
            return start.elapsed_time(end) / 1000

        return on_gpu

    def by_clock(work: Work) -> float:
        finish = torch.mps.synchronize if device.type == "mps" else lambda: None
        finish()
        started = perf_counter()
        work()
        finish()
        return perf_counter() - started

    return by_clock


def take_turns(
    works: Mapping[str, Work], seconds: float, measure: Callable[[Work], float], progress: bool = False
) -> dict[str, Timing]:
    """Time several pieces of work in turns, A B C A B C, so that whatever slows the machine slows all of them.

    Args:
        works: by name; each is done once to warm up.
        seconds: for all of it. As many rounds are made as fit, at least `LEAST` and at most `MOST`.
        measure: from `stopwatch`.
        progress: show a bar, if it takes more than two seconds.
    """
    rounds: list[list[float]] = []
    spent = 0.0
    total = round(seconds)
    with tqdm(total=total, unit="s", disable=not progress, leave=False, delay=2) as bar:
        while len(rounds) <= LEAST or (len(rounds) <= MOST and spent + sum(rounds[-1]) <= seconds):
            rounds.append([measure(work) for work in works.values()])
            spent += sum(rounds[-1])
            bar.update(min(round(spent), total) - bar.n)
    return {name: Timing(column) for name, column in zip(works, zip(*rounds[1:], strict=True), strict=True)}


class Product:
    """The product of two square matrices, into a third: what the machine does at its best.

    Attributes:
        operations: floating-point operations.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype = torch.float32, side: int | None = None) -> None:
        side = side or SIDES[device.type]
        self.one, self.other = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
        self.out, self.operations = torch.empty_like(self.one), 2 * side**3

    def __call__(self) -> None:
        """Multiply once."""
        torch.mm(self.one, self.other, out=self.out)


class Copy:
    """A copy from one place in memory to another.

    Attributes:
        moved: bytes that are read and written.
    """

    def __init__(self, device: torch.device, size: int = COPIED) -> None:
        self.source = torch.ones(size // 4, device=device)
        self.target, self.moved = torch.empty_like(self.source), 2 * self.source.nbytes

    def __call__(self) -> None:
        """Copy once."""
        self.target.copy_(self.source)


def machine_rates(device: torch.device, seconds: float = 0.5) -> tuple[float, float]:
    """What this machine does at its best.

    Returns:
        Floating-point operations a second in float32 matrix products, and bytes a second in copies.
    """
    product, copy = Product(device), Copy(device)
    found = take_turns({"product": product, "copy": copy}, seconds, stopwatch(device))
    return product.operations / found["product"].median, copy.moved / found["copy"].median


@dataclass(frozen=True)
class Speed:
    """How fast something is done with a model, the making of the batches included.

    Attributes:
        work: "predict", or "train": forward, backward and update.
        clips: in a batch.
        timing: of a batch.
        share: of the rate of matrix products in the same turns and precision, by counted operations.
    """

    work: str
    clips: int
    timing: Timing
    share: float


def noise(model: ClipModel, count: int) -> ArraySource:
    """Clips of noise in the shape that a model is trained on: speed does not depend on what a frame shows."""
    rng, spec, classes = np.random.default_rng(0), model.input_spec, model.config["num_classes"]
    numbers, side = np.arange(count), stored_size(spec.size)
    rows = pd.DataFrame({"id": numbers.astype(str), "label": numbers % classes, "group": numbers})
    table = ClipTable(rows.assign(split="train", frames=spec.frames), tuple(f"class {k}" for k in range(classes)))
    shape = (spec.frames, 3, side, side)
    return ArraySource(table, [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(count)])


def measure_speed(
    model: ClipModel, config: TrainConfig, seconds: float = 20.0, progress: bool = False
) -> Iterator[Speed]:
    """Predict and train in turns, by the library's own loops, on clips of noise that lie in memory.

    First comes one clip by itself, after a tenth of the time. Then come batches: as large as in training, and on a CPU
    no larger than that there is time for all repeats.

    Args:
        model: made by `create_model`; it is left as it was, but is on the device afterwards.
        config: how it is trained, and where: batch size, precision, optimiser, device.
        seconds: for all of it.
        progress: show bars.

    Raises:
        InputError: there is no such device, or it cannot compute in this precision.
    """
    device = pick_device(config.device)
    spec, measure, product = model.input_spec, stopwatch(device), Product(device)
    cost = pass_cost(model.cpu(), (1, spec.frames, 3, spec.size, spec.size))
    passes = 2 if config.sam else 1
    model.to(device)

    found = take_turns({"predict": predictions(model, config, 1), "product": product}, seconds / 10, measure, progress)
    single = found["predict"]
    yield Speed("predict", 1, single, _share(cost.forward, single, product, found["product"]))

    together, clips = TOGETHER[device.type], config.batch_size
    if device.type == "cpu":  # a step takes some 3.5 times as long as a prediction
        fit = 0.9 * seconds / (LEAST + 1) / ((1 + 3.5 * passes) * single.median)
        clips = min(clips, 2 ** int(math.log2(max(fit, 2))))
    config = replace(config, batch_size=clips)
    steps, half = training_steps(deepcopy(model), config)
    products = {torch.float32: product, half: product if half is torch.float32 else Product(device, half)}
    works: dict[str, Work] = {
        "predict": predictions(model, config, clips * together),
        "train": lambda: [next(steps) for _ in range(together)],
        **{str(dtype): product for dtype, product in products.items()},
    }
    found = take_turns(works, 0.9 * seconds, measure, progress)
    for work, operations, dtype in (
        ("predict", cost.forward, torch.float32),
        ("train", passes * cost.both, half),
    ):
        timing = Timing(tuple(taken / together for taken in found[work].seconds))
        yield Speed(work, clips, timing, _share(clips * operations, timing, product, found[str(dtype)]))


def _share(operations: float, timing: Timing, product: Product, best: Timing) -> float:
    return operations / timing.median / (product.operations / best.median)


def predictions(model: ClipModel, config: TrainConfig, count: int) -> Work:
    """A prediction of so many clips in batches, as evaluation does it."""
    clips = noise(model, count)
    return lambda: evaluate(
        model, clips, batch_size=config.batch_size, device=config.device, per_segment=config.per_segment
    )


def training_steps(model: ClipModel, config: TrainConfig) -> tuple[Iterator[int], torch.dtype]:
    """Steps of training without end, and the type of the numbers that they multiply; the model learns noise."""
    config = replace(config, lr=1e-6)  # from noise nothing is learnt, but much can be spoilt
    clips = noise(model, 4 * config.batch_size)
    fabric = make_fabric(config.device, config.precision)
    trainer = Trainer(fabric, model, train_source=clips, val_source=clips, config=config)

    def steps() -> Iterator[int]:
        for number in itertools.count(1):
            trainer.state.step = 0
            yield from trainer.epoch(number)

    return steps(), HALVES.get(str(fabric.strategy.precision.precision), torch.float32)
