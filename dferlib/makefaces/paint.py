"""Painting a person's skin: colour, lips, brows, beard, hair line and the wrinkles that expressions fold.

Everything is painted on the atlas by where a texel lies on the template head (x sideways, y in depth, z up, metres),
so the same lines serve every shape of face. Numbers in this file are places on that head.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dferlib.makefaces.assets import EARS, EYELIDS, LIPS, atlas_at
from dferlib.makefaces.identity import Identity
from dferlib.makefaces.rig import REGIONS, region_of

UPPER, MIDDLE, LOWER = range(3)  # the heights of `rig.REGIONS`
BROW_ENDS = (0.011, 0.054)  # metres from the middle of the face
# metres across the front teeth from the middle outwards, as the camera sees them on the curved row
UPPER_TEETH, LOWER_TEETH = (0.0083, 0.0062, 0.0058, 0.0042), (0.0054, 0.0056, 0.0056, 0.0048)
TEETH_MEET = 0.6605  # metres
CHANNELS = 4  # of the atlas for wrinkles; those of one channel lie in different heights of the face


@dataclass(frozen=True)
class Wrinkle:
    """A wrinkle that some face shapes fold: its place in the atlas, how each shape deepens it, how age leaves it."""

    height: int
    channel: int
    folds: dict[str, float]  # name of a face shape, without its side
    stays: float  # how deep it is on a resting face of the oldest


WRINKLES = {
    "inner forehead": Wrinkle(UPPER, 0, {"browInnerUp": 0.75}, 0.30),
    "outer forehead": Wrinkle(UPPER, 1, {"browOuterUp": 0.9}, 0.22),
    "glabella": Wrinkle(UPPER, 2, {"browDown": 0.75, "noseSneer": 0.2}, 0.22),
    "nose": Wrinkle(MIDDLE, 0, {"noseSneer": 0.65}, 0.0),
    "crow's feet": Wrinkle(MIDDLE, 1, {"cheekSquint": 0.8, "eyeSquint": 0.2}, 0.40),
    "pouch": Wrinkle(MIDDLE, 2, {"cheekSquint": 0.55, "eyeSquint": 0.45}, 0.45),
    "nasolabial": Wrinkle(LOWER, 0, {"mouthSmile": 0.5, "noseSneer": 0.4, "mouthUpperUp": 0.4}, 0.45),
    "lip corner": Wrinkle(LOWER, 1, {"mouthFrown": 0.65, "mouthDimple": 0.9}, 0.30),
    "stretch": Wrinkle(LOWER, 2, {"mouthStretch": 0.7, "mouthSmile": 0.2}, 0.10),
    "chin": Wrinkle(LOWER, 3, {"mouthShrugLower": 0.9}, 0.10),
}


def smooth(x: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """0 below `low`, 1 above `high`, a smooth S between."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def noise(height: int, width: int, cells: int, rng: np.random.Generator, octaves: int) -> Tensor:
    """(height, width) soft random pattern: `octaves` layers, each twice as fine and half as strong."""
    out = torch.zeros(1, 1, height, width)
    for k in range(octaves):
        grid = rng.standard_normal((1, 1, max(2, height // cells * 2**k), max(2, width // cells * 2**k)))
        out += (
            F.interpolate(torch.from_numpy(grid).float(), (height, width), mode="bicubic", align_corners=False) / 2**k
        )
    return out[0, 0]


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
    return smooth(
        z - (up - F.pad(slope, (0, 1)) * at)[k] - slope[k] * y.clamp(depth[0], depth[-1]) - ragged, -0.007, 0.009
    )


def _furrow(above: Tensor, width: float, ridge: float = 0.45) -> Tensor:
    """A dark fold where `above` (metres over its line) is 0, and below it the ridge that catches the light."""
    dark = torch.exp(-((above / width) ** 2))
    return dark - ridge * torch.exp(-(((above + 2.1 * width) / (1.3 * width)) ** 2))


def _upper_wrinkles(x: Tensor, y: Tensor, z: Tensor) -> dict[str, Tensor]:
    """Forehead and the frown between the brows; x is the distance from the middle of the face."""
    front = smooth(-y, 0.092, 0.104)
    lines = torch.zeros_like(x)
    for k, height in enumerate((0.7645, 0.7715, 0.7785, 0.7855)):
        wave = 0.0024 * torch.cos(x * 105 + k) + 0.0006 * torch.cos(x * 260 + 2 * k)
        lines += _furrow(z - height - wave, 0.0013) * (0.8 + 0.2 * torch.cos(x * 190 + 2 * k))
    outer = smooth(x, 0.016, 0.026)
    glabella = _furrow(0.0062 + 0.15 * (z - 0.75) - x, 0.0013) * torch.exp(-(((z - 0.752) / 0.0080) ** 4))
    return {
        "inner forehead": lines * front * (1 - outer),
        "outer forehead": lines * front * outer * smooth(-x, -0.050, -0.040),
        "glabella": glabella * front,
    }


def _middle_wrinkles(x: Tensor, y: Tensor, z: Tensor) -> dict[str, Tensor]:
    """The bridge of the nose and round the eyes."""
    nose = torch.zeros_like(x)
    for height in (0.7225, 0.7285, 0.7345):
        nose += _furrow(z - height + 0.25 * x, 0.0012)
    crow = torch.zeros_like(x)
    for height, slope in ((0.7345, 0.38), (0.7295, 0.08), (0.7245, -0.25), (0.7195, -0.55)):
        crow += _furrow(z - height - slope * (x - 0.048), 0.0010)
    # two arcs under the eye: the edge of the lid's muscle, and the lower edge of the pouch
    bow = ((x - 0.031) / 0.020) ** 2
    pouch = _furrow(z - 0.7185 - 0.003 * bow, 0.0011) + 0.8 * _furrow(z - 0.7125 - 0.005 * bow, 0.0017)
    return {
        "nose": nose * smooth(-x, -0.019, -0.010) * smooth(-y, 0.118, 0.124),
        "crow's feet": crow * smooth(x, 0.046, 0.050) * smooth(-x, -0.063, -0.056) * smooth(-y, 0.065, 0.08),
        "pouch": pouch * smooth(-bow, -1.1, -0.5) * smooth(-y, 0.095, 0.105),
    }


def _lower_wrinkles(x: Tensor, y: Tensor, z: Tensor) -> dict[str, Tensor]:
    """From the nose to the chin."""
    front = smooth(-y, 0.092, 0.104)
    fold = 0.0190 + 0.0175 * ((0.692 - z) / 0.036).clamp(0, 1)
    nasolabial = _furrow(fold - x, 0.0021) * smooth(z, 0.654, 0.668) * smooth(-z, -0.6985, -0.691)
    corner = _furrow(0.0280 + 0.30 * (0.666 - z) - x, 0.0015) * smooth(z, 0.643, 0.656) * smooth(-z, -0.673, -0.667)
    radius = ((x - 0.022) ** 2 + (z - 0.661) ** 2).sqrt()
    beside = smooth(x - 0.022 - (z - 0.661).abs() * 0.7, 0.003, 0.008)
    stretch = _furrow(0.0155 - radius, 0.0014) + 0.8 * _furrow(0.0205 - radius, 0.0014)
    crease = _furrow(z - 0.6445 + 0.12 * x, 0.0018) * smooth(-x, -0.017, -0.009)
    cells = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 1, 24, 24))).float()
    at = torch.stack([x / 0.02, (z - 0.632) / 0.02], -1)[None]
    pits = F.grid_sample(cells, at, mode="bicubic", align_corners=False, padding_mode="border")[0, 0]
    chin = 0.7 * pits * torch.exp(-((x / 0.013) ** 4) - ((z - 0.632) / 0.0085) ** 4) + crease
    return {
        "nasolabial": nasolabial * front,
        "lip corner": corner * front,
        "stretch": stretch * beside * front,
        "chin": chin * front,
    }


def hang(place: Tensor, person: Identity) -> Tensor:
    """(V, 3) metres from `place` (V, 3) on the sheet of long hair to where this person's hair hangs."""
    x, y, z = place.unbind(1)
    rng = np.random.default_rng(person.seed + 2)
    phase, back = rng.uniform(0, 6, 3), rng.uniform(-0.004, 0.014)
    below = smooth(-z, -0.78, -0.72)
    round_ = torch.atan2(x, y + 0.035)
    curl = torch.sin(z * 95 + 2 * torch.sin(3 * round_ + phase[0]) + phase[1])
    lumps = 0.004 * torch.sin(7 * round_ + phase[2]) + 0.005 * person.hair_wave * curl + person.hair_thickness - 0.012
    out = below * lumps
    front = smooth(-y, 0.03, 0.09)
    shorter = (1 - person.hair_length) * (0.70 - z).clamp(min=0)
    return torch.stack([out * round_.sin(), out * round_.cos() + back * front * below, shorter], 1)


def hair_colour(place: Tensor, person: Identity) -> Tensor:
    """(N, 3) colour of the sheet of long hair at `place` (N, 3) on it: strands that run down it, in locks."""
    round_, z = torch.atan2(place[:, 0], place[:, 1] + 0.035), place[:, 2]
    wave = person.hair_wave * torch.sin(z * 95 + person.seed % 6)
    strands = 0.17 * torch.sin(31 * round_ + 1.6 * torch.sin(z * 40) + wave)
    strands += 0.12 * torch.sin(83 * round_ + 2.0 * torch.sin(z * 55 + 1) + 2 * wave)
    strands += 0.08 * torch.sin(190 * round_ + z * 90 + 3 * wave)
    return _rgb(person.hair_colour).to(place.device) * (1 + strands)[:, None]


@lru_cache(maxsize=4)
def wrinkle_places(shrink: int) -> dict[str, Tensor]:
    """Where each of `WRINKLES` lies on the atlas, (h, w): above 0 it darkens the skin, below 0 it lightens it."""
    place, _ = atlas_at("cpu", shrink)
    x, y, z = place[..., 0].abs(), place[..., 1], place[..., 2]
    every = {**_upper_wrinkles(x, y, z), **_middle_wrinkles(x, y, z), **_lower_wrinkles(x, y, z)}
    return {name: every[name].clamp(-0.6, 1) for name in WRINKLES}


@lru_cache(maxsize=4)
def wrinkle_maps(shrink: int) -> Tensor:
    """(`CHANNELS`, h, w) the wrinkles in the channels of the atlas."""
    place, _ = atlas_at("cpu", shrink)
    height = region_of(place) // 2
    out = torch.zeros(CHANNELS, *height.shape)
    for name, where in wrinkle_places(shrink).items():
        out[WRINKLES[name].channel] += where * (height == WRINKLES[name].height)
    return out


@lru_cache(maxsize=4)
def _resting_wrinkles(shrink: int) -> Tensor:
    """(h, w) the wrinkles of the oldest resting face."""
    return sum((WRINKLES[name].stays * where for name, where in wrinkle_places(shrink).items()), torch.zeros(()))


@lru_cache(maxsize=4)
def _fold_matrix(shapes: tuple[str, ...], device: str) -> Tensor:
    """(len(shapes), regions * channels) how each face shape deepens the wrinkles of each region."""
    out = torch.zeros(len(shapes), len(REGIONS), CHANNELS)
    for wrinkle in WRINKLES.values():
        for side, suffix in enumerate(("Left", "Right")):
            for name, amount in wrinkle.folds.items():
                row = shapes.index(name if name in shapes else name + suffix)
                out[row, 2 * wrinkle.height + side, wrinkle.channel] = amount
    return out.flatten(1).to(device)


def wrinkle_strengths(actions: Tensor, index: dict[str, int]) -> Tensor:
    """(T, 6, 4) depth of the wrinkles of each of `REGIONS`, 0 to 1, at weights `actions` (T, 52) of the face shapes."""
    folds = _fold_matrix(tuple(index), str(actions.device))
    return (actions @ folds).clamp(0, 1).view(len(actions), len(REGIONS), CHANNELS)


@dataclass(frozen=True)
class _Ground:
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
    freckled: Tensor  # (h, w)
    jaw: Tensor  # (h, w) where a beard grows
    moustache: Tensor  # (h, w)
    brows: tuple[Tensor, ...]  # rows and columns of the texels near the brows


def _endless(pattern: Tensor) -> Tensor:
    """The pattern (h, w) blended with itself so that its opposite edges meet."""
    for dim, length in enumerate(pattern.shape):
        weight = torch.sin(np.pi * (torch.arange(length) + 0.5) / length)
        weight = weight[:, None] if dim == 0 else weight
        pattern = weight * pattern + (1 - weight**2).sqrt() * pattern.roll(length // 2, dim)
    return pattern


def _jaw(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Where a beard grows, and how early: 0 to 1 at a distance x from the middle of the face."""
    chin = smooth(-z, -0.684, -0.648) * smooth(z, 0.585, 0.600) * smooth(-y, 0.035, 0.055)
    sideburns = smooth(x, 0.048, 0.067) * smooth(-z, -0.728, -0.692) * smooth(-y, 0.045, 0.055)
    bare = 0.5 * torch.exp(-((x / 0.012) ** 2 + ((z - 0.645) / 0.005) ** 2))
    return (chin + sideburns * smooth(y, -0.105, -0.085)) * (1 - bare)


@lru_cache(maxsize=2)
def _ground(shrink: int) -> _Ground:
    place, masks = atlas_at("cpu", shrink)
    x, y, z = (a.contiguous() for a in (place[..., 0].abs(), place[..., 1], place[..., 2]))
    rng = np.random.default_rng(0)
    height, width = x.shape
    soft = noise(height, width, 8, rng, 2)
    angle = torch.atan2(place[..., 0], y + 0.02) * 60

    def spot(at_x: float, at_z: float, wide: float, high: float) -> Tensor:
        """A soft spot on both sides of the front of the face."""
        return torch.exp(-(((x - at_x) / wide) ** 2 + ((z - at_z) / high) ** 2)) * (y < -0.07)

    fine = torch.from_numpy(rng.standard_normal((1, 1, height, width))).float()
    return _Ground(
        place=place,
        x=x,
        y=y,
        z=z,
        masks=masks.permute(2, 0, 1).contiguous(),
        fine=F.avg_pool2d(fine, 3, 1, 1)[0, 0],
        blotches=_endless(noise(height, width, 48 // shrink, rng, 4)),
        strands=0.5 * torch.sin(angle + 6 * soft) + 0.3 * torch.sin(2.3 * angle + 9 * soft),
        blood=0.9 * spot(0.042, 0.688, 0.020, 0.018)
        + 0.8 * spot(0, 0.69, 0.016, 0.014)
        + 0.25 * spot(0, 0.63, 0.02, 0.015)
        + 0.5 * masks[..., EARS],
        under_eyes=spot(0.031, 0.7185, 0.016, 0.006),
        lids=spot(0.031, 0.7375, 0.017, 0.006),
        freckled=(spot(0.035, 0.695, 0.03, 0.02) + spot(0, 0.70, 0.02, 0.02)).clamp(0, 1),
        jaw=_jaw(x, y, z) * (1 - masks[..., LIPS] - masks[..., EARS]).clamp(min=0),
        moustache=torch.exp(-(((z - 0.6755) / 0.0062) ** 4)) * smooth(-x, -0.034, -0.026) * (y < -0.1),
        brows=((y < -0.1) & ((z - 0.751).abs() < 0.016) & (x < 0.062)).nonzero(as_tuple=True),
    )


class _Canvas:
    """The texels while a person is painted: the ground, this person's noise and the colour (3, h, w) so far."""

    def __init__(self, person: Identity, shrink: int) -> None:
        self.person, self.ground, self.shrink = person, _ground(shrink), shrink
        self.rng = np.random.default_rng(person.seed)
        self.fine, self.blotches = self.own(self.ground.fine), self.own(self.ground.blotches)
        skin = _rgb(person.skin)[:, None, None]
        self.colour = skin * (1 + 0.05 * self.blotches + 0.075 * self.fine)

    def own(self, pattern: Tensor) -> Tensor:
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


def _rgb(colour: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(colour, dtype=np.float32))


def _skin(c: _Canvas) -> None:
    person, g = c.person, c.ground
    blush = (0.5 + 0.5 * c.rng.random()) * (1 - 0.6 * person.skin_tone)
    c.darken((-0.10 * blush, 0.16 * blush, 0.14 * blush), g.blood)
    rings = 0.25 + 0.4 * person.old
    c.darken((0.22 * rings, 0.30 * rings, 0.25 * rings), g.under_eyes)
    c.darken((0.12, 0.20, 0.18), g.masks[EYELIDS])
    if person.eye_shadow is not None:
        strength, tint = float(person.eye_shadow[0]), _rgb(person.eye_shadow[1:])
        c.cover(c.colour * tint[:, None, None], g.lids * strength)
    if person.freckles:
        c.darken((0.3, 0.42, 0.5), ((c.own(g.fine) - 0.62) * 5).clamp(0, 1) * g.freckled)
    natural = c.colour * (torch.tensor([0.92, 0.60, 0.58]) * person.lip_tone**0.3)[:, None, None]
    lips = torch.lerp(natural, _rgb(person.lip_colour)[:, None, None], person.lipstick)
    c.cover(lips, g.masks[LIPS] * 0.9)
    c.colour *= 1 - 0.5 * person.old * _resting_wrinkles(c.shrink)


def _beard(c: _Canvas) -> None:
    person, g = c.person, c.ground
    # a beard's edge lies higher on the cheeks, and is sharper, the fuller the beard is
    ragged = g.jaw * (1 + 0.10 * c.blotches + 0.25 * c.fine)
    grown = smooth(ragged, 0.45 * (1 - person.beard), 0.9 - 0.6 * person.beard) + g.moustache * person.moustache
    amount = grown.clamp(0, 1) * (1 - g.masks[LIPS]) * (person.beard**0.8 + 0.25 * c.fine + 0.05 * c.blotches)
    # beards are darker than the hair of the head and redder, where that has a colour
    hair = _rgb(person.hair_colour)
    redder = 1 - (1 - hair.amin() / hair.amax()) * torch.tensor([0.0, 0.28, 0.40])
    hairs = (0.8 * hair * redder)[:, None, None] * (1 + 0.3 * c.fine) + 0.008
    c.cover(hairs, amount)


def _along_brow(x: Tensor) -> Tensor:
    """0 at the brow's end at the nose, 1 at that at the temple."""
    return (x - BROW_ENDS[0]) / (BROW_ENDS[1] - BROW_ENDS[0])


def brow_height(x: Tensor) -> Tensor:
    """Height of the brow's middle line on the template head, `x` metres from the middle of the face."""
    t = _along_brow(x).clamp(0, 1)
    return 0.7485 + 0.0065 * torch.sin(t * 2.3) - 0.0035 * t**2


def _brows(c: _Canvas) -> None:
    person, g = c.person, c.ground
    row, column = g.brows
    x, z = g.x[row, column], g.z[row, column]
    along = _along_brow(x)
    t = along.clamp(0, 1)
    half = (0.0042 * person.brow_width * (1 - 0.55 * t**2) * smooth(x, 0.008, 0.014)).clamp(min=1e-4)
    # hairs lean outwards, the more the further from the nose
    cells = torch.from_numpy(c.rng.standard_normal((1, 1, 6, 96))).float()
    across = (z - brow_height(x)) / half.clamp(min=1e-3)
    at = torch.stack([along * 2 - 1 - (0.06 + 0.25 * t) * across * half / 0.004, across / 2], -1)[None, None]
    hairs = F.grid_sample(cells, at, mode="bilinear", align_corners=False, padding_mode="reflection")[0, 0, 0]
    amount = torch.exp(-(across.abs() ** 2.5)) * smooth(along, -0.05, 0.10) * smooth(-along, -1.05, -0.80)
    amount = (amount * (0.95 * person.brow_density + 0.22 * hairs)).clamp(0, 0.97)
    below = c.colour[:, row, column]
    c.colour[:, row, column] = torch.lerp(below, _rgb(person.brow_colour)[:, None].expand_as(below), amount)


def _scalp(c: _Canvas) -> None:
    person, g = c.person, c.ground
    ragged = 0.0016 * c.blotches + 0.004 * c.fine
    amount = hair_mask(g.place, person, ragged) * (1 - g.masks[EARS])
    amount = amount * {"bald": 0.10, "buzz": 0.8}.get(person.hairstyle, 1.0)
    colour = (_rgb(person.hair_colour)[:, None, None] * (1 + 0.14 * c.blotches + 0.22 * g.strands)).clamp(0.008, 1)
    c.cover(colour, amount * (1 + 0.12 * c.fine + 0.15 * g.strands))


def paint(person: Identity, shrink: int) -> Tensor:
    """Paint a person's atlas.

    Args:
        person: who.
        shrink: divide each side of the atlas by this; 2 is enough for pictures of up to about 80 px.

    Returns:
        (7, h, w): linear colour and the channels of the wrinkles.
    """
    c = _Canvas(person, shrink)
    _skin(c)
    if person.beard > 0:
        _beard(c)
    _brows(c)
    _scalp(c)
    return torch.cat([c.colour.clamp(0.004, 1), wrinkle_maps(shrink)])


def matte(place: Tensor, person: Identity) -> Tensor:
    """(V,) 0 to 1: how much hair of brows and beard keeps the skin at `place` (V, 3) from shining."""
    x, y, z = place[:, 0].abs(), place[:, 1], place[:, 2]
    brow = torch.exp(-(((z - brow_height(x)) / 0.006) ** 4)) * smooth(x, 0.006, 0.012) * smooth(-x, -0.060, -0.050)
    return torch.maximum(brow * (y < -0.1) * person.brow_density, _jaw(x, y, z) * person.beard).clamp(0, 1)


def tooth_colour(place: Tensor, edge: float) -> Tensor:
    """(N, 3) colour of the teeth at `place` (N, 3) on the template head, darker towards `edge`, where they end."""
    x, y, z = place[:, :1].abs(), place[:, 1:2], place[:, 2:]
    ends = torch.tensor([UPPER_TEETH, LOWER_TEETH], device=place.device).cumsum(1)
    apart = (x - ends[(z[:, 0] < TEETH_MEET).long()]).abs().amin(1, keepdim=True)
    between = torch.exp(-((torch.minimum(apart, x) / 0.0005) ** 2))
    shade = (0.25 + 0.75 * ((edge - y) / 0.014).clamp(0, 1)) * (1 - 0.4 * between)
    return torch.tensor([0.70, 0.655, 0.58], device=place.device) * shade


def eyeball(place: Tensor, person: Identity) -> Tensor:
    """(N, 3) colour of the eye at `place` (N, 3), metres from its centre on the template head, -y straight ahead."""
    direction = F.normalize(place, dim=-1)
    angle = torch.acos((-direction[:, 1]).clamp(-1, 1))[:, None]
    round_ = torch.atan2(direction[:, 2], direction[:, 0])[:, None]
    spokes = 1 + 0.10 * torch.sin(17 * round_ + 9 * angle) + 0.10 * torch.sin(29 * round_ + 2 * torch.sin(5 * round_))
    # light from above gathers in the lower half of the iris
    lit = 0.85 + 0.5 * smooth(-direction[:, 2:], -0.1, 0.35)
    iris = _rgb(person.eye_colour).to(place.device) * spokes * lit * (1.15 - 0.55 * smooth(angle, 0.25, 0.42))
    white = torch.tensor([0.62, 0.56, 0.53], device=place.device)
    red = torch.tensor([1.0, 0.72, 0.68], device=place.device)
    white = white * torch.lerp(torch.ones_like(red), red, smooth(place[:, :1].abs(), 0.006, 0.012))
    colour = torch.lerp(iris, white, smooth(angle, 0.40, 0.46))
    colour = colour * (1 - 0.6 * torch.exp(-(((angle - 0.42) / 0.04) ** 2)))  # the dark ring round the iris
    colour = torch.lerp(torch.full_like(colour, 0.006), colour, smooth(angle, 0.18, 0.21))
    up = place[:, 2:]
    lids = (0.30 + 0.70 * smooth(-up, -0.0062, -0.0005)) * (0.7 + 0.3 * smooth(up, -0.0065, -0.003))
    return colour * lids * (1 - 0.4 * smooth(place[:, :1].abs(), 0.007, 0.0115))


def atlas_shrink(size: int, supersample: int) -> int:
    """How much smaller an atlas serves a picture of `size` px without a visible loss."""
    return 2 if size * supersample <= 160 else 1
