"""Splits, folds, class frequencies, and the tasks that only time can solve."""

import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import cross_val_score

from dferlib import EMOTIONS, InputError
from dferlib.data.sampling import segment_indices
from dferlib.makefaces.actions import UNITS
from dferlib.makefaces.knobs import DIFFICULTIES, Knobs
from dferlib.makefaces.performance import DYNAMICS, ONSET, perform, perform_dynamics
from dferlib.makefaces.protocol import CLIPS_PER_PERSON, FOLDS, PRIORS, SPLITS, TASKS, Version, fold_split


@pytest.mark.parametrize("size", ["mini", "book", "paper"])
@pytest.mark.parametrize("split", SPLITS)
def test_balanced_means_equal(size: str, split: str) -> None:
    counts = np.bincount(Version(size).labels(split), minlength=7)
    assert counts.min() == counts.max() == CLIPS_PER_PERSON * Version(size).people(split) / 7


@pytest.mark.parametrize("task", list(TASKS))
def test_every_task_is_as_balanced_as_whole_numbers_allow(task: str) -> None:
    counts = np.bincount(Version("book", task=task).labels("train"))
    assert len(counts) == len(TASKS[task])
    assert counts.max() - counts.min() <= 1


def test_the_prior_of_dfew_is_kept_to_the_clip() -> None:
    """Published shares of the classes, in the order of EMOTIONS."""
    published = {
        "happiness": 0.209,
        "sadness": 0.162,
        "neutral": 0.228,
        "anger": 0.186,
        "surprise": 0.126,
        "disgust": 0.012,
        "fear": 0.077,
    }
    labels = Version("paper", prior="dfew").labels("train")
    shares = np.bincount(labels, minlength=7) / len(labels)
    for emotion, share in zip(EMOTIONS, shares, strict=True):
        assert abs(share - published[emotion]) < 1.5 / len(labels)
    assert np.abs(np.diff(np.flatnonzero(labels == 0))).max() < 100, "classes are spread over the people"


def test_sizes_are_as_stated() -> None:
    clips = {s: sum(CLIPS_PER_PERSON * Version(s).people(split) for split in SPLITS) for s in ("mini", "book", "paper")}
    assert clips == {"mini": 252, "book": 2212, "paper": 12012}
    assert Version("book").people("test") * CLIPS_PER_PERSON >= 1000


@settings(max_examples=20, deadline=None)
@given(fold=st.integers(1, FOLDS), size=st.sampled_from(["mini", "book", "paper"]))
def test_a_fold_shares_out_every_person_once(fold: int, size: str) -> None:
    version = Version(size)
    shared = fold_split(version, fold)
    people = [person for split in SPLITS for person in shared[split]]
    assert sorted(people) == sorted((s, p) for s in SPLITS for p in range(version.people(s)))
    assert len(shared["train"]) > 2 * len(shared["test"])
    assert len(shared["test"]) >= len(shared["val"]) > 0
    labels = {split: version.labels(split) for split in SPLITS}
    for split in SPLITS:
        counts = Counter(int(labels[s][CLIPS_PER_PERSON * p + c]) for s, p in shared[split] for c in range(4))
        assert len(set(counts.values())) == 1, "each part of a fold is balanced"


def test_each_person_is_tested_in_exactly_one_fold() -> None:
    tested = Counter(who for fold in range(1, FOLDS + 1) for who in fold_split(Version("book"), fold)["test"])
    assert set(tested.values()) == {1}
    assert len(tested) == 252 + 49 + 252


def test_bad_versions_are_told() -> None:
    for wrong, message in (
        ({"size": "huge"}, "choose one of mini, book, paper"),
        ({"task": "moods"}, "choose one of emotions"),
        ({"prior": "flat"}, "choose one of balanced, dfew"),
        ({"task": "onset", "prior": "dfew"}, "the prior 'dfew' is for 7 classes"),
    ):
        with pytest.raises(InputError, match=message):
            Version(**wrong)
    with pytest.raises(InputError, match="fold is 6: choose one of 1 to 5"):
        fold_split(Version(), 6)


@settings(max_examples=30, deadline=None)
@given(
    size=st.sampled_from(["mini", "paper"]),
    seed=st.integers(0, 99),
    task=st.sampled_from(list(TASKS)),
    difficulty=st.sampled_from(list(DIFFICULTIES)),
)
def test_a_version_survives_the_way_to_another_process(size: str, seed: int, task: str, difficulty: str) -> None:
    version = Version(size, seed, task, knobs=DIFFICULTIES[difficulty])
    assert pickle.loads(pickle.dumps(version)) == version
    assert version.difficulty == difficulty


def test_versions_have_folders_of_their_own() -> None:
    ways = [Version(), Version(seed=1), Version(task="order"), Version(prior="dfew"), Version("mini")]
    ways += [Version(knobs=DIFFICULTIES["hard"]), Version(knobs=Knobs(hand=0.011)), Version(knobs=Knobs(hand=0.012))]
    assert len({version.name for version in ways}) == len(ways)
    assert PRIORS["dfew"] is not None


# two expressions in one clip -----------------------------------------------------------------------------------------


def test_the_later_of_two_expressions_names_the_clip() -> None:
    knobs = Knobs(carry_over=1.0)
    for seed in range(100):
        done = perform(EMOTIONS[seed % 7], 48, np.random.default_rng(seed), knobs)
        if EMOTIONS[seed % 7] == "neutral":
            assert not done.earlier_emotion
            continue
        assert done.earlier_emotion in set(EMOTIONS) - {"neutral", EMOTIONS[seed % 7]}
        assert done.earlier.argmax() < done.expression.argmax()
        assert done.earlier[0] > 0.1, "the clip begins with the remainder"


@pytest.mark.slow
def test_the_share_of_clips_with_two_expressions_is_as_asked() -> None:
    knobs = Knobs(carry_over=0.3)
    two = [perform("anger", 4, np.random.default_rng(seed), knobs).earlier_emotion != "" for seed in range(2000)]
    assert abs(np.mean(two) - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 2000)


def test_contempt_is_on_one_side() -> None:
    done = perform("contempt", 8, np.random.default_rng(1))
    lopsided = {name for name, lean in zip(UNITS, done.asymmetry, strict=True) if abs(lean) > 0.9}
    assert lopsided == {"AU10", "AU12", "AU14"}
    assert len({float(done.asymmetry[UNITS.index(name)]) for name in lopsided}) == 1
    sides = {float(perform("contempt", 2, np.random.default_rng(s)).asymmetry[UNITS.index("AU14")]) for s in range(9)}
    assert len(sides) == 2, "left in some, right in others"


# tasks that only time can solve --------------------------------------------------------------------------------------


def drawn(task: str, count: int, frames: int = 12, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Action units (N, F, U) and labels of clips that are drawn independently of each other."""
    labels = np.arange(count) % 2
    clips = [
        perform_dynamics(task, int(y), frames, np.random.default_rng([first, n]), DIFFICULTIES["standard"]).units
        for n, y in enumerate(labels)
    ]
    return np.stack(clips), labels


def accuracy(features: np.ndarray, labels: np.ndarray) -> float:
    model = ExtraTreesClassifier(40, min_samples_leaf=4, max_features=0.4, random_state=0)
    return float(cross_val_score(model, features.reshape(len(labels), -1), labels, cv=3).mean())


each_task = pytest.mark.parametrize(
    "task", ["order", *(pytest.param(task, marks=pytest.mark.thorough) for task in DYNAMICS if task != "order")]
)


@pytest.mark.slow
@each_task
def test_time_alone_tells_the_classes_apart(task: str) -> None:
    """On the true action units: a frame, and frames in any order, are at chance; the clip in order is not.

    Images are made from these units and from things that do not depend on the class, so that what the units cannot
    tell no model can see.
    """
    units, labels = drawn(task, 1200)
    units = units[..., units.std((0, 1)) > 0.05]  # those that the expressions move
    chance = 3 * np.sqrt(0.25 / len(labels))
    for frame in (0, 6):
        assert abs(accuracy(units[:, frame], labels) - 0.5) < chance, f"frame {frame} gives the class away"
    order = np.random.default_rng(0).random(units.shape[:2]).argsort(1)
    shuffled = np.take_along_axis(units, order[..., None], 1)
    assert abs(accuracy(shuffled, labels) - 0.5) < chance
    seen = units[:, segment_indices(12, 8)]  # the frames that a model of eight frames sees
    assert abs(accuracy(np.sort(seen, axis=1), labels) - 0.5) < chance
    in_order = np.concatenate([units, np.diff(units, axis=1, append=0)], -1)
    assert accuracy(in_order, labels) > 0.8


@pytest.mark.slow
@each_task
def test_every_unit_has_the_same_values_in_both_classes_at_every_moment(task: str) -> None:
    units, labels = drawn(task, 2000, first=1)
    moving = units.std((0, 1)) > 0.02
    p = [
        ks_2samp(units[labels == 0, t, u], units[labels == 1, t, u]).pvalue
        for t in (0, 6, 11)
        for u in moving.nonzero()[0]
    ]
    assert min(p) > 0.01 / len(p), "too unlike for two samples of one distribution"


def test_the_other_class_is_time_run_backwards() -> None:
    """The same draws give phases that mirror each other: what rises in one falls in the other."""
    rising = perform_dynamics("direction", 0, 200, np.random.default_rng(3))
    falling = perform_dynamics("direction", 1, 200, np.random.default_rng(3))
    assert np.median(np.diff(rising.expression)) > 0 > np.median(np.diff(falling.expression))
    assert rising.expression[0] == pytest.approx(falling.expression[0], abs=0.05), "both enter at the same moment"
    assert (rising.phase == ONSET).mean() > 0.7 > 0.3 > (falling.phase == ONSET).mean()
