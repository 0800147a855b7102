"""From a decoded frame to an array as a viewer sees it: upright, with square pixels, and in the colours of a screen."""

from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter
from PIL import ExifTags, Image

from dferlib.errors import InputError
from dferlib.video.hdr import is_dolby_alone, is_hdr, to_screen
from dferlib.video.opening import MAX_SIDE

Matrix = tuple[int, int, int, int]
"""a, b, c and d: a pixel at (x, y) is shown at (ax + cy, bx + dy), but for a shift; y points down."""

AS_IT_IS: Matrix = (1, 0, 0, 1)
EXIF: dict[int, Matrix] = {
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}  # what the orientation of a photograph means
UNKNOWN = (2, 3)  # FFmpeg's numbers for a colour space of which nothing is said


class Pixels:
    """Makes arrays of the frames of one stream.

    Args:
        path: the file.
        stream: whose frames they are.
        max_side: make frames smaller whose longer side has more pixels than this.
    """

    def __init__(self, path: Path | str, stream: av.VideoStream, max_side: int | None = None) -> None:
        self.path, self._stream, self._most = Path(path), stream, min(max_side or MAX_SIDE, MAX_SIDE)
        self._coded: tuple[int, int] | None = None  # pixels of the frame before
        self._wide: Fraction = Fraction(1)  # width of a pixel over its height
        self._kind: tuple[int, ...] | None = None
        self._last = AS_IT_IS
        self._scalers: dict[int, VideoReformatter] = {}

    def size(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Width and height of the array that a frame becomes."""
        return Shown(self, frame).size(self._most)

    def array(self, frame: av.VideoFrame) -> np.ndarray:
        """The frame as uint8 RGB `(H, W, 3)`, not to be written to.

        Raises:
            InputError: its pixels are coded in a way that cannot be converted.
        """
        return Shown(self, frame).array(self._most)

    def scaler(self, side: int) -> VideoReformatter:
        """What converts all frames to a size; one that is made anew for each frame takes up to three times as long."""
        return self._scalers.setdefault(side, VideoReformatter())

    def shape(self, frame: av.VideoFrame) -> tuple[float, float]:
        """Width and height with square pixels, not yet turned."""
        coded = frame.width, frame.height
        if coded != self._coded:  # where the size changes, the shape of a pixel may change; the file knows the first
            known = self._stream if self._coded is None else self._stream.codec_context
            self._coded, self._wide = coded, known.sample_aspect_ratio or Fraction(1)
        wide = float(self._wide)
        return frame.width * max(wide, 1.0), frame.height / min(wide, 1.0)

    @cached_property
    def _photograph(self) -> Matrix | None:
        """What EXIF says; None if it is no photograph."""
        try:
            with Image.open(self.path) as image:
                return EXIF.get(image.getexif().get(ExifTags.Base.Orientation, 1), AS_IT_IS)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None

    def matrix(self, frame: av.VideoFrame) -> Matrix:
        """How it is to be turned.

        Raises:
            InputError: its colours are those of Dolby Vision alone.
        """
        # asked for once: with it PyAV makes a circle, so that the frame would stay in memory for long
        kind = frame.rotation, frame.width, frame.height, frame.colorspace, frame.color_trc, frame.color_range
        if kind != self._kind:
            self._kind, self._last = kind, self._read_matrix(frame)
        return self._last

    def _read_matrix(self, frame: av.VideoFrame) -> Matrix:
        try:
            sides: Any = frame.side_data
        except ValueError:  # there is a kind among them that PyAV does not know, such as EXIF
            return self._photograph or _matrix_of_turn(frame.rotation)
        dolby = sides.get("DOVI_METADATA")
        if dolby is not None and is_dolby_alone(bytes(dolby)):
            form = "it is Dolby Vision of profile 5, whose colours are of its own kind"
            remedy = "convert it to SDR, for instance with ffmpeg's filter libplacebo"
            raise InputError(f"{self.path} cannot be shown: {form}; {remedy}")
        matrix = sides.get("DISPLAYMATRIX")
        if matrix is None:
            return AS_IT_IS
        a, b, _, c, d, *_ = np.frombuffer(bytes(matrix), np.int32).tolist()
        return a, b, c, d


class Shown:
    """A frame that becomes an array when one is asked for, of any size, however far its video has been read by then.

    Args:
        pixels: of its stream.
        frame: the one that was decoded last.
    """

    def __init__(self, pixels: Pixels, frame: av.VideoFrame) -> None:
        self._pixels, self._frame = pixels, frame
        self._shape, self._matrix = pixels.shape(frame), pixels.matrix(frame)

    def size(self, max_side: int = MAX_SIDE) -> tuple[int, int]:
        """Width and height of the array."""
        width, height = self._coded(max_side)
        return (height, width) if is_turned(self._matrix) else (width, height)

    def array(self, max_side: int = MAX_SIDE) -> np.ndarray:
        """The frame as uint8 RGB `(H, W, 3)`, not to be written to.

        Args:
            max_side: make it smaller if its longer side has more pixels than this.

        Raises:
            InputError: its pixels are coded in a way that cannot be converted.
        """
        frame, (width, height) = self._frame, self._coded(max_side)
        convert = self._pixels.scaler(max_side).reformat
        try:
            if is_hdr(frame):
                if frame.colorspace in UNKNOWN:
                    frame.colorspace = Colorspace.BT2020
                array = to_screen(convert(frame, width, height, "rgb48le").to_ndarray(), frame.color_trc)
            else:
                array = convert(frame, width, height, "rgb24").to_ndarray()
        except (av.FFmpegError, OSError, ValueError) as error:
            form = f"its pixels are {frame.format.name}, which cannot be converted here"
            path = self._pixels.path
            raise InputError(f"{path} cannot be shown: {form}; convert it to H.264 in an MP4 file") from error
        return upright(array, self._matrix)

    def _coded(self, max_side: int) -> tuple[int, int]:
        """Width and height with no side too long, not yet turned."""
        shrink = min(1.0, max_side / max(self._shape))
        width, height = (max(1, round(side * shrink)) for side in self._shape)
        return width, height


def upright(frame: np.ndarray, matrix: Matrix) -> np.ndarray:
    """Turn and mirror a frame `(H, W, ...)` as a matrix says; one that is askew counts as the nearest of the eight."""
    a, b, c, d = matrix
    if is_turned(matrix):
        frame, across, down = frame.swapaxes(0, 1), c, b
    else:
        across, down = a, d
    return frame[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]


def is_turned(matrix: Matrix) -> bool:
    """Whether what was a row becomes a column."""
    a, b, c, d = matrix
    return abs(b) + abs(c) > abs(a) + abs(d)


def _matrix_of_turn(degrees: int) -> Matrix:
    """Counter-clockwise, by a multiple of 90 or nearly so."""
    turns: tuple[Matrix, ...] = (AS_IT_IS, (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))
    return turns[round(degrees / 90) % 4]
