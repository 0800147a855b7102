"""The texture of a person's skin: colour, lips, brows, beard and hair line.

Everything is painted on the atlas by where a texel lies on the template head (x sideways, y in depth, z up, metres),
so the same lines serve every shape of face. Numbers in this file are places on that head.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dferlib.makefaces.assets import EARS, EYELIDS, LIPS, Part, atlas_at, load_head
from dferlib.makefaces.hair import hair_mask
from dferlib.makefaces.identity import Identity
from dferlib.makefaces.patterns import rgb, seamless, smoothstep, value_noise
from dferlib.makefaces.wrinkles import resting_wrinkles, wrinkle_maps

BROW_ENDS = (0.011, 0.054)  # metres from the middle of the face
EYE_HEIGHT = 0.7276  # metres, of the corners of the eyes


@dataclass(frozen=True)
class _BaseTexture:
    """What of the atlas (h x w texels) is the same for everybody."""

    place: Tensor  # (h, w, 3)
    x: Tensor  # (h, w) distance from the middle of the face, metres
    y: Tensor  # (h, w)
    z: Tensor  # (h, w)
    masks: Tensor  # (5, h, w)
    fine: Tensor  # (h, w) noise of single texels
    blotches: Tensor  # (h, w) noise of several sizes
    strands: Tensor  # (h, w) hairs on the scalp, -0.8 to 0.8
    blood: Tensor  # (h, w) where blood shows through the skin
    under_eyes: Tensor  # (h, w)
    lids: Tensor  # (h, w) where eye shadow goes
    lashes: Tensor  # (h, w) the line at the margin of the lids, where lashes grow and throw their shadow
    crease: Tensor  # (h, w) the fold of the upper lid
    nostrils: Tensor  # (h, w)
    freckled: Tensor  # (h, w)
    jaw: Tensor  # (h, w) where a beard grows
    moustache: Tensor  # (h, w)
    brows: tuple[Tensor, ...]  # rows and columns of the texels near the brows


def _jaw(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Where a beard grows, and how early: 0 to 1 at a distance x from the middle of the face."""
    chin = smoothstep(-z, -0.684, -0.648) * smoothstep(z, 0.585, 0.600) * smoothstep(-y, 0.035, 0.055)
    sideburns = smoothstep(x, 0.048, 0.067) * smoothstep(-z, -0.728, -0.692) * smoothstep(-y, 0.045, 0.055)
    bare = 0.5 * torch.exp(-((x / 0.012) ** 2 + ((z - 0.645) / 0.005) ** 2))
    return (chin + sideburns * smoothstep(y, -0.105, -0.085)) * (1 - bare)


def _lash_line(place: Tensor) -> Tensor:
    """(h, w) 0 to 1 near the margins of the lids, on which the skin ends; the upper one is darker and wider."""
    head = load_head()
    triangles = head.triangles[head.part == Part.SKIN]
    edges, count = (
        triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).sort(1).values.unique(dim=0, return_counts=True)
    )
    ends = edges[count == 1]
    ends = ends[(head.masks[ends, EYELIDS] > 0.5).all(1)]
    steps = torch.linspace(0, 1, 5)[:, None, None]
    margin = torch.lerp(head.vertices[ends[:, 0]], head.vertices[ends[:, 1]], steps).reshape(-1, 3)
    out = torch.zeros(place.shape[:2])
    near = (place[..., 1] < -0.1) & ((place[..., 2] - EYE_HEIGHT).abs() < 0.015) & (place[..., 0].abs() < 0.055)
    distance, which = torch.cdist(place[near], margin).min(1)
    upper = (margin[which, 2] > EYE_HEIGHT).float()
    out[near] = (0.45 + 0.55 * upper) * torch.exp(-((distance / (0.0007 + 0.0006 * upper)) ** 2))
    return out


def _crease(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """(h, w) the fold of the upper lid: a line that follows its margin some millimetres higher."""
    line = EYE_HEIGHT + 0.0090 - 0.0035 * ((x - 0.033) / 0.013) ** 2
    return (
        torch.exp(-(((z - line) / 0.0011) ** 2))
        * smoothstep(x, 0.019, 0.024)
        * smoothstep(-x, -0.049, -0.044)
        * (y < -0.1)
    )


@lru_cache(maxsize=2)
def _base_texture(shrink: int) -> _BaseTexture:
    place, masks = atlas_at("cpu", shrink)
    x, y, z = (a.contiguous() for a in (place[..., 0].abs(), place[..., 1], place[..., 2]))
    rng = np.random.default_rng(0)
    height, width = x.shape
    soft = value_noise(height, width, 8, rng, 2)
    angle = torch.atan2(place[..., 0], y + 0.02) * 60

    def spot(at_x: float, at_z: float, wide: float, high: float) -> Tensor:
        """A soft spot on both sides of the front of the face."""
        return torch.exp(-(((x - at_x) / wide) ** 2 + ((z - at_z) / high) ** 2)) * (y < -0.07)

    fine = torch.from_numpy(rng.standard_normal((1, 1, height, width))).float()
    return _BaseTexture(
        place=place,
        x=x,
        y=y,
        z=z,
        masks=masks.permute(2, 0, 1).contiguous(),
        fine=F.avg_pool2d(fine, 3, 1, 1)[0, 0],
        blotches=seamless(value_noise(height, width, 48 // shrink, rng, 4)),
        strands=0.5 * torch.sin(angle + 6 * soft) + 0.3 * torch.sin(2.3 * angle + 9 * soft),
        blood=0.9 * spot(0.042, 0.688, 0.020, 0.018)
        + 0.8 * spot(0, 0.69, 0.016, 0.014)
        + 0.25 * spot(0, 0.63, 0.02, 0.015)
        + 0.5 * masks[..., EARS],
        under_eyes=spot(0.031, 0.7185, 0.016, 0.006),
        lids=spot(0.031, 0.7375, 0.017, 0.006),
        lashes=_lash_line(place),
        crease=_crease(x, y, z),
        nostrils=torch.exp(-((((x - 0.0097) / 0.0036) ** 2 + ((z - 0.6872) / 0.0017) ** 2) ** 2)) * (y < -0.145),
        freckled=(spot(0.035, 0.695, 0.03, 0.02) + spot(0, 0.70, 0.02, 0.02)).clamp(0, 1),
        jaw=_jaw(x, y, z) * (1 - masks[..., LIPS] - masks[..., EARS]).clamp(min=0),
        moustache=torch.exp(-(((z - 0.6755) / 0.0062) ** 4)) * smoothstep(-x, -0.034, -0.026) * (y < -0.1),
        brows=((y < -0.1) & ((z - 0.747).abs() < 0.022) & (x < 0.062)).nonzero(as_tuple=True),
    )


class _Canvas:
    """The texels while a person is painted: the base, this person's noise and the colour (3, h, w) so far."""

    def __init__(self, person: Identity, shrink: int) -> None:
        self.person, self.base, self.shrink = person, _base_texture(shrink), shrink
        self.rng = np.random.default_rng(person.seed)
        self.fine, self.blotches = self.shifted(self.base.fine), self.shifted(self.base.blotches)
        skin = rgb(person.skin)[:, None, None]
        self.colour = skin * (1 + 0.05 * self.blotches + 0.075 * self.fine)

    def shifted(self, pattern: Tensor) -> Tensor:
        """A shared pattern (h, w), moved to a place of this person's own."""
        height, width = pattern.shape
        return pattern.roll((int(self.rng.integers(height)), int(self.rng.integers(width))), (0, 1))

    def cover(self, colour: Tensor, amount: Tensor) -> None:
        """Lay `colour` (3, h, w) or (3, 1, 1) over the canvas, `amount` (h, w) thick."""
        self.colour = torch.lerp(self.colour, colour, amount.clamp(0, 1))

    def darken(self, rgb: tuple[float, float, float], amount: Tensor) -> None:
        """Take shares `rgb` of the light away where `amount` (h, w) is 1."""
        for channel, share in zip(self.colour, rgb, strict=True):
            channel *= 1 - share * amount


def _paint_skin(c: _Canvas) -> None:
    person, g = c.person, c.base
    blush = (0.5 + 0.5 * c.rng.random()) * (1 - 0.6 * person.skin_tone)
    c.darken((-0.10 * blush, 0.16 * blush, 0.14 * blush), g.blood)
    rings = 0.25 + 0.4 * person.old
    c.darken((0.22 * rings, 0.30 * rings, 0.25 * rings), g.under_eyes)
    c.darken((0.12, 0.20, 0.18), g.masks[EYELIDS])
    c.darken((0.35, 0.42, 0.42), g.crease)
    c.darken((0.90, 0.94, 0.94), g.lashes * person.lash_density)
    c.darken((0.70, 0.82, 0.82), g.nostrils)
    if person.eye_shadow is not None:
        strength, tint = float(person.eye_shadow[0]), rgb(person.eye_shadow[1:])
        c.cover(c.colour * tint[:, None, None], g.lids * strength)
    if person.freckles:
        c.darken((0.3, 0.42, 0.5), ((c.shifted(g.fine) - 0.62) * 5).clamp(0, 1) * g.freckled)
    natural = c.colour * (torch.tensor([0.98, 0.72, 0.70]) * person.lip_tone**0.3)[:, None, None]
    lips = torch.lerp(natural, rgb(person.lip_colour)[:, None, None], person.lipstick)
    c.cover(lips, g.masks[LIPS] * 0.9)
    c.colour *= 1 - 0.5 * person.old * resting_wrinkles(c.shrink)


def _paint_beard(c: _Canvas) -> None:
    person, g = c.person, c.base
    # a beard's edge lies higher on the cheeks, and is sharper, the fuller the beard is
    ragged = g.jaw * (1 + 0.10 * c.blotches + 0.25 * c.fine)
    grown = smoothstep(ragged, 0.45 * (1 - person.beard), 0.9 - 0.6 * person.beard) + g.moustache * person.moustache
    amount = grown.clamp(0, 1) * (1 - g.masks[LIPS]) * (person.beard**0.8 + 0.25 * c.fine + 0.05 * c.blotches)
    # beards are darker than the hair of the head and redder, where that has a colour
    hair = rgb(person.hair_colour)
    redder = 1 - (1 - hair.amin() / hair.amax()) * torch.tensor([0.0, 0.28, 0.40])
    hairs = (0.8 * hair * redder)[:, None, None] * (1 + 0.3 * c.fine) + 0.008
    c.cover(hairs, amount)


def _along_brow(x: Tensor) -> Tensor:
    """0 at the brow's end at the nose, 1 at that at the temple."""
    return (x - BROW_ENDS[0]) / (BROW_ENDS[1] - BROW_ENDS[0])


def brow_height(x: Tensor) -> Tensor:
    """Height of the brow's middle line on the template head, `x` metres from the middle of the face."""
    t = _along_brow(x).clamp(0, 1)
    return 0.7465 + 0.0065 * torch.sin(t * 2.3) - 0.0070 * t**2


def brow_lift(x: Tensor, lifts: np.ndarray) -> Tensor:
    """How much higher than on the template a person's brows grow, `x` metres to the right of the middle of the face.

    Args:
        x: any shape, negative on the left.
        lifts: (2, 3) of the left and the right brow at its inner end, its middle and its outer end.

    Returns:
        Metres, in the shape of `x`: the parabola through the three.
    """
    t = _along_brow(x.abs()).clamp(0, 1)
    inner, middle, outer = torch.from_numpy(np.asarray(lifts, np.float32)).to(x.device)[(x > 0).long()].unbind(-1)
    return inner * (1 - t) * (1 - 2 * t) + middle * 4 * t * (1 - t) + outer * t * (2 * t - 1)


def _paint_brows(c: _Canvas) -> None:
    person, g = c.person, c.base
    row, column = g.brows
    x, z = g.x[row, column], g.z[row, column]
    along = _along_brow(x)
    t = along.clamp(0, 1)
    half = (0.0042 * person.brow_width * (1 - 0.55 * t**2) * smoothstep(x, 0.008, 0.014)).clamp(min=1e-4)
    # hairs lean outwards, the more the further from the nose
    cells = torch.from_numpy(c.rng.standard_normal((1, 1, 6, 96))).float()
    lifted = brow_height(x) + brow_lift(g.place[row, column, 0], person.brow_lifts)
    across = (z - lifted) / half.clamp(min=1e-3)
    at = torch.stack([along * 2 - 1 - (0.06 + 0.25 * t) * across * half / 0.004, across / 2], -1)[None, None]
    hairs = F.grid_sample(cells, at, mode="bilinear", align_corners=False, padding_mode="reflection")[0, 0, 0]
    amount = torch.exp(-(across.abs() ** 2.5)) * smoothstep(along, -0.05, 0.10) * smoothstep(-along, -1.05, -0.80)
    amount = (amount * (0.95 * person.brow_density + 0.22 * hairs)).clamp(0, 0.97)
    below = c.colour[:, row, column]
    c.colour[:, row, column] = torch.lerp(below, rgb(person.brow_colour)[:, None].expand_as(below), amount)


def _paint_scalp(c: _Canvas) -> None:
    person, g = c.person, c.base
    ragged = 0.0016 * c.blotches + 0.004 * c.fine
    amount = hair_mask(g.place, person, ragged) * (1 - g.masks[EARS])
    amount = amount * {"bald": 0.10, "buzz": 0.8}.get(person.hairstyle, 1.0)
    colour = (rgb(person.hair_colour)[:, None, None] * (1 + 0.14 * c.blotches + 0.22 * g.strands)).clamp(0.008, 1)
    c.cover(colour, amount * (1 + 0.12 * c.fine + 0.15 * g.strands))


def paint_texture(person: Identity, shrink: int) -> Tensor:
    """Paint a person's atlas.

    Args:
        person: who.
        shrink: divide each side of the atlas by this; 2 is enough for frames of up to about 80 px.

    Returns:
        (7, h, w): linear colour and the channels of the wrinkles.
    """
    c = _Canvas(person, shrink)
    _paint_skin(c)
    if person.beard > 0:
        _paint_beard(c)
    _paint_brows(c)
    _paint_scalp(c)
    return torch.cat([c.colour.clamp(0.004, 1), wrinkle_maps(shrink)])


def facial_hair(place: Tensor, person: Identity) -> Tensor:
    """(V,) 0 to 1: how much hair of brows and beard keeps the skin at `place` (V, 3) from shining."""
    x, y, z = place[:, 0].abs(), place[:, 1], place[:, 2]
    above = z - brow_height(x) - brow_lift(place[:, 0], person.brow_lifts)
    brow = torch.exp(-((above / 0.006) ** 4)) * smoothstep(x, 0.006, 0.012) * smoothstep(-x, -0.060, -0.050)
    return torch.maximum(brow * (y < -0.1) * person.brow_density, _jaw(x, y, z) * person.beard).clamp(0, 1)


def atlas_shrink(size: int, supersample: int) -> int:
    """How much smaller an atlas serves a frame of `size` px without a visible loss."""
    return 2 if size * supersample <= 160 else 1
