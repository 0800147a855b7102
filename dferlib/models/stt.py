"""STT, the spatio-temporal transformer of Ma, Sun and Li (2022, arXiv:2205.04749).

A ResNet18 turns each frame into a map of tokens. Every block then lets a token look around its own frame, and at its
own place in all other frames. A class token rides along in front of the first frame; the head reads it.

Where the paper is silent or prints two things, this is what was chosen:

- The class token is one learnt vector. Prepended in time it stands at every place, and Eq. 13 reads z_(0,0) without
  saying which place that is: here it is the mean over places.
- Spatial attention runs over the class tokens too, as if they were a frame.
- The MLP has four times the width at paper scale, as usual; a LayerNorm stands before the head, which the residual
  stream of a pre-norm transformer needs; dropout is 0.1.
"""

import torch
from einops import rearrange, reduce, repeat
from torch import Tensor, nn

from dferlib.models.attention import SpatialAttention, TemporalAttention
from dferlib.models.backbones import build_backbone, places_of, spec_of
from dferlib.models.base import Block, ClipModel
from dferlib.models.dropout import Dropout


class STTBlock(Block):
    """Spatial attention, temporal attention, MLP, each with its own norm and shortcut (Eq. 3 to 12).

    Args:
        dim: d, our D.
        heads: N_h.
        mlp_ratio: width of the MLP's hidden layer over d.
        dropout: on the output of each of the three.
        spatial: whether there is spatial attention.
        temporal: whether there is temporal attention. Without both a block is its MLP: the fair control, which has the
            same shape and lacks nothing but attention.
    """

    def __init__(
        self, dim: int, heads: int, *, mlp_ratio: float, dropout: float, spatial: bool = True, temporal: bool = True
    ) -> None:
        super().__init__()
        self.spatial = self.temporal = None
        if spatial:
            self.norm_spatial, self.spatial = nn.LayerNorm(dim), SpatialAttention(dim, heads)
        if temporal:
            self.norm_temporal, self.temporal = nn.LayerNorm(dim), TemporalAttention(dim, heads)
        hidden = int(dim * mlp_ratio)
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), Dropout(dropout), nn.Linear(hidden, dim))
        self.drop = Dropout(dropout)

    def forward(self, z: Tensor, first: bool = False) -> Tensor:
        """(B, F + 1, S, d) to (B, F + 1, S, d); without temporal attention F in place of F + 1.

        Args:
            z: the tokens.
            first: give those of the first frame alone, (B, 1, S, d), and leave out what they do not depend on.
        """
        if self.spatial is not None:
            z = z + self.drop(self.spatial(self.norm_spatial(z)))  # Eq. 3 to 8
        if self.temporal is not None:
            change = self.temporal(self.norm_temporal(z), first=first)
            z = (z[:, :1] if first else z) + self.drop(change)  # Eq. 9 to 11
        return z + self.drop(self.mlp(self.norm_mlp(z)))  # Eq. 12


class STT(ClipModel):
    """The whole model. The arguments that all models share are described at `ClipModel`.

    Args:
        frames: F = segments x frames of each.
        weights: the paper starts from faces of MS-Celeb-1M, which has been withdrawn.
        spatial: use spatial attention (Table 1).
        temporal: use temporal attention (Table 1). Without it nothing reaches a class token, so there is none, and the
            head reads the mean over all tokens.
    """

    def __init__(
        self,
        num_classes: int = 7, frames: int = 16, size: int = 112, backbone: str = "resnet18", weights: str | None = None,
        dim: int = 512, layers: int = 4, heads: int = 8, mlp_ratio: float = 4.0, dropout: float = 0.1,
        spatial: bool = True, temporal: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_spec = spec_of(backbone, size, frames)
        self.backbone = build_backbone(backbone, weights)
        places = places_of(self.backbone, size)  # S = H x W
        self.project = nn.Linear(self.backbone.out_channels, dim)  # the 1 x 1 convolution
        self.space_position = nn.Parameter(torch.empty(1, 1, places, dim))  # e_pos^space
        self.time_position = nn.Parameter(torch.empty(1, frames + temporal, 1, dim))  # e_pos^time
        self.class_token = nn.Parameter(torch.empty(1, 1, 1, dim)) if temporal else None
        self.blocks = nn.Sequential(
            *(
                STTBlock(dim, heads, mlp_ratio=mlp_ratio, dropout=dropout, spatial=spatial, temporal=temporal)
                for _ in range(layers)
            )
        )
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Sequential(Dropout(dropout), nn.Linear(dim, num_classes))
        for parameter in (self.space_position, self.time_position, self.class_token):
            if parameter is not None:
                nn.init.trunc_normal_(parameter, std=0.02)

    def embed(self, maps: Tensor) -> Tensor:
        """Input embedding (3.2): maps (B, F, C, H, W) to z^0 (B, F + 1, S, d)."""
        f1 = self.project(rearrange(maps, "b f c h w -> b f (h w) c"))  # (B, F, S, d)
        f2 = f1 + self.space_position  # Eq. 1
        if self.class_token is not None:
            B, _, S, _ = f2.shape
            first = repeat(self.class_token, "1 1 1 d -> b 1 s d", b=B, s=S)
            f2 = torch.cat([first, f2], 1)  # (B, F + 1, S, d)
        return f2 + self.time_position  # Eq. 2

    def features_from_maps(self, maps: Tensor) -> Tensor:
        """Maps (B, F, C, H, W) to clip features (B, d)."""
        z = self.embed(maps)
        for block in self.blocks:
            # of the last block the head reads the class token alone: a fifth of the products are for nobody
            read = block is self.blocks[-1] and self.class_token is not None
            z = block(z, first=read and self.learning)
        z = self.norm(z)
        if self.class_token is None:
            return reduce(z, "b f s d -> b d", "mean")
        return reduce(z[:, 0], "b s d -> b d", "mean")  # z_(0,0) of Eq. 13
