"""Where work is done: which processor of this machine, and which processes, of this machine or of a cluster."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from multiprocessing import current_process, parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from threading import Lock, Thread
from time import monotonic, sleep
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from dferlib.errors import InputError, choose

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")
AT_ONCE = 32  # jobs that an executor is given at a time where nobody says how many it can do
PATIENCE = 30  # seconds until a cluster must have answered
ENDING = 5.0  # seconds that processes may take to end once one of them has

Job = TypeVar("Job")
Result = TypeVar("Result")


def to_device(tensor: "torch.Tensor", device: "torch.device") -> "torch.Tensor":
    """Bring a tensor from the CPU to a device, without waiting until a GPU has done what it was told before."""
    return tensor.to(device, non_blocking=device.type == "cuda")


def pick_device(name: str = "auto") -> "torch.device":
    """Return the device of that name; "auto" is a GPU where there is one, otherwise the CPU.

    Raises:
        InputError: there is no device of that name, or this machine has none.
    """
    choose("device", name, DEVICES)
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next((kind for kind, there in present.items() if there), "cpu")
    elif not present.get(name, True):
        raise InputError(f"this machine has no {name} device that torch can use: choose auto or cpu")
    return torch.device(name)


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let torch work with so many threads for a while; None leaves their number as it is.

    Those of a small network wait for each other most of the time, and they spin: beside a process that is busy, two
    take up to twenty times as long as one.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def do_jobs(
    executor: Executor, do: Callable[[Job], Result], next_job: Callable[[], Job | None], at_once: int
) -> Iterator[tuple[Job, Result]]:
    """Let an executor do jobs, and give each with its result as soon as it is done.

    A job that fails does not spoil the others: those that run are finished and given before the error is raised.

    Args:
        executor: from `start_workers`.
        do: does one job; in another process, so both must be such that they can be pickled.
        next_job: the next one to hand out; None if there is none now. It is asked again after each result.
        at_once: how many jobs to hand out at a time.

    Raises:
        InputError: what `do` raises, or the executor is gone.
    """
    running: dict[Future[Result], Job] = {}
    failed: BaseException | None = None
    try:
        while True:
            while failed is None and len(running) < at_once and (job := next_job()) is not None:
                running[executor.submit(_alone, do, job)] = job
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                if error := future.exception():
                    failed = failed or error
                else:
                    yield job, future.result()
            del future  # as long as it is held, a cluster would do the job again whose worker is lost
    finally:
        for future in running:
            future.cancel()
    if failed is not None:
        raise failed


@contextmanager
def start_workers(count: int, executor: Executor | None = None, script: bool = True) -> Iterator[Executor]:
    """What does jobs: new processes that share the threads and GPUs of this machine, or an executor of the caller.

    One job at a time needs no new process: this one does it. So does a process that may start none, such as a worker
    of dask.

    Args:
        count: how many processes.
        executor: anything with the interface of `concurrent.futures`; it stays as it is.
        script: whether the processes know what the running script defines. Such a script needs a main guard.

    Raises:
        InputError: a process was killed or could not begin, whichever it was. The others are stopped, as they are by
            whatever else ends the block.
    """
    if executor is None and (count <= 1 or current_process().daemon):
        executor = _Here()
    context = _Processes(script)
    pool = executor or ProcessPoolExecutor(count, context, _begin, _shares(context, count))
    try:
        yield pool
    except BaseException as error:
        context.kill()
        if isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker":  # the second is dask's
            if executor is None:
                pool.shutdown()
            # an executor of the standard library has no public way to ask for its processes
            started = context.started or list((getattr(executor, "_processes", None) or {}).values())
            raise InputError(_what_happened(started)) from error
        if isinstance(error, CancelledError):
            raise InputError("the cluster gave up its jobs: start it again, and run the same again to go on") from error
        raise
    finally:
        if executor is None:
            pool.shutdown(cancel_futures=True)


@contextmanager
def cluster(address: str | None) -> Iterator[tuple[Executor | None, int | None]]:
    """The executor of a dask cluster, and how many jobs it does at a time.

    Args:
        address: of its scheduler, such as tcp://10.0.0.1:8786; if not given, there is neither.

    Raises:
        InputError: dask.distributed is not installed, nobody answers there, there are no workers, or one of them would
            do several jobs in one process.
    """
    if address is None:
        yield None, None
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError("dask.distributed is not installed: pip install 'dferlib[cluster]'") from error
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise InputError(f"no dask scheduler answers at {address}: give the address that it prints") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise InputError(f"the dask scheduler at {address} has no workers: start some") from error
        threads = client.nthreads()
        if max(threads.values()) > 1:
            remedy = "start it with --nthreads 1, and several by --nworkers"
            raise InputError(f"the dask worker {max(threads, key=threads.__getitem__)} has several threads: {remedy}")
        yield client.get_executor(pure=False), sum(threads.values())


class _Here(Executor):
    """Does everything in this process, at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class _Process(SpawnProcess):
    """A new process that does not run the script anew that started it, so that the script needs no main guard."""

    def start(self) -> None:
        main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
        try:
            super().start()
        finally:
            sys.modules["__main__"] = main


class _Processes(SpawnContext):
    """Starts processes and remembers them. Spawned, because one that was forked from threads may hang."""

    def __init__(self, script: bool) -> None:
        self.kind: type[SpawnProcess] = SpawnProcess if script else _Process
        self.started: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: N802
        self.started.append(self.kind(*args, **kwargs))
        return self.started[-1]

    def kill(self) -> None:
        for process in self.started:
            if process.pid is not None:
                process.kill()


def _what_happened(processes: Sequence[BaseProcess]) -> str:
    """Why there are no processes any more. One that a signal has ended has a negative exit code."""
    since = monotonic()
    # they are ending; and while the executor's own thread asks for an exit code, this one is told that there is none
    while any(process.exitcode is None for process in processes) and monotonic() - since < ENDING:
        sleep(0.02)
    if any(process.exitcode is not None and process.exitcode >= 0 for process in processes):
        return (
            "a new process could not begin, for the reason above; if that speaks of bootstrapping: a script that "
            'starts processes does so under if __name__ == "__main__":, because each of them reads it again'
        )
    return (
        "a process was killed, perhaps for want of memory, and the others were stopped: run the same again to go "
        "on, with fewer processes if memory is short"
    )


_one = Lock()


def _alone(do: Callable[[Job], Result], job: Job) -> Result:
    """Do a job while no other thread of this process does one: they would share the random numbers."""
    with _one:
        return do(job)


def _shares(context: SpawnContext, count: int) -> tuple[int, Any]:
    """What each new process is told: its number of threads, and how many processes have begun."""
    import torch

    return max(1, torch.get_num_threads() // count), context.Value("i", 0)


def _begin(threads: int, count: Any) -> None:
    """Prepare a new process: its share of the threads, its GPU; it ends with the one that started it, however."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that started it
    torch.set_num_threads(threads)
    with count.get_lock():
        number, count.value = count.value, count.value + 1
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus.split(",")[number % len(gpus.split(","))]
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
