"""P3D, the pseudo-3D residual network of Qiu, Yao and Mei (ICCV 2017).

Each bottleneck of a ResNet-50 convolves over space, then over time, in three ways that take turns. The papers that
compare against P3D do not say which depth they used, nor what it cost: this is P3D63, the smallest one that its public
code has, with 24.9 M parameters and 4.2 G multiply-accumulates.
"""

from itertools import cycle

from torch import Tensor, nn

from dferlib.models.backbones import init_convolutions, spec_of
from dferlib.models.dropout import Dropout
from dferlib.models.volume_layers import by_frames
from dferlib.models.volumes import VolumeModel


def _conv(inputs: int, outputs: int, kernel: tuple[int, int, int], relu: bool = True, stride: int = 1) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    layers = [nn.Conv3d(inputs, outputs, kernel, (1, stride, stride), padding, bias=False), nn.BatchNorm3d(outputs)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


class P3DBlock(nn.Module):
    """A bottleneck with its shortcut.

    Args:
        inputs: channels that it is given; it gives four times `width`.
        width: channels inside.
        stride: in space.
        kind: "A": over time after space; "B": over time beside space, added; "C": after space, and added to it;
            "2D": space only, as in the last stage.
    """

    def __init__(self, inputs: int, width: int, stride: int, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.reduce = _conv(inputs, width, (1, 1, 1), stride=stride)
        self.space = _conv(width, width, (1, 3, 3))
        self.time = _conv(width, width, (3, 1, 1)) if kind != "2D" else nn.Identity()
        self.expand = _conv(width, 4 * width, (1, 1, 1), relu=False)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != 4 * width:
            self.shortcut = _conv(inputs, 4 * width, (1, 1, 1), relu=False, stride=stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, F, H, W) to (B, 4 width, F, H / stride, W / stride)."""
        y = self.reduce(x)
        space = self.space(y)
        if self.kind == "B":
            y = space + self.time(y)
        elif self.kind == "C":
            y = space + self.time(space)
        else:
            y = self.time(space)
        return self.relu(self.expand(y) + self.shortcut(x))


class P3D(VolumeModel):
    """The whole model. A pool halves the time after the stem and after each of the first three stages.

    The pools keep what does not divide by two, so that clips shorter than 16 frames pass. The arguments that all models
    share are described at `ClipModel`.

    Args:
        width: channels of the first convolution.
        blocks: bottlenecks of each of the four stages.
    """

    def __init__(
        self,
        num_classes: int = 7, frames: int = 16, size: int = 112,
        width: int = 64, blocks: tuple[int, ...] = (3, 4, 6, 3), dropout: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_spec = spec_of("resnet18", size, frames)
        layers: list[nn.Module] = [
            nn.Conv3d(3, width, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            nn.MaxPool3d((2, 1, 1), ceil_mode=True),
        ]
        inputs, kinds, last = width, cycle("ABC"), len(blocks) - 1
        for stage, count in enumerate(blocks):
            inner = width * 2**stage
            for block in range(count):
                halves = stage > 0 and block == 0
                kind = "2D" if stage == last else next(kinds)
                layers.append(P3DBlock(inputs, inner, stride=2 if halves else 1, kind=kind))
                inputs = 4 * inner
            if stage < last:
                layers.append(nn.MaxPool3d((2, 1, 1), ceil_mode=True))
        self.backbone = by_frames(nn.Sequential(*layers))
        self.head = nn.Sequential(Dropout(dropout), nn.Linear(inputs, num_classes))
        init_convolutions(self)
