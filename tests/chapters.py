"""Chapters as papermill runs them, each once: one test measures the run, and the site is built from what it leaves."""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PATIENCE = 900  # seconds for one cell, as in _config.yml

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
    """Run a notebook where the book runs it, in its own folder, and measure it."""
    command = [sys.executable, "-m", "papermill", "--cwd", str(notebook.parent), "-k", "python3", "--no-progress-bar"]
    command += ["--execution-timeout", str(PATIENCE)]
    for name, value in parameters.items():
        command += ["-p", name, str(value)]
    log, used, before = output.with_suffix(".log"), output.with_suffix(".used"), set(notebook.parent.iterdir())
    with log.open("w") as file:
        gauge = [sys.executable, "-c", GAUGE, str(used), *command, str(notebook), str(output)]
        subprocess.run(gauge, stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=True)
    made = {output, log, used}
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
            done.write_text(json.dumps(asdict(papermill(notebook, output, QUICK=True))))
        return Run(**json.loads(done.read_text()))
