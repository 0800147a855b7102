"""Finding faces in a frame, with the detector of histograms of gradients that is built into dlib."""

from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from dferlib.errors import InputError

SIDE = 640  # pixels of the longer side of what the detector sees: it finds faces from 80 pixels on
FINE_SIDE = 1280  # the same for a second look, when the first finds nobody

# A HOG detector knows faces on a coarse grid of places and sizes: its boxes are wrong by some 3 % in place and 6 % in
# size (standard deviations), and wrong in the same way as long as nothing moves. Frames that are shown to it slightly
# smaller in turn shift that grid, so that smoothing in time averages the error out. It costs nothing.
DITHER = (1.0, 0.93, 0.97, 0.9)

_ONE = Lock()  # the detector works in memory of its own, and lets other threads of Python go on meanwhile


@lru_cache(maxsize=1)
def load_detector() -> Any:
    """The detector of dlib.

    Raises:
        InputError: dlib is not installed.
    """
    try:
        import dlib
    except ImportError as error:
        raise InputError(
            'finding faces needs dlib, which is not installed: pip install "dferlib[faces]"; '
            "where that fails, crop the video to the face and say that it is cropped"
        ) from error
    return dlib.get_frontal_face_detector()


def detect(frame: np.ndarray, side: float = SIDE) -> np.ndarray:
    """Find upright faces that look towards the camera, with dlib's HOG detector.

    Args:
        frame: RGB uint8 `(H, W, 3)`.
        side: the frame is scaled so that its longer side has this many pixels; the smallest face found is then 80
            pixels wide.

    Returns:
        `(K, 3)`: middle x, middle y and side of the square box around each face, in pixels of the frame. The largest
        comes first.

    Raises:
        InputError: dlib is not installed.
    """
    find = load_detector()
    scale = side / max(frame.shape[:2])
    size = [max(1, round(pixels * scale)) for pixels in (frame.shape[1], frame.shape[0])]
    grey = np.asarray(Image.fromarray(frame).convert("L").resize(size, Image.Resampling.BILINEAR))
    with _ONE:
        found = find(grey, 0)
    # the last pixel of a dlib box belongs to it
    boxes = [((b.left() + b.right() + 1) / 2, (b.top() + b.bottom() + 1) / 2, b.width()) for b in found]
    boxes.sort(key=lambda box: -box[2])
    return np.array(boxes, dtype=np.float64).reshape(-1, 3) / scale
