"""Five hundred damaged videos and images: each is read, or refused with one line; quickly, and in little memory."""

import itertools
import multiprocessing
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

COUNT, SEED = 500, 20_261
LONGEST = 10.0  # seconds for a file
LARGEST = 4e9  # bytes of memory, of the process that reads them all
VIDEOS = {
    "h264.mp4": ("libx264", "yuv420p"),
    "mpeg4.avi": ("mpeg4", "yuv420p"),
    "vp8.webm": ("libvpx", "yuv420p"),
    "flv1.flv": ("flv1", "yuv420p"),
    "h264.mkv": ("libx264", "yuv420p"),
    "mpeg2.ts": ("mpeg2video", "yuv420p"),
    "gif.gif": ("gif", "rgb8"),
    "mjpeg.mov": ("mjpeg", "yuvj420p"),
}
IMAGES = ("photo.jpg", "photo.png", "photo.bmp")
SIZES = (0, 1, 8_192, 8_193, 30_000, 65_535)


def seeds(folder: Path) -> list[Path]:
    """Good files, to be damaged."""
    y, x = np.mgrid[:48, :64]
    made = []
    for name, (codec, pixels) in VIDEOS.items():
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
            for k in range(25):
                frame = np.stack([4 * x, 5 * y, 10 * k + 0 * x], -1).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        made.append(folder / name)
    for name in IMAGES:
        Image.fromarray(np.stack([x, y, x + y], -1).astype(np.uint8)).save(folder / name)
        made.append(folder / name)
    return made


def cut(data: bytearray, rng: np.random.Generator) -> bytearray:
    return data[: rng.integers(1, len(data))]


def flip(data: bytearray, rng: np.random.Generator) -> bytearray:
    for place in rng.integers(0, len(data), rng.integers(1, 60)):
        data[place] ^= int(rng.integers(1, 256))
    return data


def flip_head(data: bytearray, rng: np.random.Generator) -> bytearray:
    for place in rng.integers(0, min(300, len(data)), rng.integers(1, 8)):
        data[place] = int(rng.integers(0, 256))
    return data


def blank(data: bytearray, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(0, len(data)))
    count = min(len(data) - start, int(rng.integers(1, 2000)))
    data[start : start + count] = bytes(count)
    return data


def repeat(data: bytearray, rng: np.random.Generator) -> bytearray:
    start, end = sorted(rng.integers(0, len(data), 2))
    return data[:end] + data[start:]


def empty(data: bytearray, rng: np.random.Generator) -> bytearray:
    return data[:0]


def noise(data: bytearray, rng: np.random.Generator) -> bytearray:
    return data[: rng.integers(0, 40)] + bytearray(rng.bytes(int(rng.integers(1, 5000))))


def resized(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Claim an absurd size wherever the true one is written, in whatever byte order and width."""
    width, height = rng.choice(SIZES, 2).tolist()
    for form in (">HH", "<HH", ">II", "<II"):
        old = struct.pack(form, 64, 48)
        data = data.replace(old, struct.pack(form, width, height)).replace(
            struct.pack(form, 48, 64), struct.pack(form, height, width)
        )
    if data[:4] == b"\x89PNG":  # whose header has a checksum, without which nobody would look further
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return data


MUTATIONS: tuple[Callable[[bytearray, np.random.Generator], bytearray], ...] = (
    *(cut, flip, flip_head, blank, repeat, resized, resized, noise),
)


def mutants(folder: Path) -> Iterator[tuple[str, Path]]:
    """What was done to a file, and the file; the same on every run. The previous one is overwritten."""
    good, rng = seeds(folder), np.random.default_rng(SEED)
    suffixes = [path.suffix for path in good]
    plan = itertools.cycle(itertools.product(MUTATIONS, good))
    special = [(empty, path) for path in good]
    for number, (mutate, source) in enumerate(itertools.islice(itertools.chain(special, plan), COUNT)):
        data = mutate(bytearray(source.read_bytes()), rng)
        # every fifth has the name of another kind of file too
        suffix = str(rng.choice(suffixes)) if number % 5 == 0 else source.suffix
        path = folder / f"mutant{number}{suffix}"
        path.write_bytes(data)
        yield f"{mutate.__name__} of {source.name} as {suffix}", path
        path.unlink()


def read_everything(inbox: Connection) -> None:
    """In another process: read whatever path comes as a video and as an image, and answer what happened."""
    import resource

    from dferlib.data.sets.files import read_image
    from dferlib.errors import InputError
    from dferlib.video.reading import probe, read_video

    # a guard for the machine: what asks for far more ends with an error here
    resource.setrlimit(resource.RLIMIT_AS, (int(2 * LARGEST), int(2 * LARGEST)))
    while True:
        path = Path(inbox.recv())
        answers = []
        for read in (
            lambda: probe(path),  # noqa: B023
            lambda: [frame.shape for _, frame in read_video(path, 12.0, 640)],  # noqa: B023
            lambda: read_image(str(path), 64),  # noqa: B023
        ):
            try:
                read()
                answers.append("read")
            except InputError as error:
                answers.append("refused" if "\n" not in str(error) and str(path) in str(error) else f"unclear: {error}")
            except Exception as error:
                answers.append(f"{type(error).__name__}: {error}")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        inbox.send((answers, peak))


@pytest.mark.slow
def test_no_damaged_file_crashes_hangs_or_fills_the_memory(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="limits of memory are not known to this system")
    context = multiprocessing.get_context("spawn")
    wrong, peak, outcomes = [], 0, Counter[str]()

    def start() -> tuple[multiprocessing.process.BaseProcess, Connection]:
        mine, theirs = context.Pipe()
        process = context.Process(target=read_everything, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        return process, mine

    process, line = start()
    line.send(str(tmp_path / "nothing"))
    line.recv()  # what is imported once does not count
    for what, path in mutants(tmp_path):
        begin = time.monotonic()
        line.send(str(path))
        try:
            done = line.poll(LONGEST)
            answers, peak = line.recv() if done else ([f"hangs for more than {LONGEST} s"], peak)
        except (EOFError, ConnectionResetError):
            done, answers = False, ["ends the process"]
        if not done:
            process.kill()
            process.join()
            process, line = start()
        outcomes.update(answers)
        bad = [answer for answer in answers if answer not in ("read", "refused")]
        if bad or peak > LARGEST:
            wrong.append(f"{what}: {'; '.join(bad)} after {time.monotonic() - begin:.1f} s, {peak / 1e9:.1f} GB")
    process.kill()
    process.join()
    assert not wrong, "\n".join(wrong)
    # the damage is such that some can still be read, and most cannot be
    assert outcomes["read"] > 100 and outcomes["refused"] > 500
