"""A chapter that somebody has downloaded begins in any folder: an installed dferlib brings the records."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from chapters import NOTEBOOKS, ROOT

from dferlib import InputError
from dferlib.book import folders
from dferlib.book.folders import project_folder

SHIPPED = ("results", "benchmarks/results")
BUILT_FROM = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "_toc.yml", "dferlib", *SHIPPED)
# runs chapters, each until it knows where the records are, and says which dferlib and which records they have found
BEGIN = """
import json, sys
import matplotlib
import torch
matplotlib.use("agg")
for notebook in sys.argv[1:]:
    torch.set_default_dtype(torch.float32)  # a chapter that calculates in float64 says so for itself
    with open(notebook) as file:
        cells = [cell for cell in json.load(file)["cells"] if cell["cell_type"] == "code"]
    names = {}
    for cell in cells[:6]:  # the check, parameters, imports, the word on miniatures, where the records are
        exec("".join(cell["source"]), names)
        if "RESULTS" in names:
            print(names["RESULTS"])
            break
import dferlib
print(dferlib.__file__)
"""


def code_cells(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run(folder: Path, *command: str, **environment: str) -> str:
    streams = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, *command], cwd=folder, env={**os.environ, **environment}, **streams)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the library as its wheel has it."""
    place = tmp_path_factory.mktemp("wheel")
    for name in BUILT_FROM:
        source, copy = ROOT / name, place / "project" / name
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            copy.parent.mkdir(exist_ok=True)
            shutil.copy(source, copy)
    weights = place / "project/results/stt_table1/stt-seed0/best.safetensors"  # as a study leaves it, see .gitignore
    weights.parent.mkdir(exist_ok=True)
    weights.touch()
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", str(place))
    run(place, "-m", "pip", "wheel", *options, str(place / "project"))
    with zipfile.ZipFile(next(place.glob("*.whl"))) as wheel:
        wheel.extractall(place / "installed")
    return place / "installed"


@pytest.mark.slow
def test_a_wheel_carries_the_records_that_git_knows(installed: Path) -> None:
    listed = subprocess.run(["git", "ls-files", *SHIPPED], cwd=ROOT, capture_output=True, text=True, check=True)
    known = set(listed.stdout.splitlines())
    shipped = installed / "dferlib" / "shipped"
    carried = {path.relative_to(shipped).as_posix() for path in shipped.rglob("*") if path.is_file()}
    assert known <= carried
    assert not [name for name in carried - known if "-seed0/" in name], "weights that git does not have"


@pytest.mark.slow
def test_a_wheel_carries_every_file_of_the_library(installed: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "dferlib"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not [name for name in listed.stdout.splitlines() if not (installed / name).is_file()]


@pytest.mark.slow
def test_every_chapter_begins_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    found = run(tmp_path, "-c", BEGIN, *map(str, NOTEBOOKS), PYTHONPATH=str(installed))
    *records, library = map(Path, found.splitlines())
    assert library == installed / "dferlib" / "__init__.py"
    assert {path.relative_to(library.parent).as_posix() for path in records} == {"shipped/results"}
    assert len(records) == len(NOTEBOOKS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_chapter_looks_for_the_records_beside_it(notebook: Path) -> None:
    assert not [code for code in code_cells(notebook) if "../results" in code or "../benchmarks" in code]


def test_a_clone_has_its_own_records() -> None:
    assert project_folder("results") == ROOT / "results"


def test_what_is_nowhere_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "LIBRARY", tmp_path / "dferlib")
    with pytest.raises(InputError, match="came without the project's folder results: install dferlib from a clone"):
        project_folder("results")
    (tmp_path / "results").mkdir()
    assert project_folder("results") == tmp_path / "results"
    (tmp_path / "dferlib" / "shipped" / "results").mkdir(parents=True)
    assert project_folder("results") == tmp_path / "dferlib" / "shipped" / "results"
