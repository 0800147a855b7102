"""The maps of frozen backbones, computed once and kept in memory for every epoch and every seed.

A row of a study differs from the next in what follows the backbone, and both learn from the same maps: of `VIEWS`
versions of each training clip, whose frames, crop, mirroring and light are drawn once for all epochs and seeds, and of
the plain validation clips. Each epoch takes one of the versions of each clip at random.
"""

import hashlib
from collections.abc import Callable, Iterator
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from dferlib.data.table import ClipSource
from dferlib.data.transforms import prepare
from dferlib.models.base import ClipModel, Maps, each_map
from dferlib.training.clips import Clips, middle_frames
from dferlib.training.config import TrainConfig
from dferlib.training.evaluation import BATCH_SIZES
from dferlib.training.loader import Loader

MAPS_BYTES = 6 * 2**30  # maps that take no more than this are kept; MSSTNet's, of eight frames, take 3.7e9
VIEWS = 8  # augmented versions of each training clip
SOURCES = 4  # whose maps are kept at once: those that were trained on and validated with last
BATCH = 64  # clips that are augmented together


class KeptMaps:
    """The maps of the clips of each source, kept while the source lives."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[ClipSource, tuple[str, list[Maps]]] = WeakKeyDictionary()

    def get(self, source: ClipSource, *, name: str, make: Callable[[int], Iterator[Maps]], views: int) -> list[Maps]:
        """The maps of every view, each (N, ...); an empty list where they would take too much memory.

        Args:
            source: whose maps they are.
            name: tells what they depend on; other maps of the same source are forgotten.
            make: gives the maps of a view, batch by batch.
            views: how many there are.
        """
        if source in self._kept and self._kept[source][0] == name:
            return self._kept[source][1]
        self._kept.pop(source, None)  # before those that follow need its room
        found: list[Maps] = []
        for view in range(views):
            parts = []
            for part in make(view):
                tensors = [part] if isinstance(part, Tensor) else part
                if sum(tensor[0].nbytes for tensor in tensors) * len(source) * views > MAPS_BYTES:
                    return []
                parts.append(part)
            found.append(each_map(lambda *batches: torch.cat(batches), *parts))
        while len(self._kept) >= SOURCES:
            del self._kept[next(iter(self._kept))]
        self._kept[source] = name, found
        return found


KEPT_MAPS = KeptMaps()


def frozen_maps(
    model: ClipModel, source: ClipSource, *, config: TrainConfig, loader: Loader | None = None
) -> list[Maps]:
    """The maps that a frozen backbone gives, from memory if they were computed before.

    Args:
        model: on the device that computes.
        source: what the maps are kept with.
        config: of the training.
        loader: augments the training clips; without one they are the maps of the plain middle frames.

    Returns:
        Of each view (N, ...), one view without a loader; an empty list where they would take too much memory.
    """
    device = next(model.parameters()).device

    @torch.no_grad()
    def make(view: int) -> Iterator[Maps]:
        model.eval()
        plain = Clips(source, device, on_device=False)
        frames = middle_frames(source, model.input_spec, config.per_segment)
        for start in range(0, len(source), BATCH):
            indices = np.arange(start, min(start + BATCH, len(source)))
            if loader is None:
                clips = prepare(plain.take(indices, frames[indices]), model.input_spec)
            else:
                clips = loader.augmented(indices, (view, start))
            yield from map(model.feature_maps, clips.split(BATCH_SIZES[device.type]))

    name = f"{_name(model, config)} {device} {'plain' if loader is None else 'augmented'}"
    return KEPT_MAPS.get(source, name=name, make=make, views=1 if loader is None else VIEWS)


def _name(model: ClipModel, config: TrainConfig) -> str:
    """Text that differs whenever the maps of the same clips would."""
    digest = hashlib.sha256()
    for key, value in model.backbone.state_dict().items():
        digest.update(key.encode() + value.cpu().numpy().tobytes())
    # a model with a `feature_maps` of its own may take other maps from the same backbone
    own = None if type(model).feature_maps is ClipModel.feature_maps else model.config
    return repr((digest.hexdigest(), model.input_spec, config.per_segment, config.saturation, config.erase, own))
