"""Where the time of a forward pass goes: convolutions, products, norms, pools, copies, each against the machine."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, shape_wrapper

from dferlib.evidence.complexity import FUSED
from dferlib.evidence.speed import Copy, Work, stopwatch, take_turns

# the first of these words that is in the name of an operation of torch says what it is; all others are "other"
KINDS = {
    "convolution": "convolution",
    "scaled_dot_product": "attention",
    "rnn": "recurrent",
    "addmm": "matrix product",
    "bmm": "matrix product",
    "mm": "matrix product",
    "batch_norm": "batch norm",
    "layer_norm": "layer norm",
    "softmax": "softmax",
    "pool": "pooling",
    "mean": "pooling",
    "gelu": "activation",
    "relu": "activation",
    "add": "sum",
    "copy": "copy",
    "clone": "copy",
    "cat": "copy",
}
COUNTED = {**flop_registry, **{name: shape_wrapper(count) for name, count in FUSED.items()}}
SIZES = [2**k for k in range(14, 29, 2)]  # bytes of the copies that others are compared with; small ones fit in caches


@dataclass(frozen=True)
class Part:
    """All operations of one kind in a forward pass.

    Attributes:
        seconds: median over the repeats.
        operations: floating-point operations of convolutions, products and attention; 0 for the others.
        moved: bytes of all tensors that are read and written, each once for every operation.
        copying: seconds that copies would take which move as many bytes.
    """

    seconds: float
    operations: int
    moved: int
    copying: float


def parts(
    model: nn.Module, clips: Tensor, copies: Mapping[int, float], repeats: int = 3, measure: Callable | None = None
) -> dict[str, Part]:
    """Time every operation of a forward pass by itself, and add them up by kind.

    Args:
        model: in evaluation mode, on the device of the clips.
        clips: what it takes.
        copies: from `copy_seconds`.
        repeats: after one that warms up.
        measure: from `dferlib.evidence.speed.stopwatch`; that of the device if not given.

    Returns:
        By the name of the kind, what takes longest first.
    """
    watch = _Watch(measure or stopwatch(clips.device), copies)
    runs = []
    with torch.no_grad():
        for _ in range(1 + repeats):
            watch.found = defaultdict(lambda: np.zeros(4))
            with watch:
                model(clips)
            runs.append(watch.found)
    means = {kind: np.median([run[kind] for run in runs[1:]], 0) for kind in runs[-1]}
    return {
        kind: Part(float(seconds), int(operations), int(moved), float(copying))
        for kind, (seconds, operations, moved, copying) in sorted(means.items(), key=lambda item: -item[1][0])
    }


def copy_seconds(device: torch.device, seconds: float = 1.0) -> dict[int, float]:
    """How long copies take on a device: seconds by the bytes that they move. Small ones stay in caches."""
    copies = {str(size): Copy(device, size) for size in SIZES}
    found = take_turns(copies, seconds, stopwatch(device))
    return {copies[name].moved: timing.median for name, timing in found.items()}


class _Watch(TorchDispatchMode):
    """Times the operations, and adds up seconds, operations, bytes, and the seconds of copies of so many bytes."""

    def __init__(self, measure: Callable[[Work], float], copies: Mapping[int, float]) -> None:
        super().__init__()
        self.measure, self.found = measure, defaultdict[str, np.ndarray](lambda: np.zeros(4))
        self.copies = np.array(sorted(copies.items())).T

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, done = kwargs or {}, []
        seconds = self.measure(lambda: done.append(func(*args, **kwargs)))
        (out,) = done
        if func.is_view:
            return out
        name, packet = func.name().removeprefix("aten::"), func.overloadpacket
        operations = COUNTED[packet](*args, **kwargs, out_val=out) if packet in COUNTED else 0
        moved = _bytes(tree_leaves((args, kwargs))) + _bytes(tree_leaves(out))
        kind = next((kind for word, kind in KINDS.items() if word in name), "other")
        # from one size to the next the seconds are taken to grow as the bytes do
        sizes, times = self.copies
        self.found[kind] += seconds, operations, moved, moved * np.interp(moved, sizes, times / sizes)
        return out


def _bytes(values: Iterable[Any]) -> int:
    return sum(value.numel() * value.element_size() for value in values if isinstance(value, Tensor))
