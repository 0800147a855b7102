"""I3D (Carreira and Zisserman, CVPR 2017): Inception-v1 with every filter blown up into time, for RGB frames alone."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from dferlib.errors import InputError
from dferlib.models.backbones import init_convolutions, spec_of
from dferlib.models.dropout import Dropout
from dferlib.models.volume_layers import by_frames
from dferlib.models.volumes import VolumeModel

Triple = tuple[int, int, int]
# of each mixed layer: channels of the 1 x 1 x 1 branch, of both 3 x 3 x 3 branches before and after, of the pooled one
MIXED = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)


class Same(nn.Module):
    """Zeros around a clip so that a kernel gives ceil(length / stride) outputs; what is odd goes to the end."""

    def __init__(self, kernel: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F, H, W) to the same with zeros around F, H and W."""
        pads: list[int] = []
        for length, k, s in reversed(list(zip(x.shape[2:], self.kernel, self.stride, strict=True))):
            total = max((-(-length // s) - 1) * s + k - length, 0)
            pads += [total // 2, total - total // 2]
        return functional.pad(x, pads)


def unit(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        Same((kernel,) * 3, (stride,) * 3),
        nn.Conv3d(inputs, outputs, kernel, stride, bias=False),
        nn.BatchNorm3d(outputs, eps=1e-3),
        nn.ReLU(inplace=True),
    )


def pool(kernel: Triple, stride: Triple) -> nn.Sequential:
    """Max-pool; the zeros around do no harm, because what comes before is never negative."""
    return nn.Sequential(Same(kernel, stride), nn.MaxPool3d(kernel, stride))


class Mixed(nn.Module):
    """Four branches side by side: 1 x 1 x 1; the same and then 3 x 3 x 3, twice; a max-pool and then 1 x 1 x 1."""

    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        alone, before_1, after_1, before_2, after_2, pooled = widths
        self.branches = nn.ModuleList(
            [
                unit(inputs, alone, 1),
                nn.Sequential(unit(inputs, before_1, 1), unit(before_1, after_1, 3)),
                nn.Sequential(unit(inputs, before_2, 1), unit(before_2, after_2, 3)),
                nn.Sequential(pool((3, 3, 3), (1, 1, 1)), unit(inputs, pooled, 1)),
            ]
        )
        self.out_channels = alone + after_1 + after_2 + pooled

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, F, H, W) to (B, out_channels, F, H, W)."""
        return torch.cat([branch(x) for branch in self.branches], 1)


class I3D(VolumeModel):
    """The whole model, 7.0 G multiply-accumulates and 12.3 M parameters. It ends in a mean over time and places.

    The arguments that all models share are described at `ClipModel`.

    Args:
        width: channels of the first convolution; the original has 64, and all others scale with it.
        blocks: mixed layers of each of the three stages, the first of those that the original has.

    Raises:
        InputError: a stage without a mixed layer, or with more of them than the original has.
    """

    def __init__(
        self,
        num_classes: int = 7, frames: int = 16, size: int = 112,
        width: int = 64, blocks: Triple = (2, 5, 2), dropout: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__()
        most = tuple(len(stage) for stage in MIXED)
        if len(blocks) != len(most) or not all(1 <= few <= many for few, many in zip(blocks, most, strict=True)):
            raise InputError(f"blocks is {blocks}: give from 1 to as many mixed layers a stage as I3D has, {most}")
        self.input_spec = spec_of("resnet18", size, frames)
        inputs = 3 * width
        layers: list[nn.Module] = [
            unit(3, width, 7, 2), pool((1, 3, 3), (1, 2, 2)),
            unit(width, width, 1), unit(width, inputs, 3), pool((1, 3, 3), (1, 2, 2)),
        ]  # fmt: skip
        for stage, mixed in enumerate(MIXED):
            if stage:
                kernel = 3 if stage == 1 else 2
                layers.append(pool((kernel,) * 3, (2, 2, 2)))
            for widths in mixed[: blocks[stage]]:
                layer = Mixed(inputs, tuple(w * width // 64 for w in widths))
                layers.append(layer)
                inputs = layer.out_channels
        self.backbone = by_frames(nn.Sequential(*layers))
        self.head = nn.Sequential(Dropout(dropout), nn.Linear(inputs, num_classes))
        init_convolutions(self)
