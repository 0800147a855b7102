"""Videos and photographs that tests write, as other people's cameras and programs would."""

import re
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

ALONE = "pools=none:frame-threads=1"  # on a busy machine the threads of x265 have waited for each other for ever


def encode(
    path: Path,
    frames: Sequence[np.ndarray],
    codec: str = "libx264",
    pixels: str = "yuv420p",
    matrix: Sequence[int] | None = None,
    kind: str | None = None,
    first: int = 0,
    wide: Fraction | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write frames `(H, W, 3)` at 25 a second, the first at number `first`; a matrix has its first two rows."""
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        if wide is not None:
            stream.codec_context.sample_aspect_ratio = wide
        if matrix is not None:
            stream.set_display_matrix([*(value << 16 for value in matrix), 0, 0, 1 << 30])
        for k, values in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(values, format="rgb24")
            frame.pts = first + k
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def grey(values: Sequence[float], size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    """Frames of one grey each."""
    return [np.full((*size, 3), round(value), np.uint8) for value in values]


def joined(path: Path, *parts: Path) -> Path:
    """One file after the other, as `cat` does it."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def corner(size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A frame that looks different in each of the eight orientations: red is brightest top left, green bottom right."""
    y, x = np.mgrid[: size[0], : size[1]]
    frame = np.full((*size, 3), 60, np.uint8)
    frame[(y < size[0] / 3) & (x < size[1] / 2)] = 220
    frame[(y > size[0] * 2 / 3) & (x > size[1] * 3 / 4)] = 140
    return frame


def dolby(path: Path, frames: Sequence[np.ndarray], profile: int, full_range: int) -> Path:
    """Write HEVC frames that each end in data of Dolby Vision (RPU); 0 and 1 make it profile 5, 1 and 0 profile 8."""
    shades = "full" if full_range else "limited"
    options = {"x265-params": f"log-level=none:{ALONE}:bframes=0:range={shades}"}
    plain = encode(path.with_suffix(".plain.mkv"), frames, "libx265", "yuv420p10le", options=options)
    unit = b"\x7c\1" + re.sub(b"\0\0(?=[\0-\3])", b"\0\0\3", _rpu(profile, full_range))
    with av.open(str(plain)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                longer = av.Packet(bytes(packet) + struct.pack(">I", len(unit)) + unit)
                longer.pts, longer.dts, longer.time_base = packet.pts, packet.pts, packet.time_base
                longer.is_keyframe, longer.stream = packet.is_keyframe, stream
                container.mux(longer)
    return path


def _rpu(profile: int, full_range: int) -> bytes:
    """Data of Dolby Vision that leave the three planes as they are (ETSI GS CCM 001)."""

    def coded(*numbers: int) -> str:  # Exp-Golomb
        return "".join(f"{n + 1:b}".zfill(2 * (n + 1).bit_length() - 1) for n in numbers)

    bits = f"{2:06b}{18:011b}{profile:04b}{1:04b}" + "1000" + coded(23) + f"01{full_range:b}"
    bits += coded(2, 2, 4) + "000001" + "00" + coded(0, 0, 0)  # 10, 10 and 12 bits; no second layer, no colours
    bits += 3 * (coded(0) + f"{0:010b}{1023:010b}") + coded(0, 0)  # one piece from the darkest to the brightest
    bits += 3 * (coded(0, 0) + "0" + coded(0) + 23 * "0" + coded(1) + 23 * "0")  # y = 0 + 1 x
    body = int(bits + -len(bits) % 8 * "0", 2).to_bytes(-(-len(bits) // 8), "big")
    check = 0xFFFFFFFF
    for byte in body:
        check ^= byte << 24
        for _ in range(8):
            check = (check << 1 ^ (0x104C11DB7 if check >> 31 else 0)) & 0xFFFFFFFF
    return b"\x19" + body + struct.pack(">IB", check, 0x80)


def heic(path: Path, images: Sequence[np.ndarray], tiles: bool = False) -> Path:
    """Write images of one size as HEIC (ISO/IEC 23008-12); with `tiles` they are one image, cut into columns."""
    coded = [_intra(image, path.with_suffix(".hevc")) for image in images]
    sets = [unit for unit in coded[0] if _type(unit) in (32, 33, 34)]
    profile = next(unit for unit in sets if _type(unit) == 33)[3:15]
    config = b"\1" + profile + struct.pack(">HBBBBHB", 0xF000, 0xFC, 0xFD, 0xF8, 0xF8, 0, 0x0F) + bytes([len(sets)])
    config += b"".join(bytes([0x80 | _type(unit)]) + struct.pack(">HH", 1, len(unit)) + unit for unit in sets)
    items = [b"".join(struct.pack(">I", len(u)) + u for u in units if _type(u) < 32) for units in coded]
    (height, width), kinds = images[0].shape[:2], [b"hvc1"] * len(items)
    owned = [bytes([0x81, 2])] * len(items)  # which properties: the configuration, and the size
    extra = b""
    if tiles:
        items.insert(0, bytes([0, 0, 0, len(images) - 1]) + struct.pack(">HH", width * len(images), height))
        kinds.insert(0, b"grid")
        owned.insert(0, bytes([3]))
        to = [struct.pack(">H", k + 2) for k in range(len(images))]
        extra = _full(b"iref", 0, _box(b"dimg", struct.pack(">HH", 1, len(to)), *to))
    sizes = [_full(b"ispe", 0, struct.pack(">II", wide, height)) for wide in (width, width * len(images))[: 1 + tiles]]
    count = struct.pack(">H", len(items))

    def meta(start: int) -> bytes:
        places = [start + sum(map(len, items[:k])) for k in range(len(items))]
        where = [struct.pack(">HHHII", k + 1, 0, 1, places[k], len(item)) for k, item in enumerate(items)]
        what = [_full(b"infe", 2, struct.pack(">HH4s", k + 1, 0, kind), b"\0") for k, kind in enumerate(kinds)]
        has = [struct.pack(">HB", k + 1, len(properties)) + properties for k, properties in enumerate(owned)]
        return _full(
            b"meta",
            0,
            _full(b"hdlr", 0, b"\0\0\0\0pict" + bytes(13)),
            _full(b"pitm", 0, struct.pack(">H", 1)),
            _full(b"iloc", 0, b"\x44\0", count, *where),
            _full(b"iinf", 0, count, *what),
            extra,
            _box(
                b"iprp",
                _box(b"ipco", _box(b"hvcC", config), *sizes),
                _full(b"ipma", 0, struct.pack(">I", len(items)), *has),
            ),
        )

    head = _box(b"ftyp", b"heic\0\0\0\0mif1heic")
    path.write_bytes(head + meta(len(head) + len(meta(0)) + 8) + _box(b"mdat", *items))
    return path


def _intra(image: np.ndarray, scratch: Path) -> list[bytes]:
    """The units of an HEVC stream of one frame."""
    encode(scratch, [image], "libx265", options={"x265-params": f"log-level=none:{ALONE}"})
    return [unit for unit in re.split(b"\0\0\0?\1", scratch.read_bytes()) if unit]


def _type(unit: bytes) -> int:
    return unit[0] >> 1 & 63


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _full(kind: bytes, version: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24), *parts)
