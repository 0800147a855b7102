"""Hair: where it grows on the scalp, and long hair that hangs down.

Long hair is one closed sheet round the back and sides of the head, open in front. Its cross-section is a horseshoe
with thick ends, so that no gap shows from any side and the locks beside the face have a front. Places are metres on
the template head, as everywhere in MakeFaces.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dferlib.makefaces.assets import Head, Part, load_head
from dferlib.makefaces.identity import Identity
from dferlib.makefaces.patterns import rgb, smoothstep

AXIS = -0.035  # depth of the middle of the horseshoe
# height, half width, half depth, and how far round the sheet reaches (radians from straight behind)
PROFILE = torch.tensor(
    [
        [0.812, 0.058, 0.066, 1.75],
        [0.798, 0.072, 0.074, 1.95],
        [0.780, 0.083, 0.084, 2.08],
        [0.760, 0.090, 0.090, 2.12],
        [0.735, 0.096, 0.094, 2.10],
        [0.710, 0.098, 0.096, 2.06],
        [0.685, 0.097, 0.096, 2.02],
        [0.660, 0.096, 0.094, 2.00],
        [0.635, 0.096, 0.092, 2.00],
        [0.605, 0.099, 0.092, 2.02],
        [0.578, 0.103, 0.092, 2.04],
        [0.552, 0.106, 0.092, 2.05],
    ]
)
THICK = 0.016  # metres, of the locks beside the face
ROWS = 17
OUTSIDE, INSIDE = 27, 5  # columns of the sheet's outside, and of each end's inside
REACH = 0.03  # metres: the hair follows the shape of the skin about this near
NECK = 0.68  # metres: lower hair follows the head at this height


def _sheet() -> tuple[Tensor, Tensor, Tensor]:
    """Vertices (H, 3), triangles (N, 3), and how open to light each vertex is (H,)."""
    profile = F.interpolate(PROFILE.T[None], ROWS, mode="linear", align_corners=True)[0].T
    z, wide, deep, round_ = profile[:, :, None].unbind(1)
    out = torch.linspace(-1, 1, OUTSIDE)[None] * round_
    back = torch.linspace(0.02, 0.45, INSIDE)[None]
    turn = torch.cat([(-round_ * (1 - back)).flip(1), out, round_ * (1 - back)], 1)
    inner = torch.cat([torch.ones(INSIDE), torch.zeros(OUTSIDE), torch.ones(INSIDE)])[None]
    ends = torch.zeros_like(inner)
    ends[:, [INSIDE, -INSIDE - 1]] = 0.5  # rounds the edge off
    shrink = (inner + ends) * THICK
    x, y = (wide - shrink) * turn.sin(), AXIS + (deep - shrink) * turn.cos()
    vertices = torch.stack([x, y, z.expand_as(x)], -1)
    rows, columns = x.shape
    corner = torch.arange(rows * columns).view(rows, columns)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
    triangles = torch.cat([torch.stack([a, c, b], -1).view(-1, 3), torch.stack([b, c, d], -1).view(-1, 3)])
    openness = (1 - 0.55 * inner).expand_as(x)
    return vertices.view(-1, 3), triangles, openness.reshape(-1)


@lru_cache(maxsize=2)
def with_long_hair(device: str) -> Head:
    """The packaged head with a sheet of long hair."""
    head = load_head(device)
    vertices, triangles, openness = (a.to(device) for a in _sheet())
    skin = head.vertices_of(Part.SKIN)
    anchor = torch.cat([vertices[:, :2], vertices[:, 2:].clamp(min=NECK)], 1)
    near = (-((torch.cdist(anchor, head.vertices[skin]) / REACH) ** 2)).softmax(1)
    shapes = torch.einsum("hs,ksd->khd", near, head.shapes[:, skin])
    shapes[list(head.action_index().values())] = 0
    count = len(triangles)
    return replace(
        head,
        vertices=torch.cat([head.vertices, vertices]),
        triangles=torch.cat([head.triangles, triangles + len(head.vertices)]),
        part=F.pad(head.part, (0, count), value=int(Part.LONG_HAIR)),
        uv=F.pad(head.uv, (0, 0, 0, 0, 0, count)),
        shapes=torch.cat([head.shapes, shapes], 1),
        follows_head=torch.cat([head.follows_head, (0.5 + (vertices[:, 2] - 0.56) * 5).clamp(0.5, 1)]),
        openness=torch.cat([head.openness, openness]),
        masks=F.pad(head.masks, (0, 0, 0, len(vertices))),
    )


def hair_mask(place: Tensor, person: Identity, ragged: Tensor | float = 0.0) -> Tensor:
    """How hairy the scalp is at each place (..., 3), 0 to 1: above a hair line that runs round the head.

    `ragged` (...), in metres, is how much further up the line runs at each place.
    """
    y, z = place[..., 1].contiguous(), place[..., 2]
    depth = [-0.20, -0.125, -0.105, -0.090, -0.076, -0.060, -0.052, -0.044, -0.034, -0.020, 0.0, 0.03, 0.08]
    top = 0.798 + person.hairline
    receding = 0.020 * person.old if person.male else 0.0
    height = [top + receding, top + receding, top - 0.006 + receding * 1.3, top - 0.022 + receding]
    height += [0.752, 0.722, 0.708] if person.male else [0.752, 0.728, 0.722]
    height += [0.715, 0.742, 0.735, 0.690, 0.660, 0.655]
    at, up = (torch.tensor(v, device=place.device) for v in (depth, height))
    k = torch.bucketize(y, at[1:-1])
    slope = (up[1:] - up[:-1]) / (at[1:] - at[:-1])
    return smoothstep(
        z - (up - F.pad(slope, (0, 1)) * at)[k] - slope[k] * y.clamp(depth[0], depth[-1]) - ragged, -0.007, 0.009
    )


def hair_offset(place: Tensor, person: Identity) -> Tensor:
    """(V, 3) metres from `place` (V, 3) on the sheet of long hair to where this person's hair hangs."""
    x, y, z = place.unbind(1)
    rng = np.random.default_rng(person.seed + 2)
    phase, back = rng.uniform(0, 6, 3), rng.uniform(-0.004, 0.014)
    below = smoothstep(-z, -0.78, -0.72)
    round_ = torch.atan2(x, y + 0.035)
    curl = torch.sin(z * 95 + 2 * torch.sin(3 * round_ + phase[0]) + phase[1])
    lumps = 0.004 * torch.sin(7 * round_ + phase[2]) + 0.005 * person.hair_wave * curl + person.hair_thickness - 0.012
    out = below * lumps
    front = smoothstep(-y, 0.03, 0.09)
    shorter = (1 - person.hair_length) * (0.70 - z).clamp(min=0)
    return torch.stack([out * round_.sin(), out * round_.cos() + back * front * below, shorter], 1)


def hair_albedo(place: Tensor, person: Identity) -> Tensor:
    """(N, 3) colour of the sheet of long hair at `place` (N, 3) on it: strands that run down it, in locks."""
    round_, z = torch.atan2(place[:, 0], place[:, 1] + 0.035), place[:, 2]
    wave = person.hair_wave * torch.sin(z * 95 + person.seed % 6)
    strands = 0.17 * torch.sin(31 * round_ + 1.6 * torch.sin(z * 40) + wave)
    strands += 0.12 * torch.sin(83 * round_ + 2.0 * torch.sin(z * 55 + 1) + 2 * wave)
    strands += 0.08 * torch.sin(190 * round_ + z * 90 + 3 * wave)
    return rgb(person.hair_colour).to(place.device) * (1 + strands)[:, None]
