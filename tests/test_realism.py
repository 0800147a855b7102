"""The measures of faces, the photographs, and the fit of rendered people to real ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dferlib import InputError
from dferlib.makefaces.assets import load_head
from dferlib.makefaces.identity import sample_identity
from dferlib.makefaces.proportions import (
    BROW_UNEVEN,
    DECISIVE,
    LARGEST_LIFT,
    amounts_of,
    changes_of,
    decisive,
    groups_of,
    load_proportions,
    spreads,
    traits_of,
)
from dferlib.makefaces.realism import comparing, fitting
from dferlib.makefaces.realism.distances import DISTANCES, face_distances
from dferlib.makefaces.realism.light import BANDS, MEASURES, SIDE, light_measures
from dferlib.makefaces.realism.photographs import MEASURED, find_all, read_people, read_photographs
from dferlib.makefaces.realism.rendered import landmarks_at_rest, passport, who
from dferlib.video.faces.aligning import template

LONDON = Path(__file__).parents[2] / "shared" / "real" / "london"
NAMES = load_head().shape_names


def column(name: str) -> int:
    return DISTANCES.index(name)


# distances ----------------------------------------------------------------------------------------------------------


@given(angle=st.floats(-3, 3), scale=st.floats(0.1, 50), right=st.floats(-90, 90), down=st.floats(-90, 90))
def test_distances_do_not_depend_on_where_how_large_and_how_tilted_a_face_is(angle, scale, right, down) -> None:
    points = template()
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = points @ turn.T + (right, down)
    np.testing.assert_allclose(face_distances(moved[None]), face_distances(points[None]), atol=1e-6)


def test_distances_are_what_their_names_say() -> None:
    points = np.zeros((68, 2))
    points[36:42] = [(-1.2, 0), (-1.1, -0.2), (-0.9, -0.2), (-0.8, 0), (-0.9, 0.2), (-1.1, 0.2)]  # an eye round (-1, 0)
    points[42:48] = points[36:42] + np.array([2, 0])
    points[17:22], points[22:27] = (-1, -0.8), (1, -0.8)
    points[21, 0], points[22, 0] = -0.4, 0.4
    points[33], points[31], points[35] = (0, 1.4), (-0.4, 1.3), (0.4, 1.3)
    points[48], points[54] = (-0.8, 2.2), (0.8, 2.2)
    points[51], points[62], points[66], points[57] = (0, 1.9), (0, 2.1), (0, 2.1), (0, 2.4)
    points[8], points[2], points[14] = (0, 3.6), (-2, 1), (2, 1)
    found = dict(zip(DISTANCES, face_distances(points[None])[0], strict=True))  # the eye centres are 2 apart
    wanted = {
        **dict.fromkeys(("inner brow above lid", "middle brow above lid", "outer brow above lid"), 0.3),
        **{"gap between brows": 0.4, "eye opening": 0.2, "eye width": 0.2, "nose base": 0.7, "nose width": 0.4},
        **{"mouth corners": 1.1, "mouth width": 0.8, "upper lip height": 0.1, "lower lip height": 0.15},
        **{"mouth corners below lip line": 0.05, "chin": 1.8, "jaw width": 2.0},
    }
    assert found == pytest.approx(wanted)


# light --------------------------------------------------------------------------------------------------------------


def test_an_even_frame_has_its_grey_value_everywhere_and_no_gradient() -> None:
    found = dict(zip(MEASURES, light_measures(np.full((1, SIDE, SIDE, 3), 90, np.uint8))[0], strict=True))
    for name in ("mean", "5th percentile", "95th percentile", *(m for m in MEASURES if m.startswith("darkest"))):
        assert found[name] == pytest.approx(90)
    assert found["standard deviation"] == found["gradient, mean"] == pytest.approx(0, abs=1e-9)
    assert found["red over green"] == found["blue over green"] == pytest.approx(1)


@pytest.mark.parametrize("band", range(len(BANDS)))
def test_a_wave_shows_in_the_band_of_its_frequency(band: int) -> None:
    low, high = BANDS[band]
    wave = 128 + 60 * np.sin(2 * np.pi * (low + high) / 2 * np.arange(SIDE) / SIDE)
    frame = np.broadcast_to(wave[None, :, None], (SIDE, SIDE, 3)).round().astype(np.uint8)
    powers = light_measures(frame[None])[0, [MEASURES.index(m) for m in MEASURES if m.startswith("power")]]
    assert powers.argmax() == band


@pytest.mark.parametrize(
    ("part", "marks"), [("brows", (19, 24)), ("eyes", (38, 43)), ("nostrils", (32, 34)), ("lips", (49, 53, 55, 59))]
)
def test_what_is_dark_is_found_at_its_place(part: str, marks: tuple[int, ...]) -> None:
    frame = np.full((SIDE, SIDE, 3), 200, np.uint8)
    for x, y in (template()[list(marks)] * SIDE).astype(int):
        frame[y - 1 : y + 2, x - 2 : x + 3] = 20
    found = dict(zip(MEASURES, light_measures(frame[None])[0], strict=True))
    assert found[f"darkest twentieth of the {part}"] < 100
    others = {"brows", "nostrils", "lips"} - {part}  # the box of the eyes comes near to the brows
    assert all(found[f"darkest twentieth of the {other}"] == 200 for other in others)


# photographs --------------------------------------------------------------------------------------------------------


def test_photographs_are_read_by_the_number_of_the_person(tmp_path: Path) -> None:
    for number in ("07", "003"):
        Image.new("RGB", (8, 6), (int(number), 0, 0)).save(tmp_path / f"{number}_neutral.jpg", quality=100)
    (tmp_path / "people.csv").write_text(
        "face_id,face_age,face_gender,face_eth\n003,20,female,black\n07,30,male,east_asian\n"
    )
    photos = read_photographs(tmp_path)
    assert list(photos) == ["003", "07"] and photos["003"].shape == (6, 8, 3)
    people = read_people(tmp_path)
    assert people.loc["07"].to_dict() == {"age": 30, "male": 1, "african": 0, "asian": 1}
    assert people.loc["003"].to_dict() == {"age": 20, "male": 0, "african": 1, "asian": 0}
    with pytest.raises(InputError, match="no photographs called NUMBER_smiling"):
        read_photographs(tmp_path, "smiling")


# shapes -------------------------------------------------------------------------------------------------------------


def test_each_local_change_has_two_directions_that_undo_each_other() -> None:
    head, changes = load_head(), changes_of(NAMES)
    row = {name[2:].removeprefix("l-").removeprefix("r-"): k for k, name in enumerate(NAMES)}
    assert len(changes) == len(set(changes) | set(changes.values())) / 2 > 80
    against = []
    for one, other in changes.items():
        assert one.rsplit("-", 1)[0] == other.rsplit("-", 1)[0]
        a, b = (head.shapes[row[name]].flatten() for name in (one, other))
        against.append(float(a @ b / (a.norm() * b.norm())))
    # forward is the opposite of backward, and not of up; a few of the mesh's authors' pairs are no opposites
    assert np.mean(np.array(against) < -0.5) > 0.75


def test_local_changes_can_be_read_back_from_a_persons_shape() -> None:
    person = who(3)
    amounts = amounts_of(person.shape, person.brow_lifts, NAMES)
    *shapes, height, tilt, arch = amounts
    assert np.abs(shapes).max() <= 1 and np.abs(shapes).min() > 0
    ends = (height + tilt - arch / 2, height + arch, height - tilt - arch / 2)
    np.testing.assert_allclose(ends, person.brow_lifts.mean(0), rtol=1e-5, atol=1e-8)
    row = {name: k for k, name in enumerate(NAMES)}
    for (one, other), amount in zip(changes_of(NAMES).items(), shapes, strict=True):
        pairs = [
            float(person.shape[row[f"{side}{one}"]] - person.shape[row[f"{side}{other}"]])
            for side in ("l:", "l:l-", "l:r-")
            if f"{side}{one}" in row
        ]
        assert amount == pytest.approx(np.mean(pairs), abs=1e-6)


def test_the_two_sides_of_a_face_are_nearly_alike() -> None:
    row = {name: k for k, name in enumerate(NAMES)}
    left = [name for name in NAMES if name.startswith("l:l-")]
    people = [who(k) for k in range(60)]
    shape = np.stack([person.shape for person in people])
    gap = shape[:, [row[n] for n in left]] - shape[:, [row[n.replace("l:l-", "l:r-")] for n in left]]
    assert 0 < np.abs(gap).mean() < 0.15 and np.abs(gap.mean(0)).max() < 0.1  # and no side is favoured
    brows = np.stack([person.brow_lifts for person in people])
    apart = brows[:, 0] - brows[:, 1]
    inside = (np.abs(brows) < LARGEST_LIFT - 1e-5).all(1)
    assert apart[inside].std() == pytest.approx(2**0.5 * BROW_UNEVEN, rel=0.25)
    assert np.abs(brows).max() <= LARGEST_LIFT


# the fit ------------------------------------------------------------------------------------------------------------


def test_whoever_is_drawn_comes_nearer_to_the_distances_that_were_drawn() -> None:
    """In the world of the linear model; a wish comes true in part, and never in more than whole."""
    known = load_proportions()
    assert known is not None
    come_true = np.linalg.eigvals(known.step.T @ known.response)
    assert np.abs(come_true.imag).max() < 1e-4 and come_true.real.min() > 0 and come_true.real.max() < 1
    person, spread = who(1), spreads(changes_of(NAMES))
    traits = traits_of(person.female, person.age, person.weight, person.ancestry)
    groups = groups_of(0.3, person.ancestry)
    missed = []
    for k in range(200):
        free = np.random.default_rng([0, k]).normal(0, spread)
        drawn = known.apply(free, traits, groups, np.random.default_rng([7, k]))
        wanted = groups @ known.mean + known.factor @ np.random.default_rng([7, k]).normal(size=15)
        missed.append([amounts @ known.response + traits @ known.expected - wanted for amounts in (free, drawn)])
    before, after = np.square(missed).mean(0)
    assert (after < 0.7 * before).all()


def test_nobody_is_a_caricature() -> None:
    """Drawn distances once took changes of five times their spread, 182 in sum of squares over what is free."""
    people = [who(k) for k in range(150)]
    changes = np.stack([amounts_of(p.shape, p.brow_lifts, NAMES) for p in people]) / spreads(changes_of(NAMES))
    assert np.square(changes).mean() < 1.6  # drawn freely: 1
    assert np.median(np.abs(changes).max(1)) < 3.7  # of 99 normal numbers the largest has a median of 2.7


def test_only_decisive_changes_are_moved() -> None:
    known, moved = load_proportions(), decisive(changes_of(NAMES))
    assert known is not None and len(moved) == len(known.step)
    assert moved[-3:].all() and moved.sum() == len(DECISIVE) + 3 and set(changes_of(NAMES)) > set(DECISIVE)
    assert not known.step[~moved].any() and known.step[moved].any(1).all()


def test_the_fit_finds_the_world_that_made_the_distances() -> None:
    rng = np.random.default_rng(2)
    people = [sample_identity(np.random.default_rng([9, k]), NAMES) for k in range(400)]
    amounts = np.stack([amounts_of(p.shape, p.brow_lifts, NAMES) for p in people])
    traits = np.stack([traits_of(p.female, p.age, p.weight, p.ancestry) for p in people])
    response, expected = rng.normal(size=(amounts.shape[1], 15)), rng.normal(size=(traits.shape[1], 15))
    response[-3:] *= 100  # the last are metres
    response[~decisive(changes_of(NAMES))] = 0
    rendered = amounts @ response + traits @ expected + rng.normal(0, 1e-3, (400, 15))
    groups = pd.DataFrame(rng.integers(0, 2, (300, 3)).astype(float), columns=["male", "african", "asian"])
    wanted = rng.normal(size=(4, 15))
    real = np.concatenate([np.ones((300, 1)), groups], 1) @ wanted + rng.normal(0, 0.3, (300, 15))
    found = fitting.fit(people, rendered, groups, real)
    np.testing.assert_allclose(found.response[:-3], response[:-3], atol=0.01)
    np.testing.assert_allclose(found.response[-3:], response[-3:], atol=1)
    np.testing.assert_allclose(found.mean, wanted, atol=0.2)
    np.testing.assert_allclose(found.factor @ found.factor.T, 0.09 * np.eye(15), atol=0.03)
    spread, unit = spreads(changes_of(NAMES)), np.sqrt(np.diag(fitting.people_of(groups, real)[1]))

    def unlikely(changes: np.ndarray, wish: np.ndarray) -> float:
        missed = (wish - changes @ found.response) / unit
        return float(np.square(changes / spread).sum() + np.square(missed).sum() / fitting.UNLIKELY)

    for _ in range(50):  # no other changes are likelier: a convex function is lowest where no way leads down
        wish, way = 0.1 * rng.normal(size=15), 0.01 * spread * rng.normal(size=len(spread))
        least = unlikely(found.step @ wish, wish)
        assert least < min(unlikely(found.step @ wish + way, wish), unlikely(found.step @ wish - way, wish))


def test_a_correction_adds_what_is_missed() -> None:
    """People drawn 0.1 too large and with a spread of 0.2 in place of 0.3."""
    rng = np.random.default_rng(3)
    people = [sample_identity(np.random.default_rng([9, k]), NAMES) for k in range(400)]
    groups = pd.DataFrame(rng.integers(0, 2, (300, 3)).astype(float), columns=["male", "african", "asian"])
    real = rng.normal(0, 0.3, (300, 15))
    known = load_proportions()
    assert known is not None
    before = replace(known, mean=np.ones((4, 15)), factor=0.25 * np.eye(15))
    found = fitting.correct(before, people, 0.1 + rng.normal(0, 0.2, (400, 15)), groups, real)
    np.testing.assert_allclose(found.mean, before.mean - [[0.1], [0], [0], [0]], atol=0.2)
    np.testing.assert_allclose(found.factor @ found.factor.T, (0.25**2 + 0.3**2 - 0.2**2) * np.eye(15), atol=0.03)
    assert found.step is before.step and found.response is before.response


def test_few_people_of_a_group_are_believed_in_part() -> None:
    groups = pd.DataFrame({"male": [0.0] * 20, "african": [0.0] * 16 + [1.0] * 4, "asian": [0.0] * 20})
    real = np.repeat((groups[["african"]]).to_numpy(), 15, 1) + np.random.default_rng(0).normal(0, 0.01, (20, 15))
    mean, covariance = fitting.people_of(groups, real)
    believed = 4 * 16 / 20 / (4 * 16 / 20 + fitting.GROUP_RIDGE)  # ridge regression with a free constant
    np.testing.assert_allclose(mean[2], believed, atol=0.02)
    assert (np.linalg.eigvalsh(covariance) > 0).all()


def test_means_and_spreads_are_held_against_their_bounds() -> None:
    rng = np.random.default_rng(0)
    real, same = rng.normal(3, 2, (500, 3)), rng.normal(3, 2, (500, 3))
    table = comparing.compare(("a", "b", "c"), real, same * (1, 1, 1.6) + (0, 1, -1.8))
    assert comparing.within(table).tolist() == [True, False, False]
    assert table["apart"].to_numpy() == pytest.approx([0, 0.5, 0], abs=0.15)
    assert table["ratio"].to_numpy() == pytest.approx([1, 1, 1.6], rel=0.1)
    assert comparing.correlation_gap(real, same) < 0.1
    alike = np.repeat(real[:, :1], 3, 1) + 1e-3 * same
    assert comparing.correlation_gap(real, alike) == pytest.approx(1, abs=0.1)


def test_groups_count_as_they_do_among_the_others() -> None:
    """Half of the rendered people are men, who are 2 larger in one measure; of the photographed three quarters."""
    rng = np.random.default_rng(0)
    men = np.tile([0.0, 1.0], 500)
    rendered = rng.normal(0, 1, (1000, 2)) + 2 * men[:, None] * (1, 0)
    groups, wanted = np.stack([np.ones(1000), men], 1), np.array([[1.0, 1.0], [1, 1], [1, 1], [1, 0]])
    moved = comparing.composed(rendered, groups, wanted)
    assert moved.mean(0) == pytest.approx([1.5, 0], abs=0.12)
    assert moved.std(0) == pytest.approx(rendered.std(0))


@pytest.mark.slow
def test_faces_at_rest_measure_what_peoples_do(tmp_path: Path) -> None:
    """The promise, on few people: a mean of 40 is known to a sixth of a standard deviation."""
    if not LONDON.is_dir():
        pytest.skip("the photographs of real people are not here")
    pytest.importorskip("dlib", reason="dlib is not installed")
    photos = dict(list(read_photographs(LONDON).items())[:MEASURED])
    faces, people = find_all(photos), read_people(LONDON)
    points = {k: found for k in range(5000, 5040) if (found := landmarks_at_rest(k)) is not None}
    rendered = face_distances(np.stack(list(points.values())))
    traits = people.loc[faces.who, ["male", "african", "asian"]].to_numpy()
    alike = comparing.composed(
        rendered,
        np.stack([groups_of(who(k).female, who(k).ancestry) for k in points]),
        np.concatenate([np.ones((len(traits), 1)), traits], 1),
    )
    table = comparing.compare(DISTANCES, face_distances(faces.points), alike)
    assert len(points) >= 38
    assert table["apart"].abs().max() < 0.25 + 3 / 40**0.5, table
    assert table["ratio"].between(0.5, 1.8).all(), table
    comparing.write({"distances": table}, tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"distances.csv", "realism.png"}


def test_a_passport_is_of_the_size_of_a_photograph_and_shows_who_and_what_is_asked_for() -> None:
    one, again, other, smiling = passport(1), passport(1), passport(2), passport(1, {"AU12": 0.8})
    assert one.shape == (448, 448, 3) and one.dtype == np.uint8
    assert (one == again).all() and not (one == other).all()
    changed = np.argwhere((one != smiling).any(-1))
    assert changed.mean(0) == pytest.approx([300, 224], abs=60), "the mouth moved"


def test_a_fit_that_is_stopped_leaves_the_old_one(monkeypatch, tmp_path: Path) -> None:
    from dferlib.makefaces.realism import __main__ as command

    asset = tmp_path / "proportions.npz"
    asset.write_bytes(b"the old one")

    def stopped(*_: object) -> None:
        assert not asset.exists(), "the first round draws people freely"
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "ASSET", asset)
    monkeypatch.setattr(command, "for_each", stopped)
    with pytest.raises(KeyboardInterrupt):
        command.renew(pd.DataFrame(), np.zeros((0, 15)), workers=1)
    assert asset.read_bytes() == b"the old one"
