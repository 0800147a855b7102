"""Who is who: what tells people apart, when it must be asked, and faces cut out as dlib's face network wants them.

The network itself is handed in by whoever has one; see `dferlib.inference.describing`.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from dferlib.video.faces.landmarks import load_predictor, to_rectangle

Describer = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From a frame, RGB uint8 `(H, W, 3)`, and the boxes in it `(K, 3)` to a descriptor of each face, `(K, D)`."""

CHIP = 150  # pixels of what dlib's network sees
PADDING = 0.25  # around the face, in its own size

# Two frames show the same face in a place if these correlate: the grey of CELLS x CELLS cells of the detector's box,
# and that of the best place up to SHIFT cells away. Measured a twelfth of a second apart, least: 0.91 for a real face
# that begins to smile, 0.90 for a rendered one that turns and moves by half its width a second. Two of 51 people who
# were photographed alike, most: 0.87. Whoever moves faster is only looked at more closely.
CELLS, SHIFT, ALIKE = 32, 3, 0.89


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


class Sight:
    """The faces in a frame, as `Linker` asks about them: each is described once, and only if it must be.

    Args:
        frame: RGB uint8 `(H, W, 3)`.
        boxes: what `detect` found in it, `(K, 3)`.
        describe: what tells people apart, if anything does.
    """

    def __init__(self, frame: np.ndarray, boxes: np.ndarray, describe: Describer | None = None) -> None:
        self.frame, self.boxes, self._describe = frame, boxes, describe

    @cached_property
    def _descriptors(self) -> np.ndarray:
        return self._describe(self.frame, self.boxes) if self._describe else np.zeros((len(self.boxes), 1))

    def describe(self) -> np.ndarray:
        """A descriptor of each face, `(K, D)`."""
        return self._descriptors

    def changed(self, before: "Sight") -> bool:
        """Whether something else is where the first face of the frame before was, as after a cut."""
        place = before.boxes[0]
        old = _grey(before.frame, place, cells=CELLS).ravel()
        # the size may change within a video
        place = place * (max(self.frame.shape[:2]) / max(before.frame.shape[:2]))
        around = _grey(self.frame, place, cells=CELLS + 2 * SHIFT)
        new = sliding_window_view(around, (CELLS, CELLS)).reshape(-1, CELLS * CELLS)
        old, new = old - old.mean(), new - new.mean(1, keepdims=True)
        noise = CELLS * CELLS  # a grey or less: where there is nothing to be seen, nothing has changed
        return bool(((new @ old + noise) / np.sqrt(((new * new).sum(1) + noise) * (old @ old + noise))).max() < ALIKE)


def _grey(frame: np.ndarray, box: np.ndarray, cells: int) -> np.ndarray:
    """A square around the middle of a box, float32 `(cells, cells)`; `CELLS` of them are as wide as the box."""
    half = box[2] * cells / CELLS / 2
    (left, right), (top, bottom) = (np.round([middle - half, middle + half]).astype(int) for middle in box[:2])
    rows, columns = (
        np.arange(first, max(last, first + 1)).clip(0, side - 1)
        for first, last, side in ((top, bottom, frame.shape[0]), (left, right, frame.shape[1]))
    )
    part = Image.fromarray(np.ascontiguousarray(frame[rows[:, None], columns])).convert("L")
    return np.asarray(part.resize((cells, cells), Image.Resampling.BOX), np.float32)
