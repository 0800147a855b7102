"""Figures whose script computes: metrics under imbalance, the best of many epochs; and how all of them look.

What a reader sees after moving something is compared with scikit-learn and scipy.
"""

import re
from collections.abc import Callable

import numpy as np
import pytest
import sklearn.metrics
from reader import Open, composed, drag, fields, number, press
from scipy import integrate, stats
from test_player import Shown, shown  # noqa: F401
from test_site import browser  # noqa: F401

from dferlib import EMOTIONS
from dferlib.book.best_of_epochs import MOST, TRAININGS, best_of_epochs, gain
from dferlib.book.imbalance import EQUAL, FREQUENT, RARE, SPREADS, expected_confusion, imbalance, made_up, scores
from dferlib.book.logits import logits_and_losses
from dferlib.book.playing import player
from dferlib.errors import InputError
from dferlib.evidence.statistics import expected_maximum
from dferlib.makefaces.protocol import PRIORS
from dferlib.training import metrics

site = pytest.mark.site
DFEW = np.array(PRIORS["dfew"])
C = len(EMOTIONS)
COMMONEST = EMOTIONS.index("neutral")


# metrics under imbalance


def by_loops(recalls: np.ndarray, sizes: np.ndarray, spread: str) -> np.ndarray:
    """The expected confusion matrix, one clip's worth at a time."""
    found = np.zeros((C, C))
    for c in range(C):
        found[c, c] = sizes[c] * recalls[c]
        others = [k for k in range(C) if k != c]
        if spread == "one" and c != COMMONEST:
            found[c, COMMONEST] += sizes[c] * (1 - recalls[c])
            continue
        whole = sum(sizes[k] for k in others)
        for k in others:
            part = sizes[k] / whole if spread == "frequent" else 1 / (C - 1)
            found[c, k] += sizes[c] * (1 - recalls[c]) * part
    return found


def by_sklearn(confusion: np.ndarray) -> list[float]:
    """UAR, WAR and macro F1 of one clip in each cell, weighted."""
    true, called = np.divmod(np.arange(C * C), C)
    weight = confusion.ravel()
    return [
        sklearn.metrics.recall_score(true, called, average="macro", sample_weight=weight),
        sklearn.metrics.accuracy_score(true, called, sample_weight=weight),
        sklearn.metrics.f1_score(true, called, average="macro", sample_weight=weight),
    ]


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("sizes", [DFEW, np.full(C, 1 / C)], ids=["uneven", "balanced"])
def test_metrics_of_given_recalls_are_those_of_scikit_learn(spread: str, sizes: np.ndarray) -> None:
    for recalls in np.random.default_rng(0).random((5, C)):
        confusion = expected_confusion(recalls, sizes, spread, COMMONEST)
        assert confusion == pytest.approx(by_loops(recalls, sizes, spread), abs=1e-15)
        assert scores(confusion) == pytest.approx(by_sklearn(confusion), abs=1e-12)


def test_metrics_are_those_of_the_library() -> None:
    K = np.random.default_rng(1).integers(1, 40, (C, C))
    true, called = (np.repeat(side, K.ravel()) for side in np.divmod(np.arange(C * C), C))
    theirs = metrics.uar(true, called, C), metrics.war(true, called, C), metrics.f1(true, called, C).mean()
    assert scores(K) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("spread", SPREADS)
def test_with_uneven_classes_each_metric_has_another_favourite(spread: str) -> None:
    def best(sizes: np.ndarray) -> list[str]:
        found = {name: scores(expected_confusion(r, sizes, spread, COMMONEST)) for name, r in made_up(DFEW).items()}
        return [max(found, key=lambda name: found[name][metric]) for metric in range(3)]

    assert best(DFEW) == [RARE, FREQUENT, EQUAL]
    assert best(np.full(C, 1 / C))[:2] == [RARE, RARE]


def test_frequencies_that_do_not_fit_are_told() -> None:
    with pytest.raises(InputError, match="for each of the 7 classes"):
        imbalance(DFEW[:6], alt="x")
    with pytest.raises(InputError, match="positive"):
        imbalance([0, 1, 1, 1, 1, 1, 1], alt="x")


def metrics_shown(one: Shown) -> list[list[float]]:
    """The scores in the table, row by row: first the reader's."""
    lines = one.page.locator(".fim-scores tbody tr")
    return [[number(text) for text in lines.nth(k).locator("td").all_inner_texts()] for k in range(lines.count())]


def agrees(one: Shown) -> None:
    """Everything that is shown follows from the sliders."""
    values, spread = fields(one), one.page.locator("select").input_value()
    recalls = np.array([values[f"recall{c}"] for c in range(C)]) / 100
    sizes = (1 - values["uneven"] / 100) / C + values["uneven"] / 100 * DFEW
    confusion = by_loops(recalls, sizes, spread)
    cells = one.page.locator(".fim-matrix tbody td").all_inner_texts()
    seen = np.array([number(text) for text in cells]).reshape(C + 1, C + 1)
    assert seen[:C, :C] == pytest.approx(1000 * confusion, abs=0.51)
    assert seen[:C, C] == pytest.approx(1000 * sizes, abs=0.51)
    assert seen[C, :C] == pytest.approx(1000 * confusion.sum(0), abs=0.51)
    expected = [by_sklearn(confusion)] + [by_sklearn(by_loops(r, sizes, spread)) for r in made_up(DFEW).values()]
    assert metrics_shown(one) == [pytest.approx([100 * x for x in row], abs=0.051) for row in expected]
    told = one.page.locator(".fim-said").inner_text()
    assert [number(told.split(name)[1]) for name in ("UAR ", "WAR ", "macro F1 ")] == metrics_shown(one)[0]
    best = one.page.locator(".fim-scores td.best")
    assert best.count() >= 3
    assert sorted(map(number, best.all_inner_texts()))[-1] == pytest.approx(
        100 * max(map(max, expected[1:])), abs=0.051
    )


@site
def test_three_metrics_follow_the_recalls_and_the_sizes(shown: Open) -> None:  # noqa: F811
    one = shown(imbalance(DFEW, alt="Seven recalls").html)
    agrees(one)
    assert "all three metrics prefer “best at the rare”" in one.page.locator(".fim-said").inner_text()
    drag(one, "recall5", 0.0)
    assert fields(one)["recall5"] == 0
    agrees(one)
    press(one, "uneven", "End")
    press(one, "recall0", "End", "ArrowLeft")
    assert (fields(one)["uneven"], fields(one)["recall0"]) == (100, 99)
    agrees(one)
    said = one.page.locator(".fim-said").inner_text()
    for metric, favourite in (("UAR", RARE), ("WAR", FREQUENT), ("macro F1", EQUAL)):
        assert f"{metric} prefers “{favourite}”" in said
    for spread in SPREADS:
        one.page.locator("select").select_option(spread)
        agrees(one)
    assert not one.wrong


@site
def test_a_classifier_is_taken_over_by_its_name(shown: Open) -> None:  # noqa: F811
    piece = imbalance(DFEW, alt="Seven recalls").html
    one = shown(piece)
    for name, press_it in ((FREQUENT, True), ("always neutral", False)):
        button = one.page.get_by_role("button", name=name)
        button.press("Enter") if press_it else button.click()
        values = fields(one)
        assert [values[f"recall{c}"] for c in range(C)] == pytest.approx(100 * made_up(DFEW)[name])
        assert one.page.locator("[aria-pressed=true]").inner_text() == name
        agrees(one)
    assert not one.wrong


@site
def test_the_script_computes_as_python_does(shown: Open) -> None:  # noqa: F811
    one = shown(imbalance(DFEW, alt="Seven recalls").html)
    for k, recalls in enumerate(np.random.default_rng(2).random((6, C))):
        confusion = by_loops(recalls, DFEW, SPREADS[k % 3])
        call = "([r, s, how, k]) => { const K = fim.fim.confusion(r, s, how, k); return [K, fim.fim.scores(K)] }"
        call = call.replace("fim.fim", "document.querySelector('.fim').fim")
        K, found = one.page.evaluate(call, [recalls.tolist(), DFEW.tolist(), SPREADS[k % 3], COMMONEST])
        assert np.array(K) == pytest.approx(confusion, abs=1e-15)
        assert found == pytest.approx(by_sklearn(confusion), abs=1e-12)


@site
def test_without_scripts_the_four_stand_in_a_table(shown: Open) -> None:  # noqa: F811
    one = shown(imbalance(DFEW, alt="Seven recalls").html, scripts=False)
    assert not one.page.locator("input").first.is_visible()
    rows = one.page.locator(".fim-still tbody tr")
    for k, recalls in enumerate(made_up(DFEW).values()):
        both = (np.full(C, 1 / C), DFEW)
        expected = [100 * x for sizes in both for x in by_sklearn(by_loops(recalls, sizes, "evenly"))]
        assert [number(x) for x in rows.nth(k).locator("td").all_inner_texts()] == pytest.approx(expected, abs=0.051)


# the best of E epochs

RESULT, CLIPS = 0.66, 2340


def by_quadrature(count: int) -> float:
    """The expected largest of so many normal numbers."""
    return integrate.quad(lambda x: count * x * stats.norm.pdf(x) * stats.norm.cdf(x) ** (count - 1), -12, 12)[0]


def mulberry32(seed: int, count: int) -> np.ndarray:
    """Numbers from 0 to 1, in whole numbers of any length cut to 32 bits."""
    bits, found = 2**32 - 1, []
    for _ in range(count):
        seed = (seed + 0x6D2B79F5) & bits
        mixed = ((seed ^ (seed >> 15)) * (1 | seed)) & bits
        mixed ^= (mixed + (((mixed ^ (mixed >> 7)) * (61 | mixed)) & bits)) & bits
        found.append((mixed ^ (mixed >> 14)) / 2**32)
    return np.array(found)


def trainings(seed: int, rho: float) -> np.ndarray:
    """What each epoch of each training deviates from the truth (trainings, epochs), in deviations of the noise."""
    first, second = mulberry32(seed, 2 * TRAININGS * (1 + MOST)).reshape(-1, 2).T
    normal = (np.sqrt(-2 * np.log(1 - first)) * np.cos(2 * np.pi * second)).reshape(TRAININGS, 1 + MOST)
    return np.sqrt(rho) * normal[:, :1] + np.sqrt(1 - rho) * normal[:, 1:]


def test_the_expected_maximum_is_that_of_its_closed_forms_and_of_a_quadrature() -> None:
    root = np.sqrt(np.pi)
    for count, exact in enumerate((0, 1 / root, 1.5 / root, 6 / root**3 * np.arctan(np.sqrt(2))), 1):
        assert expected_maximum(count) == pytest.approx(exact, abs=1e-12)
    for count in (5, 20, 100, 150, 1000):
        assert expected_maximum(count) == pytest.approx(by_quadrature(count), abs=1e-7)
    with pytest.raises(InputError, match="at least 1"):
        expected_maximum(0)


def test_what_choosing_adds_is_what_a_simulation_finds() -> None:
    rng, rho, runs = np.random.default_rng(0), 0.6, 4000
    noise = np.sqrt(rho) * rng.standard_normal((runs, 1)) + np.sqrt(1 - rho) * rng.standard_normal((runs, 30))
    best = 100 * np.sqrt(RESULT * (1 - RESULT) / CLIPS) * noise.max(1)
    assert gain(RESULT, CLIPS, 30, rho) == pytest.approx(best.mean(), abs=4 * best.std() / np.sqrt(runs))
    assert gain(RESULT, CLIPS, 30, rho) > 10 * best.std() / np.sqrt(runs)


def test_what_no_training_has_is_told() -> None:
    for wrong in ((1.0, CLIPS, 10, 0.5), (RESULT, 10, 10, 0.5), (RESULT, CLIPS, 0, 0.5), (RESULT, CLIPS, 10, 1.0)):
        with pytest.raises(InputError, match="give a result between 0 and 1"):
            best_of_epochs(*wrong, alt="x")


def says_what_python_says(one: Shown, seed: int) -> None:
    """The sentence and the drawings belong to the sliders and to the seed."""
    values = fields(one)
    clips, epochs, rho = int(values["clips"]), int(values["epochs"]), values["correlation"]
    sigma = 100 * np.sqrt(RESULT * (1 - RESULT) / clips)
    drawn = trainings(seed, rho)[:, :epochs]
    best = drawn.max(1)
    said = one.page.locator(".fim-said").inner_text()
    patterns = (
        (r"one test result is ([\d.]+)", sigma),
        (rf"The best of {epochs} epochs is ([\d.]+) points", sigma * np.sqrt(1 - rho) * by_quadrature(epochs)),
        (r"([−\d.]+) in the mean of 400", sigma * best.mean()),
        (r"standard error ([\d.]+)", sigma * best.std(ddof=1) / np.sqrt(TRAININGS)),
        (r"is chosen, with ([−\d.]+)\.", sigma * best[0]),
        (r"epoch (\d+) is chosen", drawn[0].argmax() + 1),
    )
    for pattern, value in patterns:
        found = re.search(pattern, said)
        assert found, said
        assert number(found[1].rstrip(".")) == pytest.approx(value, abs=0.0051)
    line = re.findall(r"([\d.]+) ([\d.]+)", one.page.locator(".fim-formula div path.formula").get_attribute("d") or "")
    heights = float(line[0][1]) - np.array([float(y) for _, y in line])
    expected = np.array([by_quadrature(count) for count in (1, 10, epochs, MOST)])
    assert heights[[0, 9, epochs - 1, -1]] / heights[-1] == pytest.approx(expected / expected[-1], abs=0.01)
    point = one.page.locator(".fim-formula circle")
    place = [float(point.get_attribute(name) or "nan") for name in ("cx", "cy")]
    assert place == pytest.approx([float(x) for x in line[epochs - 1]], abs=0.06)
    course = one.page.locator(".fim-course div path.course").get_attribute("d") or ""
    heights = -np.array([float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", course)])
    assert len(heights) == epochs
    if epochs > 2:
        assert np.corrcoef(heights, drawn[0])[0, 1] > 0.999


@site
def test_the_formula_and_the_drawn_trainings_follow_the_sliders(shown: Open) -> None:  # noqa: F811
    one = shown(best_of_epochs(RESULT, CLIPS, 100, 0.9, alt="A curve").html)
    says_what_python_says(one, 1)
    one.page.get_by_role("button", name="Draw again").click()
    says_what_python_says(one, 2)
    press(one, "epochs", "Home")
    says_what_python_says(one, 2)
    press(one, "epochs", "End", "ArrowLeft")
    press(one, "correlation", "Home")
    assert (fields(one)["epochs"], fields(one)["correlation"]) == (MOST - 1, 0)
    drag(one, "clips", 0.25)
    assert fields(one)["clips"] < 0.7 * CLIPS
    says_what_python_says(one, 2)
    one.page.get_by_role("button", name="Draw again").press("Enter")
    says_what_python_says(one, 3)
    assert not one.wrong


@site
def test_without_scripts_the_formula_stands_in_a_table(shown: Open) -> None:  # noqa: F811
    one = shown(best_of_epochs(RESULT, CLIPS, 100, 0.9, alt="A curve").html, scripts=False)
    for line in one.page.locator(".fim-still tbody tr").all():
        count, *values = [number(text) for text in line.locator("th, td").all_inner_texts()]
        sigma = 100 * np.sqrt(RESULT * (1 - RESULT) / CLIPS)
        expected = [sigma * np.sqrt(1 - rho) * by_quadrature(int(count)) for rho in (0, 0.5, 0.8, 0.9, 0.95)]
        assert values == pytest.approx(expected, abs=0.0051)


PIECES: dict[str, Callable[[], str]] = {
    "imbalance": lambda: imbalance(DFEW, alt="Seven recalls").html,
    "logits": lambda: logits_and_losses((0, 2, 0, 0, 0, 0, -2), alt="Seven logits").html,
    "best_of_epochs": lambda: best_of_epochs(RESULT, CLIPS, 100, 0.9, alt="A curve").html,
}


@site
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", PIECES)
def test_light_and_dark_wide_and_narrow(name: str, width: int, scheme: str, shown: Open) -> None:  # noqa: F811
    piece = PIECES[name]()
    one = shown(piece, piece, scheme=scheme, width=width)
    composed(one, width, scheme)
    assert not one.wrong


@site
@pytest.mark.parametrize("name", PIECES)
def test_two_on_a_page_do_not_know_of_each_other(name: str, shown: Open) -> None:  # noqa: F811
    one = shown(PIECES[name](), PIECES[name](), player(np.zeros((2, 3, 8, 8), np.uint8), alt="Black").html)
    before = [one.page.locator(".fim-said").nth(k).inner_text() for k in range(2)]
    one.page.locator(one.root(1)).locator("input").first.press("End")
    after = [one.page.locator(".fim-said").nth(k).inner_text() for k in range(2)]
    assert before[0] == before[1] == after[0] != after[1]
    icon = one.page.locator(".fim-player .fim-icon svg").first.bounding_box()
    assert icon and icon["width"] == icon["height"] == 20, "its styles leave others alone"
    assert not one.wrong


@pytest.mark.parametrize("name", PIECES)
def test_it_is_small_and_asks_for_nothing(name: str) -> None:
    piece = PIECES[name]()
    assert len(piece.encode()) <= 400_000
    assert not re.findall(r"""(?:src|href|url)\s*[=(]""", piece)
    assert set(re.findall(r"https?://[^\"'\s]+", piece)) <= {"http://www.w3.org/2000/svg"}
    assert piece == PIECES[name]()
