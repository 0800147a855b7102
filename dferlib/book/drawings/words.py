"""What the parts of a network are called, and over what they work: a frame, the time, both, or each token alone."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn
from torchvision.models.resnet import BasicBlock as ImageBlock  # type: ignore[import-untyped]
from torchvision.models.video.resnet import BasicBlock as VideoBlock  # type: ignore[import-untyped]
from torchvision.models.video.resnet import Conv2Plus1D

from dferlib.models.attention import (
    GlobalAttention,
    JointAttention,
    LocalAttention,
    SpatialAttention,
    TemporalAttention,
)
from dferlib.models.backbones import VGG, BasicBlock, DlibFace, ResNet18, SlimResNet
from dferlib.models.dlib_face import DlibBlock
from dferlib.models.former_dfer import FormerBlock, SFormer
from dferlib.models.i3d import Mixed, Same
from dferlib.models.p3d import P3DBlock

FRAME, TIME, BOTH, TOKEN, PLAIN = "frame", "time", "both", "token", "plain"
Names = tuple[str, str, str]  # what it is, a sentence about it, over what it works

_P3D: dict[str, str] = {
    "A": "over space, then over time",
    "B": "over space and over time side by side",
    "C": "over space; over time is added to it",
    "2D": "over space alone",
}
_P3D_LOOK: dict[str, str] = {"A": BOTH, "B": BOTH, "C": BOTH, "2D": FRAME}
# one box, although there is more inside
WHOLE: dict[type[nn.Module], Callable[[Any], Names]] = {
    BasicBlock: lambda m: _residual(m),
    ImageBlock: lambda m: _residual(m),
    DlibBlock: lambda m: _residual(m),
    VideoBlock: lambda m: _residual(m),
    P3DBlock: lambda m: (f"P3D block {m.kind}" if m.kind != "2D" else "Bottleneck", _P3D[m.kind], _P3D_LOOK[m.kind]),
    Mixed: lambda m: ("Mixed layer", "four branches side by side", BOTH),
    FormerBlock: lambda m: ("Transformer block", "attention, then an MLP", FRAME),
    nn.LSTM: lambda m: ("LSTM", f"reads the frames in order, {m.hidden_size} channels", TIME),
    nn.GRU: lambda m: ("GRU", f"reads the frames in order, {m.hidden_size} channels", TIME),
}
# "spatial attention" and so on: what the query sees
ATTENTIONS: dict[type[nn.Module], Names] = {
    TemporalAttention: ("Temporal attention", "a token sees its own place in every frame", TIME),
    GlobalAttention: ("Global attention", "a token sees one pooled token of every window", BOTH),
    LocalAttention: ("Local attention", "a token sees its own window of space and time", BOTH),
    JointAttention: ("Joint attention", "a token sees every token", BOTH),
    SpatialAttention: ("Spatial attention", "a token sees its own frame", FRAME),
}
BACKBONES: dict[type[nn.Module], str] = {
    SlimResNet: "Slim ResNet",
    ResNet18: "ResNet18",
    VGG: "VGG",
    DlibFace: "dlib's face ResNet",
    SFormer: "S-Former",
}
EXTRAS = (nn.modules.batchnorm._BatchNorm, nn.ReLU, nn.GELU, nn.Sigmoid, nn.Dropout)
SILENT = (Same, nn.Identity, nn.Flatten)


class Extra(NamedTuple):
    """What follows a layer and gets no box of its own."""

    name: str


def times(values: Any) -> str:
    """Sizes, as "3 × 3", which stay in one line."""
    return "\u00a0×\u00a0".join(map(str, values))


def _residual(block: nn.Module) -> Names:
    """Two convolutions and a shortcut."""
    conv = next(layer for layer in block.modules() if isinstance(layer, nn.Conv2d | nn.Conv3d))
    stride = ", stride 2" if max(conv.stride) > 1 else ""
    if any(isinstance(layer, Conv2Plus1D) for layer in block.modules()):
        return "Residual block", f"twice: over space, then over time{stride}", BOTH
    return "Residual block", f"two {times(conv.kernel_size)} convolutions{stride}", _convolution(conv)[2]


def _convolution(conv: Any) -> Names:
    kernel, stride = conv.kernel_size, conv.stride
    detail = f"stride {stride[0] if len(set(stride)) == 1 else times(stride)}" if max(stride) > 1 else ""
    if len(kernel) == 1:
        return f"Convolution over {kernel[0]} frames", detail, TIME
    look = FRAME
    if len(kernel) == 3:
        over_time, over_space = kernel[0] > 1, max(kernel[1:]) > 1
        look = BOTH if over_time and over_space else TIME if over_time else FRAME if over_space else TOKEN
    elif max(kernel) == 1:
        look = TOKEN
    return f"Convolution {times(kernel)}", detail, look


def _pool(pool: Any) -> Names:
    kernel, stride = ((v, v) if isinstance(v, int) else v for v in (pool.kernel_size, pool.stride))
    kind = "Mean of neighbours," if isinstance(pool, nn.AvgPool2d) else "Max-pool"
    if isinstance(pool, nn.MaxPool3d):
        kernel, stride = ((v,) * 3 if isinstance(v, int) else v for v in (pool.kernel_size, pool.stride))
    detail = "" if tuple(kernel) == tuple(stride) or max(stride) == 1 else f"stride {times(stride)}"
    return f"{kind} {times(kernel)}", detail, FRAME if len(kernel) == 2 or kernel[0] == 1 else BOTH


def _extra(module: nn.Module) -> str:
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return "batch norm"
    return type(module).__name__.replace("Dropout", "dropout").replace("Sigmoid", "sigmoid")


def describe(module: nn.Module) -> Names | Extra | None:
    """What a part is called; None for one that is looked into, or that is not worth a word.

    Returns:
        Its name, a sentence, and over what it works; or an `Extra`, which is said in the box of what came before.
    """
    for kind, names in WHOLE.items():
        if isinstance(module, kind):
            return names(module)
    for kind, attention in ATTENTIONS.items():
        if isinstance(module, kind):
            return attention
    if isinstance(module, EXTRAS):
        return Extra(_extra(module))
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return _convolution(module)
    if isinstance(module, nn.MaxPool2d | nn.MaxPool3d | nn.AvgPool2d):
        return _pool(module)
    if isinstance(module, nn.LayerNorm):
        return "LayerNorm", "", PLAIN
    if isinstance(module, nn.Linear):
        return "Linear layer", "", TOKEN
    return None if len(list(module.children())) or isinstance(module, SILENT) else (type(module).__name__, "", TOKEN)
