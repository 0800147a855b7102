"""Sphinx extension that composes pages: chapters open with faces, code is folded once, charts are told from faces.

What a chapter opens with is drawn by `book/_static/draw_openings.py`.
A section begins with its finding, not with the folded code that computes it. Folded cells in a row become one, together
with the parameters, which nobody changes on a page. The pictures of cells get a class: a `chart` may turn dark with the
page, `faces` never. The theme's navigation and Sphinx's lists of arguments get the names and roles that screen readers
need.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx

OPENINGS = Path(__file__).parent / "_static" / "openings"
BLOCK = 8  # pixels
SHADES = 40, 12  # more colours than this in a block, or more greys, have photographs and rendered faces
FACES = 0.04  # of all blocks; the charts of the book have less than 0.016, the figures with faces more than 0.07
PAPER = 250
ROLES = {  # HTML as Sphinx and MyST-NB write it, and as screen readers understand it
    '<span class="sig-paren">(</span>\n\n<dl>': '<span class="sig-paren">(</span>\n\n<dl role="presentation">',
    '<summary aria-label="Toggle hidden content">': "<summary>",  # it has words of its own
    '<div role="list" class="citation-list">': '<div class="citation-list">',  # not of what a list is made of
    ' role="doc-biblioentry">': ">",  # not allowed any more
}
BELOW = re.compile(r"</li>\n(<ul><li>(?:(?!<ul>).)*?</ul>)", re.DOTALL)  # a list that follows what it belongs to


def open_with_faces(app: Sphinx, doctree: nodes.document) -> None:
    """Put the strip of a chapter, if there is one, below its first paragraph."""
    name = Path(app.env.docname).name
    file, words = OPENINGS / f"{name}.webp", OPENINGS / "words.json"
    first = next(doctree.findall(nodes.paragraph), None)
    app.env.note_dependency(str(words))  # of a chapter without a strip, too: it may get one
    if first is not None and file.is_file():
        alt = json.loads(words.read_text(encoding="utf-8"))[name]
        strip = nodes.image(uri=f"/book/_static/openings/{file.name}", alt=alt, classes=["opening"])
        first.parent.insert(first.parent.index(first) + 1, strip)


def has_faces(picture: Image.Image) -> bool:
    """Whether a figure has parts with as many shades as a photograph has; lines, bars and heat maps have few."""
    pixels = np.asarray(picture.convert("RGB")).astype(np.int64)
    high, wide = (side // BLOCK for side in pixels.shape[:2])
    pixels = pixels[: high * BLOCK, : wide * BLOCK].reshape(high, BLOCK, wide, BLOCK, 3)
    blocks = pixels.swapaxes(1, 2).reshape(-1, BLOCK * BLOCK, 3)
    sorts = np.sort(blocks @ np.array([1 << 16, 1 << 8, 1]), 1)
    shades = 1 + np.count_nonzero(np.diff(sorts, axis=1), 1)
    grey = (blocks.max(2) == blocks.min(2)).all(1)
    paper = (blocks.min(2) >= PAPER).any(1)
    many = (shades >= SHADES[0]) | grey & (shades >= SHADES[1])
    return bool(np.mean(many & ~paper) > FACES)


def is_cell(node: nodes.Node) -> bool:
    """Whether this is a cell of a notebook."""
    return isinstance(node, nodes.container) and "cell" in node["classes"]


def is_folded(node: nodes.Node) -> bool:
    """Whether this is a cell whose code is folded; the parameters always are."""
    return is_cell(node) and (node.get("hide_mode") == "input" or "tag_parameters" in node["classes"])


def shows_nothing(node: nodes.Node) -> bool:
    """Whether this is a cell without outputs whose code is folded, or not on the page either."""
    return is_cell(node) and (not node.children or (is_folded(node) and len(node.children) == 1))


def only_shows(node: nodes.Node) -> bool:
    """Whether this is a cell whose code is not on the page, such as a sentence."""
    return is_cell(node) and bool(node.children) and all("cell_output" in part["classes"] for part in node.children)


def findings_first(doctree: nodes.document) -> None:
    """Put what folded code at the head of a section computes in front of that code."""
    for title in list(doctree.findall(nodes.title)):
        section = title.parent
        place = at = section.index(title) + 1
        while at < len(section) and shows_nothing(section[at]):
            at += 1
        while at < len(section) and only_shows(section[at]):
            found = section[at]
            section.remove(found)
            section.insert(place, found)
            place, at = place + 1, at + 1


def fold_once(doctree: nodes.document, prompts: tuple[str, str]) -> None:
    """Put folded cells in a row into one, as long as the first ones show nothing."""
    for cell in list(filter(is_cell, doctree.findall(nodes.container))):
        if not cell.children:
            cell.parent.remove(cell)  # it shows neither code nor outputs
    for cell in list(filter(is_folded, doctree.findall(nodes.container))):
        cell["hide_mode"] = "input"
        cell["prompt_show"], cell["prompt_hide"] = prompts
        place = cell.parent.index(cell)
        before = cell.parent[place - 1] if place else cell
        if before is not cell and is_folded(before) and len(before.children) == 1:
            cell[0].insert(0, before[0].children)
            cell.parent.remove(before)


def mark_pictures(app: Sphinx, doctree: nodes.document) -> None:
    """Tell charts from faces, and give each picture a frame that scrolls where the page is narrow."""
    for cell in filter(is_cell, doctree.findall(nodes.container)):
        for image in list(cell.findall(nodes.image)):
            path = Path(app.srcdir, image["uri"])
            if path.suffix != ".png" or not path.is_file():
                continue
            with Image.open(path) as picture:
                if "faces" not in image["classes"]:
                    image["classes"].append("faces" if has_faces(picture) else "chart")
                frame = f'<div class="picture" style="--natural: {picture.width}px">'
            place = image.parent.index(image)
            image.parent.insert(place + 1, nodes.raw("", "</div>", format="html"))
            image.parent.insert(place, nodes.raw("", frame, format="html"))


def compose(app: Sphinx, doctree: nodes.document) -> None:
    """Compose a page after it was read."""
    findings_first(doctree)
    fold_once(doctree, (app.config.nb_code_prompt_show, app.config.nb_code_prompt_hide))
    mark_pictures(app, doctree)


def name_controls(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document) -> None:
    """Name the arrows of the sidebar; the arguments of a function are no list of terms, and say so."""
    if toctree := context.get("generate_toctree_html"):
        named = '<summary aria-label="The pages below this one">'
        context["generate_toctree_html"] = lambda *given, **more: str(toctree(*given, **more)).replace(
            "<summary>", named
        )  # none without pages below
    for old, new in ROLES.items():
        context["body"] = context.get("body", "").replace(old, new)
    if page == "_modules/index":
        context["body"] = BELOW.sub(r"\n\1</li>\n", context["body"])


def spare_mathjax(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document) -> None:
    """Load the script that sets formulas, more than two megabytes, on no page without formulas."""
    if 'class="math' not in context.get("body", ""):
        context["script_files"] = [one for one in context["script_files"] if "mathjax/" not in str(one.filename)]


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("doctree-read", open_with_faces, priority=400)  # before Sphinx looks for pictures
    app.connect("doctree-read", compose, priority=900)  # after Sphinx has found the pictures
    app.connect("html-page-context", name_controls, priority=900)  # after the theme
    app.connect("html-page-context", spare_mathjax, priority=900)
    return {
        "parallel_read_safe": True,
        "parallel_write_safe": True,
        "env_version": 2,
    }  # pages read before are read anew
