"""Scores of heat maps against loops, and the record of the benchmark."""

import importlib
import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from dferlib import EMOTIONS, InputError, create_model
from dferlib.book.mapping import MapScores, seen_by, under_maps
from dferlib.data.sampling import segment_indices
from dferlib.data.transforms import prepare
from dferlib.evidence.changed import draw_take, render_motion
from dferlib.evidence.flips import over_people
from dferlib.evidence.heat_maps import KINDS, blurred
from dferlib.evidence.map_scores import (
    CASCADE,
    SCORES,
    as_seen,
    drawn_anew,
    edges_of,
    energy,
    gaussian,
    moving_region,
    place,
    play_out,
    pointing,
    rank_correlation,
    timing,
)
from dferlib.makefaces.render import Actor
from dferlib.models.base import InputSpec

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(0)


def test_what_is_known_of_pixels_is_cut_as_the_frames_are() -> None:
    for size, frames in ((56, 8), (64, 8)):
        spec = InputSpec(size, frames, (0.0,) * 3, (1.0,) * 3)
        clip = RNG.integers(0, 256, (12, 64, 64), dtype=np.uint8)
        coloured = torch.from_numpy(clip[segment_indices(12, frames)])[None, :, None].expand(1, frames, 3, 64, 64)
        expected = 255 * prepare(coloured.contiguous(), spec)[0, :, 0]
        np.testing.assert_allclose(as_seen(clip.astype(float), spec), expected, atol=0.51)


def test_the_moving_region_has_what_moves_a_quarter_as_far_as_anything() -> None:
    motion = np.array([[[0.0, 0.1, 0.25], [0.26, 1.0, 0.0]]])
    assert moving_region(motion).tolist() == [[[False, False, True], [True, True, False]]]
    assert not moving_region(np.zeros((1, 2, 2))).any()


def test_energy_and_pointing_are_what_loops_find() -> None:
    heat, region = RNG.random((3, 5, 5)), RNG.random((3, 5, 5)) < 0.3
    inside = sum(heat[place] for place in np.ndindex(heat.shape) if region[place])
    assert energy(heat, region) == pytest.approx((inside / heat.sum()) / (region.sum() / 75))
    assert energy(np.ones_like(heat), region) == pytest.approx(1)
    assert energy(np.zeros_like(heat), region) == 1
    assert energy(region.astype(float), region) == pytest.approx(1 / region.mean())
    shares = [(h[r].sum() / h.sum(), r.mean()) for h, r in zip(heat, region, strict=True)]
    expected = sum(share / area * area for share, area in shares) / sum(area for _, area in shares)
    assert place(heat, region) == pytest.approx(expected)
    assert place(heat * np.array([0.1, 5, 2])[:, None, None], region) == pytest.approx(expected), "frames do not count"
    assert place(np.zeros_like(heat), region) == 1
    none_in_first = region & (np.arange(3) > 0)[:, None, None]
    assert place(heat, none_in_first) == pytest.approx(place(heat[1:], region[1:]))
    hottest = max(np.ndindex(heat.shape), key=lambda place: heat[place])
    assert pointing(heat, region) == region[hottest]
    assert pointing(np.zeros_like(heat), region) == pytest.approx(region.mean())
    two = np.zeros_like(heat)
    two[np.nonzero(region)[0][0], np.nonzero(region)[1][0], np.nonzero(region)[2][0]] = 1
    two[tuple(np.argwhere(~region)[0])] = 1
    assert pointing(two, region) == 0.5


def test_timing_is_the_rank_correlation_of_frames() -> None:
    heat, curve = RNG.random((8, 4, 4)), RNG.random(8).round(1)
    assert timing(heat, curve) == pytest.approx(spearmanr([frame.sum() for frame in heat], curve).statistic)
    assert timing(np.ones((8, 4, 4)), curve) == 0
    assert np.isnan(timing(heat, np.ones(8)))
    one, other = RNG.random((2, 30)).round(1)
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic)


@torch.no_grad()
def test_an_answer_is_played_out_pixel_by_pixel() -> None:
    torch.manual_seed(0)
    model = create_model("frame_average", frames=2).eval()
    clip = torch.randn(2, 3, 56, 56)
    heat = RNG.permutation(2 * 56 * 56).reshape(2, 56, 56).astype(np.float32)
    places = sorted(np.ndindex(heat.shape), key=lambda place: -heat[place])
    blank, gone, back = blurred(clip), [], []
    for k in range(9):
        minus, plus = clip.clone(), blank.clone()
        for t, y, x in places[: k * len(places) // 8]:
            minus[t, :, y, x], plus[t, :, y, x] = blank[t, :, y, x], clip[t, :, y, x]
        gone.append(float(model(minus[None]).softmax(1)[0, 4]))
        back.append(float(model(plus[None]).softmax(1)[0, 4]))
    found = play_out(model, clip, heat, 4)
    areas = [sum((a + b) / 2 / 8 for a, b in pairwise(c)) for c in (gone, back)]
    np.testing.assert_allclose(found, areas, atol=1e-5)


def test_controls_know_no_clip() -> None:
    bump = gaussian(2, 9)
    assert np.unravel_index(bump[1].argmax(), (9, 9)) == (4, 4) and bump.max() == 1
    assert bump[0, 4, 4 + 2] == pytest.approx(np.exp(-((2 / (9 / 4)) ** 2) / 2))
    face = np.zeros((3, 16, 16))
    face[:, :, 8:] = 200
    edges = edges_of(face)
    assert edges[8, 7:9].min() > 10 and edges[:, :3].max() < 1e-6


@pytest.mark.parametrize("name", ["stt", "staner", "r3d18"])
def test_weights_are_drawn_from_the_head_down(name: str) -> None:
    torch.manual_seed(5)
    model = create_model(name).eval()
    with torch.no_grad():
        for value in model.state_dict().values():  # nothing is as it is made
            value.add_(1)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    changed = []
    for parts in CASCADE:
        drawn = drawn_anew(model, parts, 3).state_dict()
        changed.append({key for key, value in drawn.items() if not torch.equal(value, before[key])})
    assert changed[0] == {key for key in before if key.startswith("head.")}
    assert changed[1] == {key for key in before if not key.startswith("backbone.")}
    assert changed[1] < changed[2] < changed[3] == set(before)
    once, again, other = (drawn_anew(model, "everything", seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(once[key], again[key]) for key in once)
    assert any(not torch.equal(once[key], other[key]) for key in once)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.slow
def test_another_expression_moves_the_same_face_elsewhere() -> None:
    take, other = draw_take(0), draw_take(0, emotion="surprise")
    assert EMOTIONS[take.label] == "happiness" and EMOTIONS[other.label] == "surprise"
    assert np.array_equal(take.pose, other.pose) and take.camera.noise == other.camera.noise
    actor = Actor(take.person, take.size)
    motion = render_motion(take, actor)
    assert motion.shape == (12, 64, 64) and motion.min() == 0 and 0.002 < motion.max() < 0.05
    assert not np.allclose(motion, render_motion(other, actor), atol=1e-3)
    # the landmarks of the face at rest and of the moving one are as far apart as the map says
    rest = np.zeros((12, 52), dtype=np.float32)
    from dferlib.makefaces.blend_shapes import shape_weights

    acted = shape_weights(take.performance, actor.action_index)
    still, moved = (actor.render(weights, take.pose, take.scene).landmarks.numpy() for weights in (rest, acted))
    apart = np.linalg.norm(moved - still, axis=-1)
    at = moved.round().astype(int).clip(0, 63)
    read = np.stack([frame[where[:, 1], where[:, 0]] for frame, where in zip(motion, at, strict=True)])
    assert np.corrcoef(apart.ravel(), read.ravel())[0, 1] > 0.7
    with pytest.raises(InputError, match="emotion"):
        draw_take(0, emotion="boredom")


@pytest.mark.slow
def test_a_clip_is_shown_under_its_maps() -> None:
    model = create_model("stt").eval()
    shown, clip, motion = seen_by(model, 0)
    assert shown.shape == (8, 3, 56, 56) and clip.shape == shown.shape and motion.shape == (8, 56, 56)
    made = under_maps(shown, {"where it moves": motion, "nowhere": 0 * motion}, "a face")
    assert made.html.count('class="fim-heat') == 2 and "where it moves" in made.html


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Of two models with scores drawn by chance: B has no rollout, and nobody after the third has occlusion."""
    folder = tmp_path / "map_scores"
    folder.mkdir()
    rng = np.random.default_rng(1)
    models = []
    for name in ("A", "B"):
        trained, chance = rng.random((2, 6, len(KINDS), len(SCORES)))
        alike = rng.random((6, len(KINDS), len(CASCADE)))
        for array in (trained, chance, alike):
            array[3:, KINDS.index("occlusion")] = np.nan
            if name == "B":
                array[:, KINDS.index("attention rollout")] = np.nan
        controls, area = rng.random((6, 2, len(SCORES))), rng.random((6, 1))
        np.savez(folder / f"{name}.npz", trained=trained, chance=chance, alike=alike, controls=controls, area=area)
        models.append({"name": name, "file": f"{name}.npz", "study": "a", "kept": "", "weights": ""})
    models[1]["is_volume"] = True
    about = {"source": "old", "kinds": KINDS, "scores": SCORES, "cascade": CASCADE, "controls": ["x", "y"]}
    about |= {"models": models, "people": [{"number": n, "label": n} for n in range(6)]}
    (folder / "about.json").write_text(json.dumps(about))
    return folder


def test_a_record_is_averaged_over_models_that_have_the_map_and_people_who_were_asked(record: Path) -> None:
    found = MapScores(record)
    arrays = {name: dict(np.load(record / f"{name}.npz")) for name in ("A", "B")}
    assert found.volumes == ("B",)
    assert found.having("attention rollout") == ("A",) and found.having("Grad-CAM") == ("A", "B")
    k, s = KINDS.index("Grad-CAM"), SCORES.index("timing")
    expected = (arrays["A"]["trained"][:, k, s] + arrays["B"]["trained"][:, k, s]) / 2
    np.testing.assert_allclose(found.each("Grad-CAM", "timing"), expected)
    assert found.mean("Grad-CAM", "timing") == over_people(expected)
    chance = (arrays["A"]["chance"][:, k, s] + arrays["B"]["chance"][:, k, s]) / 2
    assert found.gain("Grad-CAM", "timing") == over_people(expected - chance)
    k = KINDS.index("attention rollout")
    one = arrays["A"]
    above = one["trained"][:, k, 0] - one["controls"][:, 1, 0]
    assert found.above("attention rollout", "y", "energy") == over_people(above)
    assert found.alike("attention rollout", "everything") == over_people(one["alike"][:, k, 3])
    k = KINDS.index("occlusion")
    assert found.mean("occlusion", "energy", "B").value == pytest.approx(arrays["B"]["trained"][:3, k, 0].mean())
    assert found.area().value == pytest.approx(np.mean([one["area"] for one in arrays.values()]))
    assert not found.is_current
    with pytest.raises(InputError, match="score"):
        found.mean("Grad-CAM", "beauty")


def test_without_a_record_it_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"benchmarks\.map_scores"):
        MapScores(tmp_path)


def test_the_record_is_whole() -> None:
    found = MapScores()
    assert found.kinds == KINDS and found.scores == SCORES and found.cascade == CASCADE
    assert len(found.models) >= 4 and len(found.people) >= 60
    labels = found.people["label"]
    assert labels.value_counts().nunique() == 1 and not (labels == EMOTIONS.index("neutral")).any()
    for kind in KINDS:
        for name in found.having(kind):
            values = found.each(kind, "energy", name)
            assert np.isfinite(values).sum() >= 10 and np.nanmin(values) >= 0
            assert np.isfinite(found.each(kind, "energy", name, weights="chance")).sum() >= 10
    own = found.mean("its own motion", "energy")
    assert own.low > found.mean("Gaussian", "energy").high, "the truth is the best map of where the face moves"
    assert found.mean("its own motion", "pointing").value == 1


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(ROOT))
    try:
        yield importlib.import_module("benchmarks.map_scores")
    finally:
        sys.path.remove(str(ROOT))


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_where_it_was(script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "STAGES", {"place": script.STAGES["place"]})  # the cheap part alone
    kept, volume = tmp_path / "kept", tmp_path / "volume"
    kept.mkdir(), volume.mkdir()
    torch.manual_seed(0)
    models = {"Frame average": (create_model("frame_average").eval(), kept)}
    models["Inflated ResNet"] = (create_model("inflated_resnet").eval(), volume)
    people = script.numbers(2)
    assert [EMOTIONS[n % 7] for n in script.numbers(6)] == script.SHOWN
    script.work(models, people, 0, tmp_path)
    assert not list(kept.iterdir()), "there was no time"
    script.work(models, people, 1, tmp_path)
    found = script.gather(kept, people)
    assert found["trained"].shape == (2, len(KINDS), len(SCORES)) and found["controls"].shape == (2, 4, len(SCORES))
    assert np.isfinite(found["trained"][:, 0, :4]).all() and np.isnan(found["trained"][:, -1]).all()
    assert np.isfinite(script.gather(volume, people)["trained"][:, 0, :4]).all(), "volume models have maps, too"
    (kept / f"{people[0]}-place.npz").unlink()
    monkeypatch.setattr(script, "examine", lambda *_: {"trained": np.zeros((len(KINDS), len(SCORES)))})
    script.work(models, people, 1, tmp_path)
    again = script.gather(kept, people)["trained"]
    assert not again[0].any() and np.array_equal(again[1], found["trained"][1], equal_nan=True)
