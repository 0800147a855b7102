"""STANER, the deep spatio-temporal attention network of Li et al. (2023), and its two branches by themselves.

SGAER looks at one frame, the peak of the expression, and learns which places of it matter. TLER follows eyes, nose and
mouth through the clip. What they decide is averaged.

Where the paper is silent, this is what was chosen:

- The peak frame: it takes the last one, because its data sets end at the peak. Of a clip that rises and falls again it
  is the frame that differs most from the first and the last together, each brought to the same mean and contrast so
  that light does not count. Chapter 11 of the book measures how good that is: worse than the middle frame where a
  clip holds two expressions.
- The regions are fixed boxes: the clips are cropped and aligned already, so that no landmarks are needed. Each has
  networks of its own, which begin with the first four convolutions of VGG-16.
- "AvgPool" in Eq. 1 averages 3 x 3 neighbours: a global average, which the text names, would leave no places to weigh.
- End convolutions: 3 x 3 over the map of SGAER, three frames long over the sequence of TLER, each followed by a mean.
- VGG has batch normalisation. All frames are made grey, by the mean of their channels, inside the model.
"""

import math
from typing import NamedTuple

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional

from dferlib.errors import InputError, choose
from dferlib.models.backbones import build_staged, build_vgg, spec_of, stages_of, vgg_blocks
from dferlib.models.base import ClipModel, on_one_frame
from dferlib.models.dropout import Dropout
from dferlib.models.losses import check_labels

PEAKS = ("change", "last", "middle")
# top, bottom, left and right of each region over the side of the frame
REGIONS = {"eyes": (0.08, 0.42, 0.06, 0.94), "nose": (0.34, 0.64, 0.27, 0.73), "mouth": (0.59, 0.96, 0.20, 0.80)}
# the rows of the paper's Table 1: a model and what to give it
VARIANTS = {
    "C1": ("sgaer", {"attention": False}),
    "C2": ("tler", {}),
    "C3": ("sgaer", {}),
    "C4": ("staner", {"attention": False}),
    "STANER": ("staner", {}),
}


def peak_numbers(clips: Tensor, rule: str) -> Tensor:
    """Which frame of each clip is its peak.

    Args:
        clips: (B, F, 3, H, W).
        rule: "last", "middle" (F // 2), or "change": the frame that differs most from the first and the last together.

    Returns:
        Its number, int64 (B,).

    Raises:
        InputError: unknown rule.
    """
    B, F = clips.shape[:2]
    if choose("peak", rule, PEAKS) != "change":
        return torch.full((B,), F - 1 if rule == "last" else F // 2, device=clips.device)
    grey = functional.avg_pool2d(clips.mean(2), max(clips.shape[-1] // 16, 1)).flatten(2)  # coarse, (B, F, places)
    grey = (grey - grey.mean(2, keepdim=True)) / (grey.std(2, keepdim=True) + 1e-6)
    change = (grey - grey[:, :1]).abs().mean(2) + (grey - grey[:, -1:]).abs().mean(2)
    return change.argmax(1)


def peak_frames(clips: Tensor, rule: str) -> Tensor:
    """The peak frame (B, 3, H, W) of each clip; see `peak_numbers`."""
    index = peak_numbers(clips, rule)[:, None, None, None, None].expand(-1, 1, *clips.shape[2:])
    return clips.gather(1, index)[:, 0]


class Front(nn.Sequential):
    """The first layers of a backbone, on grey frames.

    Args:
        layers: of the backbone, from the first on.
        out_channels: C of the maps that they give.
    """

    def __init__(self, layers: list[nn.Module], out_channels: int) -> None:
        super().__init__(*layers)
        self.out_channels = out_channels

    def forward(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, C, h, w)."""
        return super().forward(frames.mean(1, keepdim=True).expand_as(frames))


def face_front(kind: str, weights: str | None) -> Front:
    """The front of SGAER: ten convolutions of VGG-16, or the slim network as far down, to an eighth of the size."""
    if choose("backbone", kind, ("vgg16", "slim")) == "slim":
        stem, first, second, third, _ = stages_of(build_staged("slim", weights))
        return Front([stem, first, second, third], out_channels=64)
    first_block, second_block, third_block, fourth_block, _ = vgg_blocks(build_vgg(16, 64, weights))
    without_pool = fourth_block[:-1]
    return Front([*first_block, *second_block, *third_block, *without_pool], out_channels=512)


def region_front(kind: str, weights: str | None) -> Front:
    """The front of TLER: four convolutions of VGG-16, or the slim network as far down, to a quarter of the size."""
    if choose("backbone", kind, ("vgg16", "slim")) == "slim":
        stem, first, second, _, _ = stages_of(build_staged("slim", weights))
        return Front([stem, first, second], out_channels=32)
    first_block, second_block, *_ = vgg_blocks(build_vgg(16, 64, weights))
    return Front([*first_block, *second_block], out_channels=128)


class Regions(nn.Module):
    """Eyes, nose and mouth of each frame, each through a front of its own, as maps of 2 x 2."""

    def __init__(self, kind: str, weights: str | None, size: int) -> None:
        super().__init__()
        self.boxes = [tuple(round(part * size) for part in box) for box in REGIONS.values()]
        fronts = [region_front(kind, weights) for _ in REGIONS]
        self.fronts, self.out_channels = nn.ModuleList(fronts), fronts[0].out_channels

    def forward(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W) to the maps of the three regions (N, 3, C, 2, 2)."""
        maps = []
        for (top, bottom, left, right), front in zip(self.boxes, self.fronts, strict=True):
            maps.append(functional.adaptive_avg_pool2d(front(frames[:, :, top:bottom, left:right]), 2))
        return torch.stack(maps, 1)

    def over_frames(self, values: Tensor, clips: Tensor) -> Tensor:
        """Values (B, F, 3, 2, 2) to the pixels of each region, (B, F, H, W).

        A value is shared out among the pixels that it stands for, as a place of the mouth stands for more of them than
        one of the nose. Where two regions overlap, both count.
        """
        spread = values.new_zeros(*clips.shape[:2], *clips.shape[3:])
        for (top, bottom, left, right), region in zip(self.boxes, values.unbind(2), strict=True):
            size = (bottom - top, right - left)
            large = functional.interpolate(region, size, mode="bilinear", align_corners=False)  # frames are channels
            spread[..., top:bottom, left:right] += large * region[0, 0].numel() / math.prod(size)
        return spread


class SpatialBranch(nn.Module):
    """The attention module and the end convolution of SGAER.

    Args:
        channels: C of the map.
        dim: D of the features.
        attention: whether places are weighed.
    """

    def __init__(self, channels: int, dim: int, attention: bool) -> None:
        super().__init__()
        self.mask = None
        if attention:
            self.mask = nn.Sequential(
                nn.AvgPool2d(3, 1, 1, count_include_pad=False),
                nn.Conv2d(channels, channels // 4, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.Conv2d(channels // 4, 1, 1),
                nn.Sigmoid(),
            )
        self.end = nn.Sequential(
            nn.Conv2d(channels, dim, 3, padding=1, bias=False), nn.BatchNorm2d(dim), nn.ReLU(inplace=True)
        )  # fmt: skip

    def forward(self, u: Tensor) -> Tensor:
        """Maps U (B, C, h, w) to F_G (B, D)."""
        if self.mask is not None:
            u = (1 + self.mask(u)) * u  # Eq. 1 and 2
        return reduce(self.end(u), "b d h w -> b d", "mean")


class TemporalBranch(nn.Module):
    """The LSTMs and the end convolution of TLER.

    Args:
        channels: C of the map of one region.
        dim: channels of each LSTM, and half of those of the features.
    """

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.lstms = nn.ModuleList(nn.LSTM(4 * channels, dim, batch_first=True) for _ in REGIONS)
        self.end = nn.Conv1d(3 * dim, 2 * dim, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the three regions (B, F, 3, C, 2, 2) to F_L (B, 2 dim)."""
        x = rearrange(maps, "b f regions c h w -> regions b f (c h w)")  # x_t of each region
        followed = [lstm(x_region)[0] for lstm, x_region in zip(self.lstms, x, strict=True)]  # Eq. 5 to 10
        joined = torch.cat(followed, 2)  # F', Eq. 11, (B, F, 3 dim)
        f_l = self.end(rearrange(joined, "b f d -> b d f")).relu()
        return reduce(f_l, "b d f -> b d", "mean")


class SGAER(ClipModel):
    """The spatial branch by itself: the peak frame and which of its places matter.

    The arguments that all models share are described at `ClipModel`.

    Args:
        backbone: "vgg16" (the paper) or "slim" (the book); its weights are "imagenet" or "makefaces".
        dim: D, channels of the end convolution.
        attention: weigh the places; without it this is C1 of Table 1, with it C3.
        peak: how the peak frame is found, see `peak_frames`.
    """

    def __init__(
        self,
        num_classes: int = 7, frames: int = 16, size: int = 112, backbone: str = "vgg16", weights: str | None = None,
        dim: int = 256, attention: bool = True, peak: str = "change", dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_spec = spec_of(backbone, size, frames)
        self.peak = choose("peak", peak, PEAKS)
        self.backbone = face_front(backbone, weights)
        self.branch = SpatialBranch(self.backbone.out_channels, dim, attention)
        self.head = nn.Sequential(Dropout(dropout), nn.Linear(dim, num_classes))

    def feature_maps(self, clips: Tensor) -> Tensor:
        """Maps U (B, 1, C, h, w) of the peak frame of clips (B, F, 3, H, W)."""
        self._check(clips)
        return self.backbone(peak_frames(clips, self.peak))[:, None]

    def features_from_maps(self, maps: Tensor) -> Tensor:
        """Maps (B, 1, C, h, w) to F_G (B, D)."""
        return self.branch(maps[:, 0])

    def over_frames(self, values: Tensor, clips: Tensor) -> Tensor:
        """Values (B, 1, h, w) of the peak frame to (B, F, H, W): nothing is seen of the others."""
        return on_one_frame(values[:, 0], peak_numbers(clips, self.peak), clips)


class TLER(ClipModel):
    """The temporal branch by itself, C2 of Table 1: eyes, nose and mouth through the clip.

    The arguments that all models share are described at `ClipModel`.

    Args:
        backbone: "vgg16" (the paper) or "slim" (the book); its weights are "imagenet" or "makefaces".
        dim: channels of each of the three LSTMs; the end convolution has twice as many.
    """

    backbone: Regions

    def __init__(
        self,
        num_classes: int = 7, frames: int = 16, size: int = 112, backbone: str = "vgg16", weights: str | None = None,
        dim: int = 128, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_spec = spec_of(backbone, size, frames)
        self.backbone = Regions(backbone, weights, size)
        self.branch = TemporalBranch(self.backbone.out_channels, dim)
        self.head = nn.Sequential(Dropout(dropout), nn.Linear(2 * dim, num_classes))

    def features_from_maps(self, maps: Tensor) -> Tensor:
        """Maps of the three regions (B, F, 3, C, 2, 2) to F_L (B, 2 dim)."""
        return self.branch(maps)

    def over_frames(self, values: Tensor, clips: Tensor) -> Tensor:
        """Values (B, F, 3, 2, 2) to (B, F, H, W); see `Regions`."""
        return self.backbone.over_frames(values, clips)


class StanerMaps(NamedTuple):
    """What both branches look at."""

    face: Tensor  # U of the peak frame, (B, C, h, w)
    regions: Tensor  # of every frame, (B, F, 3, C, 2, 2)


class Fronts(nn.Module):
    """The fronts of both branches."""

    def __init__(self, kind: str, weights: str | None, size: int) -> None:
        super().__init__()
        self.face, self.regions = face_front(kind, weights), Regions(kind, weights, size)

    def forward(self, peaks: Tensor, clips: Tensor) -> StanerMaps:
        """The maps of peak frames (B, 3, H, W) and clips (B, F, 3, H, W)."""
        regions = self.regions(rearrange(clips, "b f c h w -> (b f) c h w"))
        return StanerMaps(self.face(peaks), regions.unflatten(0, clips.shape[:2]))


class Fusion(nn.Module):
    """A head for each branch, and the average of what they decide.

    Args:
        spatial: D of the spatial features.
        temporal: D of the temporal features.
        num_classes: C.
        alpha: weight of the spatial decision.
        dropout: before both.
    """

    def __init__(self, spatial: int, temporal: int, *, num_classes: int, alpha: float, dropout: float) -> None:
        super().__init__()
        self.widths, self.alpha = (spatial, temporal), alpha
        self.drop = Dropout(dropout)
        self.spatial, self.temporal = nn.Linear(spatial, num_classes), nn.Linear(temporal, num_classes)

    def both(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, D) to the logits (B, C) of each branch."""
        f_g, f_l = self.drop(features).split(self.widths, 1)
        return self.spatial(f_g), self.temporal(f_l)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, D) to the logarithms (B, C) of the average probabilities, whose softmax they are (Eq. 14)."""
        p_g, p_l = (logits.float().log_softmax(1) for logits in self.both(features))  # Eq. 3 and 12
        return torch.logaddexp(math.log(self.alpha) + p_g, math.log(1 - self.alpha) + p_l)


class STANER(ClipModel):
    """The whole model. The arguments that all models share are described at `ClipModel`.

    `dferlib.train` minimises the loss of the average decision, or with loss="joint" the paper's own, Eq. 15.

    Args:
        backbone: "vgg16" (the paper) or "slim" (the book); its weights are "imagenet" or "makefaces".
        spatial_dim: channels of the end convolution of SGAER.
        dim: channels of each LSTM of TLER.
        alpha: weight of the spatial decision, between 0 and 1.
        attention: weigh the places of the peak frame; without it this is C4 of Table 1.
        peak: how the peak frame is found, see `peak_frames`.

    Raises:
        InputError: alpha is not between 0 and 1, or an unknown name.
    """

    backbone: Fronts
    head: Fusion

    def __init__(
        self,
        num_classes: int = 7, frames: int = 16, size: int = 112, backbone: str = "vgg16", weights: str | None = None,
        spatial_dim: int = 256, dim: int = 128, alpha: float = 0.5, attention: bool = True, peak: str = "change",
        dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        if not 0 < alpha < 1:
            raise InputError(f"alpha is {alpha}: it must be between 0 and 1; for one branch alone use sgaer or tler")
        self.input_spec = spec_of(backbone, size, frames)
        self.peak = choose("peak", peak, PEAKS)
        self.backbone = Fronts(backbone, weights, size)
        self.spatial = SpatialBranch(self.backbone.face.out_channels, spatial_dim, attention)
        self.temporal = TemporalBranch(self.backbone.regions.out_channels, dim)
        self.head = Fusion(spatial_dim, 2 * dim, num_classes=num_classes, alpha=alpha, dropout=dropout)

    def feature_maps(self, clips: Tensor) -> StanerMaps:
        """Both branches' maps of clips (B, F, 3, H, W)."""
        self._check(clips)
        return self.backbone(peak_frames(clips, self.peak), clips)

    def features_from_maps(self, maps: StanerMaps) -> Tensor:
        """Both branches' maps to F_G and F_L side by side (B, D)."""
        return torch.cat([self.spatial(maps.face), self.temporal(maps.regions)], 1)

    def over_frames(self, values: StanerMaps, clips: Tensor) -> Tensor:
        """Values of both branches' places, (B, h, w) and (B, F, 3, 2, 2), to (B, F, H, W)."""
        share = values.face[0].numel() / math.prod(clips.shape[3:])  # of a pixel, as `Regions` has it
        face = on_one_frame(values.face, peak_numbers(clips, self.peak), clips) * share
        return face + self.backbone.regions.over_frames(values.regions, clips)

    def joint_loss(self, clips: Tensor, labels: Tensor) -> Tensor:
        """The sum of both branches' cross entropies (Eq. 15) for clips (B, F, 3, H, W) and labels (B,)."""
        return self.loss_from_features(self.forward_features(clips), labels)

    def loss_from_features(self, features: Tensor, labels: Tensor) -> Tensor:
        """The same from clip features (B, D).

        Raises:
            InputError: a label is out of range.
        """
        spatial, temporal = self.head.both(features)
        check_labels(labels, spatial.shape[1])
        return functional.cross_entropy(spatial.float(), labels) + functional.cross_entropy(
            temporal.float(), labels
        )  # Eq. 4 and 13
