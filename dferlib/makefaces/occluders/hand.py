"""A hand that comes before the face, rests there and goes."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dferlib.makefaces.occluders.hand_sprite import (
    ALPHA,
    BOTTOM,
    LEFT,
    NAIL,
    NORMAL,
    POSES,
    RIGHT,
    SHADOW,
    TONE,
    TOP,
    hand_sprite,
)
from dferlib.makefaces.occluders.overlay import Overlay, diffuse_light, pixel_centres, to_tensor
from dferlib.makefaces.raster import tone_map
from dferlib.makefaces.render import Actor
from dferlib.makefaces.scene import CAMERA_DISTANCE, Scene

HAND_PLACES = ("cheek", "mouth", "brow")
SPRITE_WIDTH = 0.16  # metres of a hand across as many pixels as the frame has: about as fine as it will be shown
AWAY = 0.26  # metres that a hand is drawn back when it is out of the frame


@dataclass(frozen=True)
class Hand:
    """A hand that comes before the face, rests there and goes.

    Attributes:
        place: which part of the face it covers, one of `HAND_PLACES`.
        side: -1 from the left of the frame, 1 from the right.
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
        """(F,) 0 where the hand is away, 1 where it rests; in between it moves as arms do, with the least jerk."""
        t = np.linspace(0, 1, frames)
        here = np.minimum((t - self.arrives) / self.takes, (self.leaves + self.takes - t) / self.takes).clip(0, 1)
        return here**3 * (10 - 15 * here + 6 * here**2)

    def draw(self, actor: Actor, pose: np.ndarray, scene: Scene) -> Overlay:
        """Draw the hand in F frames."""
        frames, size, device = len(pose), actor.size, actor.device
        here = self.presence(frames)
        paint = torch.zeros(frames, 3, size, size, device=device)
        hidden, shadow = (torch.zeros(frames, size, size, device=device) for _ in range(2))
        seen = np.flatnonzero(here > 0.02)
        if not len(seen):
            return Overlay(paint, hidden, shadow)
        contact = actor.place(self.contact[None], pose, scene)[seen, 0]
        metre = scene.half_width * actor.scale * contact[:, 2] / (CAMERA_DISTANCE * size / 2)  # metres to a pixel
        sprite = hand_sprite(self.pose, SPRITE_WIDTH / size).to(device)
        coordinates = self._sprite_coordinates(contact, metre, here[seen], size)
        cut = F.grid_sample(sprite.expand(len(seen), -1, -1, -1), coordinates, align_corners=False)
        which = torch.from_numpy(seen).to(device)
        hidden[which], shadow[which] = cut[:, ALPHA].clamp(0, 1), 0.4 * cut[:, SHADOW].clamp(0, 1)
        frame, row, column = (cut[:, ALPHA] > 1e-3).nonzero(as_tuple=True)
        surface = cut[frame, :, row, column]
        alpha = surface[:, :1]
        colour = self._shade(surface / alpha, which[frame], scene)
        paint[which[frame], :, row, column] = colour * alpha.clamp(max=1)
        return Overlay(paint, hidden, shadow)

    def _sprite_coordinates(self, contact: Tensor, metre: Tensor, here: np.ndarray, size: int) -> Tensor:
        """(F, S, S, 2) the place of each pixel on the sprite, in the units of grid_sample."""
        device = str(contact.device)
        x, y = pixel_centres(range(size), range(size), device)
        away = to_tensor(AWAY * (1 - here), device)[:, None, None]
        metre = metre[:, None, None]
        right = (x - contact[:, 0, None, None]) * metre * -self.side
        up = (contact[:, 1, None, None] - y) * metre
        cos, sin = float(np.cos(self.angle)), float(np.sin(self.angle))
        across = (cos * right - sin * up) / self.scale + self.touch[0]
        along = (sin * right + cos * up + away) / self.scale + self.touch[1]
        u = (across - LEFT) / (RIGHT - LEFT) * 2 - 1
        v = (TOP - along) / (TOP - BOTTOM) * 2 - 1
        return torch.stack([u, v], -1)

    def _shade(self, surface: Tensor, frame: Tensor, scene: Scene) -> Tensor:
        """(K, 3) sRGB of the points of a hand with sprite channels (K, 7)."""
        device = str(surface.device)
        nx, ny, nz = F.normalize(surface[:, NORMAL], dim=1).unbind(1)
        cos, sin = float(np.cos(self.angle)), float(np.sin(self.angle))
        right, up = (cos * nx + sin * ny) * -self.side, cos * ny - sin * nx
        light = diffuse_light(torch.stack([right, -nz, up], 1), frame, scene, 0.25)
        skin = to_tensor(self.skin, device)
        nail = 0.55 * skin + 0.45 * torch.tensor([0.62, 0.40, 0.36], device=device)
        reflected = torch.lerp(skin.expand_as(light), nail.expand_as(light), surface[:, NAIL, None])
        return tone_map(reflected * surface[:, TONE, None] * light, scene.exposure)


def sample_hand(actor: Actor, rng: np.random.Generator) -> Hand:
    """Draw a hand in the person's skin, the part of the face that it covers, and when it comes and goes."""
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
    contact = contact + to_tensor(rng.normal(0, 0.004, 3) * (1, 0, 1), actor.device)
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
