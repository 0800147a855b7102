"""NR-DFERNet (Li et al. 2022, arXiv:2206.04975), noise-robust, as its authors' public code has it.

A static branch looks at each frame, a dynamic one at what changes up to the next; their sum is the frame's token. The
class token of the temporal transformer is dynamic: the mean of the clip's tokens. A filter may rule out neutral in the
end. The papers print 6.33 G multiply-accumulates; that code counts 6.01 with the snippets of the filter, 5.64 without
them, and 18.72 M parameters.

It takes frames in [0, 1] as they are, and so does this at paper scale. Positions begin with a standard deviation of
0.02 in place of 1, as in `former_dfer`.
"""

import torch
from einops import rearrange
from torch import Tensor, nn

from dferlib.errors import InputError, choose
from dferlib.models.backbones import BasicBlock, build_staged, init_convolutions, spec_of, stages_of
from dferlib.models.base import ClipModel, InputSpec
from dferlib.models.former_dfer import FormerBlock

SNIPPET, STEP = 3, 2  # tokens in a snippet, and from one snippet to the next


class NRDFERNet(ClipModel):
    """The whole model. The arguments that all models share are described at `ClipModel`.

    Args:
        frames: F, at least 2.
        backbone: "deep_stem" (the paper), a ResNet with one block a stage and two convolutions in its stem, or "slim"
            (the book); both up to their third stage.
        layers: blocks of the static and of the temporal transformer.

    Raises:
        InputError: there is no change in a clip of one frame, or see `build_staged`.
    """

    def __init__(
        self,
        num_classes: int = 7, frames: int = 16, size: int = 112,
        backbone: str = "deep_stem", weights: str | None = None, layers: int = 2, heads: int = 4,
        dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        if frames < 2:
            raise InputError(f"clips of {frames} frame: NR-DFERNet looks at what changes and needs at least 2")
        spec = spec_of(backbone, size, frames)
        if choose("backbone", backbone, ("deep_stem", "slim")) == "slim":
            self.input_spec = spec
            stem, first, second, third, _ = stages_of(build_staged("slim", weights))
            self.backbone = nn.Sequential(stem, first, second, third)
            dim, side = 64, -(-size // 16)
        else:
            choose("weights of deep_stem", str(weights), ("None",))
            self.input_spec = InputSpec(size, frames, (0.0,) * 3, (1.0,) * 3)
            self.backbone = _deep_stem()
            dim, side = 256, -(-size // 32)
        places, wide = side**2, dim * side**2  # S, and D of a frame's token
        self.dynamic = nn.Sequential(BasicBlock(dim, dim, 2), BasicBlock(dim, dim, 1), BasicBlock(dim, dim, 1))
        self.patches = nn.Sequential(nn.Conv2d(dim, dim, 3, 2, 1, bias=False), nn.BatchNorm2d(dim), nn.ReLU())
        self.space_position = nn.Parameter(torch.empty(1, places, dim))
        self.static = nn.Sequential(
            *(FormerBlock(dim, heads, width=dim // 2, hidden=dim, dropout=dropout) for _ in range(layers))
        )
        self.time_position = nn.Parameter(torch.empty(1, frames, wide))
        self.temporal = nn.Sequential(
            *(FormerBlock(wide, heads, width=dim // 2, hidden=2 * dim, dropout=dropout) for _ in range(layers))
        )
        self.head = nn.Linear(wide, num_classes)
        for module in (self.dynamic, self.patches):
            init_convolutions(module)
        for parameter in (self.space_position, self.time_position):
            nn.init.trunc_normal_(parameter, std=0.02)

    def tokens(self, maps: Tensor) -> Tensor:
        """Dynamic-static fusion: maps (B, F, C, h, w) to one token for each frame but the last, (B, F - 1, D)."""
        before, after = maps[:, :-1], maps[:, 1:]
        moving = self.dynamic(rearrange(after - before, "b f c h w -> (b f) c h w"))
        still = self.patches(rearrange(before, "b f c h w -> (b f) c h w"))
        sizes = {"f": before.shape[1], "h": still.shape[2]}
        places = rearrange(still, "(b f) c h w -> b f (h w) c", **sizes) + self.space_position
        still = rearrange(self.static(places), "b f (h w) c -> (b f) c h w", **sizes)
        return rearrange(moving + still, "(b f) c h w -> b f (c h w)", f=before.shape[1])

    def attend(self, tokens: Tensor) -> Tensor:
        """Tokens (N, n, D), whose mean is the class token, to what the class token has become (N, D)."""
        z = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)
        return self.temporal(z + self.time_position[:, : z.shape[1]])[:, 0]

    def features_from_maps(self, maps: Tensor) -> Tensor:
        """Maps (B, F, C, h, w) to clip features (B, D)."""
        return self.attend(self.tokens(maps))

    def filtered(self, clips: Tensor, neutral: int = 2, low: float = 0.03, high: float = 0.75) -> Tensor:
        """Logits (B, C) of clips (B, F, 3, H, W) with the snippet-based filter, which is for decisions, not training.

        A snippet is three tokens in a row, one begins at every second. If one of them is surely something and surely
        not neutral, then the clip is not neutral either, however many quiet frames it has.

        Args:
            clips: of at least 4 frames; with fewer there is no snippet and nothing is filtered.
            neutral: the class.
            low: the probability of neutral that "surely not" means at most.
            high: the probability of the likeliest class that "surely" means at least.
        """
        tokens = self.tokens(self.feature_maps(clips))
        logits = self.head(self.attend(tokens))
        if tokens.shape[1] < SNIPPET:
            return logits
        snippets = rearrange(tokens.unfold(1, SNIPPET, STEP), "b snippets d f -> b snippets f d")
        p = self.head(self.attend(snippets.flatten(0, 1))).softmax(1).unflatten(0, snippets.shape[:2])
        sure = ((p[..., neutral] <= low) & (p.amax(-1) > high)).any(1)
        ruled_out = torch.where(sure, -1000.0, logits[:, neutral].float()).to(logits.dtype)
        return torch.cat([logits[:, :neutral], ruled_out[:, None], logits[:, neutral + 1 :]], 1)


def _deep_stem() -> nn.Sequential:
    net = nn.Sequential(
        nn.Conv2d(3, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
        nn.Conv2d(64, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
        BasicBlock(64, 64, 1), BasicBlock(64, 128, 2), BasicBlock(128, 256, 2),
    )  # fmt: skip
    init_convolutions(net)
    return net
