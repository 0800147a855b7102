"""The compiled loops of the renderer against the reference in torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dferlib.makefaces import kernel, raster
from dferlib.makefaces.assets import load_head
from dferlib.makefaces.identity import sample_identity
from dferlib.makefaces.raster import Lamps, Material, Samples
from dferlib.makefaces.render import Actor, Rendered
from dferlib.makefaces.scene import sample_scene

needs_numba = pytest.mark.skipif(not kernel.available(), reason="numba is not installed: there is one path only")
TOLERANCE = 2e-5  # of values from 0 to 1: a two-hundredth of a grey level, from the last digits of powers


def rendered(actor: Actor, loops: object, seed: int) -> Rendered:
    """Three frames with everything on: expression, pose, lamps that change, a background."""
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng, 3, actor.size, 0.085, 0.003, flicker=0.5)
    actor.loops = loops
    return actor.render(rng.uniform(0, 0.8, (3, 52)), rng.normal(0, 0.25, (3, 3)), scene)


@needs_numba
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), size=st.integers(1, 40), spread=st.sampled_from((1.0, 6.0, 40.0)))
def test_random_triangles_give_the_same_indices(seed: int, size: int, spread: float) -> None:
    """Slivers, giants, triangles outside the image, equal depths, corners on the samples themselves."""
    rng = np.random.default_rng(seed)
    middle, corners = rng.uniform(-5, size + 5, (40, 1, 2)), rng.normal(0, spread, (40, 3, 2))
    xy = middle + corners
    xy[::5] = np.round(xy[::5] * 2) / 2  # on the samples and half way between them
    depth = rng.choice([0.5, 0.75, 1.0], (40, 3)) + rng.choice([0.0, 0.2], (40, 1)) * rng.random((40, 3))
    points = torch.from_numpy(np.concatenate([xy, depth[..., None]], -1)).float().reshape(2, 60, 3)
    triangles = torch.from_numpy(rng.permutation(60).reshape(20, 3))
    two_sided = torch.from_numpy(rng.random(20) < 0.5)
    expected = raster.rasterise(points, triangles, size, two_sided)
    found = kernel.rasterise(points, triangles, size, two_sided)
    assert torch.equal(found.long(), expected)
    for mine, reference in zip(
        kernel.barycentric(points, triangles, found), raster.barycentric(points, triangles, expected), strict=True
    ):
        assert torch.equal(mine.to(reference.dtype), reference)


@needs_numba
@pytest.mark.parametrize("seed", range(6))
def test_both_paths_make_the_same_image(seed: int) -> None:
    """Men and women, bald and long-haired: at most one grey level apart anywhere, and hardly a pixel that differs."""
    actor = Actor(sample_identity(np.random.default_rng(seed), load_head().shape_names), 48)
    assert actor.loops is kernel
    fast, slow = rendered(actor, kernel, seed), rendered(actor, raster, seed)
    torch.testing.assert_close(fast.frames, slow.frames, rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(fast.face, slow.face, rtol=0, atol=1e-5)
    torch.testing.assert_close(fast.motion, slow.motion, rtol=0, atol=1e-6)
    bytes_fast, bytes_slow = ((r.frames * 255).round() for r in (fast, slow))
    assert (bytes_fast - bytes_slow).abs().max() <= 1
    assert (bytes_fast != bytes_slow).float().mean() < 1e-3
    assert fast.motion.max() > 1e-3
    assert fast.face.max() > 0.99


@pytest.mark.slow
@needs_numba
def test_light_is_the_same_on_every_kind_of_surface() -> None:
    """Lamps in front, aside and behind, on skin, lips and hair, in the open and in folds, facing either way."""
    rng = np.random.default_rng(0)

    def tensor(*shape: int, low: float = 0.0) -> torch.Tensor:
        return torch.from_numpy(rng.uniform(low, 1, shape)).float()

    def units(*shape: int) -> torch.Tensor:
        return torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal(shape)).float(), dim=-1)

    frames, vertices, lamps = 2, 500, 3
    bald = torch.arange(vertices) % 2 == 0
    surface = Material(
        turns=torch.arange(vertices) % 3 == 0,
        open=tensor(vertices),
        wrap=0.25 * tensor(vertices),
        strength=tensor(vertices) * bald,
        sharpness=14 + 26 * tensor(vertices),
        hair=tensor(vertices, 3) * ~bald[:, None],
    )
    light = Lamps(tensor(3), units(lamps, 3), tensor(frames, lamps, 3), tensor(frames, lamps, vertices))
    given = (tensor(frames, vertices, 3, low=-1), units(frames, vertices, 3), torch.tensor([[0.0, -2, 0], [0, -1, 1]]))
    corners = torch.from_numpy(rng.integers(0, frames * vertices, (600, 3)))
    expected = raster.illuminate(*given, surface, light, corners)
    torch.testing.assert_close(kernel.illuminate(*given, surface, light, corners), expected, rtol=2e-5, atol=2e-6)
    assert ((expected == 0).all(-1).view(-1) == ~torch.isin(torch.arange(frames * vertices), corners)).all()
    assert (expected[..., 3:].amax((0, 2))[bald].max() > 0.1) & (expected[..., 3:].amax((0, 2))[~bald].max() > 0.1)


@needs_numba
@pytest.mark.parametrize("place", [(-1.2, 0.3), (1.0, 1.0), (-1.0, -1.0), (0.99, -0.5), (0.1, 5.0)])
def test_the_edge_of_the_atlas_goes_on_beyond_it(place: tuple[float, float]) -> None:
    """The second triangle is no skin; the wrinkles of the third are deeper than the darkest skin."""
    rng = np.random.default_rng(0)
    atlas = torch.from_numpy(rng.random((7, 5, 6))).float()
    uv, region = torch.tensor(place).expand(3, 3, 2), torch.tensor([1, -1, 0])
    strengths = torch.tensor([[[9.0, 9, 9], [0.1, 0.2, 0.3]]]).expand(2, -1, -1)
    corners, weights = torch.zeros(3, 3, dtype=torch.int64), torch.tensor([0.2, 0.3, 0.5]).expand(3, 3)
    samples = Samples(torch.tensor([0, 3, 5]), torch.arange(3), corners, weights)
    found = kernel.skin_albedo(atlas, uv, region, samples, 2, strengths)
    torch.testing.assert_close(found, raster.skin_albedo(atlas, uv, region, samples, 2, strengths))
    assert found[1].max() == 0 < found[2].max() < found[0].max()


@needs_numba
def test_a_function_that_cannot_be_cached_is_compiled_all_the_same() -> None:
    """As where neither the package nor the user's cache folder can be written."""
    scope: dict = {}
    exec("def double(x): return 2 * x", scope)  # it has no file beside which its machine code could lie
    assert kernel._compiled(scope["double"])(4) == 8


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


@pytest.mark.slow
def test_importing_dferlib_does_not_import_numba() -> None:
    run("import sys, dferlib; from dferlib import MakeFaces; assert 'numba' not in sys.modules")


@pytest.mark.slow
def test_without_numba_the_reference_renders() -> None:
    run(
        "import sys; sys.modules['numba'] = None\n"
        "import numpy as np\n"
        "from dferlib.makefaces import kernel, raster\n"
        "from dferlib.makefaces.assets import load_head\n"
        "from dferlib.makefaces.identity import sample_identity\n"
        "from dferlib.makefaces.render import Actor\n"
        "from dferlib.makefaces.scene import sample_scene\n"
        "rng = np.random.default_rng(0)\n"
        "actor = Actor(sample_identity(rng, load_head().shape_names), 16)\n"
        "assert not kernel.available() and actor.loops is raster\n"
        "scene = sample_scene(rng, 1, 16, 0.085, 0.003)\n"
        "assert actor.render(np.zeros((1, 52)), np.zeros((1, 3)), scene).frames.shape == (1, 3, 16, 16)"
    )
