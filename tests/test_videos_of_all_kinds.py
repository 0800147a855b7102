"""Fuzzing with whole videos: matrices, times, streams, pixels and joins that no camera thought of.

What is built is known, so that it can be counted: every frame that is present is read, or reported as lost, or the
video is refused in a line. `DFERLIB_EXAMPLES=3000 pytest tests/test_videos_of_all_kinds.py` looks for longer, and
elsewhere each time.
"""

import itertools
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from hypothesis import given, settings
from hypothesis import strategies as st
from videos import corner, encode, joined

from dferlib.errors import InputError
from dferlib.video import opening
from dferlib.video.reading import SampledVideo, probe, read_video

EXAMPLES = int(os.environ.get("DFERLIB_EXAMPLES", "20"))
often = settings(max_examples=EXAMPLES, deadline=None, derandomize="DFERLIB_EXAMPLES" not in os.environ)


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


class Lost(logging.Handler):
    """How many frames were reported as lost."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        _, lost, _ = record.args
        self.count += lost


def read(path: Path) -> tuple[list[np.ndarray], int] | None:
    """The frames of a video, and how many were reported as lost; None if it is refused, in a line that names it."""
    opening._say_once.cache_clear()
    logging.getLogger("dferlib").addHandler(lost := Lost())
    try:
        info = probe(path)
        timed = list(read_video(path))
        ticks = [time for time, _ in SampledVideo(info, 12.0).frames("reading", 32)]
    except InputError as error:
        assert "\n" not in str(error) and str(path) in str(error)
        return None
    finally:
        logging.getLogger("dferlib").removeHandler(lost)
    times = np.array([time for time, _ in timed])
    assert times[0] == 0 and (np.diff(times) > 0).all() and times[-1] < 2 * 86_400 * len(times)
    assert ticks[0] == 0 and (np.diff(ticks) > 0).all() and ticks[-1] <= times[-1] + 1e-6
    assert info.duration >= 0 and info.frames >= 1
    assert all(frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3 for _, frame in timed)
    assert timed[0][1].shape[:2] == (info.height, info.width)
    return [frame for _, frame in timed], lost.count


def too_short(path: Path) -> bool:
    """FFmpeg wants to see some packets of a transport stream before it knows what it is."""
    return path.suffix == ".ts" and path.stat().st_size < 20 * 188


def alike(one: np.ndarray, other: np.ndarray, most: float) -> bool:
    return one.shape == other.shape and np.abs(one.astype(int) - other).mean() < most


# --- matrices

EIGHT = [
    lambda frame, turns=turns, mirrored=mirrored: np.rot90(frame[:, ::-1] if mirrored else frame, turns)
    for turns in range(4)
    for mirrored in (False, True)
]
number = st.integers(-(1 << 31), (1 << 31) - 1) | st.sampled_from([0, 1, -1, 1 << 16, -(1 << 16)])


@often
@given(matrix=st.lists(number, min_size=9, max_size=9), suffix=st.sampled_from(["mp4", "mov"]))
def test_any_display_matrix(matrix: list[int], suffix: str) -> None:
    with folder() as place:
        path = place / f"video.{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
            stream.set_display_matrix(matrix)
            for k in range(3):
                frame = av.VideoFrame.from_ndarray(corner(), format="rgb24")
                frame.pts = k
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        got = read(path)
    if got is not None:
        assert len(got[0]) + got[1] == 3


@often
@given(degrees=st.floats(-720, 720), across=st.booleans(), down=st.booleans())
def test_any_turn(degrees: float, across: bool, down: bool) -> None:
    with folder() as place, av.open(str(path := place / "video.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.set_display_rotation(degrees, hflip=across, vflip=down)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(corner(), format="rgb24")))
        container.mux(stream.encode())
        container.close()
        got = read(path)
    assert got is not None and len(got[0]) == 1
    if abs(degrees % 90 - 45) > 1:
        wanted = np.rot90(corner(), round(degrees / 90))
        wanted = wanted[:: -1 if down else 1, :: -1 if across else 1]
        assert alike(got[0][0], wanted, 8)


# --- times


@often
@given(
    steps=st.lists(
        st.integers(0, 5) | st.integers(-50, 50) | st.sampled_from([300, 1000, 10**5, -(10**5), 10**8]),
        min_size=1,
        max_size=20,
    ),
    start=st.integers(-1000, 10**6),
    suffix=st.sampled_from(["mkv", "avi", "ts", "mp4", "mov", "nut", "mpg", "asf", "flv"]),
    without=st.sets(st.integers(0, 20), max_size=3),
)
def test_any_times(steps: list[int], start: int, suffix: str, without: set[int]) -> None:
    """As far as the format can hold them, for each refuses some."""
    codec = {"mpg": "mpeg1video", "ts": "mpeg1video", "flv": "flv1", "asf": "wmv2"}.get(suffix, "mpeg4")
    most = 10**5 if suffix in ("flv", "asf") else 10**8  # these have 32 bits for milliseconds
    start = max(start, 0) if suffix in ("mp4", "mov") else start  # what is before 0 has been cut off there
    times = np.cumsum([start, *(min(step, most) for step in steps)])
    if suffix == "asf":
        times = times - min(times.min(), 0)  # FFmpeg's writer ends the whole process at some times before 0
    written = 0
    with folder() as place:
        path = place / f"video.{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25, options={"g": "1"})
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
            for k, time in enumerate(times.tolist()):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 30 + 9 * k, np.uint8), format="rgb24")
                frame.pts = k
                for packet in stream.encode(frame):
                    packet.pts = packet.dts = None if k in without and suffix == "avi" else time
                    packet.time_base = Fraction(1, 25)
                    try:
                        container.mux(packet)
                    except av.FFmpegError:
                        continue
                    written += 1
        got, short = read(path) if written else ([], 0), too_short(path)
    assert short if got is None else len(got[0]) + got[1] == written


# --- streams


@often
@given(
    videos=st.lists(
        st.tuples(st.integers(2, 12), st.integers(1, 6), st.booleans()), min_size=1, max_size=4
    ),  # side in sixteens, frames, whether it is the default
    sounds=st.integers(0, 2),
    suffix=st.sampled_from(["mkv", "mp4", "mov", "ts", "nut"]),
    last=st.booleans(),
)
def test_any_streams(videos: list[tuple[int, int, bool]], sounds: int, suffix: str, last: bool) -> None:
    with folder() as place:
        path = place / f"video.{suffix}"
        with av.open(str(path), "w") as container:
            shown, heard = [], []

            def add_sounds() -> None:
                heard.extend(container.add_stream("mp2", rate=44_100, layout="mono") for _ in range(sounds))

            if not last:
                add_sounds()
            for side, _, default in videos:
                stream = container.add_stream("mpeg4", rate=25)
                stream.height, stream.width, stream.pix_fmt = 48, 16 * side, "yuv420p"
                stream.disposition = Disposition.default if default else Disposition.original
                shown.append(stream)
            if last:
                add_sounds()
            for number, (stream, (side, count, _)) in itertools.product(range(6), zip(shown, videos, strict=True)):
                if number < count:
                    frame = av.VideoFrame.from_ndarray(np.full((48, 16 * side, 3), 90, np.uint8), format="rgb24")
                    frame.pts = number
                    container.mux(stream.encode(frame))
            for stream in heard:
                sound = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), format="s16", layout="mono")
                sound.sample_rate = 44_100
                container.mux(stream.encode(sound))
            for stream in (*shown, *heard):
                container.mux(stream.encode())
        got, short = read(path), too_short(path)
    if got is None:
        assert short
        return
    frames, lost = got
    assert (frames[0].shape[1], len(frames) + lost) in {(16 * side, count) for side, count, _ in videos}
    if suffix in ("mkv", "nut") and any(default for _, _, default in videos):
        side, count, _ = next(video for video in videos if video[2])
        assert (frames[0].shape[1], len(frames)) == (16 * side, count)


# --- pixels


def formats() -> list[tuple[str, str]]:
    """Codecs without loss, and what they can keep."""
    out = []
    codecs = "ffv1 rawvideo png huffyuv ffvhuff utvideo magicyuv qtrle bmp tiff"
    for codec in codecs.split():
        try:
            kinds = av.codec.Codec(codec, "w").video_formats or []
        except av.FFmpegError:
            continue
        out += [(codec, kind.name) for kind in kinds if not kind.name.startswith(("vaapi", "cuda", "vulkan"))]
    return out or [("ffv1", "yuv420p")]


COARSE = ("mono", "bgr4", "rgb4", "bgr8", "rgb8", "pal8", "rgb444", "bgr444", "rgb555", "bgr555", "rgb565", "bgr565")


@often
@given(
    kind=st.sampled_from(formats()), grey=st.integers(20, 235), eighths=st.tuples(st.integers(2, 9), st.integers(2, 9))
)
def test_any_pixels(kind: tuple[str, str], grey: int, eighths: tuple[int, int]) -> None:
    codec, pixels = kind
    image = np.full((16 * eighths[0], 8 * eighths[1], 3), grey, np.uint8)
    image[: 8 * eighths[0]] = 255 - grey
    with folder() as place:
        path = place / "video.nut"
        try:
            encode(path, [image] * 3, codec, pixels, options={"strict": "experimental"})
        except (av.FFmpegError, ValueError, OSError):
            return  # nobody can make such a video
        got = read(path)
    if got is not None:
        assert len(got[0]) + got[1] == 3
        if not pixels.startswith(COARSE):
            assert alike(got[0][0], image, 6), pixels


# --- joins

JOINS: dict[str, tuple[str, ...]] = {
    "ts": ("libx264", "mpeg2video", "mpeg4"),
    "mpg": ("mpeg1video", "mpeg2video"),
    "m2v": ("mpeg2video",),
    "h264": ("libx264",),
    "mjpeg": ("mjpeg",),
    "avi": ("mpeg4", "mjpeg", "msmpeg4v2"),
    "mkv": ("libx264", "mpeg4", "mjpeg"),
    "webm": ("libvpx", "libvpx-vp9"),
    "mp4": ("libx264", "mpeg4"),
    "mov": ("libx264", "mjpeg"),
    "flv": ("flv1", "libx264"),
    "asf": ("wmv2",),
    "nut": ("libx264", "mpeg4", "ffv1"),
    "rm": ("rv10",),
    "ivf": ("libvpx",),
    "y4m": ("rawvideo",),
    "mxf": ("mpeg2video",),
    "ogg": ("libvpx",),
    "gif": ("gif",),
    "apng": ("apng",),
}
PIXELS = {"mjpeg": "yuvj420p", "gif": "rgb8", "apng": "rgb24"}


@st.composite
def parts(draw: Callable) -> tuple[str, list[tuple[str, tuple[int, int], int, int]]]:
    """A suffix, and for each part codec, size, frames and the number of the first."""
    suffix = draw(st.sampled_from(sorted(JOINS)))
    codec = draw(st.sampled_from(JOINS[suffix]))
    # RealVideo has blocks of 16 pixels and nothing between
    sizes = st.sampled_from([(48, 64), (96, 128), (64, 48), (48, 80) if suffix == "rm" else (50, 70)])
    # AVI has no times, and what begins late is given as many empty frames
    first = st.integers(0, 30) if suffix == "avi" else st.integers(0, 30) | st.sampled_from([500, 10**6])
    fewest = 2 if suffix == "apng" else 1  # one frame is a photograph
    part = st.tuples(st.just(codec), sizes, st.integers(fewest, 12), first)
    return suffix, draw(st.lists(part, min_size=1, max_size=3))


@often
@given(what=parts())
def test_any_join(what: tuple[str, list[tuple[str, tuple[int, int], int, int]]]) -> None:
    suffix, made = what
    with folder() as place:
        files = []
        for k, (codec, size, count, first) in enumerate(made):
            frames = [np.full((*size, 3), 30 + 15 * j + k, np.uint8) for j in range(count)]
            pixels = PIXELS.get(codec, "yuv420p")
            files.append(encode(place / f"{k}.{suffix}", frames, codec, pixels, first=first))
        got, short = read(joined(path := place / f"all.{suffix}", *files)), too_short(path)
    if got is None:
        assert len(made) > 1 or short
        return
    assert len(got[0]) + got[1] == sum(count for _, _, count, _ in made)
    if suffix == "ts" and not got[1]:
        assert [frame.shape[:2] for frame in got[0]] == [size for _, size, count, _ in made for _ in range(count)]


@often
@given(what=parts(), cuts=st.lists(st.floats(0, 1), min_size=1, max_size=3))
def test_any_join_of_pieces(what: tuple[str, list[tuple[str, tuple[int, int], int, int]]], cuts: list[float]) -> None:
    """Files that begin or end anywhere: what is left of them cannot be known, but that they end in a line."""
    suffix, made = what
    with folder() as place:
        data = b""
        for k, (codec, size, count, first) in enumerate(made):
            frames = [np.full((*size, 3), 30 + 15 * j + k, np.uint8) for j in range(count)]
            path = encode(place / f"{k}.{suffix}", frames, codec, PIXELS.get(codec, "yuv420p"), first=first)
            raw, cut = path.read_bytes(), cuts[k % len(cuts)]
            data += raw[int(cut * len(raw)) :] if k % 2 else raw[: int(cut * len(raw))]
        (path := place / f"all.{suffix}").write_bytes(data)
        read(path)
