"""Former-DFER (Zhao and Liu, ACM Multimedia 2021) as its public code has it.

The S-Former is a ResNet18 with a transformer over the 7 x 7 places of each frame between its third and fourth stage;
the T-Former is a transformer with a class token over the frames, each averaged over its places. That code counts
8.32 G multiply-accumulates where papers print 9.11, which it would be with three blocks in the S-Former and one in the
T-Former, in place of one and three (see `dferlib.evidence.readings`).

It takes pictures in [0, 1] as they are, and so does this at paper scale. One thing differs, and only for who trains it
anew: positions and class token begin with a standard deviation of 0.02 in place of 1, which would drown the features
of a backbone that has learnt something.
"""

import torch
from torch import Tensor, nn

from dferlib.models.attention import SpatialAttention
from dferlib.models.backbones import StagedBackbone, build_staged, spec_of, stages_of
from dferlib.models.base import Block, ClipModel, InputSpec


class NarrowAttention(SpatialAttention):
    """Attention within each sequence, whose heads need not be as wide together as the tokens; no bias on the way in.

    Args:
        dim: D, channels of a token.
        heads: N_h.
        width: channels of all heads together.

    Raises:
        InputError: the width does not divide into the heads.
    """

    def __init__(self, dim: int, heads: int, width: int) -> None:
        super().__init__(width, heads)
        self.qkv = nn.Linear(dim, 3 * width, bias=False)
        self.out = nn.Identity()  # type: ignore[assignment]  # the heads side by side, which `project` reads
        self.project = nn.Linear(width, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., N, D) to (..., N, D)."""
        return self.project(self.attend(tokens))


class FormerBlock(Block):
    """Attention, then an MLP, each with its own norm and shortcut.

    Args:
        dim: D.
        heads: N_h.
        width: channels of all heads together.
        hidden: width of the MLP.
        dropout: in the MLP and on the output of both.
    """

    def __init__(self, dim: int, heads: int, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm_attention, self.attention = nn.LayerNorm(dim), NarrowAttention(dim, heads, width)
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU("tanh"), nn.Dropout(dropout), nn.Linear(hidden, dim)
        )  # fmt: skip
        self.drop = nn.Dropout(dropout)

    def forward(self, z: Tensor) -> Tensor:
        """(..., N, D) to (..., N, D)."""
        z = z + self.drop(self.attention(self.norm_attention(z)))
        return z + self.drop(self.mlp(self.norm_mlp(z)))


class SFormer(nn.Module):
    """A ResNet with a transformer over the places of a frame in front of its last stage."""

    def __init__(
        self, net: StagedBackbone, size: int, layers: int, heads: int, mlp_ratio: float, dropout: float
    ) -> None:
        super().__init__()
        self.net, self.out_channels = net, net.out_channels
        dim, places = net.out_channels // 2, (-(-size * 2 // net.stride)) ** 2  # of the third stage
        self.position = nn.Parameter(torch.empty(1, places, dim))
        self.blocks = nn.Sequential(
            *(FormerBlock(dim, heads, dim, int(dim * mlp_ratio), dropout) for _ in range(layers))
        )

    def forward(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, C, h, w)."""
        *early, last = stages_of(self.net)
        x = frames
        for stage in early:
            x = stage(x)
        z = self.blocks(x.flatten(2).transpose(1, 2) + self.position)  # (N, places, channels)
        return last(z.transpose(1, 2).reshape(x.shape))


class FormerDFER(ClipModel):
    """The whole model.

    Args:
        num_classes: C.
        frames: T.
        size: side of the frames in pixels.
        backbone: "resnet18" (the paper) or "slim" (the book).
        weights: what the backbone starts from, see `build_staged`.
        spatial_layers: blocks of the S-Former.
        layers: blocks of the T-Former.
        heads: N_h, of both.
        mlp_ratio: width of the MLP's hidden layer over the channels of a token.
        dropout: in the blocks.
    """

    def __init__(
        self,
        num_classes: int = 7,
        frames: int = 16,
        size: int = 112,
        backbone: str = "resnet18",
        weights: str | None = None,
        spatial_layers: int = 1,
        layers: int = 3,
        heads: int = 8,
        mlp_ratio: float = 2.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        net = build_staged(backbone, weights)
        spec = spec_of(backbone, size, frames)
        self.input_spec = spec if backbone == "slim" else InputSpec(size, frames, (0.0,) * 3, (1.0,) * 3)
        self.backbone = SFormer(net, size, spatial_layers, heads, mlp_ratio, dropout)
        dim = net.out_channels
        self.class_token = nn.Parameter(torch.empty(1, 1, dim))
        self.position = nn.Parameter(torch.empty(1, frames + 1, dim))
        self.blocks = nn.Sequential(
            *(FormerBlock(dim, heads, dim, int(dim * mlp_ratio), dropout) for _ in range(layers))
        )
        self.head = nn.Linear(dim, num_classes)
        for parameter in (self.backbone.position, self.class_token, self.position):
            nn.init.trunc_normal_(parameter, std=0.02)

    def features_from_maps(self, maps: Tensor) -> Tensor:
        """Maps (B, T, C, h, w) to clip features (B, C)."""
        z = torch.cat([self.class_token.expand(maps.shape[0], 1, -1), maps.mean((3, 4))], 1)
        return self.blocks(z + self.position)[:, 0]
