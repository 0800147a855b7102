"""What every occluder has in common: what it gives, and how a surface that is not the face is lit."""

from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dferlib.makefaces.raster import tone_map
from dferlib.makefaces.render import Actor
from dferlib.makefaces.scene import Scene


class Overlay(NamedTuple):
    """What comes over F frames: `frames * (1 - shadow) * (1 - hidden) + paint`."""

    paint: Tensor  # (F, 3, S, S) sRGB, already multiplied by `hidden`
    hidden: Tensor  # (F, S, S) how much of each pixel it hides, 0 to 1
    shadow: Tensor  # (F, S, S) how much it darkens what is behind, 0 to 1


class Occluder(Protocol):
    """Something in front of the face, drawn once for a clip."""

    @property
    def kind(self) -> str:
        """One of `KINDS`."""

    def draw(self, actor: Actor, pose: np.ndarray, scene: Scene) -> Overlay:
        """Draw it in F frames in which the head has `pose` (F, 3)."""


def to_tensor(array: np.ndarray | tuple[float, ...], device: str) -> Tensor:
    """The numbers as float32 on a device."""
    return torch.from_numpy(np.asarray(array, dtype=np.float32)).to(device)


def diffuse_light(normal: Tensor, frame: Tensor, scene: Scene, wrap: float) -> Tensor:
    """(K, 3) linear light that falls on surfaces with unit normals (K, 3) in frames (K,): sky and lamps, wrapped."""
    device = str(normal.device)
    light = to_tensor(scene.ambient, device) * (0.6 + 0.4 * normal[:, 2:])
    factors = to_tensor(scene.light, device)[frame]
    for lamp, factor in zip(scene.lamps, factors.unbind(1), strict=True):
        facing = normal @ F.normalize(to_tensor(lamp.direction, device), dim=0)
        light = light + (((facing + wrap) / (1 + wrap)).clamp(min=0) * factor)[:, None] * to_tensor(lamp.colour, device)
    return light


def shade_flat(colours: list[np.ndarray], frames: int, scene: Scene, device: str) -> list[Tensor]:
    """(F, 3, 1, 1) sRGB of things of these reflectances that face the camera and a little upwards."""
    normal = F.normalize(torch.tensor([[0.0, -0.9, 0.45]], device=device), dim=1).expand(frames, 3)
    light = diffuse_light(normal, torch.arange(frames, device=device), scene, 0.4)
    reflectances = to_tensor(np.stack(colours), device)[:, None]
    return list(tone_map(reflectances * light, scene.exposure)[..., None, None].unbind(0))


def pixel_centres(rows: range, columns: range, device: str) -> tuple[Tensor, Tensor]:
    """Where the middles of pixels lie, in pixels: x (1, 1, w) and y (1, h, 1)."""
    x = torch.arange(columns.start, columns.stop, device=device) + 0.5
    y = torch.arange(rows.start, rows.stop, device=device) + 0.5
    return x[None, None, :], y[None, :, None]


def visible_range(values: Tensor, margin: float, size: int) -> range:
    """The rows or columns of the frame that hold all `values` and a margin; empty when they are outside."""
    low = min(max(int(np.floor(float(values.min()) - margin)), 0), size)
    return range(low, max(low, min(int(np.ceil(float(values.max()) + margin)), size)))
