"""The patches of a clip, as a reader sees them in a real browser: a patch is chosen, and its own track answers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page
from test_site import browser  # noqa: F401

from dferlib.book import patch_explorer, player
from dferlib.book.explorers import Interactive
from dferlib.errors import InputError

F, GRID, CLASSES = 5, 3, ("yes", "no", "perhaps")
P = GRID**2
SAID = ".fim-patching > .fim-said"
DRAW = np.random.default_rng(0)
VOTES = DRAW.normal(size=(F, P, len(CLASSES)))
LOOKS = DRAW.dirichlet(np.ones(F), size=(P, F))
BIAS = np.array([0.5, -0.25, 0.0])

site = pytest.mark.site


def figure(first: int = 4, **changed: object) -> Interactive:
    clip = player(np.zeros((F, 3, 16, 16), np.uint8), alt="x", starts=False)
    given = {"votes": VOTES, "attention": LOOKS, "bias": BIAS, "classes": CLASSES} | changed
    return patch_explorer(clip, **given, first=first, alt="x")


@pytest.mark.parametrize(
    "changed",
    [
        {"votes": VOTES[:, :-1]},
        {"first": P},
        {"attention": LOOKS[:, :, 1:]},
        {"classes": ("yes", "no")},
        {"bias": [0.0]},
    ],
)
def test_what_does_not_fit_is_told(changed: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"square number|do not fit"):
        figure(**changed)


@pytest.fixture
def shown(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:  # noqa: F811
    contexts = []

    def open_page(*, scripts: bool = True, width: int = 1280) -> Page:
        context = browser.new_context(
            java_script_enabled=scripts, reduced_motion="reduce", viewport={"width": width, "height": 900}
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda one: pytest.fail(str(one)))
        (tmp_path / "page.html").write_text('<!doctype html><meta charset="utf-8">' + figure().html, encoding="utf-8")
        page.goto((tmp_path / "page.html").as_uri())
        if scripts:
            page.locator(".fim-patches input").nth(P - 1).wait_for(state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()


def told(page: Page) -> tuple[int, list[float], list[float]]:
    """The patch, its mean votes and where the frame looks, as a reader sees them."""
    values = [float(one.replace("−", "-")) for one in page.locator(".fim-votes b").all_inner_texts()]
    high = "all => all.map(one => one.getBoundingClientRect().height)"
    bars = np.array(page.locator(".fim-looks i").evaluate_all(high))
    chosen = page.locator(".fim-patches label").evaluate_all("all => all.findIndex(one => one.matches('.chosen'))")
    return chosen, values, list(bars / bars.sum())


def expect(page: Page, patch: int, frame: int) -> None:
    chosen, values, looks = told(page)
    assert chosen == patch
    assert values == pytest.approx(VOTES[:, patch].mean(0), abs=6e-3)
    assert looks == pytest.approx(LOOKS[patch, frame], abs=0.02)


@site
@pytest.mark.slow
def test_mouse_and_keys_choose_a_patch_and_the_scrubber_a_frame(shown: Callable[..., Page]) -> None:
    page = shown()
    expect(page, 4, 0)
    page.locator(".fim-patches label").nth(1).click()
    expect(page, 1, 0)
    for key, patch in (("ArrowDown", 4), ("ArrowRight", 5), ("ArrowRight", 5), ("ArrowUp", 2), ("ArrowUp", 2)):
        page.keyboard.press(key)
        expect(page, patch, 0)  # at an edge it stays, and the clip does not step
    page.locator(".fim-bar input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    expect(page, 2, 1)
    page.locator(".fim-looks i").nth(3).click()
    expect(page, 2, 3)


@site
@pytest.mark.slow
def test_the_words_give_the_rank_and_the_logit(shown: Callable[..., Page]) -> None:
    logits = VOTES.mean((0, 1)) + BIAS
    answer = int(logits.argmax())
    ranks = 1 + (VOTES[..., answer].mean(0) > VOTES[..., answer].mean(0)[4]).sum()
    said = shown().locator(SAID).inner_text().replace("−", "-")
    assert f"the answer, {CLASSES[answer]}, " in said and f"number {ranks} of {P}" in said
    assert said.endswith(f"is the logit: {logits[answer]:+.2f}.")


@site
@pytest.mark.slow
def test_without_scripts_a_table_has_the_votes_and_it_fits_on_a_phone(shown: Callable[..., Page]) -> None:
    rows = shown(scripts=False).locator("table.fim-still tbody tr").all_inner_texts()
    assert [row.split("\t")[1:] for row in rows] == [[f"{one:+.2f}" for one in VOTES[:, p].mean(0)] for p in range(P)]
    assert shown(width=390).evaluate("document.documentElement.scrollWidth") <= 390
