"""What several test files share: a data set and a model so small that training takes a second."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import trees
from chapters import Run, quick_run
from hypothesis import settings
from torch import Tensor, nn
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from dferlib import EMOTIONS, create_model, save_model
from dferlib.cli import main
from dferlib.data.table import ArraySource, ClipTable
from dferlib.evidence.probes import Probe
from dferlib.models import ClipModel, InputSpec

# one core a worker, in its own process and in those that it starts
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
# the same examples on every run, and no deadline: the first one pays for an import, and the machine may be busy
settings.register_profile("dferlib", derandomize=True, deadline=None)
settings.load_profile("dferlib")


class Shared(LoadFileScheduling):
    """How the workers of pytest-xdist share the tests: by file, so that what the tests of a file share is made once.

    Only the chapters are given out one by one.
    """

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if "test_notebooks.py::" in nodeid else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Shared:
    return Shared(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where workers share the tests, what takes longest starts first."""
    if not hasattr(config, "workerinput"):
        return
    weights = Counter[Path]()
    for item in items:
        weights[item.path] += 20 if item.get_closest_marker("slow") else 1
    items.sort(
        key=lambda item: (
            not item.get_closest_marker("site"),  # all its pages wait for one build, which waits for the chapters
            "run_of" not in item.fixturenames,
            -weights[item.path],
        )
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the chapters took: processor time and memory."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    lines = {value for report in reports for name, value in report.user_properties if name == "chapter"}
    if lines:
        terminalreporter.section("quick runs of the chapters, processor time")
        terminalreporter.write("".join(f"{line}\n" for line in sorted(lines)))


@pytest.fixture(scope="session")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Run]:
    """Gives the quick run of a chapter, made once for all tests of all workers."""
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "chapters"
    shared.mkdir(exist_ok=True)
    return lambda notebook: quick_run(notebook, shared)


def call(*arguments: object) -> int:
    """Run the command line in this process; return its exit status."""
    with pytest.raises(SystemExit) as status:
        main([str(argument) for argument in arguments])
    return int(status.value.code or 0)


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


@pytest.fixture
def same_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every probe come out the same, for models that the library does not know."""
    monkeypatch.setattr("dferlib.evidence.probes.probe", lambda config, classes: Probe([1.0], [[0.0] * classes]))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An STT that has learnt nothing, on disk."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "stt.safetensors"
    save_model(create_model("stt"), path)
    return path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A miniature copy of each public data set, in its usual layout, by its name. A test that breaks one copies it."""
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in trees.MADE.items()}


@pytest.fixture
def tiny_source() -> Callable[..., ArraySource]:
    return make_source


@pytest.fixture
def tiny_model() -> Callable[..., ClipModel]:
    def build(seed: int = 0, num_classes: int = 7) -> ClipModel:
        torch.manual_seed(seed)
        return TinyModel(num_classes)

    return build
