"""Models that ignore time: what a clip model must beat."""

import torch
from einops import reduce
from torch import Tensor, nn

from dferlib.models.backbones import build_backbone, spec_of
from dferlib.models.base import ClipModel, on_one_frame
from dferlib.models.dropout import Dropout


class FrameAverage(ClipModel):
    """The mean over all frames and places, and a linear head. The order of the frames changes nothing.

    The arguments are described at `ClipModel`; the backbone is "resnet18", "slim" (the book) or "dlib_face".
    """

    def __init__(
        self,
        num_classes: int = 7, frames: int = 16, size: int = 112, backbone: str = "resnet18", weights: str | None = None,
        dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_spec = spec_of(backbone, size, frames)
        self.backbone = build_backbone(backbone, weights)
        self.head = nn.Sequential(Dropout(dropout), nn.Linear(self.backbone.out_channels, num_classes))

    def features_from_maps(self, maps: Tensor) -> Tensor:
        """Maps (B, F, C, H, W) to clip features (B, C)."""
        return reduce(maps, "b f c h w -> b c", "mean")


class SingleFrame(FrameAverage):
    """The frame in the middle of the clip, alone: frame F // 2 of F. The arguments are those of `FrameAverage`.

    It is given as many frames as the other models and looks at one, so that it sees the middle of the clip in training
    too, where each frame comes from a random moment of its segment.
    """

    def feature_maps(self, clips: Tensor) -> Tensor:
        """Maps (B, 1, C, h, w) of the middle frame of clips (B, F, 3, H, W)."""
        self._check(clips)
        middle = clips[:, self.input_spec.frames // 2]
        return self.backbone(middle)[:, None]

    def over_frames(self, values: Tensor, clips: Tensor) -> Tensor:
        """Values (B, 1, h, w) of the middle frame to (B, F, H, W): nothing is seen of the others."""
        middle = torch.full((len(clips),), self.input_spec.frames // 2, device=values.device)
        return on_one_frame(values[:, 0], middle, clips)
