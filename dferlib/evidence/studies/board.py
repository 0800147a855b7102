"""What a study shows while it runs: a table in a terminal, a line for each run elsewhere."""

from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from dferlib.evidence.results import Run

if TYPE_CHECKING:
    from dferlib.evidence.studies.running import Course, Job


class Board:
    """The state of a study, for people.

    Args:
        course: the study; nothing of it has begun yet.
        jobs: how many processes do it.
        shown: whether anything is to be seen.
        console: where; standard output if not given.
    """

    def __init__(self, course: "Course", jobs: int, shown: bool = True, console: Console | None = None) -> None:
        self.course, self.jobs, self.shown = course, jobs, shown
        self.console = console or Console(highlight=False)
        self.total = len(course.rows) * len(course.seeds)
        self.seconds: dict[str, list[float]] = {title: [] for title in course.rows}  # that trainings took
        self.left: dict[str, int] = {}  # how many trainings each row still needs
        for title, row in course.rows.items():
            there = course.there(title)
            self.seconds[title] += [run.record["seconds"] for run in there]
            copied = any(run.path.parent != course.folder for run in there)  # and its rates with it
            tuned = len(row.rates) == 1 or copied or (course.folder / f"{title}-rates.json").exists()
            self.left[title] = len(course.seeds) - len(there) + (0 if tuned else len(row.rates))
        self.running: dict[tuple[str, int | None], float] = {}  # since when; no seed where a rate is chosen
        self.live: Live | None = None

    def __enter__(self) -> Self:
        if self.shown and self.console.is_terminal:
            self.live = Live(console=self.console, get_renderable=self.table, refresh_per_second=1)
            self.live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.live is not None:
            self.live.stop()

    def begins(self, job: "Job") -> None:
        """A job was handed to a process."""
        self.running[_key(job)] = perf_counter()

    def ended(self, job: "Job", result: float | Run) -> None:
        """A job is done."""
        seconds = perf_counter() - self.running.pop(_key(job))
        trainings = len(job.row.rates) if job.tuning else 1
        self.left[job.title] = max(0, self.left[job.title] - trainings)
        self.seconds[job.title].append(seconds / trainings)
        if not self.shown or self.live is not None:
            return
        if isinstance(result, Run):
            told = f"{job.name}: test UAR {100 * result.metrics['uar']:.1f} %"
        else:
            told = f"{job.title}: learning rate {result:g}, of {len(job.row.rates)}"
        self.console.print(f"{told}, {span(seconds)} ({self.state()})", soft_wrap=True)

    def state(self) -> str:
        """How many records are there, and how long the others will take."""
        left = self.time_left()
        rest = "" if left == 0 else ", time left unknown" if left is None else f", about {span(left)} left"
        return f"{len(self.course.found)} of {self.total} records{rest}"

    def time_left(self) -> float | None:
        """Seconds, if anything is known of how long a training takes."""
        everything = [taken for one in self.seconds.values() for taken in one]
        if not any(self.left.values()):
            return 0
        if not everything:
            return None
        total = 0.0
        for title, count in self.left.items():
            known = self.seconds[title] or everything
            expected = sum(known) / len(known)
            since = sum(perf_counter() - begun for (row, _), begun in self.running.items() if row == title)
            total += max(0.0, count * expected - since)
        return total / self.jobs

    def table(self) -> Table:
        """One line a row: its learning rate, and the test UAR of each seed."""
        table = Table(caption=self.state())
        for name in ("row", "rate", *(f"seed {seed}" for seed in self.course.seeds)):
            table.add_column(name, justify="left" if name == "row" else "right")
        for title in self.course.rows:
            runs = [self.course.found.get(f"{title}-seed{seed}") for seed in self.course.seeds]
            rates = {run.record["config"]["train"]["lr"] for run in runs if run is not None}
            rate = "choosing" if (title, None) in self.running else ", ".join(f"{rate:g}" for rate in rates)
            cells = [
                f"{100 * run.metrics['uar']:.1f} %" if run else "running" if (title, seed) in self.running else ""
                for seed, run in zip(self.course.seeds, runs, strict=True)
            ]
            table.add_row(title, rate, *cells)
        return table


def span(seconds: float) -> str:
    """A time in words: "40 s", "12 min", "3.4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _key(job: "Job") -> tuple[str, int | None]:
    return job.title, None if job.tuning else job.row.config.seed
