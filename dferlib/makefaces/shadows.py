"""Shadows: which vertices of the head see a lamp.

Whether a vertex sees a direction is worked out once, on the template head, for many directions (Sloan, Kautz and
Snyder, "Precomputed radiance transfer", SIGGRAPH 2002). A lamp's light at a vertex is then a blend of the directions
near the lamp, which makes the edge of a shadow soft, as the shadow of a window or a soft box is. The head turns under
the lamp, so the blend follows the pose; it costs one small matrix product a lamp.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dferlib.makefaces.assets import Part

DIRECTIONS = 240  # over the whole sphere
FROM_BEHIND = 0.75  # directions further back than this are left out: they light no surface that we draw
SOFTNESS = 0.15  # radians, spread of a lamp
CELLS = 56  # along each side of a lamp's depth map
HALF = 0.15  # metres, half the side of the depth map
LIFT = 0.004  # metres: how far off its surface a vertex looks for the lamp, so that it does not shade itself
FINEST = 0.0055  # metres: the surface is probed at least this densely
# how far each blend shape parts the lips; at CLOSED no more light falls in than at rest, at one more all of it does
PARTING = {
    "jawOpen": 5.0,
    "mouthLowerDownLeft": 0.8,
    "mouthLowerDownRight": 0.8,
    "mouthUpperUpLeft": 0.8,
    "mouthUpperUpRight": 0.8,
    "mouthFunnel": 0.6,
}
CLOSED = 0.1
IN_THE_DARK = 0.08  # of the light reaches the teeth behind closed lips
LEAST = 0.12  # of a lamp's light reaches every vertex, scattered by the skin around it


def _directions() -> Tensor:
    """(K, 3) unit vectors spread evenly (the golden spiral), without those from far behind."""
    k = torch.arange(DIRECTIONS, dtype=torch.float64) + 0.5
    z = 1 - 2 * k / DIRECTIONS
    turn = np.pi * (1 + 5**0.5) * k
    flat = (1 - z**2).sqrt()
    every = torch.stack([flat * turn.cos(), flat * turn.sin(), z], 1).float()
    return every[every[:, 1] < FROM_BEHIND]


def _probes(vertices: Tensor, triangles: Tensor) -> Tensor:
    """(P, 3) points on the surface, no further apart than about `FINEST`."""
    out = [vertices]
    corners = vertices[triangles]
    longest = (corners - corners.roll(1, 1)).norm(dim=-1).amax(1)
    for steps in range(2, 13):
        mine = corners[(longest / FINEST).ceil().clamp(2, 12) == steps]
        grid = [(i, j, steps - i - j) for i in range(steps + 1) for j in range(steps + 1 - i)]
        share = torch.tensor(grid, dtype=torch.float32, device=vertices.device) / steps
        out.append(torch.einsum("pc,mcd->mpd", share, mine).reshape(-1, 3))
    return torch.cat(out)


def _seen_from(toward: Tensor, points: Tensor, probes: Tensor, middle: Tensor) -> Tensor:
    """(V,) 0 to 1: how much of a lamp at `toward` the points (V, 3) see past the probes (P, 3)."""
    aside = torch.linalg.cross(toward, toward.new_tensor([0.31, 0.22, 0.93]))
    axes = torch.stack([F.normalize(aside, dim=0), F.normalize(torch.linalg.cross(aside, toward), dim=0), toward])

    def on_map(p: Tensor) -> tuple[Tensor, Tensor]:
        """Where points lie on the lamp's map, in cells, and how near to the lamp."""
        seen = (p - middle) @ axes.T
        return ((seen[:, :2] / HALF + 1) * CELLS / 2).clamp(1, CELLS - 2), seen[:, 2]

    cell, near = on_map(probes)
    cell = cell.long()
    nearest = torch.full((CELLS * CELLS,), -1.0, device=points.device)
    nearest.scatter_reduce_(0, cell[:, 1] * CELLS + cell[:, 0], near, "amax")
    place, near = on_map(points)
    low = (place - 0.5).floor()
    part = place - 0.5 - low
    seen = torch.zeros_like(near)
    for dy in (0, 1):
        for dx in (0, 1):
            at = (low[:, 1].long() + dy) * CELLS + low[:, 0].long() + dx
            share = (part[:, 0] if dx else 1 - part[:, 0]) * (part[:, 1] if dy else 1 - part[:, 1])
            seen += share * (1 - ((nearest[at] - near - LIFT) / LIFT).clamp(0, 1))
    return seen


@dataclass(frozen=True)
class Visibility:
    """How much light from each of K directions reaches each of V vertices of the resting head."""

    directions: Tensor  # (K, 3)
    share: Tensor  # (K, V) 0 to 1

    def of(self, toward: Tensor, turn: Tensor) -> Tensor:
        """How much of a lamp's light reaches each vertex, whichever way the surface there faces.

        Args:
            toward: (3,) unit vector to a lamp, or (L, 3) to several.
            turn: (F, 3, 3) rotation of the head.

        Returns:
            (F, V) 0 to 1, or (F, L, V).
        """
        blend = ((toward @ turn) @ self.directions.T - 1) / SOFTNESS**2
        return blend.softmax(-1) @ self.share


def precompute_visibility(vertices: Tensor, triangles: Tensor, part: Tensor) -> Visibility:
    """Work out which directions each vertex sees.

    Args:
        vertices: (V, 3) of the resting head, metres.
        triangles: (M, 3).
        part: (M,) values of `Part`. Nothing inside the mouth, which is shut, throws or gets a shadow, nor do lashes.
    """
    a, b, c = vertices[triangles].unbind(1)
    normals = torch.zeros_like(vertices)
    for k in range(3):
        normals.index_add_(0, triangles[:, k], torch.linalg.cross(b - a, c - a))
    inside = torch.tensor([Part.TEETH, Part.TONGUE, Part.MOUTH_CAVITY, Part.LASHES], device=vertices.device)
    apart = torch.isin(part, inside)
    probes, points = _probes(vertices, triangles[~apart]), vertices + LIFT * F.normalize(normals, dim=1)
    directions = _directions().to(vertices.device)
    seen = torch.stack([_seen_from(d, points, probes, vertices.mean(0)) for d in directions])
    seen[:, triangles[apart].unique()] = 1
    return Visibility(directions, LEAST + (1 - LEAST) * seen)


def mouth_light(actions: Tensor, index: dict[str, int], in_mouth: Tensor) -> Tensor:
    """How much light falls on teeth and tongue: little through closed lips.

    Args:
        actions: (F, 52) weights of the blend shapes.
        index: column of each blend shape.
        in_mouth: (V,) 1 on teeth, tongue and what is behind them.

    Returns:
        (F, V, 1) factor of the light at each vertex.
    """
    parted = sum((amount * actions[:, index[name]] for name, amount in PARTING.items()), -CLOSED)
    dark = (1 - IN_THE_DARK) * (1 - torch.as_tensor(parted).clamp(0, 1))
    return (1 - dark[:, None] * in_mouth)[..., None]
