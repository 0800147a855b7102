"""Batches of clips for training: read, brought to the device, augmented there; on a GPU while it uses the one before.

Whatever chance decides about a batch follows from the seed, the epoch and the number of the batch alone. So a training
can go on in the middle, and each of several processes knows the whole batch and takes its share of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
import torch
from torch import Tensor

from dferlib.data.sampling import segment_indices
from dferlib.data.table import ClipSource
from dferlib.data.transforms import Augment, normalise
from dferlib.devices import to_device
from dferlib.errors import InputError
from dferlib.models.base import ClipModel, Maps, each_map
from dferlib.training.clips import Clips, prefetch
from dferlib.training.config import TrainConfig
from dferlib.training.processes import rank_and_world_size


@dataclass(frozen=True)
class Batch:
    """A process's share of a batch.

    Args:
        inputs: normalised clips `(B, F, 3, H, W)`, or maps of a frozen backbone.
        labels: int64 `(B,)`.
        weight: what to multiply the mean loss of the share with, so that the mean over all processes is the mean over
            all clips of the batch; 1 where there is one process.
    """

    inputs: Maps
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

    def __init__(self, source: ClipSource, model: ClipModel, *, config: TrainConfig, device: torch.device) -> None:
        self.source, self.spec, self.config = source, model.input_spec, config
        self.clips, self.labels = Clips(source, device), torch.tensor(source.table.labels, device=device)
        self.rank, self.processes = rank_and_world_size()
        if len(source) < self.processes:
            raise InputError(f"{self.processes} processes for {len(source)} clips: start fewer")
        self.augment = Augment(self.spec.size, saturation=config.saturation, erase=config.erase)
        self.maps: list[Maps] = []  # those of each view, if they are kept
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

        return prefetch(make, range(first, len(batches)), self.labels.device)

    def batch(self, indices: np.ndarray, key: tuple[int, ...]) -> Batch:
        """This process's share of the clips `(B,)`, with what the key decides about them."""
        mine = np.array_split(np.arange(len(indices)), self.processes)[self.rank]
        if self.maps:
            views = np.random.default_rng(key).integers(len(self.maps), size=len(indices))
            chosen = zip(views[mine], indices[mine], strict=True)
            found = [each_map(itemgetter(index), self.maps[view]) for view, index in chosen]
            inputs = each_map(lambda *clips: to_device(torch.stack(clips), self.labels.device), *found)
        else:
            inputs = self.augmented(indices, key, mine)
        where = to_device(torch.from_numpy(indices[mine]), self.labels.device)
        return Batch(inputs, self.labels[where], len(mine) * self.processes / len(indices))

    def augmented(self, indices: np.ndarray, key: tuple[int, ...], mine: np.ndarray | slice = slice(None)) -> Tensor:
        """Those of the clips `(B,)` that are `mine`, at random frames, augmented and normalised on the device."""
        chance = np.random.default_rng(key)
        parts, segments = self.config.per_segment, self.spec.frames // self.config.per_segment
        counts = self.source.table.frames[indices]
        frames = np.stack([segment_indices(count, segments, per_segment=parts, rng=chance) for count in counts])
        generator = torch.Generator().manual_seed(int(chance.integers(2**62)))
        draws = self.augment.draw(len(indices), generator)
        clips = self.clips.take(indices[mine], frames[mine])
        pixels = self.augment.apply(clips, draws.take(mine if isinstance(mine, slice) else torch.from_numpy(mine)))
        return normalise(pixels, self.spec.mean, self.spec.std)
