"""The book on paper: all pages, in the order of reading, with formulas set and folds open."""

from pathlib import Path

import pytest
from printing import TOC, page_names, print_book
from pypdf import PdfReader

PAGE = """<!doctype html><html><head><title>{title} — A book</title></head><body><h1>{title}</h1><p>{text}</p>
<details><summary>Solution</summary>folded {title}</details>
<details class="hide"><summary>Show the code</summary>plumbing</details></body></html>"""


@pytest.fixture
def built(tmp_path: Path) -> tuple[Path, Path]:
    toc = tmp_path / "_toc.yml"
    toc.write_text(
        "root: book/start\nparts:\n  - chapters:\n      - file: notebooks/02_b\n      - file: notebooks/01_a\n"
    )
    for name, title in {"book/start": "Start", "notebooks/01_a": "Alpha", "notebooks/02_b": "Beta"}.items():
        file = tmp_path / "html" / f"{name}.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(PAGE.format(title=title, text=f"words of {title}"), encoding="utf-8")
    return tmp_path / "html", toc


@pytest.mark.site
def test_every_page_is_there_in_order_with_a_bookmark_and_open_folds(built, tmp_path: Path) -> None:
    html, toc = built
    assert print_book(html, toc, tmp_path / "book.pdf") == 3
    pdf = PdfReader(tmp_path / "book.pdf")
    for sheet, title in zip(pdf.pages, ("Start", "Beta", "Alpha"), strict=True):
        text = sheet.extract_text()
        assert f"words of {title}" in text and f"folded {title}" in text
        assert "plumbing" not in text and "Show the code" not in text
    assert [(item.title, pdf.get_destination_page_number(item)) for item in pdf.outline] == [
        ("Start", 0),
        ("Beta", 1),
        ("Alpha", 2),
    ]


def test_a_page_that_is_not_built_is_named(built, tmp_path: Path) -> None:
    html, toc = built
    (html / "notebooks/01_a.html").unlink()
    with pytest.raises(SystemExit, match=r"has no page notebooks/01_a\.html: build the book first"):
        print_book(html, toc, tmp_path / "book.pdf")


def test_the_order_is_that_of_the_table_of_contents() -> None:
    names = page_names(TOC)
    assert names[0] == "book/preface" and len(names) == len(set(names))
    chapters = [name for name in names if name.startswith("notebooks/")]
    assert chapters == sorted(chapters) and len(chapters) >= 14
