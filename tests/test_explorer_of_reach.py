"""What a number inside a network can know: the figure against the gradients of networks."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from playwright.sync_api import Page
from test_player import Shown, shown  # noqa: F401
from test_site import browser  # noqa: F401
from torch import nn

from dferlib.book import reach_explorer
from dferlib.book.reaching import FAMILIES, STRIDES, known, over_time, strides_of
from dferlib.errors import InputError
from dferlib.models.attention import SpatialAttention, TemporalAttention

F, S = 12, 9
CASES = [
    ("image", (11, 8), 2, "none"),
    ("memory", (4, 3), 1, "none"),
    ("attention", (0, 0), 1, "none"),
    *(("volume", query, layers, stride) for query in ((7, 4), (0, 8)) for layers in (1, 3) for stride in STRIDES),
]


def by_gradient(family: str, query: tuple[int, int], layers: int, stride: str) -> np.ndarray:
    """Which inputs (F, S) of a network of this family move its output near the query."""
    torch.manual_seed(0)
    x = torch.randn(1, 1, F, S, dtype=torch.float64, requires_grad=True)
    t, place = query
    if family == "memory":
        read = nn.LSTM(1, 4).double()
        out = read(x.mean(3).permute(2, 0, 1))[0][t]
    elif family == "attention":
        tokens = x[:, 0, :, :, None].expand(-1, -1, -1, 8)
        out = TemporalAttention(8, 2).double()(SpatialAttention(8, 2).double()(tokens))[0, t, place]
    else:
        wide = 3 if family == "volume" else 1
        strides = strides_of(stride, layers)
        stack = [nn.Conv2d(1, 1, (wide, 3), (s, 1), (wide // 2, 1)).double() for s in strides]
        for s in strides:
            t //= s
        out = nn.Sequential(*stack)(x)[0, 0, t, place]
    out.square().sum().backward()
    return (x.grad[0, 0] != 0).numpy()


@pytest.mark.parametrize("family, query, layers, stride", CASES)
def test_it_knows_what_moves_it(family: str, query: tuple[int, int], layers: int, stride: str) -> None:
    assert (known(family, F, S, query, layers, stride) == by_gradient(family, query, layers, stride)).all()


def test_the_field_grows_by_the_rule() -> None:
    """Each layer adds two frames, times the strides before it."""
    low, high, at = over_time(1001, 500, [1] * 5)
    assert (high - low + 1, at) == (11, 500)
    low, high, at = over_time(1001, 512, [2] * 4)
    assert (high - low + 1, at) == (1 + 2 * (1 + 2 + 4 + 8), 512)


def test_without_scripts_a_table_says_it() -> None:
    html = reach_explorer(F, S, layers=2, query=(5, 4)).html
    found = dict(re.findall(r'<th scope="row">([^<]*)</th><td>[^<]*</td><td>(\d+) of', html))
    assert found["3-D convolution, stride none"] == "25"
    assert found[FAMILIES["memory"]] == str(6 * S)
    assert len(found) == len(FAMILIES) + len(STRIDES) - 1


@pytest.mark.parametrize("wrong", [{"family": "mlp"}, {"query": (12, 0)}, {"F": 99}, {"layers": 0}])
def test_what_does_not_fit_is_told(wrong: dict) -> None:
    with pytest.raises(InputError):
        reach_explorer(**{"F": F, "S": S} | wrong)


def told(page: Page) -> np.ndarray:
    return np.array(page.evaluate("document.querySelector('.fim').fim.known")).reshape(F, S)


@pytest.mark.site
def test_it_shows_what_the_library_says(shown: Callable[..., Shown]) -> None:  # noqa: F811
    one = shown(reach_explorer(F, S, query=(5, 4)).html)
    page = one.page
    for family, (t, place), layers, stride in CASES:
        page.locator("[data-key=stride]").evaluate("(one, value) => (one.value = value)", stride)
        page.locator("[data-key=family]").select_option(family)
        if page.locator("[data-key=layers]").is_enabled():
            page.locator("[data-key=layers]").fill(str(layers))
        box = page.locator(".fim-grid-of-clip svg").bounding_box()
        assert box
        page.mouse.click(box["x"] + (t + 0.5) * box["width"] / F, box["y"] + (place + 0.5) * box["height"] / S)
        expected = known(family, F, S, (t, place), layers, stride)
        assert (told(page) == expected).all()
        drawn = page.locator(".fim-known").get_attribute("d") or ""
        assert drawn.count("M") == expected.sum()
        assert f"knows {expected.sum()} of {F * S} inputs" in page.locator(".fim-said").inner_text()
    assert not one.wrong


@pytest.mark.site
def test_arrow_keys_move_the_number_and_stop_at_the_edge(shown: Callable[..., Shown]) -> None:  # noqa: F811
    page = shown(reach_explorer(F, S, query=(10, 1)).html).page
    page.locator(".fim-grid-of-clip").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.evaluate("document.querySelector('.fim').fim.at") == [F - 2, 0]
