"""The 68 landmarks lie where the scheme says, move with what they lie on, and are where the images show them."""

from functools import lru_cache

import numpy as np
import pytest
import torch

from dferlib.makefaces.assets import FACE, LIPS, Part, load_head
from dferlib.makefaces.identity import sample_identity
from dferlib.makefaces.landmarks import OUTER_CORNERS, find_landmarks
from dferlib.makefaces.render import Actor
from dferlib.makefaces.rig import load_rig
from dferlib.makefaces.scene import Scene

BROWS, EYES, OUTER, INNER = slice(17, 27), (slice(36, 42), slice(42, 48)), slice(48, 60), slice(60, 68)
# the landmark on the other side of the face, from the definition of the scheme
MIRROR = [
    *range(16, -1, -1),
    *range(26, 16, -1),
    *(27, 28, 29, 30),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46),
    *(39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
]


@lru_cache(maxsize=2)
def resting(long_hair: bool = False) -> torch.Tensor:
    """(68, 3) on the template."""
    rig = load_rig("cpu", long_hair)
    return find_landmarks(rig).of(rig.template[None])[0]


def moved(**actions: float) -> torch.Tensor:
    """(68, 3) metres that each landmark moves by when blend shapes act."""
    rig = load_rig("cpu", False)
    change = sum(weight * rig.action_shapes[rig.action_index[name]] for name, weight in actions.items())
    return find_landmarks(rig).of(torch.as_tensor(change).view(1, -1, 3))[0]


def area(polygon: torch.Tensor) -> float:
    """Of a closed line (N, 2), positive if it runs clockwise where x is right and y is up."""
    x, y = polygon.unbind(1)
    return float((x.roll(-1) * y - x * y.roll(-1)).sum() / 2)


def border(one: Part, other: Part) -> torch.Tensor:
    """Vertices of the whole head where two parts meet."""
    head = load_head()
    first, second = head.vertices_of(one), head.vertices_of(other)
    return head.vertices[first[torch.isin(first, second)]]


def test_landmarks_are_places_on_the_skin_and_the_same_under_any_hair() -> None:
    rig = load_rig("cpu", False)
    found = find_landmarks(rig)
    assert found.corners.shape == found.weights.shape == (68, 9)
    assert (found.weights >= 0).all()
    assert torch.allclose(found.weights.sum(1), torch.ones(68))
    assert (rig.skin[found.corners] == 1).all()
    assert torch.equal(resting(False), resting(True))


def test_landmarks_of_the_brows_follow_hair_that_grows_higher() -> None:
    rig = load_rig("cpu", False)
    lifts = np.array([[0.003, 0.0, -0.002], [0.001, 0.002, 0.004]])  # left and right: inner end, middle, outer end
    moved = find_landmarks(rig, lifts).of(rig.template[None])[0] - resting()
    left, right = moved[17:22, 2].numpy(), moved[22:27, 2].numpy()  # both from left to right
    np.testing.assert_allclose(left[[4, 2, 0]], lifts[0], atol=2e-4)
    np.testing.assert_allclose(right[[0, 2, 4]], lifts[1], atol=2e-4)
    assert moved[17:27, 0].abs().max() < 3e-4  # straight up
    rest = [k for k in range(68) if not 17 <= k < 27]
    assert moved[rest].abs().max() == 0


def test_left_mirrors_right() -> None:
    there = resting()
    error = (there[MIRROR] * torch.tensor([-1.0, 1.0, 1.0]) - there).norm(dim=1)
    assert error.max() < 0.001  # metres; the packaged mask of the lips is that much askew


def test_points_follow_each_other_as_the_scheme_says() -> None:
    p = resting()[:, [0, 2]]
    assert (p[:17, 0].diff() > 0).all()  # the jaw and the brows run from left to right
    assert (p[BROWS, 0].diff() > 0).all()
    assert p[:17, 1].argmin() == 8
    assert (p[27:31, 1].diff() < 0).all()
    assert (p[31:36, 0].diff() > 0).all()
    for closed in (*EYES, OUTER, INNER):
        assert area(p[closed]) > 0  # clockwise
        assert p[closed, 0].argmin() == 0
    levels = [p[8, 1], p[57, 1], p[66, 1], p[62, 1], p[51, 1], p[33, 1], p[30, 1], p[27, 1]]
    assert (torch.stack(levels).diff() > 0).all()  # chin, lower lip, upper lip, nose from bottom to top
    assert (p[BROWS, 1] > p[36:48, 1].max()).all()


def test_eye_corners_end_the_lid_margins() -> None:
    margin = border(Part.SKIN, Part.EYE_SOCKET)
    left, right = margin[margin[:, 0] < 0], margin[margin[:, 0] > 0]
    ends = [left[left[:, 0].argmin()], left[left[:, 0].argmax()], right[right[:, 0].argmin()]]
    for index, end in zip((36, 39, 42, 45), [*ends, right[right[:, 0].argmax()]], strict=True):
        assert torch.allclose(resting()[index], end, atol=1e-6)
    assert OUTER_CORNERS == (36, 45)


def test_lips_are_where_the_mask_says() -> None:
    rig = load_rig("cpu", False)
    how_much = find_landmarks(rig).of(rig.lips[None, :, None])[0, :, 0]
    assert torch.allclose(how_much[OUTER], torch.full((12,), 0.5), atol=1e-5)
    assert (how_much[INNER] > 0.9).all()
    assert (how_much[:48] < 0.1).all()
    head = load_head()
    lips = head.vertices[head.masks[:, LIPS] > 0.5]
    assert abs(float(resting()[54, 0] - resting()[48, 0]) - float(lips[:, 0].max() - lips[:, 0].min())) < 0.002
    opening = border(Part.SKIN, Part.MOUTH_CAVITY)
    assert torch.cdist(resting()[INNER], opening).min(1).values.max() < 0.003  # metres


def test_jaw_is_the_outline_of_the_face() -> None:
    head = load_head()
    face = head.vertices[head.masks[:, FACE] > 0.5]
    assert abs(float(resting()[8, 2] - face[:, 2].min())) < 0.002
    on_skin = head.vertices[head.vertices_of(Part.SKIN)]
    for x, _, z in resting()[[3, 4, 12, 13]]:
        level = on_skin[((on_skin[:, 2] - z).abs() < 0.006) & (on_skin[:, 1] < -0.05)]
        assert abs(float(x.abs() - level[:, 0].abs().max())) < 0.006


def test_mouth_opens_with_the_jaw() -> None:
    open_ = moved(jawOpen=1.0)
    assert float(open_[62, 2] - open_[66, 2]) > 0.015  # metres
    assert open_[8, 2] < -0.015
    assert open_[[*range(17, 28), *range(36, 48)]].norm(dim=1).max() < 0.0005  # brows, root of the nose, eyes
    smile = moved(mouthSmileLeft=1.0, mouthSmileRight=1.0)
    assert smile[48, 0] < -0.003 < 0.003 < smile[54, 0]
    assert (smile[[48, 54], 2] > 0.003).all()


@pytest.mark.parametrize(("side", "own", "other"), [("Left", EYES[1], EYES[0]), ("Right", EYES[0], EYES[1])])
def test_lids_close_on_their_own_side(side: str, own: slice, other: slice) -> None:
    after = resting() + moved(**{f"eyeBlink{side}": 1.0})
    assert area(after[own][:, [0, 2]]) < 0.2 * area(resting()[own][:, [0, 2]])
    assert area(after[other][:, [0, 2]]) == pytest.approx(area(resting()[other][:, [0, 2]]), rel=0.01)


def test_brows_rise() -> None:
    inner, outer = moved(browInnerUp=1.0)[BROWS, 2], moved(browOuterUpLeft=1.0)[BROWS, 2]
    assert inner.argmax() in (4, 5)  # points 21 and 22, at the nose
    assert inner[[4, 5]].min() > 0.004  # metres
    assert outer[5:].max() > 0.003 > 100 * outer[:5].abs().max()  # the person's left is right in the image


def test_pixels_show_the_motion_of_the_landmark_that_lies_there() -> None:
    """The map of motion is made pixel by pixel from what each ray hits, the landmarks vertex by vertex."""
    actor = Actor(sample_identity(np.random.default_rng(11), load_head().shape_names), 160)
    names = list(actor.action_index)
    actions = np.zeros((2, 52), dtype=np.float32)
    actions[:, [names.index(n) for n in ("jawOpen", "browInnerUp", "mouthSmileLeft")]] = [[0.5, 1, 1], [0.2, 0.5, 0]]
    pose = np.array([[0.15, -0.1, 0.1], [-0.1, 0.05, 0]], dtype=np.float32)
    scene = Scene((0.3, 0.3, 0.3), (), 1.0, None, 0.115, np.full((2, 2), 0.004), np.ones((2, 0)))
    rendered = actor.render(actions, pose, scene)
    motion, pixels = rendered.motion, rendered.landmarks
    assert pixels.shape == (2, 68, 2)
    moved = (torch.from_numpy(actions) @ actor.rig.action_shapes).view(2, -1, 3).norm(dim=-1, keepdim=True)
    truth = actor.landmarks.of(moved)[..., 0]
    in_sight = [7, 8, 9, *range(17, 36), *range(48, 60)]  # lids and teeth move by themselves beside their landmarks
    for frame in range(2):
        there = [k for k in in_sight if pixels[frame, k].min() >= 0 and pixels[frame, k].max() < 160]
        assert len(there) > 30
        x, y = pixels[frame, there].floor().long().unbind(1)
        assert (motion[frame, y, x] - truth[frame, there]).abs().max() < 0.0015  # metres
        # whoever takes x for y, or turns a head the other way, is far off
        assert (motion[frame, x, y] - truth[frame, in_sight]).abs().max() > 0.003
