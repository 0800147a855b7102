"""What features know: probes, distances and layouts against loops and closed forms, and the record that is whole."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.linear_model import Ridge
from sklearn.manifold import trustworthiness

from dferlib import EMOTIONS
from dferlib.book.knowing import KnownFeatures, leaf_through
from dferlib.errors import InputError
from dferlib.evidence.class_distances import class_ratio, silhouette
from dferlib.evidence.drawn import mean_of, ratio_of_sums
from dferlib.evidence.explain import embed_in_plane
from dferlib.evidence.linear_probes import (
    SHOWN_UNITS,
    TRAITS,
    explained,
    read_linearly,
    shuffled_people,
    squares,
    traits_of,
)
from dferlib.evidence.planes import clumping, nearest, same_class, shared_neighbours
from dferlib.makefaces import UNITS, MakeFaces

PEOPLE, EACH = 30, 4
GROUPS = np.repeat([f"p{k:02d}" for k in range(PEOPLE)], EACH)
LABELS = np.arange(PEOPLE * EACH) % 3


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_trait_that_lies_in_the_features_is_read_and_one_that_does_not_is_not(rng: np.random.Generator) -> None:
    features = rng.normal(size=(len(GROUPS), 8))
    traits = np.stack([features @ rng.normal(size=8), rng.normal(size=len(GROUPS))], 1)
    said, guessed = read_linearly(features, traits, GROUPS)
    missed, spread = squares(said, traits, GROUPS), squares(guessed, traits, GROUPS)
    assert explained(missed[:, 0], spread[:, 0]).value > 0.99
    assert explained(missed[:, 1], spread[:, 1]).value < 0.15
    assert missed[3, 0] == pytest.approx(sum((said[k, 0] - traits[k, 0]) ** 2 for k in range(12, 16)))


def test_nobody_is_known_by_heart(rng: np.random.Generator) -> None:
    """Features that tell people apart and nothing else say nothing about a trait of other people."""
    features = np.repeat(np.eye(PEOPLE), EACH, 0)
    traits = np.repeat(rng.normal(size=(PEOPLE, 1)), EACH, 0)
    by_heart = Ridge(alpha=0.1).fit(features, traits)
    assert by_heart.score(features, traits) > 0.9
    said, guessed = read_linearly(features, traits, GROUPS)
    assert explained(squares(said, traits, GROUPS), squares(guessed, traits, GROUPS)).value < 0.05
    for group in (GROUPS[:5], GROUPS[:20]):
        with pytest.raises(InputError, match="too few"):
            read_linearly(features[: len(group)], traits[: len(group)], group)


def test_shuffled_people_keep_their_clips_together(rng: np.random.Generator) -> None:
    traits = np.arange(PEOPLE * EACH * 2.0).reshape(-1, 2)
    mixed = shuffled_people(traits, GROUPS)
    blocks = {tuple(map(tuple, block)) for block in mixed.reshape(PEOPLE, EACH, 2)}
    assert blocks == {tuple(map(tuple, block)) for block in traits.reshape(PEOPLE, EACH, 2)}
    assert (mixed != traits).any(1).mean() > 0.5


def test_intervals_are_those_of_the_bootstrap(rng: np.random.Generator) -> None:
    above, below = rng.random(PEOPLE), 1 + rng.random(PEOPLE)
    ours = ratio_of_sums(above, below).interval()
    how = {"paired": True, "vectorized": False, "method": "percentile", "n_resamples": 5000, "rng": 1}
    theirs = bootstrap((above, below), lambda a, b: a.sum() / b.sum(), **how).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)
    assert ours.value == above.sum() / below.sum()


@pytest.mark.parametrize("only", [None, 1])
def test_the_ratio_of_distances_is_that_of_loops(rng: np.random.Generator, only: int | None) -> None:
    features = rng.normal(size=(len(GROUPS), 5)) + LABELS[:, None]
    apart: dict[bool, list[float]] = {True: [], False: []}
    for i in range(len(GROUPS)):
        for j in range(len(GROUPS)):
            if GROUPS[i] != GROUPS[j] and (only is None or LABELS[i] == only):
                apart[bool(LABELS[i] == LABELS[j])].append(float(np.linalg.norm(features[i] - features[j])))
    found = class_ratio(features, LABELS, GROUPS, only)
    assert found.value == pytest.approx(np.mean(apart[False]) / np.mean(apart[True]))
    assert found.interval().low < found.value < found.interval().high
    assert class_ratio(7 * features, LABELS, GROUPS, only).value == pytest.approx(found.value)


def test_the_silhouette_is_that_of_loops_and_differences_are_paired(rng: np.random.Generator) -> None:
    features = rng.normal(size=(len(GROUPS), 5)) + LABELS[:, None]
    each = []
    for i in range(len(GROUPS)):
        far = [np.linalg.norm(features - features[i], axis=1)[c == LABELS].sum() for c in range(3)]
        counts = [(c == LABELS).sum() for c in range(3)]
        own = far[LABELS[i]] / (counts[LABELS[i]] - 1)
        other = min(far[c] / counts[c] for c in range(3) if c != LABELS[i])
        each.append((other - own) / max(own, other))
    assert silhouette(features, LABELS, GROUPS).value == pytest.approx(np.mean(each))
    assert silhouette(features, LABELS, GROUPS, 2).value == pytest.approx(np.mean(np.array(each)[LABELS == 2]))
    one, more = (silhouette(features + shift * LABELS[:, None], LABELS, GROUPS) for shift in (0, 0.5))
    gap = (more - one).interval()
    assert gap.high - gap.low < one.interval().high - one.interval().low
    assert mean_of([one, more]).value == pytest.approx((one.value + more.value) / 2)


def test_neighbours_are_those_of_loops(rng: np.random.Generator) -> None:
    one, other = rng.normal(size=(40, 6)), rng.normal(size=(40, 2))
    sets = [
        [set(sorted(range(40), key=lambda j: np.linalg.norm(s[j] - s[i]))[1:6]) for i in range(40)]
        for s in (one, other)
    ]
    assert [set(row) for row in nearest(one, 5)] == sets[0]
    np.testing.assert_allclose(shared_neighbours(one, other, 5), [len(a & b) / 5 for a, b in zip(*sets, strict=True)])
    labels = np.arange(40) % 2
    np.testing.assert_allclose(
        same_class(one, labels, 5), [np.mean([labels[j] == labels[i] for j in s]) for i, s in enumerate(sets[0])]
    )
    assert shared_neighbours(one, 3 * one).min() == 1
    with pytest.raises(InputError, match="fewer"):
        nearest(one, 40)


def test_clumps_are_told_from_points_strewn_at_random(rng: np.random.Generator) -> None:
    strewn = rng.random((2000, 2))
    assert clumping(strewn) == pytest.approx(1, abs=0.05)
    assert clumping(np.repeat(strewn[:500], 4, 0) + 0.001 * rng.random((2000, 2))) > 5
    grid = np.stack(np.meshgrid(np.arange(40), np.arange(40)), -1).reshape(-1, 2)
    assert clumping(grid) == pytest.approx(0.5, abs=0.02)  # as even as can be on a square


@pytest.mark.slow
def test_a_layout_begins_at_random_or_with_the_principal_components(rng: np.random.Generator) -> None:
    features = rng.normal(size=(60, 8)).astype(np.float32)
    one, other = (embed_in_plane(features, seed, 10, "random") for seed in (0, 1))
    assert shared_neighbours(one, other).mean() < 0.95
    np.testing.assert_array_equal(*(embed_in_plane(features, seed, 10) for seed in (0, 1)))


@pytest.mark.slow
def test_traits_are_the_truth_of_the_clips(tmp_path_factory: pytest.TempPathFactory) -> None:
    source = MakeFaces("test", "mini", progress=False)
    found = traits_of(source)
    assert list(found.columns) == [name for names in TRAITS.values() for name in names]
    for k in (0, 17):
        truth = source.truth(k)
        assert found["sex"][k] == pytest.approx(truth["female"])
        assert found["yaw"][k] == pytest.approx(np.mean([pose[0] for pose in truth["pose"]]), rel=1e-5)
        peak = max(range(len(truth["units"])), key=lambda t: truth["expression"][t])
        for name in SHOWN_UNITS:
            assert found[name][k] == pytest.approx(truth["units"][peak][UNITS.index(name)])


def test_where_there_is_no_record_it_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"benchmarks\.features"):
        KnownFeatures(tmp_path)


def test_the_record_is_whole() -> None:
    found = KnownFeatures()
    people = len(np.unique(found.groups))
    assert people >= 200 and len(found.labels) == 4 * people and set(found.labels) == set(range(len(EMOTIONS)))
    assert found.traits == {kind: list(names) for kind, names in TRAITS.items()} and len(found.seeds) == 3
    assert sum(file.stat().st_size for file in found.folder.iterdir()) < 900_000
    for name in found.models:
        known = found.known(name, "who is seen")
        assert known.interval().low < known.value < 1
        gained = found.gained(name, "the act")
        assert gained.value == pytest.approx(
            found.known(name, "the act").value - found.known(f"{name}, before", "the act").value
        )
    assert found.known("STT, shuffled", "who is seen").value < 0.03
    with pytest.raises(InputError, match="trait"):
        found.known("STT", "shoe size")


@pytest.mark.slow
def test_the_record_of_distances_and_layouts_is_of_its_features() -> None:
    found = KnownFeatures()
    gaps = [found.apart(f"compact loss, {s}").value - found.apart(f"cross entropy, {s}").value for s in found.seeds]
    assert found.loss_gap("ratio").value == pytest.approx(np.mean(gaps))
    plane, space = found.plane("trained, 30, 0"), found.laid_out("trained, 30, 0")
    mixed = np.random.default_rng(0).permutation(plane)
    trusted, by_chance = (trustworthiness(space, one, n_neighbors=10) for one in (plane, mixed))
    assert trusted > 0.9 and by_chance < 0.6
    assert found.kept("trained, 30, 0").mean() == pytest.approx(shared_neighbours(plane, space).mean())
    assert found.laid_out("noise, 30, 0").shape == (len(plane), 128)


@pytest.mark.slow
def test_layouts_are_shown_and_say_the_same_without_scripts() -> None:
    found = KnownFeatures()
    shown = leaf_through(found, "Points in seven colours.")
    assert shown.html.count("<circle") == 3 * len(found.plane("trained, 30, 0")) and shown.kilobytes < 400
    told = json.loads(shown.html.split('begin("')[1].split(", ", 1)[1].rsplit(");", 1)[0])["told"]
    assert told["trained, 30, 0"][0] == round(100 * found.kept("trained, 30, 0").mean())
