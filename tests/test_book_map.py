"""The map of the book knows every chapter of the table of contents, in its order, and where the reader is."""

import re
from pathlib import Path

import pytest
import yaml
from chapters import NOTEBOOKS, ROOT
from test_drawings import SMALLEST, faults, words_of

from dferlib import InputError
from dferlib.book.drawings import book_map, places
from dferlib.book.drawings.canvas import Box
from dferlib.book.drawings.places import PLACES, chapters

ORDER = [
    Path(chapter["file"]).name
    for part in yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
    for chapter in part["chapters"]
    if chapter["file"].startswith("notebooks/")
]


def looks(current: str | None) -> dict[str, str]:
    """How each chapter is drawn, by its number: read, here, or still to come."""
    found = {}
    for sheet in book_map(current).sheets:
        boxes = [thing for thing in sheet.canvas.behind if isinstance(thing, Box)]
        for box in boxes:
            inside = [words.text for words in sheet.canvas.all_words() if box.bounds.holds(words.bounds)]
            number, *_ = (word for word in inside if word.isdigit())
            found[number] = box.look
    return found


def test_chapters_come_in_the_order_of_the_table_of_contents() -> None:
    assert chapters() == ORDER
    assert sorted(ORDER) == [notebook.stem for notebook in NOTEBOOKS]


def test_every_chapter_has_one_place() -> None:
    placed = [name for some in PLACES.values() for name in some]
    assert sorted(placed) == sorted(ORDER), "give a new chapter its place on the way"


@pytest.mark.parametrize("current", ORDER)
def test_what_was_read_is_told_from_what_is_to_come(current: str) -> None:
    here = ORDER.index(current)
    kinds = {str(int(name[:2])): k for k, name in enumerate(ORDER)}
    expected = {n: "here" if k == here else "frame" if k < here else "plain" for n, k in kinds.items()}
    assert looks(current) == expected


def test_before_the_first_chapter_nothing_is_read() -> None:
    assert set(looks(None).values()) == {"plain"}
    assert "you are" not in book_map().description.lower()


@pytest.mark.parametrize("current", [None, *ORDER])
def test_it_is_small_and_nothing_runs_over_anything(current: str | None) -> None:
    drawing = book_map(current)
    assert not faults(drawing)
    assert len(drawing.html().encode()) < SMALLEST
    words = " ".join(words_of(drawing.svg()))
    assert all(re.search(rf"\b{int(name[:2])}\b", words) for name in ORDER)
    assert len({sheet.canvas.things[0].bounds for sheet in drawing.sheets}) == 1, "the way is level"  # type: ignore[union-attr]


def test_it_says_where_you_are() -> None:
    assert "You are at 7, STT" in book_map("07_stt").description
    assert "7 STT (you are here)" in book_map("07_stt").html()


def test_an_unknown_chapter_is_told() -> None:
    with pytest.raises(InputError, match="chapter"):
        book_map("99_nothing")


def test_a_chapter_without_a_place_is_drawn_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "LIBRARY", tmp_path / "dferlib")
    with pytest.raises(InputError, match=r"came without the book's _toc\.yml"):
        book_map()
    lines = ["root: book/preface", "  - file: notebooks/07_stt", "      - file: notebooks/15_blinks"]
    (tmp_path / "_toc.yml").write_text("\n".join(lines))
    assert chapters() == ["07_stt", "15_blinks"]
    drawing = book_map("15_blinks")
    assert drawing.sheets[-1].title == "More"
    assert "Blinks" in words_of(drawing.svg())
    assert looks("15_blinks") == {"7": "frame", "15": "here"}
    (tmp_path / "dferlib" / "shipped").mkdir(parents=True)
    (tmp_path / "dferlib" / "shipped" / "_toc.yml").write_text("  - file: notebooks/09_logo_former\n")
    assert chapters() == ["09_logo_former"], "a wheel brings its own"
