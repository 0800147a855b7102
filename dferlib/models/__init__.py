"""The models: `create_model` builds one by its name, `attention_maps` and `feature_maps` look into it.

One file a paper, readable from top to bottom, on `attention` (the family), `backbones` and `base` (what all have in
common); `losses` and `metric_losses` are what the papers train with.
It may know the ground. How clips are made and how a model is trained is none of its business.
"""

import inspect
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dferlib.errors import InputError, choose, of_kind
from dferlib.models.attention import Attention
from dferlib.models.base import Block, ClipModel, InputSpec, keep_modes
from dferlib.models.former_dfer import FormerDFER
from dferlib.models.frames import FrameAverage, SingleFrame
from dferlib.models.i3d import I3D
from dferlib.models.logo_former import LOGOFormer
from dferlib.models.msstnet import MSSTNet
from dferlib.models.nr_dfernet import NRDFERNet
from dferlib.models.p3d import P3D
from dferlib.models.recurrent import VGG11LSTM, VGG13LSTM, ResNetGRU, ResNetLSTM
from dferlib.models.staner import SGAER, STANER, TLER
from dferlib.models.stt import STT
from dferlib.models.volumes import C3D, R3D18, InflatedResNet, R2Plus1D18, VolumeModel

__all__ = ["SCALES", "ClipModel", "InputSpec", "attention_maps", "create_model", "feature_maps", "list_models"]

SCALES = ("book", "paper")
_CHECKED = ("num_classes", "frames", "size", "heads")  # whose values are checked where it is known why
_BOOK: dict[str, Any] = {"frames": 8, "size": 56, "backbone": "slim", "weights": "makefaces"}
# name: the class and what it is given at book scale; the defaults of the class are the paper's
_MODELS: dict[str, tuple[type[ClipModel], dict[str, Any]]] = {
    "stt": (STT, {**_BOOK, "dim": 128, "layers": 2, "heads": 4, "mlp_ratio": 2.0}),
    "logo_former": (
        LOGOFormer,
        {**_BOOK, "dim": 128, "layers": 2, "heads": 4, "window": (2, 2, 2), "mlp_ratio": 2.0},
    ),
    # 64 px, because the maps of 56 px do not split into 16 patches
    "msstnet": (MSSTNet, {**_BOOK, "size": 64, "dim": 128, "blocks": 1, "heads": 4, "mlp_ratio": 2.0}),
    "staner": (STANER, {**_BOOK, "spatial_dim": 128, "dim": 64}),
    "sgaer": (SGAER, {**_BOOK, "dim": 128}),
    "tler": (TLER, {**_BOOK, "dim": 64}),
    "former_dfer": (FormerDFER, {**_BOOK, "layers": 2, "heads": 4}),
    "nr_dfernet": (NRDFERNet, _BOOK),
    "resnet18_lstm": (ResNetLSTM, {**_BOOK, "dim": 128}),
    "resnet18_gru": (ResNetGRU, {**_BOOK, "dim": 128}),
    # without early strides a network of half the width costs as much as the others
    "vgg11_lstm": (VGG11LSTM, {"frames": 8, "size": 56, "width": 8, "dim": 128}),
    "vgg13_lstm": (VGG13LSTM, {"frames": 8, "size": 56, "width": 8, "dim": 128}),
    "c3d": (C3D, {"frames": 8, "size": 56, "width": 8, "hidden": 128, "dropout": 0.0, "norm": True}),
    "p3d": (P3D, {"frames": 8, "size": 56, "width": 16, "blocks": (1, 1, 1, 1)}),
    # from nothing it stays near chance with all its nine mixed layers, which have no shortcuts, or with dropout
    "i3d": (I3D, {"frames": 8, "size": 56, "width": 20, "blocks": (1, 1, 1), "dropout": 0.0}),
    "r3d18": (R3D18, {"frames": 8, "size": 56, "width": 16, "blocks": 1}),
    # no pool follows its stem: with 12 channels for 16 it costs what the others do
    "r2plus1d18": (R2Plus1D18, {"frames": 8, "size": 56, "width": 12, "blocks": 1}),
    "inflated_resnet": (InflatedResNet, _BOOK),
    "single_frame": (SingleFrame, _BOOK),
    "frame_average": (FrameAverage, _BOOK),
}


def list_models() -> list[str]:
    """The names that `create_model` knows."""
    return list(_MODELS)


def create_model(name: str, num_classes: int = 7, scale: str = "book", **overrides: Any) -> ClipModel:
    """Build a model.

    Args:
        name: one of `list_models()`.
        num_classes: how many classes it tells apart, at least 2.
        scale: "paper" is the paper's configuration; "book" is the same architecture, narrow and small, on a backbone
            that already knows faces, so that a laptop trains it in minutes.
        overrides: any argument of the model's class, such as `frames=12` or `weights=None`.

    Raises:
        InputError: an unknown name, scale or argument, a value that an argument cannot have, or fewer than two classes;
            the message says what is valid.
    """
    kind, book = _MODELS[choose("model", name, _MODELS)]
    choose("scale", scale, SCALES)
    defaults = {key: parameter.default for key, parameter in inspect.signature(kind).parameters.items()}
    arguments = [key for key in defaults if key != "num_classes"]
    for key in overrides:
        choose(f"argument of {name}", key, arguments)
    num_classes = _fitting("num_classes", num_classes, defaults["num_classes"])
    if num_classes < 2:
        raise InputError(f"num_classes is {num_classes}: a classifier needs at least 2")
    overrides = {key: _fitting(key, value, defaults[key]) for key, value in overrides.items()}
    settings = {**(book if scale == "book" else {}), **overrides}
    model = kind(num_classes=num_classes, **settings)
    part = model if isinstance(model, VolumeModel) else model.backbone
    part.to(memory_format=torch.channels_last)  # about twice as fast on a CPU
    if "weights" in arguments:
        overrides["weights"] = None  # whoever builds it again has weights to fill in, and must not download any
    model.shapes = {key: value.shape for key, value in model.state_dict().items()}
    model.config = {"name": name, "num_classes": num_classes, "scale": scale, "overrides": overrides}
    return model


def _fitting(key: str, value: Any, default: Any) -> Any:
    """A value of an argument, as a checkpoint can hold it.

    Raises:
        InputError: it is not of the default's kind, or would leave nothing of a network where the network says no more.
    """
    value = of_kind(key, value, default)
    if type(default) is int and key not in _CHECKED and value < 1:
        raise InputError(f"{key} is {value}: it must be 1 or more")
    if key == "mlp_ratio":
        if not value > 0:
            raise InputError(f"{key} is {value}: it must be above 0")
    elif isinstance(default, float) and not 0 <= value <= 1:
        raise InputError(f"{key} is {value}: it must be between 0 and 1")
    return value


@torch.no_grad()
def attention_maps(model: nn.Module, clips: Tensor) -> dict[str, Tensor]:
    """Every attention weight of a model for some clips.

    Args:
        model: any model of this library.
        clips: (B, F, 3, H, W), normalised.

    Returns:
        For each attention layer's name in the model its weights (..., N_h, N, N): (B, F + 1, N_h, S, S) for STT's
        spatial attention, (B, S, N_h, F + 1, F + 1) for its temporal one.
    """
    layers = {name: m for name, m in model.named_modules() if isinstance(m, Attention)}
    for layer in layers.values():
        layer.keep_weights = True
    try:
        with keep_modes(model):
            model.eval()(clips)
        return {name: layer.weights for name, layer in layers.items() if layer.weights is not None}
    finally:
        for layer in layers.values():
            layer.keep_weights, layer.weights = False, None


class BlockMaps(NamedTuple):
    """The tokens of a clip in front of a block and behind it, both of the same shape."""

    before: Tensor
    after: Tensor


@torch.no_grad()
def feature_maps(model: nn.Module, clips: Tensor) -> dict[str, BlockMaps]:
    """The tokens before and after every block of a model for some clips; the backbone's maps are another thing.

    Args:
        model: any model of this library. One without blocks, such as a recurrent one, has none to show.
        clips: (B, F, 3, H, W), normalised.

    Returns:
        For each block's name in the model its tokens before and after, (B, F, S, D) where they have places, otherwise
        (B, N, D). MSSTNet has its T-Formers ("t_formers.0") and their blocks ("t_formers.0.1"). The first frame of STT
        holds the class tokens. LOGO-Former's class token is left out. In Former-DFER the blocks of the S-Former
        ("s_former.blocks.0") have places; those of the T-Former ("blocks.0") have the class token and a token a frame.
    """
    found: dict[str, BlockMaps] = {}

    def keep(name: str, inputs: tuple[Tensor, ...], outputs: Tensor | tuple[Tensor, ...]) -> None:
        last = outputs if isinstance(outputs, Tensor) else outputs[-1]  # behind a class token of its own
        found[name] = BlockMaps(inputs[-1], last)

    blocks = {name: block for name, block in model.named_modules() if isinstance(block, Block)}
    hooks = [
        block.register_forward_hook(lambda _, inputs, outputs, name=name: keep(name, inputs, outputs))
        for name, block in blocks.items()
    ]
    try:
        with keep_modes(model):
            model.eval()(clips)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: found[name] for name in blocks}
