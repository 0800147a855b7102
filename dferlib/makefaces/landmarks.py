"""The 68 landmarks of the rendered face, by the scheme of iBUG 300-W, as fixed places on the mesh.

Which is which: 0 to 16 the jaw from the left of the frame to its right, 17 to 21 and 22 to 26 the brows, 27 to 30
the bridge of the nose, 31 to 35 its base, 36 to 41 and 42 to 47 the eyes, from their left corners on clockwise, 48 to
59 the outer edge of the lips, 60 to 67 the inner one, likewise. Source: Sagonas et al., "300 Faces In-The-Wild
Challenge: database and results", Image and Vision Computing 47, 2016.

Where the scheme means a place of anatomy (corners and margins of the lids, edges of the lips), the place is found on
the mesh by that meaning; the brows are the middle lines along which they are painted, on the template; where a person's
grow higher or lower, `find_landmarks` is told by how much. Where it is only a convention
how far along an edge a point lies (jaw, tip and base of the nose, spacing on lids and lips), it follows the mean of the
annotations of 300-W, which is the shape that dlib's predictor of landmarks starts from.

A landmark stays on its place of the skin. So the points of the jaw do not slide to the new outline when the head
turns, as they do where people annotate photographs: they stay where the outline is seen from the front.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dferlib.makefaces.assets import Part
from dferlib.makefaces.proportions import LARGEST_LIFT
from dferlib.makefaces.rig import Rig
from dferlib.makefaces.texture import BROW_ENDS, brow_height, brow_lift

BROWS = slice(17, 27)
OUTER_CORNERS = (36, 45)  # of the eyes: the unit in which errors of landmarks are given

# The mean of 300-W: right and down from the middle of the line between the outer corners of the eyes, in its length.
# Points 8 to 16, from the chin up to the right ear of the frame; those on the other side mirror them.
_JAW = (
    (0.0, 1.318),
    (0.199, 1.284),
    (0.374, 1.169),
    (0.533, 1.026),
    (0.664, 0.855),
    (0.748, 0.658),
    (0.793, 0.445),
    (0.817, 0.229),
    (0.822, 0.011),
)
_NOSE_TIP = (0.0, 0.404)  # point 30; where it is marked, 3 mm above the foremost point
_NOSE_BASE = ((0.0, 0.556), (0.087, 0.531), (0.167, 0.501))  # points 33 to 35
# how far along an edge points lie, in its width from its left end
_ON_LIDS = (0.0, 0.32, 0.68, 1.0)
_ON_LIPS = (0.18, 0.36, 0.5, 0.64, 0.82)
_ON_INNER_LIPS = (0.07, 0.345, 0.5, 0.655, 0.93)
_OUTLINE = -0.15  # y of the normal where the face seen from the front ends: it faces the camera with 9 degrees


@dataclass(frozen=True)
class Landmarks:
    """Where on the mesh the landmarks are: the weighted mean of some vertices each.

    Attributes:
        corners: (68, K) indices of vertices.
        weights: (68, K), at least 0 and with a sum of 1.
    """

    corners: Tensor
    weights: Tensor

    def of(self, vertices: Tensor) -> Tensor:
        """The landmarks (F, 68, D) of vertices (F, V, D), in whatever coordinates these are."""
        return (vertices[:, self.corners] * self.weights[..., None]).sum(2)


def find_landmarks(rig: Rig, brow_lifts: np.ndarray | None = None) -> Landmarks:
    """Find the 68 landmarks on the mesh of a rig.

    Args:
        rig: the template head.
        brow_lifts: (2, 3) metres by which a person's brows grow higher, see `proportions.draw_shape`; default: as on
            the template.
    """
    brow_lifts = np.zeros((2, 3)) if brow_lifts is None else brow_lifts
    lowest, usual, highest = (_find_landmarks(rig, lift) for lift in (-LARGEST_LIFT, 0.0, LARGEST_LIFT))
    along = torch.linspace(*BROW_ENDS, 5)
    share = torch.zeros(68, 1)
    share[BROWS, 0] = brow_lift(torch.cat([-along.flip(0), along]), brow_lifts) / LARGEST_LIFT
    share = share.to(usual.weights)
    parts = (lowest, -share), (usual, 1 - share.abs()), (highest, share)
    return Landmarks(
        torch.cat([part.corners for part, _ in parts], 1),
        torch.cat([part.weights * much.clamp(0, 1) for part, much in parts], 1),
    )


@lru_cache(maxsize=8)
def _find_landmarks(rig: Rig, lift: float) -> Landmarks:
    """The same for brows that grow `lift` metres higher all along."""
    search = _Search(rig)
    places = [
        *(search.jaw(-x, down) for x, down in _JAW[:0:-1]),
        *(search.jaw(x, down) for x, down in _JAW),
        *search.brows(lift),
        *search.bridge(),
        *(search.nose_base(-x, down) for x, down in _NOSE_BASE[:0:-1]),
        *(search.nose_base(x, down) for x, down in _NOSE_BASE),
        *search.opening(search.eyes[0], _ON_LIDS),
        *search.opening(search.eyes[1], _ON_LIDS),
        *search.lips(),
        *search.opening(search.mouth, _ON_INNER_LIPS),
    ]
    corners, weights = (torch.stack(both) for both in zip(*places, strict=True))
    return Landmarks(corners, weights.to(rig.template.dtype))


Place = tuple[Tensor, Tensor]  # (3,) vertices and (3,) their weights


class _Search:
    """The template head and the ways to find places on its skin."""

    def __init__(self, rig: Rig) -> None:
        self.points = rig.template.double()
        self.triangles = rig.triangles[rig.part == Part.SKIN]
        self.lip_field = rig.lips.double() - 0.5  # 0 on the edge of the lips
        pairs = self.triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).sort(1).values
        self.edges, count = pairs.unique(dim=0, return_counts=True)
        border = self.edges[count == 1]  # the skin ends at the margins of the lids, and inside the lips
        lids = border[rig.lids[border].all(1)]
        self.eyes = [lids[(side * self.points[lids, 0] > 0).all(1)] for side in (-1, 1)]
        self.mouth = border[(rig.lips[border] > 0).all(1)]
        left, right = self._end(self.eyes[0], -1), self._end(self.eyes[1], 1)
        self.unit, self.origin = float(right[0] - left[0]), (left + right) / 2
        a, b, c = self.points[self.triangles].unbind(1)
        normals = torch.zeros_like(self.points)
        for k in range(3):
            normals.index_add_(0, self.triangles[:, k], torch.linalg.cross(b - a, c - a))
        self.facing = F.normalize(normals, dim=1)[:, 1]  # -1 towards a camera in front

    def _end(self, edges: Tensor, side: int) -> Tensor:
        """(3,) the point of the edges that lies farthest to one side."""
        ends = self.points[edges.unique()]
        return ends[(side * ends[:, 0]).argmax()]

    def _where(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where on the skin two fields (V,), linear in each triangle, are both 0.

        Returns:
            corners (K, 3) and weights (K, 3) of every such place, and the points (K, 3) there.
        """
        weights = torch.linalg.cross(first[self.triangles], second[self.triangles])
        weights = weights / weights.sum(1, keepdim=True)
        inside = (weights > -1e-9).all(1)  # false where the triangle has no such place or many
        corners, weights = self.triangles[inside], weights[inside].clamp(min=0)
        return corners, weights, (self.points[corners] * weights[..., None]).sum(1)

    def seen(self, x: float, z: float) -> Place:
        """What a camera in front sees at `x` and `z` of the template."""
        corners, weights, points = self._where(self.points[:, 0] - x, self.points[:, 2] - z)
        nearest = points[:, 1].argmin()
        return corners[nearest], weights[nearest]

    def mean_place(self, right: float, down: float) -> tuple[float, float]:
        """Where x and z of a point of the mean shape lie on the template."""
        return float(self.origin[0]) + right * self.unit, float(self.origin[2]) - down * self.unit

    def jaw(self, right: float, down: float) -> Place:
        """Where the ray from between the eyes through a point of the mean shape meets the outline of the face."""
        x, z = self.mean_place(right, down)
        relative = self.points - self.origin
        ray = relative[:, 0] * (z - self.origin[2]) - relative[:, 2] * (x - self.origin[0])
        corners, weights, points = self._where(self.facing - _OUTLINE, ray)
        nearest = ((points[:, 0] - x) ** 2 + (points[:, 2] - z) ** 2).argmin()
        return corners[nearest], weights[nearest]

    def brows(self, lift: float) -> list[Place]:
        """Five places on the middle line of each painted brow and `lift` metres above it, at equal steps."""
        x = torch.linspace(*BROW_ENDS, 5)
        right = list(zip(x.tolist(), (brow_height(x) + lift).tolist(), strict=True))
        return [*(self.seen(-x, z) for x, z in right[::-1]), *(self.seen(x, z) for x, z in right)]

    def bridge(self) -> list[Place]:
        """From the deepest point between forehead and nose to the tip of the mean shape, in equal steps of height."""
        _, tip = self.mean_place(*_NOSE_TIP)
        middle = self.points[(self.points[:, 0].abs() < 1e-6) & (self.facing < 0)]
        between = middle[(middle[:, 2] > tip) & (middle[:, 2] < float(brow_height(torch.zeros(()))))]
        deepest = between[between[:, 1].argmax()]
        return [self.seen(0.0, float(z)) for z in torch.linspace(float(deepest[2]), tip, 4)]

    def nose_base(self, right: float, down: float) -> Place:
        """Where the mean shape has the base of the nose."""
        return self.seen(*self.mean_place(right, down))

    def opening(self, edges: Tensor, shares: tuple[float, ...]) -> list[Place]:
        """Places round the border of an opening, clockwise from the left.

        Args:
            edges: (K, 2) the border.
            shares: where they lie, in widths of the opening from its left end; but for the first and the last, there is
                one above and one below.
        """
        left, right = (self._end(edges, side)[0] for side in (-1, 1))
        across = [float(left + share * (right - left)) for share in shares]
        above, below = ([self._on(edges, x, side) for x in across] for side in (1, -1))
        return [*above, *below[-2:0:-1]]

    def _on(self, edges: Tensor, x: float, side: int) -> Place:
        """The highest (`side` 1) or lowest (-1) place of some edges at `x`."""
        return self._highest(edges, self.points[:, 0] - x, self.points[:, 2] * side)

    def _highest(self, edges: Tensor, field: Tensor, height: Tensor) -> Place:
        """Of the places on edges (K, 2) where a field (V,) is 0, the one where another, `height`, is largest."""
        a, b = field[edges].unbind(1)
        cut = (a * b <= 0) & (a != b)
        weights = torch.stack([b / (b - a), -a / (b - a), torch.zeros_like(a)], 1)[cut]
        corners = edges[cut][:, [0, 1, 1]]
        best = (height[corners] * weights).sum(1).argmax()
        return corners[best], weights[best]

    def lips(self) -> list[Place]:
        """Places round the outer edge of the lips, clockwise from the left corner."""
        ends = [self._highest(self.edges, self.lip_field, side * self.points[:, 0]) for side in (-1, 1)]
        left, right = (float((self.points[c] * w[:, None]).sum(0)[0]) for c, w in ends)
        across = [left + share * (right - left) for share in _ON_LIPS]
        above, below = ([self._lip_edge(x, side) for x in across] for side in (1, -1))
        return [ends[0], *above, ends[1], *below[::-1]]

    def _lip_edge(self, x: float, side: int) -> Place:
        """The upper (`side` 1) or lower (-1) edge of the lips at `x`."""
        corners, weights, points = self._where(self.lip_field, self.points[:, 0] - x)
        best = (side * points[:, 2]).argmax()
        return corners[best], weights[best]
