"""The wrinkles that expressions fold: where each lies on the atlas, which blend shapes deepen it, what age leaves.

Numbers in this file are places on the template head (x sideways, y in depth, z up, metres).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dferlib.makefaces.assets import atlas_at
from dferlib.makefaces.patterns import smoothstep
from dferlib.makefaces.rig import REGIONS, region_of

UPPER, MIDDLE, LOWER = range(3)  # the heights of `rig.REGIONS`
CHANNELS = 4  # of the atlas for wrinkles; those of one channel lie in different heights of the face


@dataclass(frozen=True)
class Wrinkle:
    """A wrinkle that some blend shapes fold: its place in the atlas, how each shape deepens it, how age leaves it."""

    height: int
    channel: int
    folds: dict[str, float]  # name of a blend shape, without its side
    stays: float  # how deep it is on a resting face of the oldest


WRINKLES = {
    "inner forehead": Wrinkle(UPPER, 0, {"browInnerUp": 0.75}, 0.30),
    "outer forehead": Wrinkle(UPPER, 1, {"browOuterUp": 0.9}, 0.22),
    "glabella": Wrinkle(UPPER, 2, {"browDown": 0.75, "noseSneer": 0.2}, 0.22),
    "nose": Wrinkle(MIDDLE, 0, {"noseSneer": 0.65}, 0.0),
    "crow's feet": Wrinkle(MIDDLE, 1, {"cheekSquint": 0.8, "eyeSquint": 0.2}, 0.40),
    "pouch": Wrinkle(MIDDLE, 2, {"cheekSquint": 0.55, "eyeSquint": 0.45}, 0.45),
    "nasolabial": Wrinkle(LOWER, 0, {"mouthSmile": 0.75, "noseSneer": 0.4, "mouthUpperUp": 0.4}, 0.45),
    "lip corner": Wrinkle(LOWER, 1, {"mouthFrown": 0.65, "mouthDimple": 0.9}, 0.30),
    "stretch": Wrinkle(LOWER, 2, {"mouthStretch": 0.7, "mouthSmile": 0.2}, 0.10),
    "chin": Wrinkle(LOWER, 3, {"mouthShrugLower": 0.9}, 0.10),
}


def _furrow(above: Tensor, width: float, ridge: float = 0.45) -> Tensor:
    """A dark fold where `above` (metres over its line) is 0, and below it the ridge that catches the light."""
    dark = torch.exp(-((above / width) ** 2))
    return dark - ridge * torch.exp(-(((above + 2.1 * width) / (1.3 * width)) ** 2))


def _upper_wrinkles(x: Tensor, y: Tensor, z: Tensor) -> dict[str, Tensor]:
    """Forehead and the frown between the brows; x is the distance from the middle of the face."""
    front = smoothstep(-y, 0.092, 0.104)
    lines = torch.zeros_like(x)
    for k, height in enumerate((0.7645, 0.7715, 0.7785, 0.7855)):
        wave = 0.0024 * torch.cos(x * 105 + k) + 0.0006 * torch.cos(x * 260 + 2 * k)
        lines += _furrow(z - height - wave, 0.0013) * (0.8 + 0.2 * torch.cos(x * 190 + 2 * k))
    outer = smoothstep(x, 0.016, 0.026)
    glabella = _furrow(0.0062 + 0.15 * (z - 0.75) - x, 0.0013) * torch.exp(-(((z - 0.752) / 0.0080) ** 4))
    return {
        "inner forehead": lines * front * (1 - outer),
        "outer forehead": lines * front * outer * smoothstep(-x, -0.050, -0.040),
        "glabella": glabella * front,
    }


def _middle_wrinkles(x: Tensor, y: Tensor, z: Tensor) -> dict[str, Tensor]:
    """The bridge of the nose and round the eyes."""
    nose = torch.zeros_like(x)
    for height in (0.7225, 0.7285, 0.7345):
        nose += _furrow(z - height + 0.25 * x, 0.0012)
    crow = torch.zeros_like(x)
    for height, slope in ((0.7345, 0.38), (0.7295, 0.08), (0.7245, -0.25), (0.7195, -0.55)):
        crow += _furrow(z - height - slope * (x - 0.048), 0.0010)
    # two arcs under the eye: the edge of the lid's muscle, and the lower edge of the pouch
    bow = ((x - 0.031) / 0.020) ** 2
    pouch = _furrow(z - 0.7185 - 0.003 * bow, 0.0011) + 0.8 * _furrow(z - 0.7125 - 0.005 * bow, 0.0017)
    return {
        "nose": nose * smoothstep(-x, -0.019, -0.010) * smoothstep(-y, 0.118, 0.124),
        "crow's feet": crow
        * smoothstep(x, 0.046, 0.050)
        * smoothstep(-x, -0.063, -0.056)
        * smoothstep(-y, 0.065, 0.08),
        "pouch": pouch * smoothstep(-bow, -1.1, -0.5) * smoothstep(-y, 0.095, 0.105),
    }


def _lower_wrinkles(x: Tensor, y: Tensor, z: Tensor) -> dict[str, Tensor]:
    """From the nose to the chin."""
    front = smoothstep(-y, 0.092, 0.104)
    fold = 0.0190 + 0.0175 * ((0.692 - z) / 0.036).clamp(0, 1)
    nasolabial = _furrow(fold - x, 0.0021) * smoothstep(z, 0.654, 0.668) * smoothstep(-z, -0.6985, -0.691)
    corner = (
        _furrow(0.0280 + 0.30 * (0.666 - z) - x, 0.0015) * smoothstep(z, 0.643, 0.656) * smoothstep(-z, -0.673, -0.667)
    )
    radius = ((x - 0.022) ** 2 + (z - 0.661) ** 2).sqrt()
    beside = smoothstep(x - 0.022 - (z - 0.661).abs() * 0.7, 0.003, 0.008)
    stretch = _furrow(0.0155 - radius, 0.0014) + 0.8 * _furrow(0.0205 - radius, 0.0014)
    crease = _furrow(z - 0.6445 + 0.12 * x, 0.0018) * smoothstep(-x, -0.017, -0.009)
    cells = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 1, 24, 24))).float()
    at = torch.stack([x / 0.02, (z - 0.632) / 0.02], -1)[None]
    pits = F.grid_sample(cells, at, mode="bicubic", align_corners=False, padding_mode="border")[0, 0]
    chin = 0.7 * pits * torch.exp(-((x / 0.013) ** 4) - ((z - 0.632) / 0.0085) ** 4) + crease
    return {
        "nasolabial": nasolabial * front,
        "lip corner": corner * front,
        "stretch": stretch * beside * front,
        "chin": chin * front,
    }


@lru_cache(maxsize=4)
def wrinkle_places(shrink: int) -> dict[str, Tensor]:
    """Where each of `WRINKLES` lies on the atlas, (h, w): above 0 it darkens the skin, below 0 it lightens it."""
    place, _ = atlas_at("cpu", shrink)
    x, y, z = place[..., 0].abs(), place[..., 1], place[..., 2]
    every = {**_upper_wrinkles(x, y, z), **_middle_wrinkles(x, y, z), **_lower_wrinkles(x, y, z)}
    return {name: every[name].clamp(-0.6, 1) for name in WRINKLES}


@lru_cache(maxsize=4)
def wrinkle_maps(shrink: int) -> Tensor:
    """(`CHANNELS`, h, w) the wrinkles in the channels of the atlas."""
    place, _ = atlas_at("cpu", shrink)
    height = region_of(place) // 2
    out = torch.zeros(CHANNELS, *height.shape)
    for name, where in wrinkle_places(shrink).items():
        out[WRINKLES[name].channel] += where * (height == WRINKLES[name].height)
    return out


@lru_cache(maxsize=4)
def resting_wrinkles(shrink: int) -> Tensor:
    """(h, w) the wrinkles of the oldest resting face."""
    return sum((WRINKLES[name].stays * where for name, where in wrinkle_places(shrink).items()), torch.zeros(()))


@lru_cache(maxsize=4)
def _fold_matrix(shapes: tuple[str, ...], device: str) -> Tensor:
    """(len(shapes), regions * channels) how each blend shape deepens the wrinkles of each region."""
    out = torch.zeros(len(shapes), len(REGIONS), CHANNELS)
    for wrinkle in WRINKLES.values():
        for side, suffix in enumerate(("Left", "Right")):
            for name, amount in wrinkle.folds.items():
                row = shapes.index(name if name in shapes else name + suffix)
                out[row, 2 * wrinkle.height + side, wrinkle.channel] = amount
    return out.flatten(1).to(device)


def wrinkle_strengths(actions: Tensor, index: dict[str, int]) -> Tensor:
    """(F, 6, 4) depth of the wrinkles of each of `REGIONS`, 0 to 1, at blend shape weights `actions` (F, 52)."""
    folds = _fold_matrix(tuple(index), str(actions.device))
    return (actions @ folds).clamp(0, 1).view(len(actions), len(REGIONS), CHANNELS)
