"""Finding the face in a film and cutting it out as MakeFaces frames its own."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image

from dferlib.errors import InputError

SIDE = 640  # pixels of the longer side of what the detector sees: it finds faces from 80 pixels on
FINE_SIDE = 1280  # the same for a second look, when the first finds nobody

# A HOG detector knows faces on a coarse grid of places and sizes: its boxes are wrong by some 3 % in place and 6 % in
# size (standard deviations), and wrong in the same way as long as nothing moves. Pictures that are shown to it slightly
# smaller in turn shift that grid, so that smoothing in time averages the error out. It costs nothing.
DITHER = (1.0, 0.93, 0.97, 0.9)

# Side of the crop over the side of dlib's box. MakeFaces centres its pictures halfway between eyes and mouth,
# and their side is 2 x 0.085 / 0.0684 = 2.49 times the distance between these. Measured with boxes averaged over 16
# scales: 51 photographs with known eyes and mouth ask for 1.15 +- 0.07, shifted by (-0.01 +- 0.01, 0.00 +- 0.01) boxes;
# 60 faces that MakeFaces rendered twice as wide, for 1.06 +- 0.07, shifted by (0.00 +- 0.01, -0.02 +- 0.02). The
# photographs decide, because photographs are what this is for; no shift is needed. MakeFaces itself varies by 10 %.
CROP = 1.15

NEAR = 0.5  # in box sides: how far a face may seem to jump from one picture to the next, by the detector's error alone
SPEED = 1.0  # in box sides a second: how fast it may move on top of that
REACH = 1.0  # in box sides: and no farther than that, however long it was out of sight
GROWTH = 1.5  # how many times larger or smaller a face may be than it was when last seen
FEWEST = 3  # pictures that must show a face; what the detector sees once or twice is mostly no face
GAP = 0.5  # seconds without a detection that are bridged
SMOOTH = 0.25  # seconds, the spread of the weights that smooth the boxes


@lru_cache(maxsize=1)
def _detector() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise InputError('finding faces needs dlib, which is not installed: pip install "dferlib[faces]"') from error
    return dlib.get_frontal_face_detector()


def detect(picture: np.ndarray, side: float = SIDE) -> np.ndarray:
    """Find upright faces that look towards the camera, with dlib's HOG detector, which is built into dlib.

    Args:
        picture: RGB uint8 `(H, W, 3)`.
        side: the picture is scaled so that its longer side has this many pixels; the smallest face found is then 80
            pixels wide.

    Returns:
        `(K, 3)`: middle x, middle y and side of the square box around each face, in pixels of the picture. The largest
        comes first.

    Raises:
        InputError: dlib is not installed.
    """
    find = _detector()
    scale = side / max(picture.shape[:2])
    size = [max(1, round(pixels * scale)) for pixels in (picture.shape[1], picture.shape[0])]
    grey = np.asarray(Image.fromarray(picture).convert("L").resize(size, Image.Resampling.BILINEAR))
    # the last pixel of a dlib box belongs to it
    boxes = [((b.left() + b.right() + 1) / 2, (b.top() + b.bottom() + 1) / 2, b.width()) for b in find(grey, 0)]
    boxes.sort(key=lambda box: -box[2])
    return np.array(boxes, dtype=np.float64).reshape(-1, 3) / scale


def follow(times: np.ndarray, found: Sequence[np.ndarray]) -> np.ndarray:
    """Follow one face through a film: the one that is seen most, counted by pictures times size.

    Without an idea of who is who, the same person is whoever is where the face was: a person who has been out of sight
    is found again close to the old place, and in a film that cuts between people the most visible run wins.

    Args:
        times: seconds of each picture `(N,)`, rising.
        found: what `detect` found in each, N arrays `(K, 3)`.

    Returns:
        `(N, 3)`: middle x, middle y and side of the smoothed box; nan where the face is out of sight for longer than
        half a second. All nan if no face is seen in three pictures (or all, where there are fewer).
    """
    faces = [face for face in link(times, found) if len(face) >= min(FEWEST, len(times))]
    boxes = np.full((len(times), 3), np.nan)
    if not faces:
        return boxes
    for picture, box in max(faces, key=lambda face: sum(box[2] for box in face.values())).items():
        boxes[picture] = box
    return smooth(times, bridge(times, boxes))


def link(times: np.ndarray, found: Sequence[np.ndarray]) -> list[dict[int, np.ndarray]]:
    """Sort detections into faces: each joins the face that was last seen nearest, or starts a new one.

    Args:
        times: seconds of each picture `(N,)`, rising.
        found: the boxes in each, N arrays `(K, 3)`.

    Returns:
        A mapping a face, from the number of a picture to the box. No box is in two of them, and none is left out.
    """
    faces: list[dict[int, np.ndarray]] = []
    last: list[int] = []  # the picture in which each face was last seen
    for now, boxes in enumerate(found):
        pairs = []
        for which, face in enumerate(faces):
            old, passed = face[last[which]], times[now] - times[last[which]]
            for k, box in enumerate(boxes):
                distance = np.hypot(*(box[:2] - old[:2])) / max(box[2], old[2])
                growth = abs(np.log(box[2] / old[2]))
                if distance <= min(NEAR + SPEED * passed, REACH) and growth <= np.log(GROWTH):
                    pairs.append((distance + growth, which, k))
        seen: set[int] = set()
        for _, which, k in sorted(pairs):
            if last[which] < now and k not in seen:
                faces[which][now], last[which] = boxes[k], now
                seen.add(k)
        for k in sorted(set(range(len(boxes))) - seen):
            faces.append({now: boxes[k]})
            last.append(now)
    return faces


def bridge(times: np.ndarray, boxes: np.ndarray, longest: float = GAP) -> np.ndarray:
    """Fill gaps of at most `longest` seconds by straight lines between the boxes `(N, 3)` on their two sides."""
    there = np.flatnonzero(np.isfinite(boxes[:, 2]))
    filled = boxes.copy()
    for before, after in pairwise(there):
        if after > before + 1 and times[after] - times[before] <= longest:
            inside = slice(before + 1, after)
            part = ((times[inside] - times[before]) / (times[after] - times[before]))[:, None]
            filled[inside] = boxes[before] * (1 - part) + boxes[after] * part
    return filled


def smooth(times: np.ndarray, boxes: np.ndarray, width: float = SMOOTH) -> np.ndarray:
    """Replace each box `(N, 3)` by the straight line through its neighbours in time, at its own time.

    The line is the least-squares one with Gaussian weights of standard deviation `width` seconds, cut off at three.
    A face at rest or in even motion is followed without lag, at the ends too; rows of nan stay so and do not count.
    """
    there = np.flatnonzero(np.isfinite(boxes[:, 2]))
    out = np.full_like(boxes, np.nan)
    for k in there:
        near = there[np.searchsorted(times[there], times[k] - 3 * width) :]
        near = near[: np.searchsorted(times[near], times[k] + 3 * width, side="right")]
        t = times[near] - times[k]
        weights = np.exp(-0.5 * (t / width) ** 2)
        weights /= weights.sum()
        middle = weights @ t
        spread = weights @ (t - middle) ** 2
        slope = (weights * (t - middle)) @ boxes[near] / spread if spread > 1e-12 else np.zeros(3)
        out[k] = weights @ boxes[near] - slope * middle
    # a line through a face that shrinks very fast could end below nothing
    out[:, 2] = np.maximum(out[:, 2], 1.0)
    return out


def cut(picture: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """Cut a face out of a picture as tightly as MakeFaces frames its faces.

    Args:
        picture: RGB uint8 `(H, W, 3)`.
        box: middle x, middle y and side of the detector's box, in pixels of the picture.
        size: side of the result.

    Returns:
        uint8 `(size, size, 3)`. What lies outside of the picture repeats its edge.
    """
    half = CROP * box[2] / 2
    left, top = box[0] - half, box[1] - half
    # the part of the picture that is needed, whole pixels, and how much of it is missing on each side
    x0, y0 = int(np.floor(left)) - 1, int(np.floor(top)) - 1
    x1, y1 = int(np.ceil(left + 2 * half)) + 1, int(np.ceil(top + 2 * half)) + 1
    rows = np.arange(y0, y1).clip(0, picture.shape[0] - 1)
    columns = np.arange(x0, x1).clip(0, picture.shape[1] - 1)
    part = Image.fromarray(np.ascontiguousarray(picture[rows[:, None], columns]))
    region = (left - x0, top - y0, left - x0 + 2 * half, top - y0 + 2 * half)
    return np.asarray(part.resize((size, size), Image.Resampling.BILINEAR, box=region))
