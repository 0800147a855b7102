"""Baselines that convolve over space and time at once: 3D ResNet18, R(2+1)D18, C3D, and a ResNet that was inflated.

They see a clip as one volume, so their backbone takes clips where the others' takes frames. Nothing is shipped for the
first three to start from: at book scale they learn from scratch. The last starts from weights for images. `frames`
and `size` are what the other models use at that scale.
"""

from typing import Any, Self

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional

from dferlib.errors import choose
from dferlib.models.backbones import build_staged, init_convolutions, spec_of
from dferlib.models.base import ClipModel
from dferlib.models.dropout import Dropout
from dferlib.models.volume_layers import VolumeConv, by_frames


class VolumeModel(ClipModel):
    """A model whose backbone turns a clip (B, 3, F, H, W) into maps (B, C, t, h, w) and averages them."""

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """As `torch.nn.Module.to`; who asks for the fast layout of images gets that of volumes."""
        if kwargs.get("memory_format") is torch.channels_last:
            kwargs["memory_format"] = torch.channels_last_3d
        return super().to(*args, **kwargs)

    def feature_maps(self, clips: Tensor) -> Tensor:
        """Maps (B, t, C, h, w) of clips (B, F, 3, H, W); t is F over the strides in time."""
        self._check(clips)
        volume = rearrange(clips, "b f c h w -> b c f h w").contiguous(memory_format=torch.channels_last_3d)
        maps = self.backbone(volume)
        return rearrange(maps, "b c t h w -> b t c h w")

    def features_from_maps(self, maps: Tensor) -> Tensor:
        """Maps (B, t, C, h, w) to clip features (B, C)."""
        return reduce(maps, "b t c h w -> b c", "mean")


class VideoResNet(VolumeModel):
    """ResNet18 over space and time: a stem and four stages. A subclass says how the stem looks and how it convolves.

    The arguments that all models share are described at `ClipModel`.

    Args:
        width: channels of the first stage; the last has eight times as many.
        blocks: residual blocks of each of the four stages.
    """

    convolution: str  # a class of torchvision, which is imported only when it is built: that takes more than a second

    def __init__(
        self,
        num_classes: int = 7, frames: int = 16, size: int = 112, width: int = 64, blocks: int = 2, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_spec = spec_of("resnet18", size, frames)
        stages: list[nn.Module] = [self.stem(width)]
        inputs = width
        for stage in range(4):
            outputs = width * 2**stage
            for block in range(blocks):
                halves = stage > 0 and block == 0
                stages.append(self.block(inputs, outputs, stride=2 if halves else 1))
                inputs = outputs
        self.backbone = by_frames(nn.Sequential(*stages))
        self.head = nn.Sequential(Dropout(dropout), nn.Linear(inputs, num_classes))
        init_convolutions(self)

    def stem(self, width: int) -> nn.Sequential:
        """The first layers, to maps of `width` channels."""
        raise TypeError(f"{type(self).__name__} does not say how its stem looks")

    def block(self, inputs: int, outputs: int, stride: int) -> nn.Module:
        """A residual block of torchvision; one that shortens its maps or widens them has a 1 x 1 x 1 shortcut."""
        from torchvision.models.video import resnet  # type: ignore[import-untyped]

        shortcut = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Sequential(nn.Conv3d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm3d(outputs))
        return resnet.BasicBlock(inputs, outputs, getattr(resnet, self.convolution), stride, shortcut)


class R3D18(VideoResNet):
    """3D ResNet18 (Hara et al. 2018), the variant whose cost the papers print: 8.3 G multiply-accumulates.

    It has a 7 x 7 x 7 stem and a max-pool that halves time and space. torchvision's r3d_18 is another: a stem of three
    frames and no max-pool, at five times the cost.
    """

    convolution = "Conv3DSimple"

    def stem(self, width: int) -> nn.Sequential:
        """(B, 3, F, H, W) to (B, width, F / 2, H / 4, W / 4)."""
        return nn.Sequential(
            nn.Conv3d(3, width, 7, (1, 2, 2), 3, bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool3d(3, 2, 1),
        )


class R2Plus1D18(VideoResNet):
    """R(2+1)D18 (Tran et al. 2018) as torchvision has it: each 3-D convolution is one over space, then one over time.

    It counts 40.5 G multiply-accumulates and 31.3 M parameters, where the papers print 42.36 and 33. With the
    original's number of channels between the two convolutions it would be 42.3 and 33.2, see
    `dferlib.evidence.readings`.
    """

    convolution = "Conv2Plus1D"

    def stem(self, width: int) -> nn.Sequential:
        """(B, 3, F, H, W) to (B, width, F, H / 2, W / 2)."""
        between = 45 * width // 64  # torchvision's number for a width of 64
        return nn.Sequential(
            nn.Conv3d(3, between, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
            nn.BatchNorm3d(between),
            nn.ReLU(inplace=True),
            nn.Conv3d(between, width, (3, 1, 1), padding=(1, 0, 0), bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
        )


class C3D(VolumeModel):
    """C3D (Tran et al. 2015): eight 3 x 3 x 3 convolutions, five max-pools, two wide layers.

    The pools keep what does not divide by two, so that clips shorter than 16 frames pass; for 16 frames of 112 px that
    gives the original's sizes, which pads in front of the last pool instead. The arguments that all models share are
    described at `ClipModel`.

    Args:
        width: channels of the first convolution; the last have eight times as many.
        hidden: width of the two layers before the head.
        dropout: after each of those two; the original has 0.5.
        norm: batch normalisation after each convolution. The original has none, and hardly learns from a random start.
    """

    def __init__(
        self,
        num_classes: int = 7, frames: int = 16, size: int = 112, width: int = 64, hidden: int = 4096,
        dropout: float = 0.5, norm: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_spec = spec_of("resnet18", size, frames)
        layers: list[nn.Module] = []
        inputs = 3
        for stage, factors in enumerate([(1,), (2,), (4, 4), (8, 8), (8, 8)]):
            for factor in factors:
                layers.append(nn.Conv3d(inputs, factor * width, 3, padding=1))
                inputs = factor * width
                layers += [nn.BatchNorm3d(inputs), nn.ReLU(inplace=True)] if norm else [nn.ReLU(inplace=True)]
            layers.append(nn.MaxPool3d((2 if stage else 1, 2, 2), ceil_mode=True))  # the first leaves time alone
        self.backbone = by_frames(nn.Sequential(*layers))
        cells = -(-frames // 16) * (-(-size // 32)) ** 2
        self.wide = nn.Sequential(
            nn.Linear(inputs * cells, hidden), nn.ReLU(inplace=True), Dropout(dropout),
            nn.Linear(hidden, hidden), nn.ReLU(inplace=True), Dropout(dropout),
        )  # fmt: skip
        self.head = nn.Linear(hidden, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv3d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def features_from_maps(self, maps: Tensor) -> Tensor:
        """Maps (B, t, C, h, w) to clip features (B, hidden)."""
        return self.wide(rearrange(maps, "b t c h w -> b (t c h w)"))


class InflatedConv(VolumeConv):
    """A k x k convolution made k x k x 3, whose first output is known.

    "mean" repeats each window for images three times along time and divides by three (Carreira and Zisserman 2017):
    where nothing moves it gives what the convolution for images gives, at the ends of a clip too, because the first
    and the last frame are seen twice there. "centre" puts it in the middle, between zeros (Arnab et al. 2021, for the
    patches of a transformer): it gives that for every clip, and learns to look around. 1 x 1 convolutions stay.

    Args:
        flat: the convolution for images, without a bias.
        begin: "mean" or "centre".
    """

    def __init__(self, flat: nn.Conv2d, begin: str) -> None:
        (high, wide), (down, right), (above, beside) = flat.kernel_size, flat.stride, map(int, flat.padding)
        window = 1 if high == wide == 1 else 3
        kernel, stride, padding = (window, high, wide), (1, down, right), (0, above, beside)
        super().__init__(flat.in_channels, flat.out_channels, kernel, stride, padding, bias=False)
        self.ends = window // 2
        over_time = torch.full((window,), 1 / window)
        if begin == "centre":
            over_time = torch.eye(window)[self.ends]
        with torch.no_grad():
            self.weight.copy_(flat.weight[:, :, None] * over_time[:, None, None])  # (out, in, 3, k, k)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F, H, W) to (B, outputs, F, h, w)."""
        return super().forward(functional.pad(x, (0, 0, 0, 0, self.ends, self.ends), mode="replicate"))


BEGINS = ("mean", "centre")


class FrameByFrame(nn.Module):
    """A layer for images that does the same to every frame of a volume (B, C, F, H, W)."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, volume: Tensor) -> Tensor:
        """(B, C, F, H, W) to the same."""
        frames = self.layer(rearrange(volume, "b c f h w -> (b f) c h w"))
        return rearrange(frames, "(b f) c h w -> b c f h w", b=volume.shape[0])


class InflatedResNet(VolumeModel):
    """A ResNet for images made one for clips, as I3D is made from Inception: the only volume model with a start.

    It begins as the frame average: with `begin="mean"` on clips in which nothing moves, with "centre" on all. Time is
    never shortened, so it costs nearly three times as much as reading frame by frame. The arguments that all models
    share are described at `ClipModel`.

    Args:
        backbone: "resnet18" or "slim" (the book).
        weights: what the ResNet has learnt from images before it is inflated, see `build_backbone`.
        begin: how its windows begin in time, see `InflatedConv`.
    """

    def __init__(
        self,
        num_classes: int = 7, frames: int = 16, size: int = 112, backbone: str = "resnet18", weights: str | None = None,
        begin: str = "mean", dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_spec = spec_of(backbone, size, frames)
        net = build_staged(backbone, weights)
        self._inflate(net, choose("begin", begin, BEGINS))
        self.backbone = by_frames(net)
        self.head = nn.Sequential(Dropout(dropout), nn.Linear(net.out_channels, num_classes))

    def _inflate(self, net: nn.Module, begin: str) -> None:
        for name, layer in net.named_children():
            if isinstance(layer, nn.Conv2d):
                setattr(net, name, InflatedConv(layer, begin))
            elif isinstance(layer, nn.BatchNorm2d):
                norm = nn.BatchNorm3d(layer.num_features)
                norm.load_state_dict(layer.state_dict())
                setattr(net, name, norm)
            elif isinstance(layer, nn.InstanceNorm2d):
                setattr(net, name, FrameByFrame(layer))
            elif isinstance(layer, nn.MaxPool2d):
                pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))  # ResNet18 has one, of 3 x 3 places
                setattr(net, name, pool)
            else:
                self._inflate(layer, begin)
