"""The attention explorer: what it lights up is what dferlib's layers see, and what it counts is what they cost."""

import re
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page
from test_player import Shown, shown  # noqa: F401
from test_site import browser  # noqa: F401

from dferlib.book import attention_explorer
from dferlib.book.attending import KINDS, STEPS, cost, reach
from dferlib.errors import InputError
from dferlib.models.attention import DividedAttention, Window


def test_reach_by_gradient_is_reach_by_definition() -> None:
    F, side, window, query = 4, 4, (2, 2, 2), (1, 6)
    t, y, x = np.indices((F, side, side)).reshape(3, F, -1)
    own = (t == 1, (y == 1) & (x == 2), (t < 2) & (y < 2) & (x > 1))
    for name, expected in zip(("spatial", "temporal", "local"), own, strict=True):
        assert (reach((name,), F, side * side, window, query) == expected).all()
    assert (reach(("mixing",), 6, 4, (1, 1, 1), (5, 0), 2).any(1) == [0, 0, 0, 1, 1, 1]).all()
    assert (reach(KINDS["divided"], F, 16, window, query, 1) == own[1]).all()
    assert reach(KINDS["divided"], F, 16, window, query, 2).all()
    assert reach(KINDS["local + global"], F, 16, window, query, 2).all()


def test_divided_attention_costs_what_the_class_says() -> None:
    assert cost(KINDS["divided"], 6, 9, 64, (1, 1, 1))[0] == DividedAttention(64).cost(6, 9, 64)


def test_it_is_whole_without_scripts_and_asks_for_nothing() -> None:
    one = attention_explorer(4, 2, window=(2, 1, 1), D=64, query=(3, 3))
    still = one.html.partition('class="fim-live')[0]
    for name, steps in KINDS.items():
        macs, keys = cost(steps, 4, 4, 64, (2, 1, 1))
        tokens = int(reach(steps, 4, 4, (2, 1, 1), (3, 3), len(steps)).sum())
        assert f'aria-label="{name}: {tokens} of 16 tokens reach' in still
        assert f"<b>{keys:,} keys</b><b>{macs / 1e6:,.1f} M</b>" in still
    assert "http" not in one.html.replace("http://www.w3.org/2000/svg", "")
    assert one.kilobytes < 100 and one.html == attention_explorer(4, 2, window=(2, 1, 1), D=64, query=(3, 3)).html


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "axial"}, {"window": (3, 2, 2)}, {"window": (2, 2, 1)}, {"F": 32}, {"query": (8, 0)}],
)
def test_what_does_not_fit_is_told(wrong: dict) -> None:
    with pytest.raises(InputError):
        attention_explorer(**wrong)


def put(page: Page, **values: int) -> None:
    """Move sliders and choose windows and channels."""
    for key, value in values.items():
        one = page.locator(f"[data-key={key}]")
        if key in ("frames", "side", "layers"):
            one.fill(str(value))
        else:
            one.select_option(str(value))


def ask(page: Page, query: tuple[int, int], side: int) -> None:
    """Click a token."""
    box = page.locator(f"svg[data-frame='{query[0]}']").bounding_box()
    assert box
    row, column = divmod(query[1], side)
    page.mouse.click(box["x"] + (column + 0.5) * box["width"] / side, box["y"] + (row + 0.5) * box["height"] / side)


def told(page: Page) -> np.ndarray:
    """Of each token, how the query sees it: 0 not, 1 through others, 2 in outline, 3 token by token."""
    return np.array(page.evaluate("document.querySelector('.fim').fim.how"))


def drawn(page: Page, kind: str) -> int:
    """How many squares of a kind are drawn in the maps."""
    paths = page.locator(f".fim-map path.{kind}").evaluate_all("all => all.map(one => one.getAttribute('d'))")
    return sum(path.count("M") for path in paths)


CLIPS = (  # frames, side, window, query, layers
    (8, 4, (2, 2, 2), (3, 6), 1),
    (8, 4, (2, 2, 2), (3, 6), 2),
    (6, 3, (3, 1, 1), (5, 8), 3),
    (5, 6, (1, 3, 3), (0, 0), 4),
    (1, 5, (1, 5, 5), (0, 12), 2),
    (7, 1, (7, 1, 1), (2, 0), 2),
)


@pytest.mark.site
@pytest.mark.parametrize("F, side, window, query, layers", CLIPS)
def test_it_lights_what_the_layers_see(
    F: int,
    side: int,
    window: Window,
    query: tuple[int, int],
    layers: int,
    shown: Callable[..., Shown],  # noqa: F811
) -> None:
    one = shown(attention_explorer().html)
    page, S = one.page, side * side
    put(page, frames=F, side=side, layers=layers, f=window[0], h=window[1])
    ask(page, query, side)
    for name, steps in KINDS.items():
        page.get_by_role("radio", name=name, exact=True).check()
        how = told(page).reshape(F, S)
        assert ((how > 0) == reach(steps, F, S, window, query, layers)).all(), name
        taken = {steps[k % len(steps)] for k in range(layers)}
        alone = [reach((step,), F, S, window, query) for step in taken - {"global"}]
        itself = np.any(alone, 0) if alone else np.arange(F * S).reshape(F, S) == query[0] * S + query[1]
        assert ((how == 3) == itself).all(), name
        assert (how == 2).any() == ("global" in taken and not itself.all()), name
        assert drawn(page, "fim-direct") == (how == 3).sum() - 1
        assert drawn(page, "fim-through") == (how == 1).sum()
        said = page.locator(".fim-said").inner_text()
        row, column = divmod(query[1], side)
        assert f"frame {query[0] + 1}, row {row + 1}, column {column + 1} sees" in said
        assert f"{(how > 0).sum()} of {how.size} token" in said
        keys = cost((steps[(layers - 1) % len(steps)],), F, S, 64, window)[1]
        assert re.search(rf"sees {keys} keys?\b", said), name
    assert not one.wrong


@pytest.mark.site
def test_it_counts_what_the_library_counts(shown: Callable[..., Shown]) -> None:  # noqa: F811
    one = shown(attention_explorer().html)
    clips = [(8, 4, 512, (2, 2, 2)), (16, 14, 768, (4, 7, 7)), (1, 1, 64, (1, 1, 1)), (15, 9, 256, (5, 3, 3))]
    for F, side, D, window in clips:
        put(one.page, frames=F, side=side, D=D, f=window[0], h=window[1])
        bars = []
        for name, steps in KINDS.items():
            row = one.page.locator("label.fim-kind", has=one.page.get_by_role("radio", name=name, exact=True))
            macs, keys = cost(steps, F, side * side, D, window)
            number = row.locator(".fim-cost")
            assert number.get_attribute("data-macs") == str(macs)
            value, unit = number.inner_text().split(" ")
            assert float(value) * {"k": 1e3, "M": 1e6, "G": 1e9}[unit] == pytest.approx(macs, rel=0.005)
            assert sum(map(int, row.locator(".fim-keys-seen").inner_text().split(" + "))) == keys
            bars.append((np.log10(macs), float(row.locator("i").evaluate("i => i.style.getPropertyValue('--v')"))))
        logs, lengths = np.array(bars).T
        assert lengths.min() >= 0 and lengths.max() <= 1
        slope = (lengths.max() - lengths.min()) / np.ptp(logs)
        assert np.allclose(lengths - lengths[0], slope * (logs - logs[0])), "as long as the logarithm"
        assert f"D = {D}" in one.page.locator(".fim-note").inner_text()
    assert not one.wrong


@pytest.mark.site
def test_keys_move_the_query_and_choose_the_attention(shown: Callable[..., Shown]) -> None:  # noqa: F811
    one = shown(attention_explorer(4, 3, window=(2, 3, 3), query=(0, 4)).html)
    page = one.page
    area = page.locator(".fim-tokens")
    area.focus()
    assert area.evaluate("one => getComputedStyle(one).outlineStyle") != "none"
    place = 4
    for key, step in (
        ("ArrowRight", 1),
        ("ArrowDown", 3),
        ("ArrowDown", 0),
        ("ArrowRight", 9 - 2),  # on into the next frame, the same row
        ("PageDown", 9),
        ("ArrowUp", -3),
        ("ArrowLeft", -9 + 2),
        ("PageUp", -9),
        ("PageUp", 0),
    ):
        page.keyboard.press(key)
        place += step
        assert page.evaluate("document.querySelector('.fim').fim.query") == place, key
        assert (told(page) > 0).all(), "joint attention sees all"
    page.get_by_role("radio", name="joint").focus()
    page.keyboard.press("ArrowDown")
    assert page.get_by_role("radio", name="spatial").is_checked()
    assert (told(page).reshape(4, 9) > 0).sum(1).tolist() == [9, 0, 0, 0]
    page.locator("[data-key=side]").focus()
    page.keyboard.press("Home")
    assert told(page).size == 4
    page.keyboard.press("End")
    assert told(page).size == 4 * 14 * 14
    assert page.locator("[data-key=h]").input_value() in ("1", "2"), "a window that divides the clip"
    assert not one.wrong


@pytest.mark.site
def test_two_on_a_page_do_not_know_of_each_other(shown: Callable[..., Shown]) -> None:  # noqa: F811
    one = shown(attention_explorer().html, attention_explorer().html)
    one.page.get_by_role("radio", name="local", exact=True).nth(1).check()
    checked = one.page.locator("input:checked").evaluate_all("all => all.map(one => one.value)")
    assert checked == ["joint", "local"]
    assert not one.wrong


@pytest.mark.site
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_light_and_dark_wide_and_narrow(scheme: str, width: int, shown: Callable[..., Shown]) -> None:  # noqa: F811
    one = shown(attention_explorer(16, 14, window=(4, 7, 7)).html, scheme=scheme, width=width)
    assert one.page.evaluate("document.documentElement.scrollWidth") <= width
    cut = one.page.evaluate(
        """() => [...document.querySelectorAll('.fim span, .fim b, .fim p')]
            .filter(one => one.offsetParent && one.scrollWidth > one.clientWidth + 1 && one.clientWidth)
            .map(one => one.textContent)"""
    )
    assert not cut
    assert not one.page.locator(".fim-still").is_visible()
    plain = shown(attention_explorer().html, scripts=False, scheme=scheme, width=width)
    assert plain.page.locator(".fim-all-kinds li").count() == len(KINDS)
    assert not plain.page.locator(".fim-tokens").is_visible()
    assert plain.page.evaluate("document.documentElement.scrollWidth") <= width
    assert not one.wrong


def test_every_step_is_a_layer_of_the_library() -> None:
    assert {step for steps in KINDS.values() for step in steps} == set(STEPS)
