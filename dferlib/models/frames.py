"""Models that ignore time: what a clip model must beat."""

from torch import Tensor, nn

from dferlib.models.backbones import build_backbone, spec_of
from dferlib.models.base import ClipModel


class FrameAverage(ClipModel):
    """The mean over all frames and places, and a linear head. The order of the frames changes nothing.

    Args:
        num_classes: C.
        frames: T.
        size: side of the frames in pixels.
        backbone: "resnet18", "slim" (the book) or "dlib_face".
        weights: what the backbone starts from, see `build_backbone`.
        dropout: before the head.
    """

    def __init__(
        self,
        num_classes: int = 7,
        frames: int = 16,
        size: int = 112,
        backbone: str = "resnet18",
        weights: str | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.input_spec = spec_of(backbone, size, frames)
        self.backbone = build_backbone(backbone, weights)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.backbone.out_channels, num_classes))

    def features_from_maps(self, maps: Tensor) -> Tensor:
        """Maps (B, T, C, H, W) to clip features (B, C)."""
        return maps.mean((1, 3, 4))


class SingleFrame(FrameAverage):
    """The frame in the middle of the clip, alone: frame T // 2 of T. The arguments are those of `FrameAverage`.

    It is given as many frames as the other models and looks at one, so that it sees the middle of the clip in training
    too, where each frame comes from a random moment of its segment.
    """

    def feature_maps(self, clips: Tensor) -> Tensor:
        """Maps (B, 1, C, h, w) of the middle frame of clips (B, T, 3, H, W)."""
        self._check(clips)
        return self.backbone(clips[:, clips.shape[1] // 2]).unsqueeze(1)
