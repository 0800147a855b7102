"""Running a trained model over a set of clips."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from dferlib.data.classes import match_classes
from dferlib.data.table import ClipSource
from dferlib.data.transforms import prepare
from dferlib.devices import pick_device, to_device
from dferlib.errors import InputError
from dferlib.models.base import ClipModel, Maps, each_map, keep_modes
from dferlib.training.clips import Clips, middle_frames, prefetch
from dferlib.training.metrics import summary
from dferlib.training.processes import all_gather, rank_and_world_size

# clips at once where nothing is learnt: what passes between the layers of a few stays in the cache of a CPU
BATCH_SIZES = {"cpu": 8, "cuda": 64, "mps": 64}


@dataclass(frozen=True)
class Predictions:
    """What a model says of each clip of a source, in its order.

    Args:
        ids: text `(N,)`.
        labels: int64 `(N,)`.
        groups: who is seen, text `(N,)`.
        logits: float32 `(N, C)`.
        classes: names of the C classes.
        features: clip embeddings, float32 `(N, D)`, where they were asked for.
    """

    ids: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    logits: np.ndarray
    classes: tuple[str, ...]
    features: np.ndarray | None = None

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each clip, int64 `(N,)`."""
        return self.logits.argmax(1)

    def metrics(self) -> dict[str, Any]:
        """UAR, WAR, recalls and confusion matrix, see `dferlib.training.metrics.summary`."""
        return summary(self.labels, self.logits)


def evaluate(
    model: ClipModel,
    source: ClipSource,
    *,
    batch_size: int | None = None,
    device: str = "auto",
    per_segment: int = 1,
    shuffle_frames: bool = False,
    features: bool = False,
    progress: bool = False,
    maps: Maps | None = None,
) -> Predictions:
    """Run a model over every clip of a source, once each, on the middle frames of its segments.

    Where several processes train together, each must call this, does a share of the clips and gets all results.

    Args:
        model: made by `create_model` or `load_model`.
        source: the clips.
        batch_size: clips at once; it does not change the result. The default is what is fast on the device.
        device: where to compute; the model returns to where it was.
        per_segment: consecutive frames of each segment, as in training.
        shuffle_frames: put the chosen frames of each clip into a random order, to see whether order matters.
        features: keep the clip embeddings too.
        progress: show a bar if it takes more than two seconds.
        maps: what the model's backbone gives for each of these clips (N, ...), if that is known already.

    Returns:
        In the order of the model's classes, whose names those of the clips must have, see `dferlib.match_classes`.

    Raises:
        InputError: the classes or the number of frames do not fit, a number is below 1, or a logit is nan or infinite.
    """
    check_fits(model, source, per_segment)
    source = match_classes(source, getattr(model, "classes", source.classes))
    frames = middle_frames(source, model.input_spec, per_segment)
    if shuffle_frames:
        frames = np.random.default_rng(0).permuted(frames, axis=1)
    rank, processes = rank_and_world_size()
    mine = np.array_split(np.arange(len(source)), processes)[rank]
    home, away = next(model.parameters()).device, pick_device(device)
    batches = _batches(mine, BATCH_SIZES[away.type] if batch_size is None else batch_size)
    try:
        with keep_modes(model):
            found = _run(model, source, batches, frames=frames, maps=maps, device=away, progress=progress)
    finally:
        model.to(home)
    logits, embeddings = (np.concatenate(part) for part in zip(*all_gather(found), strict=True))
    return _predictions(source, logits, embeddings if features else None)


def _batches(which: np.ndarray, size: int) -> list[np.ndarray]:
    if size < 1:
        raise InputError(f"batch_size is {size}: it must be 1 or more")
    return [which[start : start + size] for start in range(0, len(which), size)]


@torch.inference_mode()
def _run(
    model: ClipModel,
    source: ClipSource,
    batches: list[np.ndarray],
    *,
    frames: np.ndarray,
    maps: Maps | None,
    device: torch.device,
    progress: bool,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Logits and embeddings of each batch of clips; the model stays on the device, in evaluation mode."""
    clips, found = Clips(source, device, on_device=False), []
    precision = next(model.parameters()).dtype
    model.to(device).eval()

    def prepare_batch(number: int) -> Maps:
        which = batches[number]
        if maps is not None:
            return each_map(lambda kept: to_device(kept[torch.from_numpy(which)], device), maps)
        return prepare(clips.take(which, frames[which]), model.input_spec).to(precision)

    with tqdm(total=sum(map(len, batches)), unit="clip", disable=not progress, delay=2) as bar:
        for inputs in prefetch(prepare_batch, range(len(batches)), device):
            embedding = model.forward_features(inputs) if maps is None else model.features_from_maps(inputs)
            found.append((model.head(embedding).float().cpu().numpy(), embedding.float().cpu().numpy()))
            bar.update(len(embedding))
    return found


def _predictions(source: ClipSource, logits: np.ndarray, features: np.ndarray | None) -> Predictions:
    table, broken = source.table, ~np.isfinite(logits).all(1)
    if broken.any():
        first = str(table.ids[broken][0])
        raise InputError(
            f"the model gives nan or infinity for clip {first!r}: train it again, with a lower learning rate"
        )
    return Predictions(
        ids=table.ids,
        labels=table.labels,
        groups=table.groups,
        logits=logits,
        classes=source.classes,
        features=features,
    )


def check_fits(model: ClipModel, source: ClipSource, per_segment: int) -> None:
    """Refuse clips that a model cannot take.

    Raises:
        InputError: there are none, the number of frames does not fit, or, for a model that does not know the names of
            its classes yet, the number of classes.
    """
    outputs, frames = model.config["num_classes"], model.input_spec.frames
    if not len(source):
        raise InputError("the data set holds no clips: there is nothing to train or evaluate on")
    if not hasattr(model, "classes") and len(source.classes) != outputs:
        raise InputError(f"the data has {len(source.classes)} classes, the model {outputs}: they must be the same")
    if per_segment < 1 or frames % per_segment:
        raise InputError(f"the model takes {frames} frames, which {per_segment} per segment does not divide")
