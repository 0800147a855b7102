"""The pages of the book are composed: code folded once, faces never turned to their negative, controls with names."""

import json
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from chapters import NOTEBOOKS, ROOT
from docutils import nodes
from docutils.utils import new_document
from PIL import Image

BOOK = ROOT / "book"


@pytest.fixture
def composing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(BOOK)
    import composing

    return composing


def cell(code: str, output: str = "", **more: str) -> nodes.container:
    shown = nodes.container("", nodes.container("", nodes.literal_block(code, code)), classes=["cell"], **more)
    if output:
        shown += nodes.container("", nodes.literal_block(output, output))
    return shown


def page(*cells: nodes.Node) -> nodes.document:
    document = new_document("page")
    document += nodes.section("", nodes.title("", "Page"), *cells)
    return document


def test_folded_cells_in_a_row_become_one_in_their_order(composing) -> None:
    parameters = cell("SEED = 0")
    parameters["classes"].append("tag_parameters")
    nothing = nodes.container(classes=["cell"])  # a cell that is not shown and shows nothing
    document = page(
        parameters, cell("import a", hide_mode="input"), nothing, cell("a()", "1", hide_mode="input"),
        cell("b()", "2", hide_mode="input"), cell("c()"), cell("d()", hide_mode="input"),
    )  # fmt: skip
    composing.fold_once(document, ("show", "hide"))
    found = [one.astext().split("\n\n") for one in document[0] if composing.is_cell(one)]
    assert found == [["SEED = 0", "import a", "a()", "1"], ["b()", "2"], ["c()"], ["d()"]]
    folded = [one for one in document[0] if composing.is_folded(one)]
    assert [one["prompt_show"] for one in folded] == ["show"] * 3


def sentence(words: str) -> nodes.container:
    shown = nodes.container("", nodes.paragraph(words, words), classes=["cell_output"])
    return nodes.container("", shown, classes=["cell"])


def test_a_section_begins_with_what_its_folded_code_finds(composing) -> None:
    document = page(
        cell("a", hide_mode="input"), nodes.container(classes=["cell"]), cell("b", hide_mode="input"), sentence("One."),
        sentence("Two."), nodes.paragraph("", "Words."), cell("c", hide_mode="input"), sentence("Three."),
    )  # fmt: skip
    composing.findings_first(document)
    assert [one.astext() for one in document[0]] == ["Page", "One.", "Two.", "a", "", "b", "Words.", "c", "Three."]


@pytest.mark.parametrize("first", [{}, {"output": "a picture", "hide_mode": "input"}])
def test_visible_code_and_pictures_stay_in_front_of_a_sentence(composing, first: dict[str, str]) -> None:
    document = page(cell("a", **first), sentence("One."))
    composing.findings_first(document)
    assert document[0][-1].astext() == "One."


def test_parameters_alone_are_folded_too(composing) -> None:
    parameters = cell("SEED = 0")
    parameters["classes"].append("tag_parameters")
    document = page(parameters, nodes.paragraph("", "Words."), cell("a()", "1", hide_mode="input"))
    composing.fold_once(document, ("show", "hide"))
    assert [one.get("hide_mode") for one in document[0] if composing.is_cell(one)] == ["input", "input"]


def test_faces_are_told_from_charts(composing) -> None:
    with Image.open(BOOK / "_static" / "faces.png") as picture:
        assert composing.has_faces(picture.convert("RGB"))
        assert composing.has_faces(picture.convert("L"))
    bars = np.full((200, 300, 3), 255, np.uint8)
    bars[50:, 40:90] = (0, 114, 178)
    bars[20:, 120:170] = (213, 94, 0)
    assert not composing.has_faces(Image.fromarray(bars))
    ramp = np.linspace(0, 255, 300).astype(np.uint8)
    heat = np.broadcast_to(np.stack([ramp, ramp[::-1], ramp // 2], 1), (200, 300, 3))
    assert not composing.has_faces(Image.fromarray(np.ascontiguousarray(heat)))


def test_a_picture_of_a_cell_is_marked_unless_the_chapter_says_what_it_is(composing, tmp_path: Path) -> None:
    Image.new("RGB", (64, 32), "white").save(tmp_path / "plain.png")
    told, untold = (nodes.image(uri="plain.png", classes=classes) for classes in (["faces"], []))
    document = page(nodes.container("", nodes.figure("", told), nodes.figure("", untold), classes=["cell"]))
    composing.mark_pictures(SimpleNamespace(srcdir=tmp_path), document)
    assert told["classes"] == ["faces"] and untold["classes"] == ["chart"]
    before, _, after = untold.parent.children
    assert 'style="--natural: 64px"' in before.astext() and after.astext() == "</div>"


def test_controls_have_names(composing) -> None:
    context = {
        "generate_toctree_html": lambda kind: f"<ul>{kind}<summary></summary></ul>",
        "body": '<summary aria-label="Toggle hidden content">Show</summary><span class="sig-paren">(</span>\n\n<dl>',
    }
    composing.name_controls(None, "page", "page.html", context, None)
    assert context["generate_toctree_html"]("sidebar").startswith('<ul>sidebar<summary aria-label="')
    assert context["body"].startswith("<summary>Show") and context["body"].endswith('<dl role="presentation">')


def test_a_list_below_stands_in_what_it_belongs_to(composing) -> None:
    inner = "<ul><li>a.b</li>\n<li>a.c</li>\n</ul>"
    context = {"body": f"<ul><li>a</li>\n{inner}<li>d</li>\n<li>e</li>\n{inner}</ul>"}
    composing.name_controls(None, "_modules/index", "page.html", context, None)
    outer = ElementTree.fromstring(context["body"])
    assert [[below.tag for below in item] for item in outer] == [["ul"], [], ["ul"]]
    assert {item.tag for item in outer} == {"li"}


@pytest.mark.parametrize("body, loaded", [("Words.", 1), ('<span class="math notranslate">x</span>', 2)])
def test_pages_without_formulas_do_not_load_mathjax(composing, body: str, loaded: int) -> None:
    files = [SimpleNamespace(filename=name) for name in ("_static/a.js", "_static/mathjax/startup.js")]
    context = {"body": body, "script_files": files}
    composing.spare_mathjax(None, "page", "page.html", context, None)
    assert len(context["script_files"]) == loaded


def test_openings_are_described_and_small() -> None:
    folder = BOOK / "_static" / "openings"
    words = json.loads((folder / "words.json").read_text())
    drawn = {path.stem: path for path in folder.glob("*.webp")}
    assert set(drawn) == set(words) <= {notebook.stem for notebook in NOTEBOOKS}
    assert all(said.endswith(".") for said in words.values())
    assert max(path.stat().st_size for path in drawn.values()) < 60_000
