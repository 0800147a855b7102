"""Painting a person's skin: colour, lips, brows, beard, hair line and the wrinkles that expressions fold.

Everything is painted on the atlas by where a texel lies on the template head (x sideways, y in depth, z up, metres),
so the same lines serve every shape of face. Numbers in this file are places on that head.
"""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dferlib.data.makefaces.assets import EARS, EYELIDS, LIPS, atlas_at
from dferlib.data.makefaces.identity import Identity

RED, GREEN, BLUE, HAIR, LIP, FIRST_WRINKLE = range(6)
WRINKLES = ("forehead", "glabella", "crow", "nasolabial", "nose")


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


def hair_mask(place: Tensor, person: Identity) -> Tensor:
    """How hairy the scalp is at each place (..., 3), 0 to 1: above a hair line that runs round the head."""
    y, z = place[..., 1], place[..., 2]
    depth = [-0.20, -0.125, -0.105, -0.090, -0.076, -0.060, -0.052, -0.044, -0.034, -0.020, 0.0, 0.03, 0.08]
    top = 0.798 + person.hairline
    receding = 0.020 * person.old if person.male else 0.0
    height = [top + receding, top + receding, top - 0.006 + receding * 1.3, top - 0.022 + receding]
    height += [0.752, 0.722, 0.708] if person.male else [0.752, 0.728, 0.722]
    height += [0.715, 0.742, 0.735, 0.690, 0.660, 0.655]
    line = torch.full_like(y, height[0])
    for y0, y1, z0, z1 in zip(depth, depth[1:], height, height[1:], strict=False):
        line = torch.where(y >= y0, z0 + (z1 - z0) * ((y - y0) / (y1 - y0)).clamp(0, 1), line)
    ragged = 0.0015 * torch.sin(place[..., 0] * 230 + person.seed % 7 + 3 * torch.sin(y * 140))
    ragged = ragged + 0.001 * torch.sin(place[..., 0] * 510 + y * 300)
    return smooth(z - line - ragged, -0.007, 0.009)


@lru_cache(maxsize=4)
def wrinkle_maps(device: str, shrink: int) -> Tensor:
    """(h, w, 5) where each of `WRINKLES` darkens the skin."""
    place, _ = atlas_at(device, shrink)
    x, y, z = place[..., 0].abs(), place[..., 1], place[..., 2]

    def line(distance: Tensor, width: float) -> Tensor:
        return torch.exp(-((distance / width) ** 2))

    forehead = sum(
        line(z - h - 0.0022 * torch.cos(x * 110 + k), 0.0014) * (0.75 + 0.25 * torch.cos(x * 210 + 2 * k))
        for k, h in enumerate((0.766, 0.7745, 0.783))
    ) * smooth(-x, -0.042, -0.012)
    glabella = line(x - 0.0065, 0.0013) * torch.exp(-(((z - 0.751) / 0.009) ** 4))
    crow = sum(line(z - h - slope * (x - 0.05), 0.0009) for h, slope in ((0.733, 0.25), (0.7285, 0.0), (0.724, -0.3)))
    crow = crow * smooth(x, 0.047, 0.051) * smooth(-x, -0.064, -0.058) * (y < -0.08)
    fold = 0.0205 + 0.016 * ((0.690 - z) / 0.045).clamp(0, 1)
    nasolabial = line(x - fold, 0.0028) * smooth(z, 0.642, 0.655) * smooth(-z, -0.694, -0.684)
    nose = (
        sum(line(z - h - 0.12 * x, 0.0010) for h in (0.724, 0.7295, 0.735)) * smooth(-x, -0.016, -0.009) * (y < -0.12)
    )
    front = y < -0.1
    return torch.stack([forehead * front, glabella * front, crow, nasolabial * front, nose], -1).clamp(0, 1)


def wrinkle_strengths(actions: Tensor, index: dict[str, int]) -> Tensor:
    """(T, 5) how deep each of `WRINKLES` is when the face shapes have the weights `actions` (T, 52)."""

    def total(*names: str) -> Tensor:
        return actions[:, [index[name] for name in names]].sum(1)

    smile = total("mouthSmileLeft", "mouthSmileRight")
    sneer = total("noseSneerLeft", "noseSneerRight")
    forehead = 0.5 * total("browInnerUp") + 0.25 * total("browOuterUpLeft", "browOuterUpRight")
    glabella = 0.5 * total("browDownLeft", "browDownRight")
    crow = 0.35 * total("cheekSquintLeft", "cheekSquintRight") + 0.15 * total("eyeSquintLeft", "eyeSquintRight")
    nasolabial = 0.35 * smile + 0.3 * sneer + 0.15 * total("mouthUpperUpLeft", "mouthUpperUpRight")
    return torch.stack([forehead, glabella, crow, nasolabial, 0.55 * sneer], 1).clamp(0, 1)


class _Canvas:
    """The texels while a person is painted: places, masks, noise and the colour so far."""

    def __init__(self, person: Identity, shrink: int) -> None:
        self.person = person
        self.rng = np.random.default_rng(person.seed)
        place, self.masks = atlas_at("cpu", shrink)
        self.place = place
        self.x, self.y, self.z = place[..., 0].abs(), place[..., 1], place[..., 2]
        self.height, self.width = self.x.shape
        self.shrink = shrink
        fine = torch.from_numpy(self.rng.standard_normal(self.x.shape)).float()
        self.fine = F.avg_pool2d(fine[None, None], 3, 1, 1)[0, 0]
        self.colour = _rgb(person.skin).expand(*self.x.shape, 3).clone()

    def spot(self, x: float, z: float, wide: float, high: float) -> Tensor:
        """A soft spot on both sides of the front of the face."""
        return torch.exp(-(((self.x - x) / wide) ** 2 + ((self.z - z) / high) ** 2)) * (self.y < -0.07)

    def cover(self, colour: Tensor, amount: Tensor) -> None:
        self.colour = torch.lerp(self.colour, colour.expand_as(self.colour), amount[..., None].clamp(0, 1))

    def darken(self, rgb: tuple[float, float, float], amount: Tensor) -> None:
        self.colour = self.colour * (1 - torch.tensor(rgb) * amount[..., None])


def _rgb(colour: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(colour, dtype=np.float32))


def _skin(c: _Canvas) -> None:
    person, rng = c.person, c.rng
    c.colour *= (1 + 0.05 * noise(c.height, c.width, 48 // c.shrink, rng, 4) + 0.06 * c.fine)[..., None]
    blood = 0.9 * c.spot(0.042, 0.688, 0.020, 0.018) + 0.8 * c.spot(0, 0.69, 0.016, 0.014)
    blood = blood + 0.25 * c.spot(0, 0.63, 0.02, 0.015) + 0.5 * c.masks[..., EARS]
    blood = blood * (0.5 + 0.5 * rng.random()) * (1 - 0.6 * person.skin_tone)
    c.colour *= 1 + torch.tensor([0.10, -0.16, -0.14]) * blood[..., None]
    c.darken((0.22, 0.30, 0.25), c.spot(0.031, 0.7185, 0.016, 0.006) * (0.25 + 0.4 * person.old))
    c.darken((0.12, 0.20, 0.18), c.masks[..., EYELIDS])
    if person.eye_shadow is not None:
        strength, tint = float(person.eye_shadow[0]), _rgb(person.eye_shadow[1:])
        c.cover(c.colour * tint, c.spot(0.031, 0.7375, 0.017, 0.006) * strength)
    if person.freckles:
        dots = torch.from_numpy(rng.random(c.x.shape) > 0.985).float()
        dots = (F.avg_pool2d(dots[None, None], 3, 1, 1)[0, 0] * 4).clamp(0, 1)
        c.darken((0.3, 0.42, 0.5), dots * (c.spot(0.035, 0.695, 0.03, 0.02) + c.spot(0, 0.70, 0.02, 0.02)).clamp(0, 1))
    lips = c.colour * torch.tensor([0.92, 0.60, 0.58]) * person.lip_tone**0.3
    lips = torch.lerp(lips, _rgb(person.lip_colour).expand_as(lips), person.lipstick)
    c.cover(lips, c.masks[..., LIPS] * 0.9)
    forehead, _, crow, nasolabial, _ = wrinkle_maps("cpu", c.shrink).unbind(-1)
    c.colour *= (1 - person.old * (0.14 * nasolabial + 0.08 * forehead + 0.12 * crow))[..., None]


def _beard(c: _Canvas) -> None:
    person, lips = c.person, c.masks[..., LIPS]
    jaw = smooth(-c.z, -0.676, -0.645) * smooth(c.z, 0.585, 0.600) * smooth(-c.y, 0.035, 0.055)
    sideburns = smooth(c.x, 0.052, 0.062) * smooth(-c.z, -0.715, -0.70) * smooth(-c.y, 0.045, 0.055)
    jaw = (jaw + sideburns * smooth(c.y, -0.105, -0.085)) * (1 - lips)
    above_lip = torch.exp(-(((c.z - 0.6755) / 0.0062) ** 4)) * smooth(-c.x, -0.034, -0.026) * (c.y < -0.1)
    bare_chin = 1 - 0.7 * torch.exp(-((c.x / 0.012) ** 2 + ((c.z - 0.645) / 0.005) ** 2))
    amount = ((jaw * bare_chin).clamp(0, 1) + above_lip * person.moustache).clamp(0, 1)
    amount = amount * person.beard * (0.8 + 0.35 * c.fine).clamp(0, 1) * (1 - lips)
    c.cover(_rgb(person.hair_colour) * 0.8 + 0.01, amount)


def _brows(c: _Canvas) -> None:
    person = c.person
    along = (c.x - 0.011) / (0.054 - 0.011)  # 0 at the nose, 1 at the temple
    t = along.clamp(0, 1)
    arch = 0.7485 + 0.0065 * torch.sin(t * 2.3) - 0.0035 * t**2
    half = (0.0042 * person.brow_width * (1 - 0.55 * t**2) * smooth(c.x, 0.008, 0.014)).clamp(min=1e-4)
    hairs = torch.from_numpy(c.rng.standard_normal(c.x.shape)).float()
    hairs = F.avg_pool2d(hairs[None, None], (1, 5), 1, (0, 2))[0, 0]
    amount = (
        torch.exp(-(((c.z - arch) / half).abs() ** 2.5)) * smooth(along, -0.05, 0.08) * smooth(-along, -1.05, -0.85)
    )
    amount = (amount * (c.y < -0.1) * (person.brow_density + 0.35 * hairs)).clamp(0, 0.97)
    dark = 0.75 if person.hair_colour[0] < 0.3 else 0.5
    c.cover(_rgb(person.hair_colour) * dark, amount)


def _scalp(c: _Canvas) -> Tensor:
    person = c.person
    amount = hair_mask(c.place, person) * {"bald": 0.10, "buzz": 0.8}.get(person.hairstyle, 1.0)
    soft = noise(c.height, c.width, 8, c.rng, 2)
    angle = torch.atan2(c.place[..., 0], c.y + 0.02) * 60
    strands = 0.5 * torch.sin(angle + 6 * soft) + 0.3 * torch.sin(2.3 * angle + 9 * soft)
    colour = (_rgb(person.hair_colour) * (1 + 0.16 * soft + 0.22 * strands)[..., None]).clamp(0.008, 1)
    c.cover(colour, amount * (1 + 0.12 * c.fine + 0.15 * strands))
    return amount


def paint(person: Identity, shrink: int) -> Tensor:
    """Paint a person's atlas.

    Args:
        person: who.
        shrink: divide each side of the atlas by this; 2 is enough for pictures of up to about 80 px.

    Returns:
        (10, h, w): linear colour, how hairy, how much lip, and the five wrinkle maps.
    """
    c = _Canvas(person, shrink)
    _skin(c)
    if person.beard > 0:
        _beard(c)
    _brows(c)
    hairy = _scalp(c)
    layers = [c.colour.clamp(0.004, 1), hairy[..., None], c.masks[..., LIPS : LIPS + 1], wrinkle_maps("cpu", shrink)]
    return torch.cat(layers, -1).permute(2, 0, 1).contiguous()


def eyeball(direction: Tensor, person: Identity) -> Tensor:
    """(N, 3) colour of the eye where it faces `direction` (N, 3), a unit vector from its centre, -y straight ahead."""
    angle = torch.acos((-direction[:, 1]).clamp(-1, 1))[:, None]
    spokes = torch.sin(23 * torch.atan2(direction[:, 2], direction[:, 0]))[:, None]
    iris = _rgb(person.eye_colour).to(direction.device) * (1 + 0.25 * spokes) * (0.75 + 0.9 * angle / 0.42)
    white = torch.tensor([0.78, 0.73, 0.70], device=direction.device) * (1 - 0.18 * smooth(angle, 0.55, 1.0))
    colour = torch.lerp(iris, white, smooth(angle, 0.40, 0.45))
    colour = colour * (1 - 0.55 * torch.exp(-(((angle - 0.415) / 0.03) ** 2)))  # the dark ring round the iris
    return torch.lerp(torch.full_like(colour, 0.006), colour, smooth(angle, 0.15, 0.19))


def atlas_shrink(size: int, supersample: int) -> int:
    """How much smaller an atlas serves a picture of `size` px without a visible loss."""
    return 2 if size * supersample <= 160 else 1
