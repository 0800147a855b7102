"""The whole book, built once for all tests that look at its pages."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import yaml
from chapters import NOTEBOOKS, ROOT, Run


def build(source: Path, output: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(source), "--path-output", str(output)]
    return subprocess.run([*command, "--all", *flags], stdin=subprocess.DEVNULL, capture_output=True, text=True)


def with_outputs(run: Run) -> nbformat.NotebookNode:
    """A chapter as Jupyter Book would have executed it: without the cell of parameters that papermill adds."""
    notebook = nbformat.read(run.notebook, 4)
    notebook.cells = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    return notebook


def whole_book(folder: Path, run_of: Callable[[Path], Run]) -> Path:
    """Build the book in a folder. Its chapters were run once for all tests, so here they are pages with outputs."""
    (folder / "notebooks").mkdir()
    (folder / "book").symlink_to(ROOT / "book")
    shutil.copy(ROOT / "_toc.yml", folder)
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    config["execute"]["execute_notebooks"] = "off"
    (folder / "_config.yml").write_text(yaml.safe_dump(config))
    for notebook in reversed(NOTEBOOKS):  # another worker may be running them from the first one on
        run = run_of(notebook)
        assert run.status == 0, f"{notebook.stem} does not run:\n{run.log[-6000:]}"
        nbformat.write(with_outputs(run), folder / "notebooks" / notebook.name)
    done = build(folder, folder, "-W", "-n", "--keep-going")
    assert done.returncode == 0, f"the book does not build:\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return folder / "_build" / "html"
