"""NR-DFERNet (Li et al. 2022, arXiv:2206.04975), noise-robust, as its authors' public code has it.

A static branch looks at each frame, a dynamic one at what changes up to the next; their sum is the frame's token. The
class token of the temporal transformer is dynamic: the mean of the clip's tokens. A filter may rule out neutral in the
end. The papers print 6.33 G multiply-accumulates; that code counts 6.01 with the snippets of the filter, 5.64 without
them, and 18.72 M parameters.

It takes pictures in [0, 1] as they are, and so does this at paper scale. Positions begin with a standard deviation of
0.02 in place of 1, as in `former_dfer`.
"""

import torch
from torch import Tensor, nn

from dferlib.errors import InputError, choose
from dferlib.models.backbones import BasicBlock, build_staged, spec_of, stages_of
from dferlib.models.base import ClipModel, InputSpec
from dferlib.models.former_dfer import FormerBlock


class NRDFERNet(ClipModel):
    """The whole model.

    Args:
        num_classes: C.
        frames: T, at least 2.
        size: side of the frames in pixels.
        backbone: "deep_stem" (the paper), a ResNet with one block a stage and two convolutions in its stem, or "slim"
            (the book); both up to their third stage.
        weights: what the slim backbone starts from, see `build_staged`.
        layers: blocks of the static and of the temporal transformer.
        heads: N_h, of both.
        dropout: in the transformers.

    Raises:
        InputError: there is no change in a clip of one frame, or see `build_staged`.
    """

    def __init__(
        self,
        num_classes: int = 7,
        frames: int = 16,
        size: int = 112,
        backbone: str = "deep_stem",
        weights: str | None = None,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if frames < 2:
            raise InputError(f"clips of {frames} frame: NR-DFERNet looks at what changes and needs at least 2")
        spec = spec_of(backbone, size, frames)
        if choose("backbone", backbone, ("deep_stem", "slim")) == "slim":
            self.input_spec = spec
            self.backbone = nn.Sequential(*stages_of(build_staged("slim", weights))[:4])
            dim, places = 64, -(-size // 16)
        else:
            choose("weights of deep_stem", str(weights), ("None",))
            self.input_spec = InputSpec(size, frames, (0.0,) * 3, (1.0,) * 3)
            self.backbone = _deep_stem()
            dim, places = 256, -(-size // 32)
        self.dynamic = nn.Sequential(BasicBlock(dim, dim, 2), BasicBlock(dim, dim, 1), BasicBlock(dim, dim, 1))
        self.patches = nn.Sequential(nn.Conv2d(dim, dim, 3, 2, 1, bias=False), nn.BatchNorm2d(dim), nn.ReLU())
        self.space_position = nn.Parameter(torch.empty(1, places**2, dim))
        self.static = nn.Sequential(*(FormerBlock(dim, heads, dim // 2, dim, dropout) for _ in range(layers)))
        self.time_position = nn.Parameter(torch.empty(1, frames, dim * places**2))
        self.temporal = nn.Sequential(
            *(FormerBlock(dim * places**2, heads, dim // 2, 2 * dim, dropout) for _ in range(layers))
        )
        self.head = nn.Linear(dim * places**2, num_classes)
        for module in (self.dynamic, self.patches):
            _init(module)
        for parameter in (self.space_position, self.time_position):
            nn.init.trunc_normal_(parameter, std=0.02)

    def tokens(self, maps: Tensor) -> Tensor:
        """Dynamic-static fusion: maps (B, T, C, h, w) to one token for each frame but the last, (B, T - 1, D)."""
        changes = maps[:, 1:] - maps[:, :-1]
        moving = self.dynamic(changes.flatten(0, 1))
        still = self.patches(maps[:, :-1].flatten(0, 1))
        places = still.flatten(2).transpose(1, 2) + self.space_position
        seen = self.static(places.unflatten(0, changes.shape[:2])).transpose(2, 3)  # (B, T - 1, D', S)
        return (moving + seen.reshape(moving.shape)).flatten(1).unflatten(0, changes.shape[:2])

    def attend(self, tokens: Tensor) -> Tensor:
        """Tokens (N, n, D), whose mean is the class token, to what the class token has become (N, D)."""
        z = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)
        return self.temporal(z + self.time_position[:, : z.shape[1]])[:, 0]

    def features_from_maps(self, maps: Tensor) -> Tensor:
        """Maps (B, T, C, h, w) to clip features (B, D)."""
        return self.attend(self.tokens(maps))

    def filtered(self, clips: Tensor, neutral: int = 2, low: float = 0.03, high: float = 0.75) -> Tensor:
        """Logits (B, C) of clips (B, T, 3, H, W) with the snippet-based filter, which is for decisions, not training.

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
        if tokens.shape[1] < 3:
            return logits
        snippets = tokens.unfold(1, 3, 2).transpose(2, 3)  # (B, snippets, 3, D)
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
    _init(net)
    return net


def _init(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
