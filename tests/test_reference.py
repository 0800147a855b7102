"""The reference in the book: built alone, with warnings as errors, it describes every public name of the library."""

import ast
import importlib
import posixpath
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from sphinx.util.inventory import InventoryFile

import dferlib

ROOT = Path(__file__).parents[1]
LEFT_OUT = ("cli", "baking", "__main__")
PAGES = sorted(path.stem for path in (ROOT / "book").glob("api*.md"))

pytestmark = pytest.mark.site


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of the reference, and those that they lead to, as a book of their own."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "book").mkdir()
    for name in ("_static", "reference.py", "references.bib", "architecture.md", *(f"{page}.md" for page in PAGES)):
        (folder / "book" / name).symlink_to(ROOT / "book" / name)
    (folder / "book" / "notation.md").write_text("# Notation\n")
    shutil.copy(ROOT / "_config.yml", folder)
    chapters = [{"file": f"book/{name}"} for name in ("notation", *PAGES)]
    toc = {"format": "jb-book", "root": "book/architecture", "chapters": chapters}
    (folder / "_toc.yml").write_text(yaml.safe_dump(toc))
    command = [Path(sys.executable).with_name("jupyter-book"), "build", folder, "--path-output", folder, "--all"]
    command = [*map(str, command), "-W", "-n", "--keep-going"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return folder / "_build" / "html"


@pytest.fixture(scope="module")
def described(html: Path) -> dict[str, str]:
    """Each name that a page describes, and where."""
    with (html / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", posixpath.join)
    kinds = [entries for kind, entries in inventory.items() if kind.startswith("py:")]
    return {name: entry[2] for entries in kinds for name, entry in entries.items()}


def public_names() -> set[str]:
    """Public classes and functions of every module, read from the files."""
    names = set()
    for path in (ROOT / "dferlib").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if set(parts) & {*LEFT_OUT} or parts == ("dferlib", "__init__"):
            continue
        module = ".".join(part for part in parts if part != "__init__")
        found = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        names |= {f"{module}.{node.name}" for node in found if not node.name.startswith("_")}
    return names


def test_every_public_name_is_described(described: dict[str, str]) -> None:
    names = public_names()
    assert len(names) > 200
    assert not sorted(names - set(described))


def test_the_front_door_leads_to_every_name(html: Path, described: dict[str, str]) -> None:
    page = (html / "book" / "api.html").read_text()
    for name in dferlib.__all__:
        value = getattr(dferlib, name)
        if not callable(value):
            assert f"dferlib.{name}" in page
            continue
        place = described[f"{value.__module__}.{value.__qualname__}"]
        assert f'href="{place.removeprefix("book/")}"' in page


def test_the_source_is_one_click_away(html: Path, described: dict[str, str]) -> None:
    for name in public_names():
        module, _, short = name.rpartition(".")
        source = f"_modules/{module.replace('.', '/')}.html"
        page = html / described[name].partition("#")[0]
        assert f'href="../{source}#{short}"' in page.read_text(), name
        assert f'id="{short}"' in (html / source).read_text(), name


def test_types_and_shapes_stand_with_the_arguments(html: Path) -> None:
    assert "<strong>clips</strong> (<em>Tensor</em>)" in (html / "book" / "api_models.html").read_text()
    shown = importlib.import_module("dferlib.models").attention_maps.__doc__ or ""
    assert "(B, " in shown
