"""Every chapter, as it lies in git and as papermill runs it."""

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import numpy as np
import pytest
from chapters import NOTEBOOKS, ROOT, Run, papermill

PARAMETERS = {"SCALE", "QUICK", "SEED", "DEVICE"}
LONGEST_CELL = 30  # lines
SECONDS, GIGABYTES = 90, 4  # what a quick run may take

each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


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
def test_says_first_how_to_install_what_is_missing(notebook: Path, tmp_path: Path) -> None:
    """On the page the cell is not shown. Without `site`, Python finds nothing that is installed."""
    both = (nbformat.read(path, 4).cells for path in (notebook, NOTEBOOKS[0]))
    first, other = (next(cell for cell in cells if cell.cell_type == "code") for cells in both)
    assert first.source == other.source
    assert first.metadata.tags == ["remove-cell"]
    command = [sys.executable, "-I", "-S", "-c", first.source]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    said = done.stderr.splitlines()[-1]
    assert said.startswith("ModuleNotFoundError: dferlib is missing. In a cell, here or on Colab, type: %pip install")


@each_notebook
@pytest.mark.parametrize("page", ["README.md", "_toc.yml", "book/preface.md"])
def test_is_on_every_list_of_chapters(notebook: Path, page: str) -> None:
    assert f"notebooks/{notebook.stem}" in (ROOT / page).read_text()


@pytest.mark.slow
@each_notebook
def test_runs_quickly_and_describes_its_pictures(
    notebook: Path, run_of: Callable[[Path], Run], record_property: Callable[[str, object], None]
) -> None:
    run = run_of(notebook)
    record_property("chapter", f"{notebook.stem}: {run.seconds:.0f} s, {run.gigabytes:.2f} GB at its peak")
    assert run.status == 0, run.log[-6000:]
    assert "unknown parameter" not in run.log
    assert not run.left, "the run left files behind"
    assert run.gigabytes < GIGABYTES
    assert run.seconds < SECONDS, "seconds of processor time"
    undescribed, captions, missing = [], [], []
    for cell in nbformat.read(run.notebook, 4).cells:
        data = [item for output in cell.get("outputs", []) for item in output.get("data", {}).items()]
        shown = cell.metadata.get("mystnb", {})
        answers = any(mime == "text/html" and is_figure(text) for mime, text in data)  # it has its own description
        if not answers and not any(mime.startswith("image/") for mime, _ in data):
            missing += [shown["figure"]["name"]] if "figure" in shown else []
        else:
            captions.append(shown.get("figure", {}).get("name"))
            if not ((answers or shown.get("image", {}).get("alt")) and shown.get("figure", {}).get("caption")):
                undescribed.append(cell.source)
    assert captions, "a chapter shows at least one picture"
    assert not missing, "cells with a caption that show no picture"
    assert not undescribed, "pictures without mystnb.image.alt or mystnb.figure.caption in their cell's metadata"
    assert len(set(captions)) == len(captions), "every figure needs a mystnb.figure.name of its own"


def is_figure(html: str) -> bool:
    """Whether a piece of a page that answers is a figure: a quiz is not, it has no caption and no number."""
    return "data-fim=" in html and "fim-quiz" not in html


def texts(notebook: str) -> dict[str, str]:
    """What each cell of a finished run says, but for cells that read the clock and the one that papermill adds."""
    said = {}
    for cell in nbformat.read(notebook, 4).cells:
        timed = "perf_counter" in cell.source or "seconds" in cell.source
        if cell.cell_type == "code" and not timed and "injected-parameters" not in cell.metadata.get("tags", []):
            parts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
            said[cell.id] = "".join(part for part, output in zip(parts, cell.outputs, strict=True) if is_said(output))
    return said


def is_said(output: nbformat.NotebookNode) -> bool:
    """Progress and warnings go to stderr; a widget is text for those who cannot show it."""
    return output.get("name") != "stderr" and "application/vnd.jupyter.widget-view+json" not in output.get("data", {})


@pytest.mark.slow
@pytest.mark.thorough
@each_notebook
def test_a_second_run_says_the_same(notebook: Path, run_of: Callable[[Path], Run], tmp_path: Path) -> None:
    first = run_of(notebook)
    second = papermill(notebook, tmp_path / notebook.name, QUICK=True)
    assert first.status == second.status == 0, second.log[-6000:]
    assert texts(first.notebook) == texts(second.notebook)


@pytest.mark.slow
def test_an_unknown_parameter_is_noticed(tmp_path: Path) -> None:
    """What the run above relies on: papermill names a parameter that the notebook does not have."""
    cell = nbformat.v4.new_code_cell("QUICK = False", metadata={"tags": ["parameters"]})
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), tmp_path / "in.ipynb")
    assert "unknown parameter: QUIK" in papermill(tmp_path / "in.ipynb", tmp_path / "a.ipynb", QUIK=True).log
    assert "unknown parameter" not in papermill(tmp_path / "in.ipynb", tmp_path / "b.ipynb", QUICK=True).log


@pytest.mark.slow
def test_a_run_is_measured_without_the_size_of_the_tests(tmp_path: Path) -> None:
    ballast = np.ones(10**8)
    cell = nbformat.v4.new_code_cell("import time\nheld = b'x' * 3 * 10**8\nwhile time.process_time() < 3: pass")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "in.ipynb")
    run = papermill(tmp_path / "in.ipynb", tmp_path / "out.ipynb")
    assert run.status == 0, run.log
    assert 0.3 < run.gigabytes < ballast.nbytes / 1e9
    assert 3 < run.seconds < 30
