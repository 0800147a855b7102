"""The ways of clips that have no network in them: rendering, packing, reading. Each beside the least that it could be.

All of it is timed in one process, and torch has one thread; FFmpeg has its own.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image

from benchmarks.check_data import make_frames, make_lists
from dferlib.data.pack import pack
from dferlib.evidence.speed import Product, Timing, Work, stopwatch, take_turns
from dferlib.makefaces import generator, kernel
from dferlib.makefaces.assets import load_head
from dferlib.makefaces.identity import sample_identity
from dferlib.makefaces.protocol import Version
from dferlib.makefaces.render import Actor
from dferlib.video.opening import THREADS
from dferlib.video.reading import read_video

PRODUCT_SIDE = 1024  # of the matrices whose product a rendered clip is compared with
CLIPS, FRAMES = 10, 16  # that are packed
PACKED_SIDE = 128  # pixels
VIDEO = (60, 480, 640)  # frames, height and width


def measure_paths(seconds: float) -> dict[str, dict[str, Any]]:
    """Time all of them in turns; without numba nothing is rendered, because that would be another renderer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            works = {**_packing(Path(folder) / "set"), **_reading(Path(folder) / "video.mp4")}
            if kernel.available():
                works |= _rendering()
            found = take_turns(works, seconds, stopwatch(torch.device("cpu")), progress=True)
    finally:
        torch.set_num_threads(threads)
    return {name: _row(timing) for name, timing in found.items()}


def _row(timing: Timing) -> dict[str, Any]:
    low, high = timing.middle
    return {"median": timing.median, "low": low, "high": high, "seconds": list(timing.seconds)}


def _rendering() -> dict[str, Work]:
    """A clip of a person, as it is made for the book; and a matrix product, for want of another renderer."""
    version = Version("book")
    actor = Actor(sample_identity(np.random.default_rng(0), load_head().shape_names), version.spec.side)
    return {
        "render": lambda: generator.make_clip(actor, version, 0, np.random.default_rng(0)),
        "render, product": Product(torch.device("cpu"), side=PRODUCT_SIDE),
    }


def _packing(folder: Path) -> dict[str, Work]:
    """A small DFEW; and its frames opened, scaled and saved without looking left or right."""
    source, out = folder / "dfew", folder / "packed"
    make_frames(source / "Clip" / "clip_224x224", [FRAMES] * CLIPS)
    make_lists(source / "EmoLabel_DataSplit", CLIPS)
    files = sorted(source.rglob("*.jpg"))

    def packed() -> None:
        pack("DFEW", source, out, size=PACKED_SIDE, workers=1, progress=False)
        shutil.rmtree(out)

    def plain() -> None:
        frames = []
        for file in files:
            with Image.open(file) as image:
                frames.append(np.asarray(image.convert("RGB").resize((PACKED_SIDE,) * 2, Image.Resampling.BILINEAR)))
        np.save(folder / "plain.npy", np.stack(frames))

    return {"pack": packed, "pack, Pillow": plain}


def _reading(path: Path) -> dict[str, Work]:
    """Every frame of a video; and the same by PyAV alone."""
    count, height, width = VIDEO
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, height // 16, width // 16, 3), dtype=np.uint8)
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=30, width=width, height=height, pix_fmt="yuv420p")
        for image in coarse.repeat(16, 1).repeat(16, 2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))

    def read() -> int:
        return sum(len(frame) for _, frame in read_video(path))

    def plain() -> int:
        with av.open(path) as container:
            stream = container.streams.video[0]
            stream.thread_type, stream.codec_context.thread_count = "AUTO", min(os.cpu_count() or 1, THREADS)
            return sum(len(frame.to_ndarray(format="rgb24")) for frame in container.decode(stream))

    return {"read": read, "read, PyAV": plain}
