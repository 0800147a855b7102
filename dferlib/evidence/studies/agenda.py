"""How far a study has come, and what is to be done next."""

import json
from collections import deque
from dataclasses import replace
from pathlib import Path

from dferlib.evidence.results import Run, copy_run, load_runs
from dferlib.evidence.studies.clips import Clips, fingerprints
from dferlib.evidence.studies.declared import Row, Study
from dferlib.evidence.studies.job import Files, Job, write_files
from dferlib.evidence.studies.matching import folders_beside, is_of, same_run
from dferlib.evidence.studies.rates import TUNING_SEED, Rates
from dferlib.training.run_folder import CHECKPOINT


class Agenda:
    """What there is to do for a study: for each row its rate is chosen, then every seed is run.

    A row that starts from the weights of another waits until all runs of that one are there. Rows are begun one by one,
    as jobs are asked for, because that may render their clips.

    Args:
        study: what to run.
        folder: of its records; everything is written there by the process that has the agenda.
        clips: gives each row its splits.
        scale: of the models.
        seeds: of the runs; the study's own if not given.
        device: "auto", "cpu", "cuda" or "mps".
        keep_weights: of the first seed's runs.
    """

    def __init__(
        self,
        study: Study,
        folder: Path,
        clips: Clips,
        scale: str = "book",
        seeds: tuple[int, ...] | None = None,
        device: str = "auto",
        keep_weights: bool = False,
    ) -> None:
        self.folder, self.clips, self.scale, self.seeds = folder, clips, scale, seeds or study.seeds
        self.keep_weights = keep_weights
        self.rows = {title: row.at(scale, device) for title, row in study.rows.items()}
        self.known = {run.name: run for run in load_runs(folder)} if folder.is_dir() else {}
        self.beside = folders_beside(folder, scale)
        self.elsewhere = [run for other in self.beside for run in load_runs(other)]
        self.done: dict[str, Run] = {}
        self.rates: dict[str, Rates] = {}  # of the rows that were begun
        self.tries: dict[str, int] = {}  # how many rates of each are being tried
        self.waiting = deque(title for title, row in self.rows.items() if not row.start)
        self.ready = deque[Job]()

    def existing(self, title: str) -> list[Run]:
        """The runs of a row that need not be made, here or in a study beside; the clips are not looked at."""
        row = self.rows[title]
        others = [] if row.start else [run for run in self.elsewhere if is_of(run, row)]
        own = [run for run in self.known.values() if run.name.rsplit("-seed", 1)[0] == title and run.is_current]
        found = {run.record["seed"]: run for run in (*others, *own)}
        return [found[seed] for seed in self.seeds if seed in found]

    def next_job(self) -> Job | None:
        """What can be done now; None if nothing can before what was handed out is done."""
        while not self.ready and self.waiting:
            self.ready.extend(self._begin(self.waiting.popleft()))
        if not self.ready:
            return None
        job = self.ready.popleft()
        return replace(job, needs=self._needs(job.row))

    def finish(self, job: Job, result: float | Files) -> float | Run:
        """Write what came of a job, and see what can be done then.

        Returns:
            The validation UAR of a rate, or the record.
        """
        if isinstance(result, dict):
            write_files(self.folder, result)
            path = self.folder / f"{job.name}.json"
            run = self.done[job.name] = Run(path, json.loads(path.read_text()))
            self.ready.extendleft(reversed(self._followers(job.title)))
            return run
        rates = self.rates[job.title]
        rates.add(job.row.config.lr, result)
        self.tries[job.title] -= 1
        if self.tries[job.title] == 0:
            self.ready.extendleft(reversed(self._tries(job.title) or self._runs(job.title)))
        return result

    def runs(self) -> list[Run]:
        """All records, row by row."""
        return [self.done[f"{title}-seed{seed}"] for title in self.rows for seed in self.seeds]

    def _begin(self, title: str) -> list[Job]:
        """What can be done first for a row: try its rates, or make its records."""
        row = self._with_start(self.rows[title], self.seeds[0])  # with what the first seed has learnt
        rates = Rates(self.folder, title, row, self.clips(row.data), self.scale, self.beside)
        self.rates[title] = rates
        return self._tries(title) or self._runs(title)

    def _tries(self, title: str) -> list[Job]:
        """The rates of a row that are to be tried next."""
        row = self._with_start(self.rows[title], self.seeds[0])  # with what the first seed has learnt
        missing = self.rates[title].missing
        self.tries[title] = len(missing)
        rows = [replace(row, config=replace(row.config, lr=rate, seed=TUNING_SEED)) for rate in missing]
        return [self._job(title, one, tuning=True) for one in rows]

    def _runs(self, title: str) -> list[Job]:
        """The runs of a row whose rate is chosen, as far as they are not there."""
        jobs = []
        for seed in self.seeds:
            row = self._with_start(self.rows[title], seed)
            row = replace(row, config=replace(row.config, lr=self.rates[title].best, seed=seed))
            job = self._job(title, row, weights=self._weights(title, seed))
            done = None if self._lacks_weights(title, seed) else self._record_of(job)
            if done is None:
                jobs.append(job)
            else:
                self.done[job.name] = done
        return jobs or self._followers(title)

    def _job(self, title: str, row: Row, tuning: bool = False, weights: str = "") -> Job:
        data = fingerprints(self.clips(row.data))
        return Job(title, row, self.scale, self.clips, data, tuning, weights)

    def _record_of(self, job: Job) -> Run | None:
        """The record of a job if it is there. If another study has made the very same run, its record is copied."""
        sources = self.clips(job.row.data)
        known = self.known.get(job.name)
        if known is not None and same_run(known, job.row, sources):
            return known
        if job.weights or job.row.start:
            return None  # the other study may not have kept the weights, or starts from others
        twin = next((run for run in self.elsewhere if same_run(run, job.row, sources)), None)
        return twin and copy_run(twin, self.folder, job.name)

    def _followers(self, title: str) -> list[Job]:
        """What can be done for the rows that start from this one, once all its runs are there."""
        if any(f"{title}-seed{seed}" not in self.done for seed in self.seeds):
            return []
        return [job for name, row in self.rows.items() if row.start == title for job in self._begin(name)]

    def _with_start(self, row: Row, seed: int) -> Row:
        """The row with the run of the same seed that it starts from, and the place of its weights in the folder."""
        if not row.start:
            return row
        first = f"{row.start}-seed{seed}"
        return replace(row, start=first, config=replace(row.config, start=f"{first}/{CHECKPOINT}"))

    def _needs(self, row: Row) -> Files:
        """The record and the weights that a row starts from."""
        names = (f"{row.start}.json", row.config.start) if row.start else ()
        return {name: (self.folder / name).read_bytes() for name in names}

    def _weights(self, title: str, seed: int) -> str:
        """The folder for the weights of a run, if they are wanted."""
        if any(row.start == title for row in self.rows.values()):
            return f"{title}-seed{seed}"
        return title if self.keep_weights and seed == self.seeds[0] else ""

    def _lacks_weights(self, title: str, seed: int) -> bool:
        """Whether another row needs the weights of a run whose record is there without them."""
        following = [name for name, row in self.rows.items() if row.start == title]
        runs = [self.known.get(f"{name}-seed{seed}") for name in following for seed in self.seeds]
        needed = any(run is None or not run.is_current for run in runs)
        return needed and not (self.folder / f"{title}-seed{seed}" / CHECKPOINT).exists()
