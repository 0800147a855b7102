"""Sphinx extension that makes a set of slides of each chapter: its findings, each above the figure that shows it.

A slide is a figure or a table of the page, alive as on the page, below the finding of its section. The quiz follows at
the end. What stands in exercises and their solutions is left out. The slides of `notebooks/07_stt` are at
`slides/07_stt.html`, so that what a page loads is found from there by the same addresses. The directive `slides` lists
them.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, Tag
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

CHAPTERS, SLIDES = "notebooks", "slides"
WORDS = 4  # a finding has at least as many; a term in bold has fewer
SHOWN = "figure, .fim, .picture, table.numbers, .dfer-drawing"
LEFT_OUT = ".admonition, details"  # what is to be learnt and needed, exercises and solutions


@dataclass(frozen=True)
class Slide:
    """One slide.

    Attributes:
        section: the title of the section that it is from.
        anchor: where that section is on the page.
        finding: what the section has found, as HTML, or "".
        figure: what shows it, as HTML.
    """

    section: str
    anchor: str
    finding: str
    figure: str


def own(section: Tag, selector: str) -> Iterator[Tag]:
    """What a section has of a kind: not in a section below it, nor in a box, and not within another one."""
    within = f"{selector}, {LEFT_OUT}"
    for one in section.select(selector):
        if one.find_parent("section") is section and not one.find_parent(lambda above: above.css.match(within)):
            yield one


def finding(paragraph: Tag) -> str:
    """What a paragraph says in bold at its beginning, as HTML, or ""."""
    first = next((one for one in paragraph.contents if str(one).strip()), None)
    bold = isinstance(first, Tag) and first.name == "strong" and len(first.get_text().split()) >= WORDS
    return first.decode_contents() if isinstance(first, Tag) and bold else ""


def slides_of(body: str) -> tuple[str, list[Slide]]:
    """The title of a page and its slides, in the order of the page."""
    soup = BeautifulSoup(body, "html.parser")
    for link in soup.select("a.headerlink"):
        link.decompose()
    slides, title = list[Slide](), ""
    for section in soup.find_all("section"):
        heading = section.find(re.compile("^h[1-6]$"), recursive=False)
        name = heading.decode_contents() if heading else ""
        title = title or name
        found = ""  # what stands last above a figure
        for one in own(section, f"{SHOWN}, p"):
            if one.name == "p":
                found = finding(one) or found
            else:
                slides.append(Slide(name, str(section.get("id", "")), found, str(one)))
    return title, slides


def write(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document) -> None:
    """Write the slides of a chapter beside its page."""
    folder, _, name = page.partition("/")
    if folder != CHAPTERS:
        return
    title, slides = slides_of(context["body"])
    shown = {
        "title": title,
        "plain": re.sub("<[^>]*>", "", title),
        "page": f"../{page}.html",
        "opening": next(iter(re.findall(r'<img [^>]*class="opening"[^>]*>', context["body"])), ""),
        "slides": slides,
        "scripts": [one.filename for one in context["script_files"] if "mathjax/" in str(one.filename)],
        "settings": json.dumps(app.config.mathjax3_config),
    }
    out = Path(app.outdir, SLIDES, f"{name}.html")
    out.parent.mkdir(exist_ok=True)
    out.write_text(app.builder.templates.render("slides.html", shown), encoding="utf-8")


class Listed(Directive):
    """The list of all slides."""

    def run(self) -> list[nodes.Node]:
        """Make it from the titles of the chapters."""
        rows = list[str]()
        for path in sorted(Path(self.state.document.settings.env.srcdir, CHAPTERS).glob("[0-9]*.ipynb")):
            first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
            title = first.splitlines()[0].removeprefix("# ")
            rows.append(f'<li value="{int(path.name[:2])}"><a href="../{SLIDES}/{path.stem}.html">{title}</a></li>')
        return [nodes.raw("", f"<ol>{''.join(rows)}</ol>", format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("slides", Listed)
    app.connect("html-page-context", write, priority=950)  # after composing has named all controls
    return {"parallel_read_safe": True, "parallel_write_safe": True}
