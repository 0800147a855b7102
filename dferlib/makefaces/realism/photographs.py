"""Photographs of people at rest and smiling, as the Face Research Lab London Set names them.

A folder has NUMBER_neutral.jpg and, where there is one, NUMBER_smiling.jpg, and `people.csv` with each person's number,
age, sex and ethnicity. The set's people say of themselves what they are.
Source: DeBruine and Jones 2017, doi:10.6084/m9.figshare.5047666.v5, CC BY 4.0.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dferlib.errors import InputError
from dferlib.makefaces.realism.light import SIDE
from dferlib.video.faces.aligning import warp
from dferlib.video.faces.finding import DITHER, detect
from dferlib.video.faces.finding import SIDE as DETECTOR_SIDE
from dferlib.video.faces.landmarks import find_landmarks

MEASURED = 25  # people, by number: they set the figures that MakeFaces draws people by; the others are for tests
KINDS = ("neutral", "smiling")


@dataclass(frozen=True)
class Faces:
    """N faces, found and measured.

    Attributes:
        who: (N,) the number of each person.
        points: (N, 68, 2) dlib's landmarks in pixels.
        aligned: (N, SIDE, SIDE, 3) uint8.
    """

    who: np.ndarray
    points: np.ndarray
    aligned: np.ndarray


def find_one(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The 68 landmarks (68, 2) of the largest face of a frame (H, W, 3), and the face aligned; None without one.

    The box is the mean over several scales, since a single one is off by some hundredths.
    """
    boxes = [found[0] for dither in DITHER if len(found := detect(frame, DETECTOR_SIDE * dither))]
    if not boxes:
        return None
    points = find_landmarks(frame, np.mean(boxes, 0, keepdims=True), count=68)[0]
    return points, warp(frame, points, SIDE)


def find_all(frames: dict[str, np.ndarray]) -> Faces:
    """Find and measure the face in each frame; frames without one are left out."""
    found = {who: face for who, frame in frames.items() if (face := find_one(frame)) is not None}
    if not found:
        raise InputError(f"no face is found in any of {len(frames)} frames")
    points, aligned = zip(*found.values(), strict=True)
    return Faces(np.array(list(found)), np.stack(points), np.stack(aligned))


def read_photographs(folder: Path, kind: str = "neutral") -> dict[str, np.ndarray]:
    """The photographs (H, W, 3) of one of `KINDS`, by the number of the person, in order.

    Raises:
        InputError: there are none.
    """
    files = sorted(folder.glob(f"*_{kind}.jpg"))
    if not files:
        raise InputError(f"{folder} has no photographs called NUMBER_{kind}.jpg")
    return {file.name.split("_")[0]: np.asarray(Image.open(file).convert("RGB")) for file in files}


def read_people(folder: Path) -> pd.DataFrame:
    """Age, sex and ethnicity of each person, by number: the columns `age`, `male` (0 or 1), `african`, `asian`."""
    table = pd.read_csv(folder / "people.csv", dtype={"face_id": str}).set_index("face_id")
    return pd.DataFrame(
        {
            "age": table["face_age"],
            "male": (table["face_gender"] == "male").astype(float),
            "african": (table["face_eth"] == "black").astype(float),
            "asian": (table["face_eth"] == "east_asian").astype(float),
        }
    )
