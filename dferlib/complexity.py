"""What a model costs: parameters, and multiply-accumulates for one clip."""

import warnings
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from dferlib.models import ClipModel


@dataclass(frozen=True)
class Complexity:
    """The cost of one clip.

    Attributes:
        parameters: how many numbers are learnt.
        gmac: multiply-accumulates of convolutions, matrix products and attention, in units of 1e9. The papers print
            this under the name FLOPs. Norms, activations, pooling and additions are not in it, as is usual.
        normed: values that pass batch or layer normalisation, in units of 1e9; some tools count two for each.
    """

    parameters: int
    gmac: float
    normed: float


def complexity(model: ClipModel) -> Complexity:
    """Count what a model costs for one clip of its `input_spec`.

    torch counts floating-point operations, two to a multiply-accumulate; so its figure is halved.
    """
    spec, was_training = model.input_spec, model.training
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm | nn.LayerNorm)]
    normed: list[int] = []
    hooks = [m.register_forward_hook(lambda _, inputs, output: normed.append(output.numel())) for m in norms]
    clip = next(model.parameters()).new_zeros(1, spec.frames, 3, spec.size, spec.size)
    model.eval()
    try:
        # torch counts nothing inside a CPU's fused kernels, of attention or recurrent; switching them off it may warn
        # of settings that nobody touched
        with (
            warnings.catch_warnings(action="ignore", category=UserWarning),
            sdpa_kernel(SDPBackend.MATH),
            torch.backends.mkldnn.flags(enabled=False, allow_tf32=False),
            FlopCounterMode(display=False) as counter,
        ):
            model(clip)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    parameters = sum(p.numel() for p in model.parameters())
    return Complexity(parameters, counter.get_total_flops() / 2e9, sum(normed) / 1e9)
