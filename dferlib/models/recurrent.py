"""ResNet18 + LSTM and ResNet18 + GRU, the baselines of every table, and the LSTM of STT's Table 1.

The papers give no size of the recurrent layer and leave its cost out of their count. Chosen here: each frame's map is
averaged over its places, one layer in one direction as wide as the backbone's output reads the frames in order, and
the head reads its last output.
"""

from torch import Tensor, nn

from dferlib.models.backbones import build_backbone, spec_of
from dferlib.models.base import ClipModel


class ResNetLSTM(ClipModel):
    """A recurrent layer over the frames, each averaged over its places.

    Args:
        num_classes: C.
        frames: T.
        size: side of the frames in pixels.
        backbone: "resnet18" (the paper) or "slim" (the book).
        weights: what the backbone starts from, see `build_backbone`.
        dim: D, channels of the recurrent layer.
        dropout: before the head.
    """

    cell: type[nn.LSTM] | type[nn.GRU] = nn.LSTM

    def __init__(
        self,
        num_classes: int = 7,
        frames: int = 16,
        size: int = 112,
        backbone: str = "resnet18",
        weights: str | None = None,
        dim: int = 512,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.input_spec = spec_of(backbone, size, frames)
        self.backbone = build_backbone(backbone, weights)
        self.recurrent = self.cell(self.backbone.out_channels, dim, batch_first=True)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(dim, num_classes))

    def features_from_maps(self, maps: Tensor) -> Tensor:
        """Maps (B, T, C, h, w) to clip features (B, D)."""
        outputs, _ = self.recurrent(maps.mean((3, 4)))  # (B, T, C) to (B, T, D)
        return outputs[:, -1]


class ResNetGRU(ResNetLSTM):
    """The same with a gated recurrent unit (Chung et al. 2014) in place of the LSTM."""

    cell = nn.GRU
