"""Former-DFER (Zhao and Liu, ACM Multimedia 2021) as its public code has it, and a reader for weights of that code.

The S-Former is a ResNet18 with a transformer over the 7 x 7 places of each frame between its third and fourth stage;
the T-Former is a transformer with a class token over the frames, each averaged over its places. That code counts
8.32 G multiply-accumulates where papers print 9.11, which it would be with three blocks in the S-Former and one in the
T-Former, in place of one and three (see `dferlib.evidence.readings`).

It takes pictures in [0, 1] as they are, and so does this at paper scale. One thing differs, and only for who trains it
anew: positions and class token begin with a standard deviation of 0.02 in place of 1, which would drown the features
of a backbone that has learnt something.
"""

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dferlib.emotions import EMOTIONS
from dferlib.errors import InputError
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


# our names, part by part, and what they are called in the public code
_NAMES = (
    (r"^head\.", "fc."),
    (r"^backbone\.net\.0\.0\.", "s_former.conv1."),
    (r"^backbone\.net\.0\.1\.", "s_former.bn1."),
    (r"^backbone\.net\.", "s_former.layer"),
    (r"^backbone\.position$", "s_former.pos_embedding"),
    (r"^backbone\.blocks\.", "s_former.spatial_transformer.layers."),
    (r"^class_token$", "t_former.cls_token"),
    (r"^position$", "t_former.pos_embedding"),
    (r"^blocks\.", "t_former.spatial_transformer.layers."),  # so it is called there
    (r"\.norm_attention\.", ".0.fn.norm."),
    (r"\.attention\.qkv\.", ".0.fn.fn.to_qkv."),
    (r"\.attention\.project\.", ".0.fn.fn.to_out.0."),
    (r"\.norm_mlp\.", ".1.fn.norm."),
    (r"\.mlp\.", ".1.fn.fn.net."),
)


def load_former_dfer_weights(path: Path | str) -> ClipModel:
    """Build Former-DFER with weights that its public code saved.

    Args:
        path: a state dict, or a checkpoint with one as `state_dict`, from one or several GPUs. It is read without
            running any code in it: of everything but tensors, such as the curve of the training, nothing is made.

    Returns:
        The model at paper scale in evaluation mode. With seven classes they are named as in `dferlib.EMOTIONS`, whose
        order is that of DFEW.

    Raises:
        InputError: the file is missing, damaged or holds something else; the message lists what is lacking and what
            is left over.
    """
    from dferlib.models import create_model

    given = _read(Path(path))
    fc = given.get("fc.weight")
    with torch.device("meta"):  # names and shapes; the numbers come from the file
        model = create_model("former_dfer", len(fc) if fc is not None and len(fc) > 1 else 7, "paper")
    own = model.state_dict()
    names = {_public(key): key for key in own}
    lacking, left = sorted(names.keys() - given.keys()), sorted(given.keys() - names.keys())
    misfit = sorted(name for name in names.keys() & given.keys() if given[name].shape != own[names[name]].shape)
    found = [(what, keys) for what, keys in (("lacks", lacking), ("has left over", left), ("misfits", misfit)) if keys]
    if found:
        listed = "; ".join(f"{what} {', '.join(keys[:5])}{_more(len(keys) - 5)}" for what, keys in found)
        raise InputError(f"{path} is no state dict of Former-DFER: it {listed}")
    model.load_state_dict({names[name]: given[name] for name in names}, assign=True)
    model.backbone.to(memory_format=torch.channels_last)
    if model.config["num_classes"] == len(EMOTIONS):
        model.classes = EMOTIONS
    return model.eval()


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def _public(name: str) -> str:
    for ours, theirs in _NAMES:
        name = re.sub(ours, theirs, name)
    return name


class _Nothing:
    """What a checkpoint holds beside tensors: made without looking at it, and never used."""

    def __new__(cls, *_: Any) -> "_Nothing":
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


# the public code saves a record of losses and accuracies with the weights, an object of its own around numpy arrays
_NO_TENSORS = [(_Nothing, "__main__.RecorderMeter"), (_Nothing, "numpy.ndarray"), (_Nothing, "numpy.dtype")]
_NO_TENSORS += [(_Nothing, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")]


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict by their public names."""
    if not path.is_file():
        raise InputError(f"there is no file {path}: give the .pth file that Former-DFER's code wrote")
    try:
        with torch.serialization.safe_globals(_NO_TENSORS):  # type: ignore[arg-type]
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"cannot read {path}: damaged, or it holds more than weights ({first})") from error
    if isinstance(state, dict):
        state = state.get("state_dict", state)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} holds no state dict: give the .pth file that Former-DFER's code wrote")
    return {str(key).removeprefix("module."): value for key, value in state.items()}  # of several GPUs
