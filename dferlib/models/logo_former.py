"""LOGO-Former, the local-global spatio-temporal transformer of Ma, Sun and Li (ICASSP 2023).

Every block lets a token look at its own small space-time window, and then at one pooled token for each window of the
whole clip: short range in full detail, long range in outline, for a fraction of the price of looking at everything.
The regulariser of its Eq. 12 is `dferlib.models.losses.CompactTerm`.

Where the paper is silent, this is what was chosen:

- The windows: 4 frames of 2 x 2 places at paper scale, so that the 16 x 4 x 4 tokens make 16 windows of 16.
- The class token is one for the whole clip. Local windows do not hold it (the paper leaves it out of its Eq. 1 too);
  in the global attention it looks at the pooled tokens, and no token looks at it. Were there one at each place, as
  the text has it, all would stay equal: pooled tokens look the same from every place.
- Queries and pooled tokens share one LayerNorm in Eq. 3 to 5; after the concatenated heads comes the usual W_O.
- Spatial and temporal positions are added as in STT (its Eq. 1 and 2), and d = 512, MLP ratio 4, dropout and the
  LayerNorm before the head are as there.
"""

from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from dferlib.models.attention import GlobalAttention, LocalAttention, Window, windows_of
from dferlib.models.backbones import build_backbone, places_of, spec_of
from dferlib.models.base import Block, ClipModel
from dferlib.models.dropout import Dropout

# the rows of the paper's Table 2: a model, what to give it, and the loss; the baseline's attention is that of STT
VARIANTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "Baseline": ("stt", {}, "cross_entropy"),
    "Baseline w/ Reg": ("stt", {}, "compact"),
    "LOGO-Former w/o Reg": ("logo_former", {}, "cross_entropy"),
    "LOGO-Former": ("logo_former", {}, "compact"),
}


class LOGOBlock(Block):
    """Local attention, global attention, MLP, each with its own norm and shortcut (Eq. 1 to 7).

    Args:
        dim: d, our D.
        heads: N_h.
        window: f frames, h rows and w columns of a window.
        pool: "average" or "conv", how a window becomes one token.
        mlp_ratio: width of the MLP's hidden layer over d.
        dropout: on the output of each of the three.
    """

    def __init__(self, dim: int, heads: int, *, window: Window, pool: str, mlp_ratio: float, dropout: float) -> None:
        super().__init__()
        self.norm_local, self.local_ = nn.LayerNorm(dim), LocalAttention(dim, heads, window)
        self.norm_global, self.global_ = nn.LayerNorm(dim), GlobalAttention(dim, heads, window, pool)
        hidden = int(dim * mlp_ratio)
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), Dropout(dropout), nn.Linear(hidden, dim))
        self.drop = Dropout(dropout)

    def forward(self, token: Tensor, x: Tensor, token_only: bool = False) -> tuple[Tensor, Tensor]:
        """Class token (B, 1, d) and clip tokens (B, F, S, d), both to the same shapes.

        Args:
            token: the class token.
            x: the clip tokens.
            token_only: leave the clip tokens as local attention gives them: the class token does not need more.
        """
        y = x + self.drop(self.local_(self.norm_local(x)))  # Eq. 1, (B, F, S, d)
        pooled = self.norm_global(self.global_.pool(y))  # LN(Pool(Y)), (B, windows, d)
        # the class token first, (B, 1 + FS, d)
        z = token if token_only else torch.cat([token, rearrange(y, "b f s d -> b (f s) d")], 1)
        z = z + self.drop(self.global_.attend(self.norm_global(z), pooled))  # Eq. 3 to 6
        z = z + self.drop(self.mlp(self.norm_mlp(z)))  # Eq. 7
        return z[:, :1], y if token_only else z[:, 1:].view(x.shape)  # the class token, the others


class LOGOFormer(ClipModel):
    """The whole model. The arguments that all models share are described at `ClipModel`.

    Args:
        window: f, h and w, frames, rows and columns of a window; they divide the clip evenly.
        pool: how a window becomes one token: "average" or "conv".

    Raises:
        InputError: the clip does not split into the windows, or see `build_backbone`.
    """

    def __init__(
        self,
        num_classes: int = 7, frames: int = 16, size: int = 112, backbone: str = "resnet18", weights: str | None = None,
        dim: int = 512, layers: int = 4, heads: int = 8, window: Window = (4, 2, 2), pool: str = "average",
        mlp_ratio: float = 4.0, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_spec = spec_of(backbone, size, frames)
        self.backbone = build_backbone(backbone, weights)
        places = places_of(self.backbone, size)  # S = H x W
        self.project = nn.Linear(self.backbone.out_channels, dim)  # the 1 x 1 convolution
        self.space_position = nn.Parameter(torch.empty(1, 1, places, dim))
        self.time_position = nn.Parameter(torch.empty(1, frames, 1, dim))
        self.class_token = nn.Parameter(torch.empty(1, 1, dim))  # its temporal position is in it
        self.blocks = nn.ModuleList(
            LOGOBlock(dim, heads, window=window, pool=pool, mlp_ratio=mlp_ratio, dropout=dropout) for _ in range(layers)
        )
        windows_of(window, frames, places)  # refuses what does not split
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Sequential(Dropout(dropout), nn.Linear(dim, num_classes))
        for parameter in (self.space_position, self.time_position, self.class_token):
            nn.init.trunc_normal_(parameter, std=0.02)

    def features_from_maps(self, maps: Tensor) -> Tensor:
        """Maps (B, F, C, H, W) to clip features (B, d)."""
        x = self.project(rearrange(maps, "b f c h w -> b f (h w) c"))  # (B, F, S, d)
        x = x + self.space_position + self.time_position
        token = repeat(self.class_token, "1 1 d -> b 1 d", b=x.shape[0])
        for block in self.blocks:
            # of the last block the head reads the class token alone: three products in ten are for nobody
            token, x = block(token, x, token_only=block is self.blocks[-1] and self.learning)
        return self.norm(token[:, 0])  # X_(0,0) of Eq. 10
