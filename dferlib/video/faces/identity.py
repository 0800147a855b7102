"""Who is who: what tells people apart, and the faces cut out as dlib's face network wants them.

The network itself is handed in by whoever has one; see `dferlib.inference.describing`.
"""

from collections.abc import Callable

import numpy as np

from dferlib.video.faces.landmarks import load_predictor, to_rectangle

Describer = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From a frame, RGB uint8 `(H, W, 3)`, and the boxes in it `(K, 3)` to a descriptor of each face, `(K, D)`."""

CHIP = 150  # pixels of what dlib's network sees
PADDING = 0.25  # around the face, in its own size


def cut_chips(frame: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Cut faces out as dlib's face network has learnt them: upright, by five landmarks.

    Args:
        frame: RGB uint8 `(H, W, 3)`.
        boxes: what `detect` found, `(K, 3)`.

    Returns:
        uint8 `(K, 150, 150, 3)`.

    Raises:
        InputError: dlib or its model of landmarks is not installed.
    """
    find = load_predictor(5)
    import dlib

    chips = np.empty((len(boxes), CHIP, CHIP, 3), np.uint8)
    frame = np.require(frame, requirements=["C", "W"])  # those of a video are not, and dlib insists
    for k, box in enumerate(boxes):
        chips[k] = dlib.get_face_chip(frame, find(frame, to_rectangle(box)), size=CHIP, padding=PADDING)
    return chips
