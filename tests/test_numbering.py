"""Tables that chapters compute have numbers, and text refers to them."""

import re
from pathlib import Path

import nbformat
import pytest
from chapters import NOTEBOOKS, ROOT
from pages import build
from test_site import tiny_book

CELL = """
import pandas as pd
from dferlib.book.tables import table
table(pd.DataFrame({"UAR": [1.0]}, index=["STT"]), "Recall & more")
"""


@pytest.mark.site
def test_tables_are_counted_and_found_by_their_names(tmp_path: Path) -> None:
    source = tmp_path / "source"
    tiny_book(source, "1 + 1", "See {numref}`tab-named`.")
    path = source / "chapter.ipynb"
    notebook = nbformat.read(path, 4)
    named = nbformat.v4.new_code_cell(CELL, metadata={"mystnb": {"table": {"name": "tab-named"}}})
    notebook.cells = [notebook.cells[0], nbformat.v4.new_code_cell(CELL), named]
    nbformat.write(notebook, path)
    done = build(source, tmp_path, "-W", "-n", "--keep-going")
    assert done.returncode == 0, done.stdout + done.stderr
    start, chapter = ((tmp_path / f"_build/html/{name}.html").read_text() for name in ("start", "chapter"))
    shown = re.findall(r'<table class="numbers" id="(.*?)"><caption>(.*?)</caption><thead>', chapter)
    number = '<span class="caption-number">Table {} </span>Recall &amp; more'
    assert shown == [("table-1", number.format(1)), ("tab-named", number.format(2))]
    assert re.search(r'href="chapter.html#tab-named"><span class="std std-numref">Table 2</span>', start)


def test_names_are_used_and_stand_at_cells_with_a_table() -> None:
    named, wanted = list[str](), set[str]()
    for notebook in NOTEBOOKS:
        for cell in nbformat.read(notebook, 4).cells:
            if table := cell.metadata.get("mystnb", {}).get("table"):
                assert "table(" in cell.source, f"{notebook.stem}: {table['name']} stands at a cell without a table"
                named.append(table["name"])
            elif cell.cell_type == "markdown":
                wanted |= set(re.findall(r"\{numref\}`(?:[^`<]*<)?(tab-[\w-]+)", cell.source))
    for page in (ROOT / "book").glob("*.md"):
        wanted |= set(re.findall(r"\{numref\}`(?:[^`<]*<)?(tab-[\w-]+)", page.read_text(encoding="utf-8")))
    assert sorted(named) == sorted(wanted)
