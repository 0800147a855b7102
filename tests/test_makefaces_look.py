"""MakeFaces as a person sees it: wrinkles, shadows, teeth, hair and skin are where and when they should be."""

from functools import lru_cache

import numpy as np
import pytest
import torch

from dferlib.makefaces.actions import ACTION_UNITS, UNITS
from dferlib.makefaces.assets import Part, atlas_at, load_head
from dferlib.makefaces.blend_shapes import blend_shape_weights
from dferlib.makefaces.identity import SKIN_TONES, Identity, sample_identity
from dferlib.makefaces.render import Actor
from dferlib.makefaces.rig import REGIONS, load_rig, region_of
from dferlib.makefaces.scene import Light, Scene
from dferlib.makefaces.texture import paint_texture
from dferlib.makefaces.wrinkles import WRINKLES, wrinkle_maps, wrinkle_places, wrinkle_strengths

# the units that fold each wrinkle (Ekman, Friesen and Hager, FACS manual, 2002, on the changes each unit makes)
FOLDED_BY = {
    "inner forehead": {"AU1"},
    "outer forehead": {"AU2"},
    "glabella": {"AU4", "AU9"},
    "nose": {"AU9"},
    "crow's feet": {"AU6", "AU7"},
    "pouch": {"AU6", "AU7"},
    "nasolabial": {"AU9", "AU10", "AU12", "AU25"},
    "lip corner": {"AU14", "AU15", "AU23"},
    "stretch": {"AU12", "AU20"},
    "chin": {"AU17", "AU24"},
}


@lru_cache
def someone(hairstyle: str, male: bool) -> Identity:
    """The first person, in the order of the seeds, of a sex with a hair style."""
    people = (sample_identity(np.random.default_rng(k), load_head().shape_names) for k in range(1000))
    return next(p for p in people if p.hairstyle == hairstyle and p.male == male)


def shapes_of(units: dict[str, float], asymmetry: float = 0.0) -> torch.Tensor:
    row = np.zeros((1, len(UNITS)))
    for name, intensity in units.items():
        row[0, UNITS.index(name)] = intensity
    index = load_rig("cpu", False).action_index
    return torch.from_numpy(blend_shape_weights(row, np.zeros((1, 2)), asymmetry, index)).float()


def scene(
    *lamps: Light, ambient: float = 0.3, background: torch.Tensor | None = None, half_width: float = 0.1
) -> Scene:
    return Scene((ambient,) * 3, lamps, 1.0, background, half_width, np.zeros((1, 2)), np.ones((1, len(lamps))))


# wrinkles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRINKLES)
def test_a_wrinkle_lies_in_its_own_height_and_alike_on_both_sides(name: str) -> None:
    place, _ = atlas_at("cpu", 2)
    depth = wrinkle_places(2)[name]
    inside = depth[region_of(place) // 2 == WRINKLES[name].height].abs().sum()
    assert inside > 0.95 * depth.abs().sum()
    left, right = depth[place[..., 0] > 0.001].abs().sum(), depth[place[..., 0] < -0.001].abs().sum()
    torch.testing.assert_close(left, right, rtol=0.07, atol=0)


@pytest.mark.parametrize("name", WRINKLES)
def test_a_wrinkle_lies_where_its_unit_moves_the_skin(name: str) -> None:
    head, place = load_head(), atlas_at("cpu", 2)[0]
    recipe = ACTION_UNITS[sorted(FOLDED_BY[name])[0]]
    rows = head.action_index()
    moved = sum(weight * head.shapes[rows[shape]] for shape, weight in recipe.items()).norm(dim=1)
    depth = wrinkle_places(2)[name].clamp(min=0)
    deep = place[depth > 0.5]
    skin = head.vertices_of(Part.SKIN)
    most = head.vertices[moved > 0.5 * moved.amax()]
    near = torch.cdist(deep, most).amin(1)  # the skin folds in or beside the part that moves
    anywhere = torch.cdist(head.vertices[skin[head.vertices[skin, 1] < -0.05]], most).amin(1)
    assert near.max() < 0.045
    assert near.mean() < 0.6 * anywhere.mean()


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_folds_its_own_wrinkles_and_no_other(unit: str) -> None:
    strengths = wrinkle_strengths(shapes_of({unit: 1.0}), load_rig("cpu", False).action_index)[0]
    for name, wrinkle in WRINKLES.items():
        depth = strengths[2 * wrinkle.height : 2 * wrinkle.height + 2, wrinkle.channel]
        if unit in FOLDED_BY[name]:
            assert (depth > 0.1).all(), name
        else:
            assert (depth == 0).all(), name


def test_one_side_of_a_smile_folds_one_side_of_the_face() -> None:
    strengths = wrinkle_strengths(shapes_of({"AU12": 1.0}, asymmetry=1.0), load_rig("cpu", False).action_index)[0]
    fold = WRINKLES["nasolabial"]
    left, right = (REGIONS.index(f"lower {side}") for side in ("Left", "Right"))
    assert strengths[left, fold.channel] > 0.5
    assert strengths[right, fold.channel] == 0


def test_wrinkles_share_channels_but_no_place() -> None:
    place, _ = atlas_at("cpu", 2)
    for name, wrinkle in WRINKLES.items():
        mine = region_of(place) // 2 == wrinkle.height
        torch.testing.assert_close(wrinkle_maps(2)[wrinkle.channel][mine], wrinkle_places(2)[name][mine])


# shadows ------------------------------------------------------------------------------------------------------------


def test_a_high_lamp_leaves_the_neck_under_the_chin_dark_and_the_forehead_bright() -> None:
    rig = load_rig("cpu", False)
    high = torch.nn.functional.normalize(torch.tensor([0.0, -0.7, 0.7]), dim=0)
    got = rig.visibility.of(high, torch.eye(3)[None])[0]
    x, y, z = rig.template.unbind(1)
    throat = (x.abs() < 0.02) & (y < -0.05) & (z > 0.59) & (z < 0.612)
    forehead = (rig.skin > 0) & (x.abs() < 0.03) & (y < -0.1) & (z > 0.76) & (z < 0.79)
    assert got[throat].mean() < 0.2
    assert got[forehead].mean() > 0.95
    level = rig.visibility.of(torch.tensor([0.0, -0.95, -0.3]), torch.eye(3)[None])[0]
    assert level[throat].mean() > 0.7


def test_shadows_agree_with_rays() -> None:
    """A ray from each vertex to the lamp, tested against every triangle, is the reference."""
    rig = load_rig("cpu", False)
    toward = torch.nn.functional.normalize(torch.tensor([0.7, -0.6, 0.35]), dim=0)
    skin = ((rig.skin > 0) & (rig.template[:, 1] < -0.06) & (rig.template[:, 2] > 0.6)).nonzero()[:, 0]
    skin = skin[torch.randperm(len(skin), generator=torch.Generator().manual_seed(0))[:300]]
    a, b, c = rig.template[rig.triangles].unbind(1)
    ab, ac = b - a, c - a
    p = torch.linalg.cross(toward.expand_as(ac), ac)
    volume = (ab * p).sum(1)
    outside = volume.abs() > 1e-12
    hit = torch.zeros(len(skin), dtype=torch.bool)
    for k, v in enumerate(skin):
        t = rig.template[v] - a
        u, q = (t * p).sum(1) / volume, torch.linalg.cross(t, ab)
        w, far = (q @ toward) / volume, (ac * q).sum(1) / volume
        hit[k] = (outside & (u >= 0) & (w >= 0) & (u + w <= 1) & (far > 0.006)).any()
    got = rig.visibility.of(toward, torch.eye(3)[None])[0, skin]
    assert hit.sum() > 30
    assert (~hit).sum() > 30
    assert got[hit].mean() < 0.5
    assert got[~hit].mean() > 0.85


def test_the_shadow_stays_with_the_lamp_when_the_head_turns() -> None:
    rig = load_rig("cpu", False)
    quarter = torch.tensor([[[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]])  # the head looks along x, away from -y
    lamp = torch.tensor([0.6, -0.6, 0.5])
    turned = rig.visibility.of(quarter[0] @ lamp, quarter)
    torch.testing.assert_close(turned, rig.visibility.of(lamp, torch.eye(3)[None]))


# mouth, eyes, hair, skin --------------------------------------------------------------------------------------------


def test_teeth_are_seen_in_an_open_mouth_only() -> None:
    actor = Actor(someone("short", male=True), 112)
    lamp = Light((0.0, -1.0, 0.3), (0.9, 0.9, 0.9))
    units = [{}, {"AU25": 1.0}, {"AU12": 0.9, "AU25": 1.0}]
    shut, parted, laughing = (
        actor.render(shapes_of(u).numpy(), np.zeros((1, 3)), scene(lamp)).frames[0, :, 62:95, 36:76] for u in units
    )
    # teeth are bright and hardly coloured, which neither skin nor lips are
    white = [int(((p.amin(0) > 0.45) & (p.amax(0) - p.amin(0) < 0.14)).sum()) for p in (shut, parted, laughing)]
    assert white[0] == 0
    assert white[1] > 5
    assert white[2] > 20


@pytest.mark.parametrize("yaw", [-0.4, 0.0, 0.4])
def test_no_background_shows_through_long_hair(yaw: float) -> None:
    actor = Actor(someone("long", male=False), 64)
    green = torch.tensor([0.0, 1.0, 0.0]).expand(128, 128, 3)
    lit = scene(ambient=0.5, background=green, half_width=0.14)
    image = actor.render(np.zeros((1, 52)), np.array([[yaw, 0, 0]]), lit).frames[0]
    seen = (image[1] > image[0] + 0.3).numpy()
    for row in seen[10:40]:  # from the brows to the mouth
        edges = np.flatnonzero(np.diff(row.astype(int)))
        assert len(edges) <= 2, "background, head, background: nothing else in a row"


def test_a_pupil_is_dark_and_a_lamp_shines_in_the_eye() -> None:
    actor = Actor(someone("short", male=True), 224)
    eyes = slice(55, 85), slice(50, 175)
    open_wide = shapes_of({"AU5": 0.8}).numpy()
    dull = actor.render(open_wide, np.zeros((1, 3)), scene(ambient=0.6)).frames[0][:, *eyes]
    lamp = Light((0.1, -1.0, 0.25), (0.6, 0.6, 0.6))
    alive = actor.render(open_wide, np.zeros((1, 3)), scene(lamp, ambient=0.6)).frames[0][:, *eyes]
    assert dull.amax(0).min() < 0.1
    brighter = (alive - dull).amin(0)
    assert brighter.max() > 0.5
    assert (brighter > 0.5 * brighter.max()).float().mean() < 0.02  # a point, not a sheen


def test_everybody_can_be_painted() -> None:
    names = load_head().shape_names
    people = [sample_identity(np.random.default_rng(k), names) for k in range(120)]
    assert {p.hairstyle for p in people} == {"bald", "buzz", "short", "long"}
    assert {p.male for p in people} == {True, False}
    tones = np.array([p.skin_tone for p in people])
    assert np.ptp(tones) > 0.6
    for person in people[:24]:
        atlas = paint_texture(person, 2)
        assert atlas.isfinite().all()
        assert atlas[:3].amin() > 0
        assert atlas[:3].amax() <= 1


def test_skin_is_never_lighter_than_the_lightest_nor_darker_than_the_darkest_tone() -> None:
    for k in range(200):
        skin = sample_identity(np.random.default_rng(k), load_head().shape_names).skin
        assert (skin < SKIN_TONES[0] * 1.08).all()
        assert (skin > SKIN_TONES[-1] * 0.92).all()
