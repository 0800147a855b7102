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
    """What the S-Former puts in front of the last stage of its ResNet: a transformer over the places of each frame.

    Args:
        dim: D, channels of the third stage.
        places: S = h x w of its maps.
        layers: blocks.
        heads: N_h.
        mlp_ratio: width of the MLP's hidden layer over D.
        dropout: of the blocks.
    """

    def __init__(self, dim: int, places: int, *, layers: int, heads: int, mlp_ratio: float, dropout: float) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.empty(1, places, dim))
        self.blocks = _blocks(layers, dim=dim, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout)
        nn.init.trunc_normal_(self.position, std=0.02)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, F, D, h, w) to (B, F, D, h, w)."""
        z = self.blocks(rearrange(maps, "b f d h w -> b f (h w) d") + self.position)
        return rearrange(z, "b f (h w) d -> b f d h w", h=maps.shape[3])


class FormerDFER(ClipModel):
    """The whole model. The arguments that all models share are described at `ClipModel`.

    Args:
        backbone: "resnet18" (the paper) or "slim" (the book).
        spatial_layers: blocks of the S-Former.
        layers: blocks of the T-Former.
    """

    backbone: StagedBackbone

    def __init__(
        self,
        num_classes: int = 7, frames: int = 16, size: int = 112, backbone: str = "resnet18", weights: str | None = None,
        spatial_layers: int = 1, layers: int = 3, heads: int = 8, mlp_ratio: float = 2.0, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.backbone = build_staged(backbone, weights)
        spec = spec_of(backbone, size, frames)
        self.input_spec = spec if backbone == "slim" else InputSpec(size, frames, (0.0,) * 3, (1.0,) * 3)
        dim, stride = self.backbone.out_channels, self.backbone.stride
        places = (-(-size // (stride // 2))) ** 2  # of the third stage, as wide as half of the last one's channels
        self.s_former = SFormer(
            dim // 2, places, layers=spatial_layers, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout
        )
        self.class_token = nn.Parameter(torch.empty(1, 1, dim))
        self.position = nn.Parameter(torch.empty(1, frames + 1, dim))
        self.blocks = _blocks(layers, dim=dim, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout)
        self.head = nn.Linear(dim, num_classes)
        for parameter in (self.class_token, self.position):
            nn.init.trunc_normal_(parameter, std=0.02)

    def feature_maps(self, clips: Tensor) -> Tensor:
        """Maps (B, F, D, h, w) of the third stage for clips (B, F, 3, H, W).

        So what a frozen backbone needs to compute only once ends where the S-Former begins, which learns in any case;
        of the last stage behind it the weights are the backbone's, and stay as they are with them.
        """
        self._check(clips)
        x = rearrange(clips, "b f c h w -> (b f) c h w")
        for stage in stages_of(self.backbone)[:-1]:
            x = stage(x)
        return x.unflatten(0, clips.shape[:2])

    def features_from_maps(self, maps: Tensor) -> Tensor:
        """Maps (B, F, D, h, w) of the third stage to clip features (B, C)."""
        last = stages_of(self.backbone)[-1]
        frames = reduce(last(self.s_former(maps).flatten(0, 1)), "(b f) c h w -> b f c", "mean", b=maps.shape[0])
        z = torch.cat([repeat(self.class_token, "1 1 c -> b 1 c", b=frames.shape[0]), frames], 1)
        return self.blocks(z + self.position)[:, 0]
