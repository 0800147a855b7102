"""Prose says what the code says: the names that a page mentions exist, and words are those of the field."""

import importlib
import re
import subprocess
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("book/*.md"), *ROOT.glob("notebooks/*.ipynb")]
TO_BE_ADDED = {"dferlib.Webcam", "dferlib.data.sets.webcam", "dferlib.models.motion_average"}  # examples of a guide
FOLDERS = ("README.md", "_config.yml", "_toc.yml", "book", "notebooks", "dferlib", "tests", "benchmarks")
# titles and licences are quoted; this file names the word
APART = {"book/references.bib", "book/_static/mathjax/LICENSE", "tests/test_words.py"}


def text_files() -> Iterator[tuple[str, str]]:
    """Name and text of every file that git knows and that is a text."""
    listed = subprocess.run(["git", "ls-files", *FOLDERS], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        data = (ROOT / name).read_bytes()
        if b"\0" not in data and name not in APART:
            yield name, data.decode()


def names_in(text: str) -> set[str]:
    """The dotted names of the library in backticks, also those within a longer expression."""
    return {name for code in re.findall(r"`([^`\n]+)`", text) for name in re.findall(r"\bdferlib(?:\.\w+)+", code)}


def exists(name: str) -> bool:
    """Whether a module, or something in one, has this name."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        try:
            reduce(getattr, parts[count:], found)
        except AttributeError:
            return False
        return True
    return False


def test_a_name_is_found_and_looked_up() -> None:
    assert names_in("see `dferlib.files`, not dferlib.old; `x = dferlib.create_model(1)`") == {
        "dferlib.files",
        "dferlib.create_model",
    }
    assert exists("dferlib.files")
    assert exists("dferlib.create_model")
    assert not exists("dferlib.pictures")
    assert not exists("dferlib.files.pictures")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_name_of_the_library_that_a_page_mentions_exists(page: Path) -> None:
    mentioned = names_in(page.read_text(encoding="utf-8")) - TO_BE_ADDED
    assert not [name for name in sorted(mentioned) if not exists(name)]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_tests_that_a_page_names_are_there(page: str) -> None:
    named = re.findall(r"\btests/\w+\.py", (ROOT / page).read_text(encoding="utf-8"))
    assert not [name for name in named if not (ROOT / name).exists()]


def test_it_is_a_video_and_not_a_film() -> None:
    said = re.compile(r"(?<![a-z])films?(?![a-z])", re.IGNORECASE)
    assert not [name for name, text in text_files() if said.search(text)]
