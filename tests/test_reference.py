"""The reference in the book describes every public name of the library."""

import ast
import importlib
import posixpath
from pathlib import Path

import pytest
from sphinx.util.inventory import InventoryFile

import dferlib

ROOT = Path(__file__).parents[1]
LEFT_OUT = ("cli", "baking", "__main__")

pytestmark = pytest.mark.site


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
