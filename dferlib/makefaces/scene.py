"""Everything about a clip's frames that is not the person: lamps, background, exposure and framing."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dferlib.makefaces.patterns import value_noise

CAMERA_DISTANCE = 1.1  # metres from the face
LARGEST_MISS = 0.02  # metres: eyes and mouth stay inside the frame
SUPERSAMPLE = 2  # samples along each side of a pixel
BLOTS = (0.06, 1.0)  # of the background's pattern: how large, in sides of the frame


@dataclass(frozen=True)
class Light:
    """One lamp far away, or the sky when `direction` is None. Colours are linear RGB."""

    direction: tuple[float, float, float]
    colour: tuple[float, float, float]


@dataclass(frozen=True)
class Scene:
    """Everything about a clip's frames that is not the person.

    Attributes:
        ambient: linear RGB of the light from everywhere.
        lamps: key, fill and rim light.
        exposure: factor before the tone curve.
        background: (S, S, 3) linear RGB at the sample resolution, or None for grey.
        half_width: half the width of the frame at the face, in metres, for a face of average size.
        offset: (F, 2) how far the crop misses the middle of the face, right and up, in metres.
        light: (F, L) factor on each lamp in each frame; ones where the light does not change.
    """

    ambient: tuple[float, float, float]
    lamps: tuple[Light, ...]
    exposure: float
    background: Tensor | None
    half_width: float
    offset: np.ndarray
    light: np.ndarray


def sample_scene(
    rng: np.random.Generator, frames: int, size: int, half_width: float, misaligned: float, flicker: float = 0.0
) -> Scene:
    """Draw light, background and framing.

    Args:
        rng: the source of every draw.
        frames: F.
        size: side of the frame in pixels.
        half_width: half the width of the frame at the face, metres; varies by about a tenth.
        misaligned: spread of the crop's error in metres; a fifth of it changes from frame to frame.
        flicker: how much the light of each lamp changes in the clip, 0 to 1: slow waves that neither begin nor end.
    """
    azimuth, height, power, warm = (
        rng.uniform(-1.1, 1.1),
        rng.uniform(0.1, 0.9),
        rng.uniform(0.7, 1.25),
        rng.uniform(-0.08, 0.08),
    )
    key = (np.sin(azimuth) * np.cos(height), -np.cos(azimuth) * np.cos(height), np.sin(height))
    other = -np.sign(azimuth) * rng.uniform(0.5, 1.3)
    lamps = (
        Light(key, tuple(power * np.array([1 + warm, 1, 1 - warm]))),
        Light((np.sin(other), -np.cos(other), 0.1), tuple(rng.uniform(0.4, 1.2) * np.array([0.30, 0.31, 0.33]))),
        Light((rng.choice([-1, 1]) * 0.8, 0.7, 0.5), tuple(rng.uniform(0, 1) * np.array([0.3, 0.3, 0.3]))),
    )
    wander = np.cumsum(rng.normal(0, misaligned / 5, (frames, 2)), 0)
    t = np.linspace(0, 1, frames)[:, None]
    waves = np.sin(t * rng.uniform(1, 9, len(lamps)) + rng.uniform(0, 6, len(lamps)))
    return Scene(
        ambient=tuple(rng.uniform(0.7, 1.3) * np.array([0.26, 0.27, 0.29])),
        lamps=lamps,
        exposure=rng.uniform(0.85, 1.15),
        background=_background(size * SUPERSAMPLE, rng),
        half_width=half_width * rng.uniform(0.92, 1.12),
        offset=np.clip(rng.normal(0, misaligned, 2) + wander - wander.mean(0), -LARGEST_MISS, LARGEST_MISS),
        light=1 + flicker * rng.uniform(0.3, 1, len(lamps)) * waves,
    )


def _background(samples: int, rng: np.random.Generator) -> Tensor:
    """(samples, samples, 3): two muted colours that flow into each other, softly or in blots, as walls and rooms do."""
    colours = []
    for _ in range(2):
        grey = rng.uniform(0.03, 0.8)
        colours.append(torch.from_numpy(grey + (rng.uniform(0.02, 0.6, 3) - grey) * 0.35).float())
    cells = round(samples * np.exp(rng.uniform(*np.log(BLOTS))))
    pattern = value_noise(samples, samples, max(2, cells), rng, 2) * rng.uniform(0.3, 4.0)
    pattern = torch.sigmoid(pattern + torch.linspace(-1, 1, samples)[:, None] * rng.uniform(-1, 1))
    return torch.lerp(
        colours[0].expand(samples, samples, 3), colours[1].expand(samples, samples, 3), pattern[..., None]
    )
