"""The renderer's inner loops in plain torch: what each sample sees, how it is lit, and pixels from samples.

These functions are the reference; `kernel` has a compiled twin of each. No display is needed, and the same lines run
on a GPU.

The rasteriser answers which triangle each sample of the frame sees. Triangles are sorted into buckets by the size of
their bounding box. All boxes of a bucket are tested at once: every sample of every box gets its barycentric
coordinates, and the nearest triangle wins by one `scatter_reduce` on packed keys (depth in the high half, triangle in
the low half).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

BUCKETS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256)  # side of the box, in samples
CANDIDATES = 2_000_000  # tested at once, which bounds the memory
EMPTY = torch.iinfo(torch.int64).max
MICROMETRE = 1e-6  # depths are compared to this
FLAT = 1e-9  # a triangle that covers less than half of this is not drawn
SKY = (0.6, 0.4)  # light from everywhere: level, and how much more of it comes from above
FALLS, SHINES = (0.7, 0.3), (0.3, 0.7)  # of a lamp's light, scattered and mirrored: in every crease, and in the open
RED_REACHES, BLUE_REACHES = 0.85, 1.08  # exponents: light that enters skin comes out redder, so a shadow's edge is warm
SHEEN, SHEEN_EDGE = 20, 0.2  # exponent of the light that hair mirrors, and how far round the head it reaches
STRANDS_LEAN = (0.0, 0.3, 1.0)  # hair lies along the part of this direction that follows the surface
FURROW, RIDGE = 0.35, 1.25  # the darkest and the lightest that wrinkles make the skin
SHOULDER = 0.18  # of the tone curve: how much brightness costs contrast
GAMMA = 2.2


class Samples(NamedTuple):
    """The K samples of F frames that see something, in order."""

    place: Tensor  # (K,) index into the flattened (F, S, S)
    triangle: Tensor  # (K,) what it sees
    corners: Tensor  # (K, 3) the triangle's vertices as indices into the flattened (F, V)
    weights: Tensor  # (K, 3) barycentric coordinates, summing to one

    def of(self, chosen: Tensor) -> "Samples":
        """Some of them, by number."""
        return Samples(*(values[chosen] for values in self))


@dataclass(frozen=True)
class Material:
    """How the surface at each of V vertices answers to light."""

    turns: Tensor  # (V,) bool, seen from both sides: its normal is turned towards the camera
    open: Tensor  # (V,) how much of the sky it sees, 0 to 1
    wrap: Tensor  # (V,) how far light reaches round it
    strength: Tensor  # (V,) of its mirrored light
    sharpness: Tensor  # (V,) exponent of its mirrored light
    hair: Tensor  # (V, 3) colour that its hair mirrors, 0 where there is none


@dataclass(frozen=True)
class Lamps:
    """L lamps far away, in F frames, and the light from everywhere. Colours are linear RGB."""

    ambient: Tensor  # (3,)
    toward: Tensor  # (L, 3) unit vectors
    colour: Tensor  # (F, L, 3)
    visibility: Tensor  # (F, L, V) how much of each lamp's light arrives at each vertex, 0 to 1


def _twice_area(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Twice the signed area of triangles with corners (..., 2)."""
    return (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (c[..., 0] - a[..., 0]) * (b[..., 1] - a[..., 1])


def rasterise(points: Tensor, triangles: Tensor, size: int, two_sided: Tensor) -> Tensor:
    """Find the triangle that each sample sees.

    Args:
        points: (F, V, 3) x and y in samples (y down) and depth in metres, for F frames.
        triangles: (M, 3) int64 vertex indices. Those seen from the front run anticlockwise on the image.
        size: S, samples along each side of the square frame.
        two_sided: (M,) bool, triangles that are also seen from behind.

    Returns:
        (F, S, S) int64 index of the nearest triangle that covers the sample's centre, -1 where there is none.
    """
    frames, count = len(points), len(triangles)
    corners = points[:, triangles].reshape(frames * count, 3, 3)
    xy = corners[..., :2]
    low = torch.ceil(xy.amin(1) - 0.5).clamp(min=0).long()
    high = torch.floor(xy.amax(1) - 0.5).clamp(max=size - 1).long()
    area = _twice_area(xy[:, 0], xy[:, 1], xy[:, 2])
    seen = (area < -FLAT) | (two_sided.repeat(frames) & (area > FLAT))
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


def barycentric(points: Tensor, triangles: Tensor, found: Tensor) -> Samples:
    """Where in its triangle each covered sample lies.

    Args:
        points: (F, V, 3), as for `rasterise`.
        triangles: (M, 3).
        found: (F, S, S), from `rasterise`.

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
    return Samples(place, triangle, corners, torch.stack([1 - w1 - w2, w1, w2], 1))


def normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """(F, V, 3) unit normals of vertices (F, V, 3): the sum of the normals of their triangles (M, 3)."""
    a, b, c = (vertices[:, triangles[:, k]] for k in range(3))
    face = torch.linalg.cross(b - a, c - a)
    out = torch.zeros_like(vertices)
    for k in range(3):
        out.index_add_(1, triangles[:, k], face)
    return F.normalize(out, dim=-1)


def illuminate(world: Tensor, normal: Tensor, eye: Tensor, material: Material, lamps: Lamps, corners: Tensor) -> Tensor:
    """Light at each vertex.

    Args:
        world: (F, V, 3) places.
        normal: (F, V, 3) unit normals.
        eye: (F, 3) place of the camera.
        material: what the vertices are made of.
        lamps: where the light comes from.
        corners: (K, 3) indices into the flattened (F, V) of the vertices that are seen.

    Returns:
        (F, V, 6): RGB of the light that is scattered, which the colour multiplies, and RGB of what is mirrored; 0 at
        vertices that are not seen.
    """
    view = F.normalize(eye[:, None] - world, dim=-1)
    away = ((normal * view).sum(-1) < 0) & material.turns
    n = torch.where(away[..., None], -normal, normal)
    open_, wrap = material.open[:, None], material.wrap[:, None]
    diffuse = lamps.ambient * (SKY[0] + SKY[1] * n[..., 2:]) * open_
    gloss = torch.zeros_like(diffuse)
    lean = F.normalize(torch.tensor(STRANDS_LEAN, device=world.device), dim=0)
    strand = F.normalize(lean - (n @ lean)[..., None] * n, dim=-1)
    for k, toward in enumerate(lamps.toward):
        colour = lamps.colour[:, k, None] * lamps.visibility[:, k, :, None]
        facing = (n @ toward)[..., None]
        soft = ((facing + wrap) / (1 + wrap)).clamp(min=0)
        scattered = torch.cat([soft**RED_REACHES, soft, soft**BLUE_REACHES], -1)
        diffuse = diffuse + scattered * colour * (FALLS[0] + FALLS[1] * open_)
        half = F.normalize(toward + view, dim=-1)
        mirrored = (n * half).sum(-1, keepdim=True).clamp(min=0) ** material.sharpness[:, None] * (facing > 0)
        across = (strand * half).sum(-1, keepdim=True)
        sheen = (1 - across**2).clamp(min=0) ** SHEEN * (facing + SHEEN_EDGE).clamp(min=0)
        mirrored = material.strength[:, None] * mirrored * (SHINES[0] + SHINES[1] * open_)
        gloss = gloss + (mirrored + material.hair * sheen) * colour
    seen = torch.zeros(world.shape[:2], device=world.device)
    seen.view(-1)[corners.reshape(-1)] = 1
    return torch.cat([diffuse, gloss], -1) * seen[..., None]


def select(triangle: Tensor, wanted: Tensor) -> Tensor:
    """(J,) int64: the numbers of the samples that see a wanted triangle; triangle (K,), wanted (M,) bool."""
    return wanted[triangle].nonzero()[:, 0]


def interpolate(values: Tensor, corners: Tensor, weights: Tensor) -> Tensor:
    """(K, C) values between the corners of triangles: values (N, C) of N vertices, corners (K, 3), weights (K, 3)."""
    return (values[corners] * weights[..., None]).sum(1)


def skin_albedo(atlas: Tensor, uv: Tensor, region: Tensor, samples: Samples, size: int, strengths: Tensor) -> Tensor:
    """The colour of skin: looked up in the atlas between the four nearest texels, darker or lighter in wrinkles.

    Args:
        atlas: (h, w, 3 + C) linear RGB and C channels of wrinkles.
        uv: (M, 3, 2) place of each triangle's corners in the atlas, -1 to 1, x and y.
        region: (M,) row of `strengths`, -1 where there is no skin.
        samples: K samples.
        size: S, samples along each side of a frame.
        strengths: (F, R, C) how much the wrinkles of each region and channel darken the skin.

    Returns:
        (K, 3) linear RGB; 0 where there is no skin.
    """
    out = torch.zeros(len(samples.place), 3, device=atlas.device)
    chosen = select(samples.triangle, region >= 0)
    place, triangle, _, weights = samples.of(chosen)
    at = (uv[triangle] * weights[..., None]).sum(1)
    texel = F.grid_sample(atlas.permute(2, 0, 1)[None], at[None, :, None], align_corners=False, padding_mode="border")
    colour, wrinkles = texel[0, :, :, 0].T.split([3, atlas.shape[2] - 3], 1)
    wrinkled = (wrinkles * strengths[place // size**2, region[triangle]]).sum(1, keepdim=True)
    out[chosen] = colour * (1 - wrinkled).clamp(FURROW, RIDGE)
    return out


def resolve_pixels(
    colour: Tensor, carried: Tensor, place: Tensor, background: Tensor, frames: int, side: int
) -> Tensor:
    """Light the samples and average them into pixels.

    Args:
        colour: (K, 3) of each sample, linear RGB.
        carried: (K, 8) what was carried to each sample: RGB of the light that its colour multiplies, RGB of the light
            that is added, how far the surface moved, and how much it belongs to the face.
        place: (K,) where each lies in the flattened (F, S, S).
        background: (S, S, 3) linear RGB of the samples that see nothing else.
        frames: F.
        side: of the frames in pixels; S is a multiple of it.

    Returns:
        (F, 5, side, side): linear RGB, movement times face, face.
    """
    size = len(background)
    pixels = F.pad(background, (0, 2)).expand(frames, -1, -1, -1).reshape(-1, 5).clone()
    falls, added, moved, face = carried.split([3, 3, 1, 1], 1)
    pixels[place] = torch.cat([colour * falls + added, moved * face, face], 1)
    return F.avg_pool2d(pixels.view(frames, size, size, 5).permute(0, 3, 1, 2), size // side)


def tone_map(light: Tensor, exposure: float) -> Tensor:
    """Linear light (...) to sRGB values from 0 to 1: exposure, tone curve, gamma."""
    light = (light * exposure).clamp(min=0)
    return (light / (1 + SHOULDER * light)).clamp(0, 1) ** (1 / GAMMA)
