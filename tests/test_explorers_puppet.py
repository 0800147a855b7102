"""The puppet: what a page draws of a face is what the library renders, unit by unit, in a real browser."""

import base64
import io
import re
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, Page
from test_player import new_context
from test_site import browser  # noqa: F401

from dferlib.book import puppet
from dferlib.book.explorers import Interactive
from dferlib.book.puppet_parts import Parts, moves_of, studio, weights_of
from dferlib.book.puppetry import SIDE, face_of
from dferlib.emotions import EMOTIONS
from dferlib.errors import InputError
from dferlib.makefaces import UNITS
from dferlib.makefaces.actions import MAX_SHAPE_WEIGHT, VARIANTS
from dferlib.makefaces.blend_shapes import blend_shape_weights
from dferlib.makefaces.portrait import portrait
from dferlib.makefaces.render import Actor

PERSON = 3
NAMES = {unit: f"word for {unit[2:]}" for unit in UNITS}
HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<style>:root { color-scheme: light dark } body { max-width: 760px; margin: 8px auto }</style>"""

pytestmark = pytest.mark.slow
site = pytest.mark.site


@pytest.fixture(scope="module")
def one() -> Interactive:
    return puppet(NAMES, PERSON, alt="A face with sliders")


@pytest.fixture(scope="module")
def face() -> tuple[Actor, Parts]:
    return face_of(PERSON)


def told(recipe: dict[str, float]) -> str:
    """A recipe in the words of the page: the strongest first, and of equal ones the first of `UNITS`."""
    active = sorted((unit for unit in UNITS if unit in recipe), key=lambda unit: -recipe[unit])
    return ", ".join(f"{unit} {NAMES[unit]} {recipe[unit]:.2f}" for unit in active)


def random_units(count: int) -> np.ndarray:
    """Settings (count, U) in which about half of the units are at rest, and one in which all are active."""
    rng = np.random.default_rng(5)
    units = rng.random((count, len(UNITS))) * (rng.random((count, len(UNITS))) < 0.5)
    units[-1] = 1  # some weights then end at the most that there is
    return units.astype(np.float32)


def test_the_light_is_that_of_portraits(face: tuple[Actor, Parts]) -> None:
    actor, _ = face
    frame = actor.render(np.zeros((1, 52), np.float32), np.zeros((1, 3), np.float32), studio()).frames
    assert torch.equal(frame, portrait({}, PERSON, SIDE).frames)


def test_groups_of_blend_shapes_move_as_the_shapes_do(face: tuple[Actor, Parts]) -> None:
    actor, _ = face
    moves, units = moves_of(actor), random_units(20)
    weights = blend_shape_weights(units, np.zeros((20, 2)), 0.0, actor.action_index)
    assert np.allclose(weights_of(moves, units), weights, atol=1e-6)
    assert (units @ moves.mix > MAX_SHAPE_WEIGHT).any()
    groups = np.minimum(units @ moves.mix, MAX_SHAPE_WEIGHT)
    moved = (torch.from_numpy(weights) @ actor.rig.action_shapes).view(20, -1, 3)
    assert np.allclose(np.einsum("fg,gvc->fvc", groups, moves.offsets), moved, atol=1e-6)


def test_brows_come_down_in_three_emotions_as_chapter_12_says() -> None:
    assert [name for name in EMOTIONS if all("AU4" in recipe for recipe in VARIANTS[name])] == [
        "sadness",
        "anger",
        "fear",
    ]


def test_it_is_small_and_asks_for_nothing(one: Interactive) -> None:
    assert one.kilobytes <= 400
    addresses = re.findall(r"""(?:src|href)\s*=\s*["']?([^"')\s]{1,12})""", one.html)
    assert {address for address in addresses if not address.startswith("data:image/")} <= {"source;"}
    assert re.findall(r"https?://[^\"'\s]+", one.html) == ["http://www.w3.org/2000/svg"]
    assert one.html == puppet(NAMES, PERSON, alt="A face with sliders").html


def test_what_is_missing_is_told() -> None:
    with pytest.raises(InputError, match="no words for AU12, AU43"):
        puppet({unit: "x" for unit in UNITS if unit not in ("AU12", "AU43")}, alt="x")


class Shown:
    """A page with puppets, and everything that it asks for or complains of."""

    def __init__(self, page: Page) -> None:
        self.page, self.wrong = page, list[str]()
        page.on("request", lambda one: one.url.startswith(("data:", "file:", "blob:")) or self.wrong.append(one.url))
        page.on("console", lambda one: one.type in ("error", "warning") and self.wrong.append(one.text))
        page.on("pageerror", lambda one: self.wrong.append(str(one)))

    def root(self, number: int = 0) -> str:
        return f".fim >> nth={number}"

    def units(self, number: int = 0) -> list[float]:
        """What the sliders say."""
        sliders = self.page.locator(self.root(number)).locator(".fim-unit input")
        return [float(sliders.nth(k).input_value()) for k in range(sliders.count())]

    def said(self, number: int = 0) -> str:
        return self.page.locator(self.root(number)).locator(".fim-said").text_content() or ""

    def drawn(self, number: int = 0) -> int:
        """How often it was drawn."""
        return int(self.page.locator(self.root(number)).get_attribute("data-drawn") or 0)

    def wait(self, before: int, number: int = 0) -> None:
        """Until it is drawn again."""
        script = "([number, before]) => document.querySelectorAll('.fim')[number].dataset.drawn > before"
        self.page.wait_for_function(script, arg=[number, before])

    def picture(self, number: int = 0) -> np.ndarray:
        """(SIDE, SIDE, 3) what the canvas shows."""
        source = self.page.locator(self.root(number)).locator("canvas").evaluate("one => one.toDataURL()")
        picture = Image.open(io.BytesIO(base64.b64decode(source.split(",")[1])))
        return np.asarray(picture.convert("RGB")).astype(float)


@pytest.fixture
def shown(browser: Browser, tmp_path: object) -> Iterator[Callable[..., Shown]]:  # noqa: F811
    contexts = []

    def open_page(
        *pieces: str,
        scripts: bool = True,
        calm: bool = True,
        scheme: str = "light",
        width: int = 1280,
        before: str = "",
        drawn: bool = True,
    ) -> Shown:
        context = new_context(browser, scripts=scripts, calm=calm, scheme=scheme, width=width)
        contexts.append(context)
        context.add_init_script(before)
        opened = Shown(context.new_page())
        path = tmp_path / "page.html"  # type: ignore[operator]
        path.write_text(HEAD + "".join(pieces), encoding="utf-8")
        opened.page.goto(path.as_uri())
        if scripts and drawn:
            for number in range(len(pieces)):
                opened.wait(0, number)
        return opened

    yield open_page
    for context in contexts:
        context.close()


@site
def test_the_vertices_lie_where_the_library_puts_them(
    one: Interactive, face: tuple[Actor, Parts], shown: Callable[..., Shown]
) -> None:
    actor, parts = face
    opened = shown(one.html)
    settings = random_units(6)
    weights = blend_shape_weights(settings, np.zeros((6, 2)), 0.0, actor.action_index)
    for units, weight, turn in zip(settings, weights, (0, 7, -12, 23, 35, -35), strict=True):
        pose = torch.tensor([[np.radians(turn), 0, 0]], dtype=torch.float32)
        world, middle, _ = actor._pose_vertices(torch.from_numpy(weight[None]), pose)
        points, _ = actor._project(world, middle, studio(), SIDE)
        points[..., 2] += actor.rig.bias
        found = opened.page.locator(".fim").evaluate(
            "(root, [units, turn]) => [...root.fim.points(units, turn)]", [units.tolist(), turn]
        )
        apart = np.abs(np.reshape(found, (3, -1)).T - points[0][parts.vertices].numpy())
        assert apart[:, :2].max() < 0.5, "pixels of the canvas, of which two are one on the page"
        assert apart[:, 2].max() < 2e-4, "metres"
    assert not opened.wrong


@site
@pytest.mark.parametrize("turn", [0, -35, 28])
def test_it_looks_as_the_library_renders_it(turn: int, one: Interactive, shown: Callable[..., Shown]) -> None:
    opened = shown(one.html)
    opened.page.locator(".fim-turn input").fill(str(turn))
    for emotion in ("neutral", "happiness", "surprise", "disgust"):
        before = opened.drawn()
        opened.page.get_by_role("button", name=emotion, exact=True).click()
        opened.wait(before)
        opened.page.wait_for_timeout(100)
        mine = opened.picture().reshape(SIDE // 2, 2, SIDE // 2, 2, 3).mean((1, 3))
        frame = portrait(VARIANTS[emotion][0], PERSON, SIDE // 2, (np.radians(turn), 0, 0)).frames[0]
        apart = np.abs(mine - 255 * frame.permute(1, 2, 0).clamp(0, 1).numpy())
        assert apart.mean() < 1.5, emotion
        assert np.percentile(apart, 99) < 8, emotion
    assert not opened.wrong


@site
def test_the_emotions_are_the_recipes_of_the_library(one: Interactive, shown: Callable[..., Shown]) -> None:
    opened = shown(one.html)
    for emotion in EMOTIONS:
        opened.page.get_by_role("button", name="neutral", exact=True).click()
        button = opened.page.get_by_role("button", name=emotion, exact=True)
        for number, recipe in enumerate(VARIANTS[emotion]):
            button.click()
            assert opened.units() == pytest.approx([recipe.get(unit, 0) for unit in UNITS])
            if recipe:
                count = len(VARIANTS[emotion])
                assert opened.said() == f"{emotion}, recipe {number + 1} of {count}: {told(recipe)}."
        assert opened.page.locator("[data-emotion][aria-pressed=true]").all_inner_texts() == [emotion]
    opened.page.get_by_role("button", name="neutral", exact=True).click()
    assert opened.said() == "No unit is active: the face is at rest."
    assert opened.units() == [0] * len(UNITS)
    assert not opened.wrong


@site
def test_keys_move_units_turn_the_head_and_press_the_emotions(one: Interactive, shown: Callable[..., Shown]) -> None:
    opened = shown(one.html)
    keys = opened.page.keyboard
    at_rest = opened.picture()
    opened.page.get_by_label(f"AU12 {NAMES['AU12']}").focus()
    for _ in range(5):
        keys.press("ArrowRight")
    assert opened.units()[UNITS.index("AU12")] == 0.25
    assert opened.said() == f"AU12 {NAMES['AU12']} 0.25."
    assert opened.page.locator(".fim-unit.fim-on .fim-value").all_inner_texts() == ["0.25"]
    keys.press("Tab")
    keys.press("End")
    assert opened.said() == f"AU14 {NAMES['AU14']} 1.00, AU12 {NAMES['AU12']} 0.25."
    opened.page.wait_for_timeout(400)
    smile = opened.picture()
    assert np.abs(smile - at_rest).max() > 30
    opened.page.locator(".fim-turn input").focus()
    keys.press("End")
    opened.page.wait_for_timeout(400)
    assert np.abs(opened.picture() - smile).mean() > 5
    assert opened.page.locator(".fim-turn .fim-value").inner_text() == "35°"
    opened.page.get_by_role("button", name="fear").focus()
    keys.press("Enter")
    assert opened.said().startswith("fear, recipe 1 of 3: ")
    keys.press(" ")
    assert opened.said().startswith("fear, recipe 2 of 3: ")
    assert opened.page.locator("canvas").get_attribute("aria-label") == f"The face. {opened.said()}"
    assert not opened.wrong


@site
def test_a_mouse_drags_a_slider(one: Interactive, shown: Callable[..., Shown]) -> None:
    opened = shown(one.html)
    box = opened.page.get_by_label(f"AU26 {NAMES['AU26']}").bounding_box()
    assert box
    before = opened.drawn()
    middle = box["y"] + box["height"] / 2
    opened.page.mouse.move(box["x"] + 9, middle)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + box["width"] / 2, middle, steps=4)
    opened.page.mouse.up()
    assert opened.units()[UNITS.index("AU26")] == pytest.approx(0.5)
    opened.wait(before)


@site
def test_a_face_glides_to_an_emotion_unless_motion_is_not_wanted(one: Interactive, shown: Callable[..., Shown]) -> None:
    pictures = []
    for calm in (True, False):
        opened = shown(one.html, calm=calm)
        before = opened.drawn()
        opened.page.get_by_role("button", name="surprise").click()
        opened.page.wait_for_timeout(1500)
        assert opened.drawn() - before == 1 if calm else opened.drawn() - before > 1
        pictures.append(opened.picture())
    assert np.array_equal(*pictures)


@site
def test_equal_puppets_on_a_page_do_not_know_of_each_other(one: Interactive, shown: Callable[..., Shown]) -> None:
    opened = shown(one.html, one.html)
    opened.page.get_by_role("button", name="anger").nth(1).click()
    assert opened.units(0) == [0] * len(UNITS)
    assert opened.units(1) == pytest.approx([VARIANTS["anger"][0].get(unit, 0) for unit in UNITS])
    assert not opened.wrong


@site
@pytest.mark.parametrize("how", [{"scripts": False}, {"before": "delete window.DecompressionStream", "drawn": False}])
def test_where_it_cannot_be_drawn_pictures_stand_there(
    how: dict[str, object], one: Interactive, shown: Callable[..., Shown]
) -> None:
    opened = shown(one.html, **how)
    faces = opened.page.locator(".fim-faces li")
    faces.first.wait_for(state="visible")
    assert faces.count() == len(EMOTIONS)
    for k, emotion in enumerate(EMOTIONS):
        assert faces.nth(k).locator("b").inner_text() == emotion
        for unit, value in VARIANTS[emotion][0].items():
            assert f"{unit} {NAMES[unit]} {value:g}" in faces.nth(k).inner_text()
        source = faces.nth(k).locator("img").get_attribute("src") or ""
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).convert("RGB"))
        frame = portrait(VARIANTS[emotion][0], PERSON, len(picture)).frames[0].permute(1, 2, 0).clamp(0, 1).numpy()
        assert np.abs(picture - 255 * frame).mean() < 3
    assert not opened.page.locator(".fim-live").first.is_visible()
    assert not opened.wrong


@site
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_light_and_dark_wide_and_narrow(scheme: str, width: int, one: Interactive, shown: Callable[..., Shown]) -> None:
    opened = shown(one.html, scheme=scheme, width=width)
    opened.page.get_by_role("button", name="fear").click()
    found = opened.page.evaluate(
        """() => ({
            wide: document.documentElement.scrollWidth,
            small: [...document.querySelectorAll('.fim button, .fim input')]
                .filter(one => one.getBoundingClientRect().height < 24).length,
            cut: [...document.querySelectorAll('.fim label span, .fim button, .fim p')]
                .filter(one => one.scrollWidth > one.clientWidth + 1).length,
            letters: Math.min(...[...document.querySelectorAll('.fim p, .fim span, .fim b, .fim button')]
                .map(one => parseFloat(getComputedStyle(one).fontSize))),
            face: document.querySelector('.fim canvas').getBoundingClientRect().width,
        })"""
    )
    assert found["wide"] <= width, "the page scrolls sideways"
    assert not found["small"], "what a finger misses"
    assert not found["cut"]
    assert found["letters"] >= 12
    assert found["face"] >= 200
    slider = opened.page.locator(".fim-unit input").last
    opened.page.locator(".fim-unit input").nth(-2).focus()
    opened.page.keyboard.press("Tab")
    assert slider.evaluate("one => getComputedStyle(one).outlineStyle") in ("auto", "solid")
    if width == 390:
        box = opened.page.locator(".fim canvas").bounding_box()
        assert box and box["y"] >= 0, "the face stays in sight where sliders stand below it"
    assert not opened.wrong
