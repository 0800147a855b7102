"""The book as a reader meets it: built with warnings as errors, every page opened in a browser that has no network."""

import functools
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from chapters import ROOT
from pages import build
from playwright.sync_api import Browser, Page, Route, sync_playwright

pytestmark = pytest.mark.site

SOURCES = re.findall(r"^(?:root:| +- file:) (\S+)$", (ROOT / "_toc.yml").read_text(), re.MULTILINE)
CODE = "_modules/"  # the source of each module, all alike: one of them stands for all
SLIDES = [name.replace("notebooks/", "slides/") for name in SOURCES if name.startswith("notebooks/")]
PAGES = ["index", "genindex", "search", f"{CODE}dferlib/models/stt", *SOURCES, "slides/07_stt", "slides/09_logo_former"]
PROSE, CHAPTER = 2e6, 6e6  # bytes that a page and all that it loads may have
FEW = ("book/preface", "book/references", "notebooks/13_data_sets")  # the others are looked at before a release
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# waits for formulas and pictures, then says what a reader would see
PROBE = r"""async () => {
    if (window.MathJax?.startup) await MathJax.startup.promise;
    await Promise.allSettled([...document.images].map(image => image.decode()));
    const hidden = "script, style, noscript, pre, code, textarea, mjx-container";
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const text = [];
    while (walker.nextNode())
        if (!walker.currentNode.parentElement.closest(hidden)) text.push(walker.currentNode.data);
    const within = (selector) => [...document.querySelectorAll(selector)].map(node => node.outerHTML.slice(0, 200));
    return {
        text: text.join(" "),
        formulas: document.querySelectorAll(".math, .tex2jax_process mjx-container").length,
        untypeset: [...document.querySelectorAll(".math")]
            .filter(node => !node.querySelector("mjx-container mjx-math")).map(node => node.textContent),
        mistyped: within("mjx-merror"),
        broken: [...document.images].filter(image => !image.naturalWidth).map(image => image.src),
        nameless: [...document.images].filter(image => !image.alt.trim()).map(image => image.src),
        width: document.documentElement.scrollWidth,
        weight: performance.getEntries().reduce((sum, entry) => sum + (entry.decodedBodySize ?? 0), 0),
        theme: document.documentElement.dataset.theme,
    };
}"""


@pytest.fixture(scope="module")
def address(html: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=html)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.fail("these tests need Chromium. On Debian and Ubuntu: apt-get install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield running
        running.close()


class Visit:
    """A page opened with no network but the book's own server, and everything that went wrong."""

    def __init__(self, browser: Browser, address: str, scheme: str = "light", width: int = 1200) -> None:
        self.address, self.wrong = address, list[str]()
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.route("**/*", self._answer)
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: message.type == "error" and self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("requestfailed", lambda request: self.wrong.append(f"request failed: {request.url}"))
        self.page.on(
            "response", lambda answer: answer.status >= 400 and self.wrong.append(f"{answer.status}: {answer.url}")
        )

    def _answer(self, route: Route) -> None:
        if route.request.url.startswith(self.address):
            route.continue_()
        else:
            self.wrong.append(f"asks the network for {route.request.url}")
            route.abort()

    def open(self, name: str) -> dict:
        self.page.goto(f"{self.address}/{name}.html")
        self.page.wait_for_load_state("networkidle")
        return self.page.evaluate(PROBE)


@pytest.mark.parametrize("name", PAGES)
def test_page_is_whole(name: str, browser: Browser, address: str) -> None:
    visit = Visit(browser, address)
    seen = visit.open(name)
    visit.page.context.close()
    assert not visit.wrong, "the console or the network complains"
    assert len(seen["text"].split()) > 20, "the page is empty"
    assert not seen["broken"], "pictures that did not load"
    assert not seen["nameless"], "pictures without a description"
    assert not seen["untypeset"], "formulas that were not typeset"
    assert not seen["mistyped"], "formulas with errors in them"
    raw = re.findall(r"\\[()\[\]]|\$\$|\\[a-zA-Z]{2,}\{?", seen["text"])
    assert not raw, "raw TeX in the text"
    assert seen["width"] <= 1200, "the page scrolls sideways"
    most = CHAPTER if name.startswith(("notebooks/", "slides/")) else PROSE
    assert 3e5 < seen["weight"] < most, "the page is heavy"


VIEWS = ((1280, "light"), (390, "dark"), (1280, "dark"), (390, "light"))


@pytest.mark.parametrize(
    "name, width, scheme",
    [
        pytest.param(name, *view, marks=() if name in FEW and view in VIEWS[:2] else pytest.mark.thorough)
        for name in PAGES
        if name != "index"  # it only sends on to the preface
        for view in VIEWS
    ],
)
def test_page_suits_screen_readers_keyboards_and_weak_eyes(
    name: str, width: int, scheme: str, browser: Browser, address: str
) -> None:
    visit = Visit(browser, address, scheme, width)
    visit.open(name)
    visit.page.add_style_tag(content="* { animation: none !important; transition: none !important; }")  # half a colour
    visit.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    found = Axe().run(visit.page).response["violations"]
    visit.page.context.close()
    grave = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not {one["id"]: [node["html"] for node in one["nodes"]] for one in grave}


def test_keys_turn_the_slides_unless_a_figure_has_the_focus(browser: Browser, address: str) -> None:
    visit = Visit(browser, address)
    visit.open("slides/07_stt")
    top = "() => [...document.querySelectorAll('.slide')].findIndex(one => one.getBoundingClientRect().bottom > 450)"
    places = [visit.page.evaluate(top)]
    for key in ("ArrowRight", " ", "ArrowLeft", "PageDown"):
        visit.page.keyboard.press(key)
        visit.page.wait_for_timeout(400)
        places.append(visit.page.evaluate(top))
    assert places == [0, 1, 2, 1, 2]
    visit.page.keyboard.press("f")
    visit.page.wait_for_function("document.fullscreenElement")
    visit.page.keyboard.press("f")
    visit.page.wait_for_function("!document.fullscreenElement")
    slider = visit.page.locator(".slide input[type=range]").first
    slider.focus()
    before, at = visit.page.evaluate(top), slider.input_value()
    slider.press("ArrowRight")
    visit.page.wait_for_timeout(400)
    assert (visit.page.evaluate(top), slider.input_value() == at) == (before, False)
    visit.page.context.close()


def test_every_page_was_opened(html: Path) -> None:
    built = {path.relative_to(html).with_suffix("").as_posix() for path in html.rglob("*.html")}
    opened = {name for name in PAGES if not name.startswith(CODE)} | set(SLIDES)
    assert {name for name in built if not name.startswith(("_static/", CODE))} == opened


def test_formulas_are_found(browser: Browser, address: str) -> None:
    visit = Visit(browser, address)
    assert visit.open("book/notation")["formulas"] > 50
    assert visit.open("book/errata")["formulas"] > 10
    visit.page.context.close()


def test_dark_mode_is_readable(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, scheme="dark")
    assert visit.open("book/notation")["theme"] == "dark"
    shades = visit.page.evaluate(
        r"""() => [["body", "backgroundColor"], ["article p", "color"], ["mjx-container", "color"]].map(
            ([selector, key]) => getComputedStyle(document.querySelector(selector))[key].match(/\d+/g).slice(0, 3)
                .reduce((sum, part) => sum + Number(part) / 3, 0))"""
    )
    visit.page.context.close()
    background, text, formula = shades
    assert background < 60, "the background is not dark"
    assert text > 150, "text is too dark"
    assert formula > 150, "formulas are too dark"


def test_nothing_is_loaded_from_elsewhere(html: Path) -> None:
    tag = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)=[\"'](?:https?:)?//[^>]*>")
    assert not {str(path.relative_to(html)): tag.findall(path.read_text()) for path in html.rglob("*.html")
                if tag.search(path.read_text())}  # fmt: skip


def test_a_second_build_finds_nothing_to_do(html: Path) -> None:
    before = {path: path.stat().st_mtime for path in html.rglob("*.html")}
    done = build(ROOT, html.parents[1], "-W", "-n", "--keep-going")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 added, 0 changed, 0 removed" in done.stdout
    assert {path: path.stat().st_mtime for path in html.rglob("*.html")} == before


def tiny_book(source: Path, cell: str, prose: str = "") -> None:
    """A book of one page and one chapter."""
    source.mkdir()
    shutil.copy(ROOT / "_config.yml", source)
    (source / "book").symlink_to(ROOT / "book")
    (source / "_toc.yml").write_text("format: jb-book\nroot: start\nchapters:\n  - file: chapter\n")
    (source / "start.md").write_text(f"# Start\n\n{prose}\n")
    cells = [nbformat.v4.new_markdown_cell("# Chapter"), nbformat.v4.new_code_cell(cell)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), source / "chapter.ipynb")


@pytest.mark.parametrize("cell, expected", [("1 + 1", 0), ("1 / 0", 1)], ids=["good cell", "failing cell"])
def test_failing_cell_fails_the_build(cell: str, expected: int, tmp_path: Path) -> None:
    tiny_book(tmp_path / "source", cell)
    done = build(tmp_path / "source", tmp_path)
    assert min(done.returncode, 1) == expected, done.stdout + done.stderr
    assert ("ZeroDivisionError" in done.stdout + done.stderr) == bool(expected)


def test_a_warning_is_given_again(tmp_path: Path) -> None:
    """Though the page has not changed."""
    tiny_book(tmp_path / "source", "1 + 1", "[A page](missing.md)")
    first, second = (build(tmp_path / "source", tmp_path, "-W", "--keep-going") for _ in range(2))
    assert first.returncode == second.returncode == 1
    assert "missing.md" in first.stderr and "missing.md" in second.stderr
    assert "1 of 1 chapters have their outputs" in second.stdout


STATED = """
import json
from pathlib import Path
from dferlib.book.sentences import state
gap = json.loads(Path("record.json").read_text())
state("Attention brings {gap:points}.", gap=gap, holds=gap > 0, name="attention")
"""


def test_a_page_shows_what_a_chapter_states_and_a_record_that_contradicts_it_fails_the_build(tmp_path: Path) -> None:
    source, record = tmp_path / "source", tmp_path / "source/record.json"
    tiny_book(source, STATED, "```{findings}\nattention\n```")

    def built(gap: float, quick: bool) -> tuple[int, str, str]:
        record.write_text(str(gap))
        for kept in tmp_path.glob("_build/chapters*/chapter.json"):  # nobody watches the record
            kept.unlink()
        done = build(source, tmp_path, "-W", "--keep-going", quick=quick)
        start, chapter = ((tmp_path / f"_build/html/{name}.html").read_text() for name in ("start", "chapter"))
        assert done.returncode or "Attention brings" in chapter.partition('class="cell_output')[2]
        listed = re.search(r"<li><p>(Attention.*?)</p></li>", start, re.DOTALL)
        return min(done.returncode, 1), listed[1] if listed else start, done.stdout + done.stderr

    status, listed, said = built(0.122, quick=False)
    assert status == 0, said
    assert listed.startswith("Attention brings 12.2 points. <a ") and 'href="chapter.html"' in listed
    assert built(0.131, quick=False)[1].startswith("Attention brings 13.1 points.")
    status, _, said = built(-0.02, quick=False)
    assert status == 1
    assert "SentenceError: this does not hold any more: 'Attention brings −2.0 points.'" in said
    status, listed, said = built(-0.02, quick=True)
    assert status == 0, said
    assert "A miniature" in (tmp_path / "_build/html/start.html").read_text()
    assert listed.startswith("Attention brings −2.0 points.")


def test_a_page_that_asks_for_a_sentence_nobody_states_is_told(tmp_path: Path) -> None:
    tiny_book(tmp_path / "source", "1 + 1", "```{findings}\nattention\n```")
    done = build(tmp_path / "source", tmp_path, "-W", "--keep-going")
    assert done.returncode
    assert "no chapter shows a sentence with the name attention" in done.stdout + done.stderr
