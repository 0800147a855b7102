"""Heat maps held against what is true of a clip: does the heat lie where, and when, the face moves?

Where the truth is known a map can be scored. Of the place: how much of its heat lies in the moving region, in the clip
and within its frames, and whether its hottest pixel does. Of the time: whether the heat of the frames ranks as the
expression comes and goes. Of the model itself: what becomes of its answer if the hottest pixels are blurred first, or
come back first. And a map that is the same when the model's weights are drawn by chance (Adebayo et al. 2018) tells
nothing of what the model has learnt.
"""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata
from torch import Tensor
from torch.nn import functional

from dferlib.data.sampling import segment_indices
from dferlib.data.transforms import LUMA, center_crop, stored_size
from dferlib.evidence.heat_maps import blurred
from dferlib.models import create_model
from dferlib.models.base import ClipModel, InputSpec

LEAST = 0.25  # of the largest movement of a clip: what moves as much belongs to the moving region
SCORES = ("energy", "place", "pointing", "timing", "deletion", "insertion")
CASCADE = ("the head", "all but the backbone", "half of the backbone", "everything")  # whose weights are drawn anew
PARTS = 8  # of the pixels that are taken away, or come back, one after the other
SPREAD = 4  # the Gaussian's standard deviation is the side of the frame divided by this


def as_seen(values: np.ndarray, spec: InputSpec) -> np.ndarray:
    """Bring what is known of every pixel of a stored clip to the frames and pixels that a model sees.

    Args:
        values: (N, S, S) of N stored frames.
        spec: of the model.

    Returns:
        (F, H, W) float32, taken and cropped as `prepare` and `segment_indices` do with the frames.
    """
    frames = torch.from_numpy(values[segment_indices(len(values), spec.frames)]).float()[:, None]
    side = stored_size(spec.size)
    if frames.shape[-1] != side:
        frames = functional.interpolate(frames, (side, side), mode="bilinear", antialias=True, align_corners=False)
    return center_crop(frames, spec.size)[:, 0].numpy()


def moving_region(motion: np.ndarray) -> np.ndarray:
    """(F, H, W) bool, the pixels that move at least a quarter as far as what moves farthest in the clip.

    Args:
        motion: (F, H, W) how far each pixel's surface is from where it is on the neutral face.
    """
    return motion >= max(LEAST * motion.max(), 1e-12)


def energy(heat: np.ndarray, region: np.ndarray) -> float:
    """The part of the heat in a region over the region's part of the clip: 1 for heat that is spread evenly.

    A map without any heat counts as spread evenly.

    Args:
        heat: (F, H, W), from 0 up.
        region: (F, H, W) bool, not empty.
    """
    return float(heat[region].sum() / heat.sum() / region.mean()) if heat.any() else 1.0


def place(heat: np.ndarray, region: np.ndarray) -> float:
    """The energy within frames, so that it does not matter in which frames the heat lies: 1 for even heat in each.

    It is the mean over the frames in which something moves, weighed by how much of each belongs to the region.

    Args:
        heat: (F, H, W), from 0 up.
        region: (F, H, W) bool, not empty.
    """
    moves = region.any((1, 2))
    parts = [energy(frame, part) for frame, part in zip(heat[moves], region[moves], strict=True)]
    return float(np.average(parts, weights=region[moves].sum((1, 2))))


def pointing(heat: np.ndarray, region: np.ndarray) -> float:
    """Whether the hottest pixel lies in a region: 1 or 0, or a part where several are equally hot."""
    return float(region[heat == heat.max()].mean())


def timing(heat: np.ndarray, curve: np.ndarray) -> float:
    """Spearman's rank correlation of the heat of each frame with a curve over the frames.

    Args:
        heat: (F, H, W).
        curve: (F,).

    Returns:
        From -1 to 1; 0 where all frames have the same heat, nan where the curve is flat.
    """
    return float("nan") if np.ptp(curve) < 1e-6 else rank_correlation(heat.sum((1, 2)), curve)


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's correlation of two arrays of one shape; 0 where one of them is constant."""
    a, b = (rankdata(each) - (each.size + 1) / 2 for each in (one, other))
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale else 0.0


@torch.no_grad()
def play_out(model: ClipModel, clip: Tensor, heat: np.ndarray, label: int) -> tuple[float, float]:
    """What becomes of a class if the hottest pixels of a clip are blurred first, and if they come back first.

    Args:
        model: whose answer is taken, ready to evaluate.
        clip: (F, 3, H, W) normalised.
        heat: (F, H, W) of any model, or of none.
        label: the class.

    Returns:
        deletion: the mean probability of the class while more and more pixels are blurred; low is good.
        insertion: the same while they come back, from a clip that is all blurred; high is good.

    Source: Petsiuk et al. 2018.
    """
    order = torch.from_numpy(np.argsort(-heat.ravel(), kind="stable").copy())
    rank = torch.empty_like(order).scatter_(0, order, torch.arange(len(order))).view(heat.shape)[:, None]
    ends = [len(order) * k / PARTS for k in range(PARTS + 1)]
    blank = blurred(clip)
    gone = torch.stack([torch.where(rank < end, blank, clip) for end in ends])
    back = torch.stack([torch.where(rank < end, clip, blank) for end in ends[1:-1]])
    said = model(torch.cat([gone, back])).float().softmax(1)[:, label].double().numpy()
    deletion, insertion = said[: PARTS + 1], np.array([said[PARTS], *said[PARTS + 1 :], said[0]])
    return _area(deletion), _area(insertion)


def _area(curve: np.ndarray) -> float:
    """Under a curve whose points are equally far apart, from 0 to 1."""
    return float((curve[1:] + curve[:-1]).mean() / 2)


def edges_of(face: np.ndarray) -> np.ndarray:
    """How steep the luminance of a face (3, S, S) is at every pixel, (S, S)."""
    light = np.tensordot(LUMA, face.astype(np.float64), 1)
    return np.hypot(*np.gradient(gaussian_filter(light, 1)))


def gaussian(frames: int, size: int) -> np.ndarray:
    """A bump in the middle of every frame, (F, H, W)."""
    place = (np.arange(size) + 0.5 - size / 2) * SPREAD / size
    bump = np.exp(-(place[:, None] ** 2 + place**2) / 2)
    return np.broadcast_to(bump, (frames, size, size)).copy()


def drawn_anew(model: ClipModel, parts: str, seed: int) -> ClipModel:
    """The same model with weights drawn by chance, from the head down as far as `parts` says.

    Args:
        model: a trained one; it stays as it is.
        parts: one of `CASCADE`. Half of the backbone is the half of its layers that comes last.
        seed: of the draws, not that of the training: a head that has hardly moved in it would come out the same.

    Returns:
        Ready to evaluate. What is drawn is as `create_model` makes it where nothing is given to start from.
    """
    made = model.config  # it names no weights to start from
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = create_model(made["name"], made["num_classes"], made["scale"], **made["overrides"])
    kept = {name: value for name, value in model.state_dict().items() if not _is_drawn(name, parts, _late(model))}
    fresh.load_state_dict({**fresh.state_dict(), **kept})
    return fresh.eval()


def _late(model: ClipModel) -> tuple[str, ...]:
    """The beginnings of the names of the weights in the later half of the backbone's layers."""
    layers = [name for name, part in model.backbone.named_modules() if part._parameters or part._buffers]
    return tuple(f"backbone.{name}." for name in layers[len(layers) // 2 :])


def _is_drawn(name: str, parts: str, late: tuple[str, ...]) -> bool:
    """Whether a weight is drawn anew, by its name."""
    depth = CASCADE.index(parts)
    if name.startswith("head."):
        return True
    if not name.startswith("backbone."):
        return depth >= 1
    return depth == 3 or (depth == 2 and name.startswith(late))
