"""What a model has learnt from, as features of clips: how far a new clip is from all of it.

A network answers whatever it is shown, and its probabilities say nothing of faces that are unlike those it knows. Its
features do: the clips that a wrong answer is given to lie farther from those that were learnt from. So a checkpoint
carries some of their features, and the distance beyond which one validation clip in twenty lies.
Source: Sun et al., "Out-of-distribution detection with deep nearest neighbors", ICML 2022.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dferlib.data.protocols import Part
from dferlib.data.table import ClipSource, name_of
from dferlib.models import ClipModel
from dferlib.training.checkpoints import add_beside, read_beside, read_metadata
from dferlib.training.evaluation import evaluate

MOST = 1000  # clips whose features are kept
NEIGHBOURS = 10  # the distance to so many of them counts
FAR = 0.95  # part of the validation clips that are not far away
LEAST = 1e-6  # the smallest limit: where all features are the same, rounding would decide


@dataclass(frozen=True)
class Known:
    """What a model has learnt from.

    Attributes:
        features: of clips that it has learnt from, float16 (N, D).
        labels: their classes, uint8 (N,).
        limit: the distance beyond which a clip is unlike them.
    """

    features: Tensor
    labels: Tensor
    limit: float = float("inf")

    def distance(self, features: Tensor) -> Tensor:
        """One minus the cosine between the features (M, D) of clips and the tenth most similar of these, (M,)."""
        near = min(NEIGHBOURS, len(self.features))
        like = _directions(features) @ _directions(self.features).T  # (M, N)
        return 1 - like.topk(near, dim=1).values[:, -1]

    def mean(self, label: int) -> Tensor:
        """The mean feature (D,) of a class."""
        return self.features[self.labels == label].double().mean(0)


def know(model: ClipModel, train: ClipSource, val: ClipSource, *, device: str, per_segment: int = 1) -> Known:
    """Note what a model has learnt from, when it has.

    Args:
        model: trained.
        train: the clips that it has learnt from; `MOST` of them, evenly spread, are kept.
        val: the clips that say which distance is usual.
        device: where to compute.
        per_segment: see `TrainConfig`.
    """
    some = Part(train, np.unique(np.linspace(0, len(train) - 1, min(MOST, len(train))).astype(int)), "train")
    learnt, usual = (
        evaluate(model, source, device=device, per_segment=per_segment, features=True) for source in (some, val)
    )
    found = Known(torch.from_numpy(learnt.features).half(), torch.from_numpy(learnt.labels.astype(np.uint8)))
    far = found.distance(torch.from_numpy(usual.features)).quantile(FAR) if len(val) else torch.inf
    return Known(found.features, found.labels, max(float(far), LEAST))


def write_known(path: Path, known: Known, source: ClipSource) -> None:
    """Put it into a checkpoint, with the name of the clips.

    Raises:
        InputError: see `add_beside`.
    """
    people = len(np.unique(source.table.groups))
    told = {"name": name_of(source), "clips": len(source), "people": people, "limit": known.limit}
    add_beside(path, {"features": known.features, "labels": known.labels}, known=told)


def read_known(path: Path | str) -> Known | None:
    """What the model of a checkpoint has learnt from; None where the file does not say.

    Raises:
        InputError: see `read_beside`.
    """
    tensors, told = read_beside(path), read_metadata(path)["metadata"].get("known")
    return Known(tensors["features"], tensors["labels"], told["limit"]) if told and tensors else None


def _directions(features: Tensor) -> Tensor:
    return torch.nn.functional.normalize(features.double(), dim=1)
