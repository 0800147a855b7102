"""Cutting a face out of a frame: by the detector's box, or part by part."""

from collections.abc import Mapping

import numpy as np
from PIL import Image

# Side of the crop over the side of dlib's box. MakeFaces centres its faces halfway between eyes and mouth,
# and their side is 2 x 0.085 / 0.0684 = 2.49 times the distance between these. Measured with boxes averaged over 16
# scales: 51 photographs with known eyes and mouth ask for 1.15 +- 0.07, shifted by (-0.01 +- 0.01, 0.00 +- 0.01) boxes;
# 60 faces that MakeFaces rendered twice as wide, for 1.00 +- 0.06, shifted by (-0.01 +- 0.01, 0.00 +- 0.02). The
# photographs decide, because photographs are what this is for; no shift is needed. MakeFaces itself varies by 10 %.
CROP = 1.15

PARTS = {
    "eyes": slice(36, 48),
    "nose": slice(29, 36),
    "mouth": slice(48, 68),
}  # of the 68 landmarks, inside STANER's regions


def cut(frame: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """Cut a face out of a frame as tightly as MakeFaces frames its faces.

    Args:
        frame: RGB uint8 `(H, W, 3)`.
        box: middle x, middle y and side of the detector's box, in pixels of the frame.
        size: side of the result.

    Returns:
        uint8 `(size, size, 3)`. What lies outside of the frame repeats its edge.
    """
    half = CROP * box[2] / 2
    left, top = box[0] - half, box[1] - half
    # the part of the frame that is needed, whole pixels, and how much of it is missing on each side
    x0, y0 = int(np.floor(left)) - 1, int(np.floor(top)) - 1
    x1, y1 = int(np.ceil(left + 2 * half)) + 1, int(np.ceil(top + 2 * half)) + 1
    rows = np.arange(y0, y1).clip(0, frame.shape[0] - 1)
    columns = np.arange(x0, x1).clip(0, frame.shape[1] - 1)
    part = Image.fromarray(np.ascontiguousarray(frame[rows[:, None], columns]))
    region = (left - x0, top - y0, left - x0 + 2 * half, top - y0 + 2 * half)
    return np.asarray(part.resize((size, size), Image.Resampling.BILINEAR, box=region))


def middle_square(frame: np.ndarray) -> np.ndarray:
    """The box `(1, 3)` with which `cut` takes the middle square of a frame `(H, W, 3)` that shows a face already."""
    height, width = frame.shape[:2]
    return np.array([[width / 2, height / 2, min(height, width) / CROP]])


def cut_parts(
    frame: np.ndarray, points: np.ndarray, regions: Mapping[str, tuple[float, float, float, float]]
) -> dict[str, np.ndarray]:
    """Cut eyes, nose and mouth out of an aligned face, each where it is now.

    STANER takes them from fixed places of the face. These have the same sizes and follow the landmarks.

    Args:
        frame: RGB uint8 `(S, S, 3)`, framed as MakeFaces frames its faces.
        points: the 68 landmarks in its pixels, `(68, 2)`.
        regions: how large each part is: top, bottom, left and right of its fixed place, in sides of the face;
            `dferlib.models.staner.REGIONS`.

    Returns:
        "eyes", "nose" and "mouth", uint8 `(h, w, 3)` each, of the sizes of `regions`. What lies outside of the
        frame repeats its edge.
    """
    out = {}
    for name, where in PARTS.items():
        top, bottom, left, right = (round(part * len(frame)) for part in regions[name])
        middle = (points[where].min(0) + points[where].max(0)) / 2
        x, y = (int(np.floor(place)) for place in middle - np.array([right - left, bottom - top]) / 2 + 0.5)
        rows = np.arange(y, y + bottom - top).clip(0, frame.shape[0] - 1)
        columns = np.arange(x, x + right - left).clip(0, frame.shape[1] - 1)
        out[name] = frame[rows[:, None], columns]
    return out
