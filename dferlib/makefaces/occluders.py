"""Things in front of the face: glasses, sunglasses, a hand, hair. They are drawn over rendered pictures, with truth.

Glasses are plane curves that sit on the resting head and turn with it. Hair hangs from the head and swings a little. A
hand comes, rests and goes. All are lit by the scene's lamps. No draw depends on what the face expresses.
"""

from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dferlib.errors import InputError, choose
from dferlib.makefaces.hands import ALPHA, BOTTOM, LEFT, NAIL, NORMAL, POSES, RIGHT, SHADOW, TONE, TOP, hand_sprite
from dferlib.makefaces.identity import Identity
from dferlib.makefaces.render import CAMERA_DISTANCE, Actor, Scene

KINDS = ("glasses", "sunglasses", "hair", "hand")  # from the face to the camera
HAND_PLACES = ("cheek", "mouth", "brow")
ANGLES = 128  # entries of the table that holds the outline of a lens
EYE_DISTANCE = 0.0665  # metres between the lids' middles on the average head; frames are made for that
STEP = 0.01  # metres between the points that tell how a lens lies in the picture: perspective bends longer ways
SPRITE_WIDTH = 0.16  # metres of a hand across as many pixels as the picture has: about as fine as it will be shown
AWAY = 0.26  # metres that a hand is drawn back when it is out of the picture


class Drawn(NamedTuple):
    """What comes over T pictures: `pictures * (1 - shadow) * (1 - hidden) + paint`."""

    paint: Tensor  # (T, 3, S, S) sRGB, already multiplied by `hidden`
    hidden: Tensor  # (T, S, S) how much of each pixel it hides, 0 to 1
    shadow: Tensor  # (T, S, S) how much it darkens what is behind, 0 to 1


class Occluder(Protocol):
    """Something in front of the face, drawn once for a clip."""

    @property
    def kind(self) -> str:
        """One of `KINDS`."""

    def draw(self, actor: Actor, pose: np.ndarray, scene: Scene) -> Drawn:
        """Draw it in T frames in which the head has `pose` (T, 3)."""


def possible_kinds(person: Identity) -> tuple[str, ...]:
    """The kinds of occluder that this person can have: hair in front needs hair."""
    return tuple(kind for kind in KINDS if kind != "hair" or person.hairstyle in ("short", "long"))


def sample_occluder(kind: str, actor: Actor, rng: np.random.Generator) -> Occluder:
    """Draw an occluder for a clip.

    Args:
        kind: one of `KINDS`.
        actor: whose face it hides.
        rng: the source of every draw.

    Raises:
        InputError: unknown kind, or hair for a person without.
    """
    choose("kind of occluder", kind, KINDS)
    if kind not in possible_kinds(actor.person):
        raise InputError(
            f"hair cannot hang in front of a {actor.person.hairstyle} head; ask possible_kinds(person) first"
        )
    if kind == "hand":
        return _sample_hand(actor, rng)
    return _sample_hair(actor, rng) if kind == "hair" else _sample_glasses(kind, actor, rng)


@torch.no_grad()
def occlude(
    pictures: Tensor, occluder: Occluder, actor: Actor, pose: np.ndarray, scene: Scene
) -> tuple[Tensor, Tensor]:
    """Draw an occluder over pictures.

    Args:
        pictures: (T, 3, S, S) float in [0, 1], sRGB, as `actor` rendered them.
        occluder: what comes in front.
        actor: who is in the pictures.
        pose: (T, 3) yaw, pitch and roll of the head in radians.
        scene: the light and framing they were rendered with.

    Returns:
        The new pictures, and (T, S, S) how much of each pixel is hidden, 0 to 1. What is hidden by 0 is unchanged, but
        for the shadow that falls close by.
    """
    drawn = occluder.draw(actor, pose, scene)
    keep = ((1 - drawn.shadow) * (1 - drawn.hidden))[:, None]
    return (pictures * keep + drawn.paint).clamp(0, 1), drawn.hidden


# light --------------------------------------------------------------------------------------------------------------


def _tensor(array: np.ndarray | tuple[float, ...], device: str) -> Tensor:
    return torch.from_numpy(np.asarray(array, dtype=np.float32)).to(device)


def _falling_light(normal: Tensor, frame: Tensor, scene: Scene, wrap: float) -> Tensor:
    """(K, 3) linear light that falls on surfaces with unit normals (K, 3) in frames (K,): sky and lamps, wrapped."""
    device = str(normal.device)
    light = _tensor(scene.ambient, device) * (0.6 + 0.4 * normal[:, 2:])
    factors = _tensor(scene.light, device)[frame]
    for lamp, factor in zip(scene.lamps, factors.unbind(1), strict=True):
        facing = normal @ F.normalize(_tensor(lamp.direction, device), dim=0)
        light = light + (((facing + wrap) / (1 + wrap)).clamp(min=0) * factor)[:, None] * _tensor(lamp.colour, device)
    return light


def _developed(linear: Tensor, scene: Scene) -> Tensor:
    """The renderer's exposure, tone curve and gamma."""
    exposed = (linear * scene.exposure).clamp(min=0)
    return (exposed / (1 + 0.18 * exposed)).clamp(0, 1) ** (1 / 2.2)


def _flat_colours(colours: list[np.ndarray], frames: int, scene: Scene, device: str) -> list[Tensor]:
    """(T, 3, 1, 1) sRGB of things of these reflectances that face the camera and a little upwards."""
    normal = F.normalize(torch.tensor([[0.0, -0.9, 0.45]], device=device), dim=1).expand(frames, 3)
    light = _falling_light(normal, torch.arange(frames, device=device), scene, 0.4)
    reflectances = _tensor(np.stack(colours), device)[:, None]
    return list(_developed(reflectances * light, scene)[..., None, None].unbind(0))


def _pixel_centres(rows: range, columns: range, device: str) -> tuple[Tensor, Tensor]:
    x = torch.arange(columns.start, columns.stop, device=device) + 0.5
    y = torch.arange(rows.start, rows.stop, device=device) + 0.5
    return x[None, None, :], y[None, :, None]


def _span(values: Tensor, margin: float, size: int) -> range:
    """The rows or columns of the picture that hold all `values` and a margin; empty when they are outside."""
    low = min(max(int(np.floor(float(values.min()) - margin)), 0), size)
    return range(low, max(low, min(int(np.ceil(float(values.max()) + margin)), size)))


# glasses ------------------------------------------------------------------------------------------------------------


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
        edge = _tensor(_outline(self.shape), str(self.axes.device))
        return self.centres[:, None] + torch.einsum("nk,lkd->lnd", edge, self.axes)

    def draw(self, actor: Actor, pose: np.ndarray, scene: Scene) -> Drawn:
        """Draw the glasses in T frames."""
        frames, size, device = len(pose), actor.size, actor.device
        base = torch.cat([self.centres, *(self.centres + STEP * self.axes[:, k] for k in (0, 1)), self._bar()])
        placed = actor.place(base, pose, scene)
        lens = placed[:, :6].view(frames, 3, 2, 3)
        reach = _reach(lens, FRAME_SHAPES[self.shape], self.rim)
        rows, columns = _span(reach[..., 1], 2, size), _span(torch.cat([reach, placed[:, 6:]], 1)[..., 0], 2, size)
        paint = torch.zeros(frames, 3, size, size, device=device)
        hidden, shadow = (torch.zeros(frames, size, size, device=device) for _ in range(2))
        if len(rows) and len(columns):
            box = (slice(None), slice(rows.start, rows.stop), slice(columns.start, columns.stop))
            glass, shine, rim, upper = self._parts(lens, placed[:, 6:], pose, _pixel_centres(rows, columns, device))
            dark, bright, tone = _flat_colours([self.tint, np.full(3, 0.9), self.colour], frames, scene, device)
            clear = (1 - shine) * (1 - rim)
            paint[:, :, box[1], box[2]] = (
                dark * (glass * clear)[:, None] + bright * (shine * (1 - rim))[:, None] + tone * (rim * upper)[:, None]
            )
            hidden[box] = 1 - (1 - glass) * clear
            fall = max(1, round(0.003 * size / (2 * scene.half_width)))
            shadow[box][:, fall:] = 0.3 * rim[:, :-fall]
        return Drawn(paint, hidden, shadow)

    def _bar(self) -> Tensor:
        """(7, 3) the bridge (three points) and the two arms (two points each)."""
        shape = FRAME_SHAPES[self.shape]
        nose = torch.stack([self.centres[k] - self.axes[k, 0] * shape.wide * 0.49 for k in (0, 1)])
        nose = nose + self.axes[:, 1] * shape.high * 0.16
        t = torch.linspace(0, 1, 3, device=nose.device)[:, None]
        bridge = torch.lerp(nose[:1], nose[1:], t) + self.axes[:1, 1] * 0.012 * (t * (1 - t))
        hinge = self.centres + self.axes[:, 0] * (shape.wide * 0.5 * (1 + 0.3 * shape.taper) + self.rim / 2)
        hinge = hinge + self.axes[:, 1] * (shape.high * 0.22 + 0.5 * shape.lift)
        return torch.cat([bridge, torch.stack([hinge[0], self.ends[0], hinge[1], self.ends[1]])])

    def _parts(
        self, lens: Tensor, bars: Tensor, pose: np.ndarray, at: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Shares of each pixel (T, h, w): tinted lens, reflection, rim and bars; and how bright the rim is there."""
        x, y = at
        turn = _tensor(pose, str(x.device))
        drift = (3.0 * turn[:, 0] - 2.0 * turn[:, 1])[:, None, None]  # reflections run over the lens as it turns
        parts = torch.zeros(4, len(pose), y.shape[1], x.shape[2], device=x.device)
        parts[3] = 1
        glass, shine, rim, upper = parts
        table = _outline_table(self.shape, str(x.device))
        for k in (0, 1):
            reach = _reach(lens[:, :, k : k + 1], FRAME_SHAPES[self.shape], self.rim)[..., 0]
            near = (x[0, 0] > reach.min() - 1) & (x[0, 0] < reach.max() + 1)
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
        """One lens: tint, reflection, rim, and how much brighter than elsewhere the rim is, all (T, h, w)."""
        shape, (radius, steep) = FRAME_SHAPES[self.shape], table
        out, up, pixel = _on_plane(lens, x, y)
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


def _reach(lens: Tensor, shape: FrameShape, rim: float) -> Tensor:
    """(T, 8, 3) corners of a box round each lens in the pictures."""
    middle, out, up = lens.unbind(1)
    across, high = (
        (out - middle) / STEP * (0.62 * shape.wide + rim),
        (up - middle) / STEP * (0.62 * shape.high + rim + 0.006),
    )
    return torch.cat([middle + i * across + j * high for i in (-1, 1) for j in (-1, 1)], 1)


def _on_plane(lens: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where pixels lie on the plane of a lens, metres outward and up (T, h, w); and metres to a pixel (T, 1, 1).

    A point of the plane is middle + out * a + up * b. Multiplied by its depth, its place in the picture is linear in a
    and b: one matrix for each frame, which is inverted.
    """
    scaled = torch.cat([lens[..., :2] * lens[..., 2:], lens[..., 2:]], -1)  # (T, 3 points, 3)
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
    return _tensor(radius, device), _tensor(1 / np.hypot(1, slope), device)


def _strokes(start: Tensor, end: Tensor, wide: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """(T, N, h, w) coverage by straight strokes between points (T, N, 3); they are `wide` (T, 1, 1) pixels wide."""
    ax, ay, _ = start[..., None, None].unbind(2)
    dx, dy, _ = (end - start)[..., None, None].unbind(2)
    right, down, wide = x - ax, y - ay, wide[:, None]
    t = ((right * dx + down * dy) / (dx * dx + dy * dy).clamp(min=1e-9)).clamp(0, 1)
    away = torch.hypot(right - t * dx, down - t * dy)
    return (0.5 + wide / 2 - away).clamp(0, 1) * wide.clamp(max=1)


def _sample_glasses(kind: str, actor: Actor, rng: np.random.Generator) -> Glasses:
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
        centres=_tensor(np.array(centres), actor.device),
        axes=_tensor(np.array(axes), actor.device),
        ends=_tensor(np.array(ends), actor.device),
    )


# hair ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hair:
    """Strands that hang in front of the face.

    Attributes:
        style: "lock", "fringe" or "curtain".
        points: (N, 3, 3) root, middle and tip of each strand in the resting head's coordinates.
        thick: (N,) width in metres.
        tones: (N,) brightness.
        colour: (3,) linear reflectance.
        swing: (4,) how strongly tips lag behind the head, and amount, speed and phase of their own movement.
    """

    style: str
    points: Tensor
    thick: np.ndarray
    tones: np.ndarray
    colour: np.ndarray
    swing: np.ndarray

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return "hair"

    def draw(self, actor: Actor, pose: np.ndarray, scene: Scene) -> Drawn:
        """Draw the strands in T frames."""
        frames, size, device = len(pose), actor.size, actor.device
        placed = actor.place(self.points.view(-1, 3), pose, scene).view(frames, -1, 3, 3).transpose(0, 1)
        scale = size / (2 * scene.half_width * actor.scale)  # pixels to a metre
        lag, own, speed, phase = self.swing
        sway = own * np.sin(speed * np.linspace(0, 1, frames) + phase)
        if frames > 1:
            sway = sway - lag * np.gradient(pose[:, 0])
        rows = _span(placed[:, :, 2, 1], 0, size).stop  # none are lower than the tips
        wide = _tensor(self.thick * scale, device)
        cover, shine, first = _strands(placed, _tensor(sway * scale, device), wide, rows, size)
        (colour,) = _flat_colours([self.colour], frames, scene, device)
        shade = colour[:, None, None, :, 0, 0] * _tensor(self.tones, device)[:, None, None, None, None]
        ink = torch.cat([(cover * shine)[..., None] * shade, cover[..., None]], -1)  # (N, T, rows, W, 4)
        # a strand touches W pixels of each row; the canvas has room for those beside the picture
        window = cover.shape[-1]
        side = size + 2 * window
        start = torch.arange(frames, device=device)[:, None] * size + torch.arange(rows, device=device)
        at = start[..., None] * side + first + window + torch.arange(window, device=device)
        canvas = torch.zeros(frames * size * side, 4, device=device)  # colour, and how much is hidden
        for place, over, share in zip(at.flatten(1), ink.flatten(1, 3), cover.flatten(1), strict=True):
            canvas.index_copy_(0, place, canvas.index_select(0, place) * (1 - share)[:, None] + over)
        drawn = canvas.view(frames, size, side, 4)[:, :, window : window + size].permute(0, 3, 1, 2).clamp(0, 1)
        hidden = drawn[:, 3]
        fall = max(1, round(0.003 * scale))
        return Drawn(drawn[:, :3], hidden, F.pad(0.25 * hidden[:, :-fall], (0, 0, fall, 0)))


def _strands(points: Tensor, sway: Tensor, wide: Tensor, rows: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw strands row by row.

    Args:
        points: (N, T, 3, 3) root, middle and tip of each strand in the picture.
        sway: (T,) pixels that the tips swing to the right.
        wide: (N,) width in pixels.
        rows: R, how many rows of the picture, from the top, to draw.
        size: S, side of the picture.

    Returns:
        In each row, for W pixels: how much of them each strand covers and how bright it is (N, T, R, W); and the column
        of the first of them (N, T, R, 1), from -W to S.
    """
    y = torch.arange(rows, device=points.device) + 0.5
    (x0, y0), (xm, _), (x1, y1) = (points[:, :, k, :2, None].unbind(2) for k in range(3))
    high = (y1 - y0).clamp(min=1)
    t = (y - y0) / high  # (N, T, R) 0 at the root, 1 at the tip
    v = t.clamp(0, 1)
    middle = x0 + (x1 - x0) * v + (4 * xm - 2 * x0 - 2 * x1) * v * (1 - v) + sway[:, None] * v * v
    lean = torch.hypot((x1 - x0) / high, torch.ones_like(x0))
    half = wide[:, None, None] / 2 * lean * (1 - v**3) * ((t > 0) & (t < 1))
    window = int(np.ceil(2 * float(half.max()))) + 1 if rows else 1
    first = (middle - window / 2).round().clamp(-window, size).long()[..., None]
    x = first + torch.arange(window, device=points.device) + 0.5
    away, half = (x - middle[..., None]).abs(), half[..., None]
    cover = (torch.minimum(away + 0.5, half) - torch.maximum(away - 0.5, -half)).clamp(0, 1)
    round_ = 1 - 0.35 * (away / half.clamp(min=0.5)).clamp(max=1) ** 2
    return cover, round_ * (0.88 + 0.35 * torch.exp(-(((v - 0.35) / 0.16) ** 2)))[..., None], first


def _sample_hair(actor: Actor, rng: np.random.Generator) -> Hair:
    long = actor.person.hairstyle == "long"
    style = str(rng.choice(["lock", "fringe", "curtain"], p=[0.45, 0.3, 0.25] if long else [0.5, 0.5, 0.0]))
    side = rng.choice([-1.0, 1.0])
    unit = actor.scale
    lids = actor.rest[actor.rig.lids]
    eyes, front = float(lids[:, 2].mean()), float(lids[:, 1].min())
    count, thickest = {"lock": (9, 0.0065), "fringe": (22, 0.011), "curtain": (12, 0.0075)}[style]
    s = np.sort(rng.uniform(0, 1, count)) if style == "fringe" else rng.uniform(0, 1, count)
    if style == "lock":
        root, length, drift = rng.uniform(0.005, 0.04), rng.uniform(0.10, 0.15), rng.uniform(-0.005, 0.03)
        x0, x1 = root + 0.010 * (s - 0.5), root + drift + 0.022 * (s - 0.5) + rng.normal(0, 0.003, count)
        low = 0.078 - length + rng.normal(0, 0.010, count)
        bow = 0.010 * rng.uniform(0, 1) + rng.normal(0, 0.0015, count)
    elif style == "fringe":
        sweep, low_edge = rng.uniform(-0.02, 0.03), rng.uniform(-0.006, 0.020)
        x0 = -0.062 + 0.124 * s
        x1, low = x0 + sweep + rng.normal(0, 0.004, count), low_edge - rng.choice([0, 12]) * x0**2
        low, bow = low + rng.normal(0, 0.006, count), 0.2 * sweep + rng.normal(0, 0.002, count)
    else:
        edge = rng.uniform(0.042, 0.056)
        x0, x1 = edge + 0.028 * s - 0.012, edge + 0.034 * s + rng.normal(0, 0.002, count)
        low, bow = -0.14 + rng.normal(0, 0.008, count), 0.006 + rng.normal(0, 0.002, count)
    x = side * np.stack([x0, (x0 + x1) / 2 + bow, x1], 1)
    z = np.stack([np.full(count, 0.085), (0.085 + low) / 2, low], 1)
    depth = front / unit - 0.012 + 6.0 * x**2
    points = np.stack([x * unit, depth * unit, z * unit + eyes], -1)
    return Hair(
        style=style,
        points=_tensor(points, actor.device),
        thick=rng.uniform(0.3, 1, count) * thickest * unit,
        tones=rng.uniform(0.72, 1.2, count),
        colour=actor.person.hair_colour,
        swing=np.array([rng.uniform(0.01, 0.04), rng.uniform(0, 0.002), rng.uniform(3, 9), rng.uniform(0, 6)]),
    )


# a hand -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hand:
    """A hand that comes before the face, rests there and goes.

    Attributes:
        place: which part of the face it covers, one of `HAND_PLACES`.
        side: -1 from the left of the picture, 1 from the right.
        pose: which of the hands.
        contact: (3,) what it covers, in the resting head's coordinates.
        touch: (2,) the point of the hand that lies over `contact`, metres (see `hands`).
        angle: radians that the fingers lean toward the middle of the face.
        scale: factor on its size.
        arrives, leaves: when it sets out toward the face and away from it, in clips.
        takes: how long each way takes, in clips.
        skin: (3,) linear reflectance.
    """

    place: str
    side: float
    pose: int
    contact: Tensor
    touch: tuple[float, float]
    angle: float
    scale: float
    arrives: float
    leaves: float
    takes: float
    skin: np.ndarray

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return "hand"

    def presence(self, frames: int) -> np.ndarray:
        """(T,) 0 where the hand is away, 1 where it rests; in between it moves as arms do, with the least jerk."""
        t = np.linspace(0, 1, frames)
        here = np.minimum((t - self.arrives) / self.takes, (self.leaves + self.takes - t) / self.takes).clip(0, 1)
        return here**3 * (10 - 15 * here + 6 * here**2)

    def draw(self, actor: Actor, pose: np.ndarray, scene: Scene) -> Drawn:
        """Draw the hand in T frames."""
        frames, size, device = len(pose), actor.size, actor.device
        here = self.presence(frames)
        paint = torch.zeros(frames, 3, size, size, device=device)
        hidden, shadow = (torch.zeros(frames, size, size, device=device) for _ in range(2))
        seen = np.flatnonzero(here > 0.02)
        if not len(seen):
            return Drawn(paint, hidden, shadow)
        contact = actor.place(self.contact[None], pose, scene)[seen, 0]
        metre = scene.half_width * actor.scale * contact[:, 2] / (CAMERA_DISTANCE * size / 2)  # metres to a pixel
        sprite = hand_sprite(self.pose, SPRITE_WIDTH / size).to(device)
        cut = F.grid_sample(
            sprite.expand(len(seen), -1, -1, -1), self._where(contact, metre, here[seen], size), align_corners=False
        )
        which = torch.from_numpy(seen).to(device)
        hidden[which], shadow[which] = cut[:, ALPHA].clamp(0, 1), 0.4 * cut[:, SHADOW].clamp(0, 1)
        frame, row, column = (cut[:, ALPHA] > 1e-3).nonzero(as_tuple=True)
        surface = cut[frame, :, row, column]
        alpha = surface[:, :1]
        colour = self._shaded(surface / alpha, which[frame], scene)
        paint[which[frame], :, row, column] = colour * alpha.clamp(max=1)
        return Drawn(paint, hidden, shadow)

    def _where(self, contact: Tensor, metre: Tensor, here: np.ndarray, size: int) -> Tensor:
        """(T, S, S, 2) the place of each pixel on the sprite, in the units of grid_sample."""
        device = str(contact.device)
        x, y = _pixel_centres(range(size), range(size), device)
        away = _tensor(AWAY * (1 - here), device)[:, None, None]
        metre = metre[:, None, None]
        right = (x - contact[:, 0, None, None]) * metre * -self.side
        up = (contact[:, 1, None, None] - y) * metre
        cos, sin = float(np.cos(self.angle)), float(np.sin(self.angle))
        across = (cos * right - sin * up) / self.scale + self.touch[0]
        along = (sin * right + cos * up + away) / self.scale + self.touch[1]
        u = (across - LEFT) / (RIGHT - LEFT) * 2 - 1
        v = (TOP - along) / (TOP - BOTTOM) * 2 - 1
        return torch.stack([u, v], -1)

    def _shaded(self, surface: Tensor, frame: Tensor, scene: Scene) -> Tensor:
        """(K, 3) sRGB of the points of a hand with sprite channels (K, 7)."""
        device = str(surface.device)
        nx, ny, nz = F.normalize(surface[:, NORMAL], dim=1).unbind(1)
        cos, sin = float(np.cos(self.angle)), float(np.sin(self.angle))
        right, up = (cos * nx + sin * ny) * -self.side, cos * ny - sin * nx
        light = _falling_light(torch.stack([right, -nz, up], 1), frame, scene, 0.25)
        skin = _tensor(self.skin, device)
        nail = 0.55 * skin + 0.45 * torch.tensor([0.62, 0.40, 0.36], device=device)
        reflected = torch.lerp(skin.expand_as(light), nail.expand_as(light), surface[:, NAIL, None])
        return _developed(reflected * surface[:, TONE, None] * light, scene)


def _sample_hand(actor: Actor, rng: np.random.Generator) -> Hand:
    place, side = str(rng.choice(HAND_PLACES)), float(rng.choice([-1.0, 1.0]))
    rest, unit = actor.rest, actor.scale
    eyes, lips = (rest[chosen].mean(0) for chosen in (actor.rig.lids, actor.rig.lips > 0.5))
    out, share, angles, touch = {
        "cheek": (0.046, 0.55, (-0.15, 0.45), 0.125),
        "mouth": (0.004, 1.06, (0.75, 1.35), 0.135),
        "brow": (0.022, -0.38, (0.95, 1.45), 0.150),
    }[place]
    middle = torch.lerp(eyes, lips, share)
    contact = torch.stack([torch.as_tensor(side * out * unit, device=rest.device), middle[1], middle[2]])
    contact = contact + _tensor(rng.normal(0, 0.004, 3) * (1, 0, 1), actor.device)
    arrives, takes, rests = rng.uniform(-0.45, 0.55), rng.uniform(0.12, 0.3), rng.uniform(0.2, 0.7)
    return Hand(
        place=place,
        side=side,
        pose=int(rng.integers(POSES)),
        contact=contact,
        touch=(float(rng.uniform(-0.012, 0.012)), touch + float(rng.uniform(-0.01, 0.01))),
        angle=float(rng.uniform(*angles)),
        scale=float((0.93 if actor.person.male else 0.86) * rng.uniform(0.96, 1.06) * unit),
        arrives=float(arrives),
        leaves=float(arrives + takes + rests),
        takes=float(takes),
        skin=actor.person.skin * rng.uniform(0.88, 1.0) * np.array([1.0, 0.95, 0.93]),
    )
