"""Hair in front of the face: strands that hang from the head and swing a little."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dferlib.makefaces.occluders.overlay import Overlay, shade_flat, to_tensor, visible_range
from dferlib.makefaces.render import Actor
from dferlib.makefaces.scene import Scene


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

    def draw(self, actor: Actor, pose: np.ndarray, scene: Scene) -> Overlay:
        """Draw the strands in F frames."""
        frames, size, device = len(pose), actor.size, actor.device
        placed = actor.place(self.points.view(-1, 3), pose, scene).view(frames, -1, 3, 3).transpose(0, 1)
        scale = size / (2 * scene.half_width * actor.scale)  # pixels to a metre
        lag, own, speed, phase = self.swing
        sway = own * np.sin(speed * np.linspace(0, 1, frames) + phase)
        if frames > 1:
            sway = sway - lag * np.gradient(pose[:, 0])
        rows = visible_range(placed[:, :, 2, 1], 0, size).stop  # none are lower than the tips
        wide = to_tensor(self.thick * scale, device)
        cover, shine, first = _strands(placed, to_tensor(sway * scale, device), wide, rows, size)
        (colour,) = shade_flat([self.colour], frames, scene, device)
        shade = colour[:, None, None, :, 0, 0] * to_tensor(self.tones, device)[:, None, None, None, None]
        ink = torch.cat([(cover * shine)[..., None] * shade, cover[..., None]], -1)  # (N, F, rows, W, 4)
        # a strand touches W pixels of each row; the canvas has room for those beside the frame
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
        return Overlay(drawn[:, :3], hidden, F.pad(0.25 * hidden[:, :-fall], (0, 0, fall, 0)))


def _strands(points: Tensor, sway: Tensor, wide: Tensor, rows: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw strands row by row.

    Args:
        points: (N, F, 3, 3) root, middle and tip of each strand in the frame.
        sway: (F,) pixels that the tips swing to the right.
        wide: (N,) width in pixels.
        rows: R, how many rows of the frame, from the top, to draw.
        size: S, side of the frame.

    Returns:
        In each row, for W pixels: how much of them each strand covers and how bright it is (N, F, R, W); and the column
        of the first of them (N, F, R, 1), from -W to S.
    """
    y = torch.arange(rows, device=points.device) + 0.5
    (x0, y0), (xm, _), (x1, y1) = (points[:, :, k, :2, None].unbind(2) for k in range(3))
    high = (y1 - y0).clamp(min=1)
    t = (y - y0) / high  # (N, F, R) 0 at the root, 1 at the tip
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


def sample_hair(actor: Actor, rng: np.random.Generator) -> Hair:
    """Draw hair that falls in front of the face of a person who has enough of it."""
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
        points=to_tensor(points, actor.device),
        thick=rng.uniform(0.3, 1, count) * thickest * unit,
        tones=rng.uniform(0.72, 1.2, count),
        colour=actor.person.hair_colour,
        swing=np.array([rng.uniform(0.01, 0.04), rng.uniform(0, 0.002), rng.uniform(3, 9), rng.uniform(0, 6)]),
    )
