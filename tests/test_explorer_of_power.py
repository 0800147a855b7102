"""The figure of how many seeds it takes: what it says after a slider has moved is compared with scipy."""

import re

import numpy as np
import pytest
from reader import Open, composed, drag, fields, number, press
from scipy import stats
from test_explorers_of_numbers import mulberry32
from test_player import Shown, shown  # noqa: F401
from test_site import browser  # noqa: F401

from dferlib.book.powering import SEEDS, STUDIES, power, power_explorer
from dferlib.errors import InputError

site = pytest.mark.site


def by_trying(seeds: int, gap: float, spread: float, studies: int = 40_000) -> float:
    """What part of made-up studies finds the gap."""
    drawn = np.random.default_rng(0).normal(gap, spread, (studies, seeds))
    return float(np.mean(stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05))


@pytest.mark.parametrize(("seeds", "gap", "spread"), [(2, 4.0, 1.0), (8, 1.0, 1.5), (20, 0.4, 1.3)])
def test_the_power_is_what_studies_find(seeds: int, gap: float, spread: float) -> None:
    assert power(seeds, gap, spread) == pytest.approx(by_trying(seeds, gap, spread), abs=0.01)


def test_without_a_gap_the_power_is_the_level_and_a_large_gap_is_always_found() -> None:
    assert power(5, 0.0, 1.0) == pytest.approx(0.05, abs=1e-9)
    assert power(40, 6.0, 0.2) == pytest.approx(1, abs=1e-9)


def test_what_no_study_has_is_told() -> None:
    for wrong in ((0.0, 1.0, 5), (1.0, 0.0, 5), (1.0, 1.0, 1), (1.0, 1.0, 41)):
        with pytest.raises(InputError, match="give a gap from"):
            power_explorer(*wrong, alt="x")


def studies(seed: int, gap: float, spread: float, seeds: int) -> np.ndarray:
    """The differences in each drawn study (studies, seeds)."""
    first, second = mulberry32(seed, 2 * STUDIES * SEEDS[1]).reshape(-1, 2).T
    normal = (np.sqrt(-2 * np.log(1 - first)) * np.cos(2 * np.pi * second)).reshape(STUDIES, SEEDS[1])
    return gap + spread * normal[:, :seeds]


def says_what_scipy_says(one: Shown, seed: int) -> None:
    values = fields(one)
    gap, spread, seeds = values["gap"], values["spread"], int(values["seeds"])
    said = one.page.locator(".fim-said").inner_text()
    drawn = studies(seed, gap, spread, seeds)
    finds = stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05
    assert number(said.split("a power of ")[1]) == pytest.approx(100 * power(seeds, gap, spread), abs=0.51)
    needed = next(n for n in range(SEEDS[0], 10**6) if power(n, gap, spread) >= 0.8)
    assert number(said.split("it takes ")[1]) == pytest.approx(needed, abs=1 if needed > SEEDS[1] else 0)
    if finds.any():
        assert number(said.split("drawn, ")[1]) == finds.sum()
        assert number(said.split("report ")[1]) == pytest.approx(drawn[finds].mean(), abs=0.0051)
    else:
        assert "none finds it" in said
    marks = one.page.locator(".fim-studies div circle")
    assert [kind == "found" for kind in marks.evaluate_all("all => all.map(one => one.getAttribute('class'))")] == list(
        finds
    )
    line = one.page.locator(".fim-power div path.power").get_attribute("d")
    heights = -np.array([float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", line)])
    curve = [power(n, gap, spread) for n in range(SEEDS[0], SEEDS[1] + 1)]
    assert np.ptp(heights) == pytest.approx(168 * np.ptp(curve), abs=0.3)


@site
def test_the_curve_and_the_drawn_studies_follow_the_sliders(shown: Open) -> None:  # noqa: F811
    one = shown(power_explorer(1.0, 1.3, 10, alt="A curve").html)
    says_what_scipy_says(one, 1)
    one.page.get_by_role("button", name="Draw again").click()
    says_what_scipy_says(one, 2)
    press(one, "seeds", "Home")
    says_what_scipy_says(one, 2)
    drag(one, "gap", 0.8)
    says_what_scipy_says(one, 2)
    press(one, "gap", "Home", "ArrowRight", "ArrowRight")
    press(one, "seeds", "End")
    assert (fields(one)["gap"], fields(one)["seeds"]) == (0.3, SEEDS[1])
    says_what_scipy_says(one, 2)
    assert not one.wrong


@site
def test_without_scripts_the_power_stands_in_a_table(shown: Open) -> None:  # noqa: F811
    one = shown(power_explorer(1.0, 1.3, 10, claimed=0.43, alt="A curve").html, scripts=False)
    for line in one.page.locator(".fim-still tbody tr").all():
        count, *values = [number(text) for text in line.locator("th, td").all_inner_texts()]
        expected = [100 * power(int(count), gap, 1.3) for gap in (0.43, 0.5, 1, 2, 4)]
        assert values == pytest.approx(expected, abs=0.51)


@site
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_light_and_dark_wide_and_narrow(width: int, scheme: str, shown: Open) -> None:  # noqa: F811
    piece = power_explorer(0.4, 1.3, 10, alt="A curve").html
    one = shown(piece, piece, scheme=scheme, width=width)
    composed(one, width, scheme)
    assert not one.wrong
