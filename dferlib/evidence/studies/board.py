"""What a study shows while it runs: a table in a terminal, a line for each run elsewhere."""

from time import perf_counter
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from tqdm import tqdm

from dferlib.evidence.results import Run
from dferlib.evidence.studies.agenda import Agenda
from dferlib.evidence.studies.job import Job


class Board:
    """The state of a study, for people.

    Args:
        agenda: of the study; nothing of it has begun yet.
        jobs: how many trainings go on at a time.
        shown: whether anything is to be seen.
        console: where; standard output if not given.
    """

    def __init__(self, agenda: Agenda, jobs: int, shown: bool = True, console: Console | None = None) -> None:
        self.agenda, self.jobs, self.shown = agenda, jobs, shown
        self.console = console or Console(highlight=False)
        self.total = len(agenda.rows) * len(agenda.seeds)
        self.seconds: dict[str, list[float]] = {title: [] for title in agenda.rows}  # that trainings took
        self.left: dict[str, int] = {}  # how many trainings each row still needs
        rows = tqdm(agenda.rows.items(), "probes", unit="row", delay=2, leave=False, disable=not shown)
        for title, row in rows:
            existing = agenda.existing(title)
            self.seconds[title] += [run.record["seconds"] for run in existing]
            copied = any(run.path.parent != agenda.folder for run in existing)  # and its rates with it
            tuned = len(row.rates) == 1 or copied or (agenda.folder / f"{title}-rates.json").exists()
            self.left[title] = len(agenda.seeds) - len(existing) + (0 if tuned else len(row.rates))
        self.running: dict[str, tuple[Job, float]] = {}  # by the names of the jobs: since when
        self.live: Live | None = None

    def __enter__(self) -> Self:
        if self.shown and self.console.is_terminal:
            self.live = Live(console=self.console, get_renderable=self.table, refresh_per_second=1)
            self.live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.live is not None:
            self.live.stop()

    def begins(self, job: Job | None) -> Job | None:
        """A job is handed out, if there is one; it is returned."""
        if job is not None:
            self.running[job.name] = job, perf_counter()
            self.left[job.title] += job.tuning and job.row.config.lr not in job.row.rates  # one more than was expected
        return job

    def ended(self, job: Job, result: float | Run) -> None:
        """A job is done."""
        seconds = perf_counter() - self.running.pop(job.name)[1]
        self.left[job.title] = max(0, self.left[job.title] - 1)
        self.seconds[job.title].append(seconds)
        if not self.shown or self.live is not None:
            return
        told = (
            f"test UAR {100 * result.metrics['uar']:.1f}"
            if isinstance(result, Run)
            else f"validation UAR {100 * result:.1f}"
        )
        self.console.print(f"{job.name}: {told} %, {span(seconds)} ({self.state()})", soft_wrap=True)

    def state(self) -> str:
        """How many records are there, and how long the others will take."""
        left = self.time_left()
        rest = "" if left == 0 else ", time left unknown" if left is None else f", about {span(left)} left"
        return f"{len(self.agenda.done)} of {self.total} records{rest}"

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
            since = sum(perf_counter() - begun for job, begun in self.running.values() if job.title == title)
            total += max(0.0, count * expected - since)
        return total / self.jobs

    def table(self) -> Table:
        """One line a row: its learning rate, and the test UAR of each seed."""
        table = Table(caption=self.state())
        for name in ("row", "rate", *(f"seed {seed}" for seed in self.agenda.seeds)):
            table.add_column(name, justify="left" if name == "row" else "right")
        for title in self.agenda.rows:
            runs = [self.agenda.done.get(f"{title}-seed{seed}") for seed in self.agenda.seeds]
            rates = {run.record["config"]["train"]["lr"] for run in runs if run is not None}
            tuning = any(job.title == title and job.tuning for job, _ in self.running.values())
            rate = "choosing" if tuning else ", ".join(f"{rate:g}" for rate in rates)
            cells = [
                f"{100 * run.metrics['uar']:.1f} %"
                if run
                else "running"
                if f"{title}-seed{seed}" in self.running
                else ""
                for seed, run in zip(self.agenda.seeds, runs, strict=True)
            ]
            table.add_row(title, rate, *cells)
        return table


def span(seconds: float) -> str:
    """A time in words: "40 s", "12 min", "3.4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
