"""Opening a file that may hold a video, and decoding its frames.

What cannot be read as it is meant is refused, and what is lost is said.
"""

import logging
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import av
from av.stream import Disposition

from dferlib.errors import InputError
from dferlib.files import spell
from dferlib.video.clock import Clock

log = logging.getLogger("dferlib")

# What counts as a video. FFmpeg would also read play lists, which open other files, and draw any text as a frame.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,mpeg,mpegts,mpegvideo,ogg,gif,apng,mjpeg,h264,hevc,m4v,dv,mxf,"
    "yuv4mpegpipe,ivf,nut,rm,image2,jpeg_pipe,png_pipe,webp_pipe,bmp_pipe,tiff_pipe"
)
MAX_SIDE = 8192  # pixels; a header that claims more is more likely damaged than true
THREADS = 4  # that decode; each holds a frame of its own, which is 100 MB for the largest
ASIDE = Disposition.attached_pic | Disposition.timed_thumbnails  # a song's cover and previews are streams, too
# of these only the first is read where several are joined, or the others are read with what describes the first
ONE_VIDEO = ("mov", "matroska", "asf", "flv", "rm", "nut", "ivf", "yuv4mpegpipe", "apng", "gif")
HEADER = 32  # bytes at the beginning of such a file, at least
# of these the head of the next file may be read as part of a frame, or overlooked; they have long signatures
READ_ACROSS = ("nut", "rm", "ivf", "gif")
SIGNATURE = 8  # bytes

STARTS = ("mpegts", "mpeg", "h264", "hevc", "mpegvideo", "m4v")  # in which each part of a video has a start code
# what a video of each kind begins with, behind the start code; in none of the others it has a meaning
BEGINS = {
    "h264": (b"\x67",),  # parameters of a sequence
    "hevc": (b"\x42\x01",),  # the same
    "mpeg2video": (b"\xb8",),  # a group of pictures
    "mpeg4": (b"\x20",),  # a video object layer
}
SAME = {"mpeg1video": "mpeg2video"}  # read by one decoder


@contextmanager
def opened(path: Path | str) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """The file and the stream of frames that a player shows.

    Args:
        path: the file.

    Raises:
        InputError: there is no such file, or it is no video that can be read here.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a video: give a file")
    if not path.is_file():
        raise InputError(f"there is no video {path}: check the name")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty: copy the video again")
    # a % in a name numbers no further images, and what an album says of itself need not be UTF-8
    options = {"format_whitelist": FORMATS, "pattern_type": "none"}
    try:
        container = av.open(f"file:{path}", container_options=options, metadata_errors="replace")
    except PermissionError as error:
        raise InputError(f"cannot open {path}: no permission") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{path} is not a video, or it is truncated or damaged: it cannot be opened") from error
    with container:
        stream = _shown(container, path)
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = min(os.cpu_count() or 1, THREADS)
        yield container, stream


def _shown(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The stream that a player shows: of several, the one that is marked as the default."""
    with path.open("rb") as file:
        head = file.read(21)
    if head[12:16] == b"VP8X" and head[20] & 2:
        raise InputError(f"{path} is an animated WebP, which cannot be read here: save it as GIF or MP4")
    streams = [stream for stream in container.streams.video if not stream.disposition & ASIDE]
    if not streams:
        raise InputError(f"{path} has no frames, only sound or other data: give a video")
    # an animated AVIF has its first frame as an image, too
    stream = max(streams, key=lambda stream: (bool(stream.disposition & Disposition.default), stream.frames > 1))
    tiles = any(stream.disposition & Disposition.dependent for stream in streams)
    if tiles and not stream.disposition & Disposition.default:
        raise InputError(f"{path} is an image in tiles, as HEIC has them, and only one would be seen: save it as JPEG")
    if stream.codec_context is None:
        raise InputError(f"{path} is encoded in a way that cannot be decoded here: convert it to H.264 in an MP4 file")
    if max(stream.width, stream.height) > MAX_SIDE:
        size = f"{stream.width} x {stream.height} pixels"
        raise InputError(f"{path} is {size}: more than {MAX_SIDE} on a side cannot be read")
    return stream


def packets(container: av.container.InputContainer, *streams: av.VideoStream) -> Iterator[av.Packet]:
    """Packets until the data end, or until they make no sense any more.

    Args:
        container: an opened file.
        streams: which packets; all if none is given. Of each that is given an empty packet comes last, which makes a
            decoder give the frames that it still holds.
    """
    source = container.demux(*streams)
    # PyAV's IndexError: damage makes a packet belong to a stream that the file's head does not list
    with suppress(av.FFmpegError, IndexError):
        for packet in source:
            if packet.size:  # an empty one within the file stands for a frame that stays on show
                yield packet
    for stream in streams:
        end = av.Packet()
        end.stream = stream
        if stream.time_base is not None:
            end.time_base = stream.time_base
        yield end


def decoded(
    container: av.container.InputContainer, stream: av.VideoStream, *, path: Path | str
) -> Iterator[av.VideoFrame]:
    """Every frame that can be decoded; a damaged packet is left out, as players do, and at the end that is said.

    Their times go on where those of the file start again, see `Clock`.

    Args:
        container: an opened file.
        stream: whose frames.
        path: the file, for what is said.

    Raises:
        InputError: no more than half of the frames can be decoded.
    """
    sent = good = bad = fields = 0
    clock = Clock(container.format.name)
    for packet in packets(container, stream):
        clock.move(packet)
        sent += is_frame(packet)
        try:
            frames = packet.decode()
        except av.FFmpegError:
            bad += is_frame(packet)
            continue
        for frame in frames:
            good += 1
            fields += frame.interlaced_frame
            yield frame
    if good <= bad:
        raise InputError(f"{path} is damaged: {good} of its {good + bad} frames can be decoded; copy it again")
    if sent - good > fields:  # the two fields of an interlaced frame may come one by one
        _say_once(str(path), sent - good, sent)


def is_frame(packet: av.Packet) -> bool:
    """Whether a packet holds a frame that is to be shown."""
    if packet.is_discard or not packet.size:
        return False
    # VP8 has frames that others are only made from
    return packet.stream.name != "vp8" or bool(bytes(packet)[0] & 0x10)


@lru_cache(maxsize=1000)
def _say_once(path: str, lost: int, present: int) -> None:
    """However often a video is gone through."""
    log.warning("%s: %d of its %d frames cannot be decoded and are left out", spell(path), lost, present)


def refuse_several(container: av.container.InputContainer, path: Path | str, gaps: list[tuple[int, int]]) -> None:
    """Refuse a file in which other videos follow the first, and would not be read, or with the first one's head.

    Args:
        container: the file.
        path: the same.
        gaps: from where to where nothing was read, the last to the end.

    Raises:
        InputError: there is another one.
    """
    kind = container.format.name.split(",")[0]
    if kind not in ONE_VIDEO:
        return
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        *between, (rest, end) = gaps
        # how such a file begins. MP4 has sound and frames in any order, so that much lies between what is read
        short, long = (data[4:8], data[4:12]) if kind == "mov" else (data[:4], data[:4])
        several = data.find(short, rest - len(short), end) >= 0 or any(data.find(long, *gap) >= 0 for gap in between)
        signature = b";" + data[:6] if kind == "gif" else data[:SIGNATURE]  # after the mark that ends a GIF
        if several or (kind in READ_ACROSS and data.find(signature, SIGNATURE) >= 0):
            remedy = "give them one by one, or join them with ffmpeg's concat"
            raise InputError(f"{path} is several videos in one file, of which only the first can be read: {remedy}")


def refuse_another_codec(container: av.container.InputContainer, path: Path | str, packet: av.Packet) -> None:
    """Refuse a file whose frames are encoded in another way from somewhere on: one of its parts would be lost.

    Args:
        container: the file.
        path: the same.
        packet: one of the video's.

    Raises:
        InputError: another kind of video begins in this packet.
    """
    name = packet.stream.name
    codec = SAME.get(name, name)
    if codec not in BEGINS or container.format.name not in STARTS:
        return
    data = bytes(packet)
    for other, begins in BEGINS.items():
        if other != codec and any(b"\0\0\1" + begin in data for begin in begins):
            remedy = "convert each part to H.264 and join them again, or give them one by one"
            raise InputError(f"{path} goes over from one codec to another ({codec}, {other}): {remedy}")
