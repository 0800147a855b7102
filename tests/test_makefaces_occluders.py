"""What hides the faces of MakeFaces: it sits where it says, hides what it says, and leaves the rest alone."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dferlib import InputError
from dferlib.makefaces.assets import load_head
from dferlib.makefaces.identity import sample_identity
from dferlib.makefaces.occluders import KINDS, occlude, possible_kinds, sample_occluder
from dferlib.makefaces.occluders.glasses import FRAME_SHAPES, Glasses
from dferlib.makefaces.occluders.hair import Hair
from dferlib.makefaces.occluders.hand import HAND_PLACES, Hand
from dferlib.makefaces.occluders.hand_sprite import ALPHA, POSES, SHADOW, hand_sprite
from dferlib.makefaces.render import Actor
from dferlib.makefaces.scene import Light, Scene

TURNS = np.array([[0, 0, 0], [0.45, 0, 0], [-0.45, 0.1, 0], [0.1, 0.25, 0.1], [-0.2, -0.25, -0.1]], np.float32)


@lru_cache(maxsize=8)
def actor(size: int = 64, hairstyle: str = "short", tone: float | None = None) -> Actor:
    person = sample_identity(np.random.default_rng(3), load_head().shape_names)
    changes = {} if tone is None else {"skin_tone": tone}
    return Actor(replace(person, hairstyle=hairstyle, beard=0.0, **changes), size)  # a full beard is darker than a hand


def scene(frames: int, power: float = 0.8, light: np.ndarray | None = None) -> Scene:
    lamp = Light((0.3, -0.8, 0.5), (power, power, power))
    factors = np.ones((frames, 1)) if light is None else light[:, None]
    return Scene((0.25, 0.25, 0.25), (lamp,), 1.0, None, 0.085, np.zeros((frames, 2)), factors)


def grey(frames: int, size: int = 64) -> Tensor:
    return torch.full((frames, 3, size, size), 0.5)


def resting(hand: Hand) -> Hand:
    """The hand, at the face in every frame."""
    return replace(hand, arrives=-1.0, leaves=2.0, takes=0.2)


def hidden_at(hidden: Tensor, points: Tensor) -> Tensor:
    """(F, P) what is hidden at the pixels in which points (F, P, 3) lie."""
    x, y = (points[..., k].floor().long().clamp(0, hidden.shape[-1] - 1) for k in (0, 1))
    return torch.stack([frame[rows, columns] for frame, rows, columns in zip(hidden, y, x, strict=True)])


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_hidden_or_in_its_shadow_changes(kind: str) -> None:
    some = 0
    for seed in range(6):
        thing = sample_occluder(kind, actor(), np.random.default_rng(seed))
        out, hidden = occlude(grey(5), thing, actor(), TURNS, scene(5))
        change = (out - 0.5).abs().amax(1)
        assert (out - 0.5)[hidden[:, None].expand_as(out) == 0].max() <= 0  # a shadow can only darken
        near = torch.nn.functional.max_pool2d((hidden > 0).float()[:, None], 31, 1, 15)[:, 0]
        inner = slice(12, -12)  # near the border falls the shadow of what is outside the image
        assert not (change * (near == 0))[:, inner, inner].any()
        assert change[hidden > 0.9].numel() == 0 or change[hidden > 0.9].max() > 0.02
        some += int((hidden.amax((1, 2)) > 0.5).sum())
    assert some > 5


@pytest.mark.parametrize("shape", list(FRAME_SHAPES))
def test_the_rims_lie_where_the_turned_head_carries_them(shape: str) -> None:
    seed = next(k for k in range(500) if glasses(k).shape == shape)
    empty = replace(glasses(seed), density=(0.0, 0.0), mirror=0.0, rim=0.004)
    _, hidden = occlude(grey(5), empty, actor(), TURNS, scene(5))
    edges = actor().place(empty.rim_points().flatten(0, 1), TURNS, scene(5))
    pixel = 0.17 * actor().scale / 64  # metres
    for frame, points in zip(hidden, edges, strict=True):
        y, x = ((frame > 0.5).nonzero() + 0.5).unbind(1)
        away = torch.cdist(torch.stack([x, y], 1), points[:, :2])
        left, right = points[:, 0].min(), points[:, 0].max()
        bridge = (x > points[: len(points) // 2, 0].max()) & (x < points[len(points) // 2 :, 0].min())
        rims = ~bridge & (x > left) & (x < right)
        assert away.amin(1)[rims].max() < 1 + 0.0042 / pixel  # the rim's own thickness is outside its inner edge
        shown = ((points[:, :2] - 32).abs() < 30).all(1)  # a broad head's glasses leave the picture
        assert shown.float().mean() > 0.9 and away.amin(0)[shown].max() < 1.6  # and there is rim all along the edge
        inside = (points[: len(points) // 2].mean(0), points[len(points) // 2 :].mean(0))
        assert all(frame[int(p[1]), int(p[0])] < 0.2 for p in inside)  # through which the eyes look


def glasses(seed: int, kind: str = "glasses") -> Glasses:
    thing = sample_occluder(kind, actor(), np.random.default_rng(seed))
    assert isinstance(thing, Glasses)
    return thing


def test_glasses_sit_before_the_eyes_and_sunglasses_hide_them() -> None:
    lids = actor().rest[actor().rig.lids]
    eyes = torch.stack([lids[lids[:, 0] < 0].mean(0), lids[lids[:, 0] > 0].mean(0)])
    at = actor().place(eyes, TURNS[:1], scene(1))
    for seed in range(20):
        for kind, low, high in (("glasses", 0.0, 0.45), ("sunglasses", 0.6, 1.0)):
            pair = glasses(seed, kind)
            assert (pair.centres[:, 1] < lids[:, 1].min()).all()
            _, hidden = occlude(grey(1), pair, actor(), TURNS[:1], scene(1))
            assert ((hidden_at(hidden, at) >= low) & (hidden_at(hidden, at) <= high)).all()


def test_mirrored_poses_show_mirrored_glasses() -> None:
    pair = replace(glasses(4), mirror=0.0)
    _, hidden = occlude(grey(2), pair, actor(), np.array([[0.3, 0, 0], [-0.3, 0, 0]], np.float32), scene(2))
    assert (hidden[0] - hidden[1].flip(1)).abs().mean() < 0.01


@pytest.mark.parametrize("place", HAND_PLACES)
def test_a_resting_hand_covers_the_part_it_claims(place: str) -> None:
    rest, rig = actor().rest, actor().rig
    eyes, lips = rest[rig.lids].mean(0), rest[rig.lips > 0.5]
    cover: dict[str, list[float]] = {"claimed": [], "elsewhere": []}
    for seed in range(36):
        hand = sample_occluder("hand", actor(), np.random.default_rng(seed))
        assert isinstance(hand, Hand)
        if hand.place != place:
            continue
        _, hidden = occlude(grey(1), resting(hand), actor(), TURNS[:1], scene(1))
        side = torch.tensor([hand.side, 1, 1]) * actor().scale
        claimed = {
            "mouth": lips,
            "cheek": torch.lerp(eyes, lips.mean(0), 0.5) + side * torch.tensor([[0.04, 0, 0], [0.055, 0, 0.0]]),
            "brow": eyes + side * torch.tensor([[0.02, 0, 0.024], [0.03, 0, 0.022]]),
        }[place]
        # no hand reaches across: the other side's temple, or its jaw, stays free
        other = eyes + side * torch.tensor([[-0.06, 0.0, 0.02 if place == "mouth" else -0.06]])
        for name, points in (("claimed", claimed), ("elsewhere", other)):
            cover[name].append(float(hidden_at(hidden, actor().place(points, TURNS[:1], scene(1))).mean()))
    assert np.mean(cover["claimed"]) > 0.6
    assert np.mean(cover["elsewhere"]) < 0.1


def test_a_hand_comes_rests_and_goes_smoothly() -> None:
    sampled = sample_occluder("hand", actor(), np.random.default_rng(1))
    assert isinstance(sampled, Hand)
    hand = replace(sampled, arrives=0.2, takes=0.2, leaves=0.6)
    here = hand.presence(1001)
    assert (here[:200] == 0).all()
    assert np.allclose(here[400:601], 1)
    assert np.allclose(here[800:], 0)
    assert np.abs(np.diff(here, 2)).max() < 1e-3  # the speed has no jumps
    assert here[300] == pytest.approx(0.5)
    _, hidden = occlude(grey(11), hand, actor(), np.zeros((11, 3), np.float32), scene(11))
    share = hidden.mean((1, 2))
    assert (share[:3] == 0).all()
    assert (share[8:] == 0).all()
    assert (share[4:7] > 0.1).all()


@pytest.mark.parametrize("pose", range(POSES))
def test_a_hand_has_five_fingers(pose: int) -> None:
    """A row over the tip of the thumb and the middle of the fingers would cross them all; two rows do so surely."""
    alpha = hand_sprite(pose, 0.0008)[ALPHA] > 0.5

    def crossed(row: Tensor) -> int:
        return int((row[1:] & ~row[:-1]).sum())

    rows = [crossed(row) for row in alpha]
    assert max(rows) >= 4
    top = int(alpha.any(1).int().argmax())
    assert crossed(alpha[top + 2]) == 1  # the middle finger is the longest
    shadow = hand_sprite(pose, 0.0008)[SHADOW]
    assert shadow[~alpha].max() > 0.2  # and falls beside it


def skin_of_hand_and_face(tone: float) -> tuple[float, float]:
    who = actor(64, "short", tone)
    hand = sample_occluder("hand", who, np.random.default_rng(1))
    assert isinstance(hand, Hand)
    drawn = resting(hand).draw(who, TURNS[:1], scene(1))
    rendered = who.render(np.zeros((1, 52)), TURNS[:1], scene(1))
    # the middle value: brows, eyes and lips are darker than skin
    hand_value = drawn.paint[0][:, drawn.hidden[0] > 0.95].mean(0).median()
    return float(hand_value), float(rendered.frames[0][:, rendered.face[0] > 0.95].mean(0).median())


@pytest.mark.parametrize("tone", [0.05, 0.5, 0.95])
def test_a_hand_has_the_brightness_of_the_face(tone: float) -> None:
    hand, face = skin_of_hand_and_face(tone)
    assert hand == pytest.approx(face, rel=0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_occluders_follow_the_light(kind: str) -> None:
    light = np.array([1.0, 0.2, 1.0])
    thing = sample_occluder(kind, actor(), np.random.default_rng(1))
    thing = resting(thing) if isinstance(thing, Hand) else thing
    drawn = thing.draw(actor(), np.zeros((3, 3), np.float32), scene(3, light=light))
    bright = drawn.paint.mean((1, 2, 3))
    assert bright[1] < 0.8 * bright[0]
    brighter = thing.draw(actor(), np.zeros((3, 3), np.float32), scene(3, power=1.5)).paint.mean()
    assert brighter > drawn.paint.mean()


def test_hair_in_front_needs_hair() -> None:
    assert "hair" in possible_kinds(actor(64, "long").person)
    assert "hair" not in possible_kinds(actor(64, "buzz").person)
    with pytest.raises(InputError, match="buzz"):
        sample_occluder("hair", actor(64, "buzz"), np.random.default_rng(0))
    with pytest.raises(InputError, match="scarf"):
        sample_occluder("scarf", actor(), np.random.default_rng(0))


def test_hair_hangs_from_above_and_moves_with_the_head() -> None:
    for seed in range(10):
        hair = sample_occluder("hair", actor(), np.random.default_rng(seed))
        _, hidden = occlude(grey(2), hair, actor(), np.array([[0.3, 0, 0], [-0.3, 0, 0]], np.float32), scene(2))
        top, bottom = hidden[:, :20].mean(), hidden[:, 54:].mean()
        assert top > max(bottom, 0.01)
        columns = torch.arange(64.0)
        middle = (hidden[:, :20].sum(1) * columns).sum(1) / hidden[:, :20].sum((1, 2))
        assert abs(middle[0] - middle[1]) > 0.05


def test_a_strand_runs_from_root_to_tip_and_leaves_the_image_below() -> None:
    """Against the closed form: straight down the middle, three pixels wide at its root, with and without an end."""
    hair = sample_occluder("hair", actor(), np.random.default_rng(0))
    assert isinstance(hair, Hair)
    unit, middle = actor().scale, actor().middle
    depth, tops, tips = float(middle[1]), 0.12 * unit, (0.0, -0.2 * unit)
    for tip in tips:
        z = torch.tensor([tops, (tops + tip) / 2, tip]) + middle[2]
        points = torch.stack([torch.zeros(3), torch.full((3,), depth), z], 1)[None]
        pixel = 0.17 * unit / 64
        one = replace(hair, points=points, thick=np.array([3 * pixel]), tones=np.ones(1), swing=np.zeros(4))
        _, hidden = occlude(grey(1), one, actor(), TURNS[:1], scene(1))
        placed = actor().place(points[0], TURNS[:1], scene(1))[0]
        t = (torch.arange(64) + 0.5 - placed[0, 1]) / (placed[2, 1] - placed[0, 1])
        wide = torch.where(t < 1, 3 * (1 - t.clamp(max=1) ** 3), 0)
        assert torch.allclose(hidden[0].sum(1), wide.float(), atol=0.02)
        covered = hidden[0].sum(0) / hidden[0].sum()
        assert float((covered * (torch.arange(64) + 0.5)).sum()) == pytest.approx(float(placed[0, 0]), abs=0.02)


@settings(max_examples=20, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 100_000),
    size=st.sampled_from([16, 33, 64]),
    frames=st.integers(1, 3),
    hairstyle=st.sampled_from(["short", "long"]),
)
def test_any_occluder_gives_images(kind: str, seed: int, size: int, frames: int, hairstyle: str) -> None:
    who = actor(size, hairstyle)
    rng = np.random.default_rng(seed)
    pose = rng.uniform(-0.6, 0.6, (frames, 3)).astype(np.float32)
    images = torch.from_numpy(rng.random((frames, 3, size, size), dtype=np.float32))
    shots = []
    for _ in range(2):
        thing = sample_occluder(kind, who, np.random.default_rng(seed))
        shots.append(occlude(images, thing, who, pose, scene(frames)))
    (out, hidden), (again, hidden_again) = shots
    assert torch.equal(out, again)
    assert torch.equal(hidden, hidden_again)
    assert out.shape == images.shape
    assert hidden.shape == (frames, size, size)
    for values in (out, hidden):
        assert values.min() >= 0
        assert values.max() <= 1
