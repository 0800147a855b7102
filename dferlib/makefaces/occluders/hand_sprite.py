"""A hand in the round: how high it stands over the image plane, which way its surface faces, where its nails are.

It is seen from the back, a right hand with the fingers up and the thumb to the left. Palm, fingers and thumb are
tapered capsules; their union, softened where they meet, is a height over the image plane; the rest follows from that.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor

LEFT, RIGHT, BOTTOM, TOP = -0.10, 0.08, -0.10, 0.22  # metres; the wrist is at 0, 0
MILLIMETRE = 0.001
FINE = 0.8 * MILLIMETRE  # the grid on which the hand is modelled
SOFTNESS = 1.0 * MILLIMETRE  # how far the parts of the hand flow into each other
POSES = 8  # different hands
ALPHA, TONE, NAIL, SHADOW, NORMAL = 0, 1, 2, 3, slice(4, 7)  # the channels of a sprite

# metres: the knuckle (x, y), the three bones and the turn outward in radians of index, middle, ring and little finger
FINGERS = (
    ((-0.027, 0.092), (0.043, 0.025, 0.019), -0.10),
    ((-0.007, 0.097), (0.047, 0.029, 0.020), -0.02),
    ((0.013, 0.091), (0.043, 0.027, 0.020), 0.05),
    ((0.030, 0.080), (0.034, 0.020, 0.018), 0.15),
)
WRISTS = ((-0.014, 0.006), (-0.005, 0.0), (0.006, 0.0), (0.014, 0.008))
FINGER_RADII = (0.0106, 0.0098, 0.0086, 0.0071)  # at the knuckle, the two joints and the tip


@dataclass(frozen=True)
class _Capsule:
    """A bone with its flesh: two ends (x, y, height), a radius at each."""

    start: np.ndarray
    end: np.ndarray
    radii: tuple[float, float]
    nail: bool = False
    creased: bool = False


def _chain(
    base: np.ndarray, bones: tuple[float, ...], radii: tuple[float, ...], turn: float, bends: tuple[float, ...]
) -> list[_Capsule]:
    """A finger: bones one after the other, each bent further down from the image plane."""
    out, start, down = [], base, 0.0
    for k, (bone, bend) in enumerate(zip(bones, bends, strict=True)):
        down += bend
        way = np.array([np.sin(turn) * np.cos(down), np.cos(turn) * np.cos(down), -np.sin(down)])
        end = start + bone * way
        out.append(_Capsule(start, end, (radii[k], radii[k + 1]), nail=k == len(bones) - 1, creased=k > 0))
        start = end
    return out


def _capsules(rng: np.random.Generator) -> list[_Capsule]:
    """The parts of a hand that lies on something round: fingers a little bent and spread."""
    spread, bent, thumb = rng.uniform(0.2, 1.3), rng.uniform(0.5, 1.3), rng.uniform(0.25, 0.75)
    parts = [_Capsule(np.array([0.0, 0.0, -0.012]), np.array([0.0, -0.25, -0.016]), (0.026, 0.036))]
    for k, ((x, y), bones, turn) in enumerate(FINGERS):
        wrist = WRISTS[k]
        knuckle = np.array([x, y, 0.0])
        parts.append(_Capsule(np.array([*wrist, -0.006]), knuckle, (0.0145, 0.0120)))
        scale = rng.uniform(0.94, 1.04)
        bends = tuple(bent * np.array([0.10, 0.22, 0.18]) * rng.uniform(0.8, 1.2, 3))
        turned = turn * spread + rng.normal(0, 0.02)
        parts += _chain(knuckle, tuple(scale * b for b in bones), FINGER_RADII, turned, bends)
    ball = np.array([-0.043, 0.052, -0.006])
    parts.append(_Capsule(np.array([-0.018, 0.012, -0.008]), ball, (0.0175, 0.0125)))
    parts.append(_Capsule(np.array([-0.012, 0.045, -0.008]), ball, (0.018, 0.013)))  # the web of the thumb
    parts += _chain(ball, (0.034, 0.028), (0.0120, 0.0102, 0.0080), -thumb, (0.05, 0.12))
    return parts


def _grid() -> tuple[np.ndarray, np.ndarray]:
    x = np.arange(LEFT + FINE / 2, RIGHT, FINE)
    y = np.arange(TOP - FINE / 2, BOTTOM, -FINE)
    return x[None, :], y[:, None]


def _model(rng: np.random.Generator) -> np.ndarray:
    """(7, H, W) the channels of a hand on the fine grid, top row first."""
    x, y = _grid()
    total = np.zeros((y.size, x.size))  # of exp(height / SOFTNESS), as a soft maximum
    inside = np.zeros(total.shape, bool)
    nail, crease = np.zeros(total.shape), np.zeros(total.shape)
    for part in _capsules(rng):
        (ax, ay, az), (bx, by, bz) = part.start, part.end
        length = np.hypot(bx - ax, by - ay)
        ux, uy = (bx - ax) / length, (by - ay) / length
        along = (x - ax) * ux + (y - ay) * uy
        across = (x - ax) * -uy + (y - ay) * ux
        t = (along / length).clip(0, 1)
        radius = part.radii[0] + t * (part.radii[1] - part.radii[0])
        rise = radius**2 - across**2 - (along - t * length) ** 2
        mine = rise > 0
        height = az + t * (bz - az) + np.sqrt(rise.clip(0))
        total += np.where(mine, np.exp(height / SOFTNESS), 0)
        inside |= mine
        if part.nail:
            wide, tip = 0.66 * part.radii[1], length + 0.15 * part.radii[1]
            oval = np.abs(across / wide) ** 3 + np.abs((along - tip + 0.0045) / 0.0062) ** 3
            nail = np.maximum(nail, ((1.15 - oval) / 0.3).clip(0, 1) * mine)
        if part.creased:
            folds = sum(np.exp(-(((along - s) / 0.0008) ** 2)) for s in (-0.0022, 0.0, 0.0022))
            crease = np.maximum(crease, folds * (np.abs(across) < 0.75 * radius) * mine)
    height = np.where(inside, SOFTNESS * np.log(np.maximum(total, 1e-30)), 0)
    return _channels(height, inside.astype(float), nail, crease, rng)


def _channels(
    height: np.ndarray, inside: np.ndarray, nail: np.ndarray, crease: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    down, right = np.gradient(height, FINE)
    normal = np.stack([-right, down, np.ones_like(height)])
    normal[:2] = normal[:2].clip(-3, 3)  # the rim would be infinitely steep
    normal /= np.linalg.norm(normal, axis=0)
    # what lies lower than its surroundings gets less light: the lines between the fingers
    around = gaussian_filter(height * inside, 4.5) / np.maximum(gaussian_filter(inside, 4.5), 1e-3)
    open_ = (1 - 75 * (around - height).clip(0, 0.009)).clip(0.3, 1)
    blotches = gaussian_filter(rng.standard_normal(height.shape), 6) * 6
    tone = open_ * (1 - 0.22 * crease * (1 - nail)) * (1 + 0.05 * blotches)
    shadow = gaussian_filter(inside, 7.0)
    return np.stack([inside, inside * tone, inside * nail, shadow, *(inside * normal)])


@lru_cache(maxsize=2 * POSES)
def hand_sprite(pose: int, step: float) -> Tensor:
    """A hand as an image of its surface.

    Args:
        pose: which of `POSES` hands.
        step: side of the sprite's pixels in metres.

    Returns:
        (7, h, w) over `LEFT` to `RIGHT` and `TOP` to `BOTTOM`: how much of the pixel is hand; multiplied by that, the
        tone and how much is nail; the shadow that it casts; multiplied again, the normal (right, up, to the camera).
    """
    fine = torch.from_numpy(_model(np.random.default_rng(pose))).float()
    shape = (round((TOP - BOTTOM) / step), round((RIGHT - LEFT) / step))
    return F.interpolate(fine[None], shape, mode="area")[0]
