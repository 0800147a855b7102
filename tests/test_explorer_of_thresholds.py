"""Threshold against coverage: what is answered, what of it is right, and how sure that is, counted clip by clip."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from reader import Open, composed, drag, number, press
from scipy import stats
from test_player import Shown, shown  # noqa: F401
from test_site import browser  # noqa: F401

from dferlib.book.answering import THRESHOLDS, Answers, answers_of, keep, threshold_explorer
from dferlib.errors import InputError
from dferlib.evidence.results import load_runs

RESULTS = Path(__file__).parents[1] / "results"
site = pytest.mark.site


def made_up(clips: int, people: int, part: float, seed: int) -> Answers:
    """Answers by chance; the surer ones are right more often."""
    rng = np.random.default_rng(seed)
    confidence = 0.2 + 0.75 * rng.random(clips)
    return Answers(confidence, rng.random(clips) < part * confidence, rng.integers(0, people, clips).astype(str))


SHOWN = {
    "first": {"rendered": made_up(400, 30, 1.0, 0), "photographs": made_up(60, 30, 0.7, 1)},
    "second*": {"rendered": replace(made_up(300, 20, 0.9, 2), is_waiting=True)},
}
MODELS = {"first": SHOWN["first"], "second": SHOWN["second*"]}


def by_loops(answers: Answers, threshold: float) -> tuple[int, int, float]:
    """How many are answered, how many of them are right, and their mean confidence."""
    count = right = 0
    claimed = 0.0
    for confidence, hit in zip(answers.confidence, answers.right, strict=True):
        if confidence > threshold:
            count, right, claimed = count + 1, right + int(hit), claimed + confidence
    return count, right, claimed / count if count else float("nan")


def test_what_a_threshold_leaves_is_counted_clip_by_clip() -> None:
    answers = MODELS["first"]["photographs"]
    kept = keep(answers)
    for k, threshold in enumerate(THRESHOLDS):
        count, right, claimed = by_loops(answers, threshold)
        assert (kept.answered[k], kept.right[k]) == (count, right)
        assert kept.claimed[k] == pytest.approx(claimed, nan_ok=True)
        assert np.isnan(kept.low[k]) == np.isnan(kept.high[k]) == (count == 0)
        if count:
            assert 0 <= kept.low[k] <= right / count + 1e-12 and right / count - 1e-12 <= kept.high[k] <= 1


def test_the_interval_is_that_of_people_who_are_drawn_again() -> None:
    answers = made_up(900, 40, 0.9, 5)
    kept = keep(answers, np.array([0.5]))
    rng, found = np.random.default_rng(9), []
    clips = {who: np.flatnonzero(answers.people == who) for who in np.unique(answers.people)}
    for _ in range(3000):
        some = np.concatenate([clips[who] for who in rng.choice(list(clips), len(clips))])
        found.append(answers.right[some][answers.confidence[some] > 0.5].mean())
    assert (kept.low[0], kept.high[0]) == pytest.approx(np.quantile(found, [0.025, 0.975]), abs=0.006)


def test_where_all_are_right_or_none_the_interval_is_exact_for_so_many_people() -> None:
    people = np.array(["a", "a", "b", "c", "d"])
    sure = np.array([0.9, 0.9, 0.9, 0.9, 0.2])
    for right in (True, False):
        kept = keep(Answers(sure, np.full(5, right), people), np.array([0.5]))
        exact = stats.binomtest(3 * right, 3).proportion_ci(0.95, method="exact")
        assert (kept.low[0], kept.high[0]) == pytest.approx((exact.low, exact.high))


def test_confidences_of_a_record_are_softmaxes_at_its_temperature() -> None:
    run = next(run for run in load_runs(RESULTS / "stt_table1") if run.name == "stt-seed0")
    history = run.record["history"]
    temperature = history["epochs"][history["best_epoch"] - 1]["temperature"]
    told, answers = run.predictions(), Answers.of_run(run)
    expected = (torch.from_numpy(told.logits).double() / temperature).softmax(1).max(1).values.numpy()
    assert temperature != 1 and answers.confidence == pytest.approx(expected)
    assert answers.right.mean() == pytest.approx(run.metrics["war"])
    assert sorted(set(answers.people)) == sorted(set(told.groups))


def test_models_that_saw_photographs_are_found_with_their_records() -> None:
    found = answers_of(root=RESULTS)
    files = sorted((RESULTS / "real_faces").glob("*.json"))
    late = (RESULTS / "waiting.txt").read_text().split()
    assert len(found) == len(files)
    for mine, file in zip(found.values(), files, strict=True):
        record = json.loads(file.read_text())
        assert mine["rendered"].is_waiting == (file.stem.split("-", 1)[0] in late)
        run = json.loads(
            (RESULTS / file.stem.split("-", 1)[0] / f"{file.stem.split('-', 1)[1]}-seed0.json").read_text()
        )
        assert mine["rendered"].right.mean() == pytest.approx(run["metrics"]["war"])
        box = record["ways"]["box"]
        if "confidences" in box:
            sure = mine["photographs"].confidence >= box["sure"]["confidence"]
            assert sure.mean() == pytest.approx(box["sure"]["share"])
            assert mine["photographs"].right[sure].mean() == pytest.approx(box["sure"]["right"])
            assert len(set(mine["photographs"].people)) == record["people"]
    assert "photographs" in found["STT"], "the record has its confidences"


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(InputError, match="no answers of third"):
        threshold_explorer(MODELS, model="third", alt="x")
    with pytest.raises(InputError, match=r"threshold 1\.5"):
        threshold_explorer(MODELS, 1.5, alt="x")
    with pytest.raises(InputError, match="no answers of any model"):
        threshold_explorer({}, alt="x")


def agrees(one: Shown, model: str, threshold: float) -> None:
    """Sentence, table and drawings belong to the model and the threshold."""
    said = one.page.locator(".fim-said").inner_text()
    assert said.startswith(f"{model}, threshold {threshold:.2f}.")
    for name, mine in SHOWN.items():
        row = one.page.locator(".fim-all-models tbody tr", has_text=name)
        assert ("chosen" in (row.get_attribute("class") or "")) == (name == model)
        cells = row.locator("td").all_inner_texts()
        for k, source in enumerate(("rendered", "photographs")):
            if source not in mine:
                assert cells[2 * k : 2 * k + 2] == ["", ""]
                continue
            count, right, claimed = by_loops(mine[source], threshold)
            assert number(cells[2 * k]) == pytest.approx(100 * count / len(mine[source].right), abs=0.51)
            assert not count or number(cells[2 * k + 1]) == pytest.approx(100 * right / count, abs=0.51)
            if name == model:
                part = said.split("photographs" if k else "rendered test clips")[1]
                assert f"{right} of {count} answers are right" in part
                assert number(part.split("It claims")[1]) == pytest.approx(100 * claimed, abs=0.051)
                dots = one.page.locator(f"[data-source={source}] circle")
                y = {dot.get_attribute("class"): float(dot.get_attribute("cy") or "nan") for dot in dots.all()}
                zero, whole = (
                    float(
                        (one.page.locator(f"[data-source={source}] path.grid").nth(n).get_attribute("d") or "")
                        .split(" ")[1]
                        .split("H")[0]
                    )
                    for n in (0, 4)
                )
                assert (zero - y["right"]) / (zero - whole) == pytest.approx(right / count, abs=0.001)
                answered = count / len(mine[source].right)
                assert (zero - y["answered"]) / (zero - whole) == pytest.approx(answered, abs=0.001)


@site
def test_everything_follows_the_threshold(shown: Open) -> None:  # noqa: F811
    one = shown(threshold_explorer(MODELS, 0.5, alt="Curves").html)
    agrees(one, "first", 0.5)
    press(one, "threshold", "ArrowRight", "ArrowRight")
    agrees(one, "first", 0.52)
    drag(one, "threshold", 0.3)
    agrees(one, "first", one.page.evaluate("document.querySelector('.fim').fim.threshold"))
    box = one.page.locator("[data-source=rendered] svg").bounding_box()
    assert box
    one.page.mouse.click(box["x"] + box["width"] * (34 + 0.7 * 296) / 340, box["y"] + box["height"] / 2)
    agrees(one, "first", 0.7)
    one.page.locator("select").select_option("second*")
    agrees(one, "second*", 0.7)
    assert "Nobody has shown it any" in one.page.locator("[data-source=photographs]").inner_text()
    press(one, "threshold", "End")
    assert "answers none" in one.page.locator(".fim-said").inner_text()
    assert not one.wrong


@site
def test_without_scripts_three_thresholds_stand_in_a_table(shown: Open) -> None:  # noqa: F811
    one = shown(threshold_explorer(MODELS, alt="Curves").html, scripts=False)
    rows = one.page.locator(".fim-still tbody tr")
    listed = [(name, source) for name, mine in SHOWN.items() for source in mine]
    assert rows.count() == len(listed)
    for k, (name, source) in enumerate(listed):
        answers = SHOWN[name][source]
        assert rows.nth(k).locator("th").inner_text().startswith(name)
        cells = rows.nth(k).locator("td").all_inner_texts()
        for n, threshold in enumerate((0.0, 0.5, 0.9)):
            count, right, _ = by_loops(answers, threshold)
            assert number(cells[2 * n]) == pytest.approx(100 * count / len(answers.right), abs=0.51)
            assert number(cells[2 * n + 1]) == pytest.approx(100 * right / count, abs=0.51)
    assert "wait to be made again" in one.page.locator(".fim-note:visible").inner_text()


@site
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_light_and_dark_wide_and_narrow(width: int, scheme: str, shown: Open) -> None:  # noqa: F811
    piece = threshold_explorer(MODELS, alt="Curves").html
    one = shown(piece, piece, scheme=scheme, width=width)
    composed(one, width, scheme)
    one.page.locator("[data-key=threshold]").first.press("End")
    found = one.page.evaluate("[...document.querySelectorAll('.fim')].map(one => one.fim.threshold)")
    assert found == [0.99, 0.5], "two do not know of each other"
    assert not one.wrong


def test_it_is_small_and_asks_for_nothing() -> None:
    piece = threshold_explorer(MODELS, alt="Curves").html
    assert len(piece.encode()) <= 60_000
    assert not re.findall(r"""(?:src|href|url)\s*[=(]""", piece)
    assert set(re.findall(r"https?://[^\"'\s]+", piece)) <= {"http://www.w3.org/2000/svg"}
    assert piece == threshold_explorer(MODELS, alt="Curves").html
