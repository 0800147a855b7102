"""The valley of LOGO-Former's Eq. 9: dots, lines and words against the costs of dferlib's layers."""

import itertools
import math
import re
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from playwright.sync_api import Page
from test_player import Shown, shown  # noqa: F401
from test_site import browser  # noqa: F401

from dferlib.book import window_valley
from dferlib.book.valley import CLIPS, holds, window_sizes
from dferlib.errors import InputError
from dferlib.models.attention import DividedAttention, GlobalAttention, JointAttention, LocalAttention

D = 64


def layers(F: int, side: int, square: bool, D: int = D) -> dict[int, tuple[int, int]]:
    """Keys and multiply-accumulates of local + global attention, asked of the layers, for all windows that fit."""
    found = {}
    with torch.device("meta"):
        for window in itertools.product(range(1, F + 1), range(1, side + 1), range(1, side + 1)):
            if square and window[1] != window[2]:
                continue
            pair = LocalAttention(D, 1, window), GlobalAttention(D, 1, window)
            try:
                keys = sum(layer.seen(F, side * side) for layer in pair)
            except InputError:
                continue  # the window does not divide the clip
            found[math.prod(window)] = keys, sum(layer.cost(F, side * side, D) for layer in pair)
    return dict(sorted(found.items()))


def lines(F: int, side: int, D: int = D) -> dict[str, tuple[int, int]]:
    """Keys and multiply-accumulates of divided and of joint attention."""
    S = side * side
    with torch.device("meta"):
        divided, joint = DividedAttention(D, 1), JointAttention(D, 1)
        keys = divided.temporal.seen(F, S) + divided.spatial.seen(F, S)
        return {"divided": (keys, divided.cost(F, S, D)), "joint": (joint.seen(F, S), joint.cost(F, S, D))}


SIZES = [(16, 4), (16, 7), (5, 6), (1, 1), (6, 1)]


@pytest.mark.parametrize("F, side", SIZES)
@pytest.mark.parametrize("square", [True, False])
def test_windows_are_those_that_the_layers_take(F: int, side: int, square: bool) -> None:
    expected = layers(F, side, square)
    assert window_sizes(F, side, square) == list(expected)
    divided = lines(F, side)["divided"][0]
    assert holds(F, side, square) == [g for g, (keys, _) in expected.items() if keys < divided]


def test_a_map_of_seven_by_seven_has_no_square_window_for_equation_nine() -> None:
    assert holds(16, 7, square=True) == []
    assert holds(16, 7) == [28]  # four frames of a whole row or column
    assert holds(16, 4) == []


@pytest.mark.slow
def test_without_scripts_it_says_what_holds() -> None:
    html = window_valley().html
    for F, side in CLIPS:
        row = re.search(rf'<th scope="row">{F} × {side} × {side}</th>(.*?)</tr>', html)
        assert row
        cells = re.findall("<td>(.*?)</td>", row[1])
        held = [", ".join(map(str, holds(F, side, square))) or "none" for square in (True, False)]
        keys = [min(keys for keys, _ in layers(F, side, False, 1).values()), *(k for k, _ in lines(F, side).values())]
        assert cells == [*held, *(f"{value:,}" for value in keys)]


def test_what_is_too_large_is_told() -> None:
    with pytest.raises(InputError, match="64 frames"):
        window_valley(65)


def put(page: Page, **values: object) -> None:
    for key, value in values.items():
        one = page.locator(f"[data-key={key}]")
        one.fill(str(value)) if key in ("frames", "side") else one.select_option("1" if value else "")


@pytest.mark.site
@pytest.mark.parametrize("F, side", [*SIZES, (12, 8)])
@pytest.mark.parametrize("square", [True, False])
def test_it_shows_what_the_layers_cost(F: int, side: int, square: bool, shown: Callable[..., Shown]) -> None:  # noqa: F811
    one = shown(window_valley(D=D).html)
    put(one.page, frames=F, side=side, square=square)
    pair, others, n = layers(F, side, square), lines(F, side), F * side * side
    for part in (0, 1):
        put(one.page, all=part)
        told = one.page.evaluate("document.querySelector('.fim').fim")
        expected = {g: values[part] for g, values in pair.items()}
        divided, joint = others["divided"][part], others["joint"][part]
        assert told["dots"] == [[g, value] for g, value in expected.items()]
        assert (told["divided"], told["joint"]) == (divided, joint)
        held = [g for g, value in expected.items() if value < divided]
        assert told["held"] == held
        best = [g for g, value in expected.items() if value == min(expected.values())]
        assert told["best"] == best
        if told["ends"]:
            inside = [g for g in expected if told["ends"][0] + 1e-9 < g < told["ends"][1] - 1e-9]
            assert inside == held, "the dots in the grey band are those for which it holds"
        else:
            assert not held
        said = one.page.locator(".fim-said").inner_text()
        assert ("holds for none of" in said) == (not held)
        assert ("“Divided < joint” holds" in said) == (divided < joint)
        assert f"g = {' or '.join(map(str, best))} " in said
        filled = one.page.locator("circle.fim-holds title").evaluate_all("all => all.map(one => one.textContent)")
        assert filled == [f"g = {g}" for g in held]
        heights = {
            int(title.removeprefix("g = ")): float(y)
            for title, y in one.page.locator("circle.fim-spot").evaluate_all(
                "all => all.map(one => [one.textContent, one.getAttribute('cy')])"
            )
        }
        level = {
            name: float(
                re.findall(r"M[\d.]+ ([\d.-]+)H", one.page.locator(f"path.fim-{name}").get_attribute("d") or "")[0]
            )
            for name in ("divided", "joint")
        }
        for g, height in heights.items():
            assert (height > level["divided"] + 1e-6) == (g in held), "dots below the line cost less"
        if n > 1:
            top, bottom = sorted(level.values())
            assert (bottom - top > 1e-6) == (divided != joint)
    assert not one.wrong


@pytest.mark.site
def test_keys_and_buttons_choose_the_clip(shown: Callable[..., Shown]) -> None:  # noqa: F811
    one = shown(window_valley(16, 4).html)
    page = one.page
    assert "holds for none of the 9 sizes of square windows" in page.locator(".fim-said").inner_text()
    page.get_by_role("button", name="16 × 7 × 7").press("Enter")
    assert page.get_by_role("button", name="16 × 7 × 7").get_attribute("aria-pressed") == "true"
    assert "holds for none of" in page.locator(".fim-said").inner_text()
    page.locator("[data-key=square]").select_option("")
    assert "holds for 1 of" in page.locator(".fim-said").inner_text()
    assert "g = 28." in page.locator(".fim-said").inner_text()
    page.locator("[data-key=side]").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.querySelector('.fim').fim.joint") == 16 * 64
    assert page.locator("[data-key=side]").get_attribute("aria-valuetext") == "8 rows and columns"
    assert page.get_by_role("button", name="16 × 7 × 7").get_attribute("aria-pressed") == "false"
    assert not one.wrong


def test_the_roots_are_the_factors_of_equation_nine() -> None:
    """What the grey band of pairs stands on: g + n / g < F + HW exactly for g between F and HW."""
    for F, S in itertools.product(range(1, 9), repeat=2):
        for g in (Fraction(k, 3) for k in range(1, 40)):
            assert (g + F * S / g < F + S) == (min(F, S) < g < max(F, S))


@pytest.mark.site
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_light_and_dark_wide_and_narrow(scheme: str, width: int, shown: Callable[..., Shown]) -> None:  # noqa: F811
    one = shown(window_valley(64, 28).html, scheme=scheme, width=width)
    assert one.page.evaluate("document.documentElement.scrollWidth") <= width
    outside = one.page.evaluate(
        """() => { const box = document.querySelector('.fim').getBoundingClientRect();
            return [...document.querySelectorAll('.fim svg text')].map(one => one.getBoundingClientRect())
                .filter(one => one.left < box.left - 1 || one.right > box.right + 1).length; }"""
    )
    assert not outside
    sizes = one.page.locator(".fim svg text").evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")
    assert min(sizes) > 9
    plain = shown(window_valley().html, scripts=False, scheme=scheme, width=width)
    assert plain.page.locator("table.fim-still").is_visible()
    assert not plain.page.locator(".fim-plot-of-valley").is_visible()
    assert plain.page.evaluate("document.documentElement.scrollWidth") <= width
    assert not one.wrong
