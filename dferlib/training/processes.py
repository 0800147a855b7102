"""One training in several processes, as `torchrun` starts them on one or many machines.

Every process takes a share of each batch, and together they do what one process would do with the whole batch: the
gradient is that of the mean over all clips, and batch normalisation sees all of them. Dropout alone is drawn by each
process for itself.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dferlib.devices import pick_device
from dferlib.errors import InputError

if TYPE_CHECKING:
    from lightning.fabric import Fabric

Item = TypeVar("Item")


def make_fabric(device: str, precision: str) -> "Fabric":
    """Set up Lightning Fabric on a device for as many processes as `torchrun` has started, or for this one alone.

    Args:
        device: "auto", "cpu", "cuda" or "mps".
        precision: "auto" (bf16-mixed on a CUDA device, otherwise 32-true), "32-true", "bf16-mixed" or "16-mixed".

    Raises:
        InputError: this machine has no such device, fewer of them than processes, or cannot compute in this precision.
    """
    from lightning.fabric import Fabric  # here, because it takes seconds to import

    kind = pick_device(device).type
    if precision == "auto":
        precision = "bf16-mixed" if kind == "cuda" else "32-true"
    if precision == "16-mixed" and kind == "cpu":
        raise InputError("16-mixed needs a GPU: choose bf16-mixed or 32-true")
    world = int(os.environ.get("WORLD_SIZE", 1))
    if world == 1:
        return Fabric(accelerator=kind, devices=1, precision=precision)  # type: ignore[arg-type]
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    if kind == "cuda" and local > torch.cuda.device_count():
        raise InputError(f"{local} processes for {torch.cuda.device_count()} GPUs: start one process for each GPU")
    fabric = Fabric(accelerator=kind, devices=local, num_nodes=world // local, strategy="ddp", precision=precision)  # type: ignore[arg-type]
    fabric.launch()
    return fabric


def is_first() -> bool:
    """Whether this process is the one that writes files and talks to the user."""
    return int(os.environ.get("RANK", 0)) == 0


def rank_and_world_size() -> tuple[int, int]:
    """The rank of this process and how many there are; (0, 1) where it works alone."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def all_gather(items: list[Item]) -> list[Item]:
    """The items of all processes, those of the first one first. Every process must call it."""
    count = rank_and_world_size()[1]
    if count == 1:
        return items
    everybody: list[list[Item]] = [[] for _ in range(count)]
    distributed.all_gather_object(everybody, items)
    return [item for part in everybody for item in part]


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        total = slopes[0].clone()
        distributed.all_reduce(total)
        return total


class SynchronisedBatchNorm(_BatchNorm):
    """Batch normalisation over the clips of all processes. Unlike torch's SyncBatchNorm it works on a CPU too."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Every number of dimensions will do."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) to the same shape."""
        if not self.training or rank_and_world_size()[1] == 1:
            return super().forward(input)
        dims, shape = [0, *range(2, input.dim())], [1, -1, *[1] * (input.dim() - 2)]
        x = input.float()
        sums = torch.cat([x.sum(dims), x.new_full((1,), x.numel() / x.shape[1])])
        sums = _Sum.apply(sums)
        count = sums[-1].detach()
        mean = sums[:-1] / count
        away = x - mean.view(shape)
        variance = _Sum.apply(away.square().sum(dims)) / count
        if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                assert self.num_batches_tracked is not None
                self.num_batches_tracked.add_(1)
                pace = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean, pace)
                self.running_var.lerp_(variance * count / (count - 1), pace)
        out = away * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)


@contextmanager
def synchronise_batch_norm(model: nn.Module) -> Iterator[None]:
    """Let the batch normalisation of a model see all processes' clips for the time of the block."""
    kinds = {m: type(m) for m in model.modules() if isinstance(m, _BatchNorm)} if rank_and_world_size()[1] > 1 else {}
    for module in kinds:
        module.__class__ = SynchronisedBatchNorm
    try:
        yield
    finally:
        for module, kind in kinds.items():
            module.__class__ = kind
