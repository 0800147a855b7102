"""Sphinx extension that numbers the tables that chapters compute, so that text can refer to them as to figures.

A table of `dferlib.book.tables` is HTML with a caption. On a page it is "Table 7.2", by the chapter and the order.
Where the cell has a name for it, `{"mystnb": {"table": {"name": "tab-stt-worth"}}}` in its metadata, text refers to it
by {numref}`tab-stt-worth`.
"""

from typing import Any, cast

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.writers.html5 import HTML5Translator

OURS, CAPTION = '<table class="numbers">', "<caption>"


class Numbered(nodes.General, nodes.Element):
    """A table with `html` that has a caption, and in `ids` its name."""


def begin(self: HTML5Translator, node: Numbered) -> None:
    """Write the table, with its number before its caption."""
    html = node["html"].replace(OURS, f'<table class="numbers" id="{node["ids"][0]}">')
    before, after = html.split(CAPTION, 1)
    self.body.append(f'<div class="output text_html">{before}{CAPTION}')
    self.add_fignumber(node)
    self.body.append(f"{after}</div>\n")


def end(self: HTML5Translator, node: Numbered) -> None:
    """All is written."""


def title(node: nodes.Node) -> str:
    """The words of a caption, where Sphinx asks for them."""
    return cast(Numbered, node)["html"].split(CAPTION, 1)[1].split("</caption>", 1)[0]


def name_of(node: nodes.Node | None) -> str:
    """The name that the cell around a node has for its table, or ""."""
    while node is not None:
        if isinstance(node, nodes.Element) and "cell_metadata" in node:
            found: dict[str, Any] = node["cell_metadata"].get("mystnb", {}).get("table", {})
            return str(found.get("name", ""))
        node = node.parent
    return ""


def number(app: Sphinx, document: nodes.document) -> None:
    """Make tables of a page things that Sphinx counts, and note the names of those that have one."""
    domain = cast(StandardDomain, app.env.get_domain("std"))
    found = [raw for raw in document.findall(nodes.raw) if OURS in raw.astext() and CAPTION in raw.astext()]
    for place, raw in enumerate(found, 1):
        table = Numbered(html=raw.astext())
        name = name_of(raw)
        table["ids"] = [name or f"table-{place}"]
        document.ids[table["ids"][0]] = table
        raw.replace_self(table)
        if name:
            domain.note_hyperlink_target(name, app.env.docname, name, title(table))


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_enumerable_node(Numbered, "table", title, html=(begin, end))
    app.connect("doctree-read", number)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
