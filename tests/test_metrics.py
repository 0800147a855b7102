import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dferlib import InputError
from dferlib.training.metrics import calibration_error, confusion, f1, per_class_recall, summary, uar, war


@st.composite
def judged(draw):
    classes = draw(st.integers(2, 7))
    count = draw(st.integers(1, 60))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count))
    predicted = draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count))
    return labels, predicted, classes


@pytest.mark.slow
@given(judged())
def test_metrics_are_what_loops_count(case):
    labels, predicted, classes = case
    table = [[0] * classes for _ in range(classes)]
    for true, guess in zip(labels, predicted, strict=True):
        table[true][guess] += 1
    recalls = [table[c][c] / sum(table[c]) if sum(table[c]) else math.nan for c in range(classes)]
    present = [r for r in recalls if not math.isnan(r)]
    assert confusion(labels, predicted, classes).tolist() == table
    np.testing.assert_allclose(per_class_recall(labels, predicted, classes), recalls, rtol=1e-15)
    assert uar(labels, predicted, classes) == pytest.approx(sum(present) / len(present), rel=1e-14)
    hits = sum(true == guess for true, guess in zip(labels, predicted, strict=True))
    assert war(labels, predicted, classes) == pytest.approx(hits / len(labels), rel=1e-14)


@given(st.lists(st.integers(0, 6), min_size=3, max_size=3), st.integers(1, 9))
def test_uar_is_war_when_all_classes_are_equally_frequent(guesses, times):
    labels, predicted = [0, 1, 2] * times, guesses * times
    assert uar(labels, predicted, 7) == pytest.approx(war(labels, predicted, 7))


def test_an_absent_class_is_nan_and_left_out_of_uar():
    recalls = per_class_recall([0, 0, 2], [0, 1, 2], 3)
    assert recalls[[0, 2]].tolist() == [0.5, 1.0] and np.isnan(recalls[1])
    assert uar([0, 0, 2], [0, 1, 2], 3) == 0.75


def test_summary_holds_everything_in_plain_numbers():
    logits = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 3.0], [9.0, 0.0, 1.0]], dtype=np.float32)
    assert summary([0, 2, 0], logits) == {
        "clips": 3,
        "uar": 0.5,
        "war": pytest.approx(2 / 3),
        "recalls": [1.0, None, 0.0],  # of the two equal logits the first counts
        "confusion": [[2, 0, 0], [0, 0, 0], [0, 1, 0]],
    }


@given(judged())
def test_f1_is_what_loops_count(case):
    labels, predicted, classes = case
    for k, found in enumerate(f1(labels, predicted, classes)):
        hits = sum(true == guess == k for true, guess in zip(labels, predicted, strict=True))
        if k not in labels:
            assert math.isnan(found)
        else:
            assert found == pytest.approx(2 * hits / (labels.count(k) + predicted.count(k)))


@given(st.integers(1, 80), st.integers(2, 7), st.integers(0, 99))
def test_the_calibration_error_is_what_loops_count(count, classes, seed):
    rng = np.random.default_rng(seed)
    labels, logits = rng.integers(classes, size=count), rng.normal(size=(count, classes)) * 3
    sums = [[0, 0.0, 0.0] for _ in range(15)]
    for label, row in zip(labels, logits, strict=True):
        p = np.exp(row) / np.exp(row).sum()
        part = sums[min(int(p.max() * 15), 14)]
        part[0] += 1
        part[1] += p.max()
        part[2] += int(p.argmax()) == label
    expected = sum(abs(sure - right) for _, sure, right in sums) / count
    assert calibration_error(labels, logits) == pytest.approx(expected, abs=1e-6)


def test_sure_and_right_is_calibrated_and_sure_and_wrong_is_not():
    logits = np.eye(3) * 100
    assert calibration_error([0, 1, 2], logits) == pytest.approx(0, abs=1e-6)
    assert calibration_error([1, 2, 0], logits) == pytest.approx(1, abs=1e-6)


def test_labels_of_other_classes_and_unequal_lengths_are_refused():
    with pytest.raises(InputError, match="outside 0 to 6"):
        confusion([0, 7], [0, 0], 7)
    with pytest.raises(InputError, match="one for each clip"):
        uar([0, 1], [0], 7)
