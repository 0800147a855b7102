"""From stored clips to what a model takes: crop, flip, light and normalisation of whole batches, on any device.

Every draw is made once for a clip and used for all of its frames, so that augmentation never looks like motion.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from dferlib.devices import to_device
from dferlib.errors import InputError

LUMA = (0.2989, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601, as torchvision and Pillow use them


class Spec(Protocol):
    """The part of a model's `input_spec` that decides how frames are prepared."""

    @property
    def size(self) -> int:
        """Side of the square frame that the model takes."""

    @property
    def mean(self) -> Sequence[float]:
        """What is subtracted from each channel, on the scale from 0 to 1."""

    @property
    def std(self) -> Sequence[float]:
        """What each channel is divided by, on the same scale."""


def stored_size(size: int) -> int:
    """The side of the stored frame from which a model's input of side `size` is cropped: 8/7 of it (56: 64)."""
    return round(size * 8 / 7)


def resize(clips: Tensor, size: int) -> Tensor:
    """Resize uint8 clips `(B, F, C, H, W)` to `(B, F, C, size, size)`; nothing happens if they have that size."""
    if not isinstance(clips, Tensor):
        raise InputError(f"clips are {type(clips).__name__}: give a tensor, uint8 (B, F, 3, H, W)")
    if clips.dim() != 5 or clips.dtype != torch.uint8 or clips.shape[2] != len(LUMA):
        raise InputError(f"clips are {clips.dtype} {tuple(clips.shape)}: give uint8 (B, F, 3, H, W)")
    if clips.shape[-2:] == (size, size):
        return clips
    flat = clips.flatten(0, 1).float()
    flat = functional.interpolate(flat, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return flat.round().clamp(0, 255).to(torch.uint8).unflatten(0, clips.shape[:2])


def center_crop(clips: Tensor, size: int) -> Tensor:
    """Cut the middle `size` x `size` of clips `(..., H, W)`."""
    top, left = (clips.shape[-2] - size) // 2, (clips.shape[-1] - size) // 2
    return clips[..., top : top + size, left : left + size]


def to_float(clips: Tensor) -> Tensor:
    """Turn uint8 clips `(B, F, C, H, W)` into float32 in [0, 1], with the channels last in memory.

    Shape and values are what they would be anyway; the layout makes the convolutions of a CPU about twice as fast.
    """
    last = clips.permute(0, 1, 3, 4, 2).contiguous()
    return last.float().div_(255).permute(0, 1, 4, 2, 3)


def normalise(clips: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Subtract the mean and divide by the standard deviation of each channel: float clips `(..., C, H, W)`."""
    if not clips.is_floating_point() or clips.shape[-3] != len(mean):
        raise InputError(
            f"clips are {clips.dtype} {tuple(clips.shape)}: give float (..., {len(mean)}, H, W) from 0 to 1"
        )
    width = clips.shape[-1]
    rows = clips.movedim(-3, -1).flatten(-2)  # (..., H, W C): by whole rows it takes a quarter of the time
    rows = (rows - _like(clips, mean).repeat(width)).div_(_like(clips, std).repeat(width))
    return rows.unflatten(-1, (width, -1)).movedim(-1, -3)


def _like(clips: Tensor, values: Sequence[float]) -> Tensor:
    """Numbers in the type and on the device of clips."""
    return to_device(torch.tensor(values, dtype=clips.dtype), clips.device)


def prepare(clips: Tensor, spec: Spec) -> Tensor:
    """What evaluation and prediction feed a model: the middle of the stored frame, normalised.

    Args:
        clips: uint8 `(B, F, C, H, W)` of any size; resized to the stored size first if they have another.
        spec: the model's `input_spec`.

    Returns:
        float32 `(B, F, C, size, size)`.
    """
    return normalise(to_float(center_crop(resize(clips, stored_size(spec.size)), spec.size)), spec.mean, spec.std)


@dataclass(frozen=True)
class Draws:
    """What chance has decided for each of B clips.

    Args:
        corners: row and column where the crop begins, int64 `(B, 2)`.
        mirrored: bool `(B,)`.
        factors: of brightness, contrast and saturation, float `(B, 3)`.
        boxes: top, left, height and width of what is erased, in pixels of the crop, int64 `(B, 4)`; height 0 erases
            nothing.
    """

    corners: Tensor
    mirrored: Tensor
    factors: Tensor
    boxes: Tensor

    def take(self, which: slice | Tensor) -> "Draws":
        """Those of some of the clips."""
        return Draws(self.corners[which], self.mirrored[which], self.factors[which], self.boxes[which])


class Augment:
    """Random crop, mirror, brightness, contrast, saturation and erasing, drawn once for each clip.

    Args:
        size: side of the model's input; the crop is taken from 8/7 of it.
        flip: mirror half of the clips.
        brightness: factor between 1 - brightness and 1 + brightness on all values.
        contrast: the same on the distance to the mean grey of the clip.
        saturation: the same on the distance of each pixel to its grey.
        erase: how probable it is that a rectangle, the same in all frames, becomes grey. It covers 2 to 20 % of the
            frame, its sides are as 1 to 3 at most (Zhong et al., AAAI 2020; there it is up to 40 %, which hides
            half a face).
        generator: the source of chance, on the CPU whatever the device of the clips, so that draws do not depend on it.
    """

    def __init__(
        self,
        size: int,
        flip: bool = True,
        brightness: float = 0.2,
        contrast: float = 0.25,
        saturation: float = 0.0,
        erase: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        self.size, self.flip, self.erase, self.generator = size, flip, erase, generator
        self.spread = torch.tensor([brightness, contrast, saturation])

    def __call__(self, clips: Tensor) -> Tensor:
        """Augment uint8 clips `(B, F, C, H, W)` into float32 in [0, 1] `(B, F, C, size, size)`."""
        return self.apply(clips, self.draw(len(clips), self.generator))

    def draw(self, count: int, generator: torch.Generator | None = None) -> Draws:
        """Decide what becomes of `count` clips."""
        span = stored_size(self.size) - self.size + 1
        corners = torch.randint(span, (count, 2), generator=generator)
        mirrored = torch.rand(count, generator=generator) < (0.5 if self.flip else 0.0)
        factors = 1 + (torch.rand(count, 3, generator=generator) * 2 - 1) * self.spread
        chance = torch.rand(count, 5, generator=generator)
        area, tall = 0.02 + 0.18 * chance[:, 1], 3 ** (2 * chance[:, 2] - 1)
        sides = torch.stack([(area * tall).sqrt(), (area / tall).sqrt()], 1).mul(self.size).round().long()
        sides = sides.clamp(1, self.size) * (chance[:, :1] < self.erase)
        begin = (chance[:, 3:] * (self.size - sides + 1)).long()
        return Draws(corners, mirrored, factors, torch.cat([begin, sides], 1))

    def apply(self, clips: Tensor, draws: Draws) -> Tensor:
        """Do what was drawn to uint8 clips `(B, F, C, H, W)`; float32 in [0, 1] `(B, F, C, size, size)`."""
        clips = resize(clips, stored_size(self.size))
        cut = [
            clip[..., top : top + self.size, left : left + self.size]
            for clip, (top, left) in zip(clips, draws.corners.tolist(), strict=True)
        ]
        cut = [clip.flip(-1) if mirror else clip for clip, mirror in zip(cut, draws.mirrored.tolist(), strict=True)]
        bright, contrast, saturation = to_device(draws.factors, clips.device).view(-1, 3, 1, 1, 1, 1).unbind(1)
        out = adjust_contrast(adjust_brightness(to_float(torch.stack(cut)), bright), contrast)
        if self.spread[2] > 0:
            out = adjust_saturation(out, saturation)
        for clip, (top, left, height, width) in zip(out, draws.boxes.tolist(), strict=True):
            clip[..., top : top + height, left : left + width] = 0.5
        return out


def adjust_brightness(clips: Tensor, factor: Tensor) -> Tensor:
    """Multiply float clips in [0, 1] `(B, F, C, H, W)` by a factor each `(B, 1, 1, 1, 1)`, kept in [0, 1]."""
    return (clips * factor).clamp_(0, 1)


def adjust_contrast(clips: Tensor, factor: Tensor) -> Tensor:
    """Stretch RGB clips in [0, 1] around the mean grey of the whole clip, by a factor each `(B, 1, 1, 1, 1)`."""
    grey = (clips.mean((1, 3, 4)) * _like(clips, LUMA)).sum(1).view(-1, 1, 1, 1, 1)
    return torch.lerp(grey, clips, factor).clamp_(0, 1)


def adjust_saturation(clips: Tensor, factor: Tensor) -> Tensor:
    """Stretch RGB clips in [0, 1] around the grey of each pixel, by a factor each `(B, 1, 1, 1, 1)`."""
    grey = (clips * _like(clips, LUMA).view(-1, 1, 1)).sum(2, keepdim=True)
    return torch.lerp(grey.expand_as(clips), clips, factor).clamp_(0, 1)
