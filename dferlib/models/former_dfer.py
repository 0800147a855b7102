"""Former-DFER (Zhao and Liu, ACM Multimedia 2021) as its public code has it.

The S-Former is a ResNet18 with a transformer over the 7 x 7 places of each frame between its third and fourth stage;
the T-Former is a transformer with a class token over the frames, each averaged over its places. That code counts
8.32 G multiply-accumulates where papers print 9.11, which it would be with three blocks in the S-Former and one in the
T-Former, in place of one and three (see `dferlib.evidence.readings`).

It takes frames in [0, 1] as they are, and so does this at paper scale. One thing differs, and only for who trains it
anew: positions and class token begin with a standard deviation of 0.02 in place of 1, which would drown the features
of a backbone that has learnt something. `former_dfer_weights` reads what the public code saved.
"""

import torch
from einops import rearrange, reduce, repeat
from torch import Tensor, nn

from dferlib.models.attention import SpatialAttention
from dferlib.models.backbones import StagedBackbone, build_staged, spec_of, stages_of
from dferlib.models.base import Block, ClipModel, InputSpec
from dferlib.models.dropout import Dropout


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

    def __init__(self, dim: int, heads: int, *, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm_attention, self.attention = nn.LayerNorm(dim), NarrowAttention(dim, heads, width)
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU("tanh"), Dropout(dropout), nn.Linear(hidden, dim)
        )  # fmt: skip
        self.drop = Dropout(dropout)

    def forward(self, z: Tensor) -> Tensor:
        """(..., N, D) to (..., N, D)."""
        z = z + self.drop(self.attention(self.norm_attention(z)))
        return z + self.drop(self.mlp(self.norm_mlp(z)))


def _blocks(layers: int, *, dim: int, heads: int, mlp_ratio: float, dropout: float) -> nn.Sequential:
    """The blocks of a transformer whose heads are together as wide as its tokens."""
    hidden = int(dim * mlp_ratio)
    return nn.Sequential(*(FormerBlock(dim, heads, width=dim, hidden=hidden, dropout=dropout) for _ in range(layers)))


class SFormer(nn.Module):
    """A ResNet with a transformer over the places of a frame in front of its last stage."""

    def __init__(
        self, net: StagedBackbone, size: int, *, layers: int, heads: int, mlp_ratio: float, dropout: float
    ) -> None:
        super().__init__()
        self.net, self.out_channels = net, net.out_channels
        dim, stride = net.out_channels // 2, net.stride // 2  # of the third stage
        places = (-(-size // stride)) ** 2
        self.position = nn.Parameter(torch.empty(1, places, dim))
        self.blocks = _blocks(layers, dim=dim, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout)

    def forward(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, C, h, w)."""
        *early, last = stages_of(self.net)
        x = frames
        for stage in early:
            x = stage(x)
        z = self.blocks(rearrange(x, "n c h w -> n (h w) c") + self.position)
        return last(rearrange(z, "n (h w) c -> n c h w", h=x.shape[2]))


class FormerDFER(ClipModel):
    """The whole model. The arguments that all models share are described at `ClipModel`.

    Args:
        backbone: "resnet18" (the paper) or "slim" (the book).
        spatial_layers: blocks of the S-Former.
        layers: blocks of the T-Former.
    """

    def __init__(
        self,
        num_classes: int = 7, frames: int = 16, size: int = 112, backbone: str = "resnet18", weights: str | None = None,
        spatial_layers: int = 1, layers: int = 3, heads: int = 8, mlp_ratio: float = 2.0, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        net = build_staged(backbone, weights)
        spec = spec_of(backbone, size, frames)
        self.input_spec = spec if backbone == "slim" else InputSpec(size, frames, (0.0,) * 3, (1.0,) * 3)
        self.backbone = SFormer(net, size, layers=spatial_layers, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout)
        dim = net.out_channels
        self.class_token = nn.Parameter(torch.empty(1, 1, dim))
        self.position = nn.Parameter(torch.empty(1, frames + 1, dim))
        self.blocks = _blocks(layers, dim=dim, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout)
        self.head = nn.Linear(dim, num_classes)
        for parameter in (self.backbone.position, self.class_token, self.position):
            nn.init.trunc_normal_(parameter, std=0.02)

    def features_from_maps(self, maps: Tensor) -> Tensor:
        """Maps (B, F, C, h, w) to clip features (B, C)."""
        frames = reduce(maps, "b f c h w -> b f c", "mean")
        z = torch.cat([repeat(self.class_token, "1 1 c -> b 1 c", b=frames.shape[0]), frames], 1)
        return self.blocks(z + self.position)[:, 0]
