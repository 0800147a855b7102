"""Clips shown otherwise in time: that only time differs, and that scores and readings are what loops give."""

import hashlib
import importlib
import json
import sys
from dataclasses import fields
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap, spearmanr

from dferlib import EMOTIONS, create_model
from dferlib.book.timing import UsingTime, read_with_curve, shown_with_answers
from dferlib.data.transforms import prepare
from dferlib.errors import InputError
from dferlib.evidence import using_time
from dferlib.evidence.changed import Take, draw_take
from dferlib.evidence.frame_readings import HAS_TOKEN, rank_agreement, read_by_gradient, read_by_token
from dferlib.evidence.time_scores import mean_over_people, order_score, uar, uar_lost
from dferlib.evidence.using_time import (
    APEX,
    BACKWARDS,
    FRAMES,
    MEAN,
    PAIRS,
    PLAIN,
    SHUFFLED,
    TIMINGS,
    apex_of,
    draw_task,
    draw_timed,
    names,
    read_frames,
    show,
    show_task,
    shown_otherwise,
    task_names,
)
from dferlib.makefaces import UNITS
from dferlib.models import attention_maps
from dferlib.models.base import ClipModel

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "results" / "using_time"
REST = EMOTIONS.index("neutral")


def test_a_clip_shown_otherwise_holds_the_frames_that_it_says() -> None:
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 256, (FRAMES, 3, 4, 4)).astype(np.uint8)
    level = np.array([0, 0.1, 0.4, 0.7, 1, 0.6, 0.2, 0])
    ways = shown_otherwise(clip, level, rng)
    for t in range(FRAMES):
        assert np.array_equal(ways[BACKWARDS][t], clip[FRAMES - 1 - t])
        assert np.array_equal(ways[APEX][t], clip[4])
        assert np.abs(ways[MEAN][t] - clip.mean(0)).max() <= 0.5
    held = sorted(frame.tobytes() for frame in clip)
    for name in SHUFFLED:
        assert sorted(frame.tobytes() for frame in ways[name]) == held and not np.array_equal(ways[name], clip)
    assert len({ways[name].tobytes() for name in SHUFFLED}) > 1


def test_the_apex_of_a_face_at_rest_is_in_the_middle() -> None:
    assert apex_of(np.zeros(8)) == 4 and apex_of(np.array([0.2, 0.9, 0.9, 0])) == 1


def differing(one: Take, other: Take) -> set[str]:
    """Fields of the takes, and of their performances, in which two differ."""
    found = set()
    for field in fields(one):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.name == "performance":
            parts = [(f.name, getattr(ours, f.name), getattr(theirs, f.name)) for f in fields(ours)]
            found |= {name for name, a, b in parts if not np.array_equal(a, b, equal_nan=isinstance(a, np.ndarray))}
        elif field.name in ("pose",):
            found |= {field.name} if not np.array_equal(ours, theirs) else set()
        elif field.name in ("number", "label", "size", "in_front", "grain"):
            found |= {field.name} if ours != theirs else set()
    return found


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_shares_its_apex_and_differs_in_nothing_but_the_expression(name: str) -> None:
    for number in (0, 1, 3, 5):
        one, other = (draw_timed(number, timing) for timing in using_time.pair(name))
        assert differing(one, other) <= {"units", "expression"} and "units" in differing(one, other)
        ours, theirs = (read_frames(take.performance.units) for take in (one, other))
        apart = np.abs(ours - theirs).max(1)
        assert apart[FRAMES // 2] < 1e-6, "the middle frame, which `single_frame` sees"
        assert apart.max() > 0.1
        assert not one.camera.dropped.any()


@pytest.mark.parametrize(("name", "mirrored"), [("which way", True), ("how long", False)])
def test_of_rise_and_fall_exchanged_every_level_is_in_both(name: str, mirrored: bool) -> None:
    one, other = (draw_timed(1, timing).performance.expression for timing in using_time.pair(name))
    levels = [read_frames(level) for level in (one, other)]
    assert np.allclose(levels[0], levels[1][::-1], atol=1e-6) == mirrored
    assert not np.allclose(levels[0], levels[1], atol=0.1)


def test_the_upper_half_is_ahead_by_as_much_as_it_says() -> None:
    """Of a smile: cheeks and lip corners pass half of their strength so many seconds apart."""
    level = {lead: [] for lead in (1, -1)}
    times, timing = np.linspace(0, 2, 2001), TIMINGS["eyes first"]
    for sign in level:
        curve = using_time.level_at(times, timing, 1.0, sign * timing.lead / 2)
        level[sign] = times[np.argmax(curve >= 0.5)]
    assert level[-1] - level[1] == pytest.approx(timing.lead, abs=0.002)
    # and the draw gives the lead to the units of that half
    take = {name: draw_timed(0, TIMINGS[name]).performance.units for name in PAIRS["which part first"]}
    cheeks, lips = (UNITS.index(unit) for unit in ("AU6", "AU12"))
    rest = draw_timed(REST, TIMINGS["short"]).performance.units
    assert rest.shape == take["eyes first"].shape
    early = slice(1, 4)  # while the expression rises
    more = take["eyes first"] - take["mouth first"]
    assert (more[early, cheeks] >= 0).all() and more[early, cheeks].max() > 0.05
    assert (more[early, lips] <= 0).all() and more[early, lips].min() < -0.05


def test_the_labels_of_a_task_share_what_is_no_course() -> None:
    one, other = (draw_task(4, "order", label) for label in (0, 1))
    assert differing(one, other) <= {"units", "expression", "earlier", "phase"}
    assert np.abs(one.performance.units[0] - other.performance.units[0]).max() < 0.35  # they begin at one moment
    assert np.abs(one.performance.units - other.performance.units).max() > 0.3


@pytest.mark.slow
def test_everybodys_clips_are_there_and_share_pixels_where_they_should() -> None:
    shown = show(3)
    assert list(shown.clips) == names() and all(clip.shape == (FRAMES, 3, 64, 64) for clip in shown.clips.values())
    middle = FRAMES // 2
    for one, other in PAIRS.values():
        first, second = (shown.clips[name].astype(int) for name in (one, other))
        assert np.array_equal(first[middle], second[middle])
        assert np.abs(first - second).mean((1, 2, 3)).max() > 0.5
    assert np.array_equal(shown.level, read_frames(draw_take(3).performance.expression))
    rest = show(REST)
    assert set(names()) - set(rest.clips) == {*TIMINGS, using_time.FLOOR_OF_PAIRS} and not rest.level.any()


@pytest.mark.slow
def test_a_task_is_shown_with_both_labels() -> None:
    shown = show_task(2, "order")
    assert list(shown) == task_names()
    assert np.array_equal(shown[BACKWARDS], shown[PLAIN][:, ::-1])
    assert not np.array_equal(shown[PLAIN][0], shown[PLAIN][1])


def by_hand(right: np.ndarray, labels: np.ndarray) -> float:
    """The mean of the recalls."""
    recalls = []
    for label in sorted(set(labels.ravel().tolist())):
        hits = [r for r, k in zip(right.ravel(), labels.ravel(), strict=True) if k == label]
        recalls.append(sum(hits) / len(hits))
    return sum(recalls) / len(recalls)


@pytest.mark.parametrize("shape", [(60,), (60, 2)])
def test_scores_are_those_of_loops(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, shape)
    right, otherwise = (rng.random(shape) < 0.8).astype(float), rng.random(shape)
    one, other = by_hand(right, labels), by_hand(otherwise, labels)
    assert uar(right, labels).value == pytest.approx(one)
    assert uar_lost(right, otherwise, labels).value == pytest.approx(one - other)
    assert order_score(right, otherwise, labels).value == pytest.approx((one - other) / (one - 1 / 3))


def test_a_score_is_nought_where_nothing_is_lost_and_one_where_chance_is_left() -> None:
    labels = np.repeat(np.arange(4), 50)
    right = (np.arange(200) % 50 < 40).astype(float)
    nothing = order_score(right, right, labels)
    assert nothing.low == nothing.value == nothing.high == 0
    chance = order_score(right, np.full(200, 0.25), labels)
    assert chance.value == pytest.approx(1) and chance.low == pytest.approx(1) == chance.high


def test_at_chance_there_is_nothing_to_lose() -> None:
    labels = np.repeat(np.arange(2), 20)
    with pytest.raises(InputError, match="nothing to lose"):
        order_score(np.full(40, 0.5), np.zeros(40), labels)


def test_a_mean_over_people_is_that_of_the_bootstrap() -> None:
    values = np.r_[np.random.default_rng(6).normal(1, 2, 50), np.nan]
    drawn = bootstrap((values[:50],), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(1))
    ours = mean_over_people(values)
    assert ours.value == pytest.approx(np.nanmean(values))
    assert (ours.low, ours.high) == pytest.approx(drawn.confidence_interval, abs=0.05)
    nothing = mean_over_people(np.zeros(9))
    assert nothing.low == nothing.value == nothing.high == 0


def test_an_interval_of_the_uar_is_as_wide_as_two_standard_errors() -> None:
    rng = np.random.default_rng(5)
    labels = np.repeat(np.arange(3), 100)
    right = (rng.random(300) < 0.7).astype(float)
    found = uar(right, labels)
    recalls = [right[labels == k].mean() for k in range(3)]
    error = np.sqrt(sum(r * (1 - r) / 100 for r in recalls)) / 3
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.08)


def test_agreement_is_spearmans_of_each_clip_and_of_all_others() -> None:
    rng = np.random.default_rng(7)
    read, level = rng.normal(size=(9, FRAMES)), rng.integers(0, 4, (9, FRAMES)).astype(float)
    read[2], level[5] = 1.0, 0.0  # flat
    fine = [p for p in range(9) if p not in (2, 5)]
    own, other = rank_agreement(read, level)
    assert np.isnan(own[[2, 5]]).all() and np.isnan(other[[2, 5]]).all()
    for p in fine:
        assert own[p] == pytest.approx(spearmanr(read[p], level[p]).statistic)
        theirs = [spearmanr(read[p], level[q]).statistic for q in fine if q != p]
        assert other[p] == pytest.approx(np.mean(theirs))
    with pytest.raises(InputError, match="as many of both"):
        rank_agreement(read, level[:, :4])


def inputs_for(model: ClipModel, count: int = 2) -> torch.Tensor:
    clips = np.random.default_rng(0).integers(0, 256, (count, FRAMES, 3, 64, 64)).astype(np.uint8)
    return prepare(torch.from_numpy(clips), model.input_spec)


def model_of(name: str) -> ClipModel:
    torch.manual_seed(0)
    return create_model(name).eval()


def test_what_the_frames_add_is_what_a_linear_head_adds() -> None:
    """In closed form: the mean over frames and places, times the head's row minus the mean of its rows."""
    model = model_of("frame_average")
    clips, labels = inputs_for(model), torch.tensor([1, 5])
    with torch.no_grad():
        maps, weight = model.feature_maps(clips), model.head[1].weight
    rows = (weight - weight.mean(0))[labels]
    expected = torch.einsum("nfchw,nc->nf", maps, rows) / maps[0, :, 0].numel()
    found = read_by_gradient(model, clips, labels)
    size = clips.shape[-1] ** 2 / maps[0, 0, 0].numel()  # a place of the maps stands for so many pixels
    # a map enlarged to the pixels has the same mean but for its edges
    assert np.corrcoef(found.ravel(), (size * expected.detach()).ravel())[0, 1] > 0.999
    np.testing.assert_allclose(found, size * expected.detach(), rtol=0.1, atol=0.02 * np.abs(found).max())


def test_of_a_single_frame_only_that_one_is_read() -> None:
    model = model_of("single_frame")
    found = read_by_gradient(model, inputs_for(model), torch.tensor([0, 3]))
    assert (np.delete(found, FRAMES // 2, 1) == 0).all() and (found[:, FRAMES // 2] != 0).all()


@pytest.mark.parametrize("name", ["stt", "staner", "msstnet", "resnet18_gru"])
def test_any_model_says_what_its_frames_add_and_stays_as_it_is(name: str) -> None:
    model = model_of(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    clips = inputs_for(model)
    with torch.inference_mode():
        found = read_by_gradient(model, clips, torch.tensor([0, 1]))
    assert found.shape == (2, FRAMES) and np.isfinite(found).all() and np.ptp(found, axis=1).min() > 0
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", HAS_TOKEN)
def test_what_a_class_token_reads_is_what_its_attention_gives_to_each_frame(name: str) -> None:
    model = model_of(name)
    clips = inputs_for(model)
    found = read_by_token(model, clips)
    expected = np.zeros((2, FRAMES))
    for layer, weights in attention_maps(model, clips).items():
        for n in range(2):
            w = weights[n].numpy()
            if name == "stt" and layer.endswith("temporal"):
                for t, place, head in np.ndindex(FRAMES, w.shape[0], w.shape[1]):
                    expected[n, t] += w[place, head, 0, 1 + t]
            if name == "logo_former" and layer.endswith("global_"):
                each = w.shape[-1] // (FRAMES // 2)  # windows at each time, of two frames
                for t, head in np.ndindex(FRAMES, w.shape[0]):
                    expected[n, t] += w[head, 0, each * (t // 2) : each * (t // 2 + 1)].sum()
            if name == "former_dfer" and layer.startswith("blocks"):
                for t, head in np.ndindex(FRAMES, w.shape[0]):
                    expected[n, t] += w[head, 0, 1 + t]
            if name == "nr_dfernet" and layer.startswith("temporal"):
                for t, head in np.ndindex(FRAMES - 1, w.shape[0]):
                    expected[n, t : t + 2] += w[head, 0, 1 + t] / 2
    np.testing.assert_allclose(found, expected / expected.sum(1, keepdims=True), rtol=1e-4)


def test_a_model_without_a_class_token_is_told() -> None:
    model = model_of("resnet18_gru")
    with pytest.raises(InputError, match="class token"):
        read_by_token(model, inputs_for(model))


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Of 21 people and one model of each kind."""
    rng = np.random.default_rng(1)
    folder, weights = tmp_path / "using_time", tmp_path / "a" / "b" / "best.safetensors"
    for made in (folder, weights.parent):
        made.mkdir(parents=True)
    weights.write_bytes(b"weights")
    one = {"study": "a", "kept": "b", "weights": hashlib.sha256(b"weights").hexdigest()}
    models = [{"name": "A", "file": "A.npz", **one}]
    logits = rng.normal(size=(len(names()), 21, 7))
    logits[names().index(next(iter(TIMINGS))) :, REST::7] = np.nan
    np.savez(folder / "A.npz", logits=logits, gradient=rng.normal(size=(21, FRAMES)))
    np.savez(folder / "L.npz", logits=rng.normal(size=(len(task_names()), 21, 2, 2)))
    level = rng.random((21, FRAMES)) * (np.arange(21) % 7 != REST)[:, None]
    np.savez(folder / "clips.npz", level=level, two=np.arange(21) % 3 == 0)
    people = [{"number": n, "label": n % 7} for n in range(21)]
    about = {"source": "", "classes": EMOTIONS, "names": names(), "task_names": task_names(), "people": people}
    about |= {"models": models, "task_models": [{"name": "L", "file": "L.npz"}]}
    (folder / "about.json").write_text(json.dumps(about))
    return folder


def test_a_record_is_read(record: Path) -> None:
    found = UsingTime(record)
    assert (found.models, found.learners, found.reads("A")) == (("A",), ("L",), ("gradient",))
    with np.load(record / "A.npz") as data:
        logits = data["logits"]
    right = logits[0].argmax(1) == found.labels
    then = np.mean([logits[names().index(n)].argmax(1) == found.labels for n in SHUFFLED], 0)
    assert found.lost("A", *SHUFFLED).value == pytest.approx(by_hand(right, found.labels) - by_hand(then, found.labels))
    two = found.people["two"].to_numpy()
    assert found.uar("A", only=two).value == pytest.approx(by_hand(right[two], found.labels[two]))
    flips = [logits[names().index(n)].argmax(1) != logits[0].argmax(1) for n in SHUFFLED]
    np.testing.assert_allclose(found.flips("A", *SHUFFLED), np.mean(flips, 0))
    first, second = (logits[names().index(n)] for n in PAIRS["which way"])
    expected = np.where(found.labels == REST, np.nan, first.argmax(1) != second.argmax(1))
    np.testing.assert_array_equal(found.flips("A", "which way"), expected)
    own, other = rank_agreement(found.read("A", "gradient"), found.level)
    assert found.agreement("A", "gradient")["above"].value == pytest.approx(np.nanmean(own - other))
    with pytest.raises(InputError, match="token"):
        found.read("A", "token")


def test_learners_are_right_about_each_label(record: Path) -> None:
    found = UsingTime(record)
    with np.load(record / "L.npz") as data:
        said = data["logits"][task_names().index(BACKWARDS)].argmax(-1)
    expected = [[float(said[p, label] == label) for label in (0, 1)] for p in range(21)]
    np.testing.assert_array_equal(found.task_right("L", BACKWARDS), expected)
    assert found.task_uar("L", BACKWARDS).value == pytest.approx(np.mean(expected))


def test_where_there_is_no_record_it_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"benchmarks\.using_time"):
        UsingTime(tmp_path)


@pytest.mark.slow
def test_clips_are_shown_with_answers_and_with_what_is_read() -> None:
    model = model_of("stt")
    rng = np.random.default_rng(0)
    clips = {name: rng.integers(0, 256, (FRAMES, 3, 64, 64)).astype(np.uint8) for name in ("in order", "backwards")}
    shown = shown_with_answers(model, clips, 3)
    assert all(name in shown.html for name in clips) and EMOTIONS[3] in shown.alt
    read = {"class token": rng.random(FRAMES)}
    assert "class token" in read_with_curve(clips["in order"], np.linspace(0, 1, FRAMES), read, "a clip").html


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(ROOT))
    try:
        yield importlib.import_module("benchmarks.using_time")
    finally:
        sys.path.remove(str(ROOT))


def test_the_record_is_whole(script) -> None:
    found = UsingTime()
    assert set(found.models) == set(script.MODELS) and set(found.learners) == set(script.LEARNERS)
    assert found.about["names"] == names() and found.about["task_names"] == task_names()
    assert len(found.people) >= 100 and found.people["label"].value_counts().nunique() == 1
    rest = found.labels == REST
    for name in found.models:
        logits = found.answers(name).logits
        assert logits.shape == (len(names()), len(found.people), 7)
        assert (np.isnan(logits).any((0, 2)) == rest).all()
        assert found.uar(name).value > 0.4
        assert found.read(name, "gradient").shape == found.level.shape
    with_token = {one["name"] for one in found.about["models"] if one["model"] in HAS_TOKEN}
    assert with_token == {name for name in found.models if "token" in found.reads(name)} and len(with_token) == 4


def test_who_cannot_know_the_order_does_not(script) -> None:
    """Frame average says the same in any order; whoever sees the shared apex alone does not tell the timings apart."""
    found = UsingTime()
    order = [found.about["names"].index(name) for name in (PLAIN, BACKWARDS, *SHUFFLED)]
    same = found.answers("Frame average").logits[order]
    for one, other in combinations(same, 2):
        np.testing.assert_allclose(one, other, atol=0.05)  # the record holds half-floats
    single = found.answers("Single frame").logits
    for pair in PAIRS.values():
        one, other = (single[found.about["names"].index(name)] for name in pair)
        np.testing.assert_allclose(one, other, atol=0.05)
    for name in ("Single frame", "Frame average"):
        assert found.task_uar(name).low < 0.5 < found.task_uar(name).high + 0.05
