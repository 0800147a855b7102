"""Glasses and sunglasses: plane curves that sit on the resting head and turn with it."""

from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
import torch
from torch import Tensor

from dferlib.makefaces.occluders.overlay import Overlay, pixel_centres, shade_flat, to_tensor, visible_range
from dferlib.makefaces.render import Actor
from dferlib.makefaces.scene import Scene

ANGLES = 128  # entries of the table that holds the outline of a lens
EYE_DISTANCE = 0.0665  # metres between the lids' middles on the average head; frames are made for that
STEP = 0.01  # metres between the points that tell how a lens lies in the frame: perspective bends longer ways


@dataclass(frozen=True)
class FrameShape:
    """Outline of a right lens, as seen by the camera: a superellipse, bent.

    Attributes:
        wide: width in metres.
        high: height in metres.
        power: 2 is an ellipse, more is more like a rectangle.
        taper: how much wider the top is than the bottom, as a share.
        lift: how far the outer upper corner rises, metres.
        rim: range of the rim's thickness in metres.
    """

    wide: float
    high: float
    power: float
    taper: float
    lift: float
    rim: tuple[float, float]


FRAME_SHAPES = {
    "round": FrameShape(0.046, 0.044, 2.0, 0.0, 0.0, (0.0010, 0.0035)),
    "oval": FrameShape(0.050, 0.034, 2.2, 0.0, 0.0, (0.0008, 0.0025)),
    "rectangle": FrameShape(0.053, 0.033, 4.0, 0.04, 0.0, (0.0010, 0.0040)),
    "square": FrameShape(0.051, 0.042, 3.6, 0.10, 0.002, (0.0025, 0.0055)),
    "aviator": FrameShape(0.057, 0.049, 2.6, 0.20, -0.002, (0.0009, 0.0014)),
    "cat-eye": FrameShape(0.053, 0.039, 2.8, 0.12, 0.007, (0.0020, 0.0050)),
}
# linear reflectances: plastics, then the metals of thin rims
RIM_COLOURS = np.array(
    [
        [0.015, 0.015, 0.017],
        [0.015, 0.015, 0.017],
        [0.10, 0.045, 0.02],
        [0.05, 0.03, 0.02],
        [0.30, 0.02, 0.03],
        [0.03, 0.06, 0.20],
        [0.25, 0.25, 0.26],
        [0.45, 0.33, 0.14],
        [0.55, 0.50, 0.46],
    ]
)
METALS, THICKEST_METAL = 6, 0.002  # the first metal of them, and metres
TINTS = np.array([[0.01, 0.01, 0.012], [0.03, 0.018, 0.01], [0.012, 0.022, 0.014]])


@dataclass(frozen=True)
class Glasses:
    """A pair of glasses that sits on the head.

    Attributes:
        kind: "glasses" or "sunglasses".
        shape: one of `FRAME_SHAPES`.
        rim: thickness of the rim in metres.
        colour: (3,) linear reflectance of the rim.
        tint: (3,) linear colour of the lenses.
        density: how much of the light the lenses take at the top and at the bottom.
        mirror: how bright the reflection on the lenses is.
        tilt: radians that the reflection's streak leans.
        centres: (2, 3) middles of the left and the right lens (as seen), in the resting head's coordinates.
        axes: (2, 2, 3) of each lens the directions outward and up, per metre of `FRAME_SHAPES`.
        ends: (2, 3) where the arms reach the ears.
    """

    kind: str
    shape: str
    rim: float
    colour: np.ndarray
    tint: np.ndarray
    density: tuple[float, float]
    mirror: float
    tilt: float
    centres: Tensor
    axes: Tensor
    ends: Tensor

    def rim_points(self) -> Tensor:
        """(2, N, 3) the inner edges of both rims in the resting head's coordinates."""
        edge = to_tensor(_outline(self.shape), str(self.axes.device))
        return self.centres[:, None] + torch.einsum("nk,lkd->lnd", edge, self.axes)

    def draw(self, actor: Actor, pose: np.ndarray, scene: Scene) -> Overlay:
        """Draw the glasses in F frames."""
        frames, size, device = len(pose), actor.size, actor.device
        axis_ends = [self.centres + STEP * self.axes[:, k] for k in (0, 1)]
        base = torch.cat([self.centres, *axis_ends, self._bridge_and_arms()])
        placed = actor.place(base, pose, scene)
        lens = placed[:, :6].view(frames, 3, 2, 3)
        bounds = _lens_bounds(lens, FRAME_SHAPES[self.shape], self.rim)
        rows = visible_range(bounds[..., 1], 2, size)
        columns = visible_range(torch.cat([bounds, placed[:, 6:]], 1)[..., 0], 2, size)
        paint = torch.zeros(frames, 3, size, size, device=device)
        hidden, shadow = (torch.zeros(frames, size, size, device=device) for _ in range(2))
        if len(rows) and len(columns):
            box = (slice(None), slice(rows.start, rows.stop), slice(columns.start, columns.stop))
            glass, shine, rim, upper = self._coverage(lens, placed[:, 6:], pose, pixel_centres(rows, columns, device))
            dark, bright, tone = shade_flat([self.tint, np.full(3, 0.9), self.colour], frames, scene, device)
            clear = (1 - shine) * (1 - rim)
            paint[:, :, box[1], box[2]] = (
                dark * (glass * clear)[:, None] + bright * (shine * (1 - rim))[:, None] + tone * (rim * upper)[:, None]
            )
            hidden[box] = 1 - (1 - glass) * clear
            fall = max(1, round(0.003 * size / (2 * scene.half_width)))
            shadow[box][:, fall:] = 0.3 * rim[:, :-fall]
        return Overlay(paint, hidden, shadow)

    def _bridge_and_arms(self) -> Tensor:
        """(7, 3) the bridge (three points) and the two arms (two points each)."""
        shape = FRAME_SHAPES[self.shape]
        nose = torch.stack([self.centres[k] - self.axes[k, 0] * shape.wide * 0.49 for k in (0, 1)])
        nose = nose + self.axes[:, 1] * shape.high * 0.16
        t = torch.linspace(0, 1, 3, device=nose.device)[:, None]
        bridge = torch.lerp(nose[:1], nose[1:], t) + self.axes[:1, 1] * 0.012 * (t * (1 - t))
        hinge = self.centres + self.axes[:, 0] * (shape.wide * 0.5 * (1 + 0.3 * shape.taper) + self.rim / 2)
        hinge = hinge + self.axes[:, 1] * (shape.high * 0.22 + 0.5 * shape.lift)
        return torch.cat([bridge, torch.stack([hinge[0], self.ends[0], hinge[1], self.ends[1]])])

    def _coverage(
        self, lens: Tensor, bars: Tensor, pose: np.ndarray, at: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Shares of each pixel (F, h, w): tinted lens, reflection, rim and bars; and how bright the rim is there."""
        x, y = at
        turn = to_tensor(pose, str(x.device))
        drift = (3.0 * turn[:, 0] - 2.0 * turn[:, 1])[:, None, None]  # reflections run over the lens as it turns
        parts = torch.zeros(4, len(pose), y.shape[1], x.shape[2], device=x.device)
        parts[3] = 1
        glass, shine, rim, upper = parts
        table = _outline_table(self.shape, str(x.device))
        for k in (0, 1):
            bounds = _lens_bounds(lens[:, :, k : k + 1], FRAME_SHAPES[self.shape], self.rim)[..., 0]
            near = (x[0, 0] > bounds.min() - 1) & (x[0, 0] < bounds.max() + 1)
            first, last = int(near.int().argmax()), int(near.int().argmax() + near.sum())
            mine = self._lens(k, lens[:, :, k], drift, table, x[..., first:last], y)
            for whole, part in zip(parts, mine, strict=True):
                whole[..., first:last] += part
        pixel = STEP / (lens[:, 2] - lens[:, 0])[:, 0, :2].norm(dim=1)[:, None, None]
        thick = (0.7 * self.rim + 0.0008) / pixel
        start, end = bars[:, [0, 1, 3, 5]], bars[:, [1, 2, 4, 6]]
        strokes = _strokes(start, end, thick, x, y)
        # an arm is in front of the head only on the side that is turned to the camera
        outward = (end - start)[:, 2:, 0] * torch.tensor([-1.0, 1.0], device=x.device) * pixel[:, :, 0] / 0.003
        strokes[:, 2:] *= outward.clamp(0, 1)[..., None, None]
        rim = reduce(torch.maximum, strokes.unbind(1), rim)
        return glass.clamp(max=1), shine.clamp(max=1), rim.clamp(max=1), upper

    def _lens(
        self, k: int, lens: Tensor, drift: Tensor, table: tuple[Tensor, Tensor], x: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One lens: tint, reflection, rim, and how much brighter than elsewhere the rim is, all (F, h, w)."""
        shape, (radius, steep) = FRAME_SHAPES[self.shape], table
        out, up, pixel = _plane_coordinates(lens, x, y)
        entry = ((torch.atan2(up, out) + np.pi) * (ANGLES / (2 * np.pi))).long() % ANGLES
        beyond = (torch.hypot(out, up) - radius[entry]) * steep[entry] / pixel
        inside = (0.5 - beyond).clamp(0, 1)
        edge = (0.5 - beyond + self.rim / pixel).clamp(0, 1) - inside
        level = (0.5 + up / shape.high).clamp(0, 1)
        glass = inside * (self.density[1] + (self.density[0] - self.density[1]) * level)
        side = 2 * k - 1  # the streak leans the same way on both lenses
        streak = (out * (side * np.cos(self.tilt)) + up * np.sin(self.tilt)) / shape.wide + drift
        shine = inside * (self.mirror * (0.3 + 0.7 * level)) * torch.exp(-((streak / 0.22) ** 2))
        return glass, shine, edge, edge * (0.55 * (level - 0.5))


def _lens_bounds(lens: Tensor, shape: FrameShape, rim: float) -> Tensor:
    """(F, 8, 3) corners of a box round each lens in the frames."""
    middle, out, up = lens.unbind(1)
    across, high = (
        (out - middle) / STEP * (0.62 * shape.wide + rim),
        (up - middle) / STEP * (0.62 * shape.high + rim + 0.006),
    )
    return torch.cat([middle + i * across + j * high for i in (-1, 1) for j in (-1, 1)], 1)


def _plane_coordinates(lens: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where pixels lie on the plane of a lens, metres outward and up (F, h, w); and metres to a pixel (F, 1, 1).

    A point of the plane is middle + out * a + up * b. Multiplied by its depth, its place in the frame is linear in a
    and b: one matrix for each frame, which is inverted.
    """
    scaled = torch.cat([lens[..., :2] * lens[..., 2:], lens[..., 2:]], -1)  # (F, 3 points, 3)
    matrix = torch.stack([scaled[:, 1] - scaled[:, 0], scaled[:, 2] - scaled[:, 0], scaled[:, 0]], -1)
    # numpy's inverse, of nine numbers a frame, since the devices' own differ
    inverse = torch.from_numpy(np.linalg.inv(matrix.double().cpu().numpy())).to(x.device, x.dtype)[..., None, None]
    out, up, one = (inverse[:, k, 0] * x + inverse[:, k, 1] * y + inverse[:, k, 2] for k in range(3))
    sides = lens[:, 1:, :2] - lens[:, :1, :2]
    area = (sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0]).abs()
    return STEP * out / one, STEP * up / one, STEP * area.rsqrt()[:, None, None]


def _outline(name: str) -> np.ndarray:
    """(N, 2) points on the edge of a lens of one of `FRAME_SHAPES`, outward and up, in metres."""
    shape, angle = FRAME_SHAPES[name], np.linspace(-np.pi, np.pi, 4 * ANGLES, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    x = np.sign(c) * np.abs(c) ** (2 / shape.power)
    y = np.sign(s) * np.abs(s) ** (2 / shape.power)
    lifted = shape.lift * np.clip(x, 0, 1) ** 2 * np.clip(y, 0, 1)
    return np.stack([x * shape.wide / 2 * (1 + shape.taper * y), y * shape.high / 2 + lifted], 1)


@lru_cache(maxsize=2 * len(FRAME_SHAPES))
def _outline_table(name: str, device: str) -> tuple[Tensor, Tensor]:
    """For `ANGLES` directions, how far the edge is from the middle, and the factor from radial to least distances."""
    outline = _outline(name)
    middle = -np.pi + (np.arange(ANGLES) + 0.5) * 2 * np.pi / ANGLES
    angle, distance = np.arctan2(outline[:, 1], outline[:, 0]), np.hypot(*outline.T)
    order = np.argsort(angle)
    radius = np.interp(middle, angle[order], distance[order], period=2 * np.pi)
    slope = (np.roll(radius, -1) - np.roll(radius, 1)) / (4 * np.pi / ANGLES) / radius
    return to_tensor(radius, device), to_tensor(1 / np.hypot(1, slope), device)


def _strokes(start: Tensor, end: Tensor, wide: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """(F, N, h, w) coverage by straight strokes between points (F, N, 3); they are `wide` (F, 1, 1) pixels wide."""
    ax, ay, _ = start[..., None, None].unbind(2)
    dx, dy, _ = (end - start)[..., None, None].unbind(2)
    right, down, wide = x - ax, y - ay, wide[:, None]
    t = ((right * dx + down * dy) / (dx * dx + dy * dy).clamp(min=1e-9)).clamp(0, 1)
    away = torch.hypot(right - t * dx, down - t * dy)
    return (0.5 + wide / 2 - away).clamp(0, 1) * wide.clamp(max=1)


def sample_glasses(kind: str, actor: Actor, rng: np.random.Generator) -> Glasses:
    """Draw a pair of glasses that fits the person: `kind` "glasses" or "sunglasses"."""
    name = str(rng.choice(list(FRAME_SHAPES)))
    shape, dark = FRAME_SHAPES[name], kind == "sunglasses"
    rest, skin = actor.rest, actor.rig.skin > 0
    lids = rest[actor.rig.lids]
    sides = torch.stack([lids[lids[:, 0] < 0].mean(0), lids[lids[:, 0] > 0].mean(0)])
    apart, level = float(sides[1, 0] - sides[0, 0]), float(sides[:, 2].mean())
    fit = apart / EYE_DISTANCE * rng.uniform(0.97, 1.06) * (1.08 if dark else 1.0)
    bridge = rest[skin & (rest[:, 0].abs() < 0.006) & ((rest[:, 2] - level - 0.003).abs() < 0.006)]
    front = float(bridge[:, 1].min()) - 0.003
    down = level - rng.uniform(0.001, 0.006) - (0.003 if name == "aviator" else 0)
    lean, wrap = rng.uniform(0.08, 0.16), rng.uniform(0.05, 0.12)
    nearest = (shape.wide * 0.5 + 0.0075) * fit  # half the bridge: the lenses must not meet over the nose
    apart = max(0.94 * apart / 2, nearest)
    beside = (actor.rig.face > 0.5) & ((rest[:, 2] - level).abs() < 0.008)
    rim = float(rng.uniform(*shape.rim))
    colours = RIM_COLOURS[: METALS if rim > THICKEST_METAL else None]
    colour = colours[rng.integers(len(colours))] * rng.uniform(0.7, 1.3)
    centres, axes, ends = [], [], []
    for side in (-1.0, 1.0):
        centres.append([side * apart, front, down])
        outward = [side * np.cos(wrap), np.sin(wrap), 0.0]
        axes.append([np.multiply(fit, outward), np.multiply(fit, [0.0, -np.sin(lean), np.cos(lean)])])
        ends.append([side * (float(rest[beside, 0].abs().max()) + 0.002), -0.055, down + shape.high * 0.25])
    return Glasses(
        kind=kind,
        shape=name,
        rim=rim * fit,
        colour=colour,
        tint=TINTS[rng.integers(len(TINTS))] if dark else np.full(3, 0.35),
        density=(rng.uniform(0.88, 0.97), rng.uniform(0.6, 0.93)) if dark else (rng.uniform(0.0, 0.06),) * 2,
        mirror=float(rng.uniform(0.05, 0.2) if dark else rng.choice([0, 0.12, 0.3]) * rng.uniform(0.5, 1)),
        tilt=float(rng.uniform(0.3, 1.2)),
        centres=to_tensor(np.array(centres), actor.device),
        axes=to_tensor(np.array(axes), actor.device),
        ends=to_tensor(np.array(ends), actor.device),
    )
