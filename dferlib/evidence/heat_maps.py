"""One call for all kinds of heat maps: where in a clip a model finds the evidence for a class.

What is taken away, by occlusion, by integrated gradients and by `play_out`, is taken away by blurring: a grey patch
on a face is nothing that a model has seen, and it would answer to the patch.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur  # type: ignore[import-untyped]

from dferlib.errors import InputError, choose
from dferlib.evidence.explain import CAMS, grad_cam, pick_class
from dferlib.evidence.rollout import ROLLED, rollout
from dferlib.models.base import ClipModel, keep_modes

BLUR = 8  # the blur's standard deviation is the side of the frame divided by this
PATCHES = 4  # squares along a side that are occluded, one after the other: about as large as a place of the maps
FRAMES_AT_ONCE = 2  # that are occluded together
PARTS = 10  # of the way from the blurred clip to the clip, for integrated gradients
TOGETHER = 14  # clips that are computed at once


def blurred(clip: Tensor) -> Tensor:
    """A clip (F, 3, H, W) whose frames are blurred until no feature of the face is left."""
    sigma = clip.shape[-1] / BLUR
    return gaussian_blur(clip, [2 * round(2 * sigma) + 1] * 2, [sigma] * 2)


def heat_map(
    model: ClipModel, clip: Tensor, label: int | None = None, kind: str = "Grad-CAM"
) -> tuple[np.ndarray, int]:
    """Where in a clip the evidence for a class lies, by any of `KINDS`.

    Args:
        model: any model of this library; attention rollout takes only those with attention, see `kinds_of`.
        clip: (F, 3, H, W) normalised frames of one clip.
        label: the class to explain; default the predicted one. Attention rollout gives the same for all.
        kind: one of `KINDS`.

    Returns:
        heat: (F, H, W) from 0 to 1, float32, on one scale for all frames; what speaks against the class has none.
        label: the class it explains.

    Raises:
        InputError: there is no such kind or class, or it does not fit the model; or the package captum is missing.
    """
    if choose("kind of map", kind, KINDS) in CAMS:
        return grad_cam(model, clip, label, kind)
    # without cuDNN, because its recurrent layers have no gradient in evaluation mode
    with keep_modes(model), torch.inference_mode(False), torch.backends.cudnn.flags(enabled=False):
        model.eval()
        clips = clip.clone()[None]
        with torch.no_grad():
            chosen = pick_class(model(clips)[0], label)
        heat = _OTHERS[kind](model, clips, chosen).detach()[0].clamp(min=0)
    return (heat / heat.max().clamp(min=1e-12)).float().cpu().numpy(), chosen


def kinds_of(model: ClipModel) -> list[str]:
    """The kinds of maps that a model has."""
    return [kind for kind in KINDS if kind != "attention rollout" or type(model) in ROLLED]


def _rollout(model: ClipModel, clips: Tensor, label: int) -> Tensor:
    return rollout(model, clips)


def _occlusion(model: ClipModel, clips: Tensor, label: int) -> Tensor:
    """How much the logit falls where two frames are blurred in a square."""
    side, together = clips.shape[-1] // PATCHES, min(FRAMES_AT_ONCE, clips.shape[1])
    found = (
        _captum()
        .Occlusion(model)
        .attribute(
            clips,
            sliding_window_shapes=(together, 3, side, side),
            strides=(together, 3, side, side),
            baselines=blurred(clips[0])[None],
            target=label,
            perturbations_per_eval=TOGETHER,
        )
    )
    return found.mean(2)


def _integrated(model: ClipModel, clips: Tensor, label: int) -> Tensor:
    """The gradient of the logit, the mean on the way from the blurred clip, times how far each pixel is from it."""
    found = (
        _captum()
        .IntegratedGradients(model)
        .attribute(clips, blurred(clips[0])[None], label, n_steps=PARTS, internal_batch_size=TOGETHER)
    )
    return found.sum(2)


def _captum():  # type: ignore[no-untyped-def]
    try:
        import captum.attr
    except ImportError as error:
        raise InputError(
            "occlusion and integrated gradients need the package captum: pip install 'dferlib[maps]'"
        ) from error
    return captum.attr


_OTHERS: dict[str, Callable[[ClipModel, Tensor, int], Tensor]] = {
    "attention rollout": _rollout,
    "occlusion": _occlusion,
    "integrated gradients": _integrated,
}
KINDS = (*CAMS, *_OTHERS)
