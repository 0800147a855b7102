"""The drawings as a browser shows them: on wide pages and on phones, light and dark, in a page and as a picture."""

import base64
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from test_site import BROWSERS, FLAGS

from dferlib import list_models
from dferlib.book.drawings import Drawing, book_map, draw_model

pytestmark = pytest.mark.site

PAGE = """<!doctype html><html {attributes}><meta name="viewport" content="width=device-width">
<style>html[data-theme=dark] body{{background:#14181e;color:#ced6dd}} body{{margin:16px;font:16px sans-serif}}
{more}</style><body><main style="max-width:720px;margin:auto">{content}</main>"""
# the contrast of each line of words with what it stands on
CONTRASTS = r"""() => {
    const parts = colour => {
        const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
        return {rgb: [r, g, b], a};
    };
    const over = (upper, lower) => lower.map((v, k) => upper.a * upper.rgb[k] + (1 - upper.a) * v);
    const light = rgb => rgb.map(v => (v /= 255) <= 0.04 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
    const paper = over(parts(getComputedStyle(document.body).backgroundColor), [255, 255, 255]);
    const boxes = [...document.querySelectorAll("svg rect, svg path.here, svg path.plain")]
        .map(box => [box.getBoundingClientRect(), parts(getComputedStyle(box).fill)]);
    return [...document.querySelectorAll("svg text")].map(text => {
        const own = text.getBoundingClientRect(), x = (own.left + own.right) / 2, y = (own.top + own.bottom) / 2;
        const inside = boxes.filter(([b]) => b.left < x && x < b.right && b.top < y && y < b.bottom);
        const under = light(inside.reduce((colour, [_, fill]) => over(fill, colour), paper));
        const ink = light(parts(getComputedStyle(text).fill).rgb);
        return [text.textContent, (Math.max(ink, under) + 0.05) / (Math.min(ink, under) + 0.05)];
    });
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.fail("these tests need Chromium. On Debian and Ubuntu: apt-get install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def drawings() -> dict[str, Drawing]:
    return {**{name: draw_model(name) for name in list_models()}, "map": book_map("07_stt")}


def show(browser: Browser, content: str, *, width: int = 1280, scheme: str = "light", attributes: str = "") -> Page:
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    more = "" if attributes else "@media (prefers-color-scheme:dark){body{background:#14181e;color:#ced6dd}}"
    page.set_content(PAGE.format(attributes=attributes, more=more, content=content))
    return page


def test_words_are_no_wider_than_their_bounds(browser: Browser, drawings: dict[str, Drawing]) -> None:
    """Whatever fonts this machine has for sans-serif."""
    for name, drawing in drawings.items():
        page = show(browser, drawing.html())
        shown = page.evaluate("() => [...document.querySelectorAll('svg')].map(svg => [...svg.querySelectorAll('text')]"
                              ".map(text => [text.textContent, text.getBBox().width]))")  # fmt: skip
        page.context.close()
        for sheet, found in zip(drawing.sheets, shown, strict=True):
            bounds: dict[str, float] = {}  # the same words may stand there in two sizes
            for words in sheet.canvas.all_words():
                text, edges = words.text.replace("_", ""), words.bounds
                bounds[text] = max(bounds.get(text, 0), edges.right - edges.left)
            for text, wide in found:
                assert wide <= bounds[text.replace("\u200b", "")] + 1, f"{name}: {text!r} is {wide} pixels wide"


@pytest.mark.parametrize("width", [390, 688, 1280])  # 688 leaves the 656 pixels that a page of the book has
def test_panels_stand_beside_each_other_or_under_each_other(
    browser: Browser, drawings: dict[str, Drawing], width: int
) -> None:
    for name, drawing in drawings.items():
        page = show(browser, drawing.html(), width=width)
        across = page.evaluate("document.documentElement.scrollWidth")
        columns = page.evaluate(
            "[...document.querySelectorAll('.dfer-column')].map(x => x.getBoundingClientRect().toJSON())"
        )
        sizes = page.evaluate("[...document.querySelectorAll('svg')].map(x => x.getBoundingClientRect().width)")
        page.context.close()
        assert across <= width, f"{name} scrolls sideways"
        assert min(sizes) >= 0.9 * drawing.wide, f"{name} is shrunk"
        if len(columns) > 1 and name != "map":
            assert (columns[0]["bottom"] <= columns[1]["top"]) == (width == 390), name
        if name == "map":
            assert len({column["top"] for column in columns}) == (2 if width == 390 else 1)


@pytest.mark.parametrize(
    "scheme, attributes",
    [("light", ""), ("dark", ""), ("dark", "data-theme=light"), ("light", "data-theme=dark")],
    ids=["light system", "dark system", "light page", "dark page"],
)
def test_words_stand_out(browser: Browser, drawings: dict[str, Drawing], scheme: str, attributes: str) -> None:
    for name, drawing in drawings.items():
        page = show(browser, drawing.html(), scheme=scheme, attributes=attributes)
        ratios = page.evaluate(CONTRASTS)
        page.context.close()
        assert len(ratios) > 10
        assert not [(name, text, round(ratio, 1)) for text, ratio in ratios if ratio < 4.5]


def test_a_picture_follows_the_page(browser: Browser) -> None:
    """As an image, a drawing takes light or dark from the page's colour scheme and shows no paper of its own."""
    data = base64.b64encode(draw_model("frame_average").svg().encode()).decode()
    inks = []
    for scheme in ("light", "dark"):
        page = show(browser, f'<img alt="a drawing" src="data:image/svg+xml;base64,{data}">', scheme=scheme)
        wide = page.evaluate("async () => { await document.images[0].decode(); return document.images[0].width }")
        pixels = page.evaluate(
            "() => { const c = document.createElement('canvas'), i = document.images[0]; c.width = i.width;"
            "c.height = i.height; const g = c.getContext('2d'); g.drawImage(i, 0, 0);"
            "return [...g.getImageData(0, 0, 120, 24).data] }"
        )
        page.context.close()
        assert wide > 700
        alphas = pixels[3::4]
        assert alphas[0] == 0, "the paper is not transparent"
        inks.append(min(pixels[k : k + 3] for k in range(0, len(pixels), 4) if pixels[k + 3] == 255))
    assert max(inks[0]) < 80 and min(inks[1]) > 150


def test_the_theme_lays_no_paper_under_a_drawing(browser: Browser) -> None:
    """A rule of the book's theme, word for word, which is there for pictures made for white paper."""
    rule = "html[data-theme=dark] .bd-content div.cell_output .text_html:not(:has(table.dataframe))"
    style = f"<style>{rule}{{background-color:#ced6dd;color:#000;padding:.5rem}}</style>"
    inside = '<div class="bd-content"><div class="cell_output"><div class="output text_html">{}</div></div></div>'
    found = []
    for content in ("words", draw_model("frame_average").html()):
        page = show(browser, style + inside.format(content), attributes="data-theme=dark")
        found.append(page.evaluate("getComputedStyle(document.querySelector('.text_html')).backgroundColor"))
        page.context.close()
    assert found == ["rgb(206, 214, 221)", "rgba(0, 0, 0, 0)"]
