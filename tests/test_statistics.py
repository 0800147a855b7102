"""Intervals and paired tests, against loops and against what chance alone gives."""

import math
from itertools import product

import numpy as np
import pytest

from dferlib import InputError
from dferlib.evidence.statistics import compare, interval
from dferlib.training.evaluation import Predictions
from dferlib.training.metrics import uar, war


def run(rng, people=20, each=14, skill=0.5, spread=0.0, classes=7, answers=None):
    """A model that is right with a probability of `skill`, which differs from person to person by `spread`."""
    labels = np.tile(np.arange(classes), people * each // classes)
    groups = np.repeat([f"person {k}" for k in range(people)], each)
    right = rng.random(len(labels)) < np.repeat(skill + spread * rng.standard_normal(people), each)
    predicted = np.where(right, labels, (labels + rng.integers(1, classes, len(labels))) % classes)
    ids = np.array([f"clip {k}" for k in range(len(labels))])
    return Predictions(ids, labels, groups, np.eye(classes, dtype=np.float32)[predicted], tuple("abcdefg"[:classes]))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "metric"), [("uar", uar), ("war", war)])
def test_the_interval_is_that_of_people_drawn_again_one_by_one(name, metric):
    rng = np.random.default_rng(0)
    found = run(rng, people=12, spread=0.2)
    draws = []
    for _ in range(1500):
        chosen = rng.integers(12, size=12)
        rows = np.concatenate([np.flatnonzero(found.groups == f"person {k}") for k in chosen])
        draws.append(metric(found.labels[rows], found.predicted[rows], 7))
    low, high = np.quantile(draws, [0.025, 0.975])
    got = interval(found, name)
    assert got.value == pytest.approx(metric(found.labels, found.predicted, 7))
    assert (got.low, got.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


def test_people_who_differ_make_the_interval_wider_than_clips_alone_would():
    rng = np.random.default_rng(1)
    alike, unlike = (run(rng, people=40, each=28, spread=spread) for spread in (0.0, 0.25))
    width = [found.high - found.low for found in map(interval, (alike, unlike))]
    assert width[1] > 1.8 * width[0]
    assert width[0] == pytest.approx(2 * 1.96 * math.sqrt(0.25 / (40 * 28)), rel=0.3)


def test_seeds_that_differ_make_the_interval_wider():
    rng = np.random.default_rng(2)
    steady = [run(rng, skill=0.5) for _ in range(5)]
    moody = [run(rng, skill=skill) for skill in (0.2, 0.35, 0.5, 0.65, 0.8)]
    one, other = interval(steady), interval(moody)
    assert other.high - other.low > 3 * (one.high - one.low)
    assert other.value == pytest.approx(np.mean([uar(p.labels, p.predicted, 7) for p in moody]))


@pytest.mark.slow
def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng, held = np.random.default_rng(3), 0
    for _ in range(150):
        found = interval(run(rng, people=30, skill=0.6, spread=0.1), "war")
        held += found.low <= 0.6 <= found.high
    assert 0.88 <= held / 150 <= 0.99


def test_a_paired_difference_is_surer_than_two_intervals():
    rng = np.random.default_rng(4)
    first = run(rng, people=30, skill=0.6, spread=0.25)
    logits = first.logits.copy()
    spoilt = rng.random(len(logits)) < 0.08
    logits[spoilt] = np.roll(logits[spoilt], 1, axis=1)
    second = Predictions(first.ids, first.labels, first.groups, logits, first.classes)
    found = compare(first, second)
    assert found.uar.value == pytest.approx(
        uar(first.labels, first.predicted, 7) - uar(second.labels, second.predicted, 7)
    )
    assert 0 < found.uar.low < found.uar.value < found.uar.high and found.p_uar < 0.01 and found.p_war < 0.01
    alone = interval(first)
    assert found.uar.high - found.uar.low < 0.7 * (alone.high - alone.low)
    back = compare(second, first)
    assert back.uar.value == -found.uar.value and back.p_uar == found.p_uar and back.p_war == found.p_war


def test_the_swapping_test_is_all_swaps_counted_out():
    rng = np.random.default_rng(5)
    first, second = run(rng, people=8, skill=0.7), run(rng, people=8, skill=0.55)
    gaps = []
    for swaps in product([False, True], repeat=8):
        rows = np.repeat(swaps, 14)
        one = np.where(rows, second.predicted, first.predicted)
        other = np.where(rows, first.predicted, second.predicted)
        gaps.append(abs(uar(first.labels, one, 7) - uar(first.labels, other, 7)))
    exact = np.mean(np.array(gaps) >= gaps[0] - 1e-12)
    assert compare(first, second).p_uar == pytest.approx(exact, abs=0.02)


@pytest.mark.slow
def test_two_that_differ_by_chance_are_told_apart_no_oftener_than_chance():
    rng, small = np.random.default_rng(6), []
    for _ in range(120):
        found = compare(run(rng, people=15), run(rng, people=15))
        small.append((found.p_uar < 0.1, found.p_war < 0.1, not found.uar.low <= 0 <= found.uar.high))
    for share, most in zip(np.mean(small, 0), (0.19, 0.19, 0.15), strict=True):
        assert share <= most


def test_mcnemar_is_the_binomial_of_the_clips_that_only_one_has_right():
    rng = np.random.default_rng(7)
    first, second = run(rng, skill=0.7), run(rng, skill=0.6)
    better = sum((first.predicted == first.labels) & (second.predicted != second.labels))
    worse = sum((first.predicted != first.labels) & (second.predicted == second.labels))
    n, k = int(better + worse), int(min(better, worse))
    tail = sum(math.comb(n, i) for i in range(k + 1)) / 2**n
    assert compare(first, second).p_war == pytest.approx(min(1, 2 * tail))
    assert compare(first, first).p_war == 1 and compare(first, first).p_uar == 1
    assert math.isnan(compare([first, second], [second, first]).p_war)


def test_a_class_that_a_draw_misses_is_left_out():
    rng = np.random.default_rng(8)
    found = run(rng, people=7, each=1)  # one clip of each class, each of another person
    got = interval(found)
    assert 0 <= got.low <= got.value <= got.high <= 1


def test_runs_on_other_clips_and_unequal_numbers_are_refused():
    rng = np.random.default_rng(9)
    with pytest.raises(InputError, match="different clips"):
        compare(run(rng), run(rng, people=10))
    with pytest.raises(InputError, match="different clips"):
        interval([run(rng), run(rng, people=10)])
    with pytest.raises(InputError, match="2 runs against 1"):
        compare([run(rng), run(rng)], run(rng))
