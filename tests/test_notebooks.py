"""Every chapter, as it lies in git and as papermill runs it."""

import ast
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PARAMETERS = {"SCALE", "QUICK", "SEED", "DEVICE"}
LONGEST_CELL = 30  # lines
SECONDS, GIGABYTES = 90, 4  # what a quick run may take on two free cores

each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


class Run(NamedTuple):
    """A finished run of papermill."""

    status: int
    log: str
    seconds: float
    gigabytes: float


def papermill(notebook: Path, output: Path, cache: Path, **parameters: object) -> Run:
    """Run a notebook where the book runs it, in its own folder, and measure its largest process."""
    command = [sys.executable, "-m", "papermill", "--cwd", str(notebook.parent), "-k", "python3", "--no-progress-bar"]
    for name, value in parameters.items():
        command += ["-p", name, str(value)]
    environment = {**os.environ, "DFERLIB_CACHE": os.environ.get("DFERLIB_CACHE", str(cache))}
    log, started = output.with_suffix(".log"), time.perf_counter()
    with log.open("w") as file:
        child = subprocess.Popen(
            [*command, str(notebook), str(output)], env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
        # wait4 covers papermill and, through it, the kernel; the peak is in kilobytes, on macOS in bytes
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    return Run(child.returncode, log.read_text(), time.perf_counter() - started, peak)


@each_notebook
def test_is_committed_clean(notebook: Path) -> None:
    cells = [cell for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"]
    assert not [cell.id for cell in cells if cell.outputs or cell.execution_count], "outputs belong to the reader"
    assert not [cell.source for cell in cells if cell.source.count("\n") >= LONGEST_CELL], "cells that are too long"


@each_notebook
def test_has_the_four_parameters(notebook: Path) -> None:
    cells = nbformat.read(notebook, 4).cells
    tagged = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    assigned = [node.targets for node in ast.walk(ast.parse(tagged[0])) if isinstance(node, ast.Assign)]
    assert {target.id for targets in assigned for target in targets if isinstance(target, ast.Name)} == PARAMETERS


@each_notebook
@pytest.mark.parametrize("page", ["README.md", "_toc.yml", "book/preface.md", "book/how_to_read.md"])
def test_is_on_every_list_of_chapters(notebook: Path, page: str) -> None:
    assert f"notebooks/{notebook.stem}" in (ROOT / page).read_text()


@pytest.mark.slow
@each_notebook
def test_runs_quickly_and_describes_its_pictures(
    notebook: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(notebook.parent.iterdir())
    run = papermill(notebook, tmp_path / notebook.name, tmp_path / "cache", QUICK=True)
    with capsys.disabled():
        print(f"\n{notebook.stem}: {run.seconds:.0f} s, {run.gigabytes:.2f} GB at its peak")
    assert run.status == 0, run.log[-6000:]
    assert "unknown parameter" not in run.log
    assert sorted(notebook.parent.iterdir()) == before, "the run left files behind"
    assert run.gigabytes < GIGABYTES
    assert run.seconds < 2 * SECONDS, f"far slower than {SECONDS} s; half of this limit is for a busy machine"
    undescribed, captions, missing = [], [], []
    for cell in nbformat.read(tmp_path / notebook.name, 4).cells:
        mimes = {mime for output in cell.get("outputs", []) for mime in output.get("data", {})}
        shown = cell.metadata.get("mystnb", {})
        if not any(mime.startswith("image/") for mime in mimes):
            missing += [shown["figure"]["name"]] if "figure" in shown else []
        else:
            captions.append(shown.get("figure", {}).get("name"))
            if not (shown.get("image", {}).get("alt") and shown.get("figure", {}).get("caption")):
                undescribed.append(cell.source)
    assert captions, "a chapter shows at least one picture"
    assert not missing, "cells with a caption that show no picture"
    assert not undescribed, "pictures without mystnb.image.alt or mystnb.figure.caption in their cell's metadata"
    assert len(set(captions)) == len(captions), "every figure needs a mystnb.figure.name of its own"


def test_an_unknown_parameter_is_noticed(tmp_path: Path) -> None:
    """What the run above relies on: papermill names a parameter that the notebook does not have."""
    cell = nbformat.v4.new_code_cell("QUICK = False", metadata={"tags": ["parameters"]})
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), tmp_path / "in.ipynb")
    assert "unknown parameter: QUIK" in papermill(tmp_path / "in.ipynb", tmp_path / "a.ipynb", tmp_path, QUIK=True).log
    assert "unknown parameter" not in papermill(tmp_path / "in.ipynb", tmp_path / "b.ipynb", tmp_path, QUICK=True).log
