"""Attention rollout: from where in a clip the head has its tokens, if nothing but attention moved anything.

Whatever reaches the head is followed back through the blocks. A block gives a token half of what it was (its shortcut)
and half of what its attention brings, the mean of the heads; MLPs, norms and values are left out. So rollout knows no
class, and no sign. Which tokens there are, and what the head reads, differs from model to model.

Source: Abnar and Zuidema 2020.
"""

from collections.abc import Callable

import torch
from einops import rearrange, repeat
from torch import Tensor

from dferlib.errors import InputError
from dferlib.models import attention_maps
from dferlib.models.attention import windows_of
from dferlib.models.base import ClipModel, keep_modes
from dferlib.models.former_dfer import FormerDFER
from dferlib.models.logo_former import LOGOBlock, LOGOFormer
from dferlib.models.msstnet import MSSTNet
from dferlib.models.stt import STT

Weights = dict[str, Tensor]  # of each layer, (B, ..., queries, keys), the mean of the heads


def rollout(model: ClipModel, clips: Tensor) -> Tensor:
    """How much of each place of the maps reaches the head through attention.

    Args:
        model: one of those in `ROLLED`, with its attention in time.
        clips: (B, F, 3, H, W), normalised.

    Returns:
        (B, F, H, W), from 0 up.

    Raises:
        InputError: the model has no attention that could be followed.
    """
    follow = ROLLED.get(type(model))
    if follow is None or (isinstance(model, STT) and model.class_token is None):
        names = ", ".join(kind.__name__ for kind in ROLLED)
        raise InputError(f"attention cannot be followed through this {type(model).__name__}: choose from {names}")
    weights = {name: each.float().mean(-3) for name, each in attention_maps(model, clips).items()}
    with torch.no_grad(), keep_modes(model):
        places = follow(model.eval(), weights)
        size = round(places.shape[2] ** 0.5)
        return model.over_frames(rearrange(places, "b f (h w) -> b f h w", h=size), clips)


def _frames(r: Tensor, weights: Tensor) -> Tensor:
    """One step back through spatial attention (B, F, S, S): what tokens hold, r (B, F, S), where it came from."""
    return (r + torch.einsum("bfq,bfqk->bfk", r, weights)) / 2


def _times(r: Tensor, weights: Tensor) -> Tensor:
    """One step back through temporal attention (B, S, F, F)."""
    return (r + torch.einsum("bqs,bsqk->bks", r, weights)) / 2


def _stt(model: STT, weights: Weights) -> Tensor:
    last = weights[f"blocks.{len(model.blocks) - 1}.temporal"]
    r = last.new_zeros(len(last), last.shape[-1], last.shape[1])
    r[:, 0] = 1 / r.shape[2]  # the head reads the mean of the class tokens, which stand before the first frame
    for number in reversed(range(len(model.blocks))):
        r = _times(r, weights[f"blocks.{number}.temporal"])
        if (spatial := weights.get(f"blocks.{number}.spatial")) is not None:
            r = _frames(r, spatial)
    return r[:, 1:]


def _logo_former(model: LOGOFormer, weights: Weights) -> Tensor:
    F, S = model.input_spec.frames, model.space_position.shape[2]
    first_block = model.blocks[0]
    assert isinstance(first_block, LOGOBlock)
    window = first_block.local_.window
    nf, nh, nw = windows_of(window, F, S)
    f, h, w = window
    sizes = {"f": f, "h": h, "w": w, "nf": nf, "nh": nh, "nw": nw}
    first = next(iter(weights.values()))
    token, r = first.new_ones(len(first), 1), first.new_zeros(len(first), F * S)
    for number in reversed(range(len(model.blocks))):
        seen = torch.einsum("bq,bqk->bk", torch.cat([token, r], 1), weights[f"blocks.{number}.global_"])
        # a pooled token is the mean of its window
        spread = repeat(seen / (f * h * w), "b (nf nh nw) -> b (nf f nh h nw w)", **sizes)
        token, r = token / 2, (r + spread) / 2
        cells = rearrange(r, "b (nf f nh h nw w) -> b nf nh nw (f h w)", **sizes)
        cells = torch.einsum("...q,...qk->...k", cells, weights[f"blocks.{number}.local_"])
        r = (r + rearrange(cells, "b nf nh nw (f h w) -> b (nf f nh h nw w)", **sizes)) / 2
    return r.unflatten(1, (F, S))


def _msstnet(model: MSSTNet, weights: Weights) -> Tensor:
    first = next(iter(weights.values()))  # (B, S, F, F)
    B, S, F, _ = first.shape
    r, found = first.new_full((B, F, S), 1 / (F * S)), first.new_zeros(B, F, S)
    for scale in reversed(range(len(model.t_formers))):
        for name in reversed([name for name in weights if name.startswith(f"t_formers.{scale}.")]):
            r = _times(r, weights[name])
        # its tokens are the sum of what the T-Former before gives and of the maps of this stage: half from each
        share = r / 2 if scale else r
        found, r = found + share, r - share
    return found


def _former_dfer(model: FormerDFER, weights: Weights) -> Tensor:
    token = next(each for name, each in weights.items() if name.startswith("blocks."))  # (B, F + 1, F + 1)
    r = token.new_zeros(len(token), token.shape[-1])
    r[:, 0] = 1
    for name in reversed([name for name in weights if name.startswith("blocks.")]):
        r = (r + torch.einsum("bq,bqk->bk", r, weights[name])) / 2
    spatial = [name for name in weights if name.startswith("s_former.")]
    S = weights[spatial[0]].shape[-1]
    places = repeat(r[:, 1:] / S, "b f -> b f s", s=S)  # the T-Former reads the mean of each frame's places
    for name in reversed(spatial):
        places = _frames(places, weights[name])
    return places


ROLLED: dict[type[ClipModel], Callable[..., Tensor]] = {
    STT: _stt,
    LOGOFormer: _logo_former,
    MSSTNet: _msstnet,
    FormerDFER: _former_dfer,
}
