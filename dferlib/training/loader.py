"""Batches of clips for training: read, brought to the device, augmented there; on a GPU while it uses the one before.

Whatever chance decides about a batch follows from the seed, the epoch and the number of the batch alone. So a training
can go on in the middle, and each of several processes knows the whole batch and takes its share of it.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from dferlib.data.sampling import segment_indices
from dferlib.data.table import ArraySource, ClipSource
from dferlib.data.transforms import Augment, normalise, prepare
from dferlib.errors import InputError
from dferlib.models.base import ClipModel, InputSpec
from dferlib.training.processes import place

if TYPE_CHECKING:
    from dferlib.training.config import TrainConfig

HOLD_BYTES = 2**30  # clips, or maps, that take no more than this are kept in memory
HOLD_PART = 0.25  # clips that take no more than this part of a GPU's free memory are kept there
VIEWS = 8  # augmented versions of each clip, where the maps of a frozen backbone are kept
KEPT = 4  # sources whose maps are kept at once: those that were trained on and validated with last
Made = TypeVar("Made")


def ahead(make: Callable[[int], Made], numbers: range, device: torch.device) -> Iterator[Made]:
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


def held(source: ClipSource) -> ClipSource:
    """Read a small source into memory once; leave a large one where it is."""
    if isinstance(source, ArraySource) or _bytes(source) > HOLD_BYTES:
        return source
    clips = [_read(source, index, np.arange(count)) for index, count in enumerate(source.table.frames)]
    return ArraySource(source.table, clips, source.fingerprint)


class Clips:
    """The stored frames of a source, on the device that computes.

    Args:
        source: the clips.
        device: where they are wanted.
        hold: put all of them there at once; by default where they fit in a part of a GPU's free memory.
    """

    def __init__(self, source: ClipSource, device: torch.device, hold: bool | None = None) -> None:
        self.source, self.device = source, device
        self.everything: Tensor | None = None
        # decoders let go of Python's lock; clips in memory take no time, and one thread is enough
        self.readers = ThreadPoolExecutor(1 if isinstance(source, ArraySource) else os.cpu_count(), "dferlib-readers")
        if hold is None:
            hold = device.type == "cuda" and _bytes(source) < HOLD_PART * torch.cuda.mem_get_info(device)[0]
        if hold:
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
        """Frames `(B, T)` of the clips `(B,)` as uint8 `(B, T, C, H, W)`.

        Raises:
            InputError: a clip cannot be read, or the pictures differ in size.
        """
        if self.everything is not None:
            where = torch.from_numpy((self.starts[indices][:, None] + frames).ravel()).to(self.device)
            return self.everything.index_select(0, where).unflatten(0, frames.shape)
        clips = list(self.readers.map(partial(_read, self.source), indices.tolist(), frames))
        for index, clip in zip(indices, clips, strict=True):
            if clip.shape != clips[0].shape:
                raise _unequal(self.source, int(index))
        batch = torch.from_numpy(np.stack(clips))
        # pinned memory is copied by the GPU itself, while it computes
        return (
            batch.pin_memory().to(self.device, non_blocking=True)
            if self.device.type == "cuda"
            else batch.to(self.device)
        )


@dataclass(frozen=True)
class Batch:
    """A process's share of a batch.

    Args:
        inputs: normalised clips `(B, T, 3, H, W)`, or maps of a frozen backbone.
        labels: int64 `(B,)`.
        weight: what to multiply the mean loss of the share with, so that the mean over all processes is the mean over
            all clips of the batch; 1 where there is one process.
    """

    inputs: Tensor
    labels: Tensor
    weight: float


class Loader:
    """The batches of each epoch.

    Args:
        source: the clips to learn from.
        model: what they are for.
        config: of the training.
        device: where the batches are wanted.

    Raises:
        InputError: there are more processes than clips.
    """

    def __init__(self, source: ClipSource, model: ClipModel, config: "TrainConfig", device: torch.device) -> None:
        self.source, self.spec, self.config = source, model.input_spec, config
        self.clips, self.labels = Clips(source, device), torch.tensor(source.table.labels, device=device)
        self.rank, self.processes = place()
        if len(source) < self.processes:
            raise InputError(f"{self.processes} processes for {len(source)} clips: start fewer")
        self.augment = Augment(self.spec.size, saturation=config.saturation, erase=config.erase)
        self.maps: list[Tensor] = []  # those of each view, if they are kept
        # a last batch that is too small to be shared goes with the one before
        self.ends = [*range(config.batch_size, len(source) - self.processes + 1, config.batch_size)]
        self.per_epoch = len(self.ends) + 1

    def order(self, epoch: int) -> np.ndarray:
        """The clips of an epoch: each once, or, with balanced sampling, as many drawn with all classes alike."""
        chance = np.random.default_rng([self.config.seed, epoch])
        if self.config.balance != "sampling":
            return chance.permutation(len(self.source))
        labels = self.source.table.labels
        odds = 1 / np.bincount(labels)[labels]
        return chance.choice(len(labels), len(labels), p=odds / odds.sum())

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from the batch `first` on, counted from 0."""
        batches = np.split(self.order(number), self.ends)

        def make(step: int) -> Batch:
            return self.batch(batches[step], (self.config.seed, number, step))

        return ahead(make, range(first, len(batches)), self.labels.device)

    def batch(self, indices: np.ndarray, key: tuple[int, ...]) -> Batch:
        """This process's share of the clips `(B,)`, with what the key decides about them."""
        mine = np.array_split(np.arange(len(indices)), self.processes)[self.rank]
        if self.maps:
            views = np.random.default_rng(key).integers(len(self.maps), size=len(indices))
            found = [self.maps[view][index] for view, index in zip(views[mine], indices[mine], strict=True)]
            inputs = torch.stack(found).to(self.labels.device)
        else:
            inputs = self.augmented(indices, key, mine)
        where = torch.from_numpy(indices[mine]).to(self.labels.device)
        return Batch(inputs, self.labels[where], len(mine) * self.processes / len(indices))

    def augmented(self, indices: np.ndarray, key: tuple[int, ...], mine: np.ndarray | slice = slice(None)) -> Tensor:
        """Those of the clips `(B,)` that are `mine`, at random frames, augmented and normalised on the device."""
        chance = np.random.default_rng(key)
        parts, segments = self.config.per_segment, self.spec.frames // self.config.per_segment
        counts = self.source.table.frames[indices]
        frames = np.stack([segment_indices(count, segments, parts, chance) for count in counts])
        generator = torch.Generator().manual_seed(int(chance.integers(2**62)))
        draws = self.augment.draw(len(indices), generator)
        clips = self.clips.take(indices[mine], frames[mine])
        pixels = self.augment.apply(clips, draws.take(mine if isinstance(mine, slice) else torch.from_numpy(mine)))
        return normalise(pixels, self.spec.mean, self.spec.std)


def middle_frames(source: ClipSource, spec: InputSpec, per_segment: int) -> np.ndarray:
    """What evaluation looks at: the middle frames of the segments of every clip, int64 `(N, T)`."""
    segments = spec.frames // per_segment
    return np.stack([segment_indices(count, segments, per_segment) for count in source.table.frames])


class KeptMaps:
    """The maps of frozen backbones, computed once for each source and kept while the source lives.

    A row of a study differs from the next in what follows the backbone, and both learn from the same maps: of `VIEWS`
    versions of each training clip, whose frames, crop, mirroring and light are drawn once for all epochs and seeds, and
    of the plain validation clips. Each epoch takes one of the versions of each clip at random.
    """

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[ClipSource, tuple[str, list[Tensor]]] = WeakKeyDictionary()

    def of(self, source: ClipSource, name: str, make: Callable[[int], Iterator[Tensor]], views: int) -> list[Tensor]:
        """The maps of every view, each (N, ...); an empty list where they would take too much memory.

        Args:
            source: whose maps they are.
            name: tells what they depend on; other maps of the same source are forgotten.
            make: gives the maps of a view, batch by batch.
            views: how many there are.
        """
        if source in self._kept and self._kept[source][0] == name:
            return self._kept[source][1]
        found: list[Tensor] = []
        for view in range(views):
            parts = []
            for part in make(view):
                if part.nbytes / len(part) * len(source) * views > HOLD_BYTES:
                    return []
                parts.append(part)
            found.append(torch.cat(parts))
        self._kept.pop(source, None)
        while len(self._kept) >= KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[source] = name, found
        return found


KEPT_MAPS = KeptMaps()


def frozen_maps(model: ClipModel, loader: Loader | None, source: ClipSource, config: "TrainConfig") -> list[Tensor]:
    """The maps that a frozen backbone gives, from memory if they were computed before.

    Args:
        model: on the device that computes.
        loader: augments the training clips; None for the plain clips of a validation.
        source: what the maps are kept with.
        config: of the training.

    Returns:
        Of each view (N, ...); an empty list where they would take too much memory.
    """
    device = next(model.parameters()).device

    @torch.no_grad()
    def make(view: int) -> Iterator[Tensor]:
        model.eval()
        plain, frames = Clips(source, device, hold=False), middle_frames(source, model.input_spec, config.per_segment)
        for start in range(0, len(source), 64):
            indices = np.arange(start, min(start + 64, len(source)))
            if loader is None:
                clips = prepare(plain.take(indices, frames[indices]), model.input_spec)
            else:
                clips = loader.augmented(indices, (view, start))
            yield model.feature_maps(clips)

    digest = hashlib.sha256()
    for key, value in model.backbone.state_dict().items():
        digest.update(key.encode() + value.cpu().numpy().tobytes())
    shared = type(model).feature_maps is ClipModel.feature_maps
    what = (model.input_spec, config.per_segment, config.saturation, config.erase, loader is None, device)
    name = repr((digest.hexdigest(), what, None if shared else model.config))
    return KEPT_MAPS.of(source, name, make, 1 if loader is None else VIEWS)


def _bytes(source: ClipSource) -> int:
    return _read(source, 0, np.zeros(1, dtype=np.int64)).nbytes * int(source.table.frames.sum())


def _read(source: ClipSource, index: int, frames: np.ndarray) -> np.ndarray:
    try:
        return source.read(index, frames)
    except InputError:
        raise
    except (OSError, ValueError, EOFError, IndexError) as error:
        name = str(source.table.ids[index])
        raise InputError(f"cannot read the clip {name!r} ({error}): is its file whole?") from error


def _unequal(source: ClipSource, index: int) -> InputError:
    name = str(source.table.ids[index])
    return InputError(f"the pictures of clip {name!r} are of another size than others: bring all to one size first")
