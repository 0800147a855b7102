"""The shape of the library: few parts, one direction, no circles, short files; and that `make lint` keeps it so."""

import ast
import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "dferlib"
PARTS = sorted(path for path in LIBRARY.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file())
FOLDERS = sorted(path.parent for path in LIBRARY.rglob("__init__.py"))
FILES = sorted(LIBRARY.rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def imports() -> nx.DiGraph:
    """Which module imports which, also inside functions and for type checkers only; without the lazy front door."""
    graph = grimp.build_graph("dferlib", cache_dir=None)
    modules = graph.modules - {"dferlib"}
    return nx.DiGraph([(one, other) for one in modules for other in graph.find_modules_directly_imported_by(one)])


def test_at_most_nine_wings_and_five_modules() -> None:
    modules = [path for path in PARTS if path.is_file()]
    assert len(PARTS) - len(modules) <= 9
    assert len(modules) <= 5


def test_the_longest_chain_of_imports_between_parts_has_at_most_nine(imports: nx.DiGraph) -> None:
    parts = nx.quotient_graph(imports, lambda one, other: one.split(".")[1] == other.split(".")[1])
    assert len(nx.dag_longest_path(parts)) <= 9  # raises where there is a circle


def test_no_module_imports_itself_by_a_detour(imports: nx.DiGraph) -> None:
    """Stricter than the contract, which does not look at the file of a folder, `__init__`."""
    assert not [sorted(circle) for circle in nx.strongly_connected_components(imports) if len(circle) > 1]


def test_no_wing_goes_through_the_front_door(imports: nx.DiGraph) -> None:
    assert "dferlib" not in imports


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_function_is_short(path: Path) -> None:
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    lines = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert not {name: count for name, count in lines.items() if count > 50}


@pytest.mark.parametrize("folder", FOLDERS, ids=name)
def test_a_folder_says_what_lives_there(folder: Path) -> None:
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    assert said
    assert 3 <= len(said.splitlines()) <= 15


def test_the_picture_of_the_wings_shows_the_imports_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "book" / "_static")
    draw_wings = importlib.import_module("draw_wings")
    assert draw_wings.PICTURE.read_text(encoding="utf-8") == draw_wings.svg(), f"run {name(Path(draw_wings.__file__))}"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(
        LIBRARY, tmp_path / "dferlib", ignore=lambda _, names: [n for n in names if re.search(r"\.[^.]+(?<!\.py)$", n)]
    )
    return tmp_path


def test_the_contracts_hold(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "line",
    [
        "from dferlib.cli import main",
        "import dferlib",
        "def late():\n    import dferlib.data",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from dferlib.models import ClipModel",
    ],
)
def test_a_wing_that_looks_up_is_told(copy: Path, line: str) -> None:
    with (copy / "dferlib/video/reading.py").open("a") as file:
        file.write(f"\n{line}\n")
    done = lint(copy)
    assert done.returncode == 1
    assert "dferlib.video is not allowed to import" in done.stdout


def test_a_circle_between_the_files_of_a_wing_is_told(copy: Path) -> None:
    with (copy / "dferlib/models/attention.py").open("a") as file:
        file.write("\nimport dferlib.models.stt\n")
    done = lint(copy)
    assert done.returncode == 1
    assert "No cycles are allowed in dferlib.models" in done.stdout
