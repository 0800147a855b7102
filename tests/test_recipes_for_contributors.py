"""The recipes of CONTRIBUTING.md, followed word for word in a copy of the project."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import trees

ROOT = Path(__file__).parents[1]
LEFT_OUT = (".*", "_build", "build", "__pycache__", "mathjax", "runs")
RECIPES = {
    match[1]: (int(match[2]), match[3])
    for match in re.finditer(r"^## A new ([\w ]+): (\d+) files?\n(.*?)(?=^## |\Z)",
                             (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL | re.MULTILINE)
}  # fmt: skip


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and not {"__pycache__", ".venv"} & {*path.parts})
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def to_notebook(cells: str) -> str:
    """Cells in the percent format as a notebook."""
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )
    for k, (head, body) in enumerate(re.findall(r"^# %% (.*)\n((?:(?!# %%).*\n)*)", cells, re.MULTILINE)):
        if head == "[markdown]":
            cell = nbformat.v4.new_markdown_cell(re.sub("^# ?", "", body, flags=re.MULTILINE).strip())
        else:
            cell = nbformat.v4.new_code_cell(body.strip(), metadata=ast.literal_eval(head))
        notebook.cells.append(cell | {"id": f"cell-{k}"})
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def follow(steps: str, folder: Path) -> None:
    """Do what the numbered steps of a recipe say: write new files, and put lines below others."""
    for step in re.split(r"^\d+\. ", steps, flags=re.MULTILINE)[1:]:
        path = folder / re.findall(r"`([^`]+)`", step)[0]
        text = path.read_text() if path.exists() else ""
        parts = re.split(r"^   ```\w*\n", step, flags=re.MULTILINE)  # words, code, words, code ...
        for words, code in zip(parts[::2], parts[1::2], strict=False):
            code = re.sub("^   ", "", code, flags=re.MULTILINE)
            below = re.search(r"below `(.+?)`(?=[,.:])", words)
            if below is None:
                assert not text, f"{path} is there already"
                text = to_notebook(code) if path.suffix == ".ipynb" else code
                continue
            lines = text.splitlines(keepends=True)
            (at,) = [k for k, line in enumerate(lines) if line.strip().startswith(below[1])]
            text = "".join([*lines[: at + 1], code, *lines[at + 1 :]])
        path.write_text(text)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project without its environment, its history and what was built, where python finds this dferlib first."""
    folder = tmp_path / "project"
    shutil.copytree(
        ROOT,
        folder,
        symlinks=True,
        ignore=shutil.ignore_patterns(".*", "_build", "build", "__pycache__", "mathjax", "runs"),
    )
    return folder


def run(folder: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder), "DFERLIB_CACHE": str(folder.parent / "cache")}
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def made(what: str, folder: Path) -> None:
    """Follow a recipe, tidy up, and check that as many files have changed as the recipe's title says."""
    before = files(folder)
    follow(RECIPES[what][1], folder)
    for command in (("check", "--fix", "--quiet", "."), ("format", "--quiet", ".")):
        run(folder, "-m", "ruff", *command, "--no-cache")
    after = files(folder)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert len(changed) == RECIPES[what][0], changed


def test_the_recipes_are_these() -> None:
    assert set(RECIPES) == {"model", "data set", "study", "chapter"}


@pytest.mark.slow
def test_a_new_model(copy: Path) -> None:
    made("model", copy)
    asked = run(
        copy, "-m", "pytest", "-q", "-p", "no:xdist", "tests/test_models.py", "-k", "motion_average and not paper"
    )
    assert re.search(r"\d\d passed", asked)


@pytest.mark.slow
def test_a_new_data_set(copy: Path) -> None:
    for person in range(12):
        for kind in ("Happy", "Surprise", "Angry"):
            trees.frames(copy.parent / "webcam/clips" / f"p{person:02d}" / kind / "0", 4)
    made("data set", copy)
    root = str(copy.parent / "webcam")
    said = run(copy, "-m", "dferlib.cli", "check-data", "Webcam", root)
    assert "36 of 12 people" in said and "nothing is wrong" in said
    script = (
        "import dferlib; from dferlib.data.protocols import public_splits\n"
        f"print(dferlib.Webcam({root!r}).read(0).shape)\n"
        f"print([len(source) for source in public_splits('Webcam', {root!r}).values()])"
    )
    assert run(copy, "-c", script).splitlines() == ["(4, 3, 128, 128)", "[27, 3, 6]"]


@pytest.mark.slow
def test_a_new_study(copy: Path) -> None:
    made("study", copy)
    planned = run(copy, "-m", "dferlib.cli", "study", "gru_width", "--dry-run")
    assert "How wide must a GRU be?" in planned and re.search(
        r"^32-wide .*^128-wide ", planned, re.DOTALL | re.MULTILINE
    )


@pytest.mark.slow
def test_a_new_chapter(copy: Path) -> None:
    made("chapter", copy)
    tests = ["tests/test_notebooks.py", "tests/test_prose.py", "tests/test_project.py"]
    asked = run(copy, "-m", "pytest", "-q", "-p", "no:xdist", *tests, "-k", "21_blinks or table_of_contents")
    assert re.search(r"\d passed", asked) and "skipped" not in asked
