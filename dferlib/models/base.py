"""What every model of this library has in common: feature maps of each frame, clip features, a head.

The arguments that the models share are described once, at `ClipModel`; each class describes its own.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from dferlib.errors import InputError

FARTHEST = 20.0  # from 0: normalised values are from -3 to 3, noise has hardly any beyond 6, and bytes go to 255

Maps = Any  # of a backbone: a tensor (B, F, C, h, w), or, where it looks at several things, a named tuple of tensors


def each_map(function: Callable[..., Tensor], *maps: Maps) -> Maps:
    """Apply a function to maps, or to every part of maps that are a named tuple.

    Whoever keeps, indexes or joins maps need not know which of the two they are: `each_map(torch.Tensor.cpu, maps)`.

    Args:
        function: takes as many tensors as there are maps.
        maps: of one model; several are taken part by part, the first parts together, then the second.

    Returns:
        Maps of the same kind.
    """
    if isinstance(maps[0], Tensor):
        return function(*maps)
    return type(maps[0])(*map(function, *maps))


@contextmanager
def keep_modes(model: nn.Module) -> Iterator[None]:
    """Whatever is done to a model meanwhile, each of its parts learns or only answers afterwards as it did before.

    `model.train(True)` would wake the batch normalisation of a backbone that is frozen.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def on_one_frame(values: Tensor, which: Tensor, clips: Tensor) -> Tensor:
    """Spread values over one frame of each clip; all others have none.

    Args:
        values: one for each place of a map of that frame, (B, h, w).
        which: its number in the clip, int64 (B,).
        clips: (B, F, 3, H, W).

    Returns:
        (B, F, H, W).
    """
    spread = values.new_zeros(*clips.shape[:2], *clips.shape[3:])
    large = functional.interpolate(values[:, None], clips.shape[3:], mode="bilinear", align_corners=False)
    spread[torch.arange(len(which), device=which.device), which] = large[:, 0]
    return spread


@dataclass(frozen=True)
class InputSpec:
    """What a model takes.

    Attributes:
        size: side of the square frames in pixels.
        frames: F, frames in a clip.
        mean: subtracted from each colour channel of a frame in [0, 1].
        std: what each channel is divided by afterwards.
    """

    size: int
    frames: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Block(nn.Module):
    """A block, or several in a row, whose tokens `dferlib.feature_maps` shows before and after it."""


class ClipModel(nn.Module):
    """A backbone that looks at every frame by itself, something that joins the frames, and a head.

    A subclass fills `backbone`, `head` and `input_spec` and writes `features_from_maps`. The defaults of its arguments
    are the paper's. These mean the same in all models that have them:

    Args:
        num_classes: C.
        frames: F, frames in a clip.
        size: H and W, the side of the frames in pixels.
        backbone: what looks at the frames: "slim" is the book's; the default is the paper's, in most of them
            "resnet18". See `dferlib.models.backbones.build_backbone`.
        weights: what the backbone starts from: None for a random start, or the name of weights for this backbone.
        dim: D, channels of a token, or of what reads the frames in order.
        layers: N, number of blocks.
        heads: N_h, of the attention.
        mlp_ratio: width of the hidden layer of a block's MLP over D.
        dropout: in the blocks, where there are some, and before the head.
    """

    backbone: nn.Module
    head: nn.Module
    input_spec: InputSpec
    config: dict[str, Any]  # what `create_model` needs to build it again
    shapes: dict[str, torch.Size]  # of all that it holds, as `create_model` made it
    classes: tuple[str, ...]  # their names, once it was trained or loaded

    def train(self, mode: bool = True) -> Self:
        """As `torch.nn.Module.train`; a backbone none of whose weights learn keeps its batch statistics, too.

        They would follow the clips otherwise, and the maps with them, although nothing of the backbone was to change.
        """
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.backbone.parameters()):
            self.backbone.eval()
        return self

    @property
    def learning(self) -> bool:
        """Whether this is a step of a training. Then nobody looks at tokens that the head does not read."""
        return self.training and torch.is_grad_enabled()

    def feature_maps(self, clips: Tensor) -> Maps:
        """The backbone's maps of every frame.

        Args:
            clips: (B, F, 3, H, W) normalised as `input_spec` says.

        Returns:
            (B, F, C, h, w).

        Raises:
            InputError: the clips have another shape or type, or hold nan or values that were not normalised. Values
                that all lie from 0 to 1 are warned of. On a GPU no values are looked at while a model learns.
        """
        self._check(clips)
        return self.backbone(rearrange(clips, "b f c h w -> (b f) c h w")).unflatten(0, clips.shape[:2])

    def features_from_maps(self, maps: Maps) -> Tensor:
        """Clip features (B, D) from the maps of its frames (B, F, C, h, w)."""
        raise TypeError(f"{type(self).__name__} does not say how to join frames")

    def over_frames(self, values: Maps, clips: Tensor) -> Tensor:
        """Put a value of each place of the maps where that place is in the clips.

        Args:
            values: the maps without their channels, (B, t, h, w). Fewer than F are spread over time.
            clips: that the maps are of, (B, F, 3, H, W).

        Returns:
            (B, F, H, W).
        """
        size = (clips.shape[1], *clips.shape[3:])
        return functional.interpolate(values[:, None], size, mode="trilinear", align_corners=False)[:, 0]

    def forward_features(self, clips: Tensor) -> Tensor:
        """Clip features (B, D) of normalised clips (B, F, 3, H, W)."""
        return self.features_from_maps(self.feature_maps(clips))

    def forward_from_maps(self, maps: Maps) -> Tensor:
        """Logits (B, classes) from maps (B, F, C, h, w): what a frozen backbone needs to compute only once."""
        return self.head(self.features_from_maps(maps))

    def forward(self, clips: Tensor) -> Tensor:
        """Logits (B, classes) of normalised clips (B, F, 3, H, W)."""
        return self.head(self.forward_features(clips))

    def _check(self, clips: Tensor) -> None:
        spec = self.input_spec
        wanted = f"(batch, {spec.frames}, 3, {spec.size}, {spec.size})"
        if not isinstance(clips, Tensor):
            raise InputError(f"clips are {type(clips).__name__}: this model takes a tensor {wanted}")
        if clips.dim() != 5 or clips.shape[1:] != (spec.frames, 3, spec.size, spec.size):
            raise InputError(f"clips have shape {tuple(clips.shape)}: this model takes {wanted}")
        if not clips.is_floating_point():
            raise InputError(f"clips are {clips.dtype}: give float, as dferlib.data.transforms.prepare does")
        if torch.compiler.is_compiling():  # what follows would break the graph
            return
        if not len(clips):
            raise InputError(f"there are no clips in a batch of shape {tuple(clips.shape)}: leave it out")
        own = next(self.parameters()).dtype
        if clips.dtype != own and not torch.is_autocast_enabled(clips.device.type):
            raise InputError(f"clips are {clips.dtype}, the weights {own}: give clips.to({own})")
        # a GPU that learns would have to wait for each look; other kinds of tensors may have no values (fake ones)
        if type(clips) is Tensor and (not self.training or clips.device.type == "cpu"):
            self._check_values(clips.detach())

    def _check_values(self, clips: Tensor) -> None:
        """Refuse numbers that no normalised clip has; a model would answer, and the answer would mean nothing."""
        low, high = float(clips.amin()), float(clips.amax())
        if not (math.isfinite(low) and math.isfinite(high)):
            if self.training:
                return  # the loss shows it anyway
            raise InputError("clips hold nan or infinite values: check how they were decoded and normalised")
        if max(-low, high) > FARTHEST:
            raise InputError(
                f"clips hold values from {low:.4g} to {high:.4g}, so they were not normalised: "
                "let dferlib.data.transforms.prepare do it, from bytes"
            )
        if 0 <= low < high <= 1:
            warnings.warn(
                "all values of the clips are from 0 to 1, as they are before they are normalised: "
                "let dferlib.data.transforms.prepare do it, from bytes",
                stacklevel=2,
            )
