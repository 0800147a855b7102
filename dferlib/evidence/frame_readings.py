"""Which frames of a clip a model reads: by the attention of its class token, or by the gradient of a logit.

What is read is held against where the expression is: `rank_agreement` says how well the order of the frames by one fits
their order by the other, and how well it fits the curves of other people's clips, which is what a habit would reach.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from dferlib.errors import InputError, choose
from dferlib.models import attention_maps
from dferlib.models.base import ClipModel, each_map, keep_modes

Weights = Mapping[str, Tensor]  # of attention, by the name of its layer


def read_by_gradient(model: ClipModel, clips: Tensor, labels: Tensor) -> np.ndarray:
    """How much each frame adds to the logit of a class: gradient times maps, summed over channels and places.

    A logit is taken from the mean of all, which softmax does not see. Where the head is linear in the maps, as in
    `frame_average`, the frames' parts and a constant add up to the logit.

    Args:
        model: any model of this library.
        clips: (N, F, 3, H, W), normalised.
        labels: whose logits, int64 (N,).

    Returns:
        (N, F). A frame that the model does not look at adds nothing.
    """
    with keep_modes(model), torch.inference_mode(False):
        model.eval()
        with torch.no_grad():
            maps = each_map(lambda part: part.detach().clone().requires_grad_(), model.feature_maps(clips))
        with torch.enable_grad():
            logits = model.forward_from_maps(maps)
            chosen = (logits - logits.mean(1, keepdim=True)).gather(1, labels[:, None].clone()).sum()
            chosen.backward(inputs=[maps] if isinstance(maps, Tensor) else list(maps))
        with torch.no_grad():
            return model.over_frames(each_map(_added, maps), clips).sum((2, 3)).cpu().numpy()


def _added(maps: Tensor) -> Tensor:
    """Maps (..., C, h, w) that have their gradient to (..., h, w)."""
    assert maps.grad is not None
    return (maps.grad * maps).sum(-3)


def read_by_token(model: ClipModel, clips: Tensor) -> np.ndarray:
    """How much of its attention the class token gives to each frame: the mean over layers, heads and places.

    What it gives to itself is left out. A window of LOGO-Former shares out what it gets among its frames; a token of
    NR-DFERNet, which is of two neighbouring frames, between the two.

    Args:
        model: one of `HAS_TOKEN`.
        clips: (N, F, 3, H, W), normalised.

    Returns:
        (N, F), rows that add up to 1.

    Raises:
        InputError: the model has no class token.
    """
    name = choose("model with a class token", model.config["name"], HAS_TOKEN)
    read = HAS_TOKEN[name](attention_maps(model, clips), model)
    return (read / read.sum(1, keepdim=True)).cpu().numpy()


def _stt(weights: Weights, model: ClipModel) -> Tensor:
    layers = [w.mean((1, 2))[:, 0, 1:] for name, w in weights.items() if name.endswith(".temporal")]
    return torch.stack(layers).mean(0)


def _logo_former(weights: Weights, model: ClipModel) -> Tensor:
    layers = [w.mean(1)[:, 0] for name, w in weights.items() if name.endswith(".global_")]  # (N, windows) each
    frames = model.input_spec.frames
    window = next(m.window[0] for name, m in model.named_modules() if name.endswith(".global_"))
    by_time = torch.stack(layers).mean(0).unflatten(1, (frames // int(window), -1)).sum(2)
    return by_time.repeat_interleave(int(window), 1)


def _former_dfer(weights: Weights, model: ClipModel) -> Tensor:
    layers = [w.mean(1)[:, 0, 1:] for name, w in weights.items() if name.startswith("blocks.")]
    return torch.stack(layers).mean(0)


def _nr_dfernet(weights: Weights, model: ClipModel) -> Tensor:
    layers = [w.mean(1)[:, 0, 1:] for name, w in weights.items() if name.startswith("temporal.")]
    steps = torch.stack(layers).mean(0)  # (N, F - 1), from each frame to the next
    none = steps.new_zeros(len(steps), 1)
    return (torch.cat([steps, none], 1) + torch.cat([none, steps], 1)) / 2


HAS_TOKEN: dict[str, Callable[[Weights, ClipModel], Tensor]] = {
    "stt": _stt,
    "logo_former": _logo_former,
    "former_dfer": _former_dfer,
    "nr_dfernet": _nr_dfernet,
}


def rank_agreement(read: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spearman's correlation of what is read with where the expression is, clip by clip.

    Args:
        read: (P, F) of each clip and frame.
        level: (P, F) how far the expression has risen.

    Returns:
        own: (P,) with the clip's own curve.
        other: (P,) the mean with the curves of all other clips, which a reader would reach who always reads alike.
        Clips whose reading or whose curve is flat have nan in both, and are no other clips.

    Raises:
        InputError: the shapes differ.
    """
    if read.shape != level.shape:
        raise InputError(f"readings have shape {read.shape} and levels {level.shape}: give as many of both")
    ranks = [rankdata(values, axis=1) for values in (read, level)]
    ranks = [rank - rank.mean(1, keepdims=True) for rank in ranks]
    sizes = [np.linalg.norm(rank, axis=1) for rank in ranks]
    fine = (sizes[0] > 0) & (sizes[1] > 0)
    ours, theirs = (rank[fine] / size[fine, None] for rank, size in zip(ranks, sizes, strict=True))
    every = ours @ theirs.T
    own, other = np.full(len(read), np.nan), np.full(len(read), np.nan)
    own[fine] = every.diagonal()
    other[fine] = (every.sum(1) - every.diagonal()) / max(1, len(every) - 1)
    return own, other
