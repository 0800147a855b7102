"""Making the records of a study: what is missing is trained, in one process or in several."""

import json
import os
import re
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from threading import Thread
from time import perf_counter
from typing import Any

import numpy as np
import torch

from dferlib.data.protocols import Part
from dferlib.data.table import ClipSource
from dferlib.errors import InputError, choose
from dferlib.evidence.probes import Probe, agree
from dferlib.evidence.results import Run, copy_run, device_name, load_runs, probe_of, save_run
from dferlib.evidence.studies.board import Board
from dferlib.evidence.studies.declared import STUDIES, Row, Study
from dferlib.files import written_whole
from dferlib.models import create_model
from dferlib.training.config import TrainConfig
from dferlib.training.evaluation import Predictions, evaluate
from dferlib.training.history import History
from dferlib.training.loop import train
from dferlib.training.processes import is_first
from dferlib.training.run_folder import CHECKPOINT

TUNING_SEED = 100  # none of the runs has it
# what gives a row its clips: from `Row.data` to the "train", "val" and "test" splits
Clips = Callable[[dict[str, Any]], dict[str, ClipSource]]


class MakeFacesClips:
    """The clips of rows: rows that ask for the same share them, and the maps that are kept with them.

    Args:
        size: "book" or "paper".
        root: folder of the clips; default the cache folder.
    """

    def __init__(self, size: str = "book", root: Path | None = None) -> None:
        self.size, self.root = size, root
        self._loaded: dict[str, dict[str, ClipSource]] = {}

    def __call__(self, data: dict[str, Any]) -> dict[str, ClipSource]:
        """The splits that `Row.data` asks for; what is missing of them is rendered."""
        from dferlib.makefaces import SPLITS, MakeFaces

        if repr(data) not in self._loaded:
            asked = {key: value for key, value in data.items() if key != "people"}
            splits: dict[str, ClipSource] = {s: MakeFaces(s, self.size, root=self.root, **asked) for s in SPLITS}
            if "people" in data:
                groups = splits["train"].table.groups
                _, number = np.unique(groups, return_inverse=True)
                splits["train"] = Part(splits["train"], np.flatnonzero(number < data["people"]), "train")
            self._loaded[repr(data)] = splits
        return self._loaded[repr(data)]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.size, self.root)  # each process opens the files for itself


def train_and_record(
    folder: Path,
    name: str,
    row: Row,
    sources: dict[str, ClipSource],
    scale: str = "book",
    checkpoint: Path | None = None,
    progress: bool = True,
    resume: bool = False,
    tensorboard: bool = False,
) -> Run | None:
    """Train one row with the seed of its config, test it once, and write the record.

    Under `torchrun` every process calls this, and the first one writes.

    Args:
        folder: of the record.
        name: of the record.
        row: what to train. If it starts from the weights of another run, `row.start` is that run's name.
        sources: the "train", "val" and "test" splits.
        scale: of the model.
        checkpoint: folder for the weights of the chosen epoch; not kept if not given.
        progress: show a bar.
        resume: go on from the state in the folder of the weights, if there is one.
        tensorboard: also write what TensorBoard shows to that folder.

    Returns:
        The record; None in every process of `torchrun` but the first.

    Raises:
        InputError: see `train` and `save_run`.
    """
    started = perf_counter()
    history, predictions = _trained(row, sources, scale, checkpoint, progress and is_first(), resume, tensorboard)
    if not is_first():
        return None
    return save_run(
        folder,
        name,
        config={
            "model": {"name": row.model, "scale": scale, "overrides": row.overrides},
            **_way(folder, row),
            "data": row.data,
        },
        seed=row.config.seed,
        data={split: source.fingerprint for split, source in sources.items()},
        predictions=predictions,
        history=history,
        device=device_name(row.config.device),
        seconds=perf_counter() - started,
    )


def _trained(
    row: Row,
    sources: dict[str, ClipSource],
    scale: str,
    checkpoint: Path | None = None,
    progress: bool = False,
    resume: bool = False,
    tensorboard: bool = False,
) -> tuple[History, Predictions]:
    """Train a row with the seed of its config, and test it once."""
    config = row.config
    torch.manual_seed(config.seed)
    model = create_model(row.model, len(sources["train"].classes), scale, **row.overrides)
    judge = sources[config.select]
    shown = {"progress": progress, "resume": resume, "tensorboard": tensorboard}
    history = train(model, sources["train"], judge, config, checkpoint, **shown)
    test, per_segment = sources["test"], config.per_segment
    return history, evaluate(model, test, device=config.device, per_segment=per_segment, progress=progress)


@dataclass(frozen=True)
class Job:
    """What one process does at a time.

    Args:
        folder: of the study's records.
        title: of the row.
        row: with its learning rate, if it is chosen, and the seed of the run.
        scale: of the model.
        tuning: choose the rate; otherwise make a record.
        weights: folder for them; not kept if not given.
    """

    folder: Path
    title: str
    row: Row
    scale: str
    tuning: bool = False
    weights: Path | None = None

    @property
    def name(self) -> str:
        """Of the record."""
        return f"{self.title}-seed{self.row.config.seed}"

    def do(self, clips: Clips) -> float | Run:
        """Train; return the learning rate, or the record."""
        sources = clips(self.row.data)
        if self.tuning:
            return _tune(self.folder, self.title, self.row, sources, self.scale)
        run = train_and_record(self.folder, self.name, self.row, sources, self.scale, self.weights, progress=False)
        assert run is not None  # no study is run by torchrun
        return run


class Course:
    """How far a study has come, and what can be done next.

    Args:
        study: what to run.
        folder: of its records.
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
        self.found: dict[str, Run] = {}

    def there(self, title: str) -> list[Run]:
        """The runs of a row that need not be made, here or in a study beside; the clips are not looked at."""
        row = self.rows[title]
        others = [] if row.start else [run for run in self.elsewhere if is_of(run, row)]
        own = [run for run in self.known.values() if run.name.rsplit("-seed", 1)[0] == title and run.is_current]
        found = {run.record["seed"]: run for run in (*others, *own)}
        return [found[seed] for seed in self.seeds if seed in found]

    def begin(self, title: str) -> list[Job]:
        """What can be done first for a row: choose its rate, or make its records."""
        row = self.rows[title]
        if row.start:  # the rate is chosen with what the first seed has learnt
            row = self._started(row, self.seeds[0])
        rate = chosen_rate(self.folder, title, row, self.clips(row.data), self.scale, self.beside)
        return [Job(self.folder, title, row, self.scale, tuning=True)] if rate is None else self._runs(title, rate)

    def after(self, job: Job, result: float | Run) -> list[Job]:
        """What can be done once a job is."""
        if not isinstance(result, Run):
            return self._runs(job.title, result)
        self.found[result.name] = result
        return self._followers(job.title)

    def runs(self) -> list[Run]:
        """All records, row by row."""
        return [self.found[f"{title}-seed{seed}"] for title in self.rows for seed in self.seeds]

    def _runs(self, title: str, rate: float) -> list[Job]:
        jobs = []
        for seed in self.seeds:
            row = self._started(self.rows[title], seed)
            row = replace(row, config=replace(row.config, lr=rate, seed=seed))
            job = Job(self.folder, title, row, self.scale, weights=self._place(title, seed))
            done = None if self._lacks_weights(title, seed) else self._done(job)
            if done is None:
                jobs.append(job)
            else:
                self.found[job.name] = done
        return jobs or self._followers(title)

    def _done(self, job: Job) -> Run | None:
        """The record of a job if it is there. If another study has made the very same run, its record is copied."""
        sources = self.clips(job.row.data)
        known = self.known.get(job.name)
        if known is not None and same_run(known, job.row, sources):
            return known
        if job.weights is not None or job.row.start:
            return None  # the other study may not have kept the weights, or starts from others
        twin = next((run for run in self.elsewhere if same_run(run, job.row, sources)), None)
        return twin and copy_run(twin, self.folder, job.name)

    def _followers(self, title: str) -> list[Job]:
        """What can be done for the rows that start from this one, once all its runs are there."""
        if any(f"{title}-seed{seed}" not in self.found for seed in self.seeds):
            return []
        return [job for name, row in self.rows.items() if row.start == title for job in self.begin(name)]

    def _started(self, row: Row, seed: int) -> Row:
        """The row with the weights that a seed starts from."""
        if not row.start:
            return row
        path = self.folder / f"{row.start}-seed{seed}" / CHECKPOINT
        return replace(row, start=f"{row.start}-seed{seed}", config=replace(row.config, start=str(path)))

    def _place(self, title: str, seed: int) -> Path | None:
        """The folder for the weights of a run, if they are wanted."""
        if any(row.start == title for row in self.rows.values()):
            return self.folder / f"{title}-seed{seed}"
        return self.folder / title if self.keep_weights and seed == self.seeds[0] else None

    def _lacks_weights(self, title: str, seed: int) -> bool:
        """Whether another row needs the weights of a run whose record is there without them."""
        waiting = [name for name, row in self.rows.items() if row.start == title]
        runs = [self.known.get(f"{name}-seed{seed}") for name in waiting for seed in self.seeds]
        needed = any(run is None or not run.is_current for run in runs)
        return needed and not (self.folder / f"{title}-seed{seed}" / CHECKPOINT).exists()


def study_folder(root: Path, name: str, scale: str) -> Path:
    """Where the records of a study are: those of paper scale have a folder of their own."""
    return root / (name if scale == "book" else f"{name}-{scale}")


def folders_beside(folder: Path, scale: str) -> list[Path]:
    """The folders of the other studies, as far as they are there."""
    folders = [study_folder(folder.parent, name, scale) for name in STUDIES]
    return [other for other in folders if other != folder and other.is_dir()]


def pick_study(name: str, scale: str = "book") -> Study:
    """The study of a name.

    Raises:
        InputError: unknown, or not made for this scale.
    """
    study = STUDIES[choose("study", name, STUDIES)]
    choose(f"scale of {name}", scale, study.scales)
    return study


def run_study(
    name: str,
    clips: Clips,
    root: Path = Path("results"),
    keep_weights: bool = False,
    progress: bool = True,
    scale: str = "book",
    seeds: tuple[int, ...] | None = None,
    device: str = "auto",
    jobs: int = 1,
) -> list[Run]:
    """Make the records of a study that are missing or that older code has made.

    A run that another study under `root` has made, the same to the seed and the clips, is copied from there.

    Args:
        name: one of `STUDIES`.
        clips: gives each row its "train", "val" and "test" splits; for several jobs one that can be pickled.
        root: the records go to `root/name`, those of paper scale to `root/name-paper`.
        keep_weights: also write the weights of the first seed's runs, beside the records.
        progress: show what is done and how long the rest will take.
        scale: "book", or "paper" for the models and recipes of the papers.
        seeds: of the runs; the study's own if not given.
        device: "auto", "cpu", "cuda" or "mps".
        jobs: how many processes share the runs, and the cores and GPUs.

    Returns:
        The records, row by row. It can be interrupted at any moment; the next call goes on where it stopped.

    Raises:
        InputError: unknown study or scale, a process was killed, or see `train`.
    """
    study, folder = pick_study(name, scale), study_folder(root, name, scale)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise InputError("a study is not run by torchrun: let --jobs share its runs between processes")
    course = Course(study, folder, clips, scale, seeds, device, keep_weights)
    titles = deque(title for title, row in course.rows.items() if not row.start)
    ready, running = deque[Job](), dict[Future[float | Run], Job]()
    with _workers(jobs, clips) as pool, Board(course, jobs, progress) as board:
        while ready or running or titles:
            while len(running) < jobs and (ready or titles):
                if not ready:
                    ready.extend(course.begin(titles.popleft()))
                    continue
                job = ready.popleft()
                board.begins(job)
                running[pool.submit(_work, job)] = job
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job, result = running.pop(future), future.result()
                ready.extendleft(reversed(course.after(job, result)))
                board.ended(job, result)
    return course.runs()


def make_again(run: Run, clips: Clips, device: str = "auto", progress: bool = True) -> Predictions:
    """Train a model as a record says, and let it judge the same test clips, to see whether they come out alike.

    A processor gives the same bits with the same number of threads, so it takes as many as the record names. Other
    devices and other versions of torch give other bits.

    Args:
        run: the record; it stays as it is.
        clips: gives the splits that it was made on.
        device: "auto", "cpu", "cuda" or "mps".
        progress: show a bar.

    Returns:
        What came out, to be compared with `run.predictions()`.

    Raises:
        InputError: the clips are not those of the record, or the weights that it started from are not there.
    """
    config, model = run.record["config"], run.model
    way, sources = TrainConfig(**{**config["train"], "device": device}), clips(config["data"])
    if run.record["data"] != _fingerprints(sources):
        raise InputError(f"{run.name} was made on other clips than this library renders: they cannot be compared")
    if way.start:
        way = replace(way, start=str(run.path.parent / way.start))
        if not Path(way.start).exists():
            raise InputError(f"{run.name} started from {way.start}, which is not there: make that run first")
    row = Row(model["name"], model["overrides"], way, config["data"])
    threads, recorded = torch.get_num_threads(), re.search(r"(\d+) threads", run.record["device"])
    torch.set_num_threads(int(recorded[1]) if recorded else threads)
    try:
        return _trained(row, sources, model["scale"], progress=progress)[1]
    finally:
        torch.set_num_threads(threads)


class _Here(Executor):
    """Does everything in this process, at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


_clips: Clips  # of this process


def _work(job: Job) -> float | Run:
    return job.do(_clips)


@contextmanager
def _workers(jobs: int, clips: Clips) -> Iterator[Executor]:
    """What does the jobs: this process, or several new ones that share its threads and GPUs.

    Raises:
        InputError: one of them was killed; the others are stopped.
    """
    global _clips
    _clips = clips
    if jobs == 1:
        yield _Here()
        return
    context = get_context("spawn")
    given = clips, max(1, torch.get_num_threads() // jobs), context.Value("i", 0)
    pool = ProcessPoolExecutor(jobs, context, _set_up, given)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise InputError(
            "a process of the study was killed, perhaps for want of memory, and the others were stopped: "
            "run the same again to go on, with fewer --jobs if memory is short"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _set_up(clips: Clips, threads: int, count: Any) -> None:
    """Prepare a new process: its clips, its share of the threads, its GPU."""
    global _clips
    _clips = clips
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a word; what it has written is whole
    torch.set_num_threads(threads)
    with count.get_lock():
        number, count.value = count.value, count.value + 1
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus.split(",")[number % len(gpus.split(","))]
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _fingerprints(sources: dict[str, ClipSource]) -> dict[str, str]:
    return {split: source.fingerprint for split, source in sources.items()}


def _overrides(row: Row) -> dict[str, Any]:
    """As a JSON file gives them back."""
    found: dict[str, Any] = json.loads(json.dumps(row.overrides))
    return found


def _way(folder: Path, row: Row) -> dict[str, Any]:
    """How a run is trained, as its record says it: with paths from its folder, and what it starts from."""
    if not row.start:
        return {"train": asdict(row.config)}
    first = json.loads((folder / f"{row.start}.json").read_text())
    start = Path(row.config.start).relative_to(folder).as_posix()
    return {"train": {**asdict(row.config), "start": start}, "start": {row.start: first["predictions"]}}


def same_model(done: Run, row: Row) -> bool:
    """Whether a record is of the model of a row."""
    return done.model["name"] == row.model and done.model["overrides"] == _overrides(row)


def is_of(run: Run, row: Row) -> bool:
    """Whether a record is of this code and this row, with whatever rate and seed; its clips are not looked at."""
    found, wanted = TrainConfig(**run.record["config"]["train"]), row.config
    free = ("lr", "seed", "device", "start") if row.start else ("lr", "seed", "device")
    loose = {name: getattr(wanted, name) for name in free}
    same = replace(found, **loose) == wanted and same_model(run, row)
    return same and run.record["config"]["data"] == row.data and run.is_current


def same_run(done: Run, row: Row, sources: dict[str, ClipSource]) -> bool:
    """Whether a record is what training the row now would give, on whatever device."""
    if not same_model(done, row) or done.record["data"] != _fingerprints(sources):
        return False
    config, wanted = done.record["config"], _way(done.path.parent, row)
    found, asked = (replace(TrainConfig(**way["train"]), device="auto") for way in (config, wanted))
    return found == asked and config.get("start") == wanted.get("start") and done.is_current


def _made_with(folder: Path, row: Row, sources: dict[str, ClipSource], scale: str) -> dict[str, Any]:
    """What the choice of a rate depends on."""
    way = _way(folder, replace(row, config=replace(row.config, device="auto")))
    model = {"name": row.model, "scale": scale, "overrides": _overrides(row)}
    found = probe_of({"model": model, **way}, len(sources["train"].classes))
    return {"model": model, "probe": found, "data": _fingerprints(sources), **way}


def _rates(path: Path, made_with: dict[str, Any]) -> dict[str, Any]:
    """What was found about the rates of a row so far, if nothing that matters has changed."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    same = all(found.get(key) == value for key, value in made_with.items() if key != "probe")
    return found if same and agree(found.get("probe"), Probe(**made_with["probe"])) else {**made_with, "rates": []}


def chosen_rate(
    folder: Path, title: str, row: Row, sources: dict[str, ClipSource], scale: str, beside: Sequence[Path] = ()
) -> float | None:
    """The learning rate of a row, if it has only one or was tuned before, here or in a study beside."""
    if len(row.rates) == 1:
        return row.rates[0]
    own, made_with = folder / f"{title}-rates.json", _made_with(folder, row, sources, scale)
    for path in (own, *(path for other in beside for path in sorted(other.glob("*-rates.json")))):
        tried = {one["lr"]: one for one in _rates(path, made_with)["rates"]}
        if tried.keys() >= set(row.rates):
            rates = [tried[rate] for rate in row.rates]
            if path != own:
                _write(own, {**made_with, "rates": rates})
            return _best(rates)
    return None


def _write(path: Path, found: dict[str, Any]) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n")


def _tune(folder: Path, title: str, row: Row, sources: dict[str, ClipSource], scale: str) -> float:
    """Which of its rates has the best validation UAR; what each gave is written beside the records."""
    path = folder / f"{title}-rates.json"
    found = _rates(path, _made_with(folder, row, sources, scale))
    tried = {one["lr"]: one for one in found["rates"]}
    for rate in row.rates:
        if rate not in tried:
            config = replace(row.config, lr=rate, seed=TUNING_SEED)
            torch.manual_seed(config.seed)
            model = create_model(row.model, len(sources["train"].classes), scale, **row.overrides)
            best = train(model, sources["train"], sources["val"], config, progress=False).best
            tried[rate] = {"lr": rate, "val_uar": best.val_uar}
            _write(path, {**found, "rates": list(tried.values())})
    return _best([tried[rate] for rate in row.rates])


def _best(rates: list[dict[str, float]]) -> float:
    return max(rates, key=lambda one: one["val_uar"])["lr"]
