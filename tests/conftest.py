"""How the suite is run: what goes where, what comes first, what it cost. Fixtures that several files share.

Nothing large is imported at the top: the process that hands the tests out to others runs none itself, and a file of
tests that needs no torch starts at once.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from chapters import Run, quick_run
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from dferlib.data.table import ArraySource
    from dferlib.models import ClipModel

os.environ["OMP_NUM_THREADS"] = "1"  # one core a worker, in its own process and in those that it starts
SPENT = pytest.StashKey[float]()  # processor time at the last report


def pytest_configure(config: pytest.Config) -> None:
    """The same examples on every run, and no deadline: the first pays for an import, and the machine may be busy."""
    if config.getoption("numprocesses", None):
        return  # others run the tests
    from hypothesis import settings

    settings.register_profile("dferlib", derandomize=True, deadline=None)
    settings.load_profile("dferlib")


class Shared(LoadFileScheduling):
    """How the workers of pytest-xdist share the tests: by file, so that what the tests of a file share is made once.

    But the chapters are given out one by one, and three files share the built book.
    """

    def _split_scope(self, nodeid: str) -> str:
        if "test_notebooks.py::" in nodeid:
            return nodeid
        return super()._split_scope(re.sub(r"test_(reference|troubles)\.py", "test_site.py", nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Shared:
    return Shared(config, log)


@pytest.hookimpl(trylast=True)  # when those are gone that nobody asked for
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


def processor_seconds() -> float:
    """Processor time so far, of this process and of those that it has started and waited for."""
    return sum(os.times()[:4])


def pytest_collection_finish(session: pytest.Session) -> None:
    session.config.stash[SPENT] = processor_seconds()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note what each part of a test took; time by the clock would count what else the machine does, too."""
    report, now = (yield), processor_seconds()
    report.processor, item.config.stash[SPENT] = now - item.config.stash[SPENT], now
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the chapters took, and, where the slowest tests are asked for, what each file took."""
    reports = [report for some in terminalreporter.stats.values() for report in some if hasattr(report, "processor")]
    chapters = {value for report in reports for name, value in report.user_properties if name == "chapter"}
    if chapters:
        terminalreporter.section("quick runs of the chapters, processor time")
        terminalreporter.write("".join(f"{line}\n" for line in sorted(chapters)))
    if terminalreporter.config.option.durations:
        files = Counter[str]()
        for report in reports:
            files[Path(report.location[0]).name] += report.processor
        terminalreporter.section(f"processor time of each file, {sum(files.values()):.0f} s in all")
        terminalreporter.write_line(", ".join(f"{name} {spent:.0f}" for name, spent in files.most_common()))


@pytest.fixture(scope="session")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Run]:
    """Gives the quick run of a chapter, made once for all tests of all workers."""
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "chapters"
    shared.mkdir(exist_ok=True)
    return lambda notebook: quick_run(notebook, shared)


@pytest.fixture(scope="session")
def html(tmp_path_factory: pytest.TempPathFactory, run_of: Callable[[Path], Run]) -> Path:
    """The pages of the whole book."""
    from pages import whole_book

    return whole_book(tmp_path_factory.mktemp("book"), run_of)


def call(*arguments: object) -> int:
    """Run the command line in this process; return its exit status."""
    from dferlib.cli import main

    with pytest.raises(SystemExit) as status:
        main([str(argument) for argument in arguments])
    return int(status.value.code or 0)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An STT that has learnt nothing, on disk."""
    import torch

    from dferlib import create_model, save_model

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "stt.safetensors"
    save_model(create_model("stt"), path)
    return path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A miniature copy of each public data set, in its usual layout, by its name. A test that breaks one copies it."""
    import trees

    return {name: make(tmp_path_factory.mktemp(name)) for name, make in trees.MADE.items()}


@pytest.fixture
def tiny_source() -> "Callable[..., ArraySource]":
    from tiny import make_source

    return make_source


@pytest.fixture
def tiny_model() -> "Callable[..., ClipModel]":
    from tiny import make_model

    return make_model
