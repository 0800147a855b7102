"""Folds and hold-outs: nobody on two sides, everything tested once, nothing chosen on what is tested."""

import numpy as np
import pytest
import trees
from hypothesis import given
from hypothesis import strategies as st
from tiny import make_source

import dferlib.training.cross_validation as protocols
from dferlib import InputError
from dferlib.data.protocols import Joined, Part, folds, hold_out, public_splits
from dferlib.data.sets import BENCHMARKS
from dferlib.data.table import ArraySource, ClipTable, lacks, name_of
from dferlib.training.config import TrainConfig
from dferlib.training.cross_validation import cross_validate


@pytest.mark.slow
@given(st.integers(2, 9), st.integers(2, 12), st.integers(0, 50))
def test_folds_test_every_clip_once_and_nobody_is_on_both_sides(count, people, seed):
    source = make_source(7 * people, side=2, frames=1)  # seven clips of each
    if count > people:
        with pytest.raises(InputError, match=f"{count} folds of {people} people"):
            folds(source, count, seed)
        return
    pairs = folds(source, count, seed)
    assert len(pairs) == count
    tested = np.concatenate([part.table.ids for _, part in pairs])
    assert sorted(tested) == sorted(source.table.ids)
    for rest, part in pairs:
        assert not set(rest.table.groups) & set(part.table.groups)
        assert sorted([*rest.table.ids, *part.table.ids]) == sorted(source.table.ids)
        assert len(part) in (7 * (people // count), 7 * -(-people // count))
        assert len(set(np.bincount(part.table.labels, minlength=7))) == 1  # everybody shows every class once
        assert set(part.table.rows["split"]) == {"test"} and set(rest.table.rows["split"]) == {"train"}


def test_a_part_reads_the_clips_that_its_table_names():
    source = make_source(21)
    part = Part(source, np.array([20, 3, 7]), "val")
    assert part.table.ids.tolist() == source.table.ids[[20, 3, 7]].tolist() and len(part) == 3
    for index, where in enumerate((20, 3, 7)):
        frames = np.array([2, 0])
        assert np.array_equal(part.read(index, frames), source.read(where, frames))
    prints = {Part(source, np.array(which), "val").fingerprint for which in ([1, 2], [2, 1], [1, 3])}
    assert len(prints) == 3 and part.fingerprint != source.fingerprint
    mask = np.isin(np.arange(21), [3, 7])
    assert Part(source, mask, "val").table.ids.tolist() == source.table.ids[[3, 7]].tolist()
    for wrong in (mask[:2], np.array([21]), np.array([-1])):
        with pytest.raises(InputError, match="there are 21 clips"):
            Part(source, wrong, "val")


def test_joined_clips_are_read_from_where_they_came():
    one, two = make_source(14), make_source(7, seed=1)
    joined = Joined({"easy": one, "hard": two})
    assert len(joined) == len(joined.table) == 21 and joined.classes == one.classes
    assert joined.table.ids.tolist() == [f"easy/{k}" for k in one.table.ids] + [f"hard/{k}" for k in two.table.ids]
    assert np.array_equal(joined.table.labels, np.concatenate([one.table.labels, two.table.labels]))
    frames = np.array([1, 0])
    for index in range(21):
        source, where = (one, index) if index < 14 else (two, index - 14)
        assert np.array_equal(joined.read(index, frames), source.read(where, frames))
    assert set(joined.table.groups) == set(one.table.groups) | set(two.table.groups)
    assert name_of(joined) == name_of(one) == "ArraySource"


def test_joined_clips_are_named_by_all_of_them_and_tell_what_each_lacks():
    one, two, other = make_source(7), make_source(7, seed=1), make_source(7, seed=2)
    joined = Joined({"a": one, "b": two})
    assert joined.fingerprint == Joined({"a": one, "b": make_source(7, seed=1)}).fingerprint
    assert len({Joined({"a": x, "b": y}).fingerprint for x, y in ((one, two), (two, one), (one, other))}) == 3
    assert lacks(joined) == ""
    two.lacks = "3 of 10 clips are not there"
    assert lacks(joined) == "3 of 10 clips are not there"


def test_clips_of_other_classes_are_not_joined():
    one = make_source(7)
    turned = ArraySource(ClipTable(one.table.rows, one.classes[::-1]), one.clips)
    for sources in ({}, {"a": one, "b": turned}):
        with pytest.raises(InputError, match="the same classes in the same order"):
            Joined(sources)


@pytest.mark.parametrize(("share", "people"), [(0.5, 5), (0.2, 2), (0.1, 1)])
def test_holding_out_sets_whole_people_aside(share, people):
    source = make_source(70)
    rest, aside = hold_out(source, share)
    assert len(set(aside.table.groups)) == people and len(rest) + len(aside) == 70
    assert not set(rest.table.groups) & set(aside.table.groups)
    assert set(aside.table.rows["split"]) == {"val"}
    for bad in (0, 0.6, -1, float("nan")):
        with pytest.raises(InputError, match="share is"):
            hold_out(source, bad)
    with pytest.raises(InputError, match="10 folds of 2 people"):
        hold_out(make_source(14), 0.1)


@pytest.mark.parametrize(("name", "fold", "tested"), [("DFEW", 2, "test"), ("AFEW", 1, "val"), ("CKPlus", 3, "test")])
def test_public_splits_are_those_that_papers_report(name, fold, tested, tmp_path):
    root = getattr(trees, name.lower())(tmp_path)
    kind = BENCHMARKS[name]
    found = public_splits(name, root, fold, size=20)
    assert found["test"].table.ids.tolist() == kind(root, fold, tested).table.ids.tolist()
    learnt, judged = (set(found[split].table.ids) for split in ("train", "val"))
    assert learnt and judged and not learnt & judged
    assert learnt | judged == set(kind(root, fold, "train").table.ids)
    assert found["val"].read(0, np.array([0])).shape == (1, 3, 20, 20)
    with pytest.raises(InputError, match="unknown data set 'dfew'"):
        public_splits("dfew", root)


@pytest.mark.slow
@pytest.mark.parametrize("select", ["val", "test"])
def test_cross_validation_tests_on_what_no_model_has_learnt_or_chosen_by(tiny_model, monkeypatch, select):
    source, seen = make_source(42), []
    real = protocols.train
    monkeypatch.setattr(protocols, "train", lambda *args, **kwargs: seen.append(args) or real(*args, **kwargs))
    config = TrainConfig(epochs=2, lr=1e-2, batch_size=8, device="cpu", select=select, seed=4)
    pairs = folds(source, 3)
    found = cross_validate(tiny_model, pairs, config, share=0.5, progress=False)
    assert sorted(found.ids) == sorted(source.table.ids) and found.metrics()["clips"] == 42
    labels = dict(zip(source.table.ids, source.table.labels, strict=True))
    assert all(labels[name] == label for name, label in zip(found.ids, found.labels, strict=True))
    assert len({id(args[0]) for args in seen}) == 3 and [args[3].seed for args in seen] == [4, 5, 6]
    for (rest, tested), (model, learnt, judge, _) in zip(pairs, seen, strict=True):
        assert not set(learnt.table.groups) & set(tested.table.groups)
        if select == "val":
            assert not set(judge.table.groups) & (set(tested.table.groups) | set(learnt.table.groups))
            assert len(learnt) + len(judge) == len(rest)
        else:
            assert judge is tested and learnt is rest
        logits = protocols.evaluate(model, tested, device="cpu").logits
        rows = [found.ids.tolist().index(name) for name in tested.table.ids]
        np.testing.assert_allclose(found.logits[rows], logits, atol=1e-6)
