"""Alignment: a face turned, scaled and shifted so that its landmarks lie where MakeFaces has them."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from dferlib.errors import InputError
from dferlib.video.faces.finding import DITHER, SIDE, detect
from dferlib.video.faces.following import follow
from dferlib.video.faces.landmarks import FIVE, find_landmarks
from dferlib.video.faces.smoothing import fit_lines

RATE = 25.0  # frames a second of clips whose files do not say
EVERY = 3  # frames of such a clip from one detection to the next: 8 a second
SMOOTH = 0.1  # seconds, the spread of the weights that smooth landmarks, which are truer than boxes


def align(frames: Callable[[], Iterable[np.ndarray]], size: int, rate: float = RATE) -> np.ndarray | None:
    """Find the most visible face of a clip, follow it, and cut it out of every frame, upright and steady.

    Args:
        frames: gives the frames of the clip from the first on, RGB uint8 `(H, W, 3)`, each time it is called; they
            are read three times, so that none has to be kept.
        size: side of the result.
        rate: frames a second.

    Returns:
        uint8 `(F, size, size, 3)`, every frame; one in which the face is out of sight is cut where it was last or
        will be next. None if no face is found.

    Raises:
        InputError: dlib or the model of landmarks is not installed.
    """
    looked, found, sides = [], [], []
    for k, frame in enumerate(frames()):
        sides.append(max(frame.shape[:2]))
        if k % EVERY == 0:
            looked.append(k)
            found.append(detect(frame, DITHER[len(looked) % len(DITHER)] * SIDE) * (sides[0] / sides[k]))
    if not (count := len(sides)):
        return None
    track = follow(np.array(looked) / rate, found)
    seen = np.flatnonzero(np.isfinite(track[:, 2]))
    if not len(seen):
        return None
    every = np.arange(count)
    boxes = np.stack([np.interp(every, np.array(looked)[seen], track[seen, axis]) for axis in range(3)], 1)
    # the size may change within a clip: pixels of each frame over those of the first, in which faces are followed
    scales = np.array(sides) / sides[0]
    shown = zip(frames(), boxes, scales, strict=True)
    points = np.stack([find_landmarks(frame, box[None] * scale)[0] / scale for frame, box, scale in shown])
    smooth = fit_lines(every / rate, points.reshape(count, -1), width=SMOOTH).reshape(points.shape)
    shown = zip(frames(), smooth, scales, strict=True)
    return np.stack([warp(frame, marks * scale, size=size) for frame, marks, scale in shown])


def warp(frame: np.ndarray, points: np.ndarray, size: int) -> np.ndarray:
    """Cut a face out so that its landmarks come to lie on those of MakeFaces' template: turned upright and scaled.

    Args:
        frame: RGB uint8 `(H, W, 3)`.
        points: 5 or 68 landmarks `(P, 2)` in pixels of the frame; of 68 those in `FIVE` are used, which move
            least when the face does.
        size: side of the result.

    Returns:
        uint8 `(size, size, 3)`. What lies outside of the frame is black.
    """
    five = points[list(FIVE)] if len(points) == 68 else points
    there = similarity(five, template()[list(FIVE)] * size)
    back = np.linalg.inv(np.vstack([there, [0, 0, 1]]))[:2]
    scale = float(np.hypot(*there[0, :2]))
    frame, shrink = _shrink(frame, scale)
    back /= shrink  # in pixels of the smaller frame
    image = Image.fromarray(frame).transform(
        (size, size), Image.Transform.AFFINE, back.ravel().tolist(), Image.Resampling.BILINEAR
    )
    return np.asarray(image)


def similarity(points: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The turn, scale and shift that bring points `(N, 2)` nearest to wanted ones, in the sense of least squares.

    Returns:
        `(2, 3)`: the matrix and the shift behind it; it never mirrors.

    Raises:
        InputError: all points are in one place.

    Source: Umeyama 1991, which in the plane is one complex division.
    """
    one, two = (points @ (1, 1j), wanted @ (1, 1j))
    spread = np.abs(one - one.mean()) ** 2
    if not spread.sum() > 0:
        raise InputError("all landmarks are in one place: they cannot be aligned")
    factor = np.vdot(one - one.mean(), two - two.mean()) / spread.sum()
    shift = two.mean() - factor * one.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


@lru_cache(maxsize=1)
def template() -> np.ndarray:
    """Where MakeFaces has the 68 landmarks of its template head, at rest and from the front.

    Returns:
        `(68, 2)`: x to the right and y down, in sides of the aligned face from its upper left corner.

    Source: `template.csv` beside this file, which `dferlib.makefaces.baking.template` writes.
    """
    return np.loadtxt(Path(__file__).with_name("template.csv"), delimiter=",", skiprows=1)


def _shrink(frame: np.ndarray, scale: float) -> tuple[np.ndarray, int]:
    """A frame whose pixels are averaged in squares, so that one that is then made smaller does not flicker."""
    shrink = max(1, int(1 / scale))
    height, width = (pixels // shrink * shrink for pixels in frame.shape[:2])
    if shrink == 1 or not height or not width:
        return frame, 1
    return np.asarray(Image.fromarray(frame[:height, :width]).reduce(shrink)), shrink
