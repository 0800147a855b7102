"""The light in a face: figures of the grey values of an aligned frame.

Every measure is taken where the template has the part, so that photographs and rendered frames are measured alike.
"""

import numpy as np
from matplotlib.path import Path as Outline

from dferlib.video.faces.aligning import template

SIDE = 64  # pixels of the frames that are measured
BANDS = ((2, 4), (4, 8), (8, 16), (16, 30))  # cycles in the width of the frame
MEASURES = (
    "mean",
    "standard deviation",
    "5th percentile",
    "95th percentile",
    "gradient, mean",
    "gradient, 95th percentile",
    *(f"power at {low} to {high} cycles (log10)" for low, high in BANDS),
    "darkest twentieth of the brows",
    "darkest twentieth of the eyes",
    "darkest twentieth of the nostrils",
    "darkest twentieth of the lips",
    "red over green",
    "blue over green",
    "spread of the whole frame",
)
_BROWS, _EYES, _NOSTRILS, _LIPS = slice(17, 27), slice(36, 48), slice(31, 36), slice(48, 60)
_MARGIN = 0.02  # sides of the frame, round the box of a part
_OUTLINE = (*range(17), *range(26, 16, -1))


def light_measures(frames: np.ndarray) -> np.ndarray:
    """Measure the light of faces.

    Args:
        frames: (N, SIDE, SIDE, 3) uint8, aligned to the template of MakeFaces.

    Returns:
        (N, len(MEASURES)): grey values from 0 to 255 inside the outline of the face where no other place is named.
    """
    return np.stack([_of_one(frame.astype(np.float64)) for frame in frames])


def _of_one(frame: np.ndarray) -> np.ndarray:
    grey, inside = frame @ (0.299, 0.587, 0.114), _face()
    face = grey[inside]
    steps = np.hypot(*np.gradient(grey))[inside]
    red, green, blue = frame[inside].mean(0)
    darkest = [np.percentile(grey[_box(part)], 5) for part in (_BROWS, _EYES, _NOSTRILS, _LIPS)]
    return np.array(
        [
            face.mean(),
            face.std(),
            *np.percentile(face, (5, 95)),
            steps.mean(),
            np.percentile(steps, 95),
            *_powers(grey),
            *darkest,
            red / green,
            blue / green,
            grey.std(),
        ]
    )


def _powers(grey: np.ndarray) -> list[float]:
    """log10 of the mean power in each of `BANDS`, under a window that hides the frame's edges."""
    window = np.hanning(SIDE)
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window[:, None] * window)) ** 2
    cycles = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIDE) * SIDE] * 2))
    return [float(np.log10(1e-9 + power[(cycles >= low) & (cycles < high)].mean())) for low, high in BANDS]


def _face() -> np.ndarray:
    """(SIDE, SIDE) bool: the pixels inside the outline of the template."""
    centres = (np.stack(np.meshgrid(*[np.arange(SIDE)] * 2), -1).reshape(-1, 2) + 0.5) / SIDE
    return Outline(template()[list(_OUTLINE)]).contains_points(centres).reshape(SIDE, SIDE)


def _box(part: slice) -> tuple[slice, slice]:
    """Rows and columns of the box round a part of the template."""
    (left, top), (right, bottom) = template()[part].min(0) - _MARGIN, template()[part].max(0) + _MARGIN
    rows, columns = ((round(a * SIDE), round(b * SIDE) + 1) for a, b in ((top, bottom), (left, right)))
    return slice(*rows), slice(*columns)
