"""A masked autoencoder on the book's small backbone: it learns what faces are from what is hidden, without a label.

Patches of a frame are hidden, and a small decoder has to say what was there. What the backbone finds out for that is
kept, and the decoder is thrown away. Three ways differ in what the decoder may look at:

- "frame": the maps of the frame itself, and it fills in the frame;
- "motion": these and the maps of another frame of the clip, which is whole; it fills in the difference of the two;
- "code": the other frame's maps, but of the frame itself only the mean over all places. So this mean, which recurrent
  heads read, has to say all that has changed.

Sources: masked autoencoders of He et al., CVPR 2022; the difference as a target is that of MAE-DFER (Sun et al., MM
2023); a code that turns one frame of a clip into another is that of FAb-Net (Wiles et al., BMVC 2018). All of them are
much larger, and the first two are transformers, which need not look at what is hidden. Here it is mean grey.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from dferlib.errors import InputError, choose
from dferlib.models.backbones import SlimResNet

WAYS = ("frame", "motion", "code")
PATCH = 8  # pixels
HIDDEN = 0.6  # part of the patches


class Filled(NamedTuple):
    """What was filled in.

    Attributes:
        said: by the decoder, (B, 3, S, S).
        wanted: what it should be, of the same shape.
    """

    said: Tensor
    wanted: Tensor


def draw_masks(count: int, side: int, part: float = HIDDEN, random: torch.Generator | None = None) -> Tensor:
    """Which pixels are hidden: whole patches, in each mask as many.

    Args:
        count: B, how many masks.
        side: S, of the frames in pixels, a multiple of `PATCH`.
        part: of the patches.
        random: source of chance.

    Returns:
        bool (B, 1, S, S).

    Raises:
        InputError: the side is no multiple of `PATCH`, or the part hides nothing or everything.
    """
    if side % PATCH:
        raise InputError(f"frames of {side} px do not split into patches of {PATCH}: give a multiple of {PATCH}")
    row = side // PATCH
    hidden = round(part * row**2)
    if not 0 < hidden < row**2:
        raise InputError(f"part is {part}: that hides {hidden} of {row**2} patches; give one between 0 and 1")
    order = torch.rand(count, row**2, generator=random).argsort(1)
    masks = (order < hidden).view(count, 1, row, row)
    return masks.repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)


class MaskedAutoencoder(nn.Module):
    """A backbone, and the decoder that it learns with.

    Args:
        way: one of `WAYS`.
        width: channels in the decoder.
        side: S, of the frames in pixels, a multiple of `PATCH`.
    """

    def __init__(self, way: str = "motion", width: int = 64, side: int = 56) -> None:
        super().__init__()
        self.way, self.side = choose("way", way, WAYS), side
        self.backbone = SlimResNet()
        inputs = self.backbone.out_channels * (1 if way == "frame" else 2)
        self.decoder = nn.Sequential(
            nn.Conv2d(inputs, width, 1),
            nn.ReLU(inplace=True),
            nn.Upsample((side // 4, side // 4), mode="bilinear", align_corners=False),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 3 * 4**2, 1),
            nn.PixelShuffle(4),
        )

    def forward(self, frames: Tensor, others: Tensor, hidden: Tensor) -> Filled:
        """Fill in what is hidden.

        Args:
            frames: (B, 3, S, S), normalised, so that 0 is mean grey.
            others: another frame of each clip, of the same shape; "frame" does not look at them.
            hidden: bool (B, 1, S, S), which pixels of `frames` are not to be seen.
        """
        shown = frames.masked_fill(hidden, 0.0)
        # as the backbone sees them: without the mean and the contrast of each channel
        wanted = functional.instance_norm(frames)
        if self.way == "frame":
            return Filled(self.decoder(self.backbone(shown)), wanted)
        own, other = self.backbone(torch.cat([shown, others])).chunk(2)
        if self.way == "code":
            own = own.mean((2, 3), keepdim=True).expand_as(other)
        return Filled(self.decoder(torch.cat([other, own], 1)), wanted - functional.instance_norm(others))


def hidden_error(filled: Filled, hidden: Tensor) -> Tensor:
    """The mean squared error where something was hidden: what is seen need not be guessed."""
    return ((filled.said - filled.wanted) ** 2).masked_select(hidden).mean()
