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

from dferlib.makefaces import raster
from dferlib.makefaces.raster import Lamps, Material, Samples

njit: Callable | None
try:
    from numba import njit
except ImportError:
    njit = None

Function = TypeVar("Function", bound=Callable)

HALF, ONE, TWO, ZERO = np.float32(0.5), np.float32(1), np.float32(2), np.float32(0)
EMPTY, MICROMETRE, FLAT = raster.EMPTY, np.float32(raster.MICROMETRE), np.float32(raster.FLAT)
SKY, FALLS, SHINES = (tuple(map(np.float32, pair)) for pair in (raster.SKY, raster.FALLS, raster.SHINES))
RED, BLUE = np.float32(raster.RED_REACHES), np.float32(raster.BLUE_REACHES)
SHEEN, SHEEN_EDGE = np.float32(raster.SHEEN), np.float32(raster.SHEEN_EDGE)
TINY = np.float32(1e-12)  # where torch's `normalize` stops dividing
FURROW, RIDGE = np.float32(raster.FURROW), np.float32(raster.RIDGE)
SHOULDER, GAMMA = np.float32(raster.SHOULDER), np.float32(1 / raster.GAMMA)


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


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.contiguous().numpy()


@_compiled
def _lowest(a: float, b: float, c: float) -> float:
    low = a if a < b else b
    return low if low < c else c


@_compiled
def _highest(a: float, b: float, c: float) -> float:
    high = a if a > b else b
    return high if high > c else c


@_compiled
def _unit(x: float, y: float, z: float) -> tuple[float, float, float]:
    length = max(np.sqrt(x * x + y * y + z * z), TINY)
    return x / length, y / length, z / length


@_compiled
def _normals(vertices: np.ndarray, triangles: np.ndarray, out: np.ndarray) -> None:
    out[:] = ZERO
    for t in range(len(vertices)):
        p, n = vertices[t], out[t]
        for m in range(len(triangles)):
            i, j, k = np.uint64(triangles[m, 0]), np.uint64(triangles[m, 1]), np.uint64(triangles[m, 2])
            ux, uy, uz = p[j, 0] - p[i, 0], p[j, 1] - p[i, 1], p[j, 2] - p[i, 2]
            vx, vy, vz = p[k, 0] - p[i, 0], p[k, 1] - p[i, 1], p[k, 2] - p[i, 2]
            x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
            for corner in (i, j, k):
                n[corner, 0] += x
                n[corner, 1] += y
                n[corner, 2] += z
        for v in range(len(n)):
            n[v, 0], n[v, 1], n[v, 2] = _unit(n[v, 0], n[v, 1], n[v, 2])


def normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """The compiled twin of `raster.normals`."""
    out = torch.empty_like(vertices, memory_format=torch.contiguous_format)
    _normals(_array(vertices), triangles.numpy(), out.numpy())
    return out


@_compiled
def _rasterise(points: np.ndarray, triangles: np.ndarray, size: int, two_sided: np.ndarray, found: np.ndarray) -> None:
    nearest = np.empty((size, size), dtype=np.int64)
    for t in range(len(points)):
        nearest[:] = EMPTY
        p = points[t]
        for m in range(len(triangles)):
            # unsigned, so that the compiler need not think of indices that count from the end
            i, j, k = np.uint64(triangles[m, 0]), np.uint64(triangles[m, 1]), np.uint64(triangles[m, 2])
            ax, ay, bx, by, cx, cy = p[i, 0], p[i, 1], p[j, 0], p[j, 1], p[k, 0], p[k, 1]
            abx, aby, acx, acy = bx - ax, by - ay, cx - ax, cy - ay
            area = abx * acy - acx * aby
            if not (area < -FLAT or (area > FLAT and two_sided[m])):
                continue
            x0 = max(int(np.ceil(_lowest(ax, bx, cx) - HALF)), 0)
            x1 = min(int(np.floor(_highest(ax, bx, cx) - HALF)), size - 1)
            y0 = max(int(np.ceil(_lowest(ay, by, cy) - HALF)), 0)
            y1 = min(int(np.floor(_highest(ay, by, cy) - HALF)), size - 1)
            if x0 > x1 or y0 > y1:
                continue
            az = p[i, 2]
            abz, acz = p[j, 2] - az, p[k, 2] - az
            one_over = ONE / area
            for y in range(y0, y1 + 1):
                py = np.float32(y) + HALF - ay
                row = nearest[np.uint64(y)]
                for x in range(x0, x1 + 1):
                    px = np.float32(x) + HALF - ax
                    w1 = (px * acy - acx * py) * one_over
                    w2 = (abx * py - px * aby) * one_over
                    # every sample of the box does all of it: that takes half the time of jumping out, which is
                    # hard to foresee for the processor
                    inside = (w1 >= ZERO) & (w2 >= ZERO) & (ONE - w1 - w2 >= ZERO)
                    depth = az + w1 * abz + w2 * acz
                    key = (np.int64(depth / MICROMETRE) << 32) | m
                    before = row[np.uint64(x)]
                    row[np.uint64(x)] = key if inside & (key < before) else before
        for y in range(size):
            for x in range(size):
                key = nearest[y, x]
                found[t, y, x] = -1 if key == EMPTY else key & 0xFFFFFFFF


def rasterise(points: Tensor, triangles: Tensor, size: int, two_sided: Tensor) -> Tensor:
    """The compiled twin of `raster.rasterise`; its indices are int32."""
    found = torch.empty(len(points), size, size, dtype=torch.int32)
    _rasterise(_array(points), triangles.numpy(), size, two_sided.numpy(), found.numpy())
    return found


@_compiled
def _barycentric(
    points: np.ndarray,
    triangles: np.ndarray,
    found: np.ndarray,
    place: np.ndarray,
    triangle: np.ndarray,
    corners: np.ndarray,
    weights: np.ndarray,
) -> None:
    frames, vertices, size, n = len(points), points.shape[1], found.shape[1], 0
    for t in range(frames):
        p = points[t]
        for y in range(size):
            for x in range(size):
                m = found[t, y, x]
                if m < 0:
                    continue
                i, j, k = np.uint64(triangles[m, 0]), np.uint64(triangles[m, 1]), np.uint64(triangles[m, 2])
                ax, ay = p[i, 0], p[i, 1]
                abx, aby, acx, acy = p[j, 0] - ax, p[j, 1] - ay, p[k, 0] - ax, p[k, 1] - ay
                apx, apy = np.float32(x) + HALF - ax, np.float32(y) + HALF - ay
                area = abx * acy - acx * aby
                w1, w2 = (apx * acy - acx * apy) / area, (abx * apy - apx * aby) / area
                place[n], triangle[n] = (t * size + y) * size + x, m
                for c in range(3):
                    corners[n, c] = triangles[m, c] + t * vertices
                weights[n, 0], weights[n, 1], weights[n, 2] = ONE - w1 - w2, w1, w2
                n += 1


def barycentric(points: Tensor, triangles: Tensor, found: Tensor) -> Samples:
    """The compiled twin of `raster.barycentric`; its indices are int32, which halves what later loops read."""
    count = int((found >= 0).sum())
    place, triangle = torch.empty(2, count, dtype=torch.int32)
    corners, weights = torch.empty(count, 3, dtype=torch.int32), torch.empty(count, 3)
    samples = Samples(place, triangle, corners, weights)
    _barycentric(_array(points), triangles.numpy(), found.numpy(), *map(_array, samples))
    return samples


@_compiled
def _seen(corners: np.ndarray, count: int) -> np.ndarray:
    """(count,) bool: the vertices that some sample's triangle has as a corner."""
    seen = np.zeros(count, dtype=np.bool_)
    for n in range(len(corners)):
        for c in range(3):
            seen[np.uint32(corners[n, c])] = True
    return seen


@_compiled
def _illuminate(
    world: np.ndarray,
    normal: np.ndarray,
    eye: np.ndarray,
    lean: np.ndarray,
    material: tuple[np.ndarray, ...],
    lamps: tuple[np.ndarray, ...],
    corners: np.ndarray,
    out: np.ndarray,
) -> None:
    vertices = world.shape[1]
    seen = _seen(corners, len(world) * vertices)
    turns, open_, wrap, strength, sharpness, hair = material
    ambient, toward, colour, visibility = lamps
    for t in range(len(world)):
        for v in range(vertices):
            if not seen[t * vertices + v]:
                continue
            ex, ey, ez = _unit(eye[t, 0] - world[t, v, 0], eye[t, 1] - world[t, v, 1], eye[t, 2] - world[t, v, 2])
            nx, ny, nz = normal[t, v, 0], normal[t, v, 1], normal[t, v, 2]
            if turns[v] and nx * ex + ny * ey + nz * ez < ZERO:
                nx, ny, nz = -nx, -ny, -nz
            along = nx * lean[0] + ny * lean[1] + nz * lean[2]
            sx, sy, sz = _unit(lean[0] - along * nx, lean[1] - along * ny, lean[2] - along * nz)
            sky = (SKY[0] + SKY[1] * nz) * open_[v]
            for c in range(3):
                out[t, v, c], out[t, v, 3 + c] = ambient[c] * sky, ZERO
            hairy = hair[v, 0] + hair[v, 1] + hair[v, 2] > ZERO
            for k in range(len(toward)):
                facing = nx * toward[k, 0] + ny * toward[k, 1] + nz * toward[k, 2]
                soft = (facing + wrap[v]) / (ONE + wrap[v])
                if soft > ZERO:
                    falls = (FALLS[0] + FALLS[1] * open_[v]) * visibility[t, k, v]
                    out[t, v, 0] += soft**RED * falls * colour[t, k, 0]
                    out[t, v, 1] += soft * falls * colour[t, k, 1]
                    out[t, v, 2] += soft**BLUE * falls * colour[t, k, 2]
                hx, hy, hz = _unit(toward[k, 0] + ex, toward[k, 1] + ey, toward[k, 2] + ez)
                mirrored, sheen = nx * hx + ny * hy + nz * hz, ZERO
                if strength[v] > ZERO and facing > ZERO and mirrored > ZERO:
                    mirrored = strength[v] * mirrored ** sharpness[v] * (SHINES[0] + SHINES[1] * open_[v])
                else:
                    mirrored = ZERO
                if hairy and facing + SHEEN_EDGE > ZERO:
                    across = sx * hx + sy * hy + sz * hz
                    sheen = max(ONE - across * across, ZERO) ** SHEEN * (facing + SHEEN_EDGE)
                for c in range(3):
                    out[t, v, 3 + c] += (mirrored + hair[v, c] * sheen) * colour[t, k, c] * visibility[t, k, v]


def illuminate(world: Tensor, normal: Tensor, eye: Tensor, material: Material, lamps: Lamps, corners: Tensor) -> Tensor:
    """The compiled twin of `raster.illuminate`."""
    out = torch.zeros(*world.shape[:2], 6)
    lean = np.array(raster.STRANDS_LEAN, dtype=np.float32)
    materials, lights = (tuple(_array(value) for value in vars(what).values()) for what in (material, lamps))
    places = (_array(world), _array(normal), _array(eye), lean / np.linalg.norm(lean))
    _illuminate(*places, materials, lights, _array(corners), out.numpy())
    return out


@_compiled
def _interpolate(values: np.ndarray, corners: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    for n in range(len(corners)):
        i, j, k = np.uint64(corners[n, 0]), np.uint64(corners[n, 1]), np.uint64(corners[n, 2])
        w0, w1, w2 = weights[n, 0], weights[n, 1], weights[n, 2]
        for c in range(values.shape[1]):
            out[n, c] = values[i, c] * w0 + values[j, c] * w1 + values[k, c] * w2


def interpolate(values: Tensor, corners: Tensor, weights: Tensor) -> Tensor:
    """The compiled twin of `raster.interpolate`."""
    out = torch.empty(len(corners), values.shape[1])
    _interpolate(_array(values), _array(corners), _array(weights), out.numpy())
    return out


@_compiled
def _select(triangle: np.ndarray, wanted: np.ndarray, out: np.ndarray) -> int:
    count = 0
    for n in range(len(triangle)):
        out[count] = n
        count += wanted[np.uint32(triangle[n])]
    return count


def select(triangle: Tensor, wanted: Tensor) -> Tensor:
    """The compiled twin of `raster.select`."""
    out = torch.empty(len(triangle), dtype=torch.int64)
    return out[: _select(_array(triangle), _array(wanted), out.numpy())]


@_compiled
def _skin_albedo(
    atlas: np.ndarray,
    uv: np.ndarray,
    region: np.ndarray,
    place: np.ndarray,
    triangle: np.ndarray,
    weights: np.ndarray,
    size: int,
    strengths: np.ndarray,
    out: np.ndarray,
) -> None:
    height, width, per_frame = atlas.shape[0], atlas.shape[1], np.uint32(size * size)
    right, bottom = np.float32(width - 1), np.float32(height - 1)
    for n in range(len(triangle)):
        m, w0, w1, w2 = np.uint32(triangle[n]), weights[n, 0], weights[n, 1], weights[n, 2]
        if region[m] < 0:
            out[n, 0] = out[n, 1] = out[n, 2] = ZERO
            continue
        x = uv[m, 0, 0] * w0 + uv[m, 1, 0] * w1 + uv[m, 2, 0] * w2
        y = uv[m, 0, 1] * w0 + uv[m, 1, 1] * w1 + uv[m, 2, 1] * w2
        x = min(max(((x + ONE) * np.float32(width) - ONE) / TWO, ZERO), right)
        y = min(max(((y + ONE) * np.float32(height) - ONE) / TWO, ZERO), bottom)
        i, j = np.uint32(y), np.uint32(x)
        below, beside = np.uint32(min(i + 1, height - 1)), np.uint32(min(j + 1, width - 1))
        south, east = y - np.float32(i), x - np.float32(j)
        north, west = ONE - south, ONE - east
        nw, ne, sw, se = north * west, north * east, south * west, south * east
        frame, r = np.uint32(place[n]) // per_frame, np.uint32(region[m])
        wrinkled = ZERO
        for c in range(strengths.shape[2]):
            k = 3 + c
            fold = (
                atlas[i, j, k] * nw + atlas[i, beside, k] * ne + atlas[below, j, k] * sw + atlas[below, beside, k] * se
            )
            wrinkled += fold * strengths[frame, r, c]
        shade = min(max(ONE - wrinkled, FURROW), RIDGE)
        for k in range(3):
            texel = (
                atlas[i, j, k] * nw + atlas[i, beside, k] * ne + atlas[below, j, k] * sw + atlas[below, beside, k] * se
            )
            out[n, k] = texel * shade


def skin_albedo(atlas: Tensor, uv: Tensor, region: Tensor, samples: Samples, size: int, strengths: Tensor) -> Tensor:
    """The compiled twin of `raster.skin_albedo`."""
    out = torch.empty(len(samples.place), 3)
    place, triangle, _, weights = map(_array, samples)
    look_up = (_array(atlas), _array(uv), _array(region))
    _skin_albedo(*look_up, place, triangle, weights, size, _array(strengths), out.numpy())
    return out


@_compiled
def _resolve_pixels(
    colour: np.ndarray, carried: np.ndarray, place: np.ndarray, background: np.ndarray, fine: int, out: np.ndarray
) -> None:
    frames, side = len(out), out.shape[2]
    size, share = side * fine, ONE / np.float32(fine * fine)
    width = np.uint32(size)
    first = np.zeros((3, side, side), dtype=np.float32)
    for y in range(size):
        for x in range(size):
            for c in range(3):
                first[c, y // fine, x // fine] += background[y, x, c] * share
    for t in range(frames):
        out[t, :3], out[t, 3:] = first, ZERO
    for n in range(len(place)):
        row = np.uint32(place[n]) // width
        frame, column = row // width, np.uint32(place[n]) - row * width
        line = row - frame * width
        i, j, lit = line // np.uint32(fine), column // np.uint32(fine), carried[n]
        for c in range(3):
            out[frame, c, i, j] += (colour[n, c] * lit[c] + lit[3 + c] - background[line, column, c]) * share
        out[frame, 3, i, j] += lit[6] * lit[7] * share
        out[frame, 4, i, j] += lit[7] * share


def resolve_pixels(
    colour: Tensor, carried: Tensor, place: Tensor, background: Tensor, frames: int, side: int
) -> Tensor:
    """The compiled twin of `raster.resolve_pixels`."""
    out = torch.empty(frames, 5, side, side)
    _resolve_pixels(
        _array(colour), _array(carried), _array(place), _array(background), len(background) // side, out.numpy()
    )
    return out


@_compiled
def _tone_map(light: np.ndarray, exposure: float, out: np.ndarray) -> None:
    factor = np.float32(exposure)
    for i in range(len(light)):
        x = max(light[i] * factor, ZERO)
        out[i] = min(x / (ONE + SHOULDER * x), ONE) ** GAMMA


def tone_map(light: Tensor, exposure: float) -> Tensor:
    """The compiled twin of `raster.tone_map`."""
    out = torch.empty(light.shape)
    _tone_map(_array(light).reshape(-1), exposure, out.view(-1).numpy())
    return out
