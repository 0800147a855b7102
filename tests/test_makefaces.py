"""MakeFaces: the same seed gives the same bytes, nothing is lost when it is killed, and the truth is true."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dferlib import EMOTIONS, InputError, MakeFaces
from dferlib.data.store import facts_file, layer_file, write_part
from dferlib.makefaces import actions, generator, performance, protocol
from dferlib.makefaces.actions import UNITS
from dferlib.makefaces.assets import Part, load_head
from dferlib.makefaces.blend_shapes import shape_weights
from dferlib.makefaces.camera import Camera, CameraStrengths, apply_camera
from dferlib.makefaces.identity import sample_identity
from dferlib.makefaces.knobs import Knobs
from dferlib.makefaces.performance import PHASES, envelope, perform, phase_of
from dferlib.makefaces.protocol import Version
from dferlib.makefaces.raster import barycentric, rasterise
from dferlib.makefaces.render import Actor
from dferlib.makefaces.scene import Scene
from dferlib.makefaces.texture import paint_texture

TINY = protocol.Size(side=24, frames=3, people=(7, 5, 7))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """A version small enough to render in the test itself, one part at a time."""
    monkeypatch.setitem(protocol.SIZES, "tiny", TINY)
    return "tiny"


@pytest.fixture(scope="module")
def actor() -> Actor:
    return Actor(sample_identity(np.random.default_rng(4), load_head().shape_names), 48)


def plain_scene(frames: int, offset: float = 0.0) -> Scene:
    return Scene((0.3, 0.3, 0.3), (), 1.0, None, 0.085, np.full((frames, 2), offset), np.ones((frames, 0)))


def write_all(root: Path, size: str, splits: tuple[str, ...], order: int = 1) -> dict[str, bytes]:
    version = Version(size)
    folder = generator.folder_of(root, version)
    for split, part in generator.missing_parts(folder, version, splits)[::order]:
        write_part(generator.part_stem(folder, split, part), *generator.make_part(version, split, part))
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*.npy"))}


# the rasteriser -----------------------------------------------------------------------------------------------------


def slow_rasterise(points: np.ndarray, triangles: np.ndarray, size: int, two_sided: np.ndarray) -> np.ndarray:
    """The definition, as loops: of the triangles whose three edge functions agree at the sample, the nearest."""
    out = np.full((len(points), size, size), -1)
    for t, frame in enumerate(points):
        for y in range(size):
            for x in range(size):
                best = np.inf
                for m, corners in enumerate(frame[triangles]):
                    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corners.tolist()
                    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
                    if area == 0 or (area > 0 and not two_sided[m]):
                        continue
                    px, py = x + 0.5, y + 0.5
                    w1 = ((px - ax) * (cy - ay) - (cx - ax) * (py - ay)) / area
                    w2 = ((bx - ax) * (py - ay) - (px - ax) * (by - ay)) / area
                    z = (1 - w1 - w2) * az + w1 * bz + w2 * cz
                    if min(1 - w1 - w2, w1, w2) >= 0 and z < best:
                        best, out[t, y, x] = z, m
    return out


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(3, 24), count=st.integers(1, 30))
def test_rasteriser_agrees_with_loops(seed: int, size: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    points = np.concatenate([rng.uniform(-0.4 * size, 1.4 * size, (2, 12, 2)), rng.uniform(0.5, 2, (2, 12, 1))], -1)
    triangles = rng.integers(0, 12, (count, 3))
    two_sided = rng.random(count) < 0.5
    fast = rasterise(torch.tensor(points), torch.tensor(triangles), size, torch.tensor(two_sided))
    slow = slow_rasterise(points, triangles, size, two_sided)
    # the same vertices may make two triangles: compare depths through the winners' corners, not their numbers
    same = fast.numpy() == slow
    for t, y, x in zip(*np.nonzero(~same), strict=True):
        a, b = fast[t, y, x].item(), slow[t, y, x]
        assert a >= 0
        assert b >= 0
        assert sorted(triangles[a]) == sorted(triangles[b])


def test_barycentric_weights_rebuild_the_sample() -> None:
    points = torch.tensor([[[1.0, 1.0, 1.0], [1.0, 14.0, 1.0], [15.0, 2.0, 2.0]]], dtype=torch.float64)
    triangles = torch.tensor([[0, 1, 2]])
    found = rasterise(points, triangles, 16, torch.tensor([True]))
    place, triangle, corners, weights = barycentric(points, triangles, found)
    assert len(place) == int((found >= 0).sum()) > 50
    assert (triangle == 0).all()
    rebuilt = (points[0][corners] * weights[..., None]).sum(1)[:, :2]
    expected = torch.stack([place % 16, place // 16], 1).double() + 0.5
    torch.testing.assert_close(rebuilt, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(weights.sum(1), torch.ones(len(place), dtype=torch.float64))


# what a face does ---------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(emotion=st.sampled_from(EMOTIONS), frames=st.integers(2, 40), seed=st.integers(0, 2**31))
def test_performances_stay_inside_their_ranges(emotion: str, frames: int, seed: int) -> None:
    done = perform(emotion, frames, np.random.default_rng(seed))
    assert done.units.shape == (frames, len(UNITS))
    assert np.isfinite(done.units).all()
    assert done.units.min() >= 0
    assert done.units.max() <= 1
    assert set(done.phase) <= set(range(len(PHASES)))
    weights = shape_weights(done, {name: k for k, name in enumerate(load_head().action_index())})
    assert weights.shape == (frames, 52)
    assert weights.min() >= 0
    assert weights.max() <= actions.MAX_SHAPE_WEIGHT
    if emotion == "neutral":
        assert done.intensity == 0
        assert not done.expression.any()
    else:
        assert Knobs().intensity[0] <= done.intensity <= Knobs().intensity[1]


def test_an_expression_rises_holds_and_falls_and_the_fall_is_no_mirror_of_the_rise() -> None:
    times = np.linspace(0, 4, 4001)
    curve = envelope(times, start=0.5, rise=0.5, hold=1.0, fall=0.5)
    phase = phase_of(times, start=0.5, rise=0.5, hold=1.0, fall=0.5)
    assert curve[phase == performance.NEUTRAL].max() == 0
    assert curve[phase == performance.PEAK].min() > 0.999
    assert (np.diff(curve[phase == performance.ONSET]) > 0).all()
    assert (np.diff(curve[phase == performance.OFFSET]) < 0).all()
    rise, fall = curve[(times >= 0.5) & (times <= 1.0)], curve[(times >= 2.0) & (times <= 2.5)]
    assert np.abs(rise - fall[::-1]).max() > 0.1


def test_the_apex_lies_anywhere_in_the_clip() -> None:
    draws = [perform("surprise", 12, np.random.default_rng(k)) for k in range(300)]
    middles = np.array([(d.expression * np.arange(12)).sum() / d.expression.sum() for d in draws])
    thirds = np.histogram(middles, bins=[0, 11 / 3, 22 / 3, 11])[0] / len(draws)
    assert (thirds > 0.2).all()
    weak = np.mean([d.expression[6] < 0.5 for d in draws])
    assert 0.25 < weak < 0.75, "the middle frame must often not show the expression"


def test_every_class_can_be_told_from_its_units_at_the_apex() -> None:
    """The recipes differ: the nearest recipe names the class of the full expression."""
    recipes = [(e, actions.VARIANTS[e][k]) for e in EMOTIONS for k in range(len(actions.VARIANTS[e]))]
    vectors = np.array([[r.get(u, 0.0) for u in UNITS] for _, r in recipes])
    gaps = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    for i, (a, _) in enumerate(recipes):
        for j, (b, _) in enumerate(recipes):
            if a != b:
                assert gaps[i, j] > 0.5, (recipes[i], recipes[j])


# images -------------------------------------------------------------------------------------------------------------


def test_the_face_is_in_the_middle_and_fills_the_image(actor: Actor) -> None:
    images = actor.render(np.zeros((1, 52)), np.zeros((1, 3)), plain_scene(1)).frames
    world, middle, _ = actor._pose_vertices(torch.zeros(1, 52), torch.zeros(1, 3))
    points, _ = actor._project(world, middle, plain_scene(1), 48)
    eyes, lips = points[0, actor.rig.lids], points[0, actor.rig.lips > 0.5]
    assert abs(float(torch.stack([eyes.mean(0), lips.mean(0)]).mean(0)[1]) - 24) < 1.5
    assert abs(float(eyes.mean(0)[0]) - 24) < 1
    assert 12 < float(lips.mean(0)[1] - eyes.mean(0)[1]) < 26
    assert images.shape == (1, 3, 48, 48)
    assert torch.isfinite(images).all()


def test_the_crop_follows_the_head_as_an_aligner_does(actor: Actor) -> None:
    pose = np.array([[0, 0, 0], [0.4, 0, 0], [0, 0.3, 0], [-0.4, -0.2, 0.1]], dtype=np.float32)
    world, middle, _ = actor._pose_vertices(torch.zeros(4, 52), torch.from_numpy(pose))
    points, _ = actor._project(world, middle, plain_scene(4), 48)
    both = torch.stack([points[:, actor.rig.lids].mean(1), points[:, actor.rig.lips > 0.5].mean(1)]).mean(0)
    assert (both[:, :2] - 24).abs().max() < 6


@pytest.mark.parametrize(("shape", "low", "high"), [("jawOpen", 0.62, 1.0), ("browInnerUp", 0.0, 0.42)])
def test_an_action_changes_its_own_part_of_the_image(actor: Actor, shape: str, low: float, high: float) -> None:
    weights = np.zeros((2, 52), dtype=np.float32)
    weights[1, actor.action_index[shape]] = 1
    still, moved = actor.render(weights, np.zeros((2, 3)), plain_scene(2)).frames
    change = (still - moved).abs().sum(0).sum(1)  # per row
    rows = (torch.arange(48) + 0.5) / 48
    inside = change[(rows >= low) & (rows <= high)].sum()
    assert inside > 0.6 * change.sum() > 0


def test_mirrored_actions_mirror_the_image(actor: Actor) -> None:
    """Left is left: the wink of one eye, seen in a mirror, is the wink of the other."""
    weights = np.zeros((3, 52), dtype=np.float32)
    weights[1, actor.action_index["eyeBlinkLeft"]] = weights[2, actor.action_index["eyeBlinkRight"]] = 1
    still, left, right = actor.render(weights, np.zeros((3, 3)), plain_scene(3)).frames
    a, b = (left - still).abs().sum(0), (right - still).abs().sum(0)
    half = 24
    assert a[:, half:].sum() > 5 * a[:, :half].sum()
    assert b[:, :half].sum() > 5 * b[:, half:].sum()
    torch.testing.assert_close(a.flip(1).sum(), b.sum(), rtol=0.15, atol=0)


shares, factors = st.floats(0, 1), st.floats(0, 2)


def ranges(low: float, high: float) -> st.SearchStrategy[tuple[float, float]]:
    return st.lists(st.floats(low, high), min_size=2, max_size=2).map(lambda two: (min(two), max(two)))


cameras = st.builds(
    CameraStrengths,
    blur=ranges(0, 0.05),
    smear=st.floats(0, 0.1),
    noise=ranges(0, 0.2),
    quality=st.none() | ranges(1, 100).map(lambda two: (round(two[0]), round(two[1]))),
    shrink=ranges(1, 4),
    dropped=st.floats(0, 0.9),
    sharpen=ranges(0, 2),
    contrast=ranges(0.5, 2),
    gamma=ranges(0.5, 2),
    saturation=ranges(0, 2),
    grey=st.floats(0, 1),
)
any_knobs = st.builds(
    Knobs,
    intensity=ranges(0, 1),
    **dict.fromkeys(("carry_over", "talking", "hanging", "flicker", "glasses", "sunglasses", "hand", "hair"), shares),
    **dict.fromkeys(("movements", "turn", "sway"), factors),
    misaligned=st.floats(0, 0.01),
    camera=cameras,
)


def test_a_blur_that_reaches_no_neighbour_changes_nothing():
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    still = {
        "smear": np.zeros((2, 2)),
        "noise": 0.0,
        "quality": None,
        "shrink": 1.0,
        "dropped": np.zeros(2, dtype=bool),
    }
    seen = [apply_camera(images, Camera(blur, **still), np.random.default_rng(0)) for blur in (0.0, 1e-250, 0.16)]
    assert torch.equal(seen[0], seen[1]) and torch.equal(seen[0], seen[2])


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(knobs=any_knobs, seed=st.integers(0, 2**31), task=st.sampled_from(list(protocol.TASKS)), which=st.integers(0, 7))
def test_any_knobs_and_any_person_make_a_clip_whose_truth_is_in_its_ranges(
    knobs: Knobs, seed: int, task: str, which: int
) -> None:
    rng = np.random.default_rng(seed)
    someone = Actor(sample_identity(rng, load_head().shape_names), 24)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(protocol.SIZES, "tiny", TINY)
        version = Version("tiny", task=task, knobs=knobs)
        images, truth = generator.make_clip(someone, version, which % len(version.classes), rng)
    assert images.shape == (3, 3, 24, 24)
    assert images.dtype == np.uint8
    if "hand" not in truth["in_front"]:
        assert images.std() > 1, "an image of one colour"
    for name in ("units", "expression", "earlier", "hidden"):
        assert 0 <= truth[name].min() <= truth[name].max() <= 1, name
    assert np.abs(truth["pose"]).max() <= generator.LARGEST_TURN + 1e-6
    assert np.abs(truth["gaze"]).max() <= 0.6 + 1e-6
    assert 0 < 24 * truth["motion"].mean() < 24 * 255
    eyes_and_mouth = truth["landmarks"][:, 36:]
    assert (eyes_and_mouth > 0).all() and (eyes_and_mouth < 24).all(), "the face is not inside the image"
    assert not truth["dropped"][0]
    for name in ("blur", "noise", "quality", "shrink", "contrast", "tears", "light", "offset", "smear"):
        assert np.isfinite(truth[name]).all(), name


def test_people_differ_and_a_person_is_himself() -> None:
    names = load_head().shape_names
    one, again, other = (sample_identity(np.random.default_rng(s), names) for s in (1, 1, 2))
    assert torch.equal(paint_texture(one, 2), paint_texture(again, 2))
    assert one.summary() == again.summary()
    assert not np.allclose(one.shape, other.shape)
    assert not torch.equal(paint_texture(one, 2), paint_texture(other, 2))


def test_the_head_is_whole() -> None:
    head = load_head()
    assert head.triangles.max() < len(head.vertices)
    assert set(head.part.unique().tolist()) == {int(p) for p in Part if p is not Part.LONG_HAIR}  # `hair` adds it
    assert len(head.action_index()) == 52
    assert list(head.action_index().values()) == list(range(len(head.shape_names) - 52, len(head.shape_names)))
    used = {shape for recipe in actions.ACTION_UNITS.values() for shape in recipe}
    assert used <= set(head.action_index())


# the data set -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_bytes_depend_on_the_seed_alone(tiny: str, tmp_path: Path) -> None:
    forward = write_all(tmp_path / "a", tiny, ("train", "val"))
    backward = write_all(tmp_path / "b", tiny, ("val", "train"), order=-1)
    assert forward == backward
    version = Version(tiny, seed=1)
    other = generator.folder_of(tmp_path / "c", version)
    write_part(other / "part", *generator.make_part(version, "train", 0))
    assert (other / "part.frames.npy").read_bytes() != forward["train/part-0000.frames.npy"]


@pytest.mark.slow
def test_what_is_there_is_what_was_asked_for(tiny: str, tmp_path: Path) -> None:
    write_all(tmp_path, tiny, generator.SPLITS)
    sets = {split: MakeFaces(split, tiny, root=tmp_path, progress=False) for split in generator.SPLITS}
    for split, data in sets.items():
        people = TINY.people[generator.SPLITS.index(split)]
        assert len(data) == 4 * people == len(data.table)
        if people % 7 == 0:
            assert np.bincount(data.table.labels).tolist() == [len(data) // 7] * 7
        data.verify()
        last = len(data) - 1
        assert data.read(last).shape == (3, 3, 24, 24)
        assert np.array_equal(data.read(last, np.array([2, 0, 2])), data.read(last)[[2, 0, 2]])
        assert data.truth(last)["units"].shape == (3, len(UNITS))
    groups = [set(data.table.groups) for data in sets.values()]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    first = [data.read(0) for data in sets.values()]
    assert not np.array_equal(first[0], first[1])
    assert len({data.fingerprint for data in sets.values()}) == 3


def test_a_damaged_part_is_named(tiny: str, tmp_path: Path) -> None:
    write_all(tmp_path, tiny, ("val",))
    data = MakeFaces("val", tiny, root=tmp_path, progress=False)
    frames = data.folder / "val" / "part-0001.frames.npy"
    whole = bytearray(frames.read_bytes())
    whole[-1] ^= 1
    frames.write_bytes(whole)
    with pytest.raises(InputError, match=r"part-0001\.frames\.npy does not match its checksum"):
        data.verify()
    (data.folder / "val" / "part-0001.npz").write_bytes(b"not a zip")
    with pytest.raises(InputError, match=r"part-0001\.npz"):
        MakeFaces("val", tiny, root=tmp_path, progress=False)


def test_bad_requests_say_what_is_valid(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="choose one of train, val, test"):
        MakeFaces("validation", "mini", root=tmp_path)
    with pytest.raises(InputError, match="choose one of mini, book, paper"):
        MakeFaces("val", "huge", root=tmp_path)
    with pytest.raises(InputError, match="unknown emotion 'joy': choose one of neutral, happiness, sadness"):
        perform("joy", 4, np.random.default_rng(0))
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(InputError, match="cannot create the folder"):
        MakeFaces("val", "mini", root=blocked, progress=False)


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    folder = generator.folder_of(tmp_path, Version("mini"))
    command = [sys.executable, "-m", "dferlib.cli", "makefaces", "--size", "mini", "--split", "val"]
    parts = [generator.part_stem(folder, "val", part) for part in range(2)]
    for files in (0, 1):  # while it renders, and as soon as something is written
        process = subprocess.Popen([*command, "--workers", "2", "--root", tmp_path], stderr=subprocess.DEVNULL)
        while not folder.exists():
            time.sleep(0.01)
        time.sleep(3)
        while len(list(folder.rglob("*.*"))) < files:
            time.sleep(0.01)
        process.kill()
        process.wait()
        for stem in filter(lambda stem: facts_file(stem).exists(), parts):
            np.load(layer_file(stem, "frames"))  # the facts seal a part: they come last
    reference = MakeFaces("val", "mini", progress=False)  # which other tests and the chapters see, too
    resumed = MakeFaces("val", "mini", root=tmp_path, workers=1, progress=False)
    assert resumed.fingerprint == reference.fingerprint
    resumed.verify()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="processes are listed differently")
def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = (
        f"from dferlib import MakeFaces; from pathlib import Path; MakeFaces(size='mini', root=Path({str(tmp_path)!r}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("part-*.npy")) and time.monotonic() < deadline:
        time.sleep(0.1)
    parent.kill()
    parent.wait()
    time.sleep(1.0)
    before = {f.name for f in tmp_path.rglob("part-*")}
    time.sleep(4.0)
    assert {f.name for f in tmp_path.rglob("part-*")} == before
