"""Processes that do jobs: nobody's result is lost, and none of them is left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch

from dferlib import InputError
from dferlib.devices import do_jobs, start_workers


def given(jobs):
    return partial(next, iter(jobs), None)


def threads_of(_):
    time.sleep(1)  # so that one process, ready first, cannot do all jobs before the other is
    return os.getpid(), torch.get_num_threads(), os.environ.get("CUDA_VISIBLE_DEVICES")


def fail_at_2(job):
    if job == 2:
        raise InputError("two is wrong")
    time.sleep(job)
    return 10 * job


def die_at_2(job):
    if job == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return job


def in_here(queue):
    with start_workers(4) as pool:
        queue.put(next(result for _, result in do_jobs(pool, threads_of, given([1]), 4))[0])


@pytest.mark.slow
def test_processes_share_the_threads_and_the_gpus(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,3")
    with start_workers(2) as pool:
        found = {result for _, result in do_jobs(pool, threads_of, given(range(8)), 2)}
    assert {threads for _, threads, _ in found} == {3} and len(found) == 2
    assert {gpu for *_, gpu in found} == {"5", "3"}


@pytest.mark.slow
def test_one_job_at_a_time_needs_no_process_and_a_daemon_starts_none():
    with start_workers(1) as pool:
        assert [job for job, _ in do_jobs(pool, lambda job: os.getpid(), given("ab"), 1)] == ["a", "b"]
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    daemon = context.Process(target=in_here, args=(queue,), daemon=True)
    daemon.start()
    assert queue.get() == daemon.pid
    daemon.join()


@pytest.mark.slow
@pytest.mark.parametrize("own", [True, False])
def test_the_results_of_others_outlive_a_job_that_fails(own):
    done, executor = [], None if own else ThreadPoolExecutor(3)
    with pytest.raises(InputError, match="two is wrong"), start_workers(3, executor) as pool:
        for job, result in do_jobs(pool, fail_at_2, given([1, 2, 0, 5, 6]), 3):
            done.append((job, result))
    assert (1, 10) in done and (0, 0) in done and (6, 60) not in done


@pytest.mark.slow
def test_a_killed_process_is_told_in_one_line():
    told = r"was killed, perhaps for want of memory.*run the same again"
    with pytest.raises(InputError, match=told), start_workers(2) as pool:
        list(do_jobs(pool, die_at_2, given([1, 2, 3]), 2))
    assert not multiprocessing.active_children()


SCRIPT = """
import signal, sys, time
from functools import partial
from dferlib.devices import do_jobs, start_workers
signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests may have them ignore Ctrl-C
print("begins", flush=True)
with start_workers(2, script={script}) as pool:
    for job, _ in do_jobs(pool, time.sleep, partial(next, iter({jobs}), None), 2):
        print(job, flush=True)
"""


def run_script(folder: Path, script: bool, jobs: list[float]) -> subprocess.Popen[str]:
    path = folder / "script.py"
    path.write_text(SCRIPT.format(script=script, jobs=jobs))
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen([sys.executable, path], env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_a_script_without_a_main_guard_is_told_why_it_needs_one(tmp_path):
    _, told = run_script(tmp_path, True, [0.0]).communicate()
    assert 'under if __name__ == "__main__":' in told.splitlines()[-1]


OWN = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from dferlib.data.pack import pack
def fail():
    raise RuntimeError("no licence")
pool = ProcessPoolExecutor(2, multiprocessing.get_context({method!r}), {begin})
pack("DFEW", sys.argv[1], sys.argv[2], 16, progress=False, executor=pool)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "begin", "reason"),
    [("spawn", None, "finished its bootstrapping phase"), ("fork", "fail", "RuntimeError: no licence")],
)
def test_processes_of_an_executor_that_cannot_begin_are_not_taken_for_killed(tmp_path, made, method, begin, reason):
    path = tmp_path / "script.py"
    path.write_text(OWN.format(method=method, begin=begin))
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, path, made["DFEW"], tmp_path / "out"]
    told = subprocess.run(command, env=env, text=True, capture_output=True).stderr
    assert reason in told and "could not begin, for the reason above" in told.splitlines()[-1]
    assert 'under if __name__ == "__main__":' in told.splitlines()[-1] and "memory" not in told


@pytest.mark.slow
@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGKILL])
def test_a_script_whose_processes_do_not_read_it_works_and_ends_at_once_with_them(tmp_path, way):
    running = run_script(tmp_path, False, [0.0, 0.0, 600.0, 600.0])
    assert [running.stdout.readline().strip() for _ in range(3)] == ["begins", "0.0", "0.0"]
    children = psutil.Process(running.pid).children(recursive=True)
    running.send_signal(way)
    _, told = running.communicate(timeout=20)
    assert running.returncode != 0 and (way == signal.SIGKILL or told.splitlines()[-1] == "KeyboardInterrupt")
    assert len(children) >= 2 and not psutil.wait_procs(children, timeout=20)[1]
