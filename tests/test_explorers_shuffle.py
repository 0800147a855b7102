"""The shuffle: both clips hold the same frames, in order and shuffled, as a reader sees them in a real browser."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page
from test_site import browser  # noqa: F401

from dferlib.book import shuffler
from dferlib.book.acting import act_task
from dferlib.errors import InputError
from dferlib.makefaces import TASKS

F, S = 14, 32  # more frames than stand in one row of a sheet
SHADES = np.linspace(20, 220, F).round().astype(int)  # a frame is told by its green
NAMES = ("there", "back")
HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<style>:root { color-scheme: light dark } body { max-width: 760px; margin: 8px auto }</style>"""
ORDERS = (list(range(F)), list(range(F - 1, -1, -1)))  # the shades of both clips

site = pytest.mark.site


def two() -> dict[str, np.ndarray]:
    clip = np.zeros((F, 3, S, S), np.uint8)
    clip[:, 1] = SHADES[:, None, None]
    return dict(zip(NAMES, (clip, clip[::-1]), strict=True))


@pytest.mark.slow
def test_the_second_order_is_the_first_backwards() -> None:
    scenes = act_task("order", person=5, frames=6, size=32, seed=23)
    assert tuple(scenes) == TASKS["order"]
    one, other = (scene.frames for scene in scenes.values())
    assert one.shape == (6, 3, 32, 32) and one.dtype == np.uint8
    assert np.array_equal(one, other[::-1]) and not np.array_equal(one, other)


def test_what_does_not_fit_is_told() -> None:
    clips = two()
    with pytest.raises(InputError, match="two clips can be compared, not 1"):
        shuffler({"there": clips["there"]}, alt="x")
    with pytest.raises(InputError, match="do not hold the same frames"):
        shuffler({"there": clips["there"], "back": clips["back"] + 1}, alt="x")


class Shown:
    """A page with shuffles, and everything that it asks for or complains of."""

    def __init__(self, page: Page) -> None:
        self.page, self.wrong = page, list[str]()
        page.on("request", lambda one: one.url.startswith(("data:", "file:")) or self.wrong.append(one.url))
        page.on("console", lambda one: one.type in ("error", "warning") and self.wrong.append(one.text))
        page.on("pageerror", lambda one: self.wrong.append(str(one)))

    def root(self, number: int = 0) -> str:
        return f".fim-shuffle >> nth={number}"

    def shade(self, selector: str, number: int = 0) -> int:
        """Which frame something shows, by its colour."""
        shot = self.page.locator(self.root(number)).locator(selector).screenshot()
        picture = np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))
        return int(np.abs(SHADES - int(picture[len(picture) // 2, picture.shape[1] // 2, 1])).argmin())

    def strip(self, clip: int, number: int = 0) -> list[int]:
        """The frames below a clip, from the first place to the last."""
        return [self.shade(f".fim-strip >> nth={clip} >> .fim-cell >> nth={k}", number) for k in range(F)]

    def screens(self, number: int = 0) -> list[int]:
        return [self.shade(f".fim-screen >> nth={clip}", number) for clip in range(2)]

    def names(self, number: int = 0) -> list[str]:
        return self.page.locator(self.root(number)).locator(".fim-name").all_inner_texts()

    def lefts(self) -> list[float]:
        """Where the clips stand, from the left."""
        boxes = [self.page.locator(".fim-clip").nth(k).bounding_box() for k in range(2)]
        return [box["x"] for box in boxes if box]

    def button(self, name: str, number: int = 0) -> None:
        self.page.locator(self.root(number)).get_by_role("button", name=name).click()


@pytest.fixture
def shown(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Shown]]:  # noqa: F811
    contexts = []

    def open_page(*pieces: str, scripts: bool = True, width: int = 1280, before: str = "") -> Shown:
        context = browser.new_context(
            java_script_enabled=scripts, reduced_motion="reduce", viewport={"width": width, "height": 900}
        )
        contexts.append(context)
        context.add_init_script(before)
        opened = Shown(context.new_page())
        (tmp_path / "page.html").write_text(HEAD + "".join(pieces), encoding="utf-8")
        opened.page.goto((tmp_path / "page.html").as_uri())
        if scripts:
            opened.page.locator(".fim-strip").nth(2 * len(pieces) - 1).wait_for()
        return opened

    yield open_page
    for context in contexts:
        context.close()


@site
@pytest.mark.slow
def test_a_shuffle_leaves_the_same_frames_and_order_tells_again(shown: Callable[..., Shown]) -> None:
    opened = shown(shuffler(two(), alt="x").html)
    said = opened.page.locator(".fim-said")
    assert [opened.strip(k) for k in range(2)] == list(ORDERS)
    assert opened.names() == list(NAMES) and f"the same {F} frames" in said.inner_text()
    opened.button("shuffle the frames")
    mixed = [opened.strip(k) for k in range(2)]
    assert [sorted(one) for one in mixed] == [list(range(F))] * 2
    assert mixed != list(ORDERS) and mixed[0] != mixed[1]
    assert opened.names() == ["?", "?"] and said.inner_text().startswith("Shuffled: ")
    assert not any(name in alt for name in NAMES for alt in alts(opened))
    slider = opened.page.locator("input")
    slider.focus()
    for place in (1, 2):
        opened.page.keyboard.press("ArrowRight")
        assert opened.screens() == [one[place] for one in mixed]
        marked = opened.page.locator(".fim-cell").evaluate_all("all => all.map(one => one.matches('.fim-now'))")
        assert np.flatnonzero(marked).tolist() == [place, F + place]
    opened.page.locator(".fim-strip >> nth=1 >> .fim-cell >> nth=7").click()
    assert opened.screens() == [one[7] for one in mixed] and slider.input_value() == "7"
    order = opened.page.get_by_role("button", name="put them in order")
    order.focus()
    opened.page.keyboard.press("Enter")
    assert [opened.strip(k) for k in range(2)] == list(ORDERS)
    assert opened.names() == list(NAMES) and opened.screens() == [one[7] for one in ORDERS]
    assert not opened.wrong


def alts(opened: Shown) -> list[str]:
    """What the pictures of both clips say."""
    return opened.page.locator(".fim-sprite").evaluate_all("all => all.map(one => one.alt)")


@site
@pytest.mark.slow
@pytest.mark.parametrize("drawn, swapped", [(0.2, True), (0.8, False)])
def test_a_shuffle_may_change_the_sides(drawn: float, swapped: bool, shown: Callable[..., Shown]) -> None:
    opened = shown(shuffler(two(), alt="x").html, before=f"Math.random = () => {drawn}")
    assert opened.lefts()[0] < opened.lefts()[1]
    opened.button("shuffle the frames")
    assert (opened.lefts()[0] > opened.lefts()[1]) == swapped
    opened.button("put them in order")
    assert opened.names() == list(NAMES), "a name goes with its clip"


@site
@pytest.mark.slow
def test_equal_figures_on_a_page_do_not_know_of_each_other(shown: Callable[..., Shown]) -> None:
    html = shuffler(two(), alt="x").html
    opened = shown(html, html)
    opened.button("shuffle the frames", 1)
    assert opened.names(0) == list(NAMES) and opened.names(1) == ["?", "?"]
    assert not opened.wrong


@site
@pytest.mark.slow
def test_without_scripts_both_rows_stand_there(shown: Callable[..., Shown]) -> None:
    opened = shown(shuffler(two(), alt="x").html, scripts=False)
    assert opened.page.locator(".fim-sprite").count() == 2
    said = opened.page.locator(".fim-still").inner_text()
    assert said == f"Both rows hold the same {F} frames. Only their order tells there from back."
    assert not opened.page.locator(".fim-shuffle-bar").is_visible()


@site
@pytest.mark.slow
def test_it_fits_on_a_phone(shown: Callable[..., Shown]) -> None:
    opened = shown(shuffler(two(), alt="x").html, width=390)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    cells = opened.page.locator(".fim-cell").evaluate_all("all => all.map(one => one.getBoundingClientRect().width)")
    assert min(cells) > 30
    assert not opened.wrong
