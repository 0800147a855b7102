"""Reading a video: what it is, and its frames one after the other."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from tqdm import tqdm

from dferlib.errors import InputError

# What counts as a video. FFmpeg would also read play lists, which open other files, and draw any text as a frame.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,mpeg,mpegts,mpegvideo,ogg,gif,apng,mjpeg,h264,hevc,m4v,dv,mxf,"
    "yuv4mpegpipe,ivf,nut,rm,image2,jpeg_pipe,png_pipe,webp_pipe,bmp_pipe,tiff_pipe"
)
STATES_LENGTH = ("mov", "matroska", "avi", "asf", "flv")  # elsewhere the length is a guess from what is there
MAX_SIDE = 8192  # pixels; a header that claims more is more likely damaged than true
THREADS = 4  # that decode; each holds a frame of its own, which is 100 MB for the largest
MAX_HOLD = 2.0  # seconds that one frame may stand for when a video is sampled; a gap in time beyond it is a gap


@dataclass(frozen=True)
class VideoInfo:
    """What a video is.

    Attributes:
        path: the file.
        width: of a frame as it is to be seen, that is, turned upright and with square pixels.
        height: the same.
        duration: seconds from the first frame to the end of the last.
        frames: how many frames the file holds.
    """

    path: Path
    width: int
    height: int
    duration: float
    frames: int

    @property
    def rate(self) -> float:
        """Frames a second, on average."""
        return self.frames / self.duration if self.duration > 0 else 1.0

    @property
    def longer_side(self) -> int:
        """Pixels of width or height, whichever is more."""
        return max(self.width, self.height)


@dataclass(frozen=True)
class SampledVideo:
    """A video at an even rate, which can be gone through as often as needed; no frame is kept.

    Attributes:
        info: what `probe` says of it.
        rate: frames a second.
        progress: show a bar for each passage that takes more than two seconds.
    """

    info: VideoInfo
    rate: float
    progress: bool = False

    def frames(self, doing: str, max_side: int | None = None) -> Iterator[tuple[float, np.ndarray]]:
        """One passage: what `read_video` gives.

        Args:
            doing: what it is for, as the bar says it.
            max_side: see `read_video`.
        """
        total, title = int(self.info.duration * self.rate) + 1, f"{self.info.path.name}: {doing}"
        frames = read_video(self.info.path, self.rate, max_side=max_side)
        return iter(tqdm(frames, title, total, unit="frame", delay=2, leave=False, disable=not self.progress))


def probe(path: Path | str) -> VideoInfo:
    """Read through a video without decoding more than its first frame.

    Raises:
        InputError: there is no such file, it is no video, nothing in it can be decoded, or it is shorter than it says
            it is (truncated).
    """
    with _opened(path) as (container, stream):
        first = next(_decoded(container, stream, path=path))
        width, height = _square_size(first, stream)
        if first.rotation % 180 == 90:
            width, height = height, width
    with _opened(path) as (container, stream):
        stated = container.duration
        start = (container.start_time or 0) / av.time_base
        times, last, broken = [], 0.0, False
        for packet in _packets(container):
            time = packet.pts if packet.pts is not None else packet.dts
            if time is None or not packet.size:
                continue
            broken = packet.is_corrupt
            end = float((time + (packet.duration or 0)) * packet.time_base)
            last = max(last, end)
            if packet.stream_index == stream.index:
                times.append((float(time * packet.time_base), end))
        claims = stated is not None and container.format.name.split(",")[0] in STATES_LENGTH
    whole = stated / av.time_base if claims and stated else last - start
    missing = whole - (last - start)
    if broken or missing > max(0.25, min(0.02 * whole, 2.0)):
        there = f"it should last {whole:.2f} s, but its data end after {last - start:.2f} s"
        raise InputError(f"{path} is truncated: {there}; copy it again")
    duration = max(end for _, end in times) - min(begin for begin, _ in times) if times else 0.0
    return VideoInfo(Path(path), width=width, height=height, duration=duration, frames=max(len(times), 1))


def read_video(
    path: Path | str, rate: float | None = None, max_side: int | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """Give the frames of a video one by one, upright and with square pixels; only one is in memory at a time.

    Without `rate` every frame comes with its own presentation time, evenly spaced or not. With it, time is divided
    into even ticks from the first frame on, and each tick shows the frame that a viewer would see then: the same
    array again where a frame stays on show (for 2 s at most), and some never where they follow each other faster.

    Args:
        path: the file.
        rate: ticks a second.
        max_side: make frames smaller whose longer side has more pixels than this.

    Yields:
        seconds since the first frame, and the frame: uint8 RGB `(H, W, 3)`, not to be written to.

    Raises:
        InputError: there is no such file, it is no video, or no more than half of it can be decoded.
    """
    if rate is not None and not rate > 0:
        raise InputError(f"the rate is {rate}: give more than 0 frames a second")
    with _opened(path) as (container, stream):
        frames = _timed(_decoded(container, stream, path=path))
        if rate is None:
            for time, frame in frames:
                yield time, _to_array(frame, stream, max_side=max_side)
            return
        tick = 0
        for time, frame, until in _shown_until(frames):
            # the hair's breadth keeps a frame that is due exactly now from being taken for the one before
            first, tick = tick, max(tick, int(np.ceil(until * rate - 1e-6)))
            last = min(tick, int(np.ceil((time + MAX_HOLD) * rate - 1e-6)))
            if first < last:
                pixels = _to_array(frame, stream, max_side=max_side)
                for k in range(first, last):
                    yield k / rate, pixels


def upright(frame: np.ndarray, degrees: int) -> np.ndarray:
    """Turn a frame `(H, W, ...)` counter-clockwise by a multiple of 90 degrees; other angles stay as they are."""
    return np.rot90(frame, degrees // 90) if degrees % 90 == 0 else frame


@contextmanager
def _opened(path: Path | str) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """The file and its first stream of frames."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a video: give a file")
    if not path.is_file():
        raise InputError(f"there is no video {path}: check the name")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty: copy the video again")
    try:
        container = av.open(f"file:{path}", container_options={"format_whitelist": FORMATS})
    except PermissionError as error:
        raise InputError(f"cannot open {path}: no permission") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{path} is not a video, or it is truncated or damaged: it cannot be opened") from error
    with container:
        # a song's cover is a stream of one frame too
        streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams:
            raise InputError(f"{path} has no frames, only sound or other data: give a video")
        stream = streams[0]
        if stream.codec_context is None:
            raise InputError(
                f"{path} is encoded in a way that cannot be decoded here: convert it to H.264 in an MP4 file"
            )
        if max(stream.width, stream.height) > MAX_SIDE:
            size = f"{stream.width} x {stream.height} pixels"
            raise InputError(f"{path} is {size}: more than {MAX_SIDE} on a side cannot be read")
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = min(os.cpu_count() or 1, THREADS)
        yield container, stream


def _packets(container: av.container.InputContainer, *streams: av.VideoStream) -> Iterator[av.Packet]:
    """Packets until the data end, or until they make no sense any more."""
    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):
            return
        except IndexError:  # PyAV's, where damage makes a packet belong to a stream that the file's head does not list
            return
        yield packet


def _decoded(
    container: av.container.InputContainer, stream: av.VideoStream, *, path: Path | str
) -> Iterator[av.VideoFrame]:
    """Every frame that can be decoded; a damaged packet is left out, as players do."""
    good = bad = 0
    for packet in _packets(container, stream):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            bad += 1
            continue
        for frame in frames:
            good += 1
            yield frame
    if good <= bad:
        raise InputError(f"{path} is damaged: {good} of its {good + bad} frames can be decoded; copy it again")


def _timed(frames: Iterator[av.VideoFrame]) -> Iterator[tuple[float, av.VideoFrame]]:
    """Frames with the seconds since the first; one without a time follows the one before as fast as that did."""
    start, last, step = None, 0.0, 0.04
    for frame in frames:
        if start is None:
            start = frame.time or 0.0
            yield 0.0, frame
            continue
        time = frame.time - start if frame.time is not None else last + step
        if time > last:
            last, step = time, time - last
            yield time, frame


def _shown_until(frames: Iterator[tuple[float, av.VideoFrame]]) -> Iterator[tuple[float, av.VideoFrame, float]]:
    """Frames with the time at which the next one takes their place; the last one stays for an instant."""
    before = None
    for time, frame in frames:
        if before is not None:
            yield *before, time
        before = time, frame
    if before is not None:
        yield *before, before[0] + 2e-6


def _square_size(frame: av.VideoFrame, stream: av.VideoStream, *, max_side: int | None = None) -> tuple[int, int]:
    """Width and height with square pixels and no side longer than `max_side`, not yet turned."""
    wide = float(stream.sample_aspect_ratio or 1)  # width of a pixel over its height
    width, height = frame.width * max(wide, 1.0), frame.height / min(wide, 1.0)
    shrink = min(1.0, (max_side or MAX_SIDE) / max(width, height))
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def _to_array(frame: av.VideoFrame, stream: av.VideoStream, *, max_side: int | None) -> np.ndarray:
    width, height = _square_size(frame, stream, max_side=max_side)
    return upright(frame.to_ndarray(format="rgb24", width=width, height=height), frame.rotation)
