"""Optimisers, schedules of the learning rate, and sharpness-aware minimisation."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import get_total_norm
from torch.utils.checkpoint import checkpoint

from dferlib.models.base import Block, ClipModel
from dferlib.training.objective import Objective

if TYPE_CHECKING:
    from dferlib.training.config import TrainConfig

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "steps")
MOMENTUM = 0.9


def make_optimizer(model: ClipModel, config: "TrainConfig") -> torch.optim.Optimizer:
    """AdamW, or SGD with momentum 0.9, with a rate of its own for the backbone; a frozen one is left out."""
    backbone = {id(parameter) for parameter in model.backbone.parameters()}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.parameters() if id(p) not in backbone], "lr": config.lr}
    ]
    if config.backbone_lr_scale > 0:
        groups.append({"params": list(model.backbone.parameters()), "lr": config.lr * config.backbone_lr_scale})
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=MOMENTUM, weight_decay=config.weight_decay)
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay)


def rate(step: int, steps: int, per_epoch: int, warmup: float, schedule: str, milestones: Sequence[int]) -> float:
    """The factor on the learning rate in a step.

    Args:
        step: how many steps were taken before, in all epochs.
        steps: how many there are in all epochs.
        per_epoch: how many there are in each.
        warmup: part of all steps in which the rate rises from 0.
        schedule: "cosine" falls as half a cosine to 0; "steps" stays, and is divided by 10 at each milestone.
        milestones: after how many epochs.
    """
    rising = min(1.0, (step + 1) / max(1.0, warmup * steps))
    if schedule == "steps":
        return rising * 0.1 ** sum(step // per_epoch >= milestone for milestone in milestones)
    return rising * 0.5 * (1 + math.cos(math.pi * step / steps))


@contextmanager
def climbed(parameters: Iterable[nn.Parameter], rho: float) -> Iterator[None]:
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
def statistics_kept(objective: Objective) -> Iterator[None]:
    """Let a forward pass leave no trace: neither in batch statistics, nor in what a loss remembers (its centres)."""
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


@contextmanager
def _second_time(module: nn.Module) -> Iterator[None]:
    """Do the same computation again without moving the batch statistics again."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    before = [(norm.momentum, deepcopy(norm.num_batches_tracked)) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum = momentum
            if norm.num_batches_tracked is not None and batches is not None:
                norm.num_batches_tracked.copy_(batches)


@contextmanager
def recomputed(model: ClipModel) -> Iterator[None]:
    """Keep no more than the inputs of each block and of each part of the backbone, for the time of the block.

    The backward pass computes the rest again (activation checkpointing): less memory for about a third more time, and
    the same gradient to the bit, since dropout is drawn again alike and batch statistics are left alone.
    """
    blocks = [
        m for m in model.modules() if isinstance(m, Block) and not any(isinstance(n, Block) for n in m.children())
    ]
    parts = [*model.backbone.children(), *blocks]
    for part in parts:
        again = partial(_second_time, part)
        part.forward = partial(
            checkpoint, part.forward, use_reentrant=False, context_fn=lambda again=again: (nullcontext(), again())
        )
    try:
        yield
    finally:
        for part in parts:
            del part.forward
