"""The skin's atlas: for each texel its place on the head, masks, and how open each vertex is to the sky."""

from functools import cache
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt

from dferlib.errors import InputError
from dferlib.makefaces.assets import Part
from dferlib.makefaces.baking.source import Source
from dferlib.makefaces.kernel import njit

MASKS = ("lips", "eyelids", "face", "ears", "inside-mouth")
BOX = (0.63, 1.0, 0.13, 0.83)  # the part of the texture that shows the head: from u, to u, from v, to v
HEIGHT, WIDTH = 768, 406
MARGIN = 0.02  # how far outside a triangle, in barycentric coordinates, a texel still belongs to it
RAYS, REACH, LIFT = 256, 0.12, 8e-4  # rays a vertex; metres that they go, and that they start above the surface
OPAQUE = (Part.SKIN, Part.TONGUE, Part.TEETH, Part.BODY, Part.MOUTH_CAVITY, Part.EYE_SOCKET)


def split_skin(part: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Tell head, body, mouth cavity and eye sockets apart by where a triangle lies in the texture.

    Args:
        part: (M,) with `Part.SKIN` for all of them.
        places: (M, 3, 2) texture coordinates of the corners.

    Returns:
        (M,) values of `Part`.
    """
    u, v = places.mean(1).T
    cavity = (u > 0.74) & (v < 0.14)
    socket = (u < 0.17) & (v > 0.53) & (v < 0.65)
    head = (u > 0.625) & (v > 0.13) & (v < 0.86)
    skin = np.select(
        [cavity, socket & ~head, head], [int(Part.MOUTH_CAVITY), int(Part.EYE_SOCKET), int(Part.SKIN)], int(Part.BODY)
    )
    return np.where(part == Part.SKIN, skin, part).astype(np.uint8)


def look_up(mask: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Values of a mask (H, W) at texture coordinates (..., 2)."""
    height, width = mask.shape
    column = np.clip((places[..., 0] * width).astype(int), 0, width - 1)
    return mask[np.clip(((1 - places[..., 1]) * height).astype(int), 0, height - 1), column]


def masks_of_vertices(mesh: dict[str, np.ndarray], part: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(V, 5) the largest value that a mask has at any of the vertex's places in the texture."""
    out = np.zeros((len(mesh["V"]), len(masks)), np.float32)
    skin = (part == Part.SKIN) | (part == Part.MOUTH_CAVITY)
    for k, mask in enumerate(masks):
        np.maximum.at(out[:, k], mesh["tri"][skin], look_up(mask, mesh["tuv"][skin]))
    return out


def normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals of the vertices, weighted by the areas of the triangles around them."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    out = np.zeros_like(vertices)
    np.add.at(out, triangles, np.cross(b - a, c - a)[:, None])
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)


def openness(vertices: np.ndarray, triangles: np.ndarray, obstacles: np.ndarray) -> np.ndarray:
    """How open each vertex is: the part of its sky, weighted by the cosine, that nothing near hides.

    What a ray meets counts less the farther it is, and not at all beyond `REACH`.

    Args:
        vertices: (V, 3) in metres.
        triangles: (M, 3) that give the normals.
        obstacles: (K, 3) triangles that hide.

    Returns:
        (V,) from 0 to 1.

    Raises:
        InputError: there is no numba; in Python alone it would take hours.
    """
    if njit is None:
        raise InputError("tracing rays needs numba: pip install dferlib[fast-faces]")
    # Fibonacci's spiral on the unit disc, raised to the hemisphere: evenly spread, weighted by the cosine
    turn, out = np.arange(RAYS) * np.pi * (3 - 5**0.5), (np.arange(RAYS) + 0.5) / RAYS
    sky = np.stack([np.sqrt(out) * np.cos(turn), np.sqrt(out) * np.sin(turn), np.sqrt(1 - out)], 1)
    return _compiled()(
        vertices.astype(np.float64),
        normals(vertices.astype(np.float64), triangles),
        vertices[obstacles].astype(np.float64),
        sky,
        REACH,
        LIFT,
    )


@cache
def _compiled() -> Any:
    assert njit is not None  # `openness` has said so
    return njit(_openness)  # takes seconds, so once a process


def _openness(
    points: np.ndarray, up: np.ndarray, walls: np.ndarray, sky: np.ndarray, reach: float, lift: float
) -> np.ndarray:
    centre = (walls[:, 0] + walls[:, 1] + walls[:, 2]) / 3
    radius = np.zeros(len(walls))
    for corner in range(3):
        radius = np.maximum(radius, np.sqrt(((walls[:, corner] - centre) ** 2).sum(1)))
    edge1, edge2 = walls[:, 1] - walls[:, 0], walls[:, 2] - walls[:, 0]
    result = np.empty(len(points))
    for i in range(len(points)):
        normal = up[i]
        start = points[i] + normal * lift
        side = np.array([1.0, 0.0, 0.0]) if abs(normal[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
        x = np.cross(side, normal)
        x /= np.sqrt((x * x).sum())
        y = np.cross(normal, x)
        away = np.sqrt(((centre - start) ** 2).sum(1))
        near = np.flatnonzero(away - radius < reach)
        hidden = 0.0
        for direction in sky:
            ray = direction[0] * x + direction[1] * y + direction[2] * normal
            first = reach
            for k in near:
                # Moeller and Trumbore: the ray's place in the triangle's own coordinates
                e1, e2 = edge1[k], edge2[k]
                p0 = ray[1] * e2[2] - ray[2] * e2[1]
                p1 = ray[2] * e2[0] - ray[0] * e2[2]
                p2 = ray[0] * e2[1] - ray[1] * e2[0]
                det = e1[0] * p0 + e1[1] * p1 + e1[2] * p2
                if abs(det) < 1e-15:
                    continue
                t0, t1, t2 = start[0] - walls[k, 0, 0], start[1] - walls[k, 0, 1], start[2] - walls[k, 0, 2]
                u = (t0 * p0 + t1 * p1 + t2 * p2) / det
                if u < 0 or u > 1:
                    continue
                q0, q1, q2 = t1 * e1[2] - t2 * e1[1], t2 * e1[0] - t0 * e1[2], t0 * e1[1] - t1 * e1[0]
                v = (ray[0] * q0 + ray[1] * q1 + ray[2] * q2) / det
                if v < 0 or u + v > 1:
                    continue
                distance = (e2[0] * q0 + e2[1] * q1 + e2[2] * q2) / det
                if 0 < distance < first:
                    first = distance
            hidden += 1 - first / reach
        result[i] = 1 - hidden / len(sky)
    return result


def spread(values: np.ndarray, corners: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Draw values of vertices into the atlas; texels that no triangle covers take the value of the nearest one.

    Args:
        values: (V, C).
        corners: (M, 3, 2) texture coordinates of the triangles.
        triangles: (M, 3) vertices.

    Returns:
        (HEIGHT, WIDTH, C) float32.
    """
    u0, u1, v0, v1 = BOX
    atlas = np.zeros((HEIGHT, WIDTH, values.shape[1]), np.float32)
    hit = np.zeros((HEIGHT, WIDTH), bool)
    x = (corners[..., 0] - u0) / (u1 - u0) * WIDTH - 0.5
    y = (v1 - corners[..., 1]) / (v1 - v0) * HEIGHT - 0.5
    for triangle, cx, cy in zip(triangles, x, y, strict=True):
        left, top = max(int(np.floor(cx.min())), 0), max(int(np.floor(cy.min())), 0)
        right, bottom = min(int(np.ceil(cx.max())), WIDTH - 1), min(int(np.ceil(cy.max())), HEIGHT - 1)
        area = (cx[1] - cx[0]) * (cy[2] - cy[1]) - (cx[2] - cx[1]) * (cy[1] - cy[0])
        if right < left or bottom < top or abs(area) < 1e-9:
            continue
        columns, rows = np.meshgrid(np.arange(left, right + 1), np.arange(top, bottom + 1))
        b1 = ((columns - cx[0]) * (cy[2] - cy[0]) - (cx[2] - cx[0]) * (rows - cy[0])) / area
        b2 = ((cx[1] - cx[0]) * (rows - cy[0]) - (columns - cx[0]) * (cy[1] - cy[0])) / area
        weights = np.stack([1 - b1 - b2, b1, b2], -1)
        inside = (weights > -MARGIN).all(-1)
        atlas[rows[inside], columns[inside]] = weights[inside] @ values[triangle]
        hit[rows[inside], columns[inside]] = True
    nearest = distance_transform_edt(~hit, return_distances=False, return_indices=True)
    return atlas[tuple(nearest)]


def bake_atlas(source: Source, mesh: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of `atlas.npz`, see `assets.Head`, for the head that `bake_head` gave."""
    part = split_skin(mesh["part"], mesh["tuv"])
    masks = np.stack([source.mask(name) for name in MASKS])
    skin = part == Part.SKIN
    u0, u1, v0, v1 = BOX
    u = (np.arange(WIDTH) + 0.5) / WIDTH * (u1 - u0) + u0
    v = v1 - (np.arange(HEIGHT) + 0.5) / HEIGHT * (v1 - v0)
    texels = np.stack(np.meshgrid(u, v), -1)
    opaque = np.isin(part, [int(which) for which in OPAQUE])
    return {
        "pos": spread(mesh["V"], mesh["tuv"][skin], mesh["tri"][skin]),
        "mask": (np.stack([look_up(mask, texels) for mask in masks], -1) * 255).astype(np.uint8),
        "part": part,
        "aov": openness(mesh["V"], mesh["tri"], mesh["tri"][opaque]).astype(np.float32),
        "maskv": masks_of_vertices(mesh, part, masks),
        "box": np.array(BOX, np.float32),
    }
