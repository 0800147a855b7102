"""Chapters as the book runs them, each once: one test measures the run, and the site is built from what it leaves."""

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from execution.chapter import Chapter, keep
from execution.needs import Present
from execution.running import command, environment

ROOT = Path(__file__).parents[1]
KEPT = "chapters_quick"  # the folder that the book looks for outputs in
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# Runs a command and says what it used. A process of its own, because Linux counts the size of the process that starts
# another one towards the peak of the new one, and pytest is large. The peak is in kilobytes, on macOS in bytes.
GAUGE = """
import json, resource, subprocess, sys
status = subprocess.run(sys.argv[2:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
found = {"status": status, "seconds": used.ru_utime + used.ru_stime, "gigabytes": peak / 1e9}
with open(sys.argv[1], "w") as file:
    json.dump(found, file)
"""


@dataclass
class Run:
    """A finished run of papermill.

    Attributes:
        notebook: path of the notebook with its outputs; missing where papermill did not get so far.
        log: what papermill printed.
        status: exit status of papermill.
        seconds: processor time of all its processes. Time by the clock would also count what else the machine does.
        gigabytes: the most that one of its processes held.
        left: files that it left beside the chapters.
    """

    notebook: str
    log: str
    status: int
    seconds: float
    gigabytes: float
    left: list[str]


def papermill(notebook: Path, output: Path, **parameters: object) -> Run:
    """Run a notebook as the book runs it, in its own folder, and measure it."""
    log, used, notes = (output.with_suffix(suffix) for suffix in (".log", ".used", ".notes"))
    before = set(notebook.parent.iterdir())
    given = [part for name, value in parameters.items() for part in ("-p", name, str(value))]
    with log.open("w") as file:
        gauge = [sys.executable, "-c", GAUGE, str(used), *command(notebook, output), *given]
        run = {"env": environment(ROOT, notes), "stdin": subprocess.DEVNULL, "stdout": file, "stderr": file}
        subprocess.run(gauge, check=True, **run)
    made = {output, log, used, notes}
    left = [path.name for path in set(notebook.parent.iterdir()) - before - made]
    return Run(str(output), log.read_text(), left=left, **json.loads(used.read_text()))


def quick_run(notebook: Path, shared: Path) -> Run:
    """The quick run of a chapter; made by whoever asks first, whichever test or worker that is.

    Args:
        notebook: the chapter.
        shared: a folder that all workers of this test session have in common.
    """
    output, done = shared / notebook.name, shared / f"{notebook.stem}.json"
    with FileLock(shared / f"{notebook.stem}.lock"):
        if not done.exists():
            began, run = time.time(), papermill(notebook, output, QUICK=True)
            if run.status == 0:
                kept = shared / KEPT / f"{notebook.stem}.json"
                keep(Chapter(notebook, kept), output, output.with_suffix(".notes"), began, Present(ROOT, lambda _: []))
            done.write_text(json.dumps(asdict(run)))
        return Run(**json.loads(done.read_text()))
