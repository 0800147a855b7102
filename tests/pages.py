"""The whole book, built once for all tests that look at its pages."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from chapters import KEPT, NOTEBOOKS, ROOT, Run


def build(source: Path, output: Path, *flags: str, quick: bool = True) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(source), "--path-output", str(output)]
    environment = {**os.environ, "DFERLIB_QUICK": str(int(quick))}
    return subprocess.run([*command, *flags], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def whole_book(folder: Path, run_of: Callable[[Path], Run]) -> Path:
    """Build the book in a folder. Its chapters were run once for all tests, and the book knows that they were."""
    for notebook in reversed(NOTEBOOKS):  # another worker may be running them from the first one on
        run = run_of(notebook)
        assert run.status == 0, f"{notebook.stem} does not run:\n{run.log[-6000:]}"
    shutil.copytree(Path(run.notebook).parent / KEPT, folder / "_build" / KEPT)
    done = build(ROOT, folder, "--all", "-W", "-n", "--keep-going")
    assert done.returncode == 0, f"the book does not build:\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    assert f"{len(NOTEBOOKS)} of {len(NOTEBOOKS)} chapters have their outputs" in done.stdout
    return folder / "_build" / "html"
