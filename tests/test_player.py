"""The player: what is in the HTML, and what a reader sees and can do with it, in a real browser."""

import base64
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pages import build
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page
from test_site import browser, tiny_book  # noqa: F401

from dferlib.book.explorers import SCRIPTS, explorer
from dferlib.book.panels import Bars, Curves
from dferlib.book.playing import Heat, Points, player
from dferlib.book.sprites import as_bytes, sheet
from dferlib.errors import InputError

F, S = 15, 32  # more frames than stand in one row
SHADES = np.linspace(20, 220, F).round().astype(int)  # a frame is told by its green
HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<style>:root { color-scheme: light dark } body { max-width: 760px; margin: 8px auto }</style>"""
NAMES = ("first", "second", "third", "fourth", "fifth")


def clip(number: int = 0) -> np.ndarray:
    """Frames of one colour each: green tells the frame, blue the clip."""
    frames = np.zeros((F, 3, S, S), np.uint8)
    frames[:, 1] = SHADES[:, None, None]
    frames[:, 2] = 50 * number
    return frames


def curve(number: int = 0) -> np.ndarray:
    return np.roll(np.linspace(0, 1, F), number)


def several(**options: object) -> str:
    """Five clips that take turns on the stage, each with a curve of its own, and all with bars and overlays."""
    heat = np.zeros((F, 8, 8))
    heat[:, :4] = 1
    return player(
        {name: clip(k) for k, name in enumerate(NAMES)},
        [
            Curves("Units", {name: {"AU12": curve(k)} for k, name in enumerate(NAMES)}),
            Bars("Answers", {"yes": curve(), "no": 1 - curve()}),
        ],
        [
            Heat("heat", dict.fromkeys(NAMES, heat)),
            Points("points", dict.fromkeys(NAMES, np.full((F, 1, 2), S / 2)), shown=True),
        ],
        alt="Five colours",
        **options,  # type: ignore[arg-type]
    ).html


def pictures(html: str) -> list[np.ndarray]:
    """The pictures that a piece of HTML holds."""
    found = re.findall(r"data:image/webp;base64,([\w+/=]+)", html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB")).astype(int) for one in found]


def test_a_sheet_has_every_frame_at_its_place() -> None:
    whole = sheet(as_bytes(clip()))
    assert whole.shape == (2 * S, 12 * S, 3)
    for k in range(F):
        row, column = divmod(k, 12)
        assert (whole[row * S : (row + 1) * S, column * S : (column + 1) * S, 1] == SHADES[k]).all()
    floats = np.random.default_rng(0).random((3, 3, 5, 4))
    assert np.abs(as_bytes(floats) / 255 - floats.transpose(0, 2, 3, 1)).max() <= 0.5 / 255 + 1e-9


def test_the_html_holds_the_clips_and_asks_for_nothing() -> None:
    html = several()
    sprites = [one for one in pictures(html) if one.shape == (2 * S, 12 * S, 3)]
    assert len(sprites) == len(NAMES)
    for number, one in enumerate(sprites):
        assert np.abs(one[S // 2, S // 2 :: S, 1] - SHADES[:12]).max() < 10
        assert abs(one[S // 2, S // 2, 2] - 50 * number) < 12
    addresses = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s]{1,12})""", html)
    assert {one for one in addresses if not one.startswith("data:image/")} == set()
    assert re.findall(r"https?://[^\"'\s]+", html) == ["http://www.w3.org/2000/svg"]
    assert html == several()
    assert not re.search(r'<img[^>]*alt="\s*"', html)


def test_curves_are_drawn_and_told_without_a_script() -> None:
    values = np.array([0.0, 1.0, 0.5])
    html = player(clip()[:3], [Curves("Units", {"AU<4>": values}, low=-1)], alt="x", seconds=4).html
    assert re.search(r'points="([^"]*)"', html)[1] == "0,50.0 500,0.0 1000,25.0"  # type: ignore[index]
    assert "Units: AU&lt;4&gt; has its peak, 1.00, at 2.0 s" in html


def test_moments_are_shaded_where_they_are() -> None:
    marks = {"apex": np.array([0, 1, 1, 0, 0], bool)}
    html = Curves("Units", {"AU12": np.zeros(5)}, marks=marks).markup(2.0)
    assert re.search(r'x="(\d+)" width="(\d+)"', html).groups() == ("125", "500")  # type: ignore[union-attr]
    assert 'left:37.5%">apex' in html


def test_pictures_are_compressed_until_it_is_small_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 3, 112, 112), dtype=np.uint8)
    some = dict.fromkeys(NAMES[:3], noise // 4 + 90)
    assert 150 < player(some, alt="x").kilobytes <= 400
    monkeypatch.setattr("dferlib.book.playing.QUALITIES", (84,))
    with pytest.raises(InputError, match="400 are the most"):
        player(some, alt="x")


@pytest.mark.parametrize(
    "wrong, said",
    [
        (lambda: player(clip(), alt=" "), "needs alt"),
        (lambda: player({"a": clip(), "b": clip()[:3]}, alt="x"), "one shape"),
        (lambda: player(clip()[:1], alt="x"), "two frames"),
        (lambda: player(clip(), [Curves("Units", {"AU1": np.zeros(3)})], alt="x"), "15 frames"),
        (lambda: player(clip(), [], [Heat("heat", np.zeros((3, 8, 8)))], alt="x"), "needs 15 frames"),
        (lambda: player({"a": clip()}, [Curves("U", {"b": {"x": curve()}})], alt="x"), "nothing for a"),
        (lambda: player(clip(), alt="x", first=F), "no frame 15"),
        (lambda: explorer("", {}, "nothing", alt="x"), "no script nothing.js"),
    ],
)
def test_what_does_not_fit_is_told(wrong: Callable[[], object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        wrong()


def test_data_cannot_end_the_script() -> None:
    assert "</script><b>" not in explorer("", {"name": "</script><b>"}, "player", alt="x").html


def test_scripts_and_styles_travel_with_the_library() -> None:
    packed = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert {path.suffix for path in SCRIPTS.iterdir() if path.is_file()} == {".py", ".js", ".css"}
    assert '"**/*.js", "**/*.css"' in packed


class Shown:
    """A page with players, and everything that it asks for or complains of."""

    def __init__(self, page: Page, wrong: list[str]) -> None:
        self.page, self.wrong = page, wrong

    def root(self, number: int = 0) -> str:
        return f".fim >> nth={number}"

    def frame(self, number: int = 0) -> int:
        return int(self.page.locator(self.root(number)).get_attribute("data-frame") or -1)

    def pixel(self, selector: str, number: int = 0) -> tuple[int, int, int]:
        """The colour in the middle of the lower half of what a selector finds."""
        one = self.page.locator(self.root(number)).locator(selector)
        picture = np.asarray(Image.open(io.BytesIO(one.screenshot())).convert("RGB"))
        red, green, blue = (int(x) for x in picture[3 * len(picture) // 4, picture.shape[1] // 2])
        return red, green, blue

    def seen(self, selector: str, number: int = 0) -> int:
        """The frame that a screen shows, by its colour."""
        return int(np.abs(SHADES - self.pixel(selector, number)[1]).argmin())

    def places(self, number: int = 0) -> list[float]:
        """Where the cursors of all curves that are seen stand, in frames."""
        return self.page.locator(self.root(number)).evaluate(
            f"""root => [...root.querySelectorAll('.fim-plot')].filter(plot => plot.offsetWidth).map(plot => {{
                const [box, line] = [plot, plot.querySelector('.fim-cursor')].map(one => one.getBoundingClientRect());
                return {F - 1} * (line.left + line.width / 2 - box.left) / box.width;
            }})"""
        )

    def all_at(self, frame: int) -> None:
        """Clip, curves, bars, readouts and slider are at one frame."""
        root = self.page.locator(self.root())
        assert self.frame() == frame
        assert self.seen(".fim-large:visible .fim-screen") == frame
        assert self.seen(".fim-pick .fim-screen >> nth=3") == frame
        assert self.places() == pytest.approx([frame], abs=0.06)
        assert root.locator(".fim-keys:visible b").inner_text() == f"{curve()[frame]:.2f}"
        assert root.locator(".fim-bars b >> nth=0").inner_text() == f"{100 * curve()[frame]:.0f} %"
        assert root.locator("input").input_value() == str(frame)
        assert (root.locator("input").get_attribute("aria-valuetext") or "").startswith(f"frame {frame + 1} of {F}, ")


def new_context(started: Browser, *, scripts: bool, calm: bool, scheme: str, width: int) -> BrowserContext:
    """How a reader's browser is set."""
    return started.new_context(
        java_script_enabled=scripts,
        reduced_motion="reduce" if calm else "no-preference",
        color_scheme=scheme,  # type: ignore[arg-type]
        viewport={"width": width, "height": 900},
    )


@pytest.fixture
def shown(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Shown]]:  # noqa: F811
    contexts = []

    def open_page(
        *pieces: str, scripts: bool = True, calm: bool = True, scheme: str = "light", width: int = 1280
    ) -> Shown:
        context = new_context(browser, scripts=scripts, calm=calm, scheme=scheme, width=width)
        contexts.append(context)
        page, wrong = context.new_page(), list[str]()
        page.on("request", lambda one: one.url.startswith(("data:", "file:")) or wrong.append(one.url))
        page.on("console", lambda one: one.type in ("error", "warning") and wrong.append(one.text))
        page.on("pageerror", lambda one: wrong.append(str(one)))
        (tmp_path / "page.html").write_text(HEAD + "".join(pieces), encoding="utf-8")
        page.goto((tmp_path / "page.html").as_uri())
        return Shown(page, wrong)

    yield open_page
    for context in contexts:
        context.close()


site = pytest.mark.site


@site
def test_keys_step_and_everything_follows(shown: Callable[..., Shown]) -> None:
    one = shown(several())
    one.all_at(0)
    slider = one.page.locator("input")
    slider.focus()
    for _ in range(3):
        one.page.keyboard.press("ArrowRight")
    one.all_at(3)
    one.page.keyboard.press("End")
    one.all_at(F - 1)
    one.page.locator(".fim-stage").focus()
    one.page.keyboard.press("ArrowLeft")
    one.all_at(F - 2)
    one.page.keyboard.press("Home")
    one.page.keyboard.press("ArrowLeft")
    one.all_at(0)
    one.page.get_by_role("button", name="One frame on").press("Enter")
    one.all_at(1)
    assert not one.wrong


@site
def test_a_broad_clip_stands_above_its_curves_and_a_square_one_beside_them(shown: Callable[..., Shown]) -> None:
    for width in (S, 2 * S):
        one = shown(player(np.zeros((F, 3, S, width)), [Curves("Unit", {"AU12": curve()})], alt="One").html)
        screen, plot = (one.page.locator(name).bounding_box() for name in (".fim-screen", ".fim-plot"))
        assert screen is not None and plot is not None
        if width == S:
            assert plot["x"] > screen["x"] + screen["width"] and plot["y"] < screen["y"] + screen["height"]
        else:
            assert plot["y"] > screen["y"] + screen["height"] and screen["width"] == pytest.approx(plot["width"])


@site
def test_the_scrubber_and_the_curves_can_be_dragged(shown: Callable[..., Shown]) -> None:
    one = shown(several())

    def drag(selector: str, start: float, end: float) -> None:
        box = one.page.locator(selector).bounding_box()
        assert box
        one.page.mouse.move(box["x"] + start * box["width"], box["y"] + box["height"] / 2)
        one.page.mouse.down()
        one.page.mouse.move(box["x"] + end * box["width"], box["y"] + box["height"] / 2, steps=5)
        one.page.mouse.up()

    drag("input", 0.02, 0.5)
    one.all_at((F - 1) // 2)
    drag(".fim-plot:visible", 0.5, 10 / (F - 1))
    one.all_at(10)
    assert not one.wrong


@site
def test_it_plays_pauses_and_shows_all_panels_at_one_frame_meanwhile(shown: Callable[..., Shown]) -> None:
    one = shown(several())
    one.page.get_by_role("button", name="Play").click()
    one.page.wait_for_function("Number(document.querySelector('.fim').dataset.frame) > 4")
    one.page.get_by_role("button", name="Pause").click()
    stopped = one.frame()
    one.all_at(stopped)
    one.page.wait_for_timeout(300)
    one.all_at(stopped)
    one.page.locator(".fim-stage").press(" ")
    one.page.wait_for_function(f"document.querySelector('.fim').dataset.frame != '{stopped}'")
    one.page.get_by_role("button", name="Again and again").click()
    one.page.wait_for_function("!document.querySelector('.fim').classList.contains('playing')")
    one.all_at(F - 1)


@site
def test_it_starts_by_itself_in_view_and_comes_to_rest(shown: Callable[..., Shown]) -> None:
    one = shown(several(seconds=0.3, first=7), calm=False)
    one.page.wait_for_function("document.querySelector('.fim').classList.contains('playing')")
    one.page.wait_for_function("!document.querySelector('.fim').classList.contains('playing')")
    one.all_at(7)


@site
@pytest.mark.parametrize("calm, starts", [(True, True), (False, False)])
def test_it_does_not_start_where_motion_is_not_wanted(calm: bool, starts: bool, shown: Callable[..., Shown]) -> None:
    one = shown(several(first=7, starts=starts), calm=calm)
    one.page.wait_for_timeout(400)
    one.all_at(7)


@site
def test_out_of_view_nothing_plays(shown: Callable[..., Shown]) -> None:
    one = shown('<p style="height:3000px">far above</p>', several(first=7), calm=False)
    one.page.wait_for_timeout(400)
    assert one.frame() == 7
    one.page.locator(".fim-stage").scroll_into_view_if_needed()
    one.page.wait_for_function("document.querySelector('.fim').classList.contains('playing')")


@site
def test_a_clip_is_put_on_the_stage_with_its_own_curves(shown: Callable[..., Shown]) -> None:
    one = shown(several())
    one.page.locator("input").fill("6")
    one.page.get_by_role("button", name="third").click()
    assert one.seen(".fim-large:visible .fim-screen") == 6
    assert one.pixel(".fim-large:visible .fim-screen")[2] == pytest.approx(100, abs=12)
    assert one.page.locator(".fim-keys:visible b").inner_text() == f"{curve(2)[6]:.2f}"
    pressed = one.page.locator(".fim-pick[aria-pressed=true]")
    assert pressed.inner_text() == "third"


@site
def test_overlays_come_and_go_and_leave_the_face_alone(shown: Callable[..., Shown]) -> None:
    one = shown(several())
    screen = ".fim-large:visible .fim-screen"
    point = np.asarray(Image.open(io.BytesIO(one.page.locator(screen).screenshot())).convert("RGB"))
    assert (point[len(point) // 2, point.shape[1] // 2] > (-1, 200, 230)).all(), "a point in the middle, cyan"
    plain = one.pixel(screen)
    one.page.get_by_role("button", name="heat").click()
    one.page.wait_for_selector(f"{screen} canvas")
    picture = Image.open(io.BytesIO(one.page.locator(screen).screenshot())).convert("RGB")
    upper = np.asarray(picture)[len(np.asarray(picture)) // 8, picture.width // 4].astype(int)
    assert np.abs(upper - plain).max() > 60, "heat is seen where it is"
    assert np.abs(np.array(one.pixel(screen)) - plain).max() < 12, "and the face stays as it is elsewhere"
    one.page.get_by_role("button", name="points").click()
    assert not one.page.locator(f"{screen} .fim-points").is_visible()


@site
def test_equal_players_on_a_page_do_not_know_of_each_other(shown: Callable[..., Shown]) -> None:
    single = player(clip(), [Curves("Units", {"AU12": curve()})], alt="One colour").html
    one = shown(single, single, several())
    one.page.locator("input >> nth=1").fill("9")
    assert [one.frame(k) for k in range(3)] == [0, 9, 0]
    assert [one.seen(".fim-screen", k) for k in range(2)] == [0, 9]
    assert one.places(1) == pytest.approx([9], abs=0.06)
    assert not one.wrong


@site
def test_without_scripts_every_frame_stands_there_with_its_curves(shown: Callable[..., Shown]) -> None:
    one = shown(several(), scripts=False)
    strips = one.page.locator(".fim-sprite")
    assert strips.count() == len(NAMES)
    for k, name in enumerate(NAMES):
        box = strips.nth(k).bounding_box()
        assert box and box["width"] / box["height"] == pytest.approx(12 / 2, rel=0.02)
        assert strips.nth(k).get_attribute("alt") == f"{name}: {F} frames from 0 to 2 s"
        picture = np.asarray(Image.open(io.BytesIO(strips.nth(k).screenshot())).convert("RGB")).astype(int)
        middle = picture[len(picture) // 4, [int((c + 0.5) * picture.shape[1] / 12) for c in range(12)], 1]
        assert np.abs(middle - SHADES[:12]).max() < 12
    assert one.page.locator(".fim-plot svg").count() == len(NAMES)
    assert not one.page.locator(".fim-bar").is_visible()
    assert not one.page.locator("canvas, .fim-heat, .fim-cursor").first.is_visible()
    assert not one.wrong


@site
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_light_and_dark_wide_and_narrow(scheme: str, width: int, shown: Callable[..., Shown]) -> None:
    one = shown(
        several(), player(clip(), [Curves("Units", {"AU12": curve()})], alt="x").html, scheme=scheme, width=width
    )
    found = one.page.evaluate(
        """() => ({
            wide: document.documentElement.scrollWidth,
            dimmed: [...document.querySelectorAll('.fim img')].filter(image => {
                const style = getComputedStyle(image);
                return style.filter !== 'none' || style.opacity !== '1' || style.mixBlendMode !== 'normal';
            }).length,
            small: [...document.querySelectorAll('.fim button')].filter(one => one.offsetParent)
                .filter(one => one.getBoundingClientRect().height < 24).length,
            letters: Math.min(...[...document.querySelectorAll('.fim p, .fim span, .fim b')]
                .filter(one => one.offsetParent).map(one => parseFloat(getComputedStyle(one).fontSize))),
            ink: getComputedStyle(document.querySelector('.fim-title')).color,
        })"""
    )
    assert found["wide"] <= width, "the page scrolls sideways"
    assert not found["dimmed"]
    assert not found["small"], "buttons that a finger misses"
    assert found["letters"] >= 10
    ink = sum(map(int, re.findall(r"\d+", found["ink"])[:3])) / 3
    assert ink > 200 if scheme == "dark" else ink < 60
    one.page.locator("input >> nth=0").focus()
    assert one.page.locator("input >> nth=0").evaluate("one => getComputedStyle(one).outlineStyle") in ("auto", "solid")
    assert not one.wrong


CELL = """
import numpy as np
from dferlib.book import Curves, player
player(np.full((4, 3, 32, 32), 100, np.uint8), [Curves("Units", {"AU12": np.linspace(0, 1, 4)})], alt="Grey")
"""


@site
def test_the_theme_of_the_book_leaves_it_as_it_is(browser: Browser, tmp_path: Path) -> None:  # noqa: F811
    tiny_book(tmp_path / "source", CELL)
    done = build(tmp_path / "source", tmp_path, "-W", "--keep-going")
    assert done.returncode == 0, done.stdout + done.stderr
    context = browser.new_context(color_scheme="dark", reduced_motion="reduce")
    page = context.new_page()
    page.goto((tmp_path / "_build/html/chapter.html").as_uri())
    page.locator(".fim input").fill("2")
    found = page.evaluate(
        """() => {
            const [paper, image, screen] = [".text_html:has(> .fim)", ".fim img", ".fim-screen"]
                .map(one => document.querySelector(one));
            const style = getComputedStyle(image);
            return {
                theme: document.documentElement.dataset.theme,
                plain: [getComputedStyle(paper), style]
                    .every(one => one.backgroundColor.endsWith(", 0)") && one.padding === "0px"),
                dimmed: style.filter !== "none",
                wide: image.getBoundingClientRect().width / screen.getBoundingClientRect().width,
                ink: getComputedStyle(document.querySelector(".fim-title")).color,
            };
        }"""
    )
    context.close()
    assert found["theme"] == "dark"
    assert found["plain"] and not found["dimmed"]
    assert found["wide"] == pytest.approx(4, rel=0.02)
    assert min(map(int, re.findall(r"\d+", found["ink"])[:3])) > 150


@pytest.mark.site
@pytest.mark.parametrize("count, width, rows", [(5, 1280, [5]), (3, 390, [2, 1]), (4, 390, [2, 2])])
def test_clips_stand_in_rows_and_none_at_the_edge_alone(
    shown: Callable[..., Shown], count: int, width: int, rows: list[int]
) -> None:
    clips = {f"clip {k}": np.zeros((F, 3, S, S)) for k in range(count)}
    one = shown(player(clips, alt="All", arrange="side").html, width=width)
    boxes = [screen.bounding_box() for screen in one.page.locator(".fim-screen").all()]
    tops = Counter(round(box["y"]) for box in boxes if box)
    assert list(tops.values()) == rows
    last = boxes[-1]
    assert last and boxes[0] and last["width"] == pytest.approx(boxes[0]["width"], abs=1)
    if rows[-1] == 1:
        assert last["x"] + last["width"] / 2 == pytest.approx(width / 2, abs=1)


@pytest.mark.site
def test_one_clip_alone_stands_in_the_middle(shown: Callable[..., Shown]) -> None:
    one = shown(player(np.zeros((F, 3, S, S)), alt="One").html)
    screen, whole = (one.page.locator(name).bounding_box() for name in (".fim-screen", ".fim-bar"))
    assert screen and whole and screen["width"] < 270
    assert screen["x"] + screen["width"] / 2 == pytest.approx(whole["x"] + whole["width"] / 2, abs=1)
