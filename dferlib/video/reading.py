"""Reading a video: what it is, and its frames one after the other."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
from tqdm import tqdm

from dferlib.errors import InputError
from dferlib.files import spell
from dferlib.video.clock import STEP, Clock, timed
from dferlib.video.opening import (
    HEADER,
    MAX_SIDE,
    decoded,
    is_frame,
    opened,
    packets,
    refuse_another_codec,
    refuse_several,
)
from dferlib.video.pixels import Pixels, Shown

Timed = TypeVar("Timed", tuple[float, np.ndarray], tuple[float, Shown])

STATES_LENGTH = ("mov", "matroska", "avi", "asf", "flv")  # elsewhere the length is a guess from what is there
MAX_HOLD = 2.0  # seconds that one frame may stand for when a video is sampled; a gap in time beyond it is a gap


@dataclass(frozen=True)
class VideoInfo:
    """What a video is.

    Attributes:
        path: the file.
        width: of the first frame as it is to be seen, that is, turned upright and with square pixels.
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

    def scale(self, frame: np.ndarray) -> float:
        """Pixels of a frame `(H, W, ...)` over pixels of the first, in which places in the video are given.

        It is not 1 for frames that were made smaller, and where the size changes within the video.
        """
        return max(frame.shape[:2]) / self.longer_side


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
        return self._watched(read_video(self.info.path, self.rate, max_side=max_side), doing)

    def shown(self, doing: str) -> Iterator[tuple[float, Shown]]:
        """The same of which arrays are made later: what `show_video` gives."""
        return self._watched(show_video(self.info.path, self.rate), doing)

    def _watched(self, frames: Iterator[Timed], doing: str) -> Iterator[Timed]:
        total, title = int(self.info.duration * self.rate) + 1, f"{spell(self.info.path.name)}: {doing}"
        return iter(tqdm(frames, title, total, unit="frame", delay=2, leave=False, disable=not self.progress))


def probe(path: Path | str) -> VideoInfo:
    """Read through a video without decoding more than its first frame.

    Raises:
        InputError: there is no such file, it is no video, nothing in it can be decoded, it is shorter than it says it
            is (truncated), it is several videos of which only the first can be read, or its codec changes.
    """
    with opened(path) as (container, stream):
        width, height = Pixels(path, stream).size(next(decoded(container, stream, path=path)))
    with opened(path) as (container, stream):
        stated, start = container.duration, (container.start_time or 0) / av.time_base
        kind = container.format.name.split(",")[0]
        claims = stated is not None and kind in STATES_LENGTH and not (kind == "avi" and _is_whole_avi(path))
        times, frames, last, broken = [], 0, 0.0, False
        gaps, read, clock = [], HEADER, Clock(container.format.name)
        for packet in packets(container):
            broken = packet.is_corrupt
            if packet.pos is not None:
                gaps += [(read, packet.pos)] if packet.pos - read > HEADER else []
                read = max(read, packet.pos + packet.size)
            if span := _span(packet):
                last = max(last, span[1])
            if packet.stream_index == stream.index:
                refuse_another_codec(container, path, packet)
                frames += is_frame(packet)
                clock.move(packet)
                times += [span] if (span := _span(packet)) else []
        refuse_several(container, path, gaps=[*gaps, (read, Path(path).stat().st_size)])
    reach = max(last, last - start)  # some count from 0, and others from where they begin
    whole = stated / av.time_base if claims and stated else reach
    missing = whole - reach
    if broken or missing > max(0.25, min(0.02 * whole, 2.0)):
        there = f"it should last {whole:.2f} s, but its data end after {reach:.2f} s"
        raise InputError(f"{path} is truncated: {there}; copy it again")
    # some files only have frames, one after the other
    duration = max(end for _, end in times) - min(begin for begin, _ in times) if times else frames * STEP
    return VideoInfo(Path(path), width=width, height=height, duration=duration, frames=max(frames, 1))


def _is_whole_avi(path: Path | str) -> bool:
    """Whether the chunks end where the file does; at the end may be empty frames, which stand for the one before."""
    with Path(path).open("rb") as file:
        while (head := file.read(8)).startswith(b"RIFF") and len(head) == 8:
            file.seek(int.from_bytes(head[4:], "little"), os.SEEK_CUR)
        return not head and file.tell() == Path(path).stat().st_size


def _span(packet: av.Packet) -> tuple[float, float] | None:
    """From when to when it is to be shown, in seconds, if it says so."""
    time = packet.pts if packet.pts is not None else packet.dts
    if time is None:
        return None
    return float(time * packet.time_base), float((time + (packet.duration or 0)) * packet.time_base)


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
        seconds since the first frame, rising, and the frame: uint8 RGB `(H, W, 3)`, not to be written to. Where the
        size changes within the video, it does here; `VideoInfo.scale` says by how much.

    Raises:
        InputError: there is no such file, it is no video, or no more than half of it can be decoded.
    """
    side = min(max_side or MAX_SIDE, MAX_SIDE)
    shown, array = None, np.empty(0)
    for time, frame in show_video(path, rate):
        if frame is not shown:
            shown, array = frame, frame.array(side)
        yield time, array


def show_video(path: Path | str, rate: float | None = None) -> Iterator[tuple[float, Shown]]:
    """What `read_video` gives, but an array is only made when somebody wants one, and then of any size.

    Args:
        path: the file.
        rate: ticks a second.

    Yields:
        seconds, and the frame; the same again where it stays on show.

    Raises:
        InputError: as `read_video`.
    """
    if rate is not None and not rate > 0:
        raise InputError(f"the rate is {rate}: give more than 0 frames a second")
    with opened(path) as (container, stream):
        pixels = Pixels(path, stream)
        frames = timed(decoded(container, stream, path=path))
        if rate is None:
            for time, frame in frames:
                yield time, Shown(pixels, frame)
            return
        tick = 0
        for time, frame, until in _shown_until(frames):
            # the hair's breadth keeps a frame that is due exactly now from being taken for the one before
            first, tick = tick, max(tick, int(np.ceil(until * rate - 1e-6)))
            last = min(tick, int(np.ceil((time + MAX_HOLD) * rate - 1e-6)))
            if first < last:
                shown = Shown(pixels, frame)
                for k in range(first, last):
                    yield k / rate, shown


def largest_frame(info: VideoInfo, max_side: int | None = None) -> tuple[int, int]:
    """Width and height of the largest frame, for a video may change its size; it does so at a key frame.

    Args:
        info: what `probe` says of the video.
        max_side: see `read_video`.

    Raises:
        InputError: the video is not there any more.
    """
    with opened(info.path) as (container, stream):
        pixels, sizes = Pixels(info.path, stream, max_side), []
        stream.codec_context.skip_frame = "NONKEY"
        for packet in packets(container, stream):
            with suppress(av.FFmpegError):
                sizes += [pixels.size(frame) for frame in packet.decode()]
    return max(sizes, key=max, default=(info.width, info.height))


def _shown_until(frames: Iterator[tuple[float, av.VideoFrame]]) -> Iterator[tuple[float, av.VideoFrame, float]]:
    """Frames with the time at which the next one takes their place; the last one stays for an instant."""
    before = None
    for time, frame in frames:
        if before is not None:
            yield *before, time
        before = time, frame
    if before is not None:
        yield *before, before[0] + 2e-6
