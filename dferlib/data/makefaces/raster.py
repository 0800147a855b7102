"""A triangle rasteriser in plain torch: which triangle does each sample of the picture see?

Triangles are sorted into buckets by the size of their bounding box. All boxes of a bucket are tested at once: every
sample of every box gets its barycentric coordinates, and the nearest triangle wins by one `scatter_reduce` on packed
keys (depth in the high half, triangle in the low half). No display is needed, and the same lines run on a GPU.
"""

import torch
from torch import Tensor

BUCKETS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256)  # side of the box, in samples
CANDIDATES = 2_000_000  # tested at once, which bounds the memory
EMPTY = torch.iinfo(torch.int64).max
MICROMETRE = 1e-6  # depths are compared to this


def _twice_area(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Twice the signed area of triangles with corners (..., 2)."""
    return (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (c[..., 0] - a[..., 0]) * (b[..., 1] - a[..., 1])


def rasterise(points: Tensor, triangles: Tensor, size: int, two_sided: Tensor) -> Tensor:
    """Find the triangle that each sample sees.

    Args:
        points: (T, V, 3) x and y in samples (y down) and depth in metres, for T frames.
        triangles: (M, 3) int64 vertex indices. Those seen from the front run anticlockwise on the picture.
        size: S, samples along each side of the square picture.
        two_sided: (M,) bool, triangles that are also seen from behind.

    Returns:
        (T, S, S) int64 index of the nearest triangle that covers the sample's centre, -1 where there is none.
    """
    frames, count = len(points), len(triangles)
    corners = points[:, triangles].reshape(frames * count, 3, 3)
    xy = corners[..., :2]
    low = torch.ceil(xy.amin(1) - 0.5).clamp(min=0).long()
    high = torch.floor(xy.amax(1) - 0.5).clamp(max=size - 1).long()
    area = _twice_area(xy[:, 0], xy[:, 1], xy[:, 2])
    seen = (area < -1e-9) | (two_sided.repeat(frames) & (area > 1e-9))
    seen &= (high >= low).all(1)
    box = (high - low + 1).amax(1)
    nearest = torch.full((frames * size * size,), EMPTY, dtype=torch.int64, device=points.device)
    smaller = 0
    for side in (*BUCKETS, size):
        chosen = (seen & (box > smaller) & (box <= side)).nonzero()[:, 0]
        smaller = max(smaller, side)
        for part in chosen.split(max(1, CANDIDATES // side**2)):
            _keep_nearest(nearest, corners[part], low[part], high[part], part, side, count, size)
    found = torch.where(nearest == EMPTY, -1, nearest & 0xFFFFFFFF)
    return found.view(frames, size, size)


def _keep_nearest(
    nearest: Tensor, corners: Tensor, low: Tensor, high: Tensor, which: Tensor, side: int, count: int, size: int
) -> None:
    """Test every sample of each triangle's box (N boxes of side x side) and lower the keys of those inside."""
    step = torch.arange(side, device=corners.device)
    x, y = low[:, :1] + step, low[:, 1:] + step  # (N, side)
    a, b, c = corners.unbind(1)
    one_over = 1 / _twice_area(a, b, c)[:, None, None]
    px, py = (x + 0.5 - a[:, :1])[:, None, :], (y + 0.5 - a[:, 1:2])[:, :, None]
    ab, ac = ((p - a)[:, :2, None, None] for p in (b, c))
    w1 = (px * ac[:, 1] - ac[:, 0] * py) * one_over  # (N, side, side)
    w2 = (ab[:, 0] * py - px * ab[:, 1]) * one_over
    w0 = 1 - w1 - w2
    inside = (w0 >= 0) & (w1 >= 0) & (w2 >= 0) & (x <= high[:, :1])[:, None, :] & (y <= high[:, 1:])[:, :, None]
    n, row, column = inside.nonzero(as_tuple=True)
    w1, w2, z = w1[inside], w2[inside], corners[n, :, 2]
    depth = z[:, 0] + w1 * (z[:, 1] - z[:, 0]) + w2 * (z[:, 2] - z[:, 0])
    triangle = which[n]
    key = ((depth / MICROMETRE).long() << 32) | (triangle % count)
    place = (triangle // count * size + y[n, row]) * size + x[n, column]
    nearest.scatter_reduce_(0, place, key, "amin")


def barycentric(points: Tensor, triangles: Tensor, found: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where in its triangle each covered sample lies.

    Args:
        points: (T, V, 3), as for `rasterise`.
        triangles: (M, 3).
        found: (T, S, S), from `rasterise`.

    Returns:
        place: (K,) index of each covered sample in the flattened (T, S, S).
        triangle: (K,) what it sees.
        corners: (K, 3) the triangle's vertices as indices into the flattened (T, V).
        weights: (K, 3) barycentric coordinates, summing to one.
    """
    frames, vertices = points.shape[:2]
    size = found.shape[-1]
    flat = found.view(-1)
    place = (flat >= 0).nonzero()[:, 0]
    triangle = flat[place]
    frame, within = place // (size * size), place % (size * size)
    corners = triangles[triangle] + (frame * vertices)[:, None]
    a, b, c = points.reshape(frames * vertices, 3)[:, :2][corners].unbind(1)
    p = torch.stack([within % size, within // size], 1) + 0.5
    area = _twice_area(a, b, c)
    w1, w2 = _twice_area(a, p, c) / area, _twice_area(a, b, p) / area
    return place, triangle, corners, torch.stack([1 - w1 - w2, w1, w2], 1)
