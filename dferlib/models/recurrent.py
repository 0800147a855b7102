"""ResNet18 or VGG and an LSTM or a GRU, the baselines of every table, and the LSTM of STT's Table 1.

The papers give no size of the recurrent layer and leave its cost out of their count. Chosen here: each frame's map is
averaged over its places, one layer in one direction as wide as the backbone's output reads the frames in order, and
the head reads its last output.
"""

from einops import reduce
from torch import Tensor, nn

from dferlib.errors import InputError
from dferlib.models.backbones import build_backbone, build_vgg, spec_of
from dferlib.models.base import ClipModel
from dferlib.models.dropout import Dropout


class Recurrent(ClipModel):
    """What they share; a subclass fills `recurrent` too."""

    recurrent: nn.LSTM | nn.GRU

    def features_from_maps(self, maps: Tensor) -> Tensor:
        """Maps (B, F, C, h, w) to clip features (B, D)."""
        outputs, _ = self.recurrent(reduce(maps, "b f c h w -> b f c", "mean"))  # (B, F, D)
        return outputs[:, -1]


class ResNetLSTM(Recurrent):
    """A recurrent layer over the frames, each averaged over its places.

    The arguments are described at `ClipModel`; the backbone is "resnet18" (the paper), "slim" (the book) or
    "dlib_face".
    """

    cell: type[nn.LSTM] | type[nn.GRU] = nn.LSTM

    def __init__(
        self,
        num_classes: int = 7, frames: int = 16, size: int = 112, backbone: str = "resnet18", weights: str | None = None,
        dim: int = 512, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_spec = spec_of(backbone, size, frames)
        self.backbone = build_backbone(backbone, weights)
        self.recurrent = self.cell(self.backbone.out_channels, dim, batch_first=True)
        self.head = nn.Sequential(Dropout(dropout), nn.Linear(dim, num_classes))


class ResNetGRU(ResNetLSTM):
    """The same with a gated recurrent unit (Chung et al. 2014) in place of the LSTM."""

    cell = nn.GRU


class VGG11LSTM(Recurrent):
    """VGG11 and an LSTM over the frames, each averaged over its places.

    The arguments that all models share are described at `ClipModel`.

    Args:
        size: of the frames, at least 32 pixels.
        weights: see `build_vgg`.
        width: channels of VGG's first convolution. A narrow one learns from scratch.
    """

    depth = 11

    def __init__(
        self,
        num_classes: int = 7, frames: int = 16, size: int = 112, weights: str | None = None, width: int = 64,
        dim: int = 512, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        if size < 32:
            raise InputError(f"frames of {size} px: VGG halves them five times and needs at least 32")
        self.input_spec = spec_of("vgg", size, frames)
        self.backbone = build_vgg(self.depth, width, weights)
        self.recurrent = nn.LSTM(self.backbone.out_channels, dim, batch_first=True)
        self.head = nn.Sequential(Dropout(dropout), nn.Linear(dim, num_classes))


class VGG13LSTM(VGG11LSTM):
    """The same with VGG13, which has two convolutions in each of its first two stages as well."""

    depth = 13
