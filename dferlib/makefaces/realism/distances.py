"""Fifteen distances of a face seen from the front, from its 68 landmarks.

All are in units of the distance between the eye centres, with the face turned upright. Heights count downwards from the
line through the eye centres, or upwards where the name says "above".
"""

import numpy as np

DISTANCES = (
    "inner brow above lid",
    "middle brow above lid",
    "outer brow above lid",
    "gap between brows",
    "eye opening",
    "eye width",
    "nose base",
    "nose width",
    "mouth corners",
    "mouth width",
    "upper lip height",
    "lower lip height",
    "mouth corners below lip line",
    "chin",
    "jaw width",
)


def face_distances(points: np.ndarray) -> np.ndarray:
    """Measure faces.

    Args:
        points: (N, 68, 2) landmarks by the scheme of iBUG 300-W, right and down in pixels.

    Returns:
        (N, 15) the `DISTANCES`; what both sides of the face have is their mean.
    """
    x, y = np.moveaxis(upright(points), -1, 0)

    def height(*marks: int) -> np.ndarray:
        return y[:, marks].mean(1)

    def width(left: int, right: int) -> np.ndarray:
        return x[:, right] - x[:, left]

    lid = height(37, 38, 43, 44)
    return np.stack(
        [
            lid - height(20, 21, 22, 23),
            lid - height(19, 24),
            lid - height(17, 18, 25, 26),
            width(21, 22),
            height(40, 41, 46, 47) - lid,
            (width(36, 39) + width(42, 45)) / 2,
            height(33),
            width(31, 35),
            height(48, 54),
            width(48, 54),
            height(62) - height(51),
            height(57) - height(66),
            height(48, 54) - height(62, 66),
            height(8),
            width(2, 14),
        ],
        axis=1,
    )


def upright(points: np.ndarray) -> np.ndarray:
    """Landmarks (N, 68, 2) with the eye centres on a level line, their middle at 0 and their distance 1."""
    where = points @ (1, 1j)  # one complex number a landmark: turning and scaling is a division
    left, right = where[:, 36:42].mean(1), where[:, 42:48].mean(1)
    out = (where - ((left + right) / 2)[:, None]) / (right - left)[:, None]
    return np.stack([out.real, out.imag], axis=-1)
