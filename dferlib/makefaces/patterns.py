"""Patterns that textures are made of: smooth steps, noise, and tiles without a seam."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def smoothstep(x: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """0 below `low`, 1 above `high`, a smooth S between."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def value_noise(height: int, width: int, cells: int, rng: np.random.Generator, octaves: int) -> Tensor:
    """(height, width) soft random pattern: `octaves` layers, each twice as fine and half as strong."""
    out = torch.zeros(1, 1, height, width)
    for k in range(octaves):
        grid = rng.standard_normal((1, 1, max(2, height // cells * 2**k), max(2, width // cells * 2**k)))
        out += (
            F.interpolate(torch.from_numpy(grid).float(), (height, width), mode="bicubic", align_corners=False) / 2**k
        )
    return out[0, 0]


def seamless(pattern: Tensor) -> Tensor:
    """The pattern (h, w) blended with itself so that its opposite edges meet."""
    for dim, length in enumerate(pattern.shape):
        weight = torch.sin(np.pi * (torch.arange(length) + 0.5) / length)
        weight = weight[:, None] if dim == 0 else weight
        pattern = weight * pattern + (1 - weight**2).sqrt() * pattern.roll(length // 2, dim)
    return pattern


def rgb(colour: np.ndarray) -> Tensor:
    """The numbers of a colour as float32."""
    return torch.from_numpy(np.asarray(colour, dtype=np.float32))
