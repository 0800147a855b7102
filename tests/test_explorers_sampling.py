"""The sampling explorer: its frames are those of dferlib.data.sampling, to the last one."""

import re
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from playwright.sync_api import Page
from test_player import Shown, shown  # noqa: F401
from test_site import browser  # noqa: F401

from dferlib.book import sampling_explorer
from dferlib.book.acting import Scene
from dferlib.book.choosing import DRAWS, WAYS, chosen, generator
from dferlib.data.sampling import segment_indices, time_interpolation
from dferlib.errors import InputError

N = 30
PHASE = np.array([0] * 5 + [1] * 4 + [2] * 6 + [3] * 8 + [0] * 7)
RISEN = np.interp(np.arange(N), [4, 9, 14, 23], [0, 0.97, 0.9, 0])


def scene() -> Scene:
    """A clip whose frames are told by their green."""
    frames = np.zeros((N, 3, 16, 16), np.uint8)
    frames[:, 1] = np.linspace(10, 240, N).round().astype(np.uint8)[:, None, None]
    nothing = np.zeros((N, 1))
    return Scene(frames, nothing, RISEN, PHASE, nothing, nothing, 2.0)


def expected(n: int, S: int, T: int, seed: int, draw: int) -> dict[str, list[int]]:
    """What the library takes."""
    rng = np.random.default_rng([seed, draw])
    return {
        "evaluation": segment_indices(n, S, T).tolist(),
        "training": segment_indices(n, S, T, rng).tolist(),
        "dense": segment_indices(n, 1, S * T).tolist(),
        "spread": segment_indices(n, S * T).tolist(),
        "interpolated": time_interpolation(n, S * T).tolist(),
    }


def seen(frames: list[int], n: int) -> list[float]:
    """Highest intensity, and how many frames lie in onset, apex and offset, frame by frame."""
    places = [k * (N - 1) / (n - 1) if n > 1 else (N - 1) / 2 for k in frames]
    phases = [int(PHASE[int(place + 0.5)]) for place in places]
    return [max(np.interp(places, range(N), RISEN)), *(phases.count(k) for k in (1, 2, 3))]


def test_ways_are_those_of_the_library() -> None:
    for n, S, T in ((96, 8, 2), (7, 4, 3), (1, 2, 2)):
        for way, frames in expected(n, S, T, 5, 3).items():
            assert chosen(way, n, S, T, generator(5, 3)).tolist() == frames


def test_without_scripts_every_way_is_told() -> None:
    html = sampling_explorer(scene(), n=40, S=4, T=3, seed=1).html
    for (way, words), row in zip(WAYS.items(), re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", html), strict=True):
        name, *cells = re.split(r"</?t[hd]>(?:<td>)?", row.removesuffix("</td>"))
        frames = expected(40, 4, 3, 1, 0)[way]
        assert name == words
        assert cells[0] == ", ".join(map(str, frames))
        highest, *counts = seen(frames, 40)
        assert float(cells[1]) == pytest.approx(highest, abs=0.006)
        assert cells[2:] == [str(count) for count in counts]
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("wrong", [{"n": 0}, {"n": 161}, {"S": 17}, {"T": 9}])
def test_what_does_not_fit_is_told(wrong: dict) -> None:
    with pytest.raises(InputError, match="up to 160 frames"):
        sampling_explorer(scene(), **wrong)


def put(page: Page, **values: int) -> None:
    for key, value in values.items():
        page.locator(f"[data-key={key}]").fill(str(value))


def taken(page: Page) -> dict[str, list[int]]:
    return page.evaluate("document.querySelector('.fim').fim.taken")


@pytest.mark.site
def test_it_takes_the_frames_of_the_library(shown: Callable[..., Shown]) -> None:  # noqa: F811
    """For many lengths, segments and runs, all in one go through the page's own sliders; and for every draw."""
    one = shown(sampling_explorer(scene(), seed=7).html)
    cases = [
        *product((1, 2, 5, 11, 16, 30, 96, 159, 160), (1, 2, 3, 7, 8, 16), (1, 2, 3, 8)),
        (100, 13, 5),
        (61, 11, 4),
    ]
    found = one.page.evaluate(
        """cases => cases.map(([n, S, T]) => {
            const root = document.querySelector('.fim');
            const put = (key, value) => {
                const slider = root.querySelector(`[data-key=${key}]`);
                slider.value = value;
                slider.dispatchEvent(new Event('input'));
            };
            put('n', n); put('S', S); put('T', T);
            return root.fim.taken;
        })""",
        cases,
    )
    for case, frames in zip(cases, found, strict=True):
        assert frames == expected(*case, 7, 0), case
    put(one.page, n=90, S=7, T=3)
    for draw in range(1, DRAWS + 1):
        one.page.get_by_role("button", name="Draw").click()
        assert taken(one.page) == expected(90, 7, 3, 7, draw % DRAWS)
    assert not one.wrong


@pytest.mark.site
@pytest.mark.parametrize("n, S, T", [(40, 4, 3), (9, 8, 2), (160, 2, 1), (1, 3, 1)])
def test_it_tells_what_is_seen_of_the_expression(n: int, S: int, T: int, shown: Callable[..., Shown]) -> None:  # noqa: F811
    one = shown(sampling_explorer(scene(), seed=1).html)
    page = one.page
    put(page, n=n, S=S, T=T)
    for way, frames in expected(n, S, T, 1, 0).items():
        page.get_by_role("radio", name=WAYS[way], exact=True).check()
        row = page.locator(".fim-way.fim-chosen")
        highest, *counts = seen(frames, n)
        numbers = row.locator("b").all_inner_texts()
        assert float(numbers[0]) == pytest.approx(highest, abs=0.006)
        assert numbers[1:] == [str(count) for count in counts]
        said = page.locator(".fim-said").inner_text()
        assert f"{len(set(frames))} of {n} frame" in said
        assert ("more than once" in said) == (len(set(frames)) < len(frames))
        assert f"{counts[0]} in the onset, {counts[1]} in the apex, {counts[2]} in the offset" in said
        assert page.locator(".fim-faces span").all_inner_texts() == [str(k) for k in frames]
        marks = (row.locator("path.fim-taken").get_attribute("d") or "").split("M")[1:]
        assert len(marks) == len(set(frames))
        width = max(0.8, n / 110)
        for k, mark in zip(sorted(set(frames)), marks, strict=True):
            middle = min(max(k + 0.5 - width / 2, 0), n - width) if n > width else 0
            assert float(mark.split(" ")[0]) == pytest.approx(middle, abs=1e-6)
        dots = page.locator(".fim-dot").evaluate_all("all => all.map(one => [one.style.left, one.style.top])")
        for k, (left, top) in zip(sorted(set(frames)), dots, strict=True):
            assert float(left[:-1]) == pytest.approx(100 * (k + 0.5) / n, abs=1e-3)
            assert 1 - float(top[:-1]) / 100 == pytest.approx(seen([k], n)[0], abs=2e-3)
    assert not one.wrong


@pytest.mark.site
def test_faces_are_those_of_the_frames(shown: Callable[..., Shown]) -> None:  # noqa: F811
    one = shown(sampling_explorer(scene(), n=N, S=6, T=1).html)
    shades = np.linspace(10, 240, N).round()
    colours = one.page.locator(".fim-faces i").evaluate_all(
        """async faces => {
            const found = [];
            for (const face of faces) {
                const style = getComputedStyle(face);
                const image = new Image();
                image.src = style.backgroundImage.slice(5, -2);
                await image.decode();
                const canvas = document.createElement('canvas');
                [canvas.width, canvas.height] = [image.width, image.height];
                const brush = canvas.getContext('2d');
                brush.drawImage(image, 0, 0);
                const [x, y] = style.backgroundPosition.split(' ').map(part => parseFloat(part) / 100);
                const at = brush.getImageData(x * (image.width - 16) + 8, y * (image.height - 16) + 8, 1, 1).data;
                found.push(at[1]);
            }
            return found;
        }"""
    )
    for colour, k in zip(colours, segment_indices(N, 6, 1), strict=True):
        assert np.abs(shades - colour).argmin() == k
    assert not one.wrong


@pytest.mark.site
def test_keys_move_sliders_and_choose_a_way(shown: Callable[..., Shown]) -> None:  # noqa: F811
    one = shown(sampling_explorer(scene(), n=96, seed=2).html, sampling_explorer(scene(), n=96, seed=2).html)
    page = one.page
    page.locator("[data-key=S]").first.focus()
    page.keyboard.press("ArrowLeft")
    assert taken(page) == expected(96, 7, 2, 2, 0)
    page.get_by_role("button", name="Draw").first.press("Enter")
    assert taken(page) == expected(96, 7, 2, 2, 1)
    chosen_now = page.locator("input:checked").evaluate_all("all => all.map(one => one.value)")
    assert chosen_now == ["training", "evaluation"], "the button shows the draw; the other figure stays as it is"
    page.locator("input:checked").first.focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("input:checked").first.get_attribute("value") == "dense"
    assert "1 × 14, dense run: 14 of 96 frames" in page.locator(".fim-said").first.inner_text()
    assert page.locator("[data-key=S]").first.get_attribute("aria-valuetext") == "7 segments"
    assert not one.wrong


@pytest.mark.site
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_light_and_dark_wide_and_narrow(scheme: str, width: int, shown: Callable[..., Shown]) -> None:  # noqa: F811
    one = shown(sampling_explorer(scene(), n=160, S=16, T=8).html, scheme=scheme, width=width)
    assert one.page.evaluate("document.documentElement.scrollWidth") <= width
    assert not one.page.locator(".fim-still").first.is_visible()
    outside = one.page.evaluate(
        """() => { const box = document.querySelector('.fim').getBoundingClientRect();
            return [...document.querySelectorAll('.fim b, .fim span')].filter(one => one.offsetParent)
                .map(one => one.getBoundingClientRect())
                .filter(one => one.left < box.left - 1 || one.right > box.right + 1).length; }"""
    )
    assert not outside
    over = "all => all.filter(one => one.scrollWidth > one.clientWidth).map(one => one.textContent)"
    assert not one.page.locator(".fim-which").evaluate_all(over), "words that run into the numbers beside them"
    plain = shown(sampling_explorer(scene()).html, scripts=False, scheme=scheme, width=width)
    assert plain.page.locator("img.fim-sheet").is_visible() and plain.page.locator("table").is_visible()
    assert not plain.page.locator(".fim-ways").is_visible()
    assert plain.page.evaluate("document.documentElement.scrollWidth") <= width
    assert not one.wrong
