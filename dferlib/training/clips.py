"""The frames of clips, from where they are stored to the device that computes."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from dferlib.data.sampling import segment_indices
from dferlib.data.table import ArraySource, ClipSource, check_frames
from dferlib.devices import to_device
from dferlib.errors import InputError
from dferlib.models.base import InputSpec

MEMORY_BYTES = 2**30  # clips that take no more than this are kept in memory
DEVICE_SHARE = 0.25  # clips that take no more than this part of a GPU's free memory are kept there
Made = TypeVar("Made")


def prefetch(make: Callable[[int], Made], numbers: range, device: torch.device) -> Iterator[Made]:
    """Yield `make(number)` for each number; the next one is made, in a thread, while the caller uses this one.

    A CPU that computes makes each when it is asked for. It has no time to spare, and threads beside those of the
    step keep them waiting for each other: on two cores that took a fifth of the time, where making takes a thirtieth.
    """
    if device.type == "cpu":
        yield from map(make, numbers)
        return
    with ThreadPoolExecutor(1, "dferlib-batches") as thread:
        coming = [thread.submit(make, number) for number in numbers[:1]]
        for number in numbers:
            made = coming.pop().result()
            if number + 1 in numbers:
                coming.append(thread.submit(make, number + 1))
            yield made


def load_into_memory(source: ClipSource) -> ClipSource:
    """Read a small source into memory once; leave a large one where it is."""
    if isinstance(source, ArraySource) or _bytes(source) > MEMORY_BYTES:
        return source
    clips = [_read(source, index, np.arange(count)) for index, count in enumerate(source.table.frames)]
    return ArraySource(source.table, clips, source.fingerprint)


class Clips:
    """The stored frames of a source, on the device that computes.

    Args:
        source: the clips.
        device: where they are wanted.
        on_device: put all of them there at once; by default where they fit in a part of a GPU's free memory.
    """

    def __init__(self, source: ClipSource, device: torch.device, *, on_device: bool | None = None) -> None:
        self.source, self.device = source, device
        self.everything: Tensor | None = None
        # decoders let go of Python's lock; clips in memory take no time, and one thread is enough
        self.readers = ThreadPoolExecutor(1 if isinstance(source, ArraySource) else os.cpu_count(), "dferlib-readers")
        if on_device is None:
            on_device = device.type == "cuda" and _bytes(source) < DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]
        if on_device:
            counts = source.table.frames
            self.starts = np.cumsum(counts) - counts
            one = _read(source, 0, np.zeros(1, dtype=np.int64))
            self.everything = torch.empty((int(counts.sum()), *one.shape[1:]), dtype=torch.uint8, device=device)
            for index, (start, count) in enumerate(zip(self.starts, counts, strict=True)):
                clip = _read(source, index, np.arange(count))
                if clip.shape[1:] != one.shape[1:]:
                    raise _unequal(source, index)
                self.everything[start : start + count] = torch.from_numpy(clip)

    def take(self, indices: np.ndarray, frames: np.ndarray) -> Tensor:
        """Frames `(B, F)` of the clips `(B,)` as uint8 `(B, F, C, H, W)`.

        Raises:
            InputError: a clip cannot be read, or the frames differ in size.
        """
        if self.everything is not None:
            where = to_device(torch.from_numpy((self.starts[indices][:, None] + frames).ravel()), self.device)
            return self.everything.index_select(0, where).unflatten(0, frames.shape)
        clips = list(self.readers.map(partial(_read, self.source), indices.tolist(), frames))
        for index, clip in zip(indices, clips, strict=True):
            if clip.shape != clips[0].shape:
                raise _unequal(self.source, int(index))
        batch = torch.from_numpy(np.stack(clips))
        # pinned memory is copied by the GPU itself, while it computes
        return to_device(batch.pin_memory() if self.device.type == "cuda" else batch, self.device)


def middle_frames(source: ClipSource, spec: InputSpec, per_segment: int) -> np.ndarray:
    """What evaluation looks at: the middle frames of the segments of every clip, int64 `(N, F)`."""
    segments = spec.frames // per_segment
    return np.stack([segment_indices(count, segments, per_segment) for count in source.table.frames])


def _bytes(source: ClipSource) -> int:
    return _read(source, 0, np.zeros(1, dtype=np.int64)).nbytes * int(source.table.frames.sum())


def _read(source: ClipSource, index: int, frames: np.ndarray) -> np.ndarray:
    try:
        clip = source.read(index, frames)
    except InputError:
        raise
    except (OSError, ValueError, EOFError, IndexError) as error:
        name = str(source.table.ids[index])
        raise InputError(f"cannot read the clip {name!r} ({error}): is its file whole?") from error
    check_frames(str(source.table.ids[index]), clip, len(frames))
    return clip


def _unequal(source: ClipSource, index: int) -> InputError:
    name = str(source.table.ids[index])
    return InputError(f"the frames of clip {name!r} are of another size than others: bring all to one size first")
