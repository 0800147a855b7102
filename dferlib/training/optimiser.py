"""The optimiser and the schedule of its learning rate."""

import math
from typing import Any

import torch

from dferlib.models.base import ClipModel
from dferlib.training.config import TrainConfig

MOMENTUM = 0.9


def make_optimizer(model: ClipModel, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW, or SGD with momentum 0.9, with a rate of its own for the backbone; a frozen one is left out."""
    backbone = {id(parameter) for parameter in model.backbone.parameters()}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.parameters() if id(p) not in backbone], "lr": config.lr}
    ]
    if config.backbone_lr_scale > 0:
        groups.append({"params": list(model.backbone.parameters()), "lr": config.lr * config.backbone_lr_scale})
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=MOMENTUM, weight_decay=config.weight_decay)
    # one pass over the numbers in place of a dozen; on a GPU torch's default does as well, and 16-mixed takes no other
    fused = next(model.parameters()).device.type == "cpu"
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=fused)


def make_schedule(
    optimizer: torch.optim.Optimizer, config: TrainConfig, per_epoch: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """What sets the learning rates for each step, by `learning_rate_factor`."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, config, per_epoch))


def learning_rate_factor(step: int, config: TrainConfig, per_epoch: int) -> float:
    """The factor on the learning rates in a step.

    It rises in the first steps, as many as `config.warmup` says; "cosine" falls as half a cosine to 0, "steps" stays,
    and is divided by 10 at each milestone.

    Args:
        step: how many steps were taken before, in all epochs.
        config: of the training.
        per_epoch: how many steps an epoch has.
    """
    steps = config.epochs * per_epoch
    rising = min(1.0, (step + 1) / max(1.0, config.warmup * steps))
    if config.schedule == "steps":
        return rising * 0.1 ** sum(step // per_epoch >= milestone for milestone in config.milestones)
    return rising * 0.5 * (1 + math.cos(math.pi * step / steps))
