"""A model is lent to its training: what is changed about it, and about torch, for that time."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from dferlib.models.base import ClipModel, keep_modes
from dferlib.training.activation_checkpointing import checkpoint_activations
from dferlib.training.config import TrainConfig
from dferlib.training.processes import synchronise_batch_norm


@contextmanager
def prepare_for_training(model: ClipModel, config: TrainConfig) -> Iterator[None]:
    """Seed torch, freeze what is to be frozen, let processes share batch statistics, checkpoint activations.

    After the block all is as it was, the device of the model and the caller's chance too.
    """
    home = next(model.parameters()).device
    wanted = [parameter.requires_grad for parameter in model.backbone.parameters()]
    deterministic = torch.backends.cudnn.deterministic
    with torch.random.fork_rng(), keep_modes(model):
        torch.manual_seed(config.seed)
        torch.backends.cudnn.deterministic = True
        if config.backbone_lr_scale == 0:
            model.backbone.requires_grad_(False)
        checkpointing = checkpoint_activations(model) if config.recompute else nullcontext()
        try:
            with synchronise_batch_norm(model), checkpointing:
                yield
        finally:
            torch.backends.cudnn.deterministic = deterministic
            for parameter, flag in zip(model.backbone.parameters(), wanted, strict=True):
                parameter.requires_grad_(flag)
            model.to(home)
