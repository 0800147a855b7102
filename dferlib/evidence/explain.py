"""Looking inside a trained model: where in a clip the evidence lies, and how clips lie in feature space."""

from collections.abc import Callable
from numbers import Integral
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dferlib.errors import InputError, choose
from dferlib.models.base import ClipModel, each_map, keep_modes


def grad_cam(
    model: ClipModel, clip: Tensor, label: int | None = None, kind: str = "Grad-CAM"
) -> tuple[np.ndarray, int]:
    """Where in each frame the evidence for a class lies: Grad-CAM, or one of its kin, on the maps of the backbone.

    The frames share one scale, so that a frame without evidence stays dark. Tools that stretch each frame by itself
    would hide just what a clip model is about. A frame that the model does not look at has no heat (the middle one
    alone has some in `single_frame`, the peak in `sgaer`). What a network has shortened in time is spread over it.

    Args:
        model: any model of this library, in any precision; nothing about it is changed.
        clip: (F, 3, H, W) normalised frames of one clip.
        label: the class to explain; default the predicted one.
        kind: one of `CAMS`: how the maps are weighed.

    Returns:
        heat: (F, H, W) from 0 to 1, float32.
        label: the class it explains.

    Raises:
        InputError: the clip does not fit the model, there is no such class or kind, or what the model gives is not
            finite.

    Source: Selvaraju et al. 2017; STT shows such maps in its Fig. 4. Grad-CAM++: Chattopadhay et al. 2018; Layer-CAM:
    Jiang et al. 2021.
    """
    weigh = CAMS[choose("kind of map", kind, CAMS)]
    weight = next(model.parameters())
    # without cuDNN, because its recurrent layers have no gradient in evaluation mode
    with keep_modes(model), torch.inference_mode(False), torch.backends.cudnn.flags(enabled=False):
        model.eval()
        clips = (clip.to(weight) if clip.is_floating_point() else clip.to(weight.device))[None]
        with torch.no_grad():
            maps = each_map(lambda part: part.detach().requires_grad_(), model.feature_maps(clips))
        with torch.enable_grad():
            logits = model.forward_from_maps(maps)
            chosen = pick_class(logits[0], label)
            # the maps alone get a gradient: what the parameters have stays theirs
            logits[0, chosen].backward(inputs=[maps] if isinstance(maps, Tensor) else list(maps))
        with torch.no_grad():
            heat = model.over_frames(each_map(lambda part: _evidence(part, weigh), maps), clips)[0]
    return (heat / heat.max().clamp(min=1e-12)).cpu().numpy(), chosen


def pick_class(logits: Tensor, label: int | None) -> int:
    """The class to explain, by logits (C,): the one that is named, or the largest.

    Raises:
        InputError: there is no such class, or the logits are not finite.
    """
    if not logits.isfinite().all():
        raise InputError(f"the model gives nan or infinity in {logits.dtype}: explain it in float32, or train it again")
    if label is None:
        return int(logits.argmax())
    if not isinstance(label, Integral) or not 0 <= label < len(logits):
        raise InputError(f"there is no class {label!r}: this model has the classes 0 to {len(logits) - 1}")
    return int(label)


def _evidence(maps: Tensor, weigh: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Maps (..., C, h, w) that have their gradient to (..., h, w): channels as they are weighed, what speaks for it."""
    assert maps.grad is not None
    values, slope = maps.float(), maps.grad.float()
    return (weigh(values, slope) * values).sum(-3).clamp(min=0)


def _mean(values: Tensor, slope: Tensor) -> Tensor:
    """A channel weighs as much as its mean gradient."""
    return slope.mean((-2, -1), keepdim=True)


def _plus_plus(values: Tensor, slope: Tensor) -> Tensor:
    """A channel weighs as much as its rising places, each of them less the more of the channel there is elsewhere."""
    alpha = 1 / (2 + (values.sum((-2, -1), keepdim=True) * slope).clamp(min=0))  # Eq. 19 divided by the slope squared
    return (alpha * slope.clamp(min=0)).sum((-2, -1), keepdim=True)


def _place_by_place(values: Tensor, slope: Tensor) -> Tensor:
    """Every place has a weight of its own: its gradient, where that is positive."""
    return slope.clamp(min=0)


CAMS = {"Grad-CAM": _mean, "Grad-CAM++": _plus_plus, "Layer-CAM": _place_by_place}


def embed_in_plane(
    features: np.ndarray, seed: int = 0, perplexity: float = 30.0, init: Literal["pca", "random"] = "pca"
) -> np.ndarray:
    """Lay clip features (N, D) out in the plane with t-SNE: (N, 2).

    Distances between far groups mean little in such a picture; read it for which clips are neighbours.

    Args:
        features: (N, D), N of at least 4.
        seed: of the layout. From the principal components the same layout comes out for every seed.
        perplexity: about how many neighbours each clip is to keep near; less where there are few clips.
        init: what the layout begins with: the principal components ("pca"), or "random" places.

    Source: van der Maaten and Hinton 2008; STT shows one in its Fig. 5.
    """
    from sklearn.manifold import TSNE

    if len(features) < 4:
        raise InputError(f"t-SNE needs at least 4 clips, not {len(features)}")
    layout = TSNE(perplexity=min(perplexity, (len(features) - 1) / 3), init=init, random_state=seed)
    return layout.fit_transform(features)
