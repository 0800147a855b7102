"""Faces: following boxes as plain geometry, the detector on rendered and real faces."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dferlib.errors import InputError
from dferlib.inference.describing import load_describer
from dferlib.makefaces.baking.template import bake_template
from dferlib.models.staner import REGIONS
from dferlib.video.faces import landmarks
from dferlib.video.faces.aligning import align, similarity, template, warp
from dferlib.video.faces.cutting import CROP, PARTS, cut, cut_parts, middle_square
from dferlib.video.faces.finding import DITHER, SIDE, detect, load_detector
from dferlib.video.faces.following import bridge, follow, follow_all, link, smooth
from dferlib.video.faces.landmarks import FIVE, find_landmarks, landmarks_file, load_predictor, to_rectangle
from dferlib.video.reading import read_video

REAL = Path(__file__).parents[2] / "shared" / "real"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the photographs and videos of real people are not here")
NOBODY = np.empty((0, 3))


def ticks(count: int, rate: float = 12) -> np.ndarray:
    return np.arange(count) / rate


@settings(deadline=None, derandomize=True)
@given(
    start=st.tuples(st.floats(50, 500), st.floats(50, 500), st.floats(60, 200)),
    speed=st.tuples(st.floats(-20, 20), st.floats(-20, 20), st.floats(-5, 5)),
    seed=st.integers(0, 1000),
)
def test_smoothing_follows_even_motion_without_lag(start: tuple, speed: tuple, seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.01, 0.3, 30))  # evenly spaced or not
    boxes = np.array(start) + times[:, None] * np.array(speed)
    boxes[rng.random(30) < 0.2] = np.nan
    np.testing.assert_allclose(smooth(times, boxes), boxes, atol=1e-6)


def test_smoothing_is_a_weighted_line_fit() -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.02, 0.2, 20))
    boxes = rng.uniform(100, 200, (20, 3))
    boxes[[3, 4, 11]] = np.nan
    width, there, got = 0.25, np.isfinite(boxes[:, 2]), smooth(times, boxes, 0.25)
    for k in np.flatnonzero(there):
        use = there & (np.abs(times - times[k]) <= 3 * width)
        root = np.exp(-0.25 * ((times[use] - times[k]) / width) ** 2)  # polyfit squares its weights
        for column in range(3):
            line = np.polyfit(times[use] - times[k], boxes[use, column], 1, w=root)
            assert got[k, column] == pytest.approx(line[1], rel=1e-9)
    assert np.isnan(got[~there]).all()


def test_smoothing_calms_a_coarse_detector() -> None:
    rng = np.random.default_rng(1)
    steady = np.array([300.0, 200.0, 150.0])
    noisy = steady + rng.normal(0, [4, 4, 9], (60, 3))
    error = smooth(ticks(60), noisy)[5:-5] - steady
    assert error.std() < 0.5 * (noisy - steady)[5:-5].std()


def test_short_gaps_are_bridged_by_straight_lines_and_long_ones_are_not() -> None:
    times = ticks(30, rate=10)
    boxes = np.full((30, 3), np.nan)
    boxes[5], boxes[9], boxes[20] = (0, 0, 100), (40, 80, 120), (50, 50, 100)
    filled = bridge(times, boxes, longest=0.5)
    np.testing.assert_allclose(filled[5:10], [(10 * k, 20 * k, 100 + 5 * k) for k in range(5)])
    assert np.isnan(filled[:5]).all() and np.isnan(filled[10:20]).all() and np.isnan(filled[21:]).all()


boxes_in_a_video = st.lists(
    st.lists(st.tuples(st.floats(0, 600), st.floats(0, 300), st.floats(40, 200)), max_size=4), min_size=1, max_size=20
)


@settings(deadline=None, derandomize=True)
@given(video=boxes_in_a_video)
def test_linking_neither_loses_nor_invents_a_box(video: list) -> None:
    found = [np.array(boxes, dtype=float).reshape(-1, 3) for boxes in video]
    times = ticks(len(found))
    linked = link(times, found)
    for now, boxes in enumerate(found):
        mine = [tuple(face[now]) for face in linked if now in face]
        assert sorted(mine) == sorted(map(tuple, boxes))
    track = follow(times, found)
    assert track.shape == (len(found), 3)
    assert (np.isnan(track).all(1) | np.isfinite(track).all(1)).all() and not (track[:, 2] <= 0).any()


def walk(count: int, start: tuple, speed: tuple) -> np.ndarray:
    return np.array(start, dtype=float) + np.arange(count)[:, None] * np.array(speed, dtype=float)


def test_the_same_person_is_kept_when_two_pass_each_other_in_the_list() -> None:
    large, small = walk(40, (100, 200, 160), (1, 0, 0)), walk(40, (450, 200, 120), (-1, 0, 0))
    rng = np.random.default_rng(2)
    found = [np.stack([large[k], small[k]])[rng.permutation(2)] for k in range(40)]
    np.testing.assert_allclose(follow(ticks(40), found), large, atol=1e-6)


def test_the_face_that_is_seen_most_wins_over_a_larger_one_that_passes_by() -> None:
    person, passer = walk(40, (100, 200, 100), (0, 0, 0)), walk(6, (500, 200, 200), (10, 0, 0))
    found = [np.stack([passer[k - 10], person[k]]) if 10 <= k < 16 else person[k : k + 1] for k in range(40)]
    np.testing.assert_allclose(follow(ticks(40), found), person, atol=1e-6)


def test_a_person_who_looks_away_is_found_again_and_missing_meanwhile() -> None:
    person = walk(40, (100, 200, 100), (0.5, 0, 0))
    found = [NOBODY if 10 <= k < 25 else person[k : k + 1] for k in range(40)]
    track = follow(ticks(40), found)
    assert np.isnan(track[10:25]).all()
    np.testing.assert_allclose(track[:10], person[:10], atol=1e-6)
    np.testing.assert_allclose(track[25:], person[25:], atol=1e-6)


ANNA, BERT = np.eye(128)[:2]  # descriptors of two people, who are sqrt(2) apart


def crossing() -> tuple[np.ndarray, np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Two people who walk through each other's place; in the middle only the one in front, Bert, is seen."""
    anna, bert = walk(40, (100, 200, 100), (8, 0, 0)), walk(40, (412, 200, 100), (-8, 0, 0))
    there = [(bert[k],) if abs(k - 19.5) < 4 else (anna[k], bert[k]) for k in range(40)]
    who = [(BERT,) if len(boxes) == 1 else (ANNA, BERT) for boxes in there]
    order = [np.random.default_rng(k).permutation(len(boxes)) for k, boxes in enumerate(there)]
    found = [np.stack(boxes)[turn] for boxes, turn in zip(there, order, strict=True)]
    return anna, bert, found, [np.stack(one)[turn] for one, turn in zip(who, order, strict=True)]


def test_people_who_cross_are_told_apart_by_their_faces() -> None:
    anna, bert, found, people = crossing()
    rng = np.random.default_rng(0)
    noisy = [one + rng.normal(0, 0.02, one.shape) for one in people]  # 0.3 apart for one person
    first, second = follow_all(ticks(40), found, noisy)
    np.testing.assert_allclose(first, bert, atol=1e-6)
    apart = np.isfinite(second[:, 2])
    np.testing.assert_allclose(second[apart], anna[apart], atol=1e-6)
    assert apart[:16].all() and apart[24:].all()
    by_place = follow_all(ticks(40), found)
    assert any(np.abs(track[0, 0] - track[-1, 0]) < 50 for track in by_place), "place alone takes one for the other"


def test_after_a_cut_another_face_in_the_same_place_is_another_person() -> None:
    here, there = walk(60, (100, 200, 100), (0, 0, 0)), walk(60, (400, 200, 60), (0, 0, 0))
    found = [there[k : k + 1] if k >= 40 else here[k : k + 1] for k in range(60)]
    people = [np.stack([BERT if 20 <= k < 40 else ANNA]) for k in range(60)]
    anna, bert = follow_all(ticks(60), found, people)
    np.testing.assert_allclose(anna[:20], here[:20], atol=1e-6)
    assert np.isnan(anna[20:40]).all()
    np.testing.assert_allclose(anna[40:], there[40:], atol=1e-6)  # seen again elsewhere and smaller
    np.testing.assert_array_equal(np.isfinite(bert[:, 2]), (np.arange(60) >= 20) & (np.arange(60) < 40))


def test_a_face_does_not_leap_to_another_place_from_one_frame_to_the_next() -> None:
    here, there = walk(40, (100, 200, 100), (0, 0, 0)), walk(40, (400, 200, 100), (0, 0, 0))
    found = [(there if k >= 20 else here)[k : k + 1] for k in range(40)]
    tracks = follow_all(ticks(40), found, [ANNA[None]] * 40)
    assert len(tracks) == 2, "smoothing must not run across a cut"


@pytest.mark.parametrize("other", [0.59, 0.61])
def test_two_faces_are_one_person_below_dlibs_own_limit(other: float) -> None:
    found = [np.array([[100.0, 100, 80]])] * 12
    people = [(ANNA + (k >= 6) * other * BERT)[None] for k in range(12)]
    assert len(link(ticks(12), found, people)) == (1 if other < 0.6 else 2)


def photograph(person: str, face: str) -> np.ndarray:
    return np.asarray(Image.open(REAL / "london" / f"{person}_{face}.jpg").convert("RGB").resize((300, 300)))


@pytest.mark.slow
@needs_real
def test_real_people_who_cross_are_told_apart() -> None:
    """Photographs of two people slide over each other; the one in front smiles, the other begins to half way."""
    needs_landmarks()
    describe = load_describer()
    assert describe is not None
    found, people, truth = [], [], []
    for k in range(30):
        stage = np.full((300, 900, 3), 128, np.uint8)
        left = {"003": 20 * k, "001": 600 - 20 * k}
        for person, x in left.items():  # the second one is in front
            stage[:, x : x + 300] = photograph(person, "smiling" if person == "001" or k > 15 else "neutral")
        found.append(detect(stage))
        people.append(describe(stage, found[-1]))
        truth.append([left[person] + 150 for person in ("001", "003")])
    front, back = follow_all(ticks(30, 8), found, people)[:2]
    for track, x in zip((front, back), np.array(truth).T, strict=True):
        seen = np.isfinite(track[:, 2])
        assert seen[:8].all() and seen[-8:].all()
        assert np.abs(track[seen, 0] - x[seen]).max() < 30
    assert len(follow_all(ticks(30, 8), found, people)) == 2


@needs_real
def test_a_descriptor_is_dlibs() -> None:
    needs_landmarks()
    import dlib

    describe, picture = load_describer(), photograph("001", "neutral")
    assert describe is not None
    boxes = detect(picture)
    weights = landmarks_file(5).with_name("dlib_face_recognition_resnet_model_v1.dat")
    shape = dlib.shape_predictor(str(landmarks_file(5)))(picture, to_rectangle(boxes[0]))
    theirs = dlib.face_recognition_model_v1(str(weights)).compute_face_descriptor(picture, shape)
    np.testing.assert_allclose(describe(picture, boxes)[0], np.array(theirs), atol=1e-5)
    assert describe(picture, NOBODY).shape == (0, 128)


def test_without_the_weights_place_alone_tells_people_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: object) -> None:
        raise InputError("not here")

    monkeypatch.setattr("dferlib.inference.describing.load_dlib_weights", missing)
    load_describer.cache_clear()
    assert load_describer() is None
    load_describer.cache_clear()


def test_what_flickers_up_once_is_no_face() -> None:
    found = [np.array([[100.0 + 300 * (k // 10), 100, 80]]) if k in (5, 15) else NOBODY for k in range(20)]
    assert np.isnan(follow(ticks(20), found)).all()
    assert np.isfinite(follow(ticks(1), [np.array([[100.0, 100, 80]])])).all()  # but a photograph has one frame only


def test_the_crop_takes_the_square_around_the_box() -> None:
    y, x = np.mgrid[:240, :320]
    frame = np.stack([x // 2, y, np.zeros_like(x)], -1).astype(np.uint8)
    got = cut(frame, np.array([160.0, 120.0, 100.0]), 64).astype(float)
    # the value of a pixel is the mean place of what it shows; pixel k of 64 shows side / 64 pixels of the frame
    side = CROP * 100
    places = (np.arange(64) + 0.5) / 64 * side - side / 2
    np.testing.assert_allclose(got[32, :, 0], (160 + places - 0.5) / 2, atol=1.0)
    np.testing.assert_allclose(got[:, 32, 1], 120 + places - 0.5, atol=1.0)


def test_a_crop_beyond_the_edge_repeats_the_edge() -> None:
    frame = np.full((100, 100, 3), 50, np.uint8)
    frame[:, :20] = 200
    got = cut(frame, np.array([0.0, 50.0, 60.0]), 32)
    assert got.shape == (32, 32, 3) and (got[:, :14] == 200).all() and (got[:, -4:] == 50).all()
    assert (cut(frame, np.array([-500.0, 50.0, 60.0]), 32) == 200).all()


def test_without_dlib_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    load_detector.cache_clear()
    original = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name == "dlib":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match=r'pip install "dferlib\[faces\]"'):
        detect(np.zeros((100, 100, 3), np.uint8))
    load_detector.cache_clear()


def test_noise_holds_no_face() -> None:
    rng = np.random.default_rng(0)
    found = [detect(rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)) for _ in range(3)]
    assert np.isnan(follow(ticks(3), found)).all()


@pytest.mark.slow
def test_a_rendered_face_is_found_where_it_was_drawn() -> None:
    from dataclasses import replace

    import torch

    from dferlib.makefaces.assets import load_head
    from dferlib.makefaces.blend_shapes import shape_weights
    from dferlib.makefaces.generator import HALF_WIDTH
    from dferlib.makefaces.identity import sample_identity
    from dferlib.makefaces.performance import perform
    from dferlib.makefaces.render import Actor
    from dferlib.makefaces.scene import sample_scene

    errors = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        actor = Actor(sample_identity(rng, load_head().shape_names), 224)
        shapes = shape_weights(perform("neutral", 1, rng), actor.action_index)
        # twice as wide as the data set's crop: the crop is the inner half of the frame
        scene = replace(sample_scene(rng, 1, 224, HALF_WIDTH, 0.0), half_width=2 * HALF_WIDTH, offset=np.zeros((1, 2)))
        frame = actor.render(shapes, np.zeros((1, 3), np.float32), scene).frames[0].permute(1, 2, 0)
        pixels = (frame.clamp(0, 1) * 255).to(torch.uint8).numpy()
        wide = np.zeros((260, 460, 3), np.uint8)
        wide[20:244, 200:424] = pixels  # away from the middle, so that scaling back is tested
        boxes = np.concatenate([detect(wide, 640 * dither)[:1] for dither in DITHER])
        x, y, side = boxes.mean(0)
        errors.append(((x - 312) / 112, (y - 132) / 112, CROP * side / 112))
    assert np.abs(errors)[:, :2].max() < 0.1
    sides = np.array(errors)[:, 2]  # 1.15 / 1.00 on average, see CROP; the detector's boxes come in steps of 1.2
    assert sides.mean() == pytest.approx(1.15, abs=0.08) and np.abs(sides - 1.15).max() < 0.2


@pytest.mark.slow
@needs_real
def test_photographs_are_framed_as_makefaces_frames() -> None:
    from dferlib.makefaces.generator import HALF_WIDTH
    from dferlib.makefaces.render import EYES_TO_MOUTH

    marks = np.load(REAL / "london" / "neutral_landmarks_189.npz")
    framed = []
    for person in marks.files:
        eyes, mouth = marks[person][:2].mean(0), marks[person][87:109].mean(0)
        wanted = 2 * HALF_WIDTH / EYES_TO_MOUTH * np.hypot(*(mouth - eyes))
        with Image.open(REAL / "london" / f"{person}_neutral.jpg") as image:
            picture = np.asarray(image.convert("RGB"))
        x, y, side = np.mean([detect(picture, 448 * dither)[0] for dither in DITHER], 0)
        middle = (eyes + mouth) / 2
        framed.append((CROP * side / wanted, (x - middle[0]) / wanted, (y - middle[1]) / wanted))
    scale, across, down = np.array(framed).T
    assert len(scale) == 51
    assert abs(np.median(scale) - 1) < 0.05 and np.abs(scale - 1).max() < 0.25
    assert abs(np.median(across)) < 0.03 and abs(np.median(down)) < 0.03
    assert max(np.abs(across).max(), np.abs(down).max()) < 0.08


@pytest.mark.slow
@needs_real
def test_the_face_of_a_real_video_is_followed() -> None:
    times, found = [], []
    for k, (time, frame) in enumerate(read_video(REAL / "video" / "single_face.mp4", rate=12)):
        times.append(time)
        found.append(detect(frame, SIDE * DITHER[k % len(DITHER)]))
    track = follow(np.array(times), found)
    assert np.isfinite(track).all(1).mean() > 0.95
    # the head hardly moves: the smoothed box must not jump
    assert np.abs(np.diff(track, axis=0)).max() < 0.1 * np.median(track[:, 2])


def needs_landmarks() -> None:
    """Skip where dlib or its models are not installed."""
    pytest.importorskip("dlib", reason="dlib is not installed")
    try:
        landmarks_file()
    except InputError as error:
        pytest.skip(str(error))


@settings(deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1000),
    turn=st.floats(-3, 3),
    scale=st.floats(0.1, 10),
    shift=st.tuples(*[st.floats(-99, 99)] * 2),
)
def test_a_similarity_is_found_again(seed: int, turn: float, scale: float, shift: tuple[float, float]) -> None:
    points = np.random.default_rng(seed).normal(0, 10, (5, 2))
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    got = similarity(points, points @ matrix.T + shift)
    np.testing.assert_allclose(got, np.column_stack([matrix, shift]), atol=1e-6 * scale)


def test_a_similarity_is_the_best_there_is() -> None:
    from scipy.optimize import minimize

    rng = np.random.default_rng(0)
    points, wanted = rng.normal(0, 1, (2, 7, 2))

    def miss(v: np.ndarray) -> float:
        matrix = np.array([[v[0], -v[1]], [v[1], v[0]]])
        return float(((points @ matrix.T + v[2:] - wanted) ** 2).sum())

    best = minimize(miss, np.array([1.0, 0, 0, 0])).x
    got = similarity(points, wanted)
    np.testing.assert_allclose([got[0, 0], got[1, 0], *got[:, 2]], best, atol=1e-5)
    assert got[0, 0] == got[1, 1] and got[0, 1] == -got[1, 0]
    with pytest.raises(InputError, match="one place"):
        similarity(np.ones((5, 2)), wanted[:5])


def render(seed: int, side: int, turn: tuple[float, float, float] = (0, 0, 0)) -> tuple[np.ndarray, np.ndarray]:
    """A MakeFaces face without hands or glasses: the frame and its true landmarks."""
    import torch

    from dferlib.makefaces.assets import load_head
    from dferlib.makefaces.blend_shapes import shape_weights
    from dferlib.makefaces.generator import HALF_WIDTH
    from dferlib.makefaces.identity import sample_identity
    from dferlib.makefaces.performance import perform
    from dferlib.makefaces.render import Actor
    from dferlib.makefaces.scene import sample_scene

    rng = np.random.default_rng(seed)
    actor = Actor(sample_identity(rng, load_head().shape_names), side)
    shapes = shape_weights(perform("neutral", 1, rng), actor.action_index)
    done = actor.render(shapes, np.array([turn], np.float32), sample_scene(rng, 1, side, HALF_WIDTH, 0.0))
    frame = (done.frames[0].permute(1, 2, 0).clamp(0, 1) * 255).to(torch.uint8).numpy()
    return frame, done.landmarks[0].numpy().astype(float)


def test_the_template_is_the_mean_of_rendered_faces() -> None:
    people = np.mean([render(seed, 64)[1] / 64 for seed in range(6)], 0)
    # people differ from the template head, in the jaw above all, and some are talking
    assert np.abs(people - template())[17:48].max() < 0.05
    assert template().shape == (68, 2)


def test_the_template_in_the_package_is_makefaces_own() -> None:
    np.testing.assert_allclose(template(), bake_template(), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_landmarks_are_found_where_they_were_rendered() -> None:
    needs_landmarks()
    for count, most in ((5, 0.06), (68, 0.08)):
        errors = []
        for seed in range(3):
            frame, truth = render(seed, 256, (0.1, 0.0, 0.15))
            wanted = truth[list(FIVE)] if count == 5 else truth
            box = np.array([[*truth.mean(0), 256 / CROP]])
            found = find_landmarks(frame, box, count)
            assert found.shape == (1, count, 2)
            eyes = np.linalg.norm(truth[45] - truth[36])
            errors.append(np.linalg.norm(found[0] - wanted, axis=1).mean() / eyes)
        assert np.mean(errors) < most
    assert find_landmarks(frame, NOBODY).shape == (0, 5, 2)
    with pytest.raises(InputError, match="choose one of 5, 68"):
        find_landmarks(frame, box, 6)


def test_a_warped_face_lies_on_the_template_upright_and_of_its_size() -> None:
    frame, truth = render(1, 256, (0.0, 0.0, 0.3))
    large = np.zeros((900, 700, 3), np.uint8)
    large[500:756, 300:556] = frame
    truth += np.array([300, 500])
    for points in (truth, truth[list(FIVE)]):
        got = warp(large, points, 128)
        matrix = similarity(truth[list(FIVE)], template()[list(FIVE)] * 128)
        # every pixel of the result must show the pixel of the frame that the similarity says
        back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
        y, x = np.mgrid[30:100:10, 30:100:10] + 0.5
        where = back @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
        there = large[where[1].astype(int), where[0].astype(int)].astype(float)
        assert np.abs(got[30:100:10, 30:100:10].reshape(-1, 3) - there).mean() < 12
    # the eyes are level now: the same five points, brought along, lie on the template's
    moved = truth[list(FIVE)] @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(moved - template()[list(FIVE)] * 128).max() < 8


def test_a_face_that_is_made_much_smaller_is_averaged_not_sampled() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    got = warp(noise, template()[list(FIVE)] * 1024, 64)
    assert got.std() < 10  # the deviation of 16 x 16 averaged pixels is 74 / 16; of sampled ones, 74


def test_parts_have_staners_sizes_and_follow_the_landmarks() -> None:
    y, x = np.mgrid[:112, :112]
    frame = np.stack([x, y, x * 0], -1).astype(np.uint8)
    points = template() * 112
    cut_out = cut_parts(frame, points, regions=REGIONS)
    moved = cut_parts(frame, points + np.array([2, 3]), regions=REGIONS)
    assert list(cut_out) == list(REGIONS)
    for name, (top, bottom, left, right) in REGIONS.items():
        part = cut_out[name]
        assert part.shape == (round(bottom * 112) - round(top * 112), round(right * 112) - round(left * 112), 3)
        inside = moved[name][5:-5, 5:-5].astype(int) - part[5:-5, 5:-5]
        assert (inside[..., 0] == 2).all() and (inside[..., 1] == 3).all()
        marks = points[PARTS[name]]
        assert (marks > part[0, 0, :2]).all() and (marks < part[-1, -1, :2]).all()  # the part is whole
        # STANER's fixed boxes are where the template has the parts
        middle = part.reshape(-1, 3).mean(0)[:2] / 112
        assert np.abs(middle - [(left + right) / 2, (top + bottom) / 2]).max() < 0.09


def test_a_moving_tilted_face_is_steady_once_aligned() -> None:
    needs_landmarks()
    face, truth = render(1, 224)
    still = Image.fromarray(face)

    def frames() -> Any:
        for k in range(12):
            frame = Image.new("RGB", (480, 400))
            frame.paste(still.rotate(3 * np.sin(k / 3), resample=Image.Resampling.BICUBIC), (60 + 8 * k, 100))
            yield np.asarray(frame)

    got = align(frames, 96)
    assert got is not None and got.shape == (12, 96, 96, 3)
    wanted = warp(face, truth, 96).astype(float)
    inner = slice(24, 72)
    assert np.abs(got[:, inner, inner] - wanted[inner, inner]).mean() < 25
    assert got[:, inner, inner].astype(float).std(0).mean() < 12
    assert align(lambda: [np.zeros((200, 200, 3), np.uint8)] * 4, 96) is None
    assert align(list, 96) is None


def test_a_missing_model_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def absent(name: str) -> Any:
        raise landmarks.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(landmarks.metadata, "distribution", absent)
    with pytest.raises(InputError, match="face-weights"):
        landmarks_file(68)


@pytest.mark.slow
def test_the_model_for_research_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    needs_landmarks()
    load_predictor.cache_clear()
    frame = np.zeros((64, 64, 3), np.uint8)
    for count in (5, 68, 68):
        find_landmarks(frame, np.array([[32.0, 32, 40]]), count)
    assert [record.getMessage() for record in caplog.records if "commercial" in record.getMessage()] == [
        "the model of 68 landmarks was trained on iBUG 300-W: it must not be used in commercial products"
    ]


def test_a_frame_that_is_a_face_is_cut_whole() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    np.testing.assert_array_equal(cut(frame, middle_square(frame)[0], 60), frame[:, 10:70])


@needs_real
def test_photographs_are_aligned_to_the_template() -> None:
    needs_landmarks()
    marks = np.load(REAL / "london" / "neutral_landmarks_189.npz")
    shrunk = []
    for person in marks.files[:12]:
        picture = np.asarray(
            Image.open(REAL / "london" / f"{Path(person).stem.split('_')[0]}_neutral.jpg").convert("RGB")
        )
        points = find_landmarks(picture, detect(picture)[:1])[0]
        # the set's own template begins with the middles of both pupils
        matrix = similarity(points, template()[list(FIVE)])
        shrunk.append(marks[person][:2] @ matrix[:, :2].T + matrix[:, 2])
    pupils = np.mean(shrunk, 0)
    wanted = np.stack([template()[36:42].mean(0), template()[42:48].mean(0)])
    assert np.abs(pupils[np.argsort(pupils[:, 0])] - wanted).max() < 0.03
    assert np.std(shrunk, 0).max() < 0.02


def test_every_face_is_followed_and_who_passes_by_is_left_out() -> None:
    one, two = walk(40, (100, 200, 100), (1, 0, 0)), walk(40, (400, 200, 80), (0, 1, 0))
    passer = walk(3, (700, 300, 300), (0, 0, 0))
    found = [np.stack([two[k], one[k]][k % 2 :] + ([passer[k - 10]] if 10 <= k < 13 else [])) for k in range(40)]
    # the second face is seen in every other frame only, which is bridged
    tracks = follow_all(ticks(40), found)
    assert len(tracks) == 2
    np.testing.assert_allclose(tracks[0], one, atol=1e-6)
    np.testing.assert_allclose(tracks[1][:39], two[:39], atol=1e-6)
    assert follow_all(ticks(5), [NOBODY] * 5) == []
