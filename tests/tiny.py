"""A data set and a model so small that training takes a second. Processes that tests start import them from here."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from dferlib import EMOTIONS
from dferlib.data.table import ArraySource, ClipTable
from dferlib.evidence.probes import Probe
from dferlib.models import ClipModel, InputSpec


def make_source(count: int, split: str = "train", seed: int = 0, frames: int = 6, side: int = 16) -> ArraySource:
    """Noise whose colour tells the class, so that a model can learn something within seconds. It shows no faces."""
    rng = np.random.default_rng([seed, count])
    labels = np.arange(count) % len(EMOTIONS)
    colours = np.array([[(k + 1) >> bit & 1 for bit in range(3)] for k in range(len(EMOTIONS))]) * 120 + 60
    lengths = frames + rng.integers(0, 3, count)
    clips = [
        (colours[label][None, :, None, None] + rng.integers(-40, 41, (length, 3, side, side))).astype(np.uint8)
        for label, length in zip(labels, lengths, strict=True)
    ]
    rows = pd.DataFrame(
        {
            "id": [f"{split}-{seed}-{index}" for index in range(count)],
            "label": labels,
            "group": np.arange(count) // len(EMOTIONS),
            "split": split,
            "frames": lengths,
        }
    )
    return ArraySource(ClipTable(rows, EMOTIONS), clips)


class TinyModel(ClipModel):
    """The smallest model with the interface that training and evaluation count on."""

    def __init__(self, num_classes: int = 7) -> None:
        super().__init__()
        self.input_spec = InputSpec(size=14, frames=4, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
        self.config = {"name": "tiny", "num_classes": num_classes, "scale": "book", "overrides": {}}
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4), nn.BatchNorm2d(8), nn.ReLU())
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(8, num_classes)

    def features_from_maps(self, maps: Tensor) -> Tensor:
        return self.drop(maps.mean((1, 3, 4)))


def make_model(seed: int = 0, num_classes: int = 7) -> ClipModel:
    """A tiny model with weights from a seed."""
    torch.manual_seed(seed)
    return TinyModel(num_classes)


def same_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every probe come out the same, for models that the library does not know."""
    monkeypatch.setattr("dferlib.evidence.probes.probe", lambda config, classes: Probe([1.0], [[0.0] * classes]))
