"""The inner loops of the renderer, compiled with numba: a faster twin of each function in `raster`.

Same arguments, same returns, CPU only. The torch functions are the reference; a test compares the two. Without numba
`available()` is False and the renderer runs the reference. Compiled code is kept on disk, so that only the first call
on a machine waits for the compiler. One thread: whoever makes many clips runs one process a core.

Every number in these loops is float32, as in torch, and nothing is reordered: `found` is the same to the last index.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
import torch
from torch import Tensor

try:
    from numba import njit
except ImportError:
    njit = None

Function = TypeVar("Function", bound=Callable)

HALF, ONE, ZERO = np.float32(0.5), np.float32(1), np.float32(0)
EMPTY = np.iinfo(np.int64).max
MICROMETRE = np.float32(1e-6)
FLAT = np.float32(1e-9)


def available() -> bool:
    """Whether the compiled path can run: whether numba can be imported."""
    return njit is not None


def _compiled(function: Function) -> Function:
    """Compile at the first call; keep the machine code on disk where some folder can be written."""
    if njit is None:
        return function
    try:
        return cast(Function, njit(cache=True)(function))
    except RuntimeError:  # neither the package's folder nor the user's cache folder can be written
        return cast(Function, njit(function))


@_compiled
def _rasterise(points: np.ndarray, triangles: np.ndarray, size: int, two_sided: np.ndarray, found: np.ndarray) -> None:
    nearest = np.empty((size, size), dtype=np.int64)
    for t in range(len(points)):
        nearest[:] = EMPTY
        for m in range(len(triangles)):
            i, j, k = triangles[m, 0], triangles[m, 1], triangles[m, 2]
            ax, ay, bx, by = points[t, i, 0], points[t, i, 1], points[t, j, 0], points[t, j, 1]
            cx, cy, az = points[t, k, 0], points[t, k, 1], points[t, i, 2]
            abx, aby, acx, acy = bx - ax, by - ay, cx - ax, cy - ay
            area = abx * acy - acx * aby
            if not (area < -FLAT or (two_sided[m] and area > FLAT)):
                continue
            x0 = max(int(np.ceil(min(ax, bx, cx) - HALF)), 0)
            x1 = min(int(np.floor(max(ax, bx, cx) - HALF)), size - 1)
            y0 = max(int(np.ceil(min(ay, by, cy) - HALF)), 0)
            y1 = min(int(np.floor(max(ay, by, cy) - HALF)), size - 1)
            if x0 > x1 or y0 > y1:
                continue
            abz, acz = points[t, j, 2] - az, points[t, k, 2] - az
            one_over = ONE / area
            for y in range(y0, y1 + 1):
                py = np.float32(y) + HALF - ay
                for x in range(x0, x1 + 1):
                    px = np.float32(x) + HALF - ax
                    w1 = (px * acy - acx * py) * one_over
                    w2 = (abx * py - px * aby) * one_over
                    if w1 >= ZERO and w2 >= ZERO and ONE - w1 - w2 >= ZERO:
                        depth = az + w1 * abz + w2 * acz
                        key = (np.int64(depth / MICROMETRE) << 32) | m
                        if key < nearest[y, x]:
                            nearest[y, x] = key
        for y in range(size):
            for x in range(size):
                key = nearest[y, x]
                found[t, y, x] = -1 if key == EMPTY else key & 0xFFFFFFFF


def rasterise(points: Tensor, triangles: Tensor, size: int, two_sided: Tensor) -> Tensor:
    """The compiled twin of `raster.rasterise`."""
    found = torch.empty(len(points), size, size, dtype=torch.int64)
    _rasterise(points.contiguous().numpy(), triangles.numpy(), size, two_sided.numpy(), found.numpy())
    return found
