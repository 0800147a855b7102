"""MSSTNet, the multi-scale spatio-temporal CNN-transformer of Wang et al. (ICASSP 2024, arXiv:2404.08433).

Maps of several stages of the backbone are each cut into the same N patches. A token only ever looks at its own patch
in the other frames; what joins the scales is that each temporal transformer goes on from where the one before stopped.

Where the paper is silent, this is what was chosen:

- The stages: the last three of ResNet18. On frames of 128 px their maps are 16, 8 and 4 wide and split into 4 x 4
  patches; on 112 px they do not. This configuration costs 4 % more than the paper prints, whatever the number of
  frames (its T is our F).
- How the T-Formers integrate the scales: the tokens of the next stage are added to what the T-Former before gave.
- Before they are embedded, patches are brought to mean 0 and variance 1, without learnt numbers. The maps of a late
  stage can be several times smaller than those of an early one, and the sum would drown them: on frozen maps of the
  book's backbone the network learns next to nothing otherwise.
- MLP ratio 4, dropout 0.1, and a LayerNorm before the mean, which the residual stream of a pre-norm transformer needs.
"""

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional

from dferlib.errors import InputError
from dferlib.models.attention import TemporalAttention
from dferlib.models.backbones import StagedBackbone, build_staged, spec_of, stages_of
from dferlib.models.base import Block, ClipModel
from dferlib.models.dropout import Dropout

# of the four stages of each backbone: the channels of its maps, and how much smaller than the frame they are
WIDTHS = {"slim": (16, 32, 64, 128), "resnet18": (64, 128, 256, 512)}
STRIDES = {"slim": (2, 4, 8, 16), "resnet18": (4, 8, 16, 32)}


class PatchedStages(nn.Module):
    """The backbone's maps after some of its stages, each cut into `grid` x `grid` patches that become channels.

    A map (N, d, H', W') has patches of P = H' / grid and becomes (N, P^2 d, grid, grid); all of them one after another
    along the channels are the map that it gives.
    """

    def __init__(self, net: StagedBackbone, stages: tuple[int, ...], grid: int) -> None:
        super().__init__()
        self.net, self.stages, self.grid = net, stages, grid

    def forward(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, sum of P^2 d, grid, grid)."""
        stem, *stages = stages_of(self.net)
        x = stem(frames)
        patches = []
        for number, stage in enumerate(stages, start=1):
            x = stage(x)
            if number in self.stages:
                patches.append(rearrange(x, "n d (h p) (w q) -> n (d p q) h w", h=self.grid, w=self.grid))
            if number == max(self.stages):  # the later ones would compute for nobody
                break
        return torch.cat(patches, 1)


class TemporalBlock(Block):
    """Attention over time, then an MLP, each with its own norm and shortcut (Eq. 2 to 8).

    Args:
        dim: D.
        heads: the number of heads A.
        mlp_ratio: width of the MLP's hidden layer over D.
        dropout: on the output of both.
    """

    def __init__(self, dim: int, heads: int, *, mlp_ratio: float, dropout: float) -> None:
        super().__init__()
        hidden = int(dim * mlp_ratio)
        self.norm_temporal, self.temporal = nn.LayerNorm(dim), TemporalAttention(dim, heads)
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), Dropout(dropout), nn.Linear(hidden, dim))
        self.drop = Dropout(dropout)

    def forward(self, z: Tensor) -> Tensor:
        """(B, F, N, D) to (B, F, N, D)."""
        z = z + self.drop(self.temporal(self.norm_temporal(z)))  # Eq. 2 to 7
        return z + self.drop(self.mlp(self.norm_mlp(z)))  # Eq. 8


class TFormer(Block, nn.Sequential):
    """The blocks that one scale goes through: (B, F, N, D) to (B, F, N, D)."""


class MSSTNet(ClipModel):
    """The whole model. The arguments that all models share are described at `ClipModel`.

    Args:
        frames: F; the paper calls it T and tries 4, 8, 12 and 16.
        backbone: "resnet18" (the paper) or "slim" (the book).
        stages: which of the backbone's stages 1 to 4 are used, in rising order; one T-Former for each (Table 1).
        blocks: L, blocks of each T-Former (Table 1).
        heads: the number of heads A.
        grid: patches along a side, so that N = grid x grid.

    Raises:
        InputError: the maps do not split into the patches, the stages are not in rising order, or see
            `build_staged`.
    """

    def __init__(
        self,
        num_classes: int = 7, frames: int = 16, size: int = 128, backbone: str = "resnet18", weights: str | None = None,
        dim: int = 768, stages: tuple[int, ...] = (2, 3, 4), blocks: int = 2, heads: int = 8, grid: int = 4,
        mlp_ratio: float = 4.0, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.backbone = PatchedStages(build_staged(backbone, weights), tuple(stages), grid)
        self.input_spec = spec_of(backbone, size, frames)
        # what one patch of each stage holds, P^2 d numbers
        self.lengths = [_patch_length(backbone, size=size, stage=stage, grid=grid) for stage in _check_stages(stages)]
        self.embed = nn.ModuleList(nn.Linear(length, dim, bias=False) for length in self.lengths)  # E of Eq. 1
        self.time_position = nn.Parameter(torch.empty(len(stages), frames, 1, dim))  # e_t^pos, for each stage
        self.t_formers = nn.ModuleList(
            TFormer(*(TemporalBlock(dim, heads, mlp_ratio=mlp_ratio, dropout=dropout) for _ in range(blocks)))
            for _ in stages
        )
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Sequential(Dropout(dropout), nn.Linear(dim, num_classes))
        nn.init.trunc_normal_(self.time_position, std=0.02)

    def feature_maps(self, clips: Tensor) -> Tensor:
        """Maps (B, F, sum of P^2 d, grid, grid) of clips (B, F, 3, H, W).

        That the class has this method of its own tells `dferlib.training.kept_maps` that the weights of its backbone do
        not say all about its maps: the stages do too.
        """
        return super().feature_maps(clips)

    def features_from_maps(self, maps: Tensor) -> Tensor:
        """Maps (B, F, sum of P^2 d, grid, grid) to clip features (B, D), the mean that Eq. 9 gives to the head."""
        patches = rearrange(maps, "b f d h w -> b f (h w) d").split(self.lengths, -1)  # of each stage (B, F, N, P^2 d)
        z: Tensor | float = 0.0
        for x, embed, position, t_former in zip(patches, self.embed, self.time_position, self.t_formers, strict=True):
            x = functional.layer_norm(x, x.shape[-1:])  # all stages in one scale
            z = t_former(z + embed(x) + position)  # Eq. 1, then Eq. 2 to 8, (B, F, N, D)
        return reduce(self.norm(z), "b f n d -> b d", "mean")


def _check_stages(stages: tuple[int, ...]) -> tuple[int, ...]:
    if not stages or any(s not in (1, 2, 3, 4) for s in stages) or list(stages) != sorted(set(stages)):
        raise InputError(f"stages are {tuple(stages)}: give some of 1, 2, 3 and 4 in rising order")
    return stages


def _patch_length(backbone: str, *, size: int, stage: int, grid: int) -> int:
    """P^2 d, how many numbers a patch of a stage holds."""
    d, stride = WIDTHS[backbone][stage - 1], STRIDES[backbone][stage - 1]
    width = -(-size // stride)
    if grid < 1 or width % grid:
        raise InputError(
            f"the maps of stage {stage} on frames of {size} px are {width} wide, which does not split into"
            f" {grid} x {grid} patches: choose a size that divides by {stride * grid}"
        )
    return (width // grid) ** 2 * d
