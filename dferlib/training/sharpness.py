"""Sharpness-aware minimisation (Foret et al., ICLR 2021): the gradient is taken where the loss is higher nearby."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import get_total_norm

from dferlib.training.objective import Objective


@contextmanager
def ascend(parameters: Iterable[nn.Parameter], rho: float) -> Iterator[None]:
    """Move the weights along their gradient for a distance of `rho`, and for the end of the block back to the bit.

    The gradient taken in between is that of sharpness-aware minimisation (Foret et al., ICLR 2021, Eq. 2 and 3).
    """
    moved = [p for p in parameters if p.grad is not None]
    before = [p.detach().clone() for p in moved]
    with torch.no_grad():
        norm = get_total_norm([p.grad for p in moved if p.grad is not None])
        for p in moved:
            assert p.grad is not None
            p.add_(p.grad * (rho / (norm + 1e-12)))
    try:
        yield
    finally:
        with torch.no_grad():
            for p, old in zip(moved, before, strict=True):
                p.copy_(old)


@contextmanager
def freeze_statistics(objective: Objective) -> Iterator[None]:
    """Let a forward pass leave no trace: neither in batch statistics, nor in what a loss remembers (its centres).

    The pass is still that of training: it normalises by the statistics of the batch.
    """
    norms = [m for m in objective.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    if objective.loss is not None:
        objective.loss.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
        if objective.loss is not None:
            objective.loss.train()
