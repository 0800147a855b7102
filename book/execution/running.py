"""Running chapters side by side, each in a process of its own on one thread, and keeping what came out."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from execution.chapter import Chapter, keep
from execution.needs import Present

BOOK = Path(__file__).resolve().parents[1]
CELL_SECONDS = 900  # a cell that takes longer has failed
GIGABYTES = 4  # of memory for a chapter
GRACE = 10  # seconds for a chapter that is stopped to end its kernel


def command(notebook: Path, output: Path) -> list[str]:
    """What runs a notebook in its own folder."""
    options = ["--cwd", str(notebook.parent), "-k", "python3", "--no-progress-bar"]
    options += ["--execution-timeout", str(CELL_SECONDS)]
    return [sys.executable, "-m", "papermill", *options, str(notebook), str(output)]


def environment(root: Path, notes: Path) -> dict[str, str]:
    """The environment of such a run: one thread, and the tracker on the path."""
    paths = [str(BOOK / "tracker"), str(BOOK), *filter(None, [os.environ.get("PYTHONPATH")])]
    mine = {"PYTHONPATH": os.pathsep.join(paths), "BOOK_WATCHED": str(root), "BOOK_NOTES": str(notes)}
    return {**os.environ, "OMP_NUM_THREADS": "1", **mine}


class Run:
    """A chapter that is being run."""

    def __init__(self, chapter: Chapter, root: Path) -> None:
        self.chapter, self.root, self.began = chapter, root, time.time()
        chapter.kept.parent.mkdir(parents=True, exist_ok=True)
        self.output, self.notes, self.log = (chapter.kept.with_suffix(end) for end in (".ipynb", ".notes", ".log"))
        for file in (self.output, self.notes):
            file.unlink(missing_ok=True)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command(chapter.notebook, self.output),
                env=environment(root, self.notes),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the one that started it
            )

    @property
    def seconds(self) -> float:
        """Since when it runs."""
        return time.time() - self.began

    def finish(self, present: Present) -> str:
        """Keep what came out; what failed, or ""."""
        trouble = ""
        if self.process.returncode:  # a cell, or else the kernel died
            said = self.log.read_text().strip().splitlines() or ["it said nothing"]
            trouble = f"{said[-1]} (all of it is in {self.log})"
        if not self.output.is_file():
            return trouble
        failed = keep(self.chapter, self.output, self.notes, self.began, present, trouble)
        for file in (self.output, self.notes, *([] if failed else [self.log])):
            file.unlink()
        return failed

    def stop(self) -> None:
        """End it and its kernel."""
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)


def workers() -> int:
    """How many chapters are run at a time: one a core, if there is memory for them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return max(1, min(cores, int(memory / GIGABYTES)))


def run(chapters: Iterable[Chapter], present: Callable[[], Present], together: int, console: Console) -> dict[str, str]:
    """Run chapters, the longest first, and say how it goes on. Stopped, it keeps those that were done.

    Args:
        chapters: which.
        present: gives what is now.
        together: how many at a time.
        console: where to say it.

    Returns:
        By name, what failed in those that did not run to their end.
    """
    board = Board(list(chapters), together, console)
    console.print(f"{together} at a time. Ctrl-C stops; what is done is not done again. {board.rest([])}")
    waiting = sorted(board.expected, key=board.expected.__getitem__)
    running: list[Run] = []
    try:
        with console.status("") as line:
            while waiting or running:
                while waiting and len(running) < together:
                    running.append(Run(waiting.pop(), present().root))
                    board.begins(running[-1])
                for one in [one for one in running if one.process.poll() is not None]:
                    running.remove(one)
                    board.ended(one, one.finish(present()))
                line.update(board.state(running))
                time.sleep(0.1)
    finally:
        for one in running:
            one.stop()
    return board.failed


class Board:
    """Says which chapters are being run, and how long the others will take."""

    def __init__(self, chapters: list[Chapter], together: int, console: Console) -> None:
        self.expected = {chapter: float(chapter.load()["seconds"]) for chapter in chapters}
        self.together, self.console = together, console
        self.taken: dict[Chapter, float] = {}
        self.failed: dict[str, str] = {}

    def begins(self, one: Run) -> None:
        """In a terminal there is a line for all that run."""
        if not self.console.is_terminal:
            self.console.print(f"{one.chapter.name}: begins", soft_wrap=True)

    def ended(self, one: Run, failed: str) -> None:
        """A chapter is done."""
        name, self.taken[one.chapter] = one.chapter.name, one.seconds
        if failed:
            self.failed[name] = failed
            self.expected[one.chapter] = one.seconds  # tells nothing of how fast the others are
        words = f"[red]failed[/red] after {span(one.seconds)}, {escape(failed)}" if failed else span(one.seconds)
        self.console.print(f"{name}: {words} ({self.rest([])})", soft_wrap=True)

    def state(self, running: list[Run]) -> str:
        """What is being run, and how far all is."""
        names = ", ".join(f"{one.chapter.name} ({span(one.seconds)})" for one in running)
        return f"{names}; {self.rest(running)}"

    def rest(self, running: list[Run]) -> str:
        """How many are done, and how long the others take, if this machine is as fast in them as it was so far."""
        done = sum(self.taken.values()), sum(self.expected[chapter] for chapter in self.taken)
        pace = done[0] / done[1] if self.taken else 1.0
        since = {one.chapter: one.seconds for one in running}
        left = [
            max(0.0, pace * seconds - since.get(chapter, 0.0))
            for chapter, seconds in self.expected.items()
            if chapter not in self.taken
        ]
        count = f"{len(self.taken)} of {len(self.expected)} done"
        return f"{count}, about {span(max(sum(left) / self.together, *left))} left" if left else count


def span(seconds: float) -> str:
    """A time in words."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
