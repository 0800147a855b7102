"""What the camera does to the clips of MakeFaces: each effect does what its truth says, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dferlib.makefaces.camera import Camera, CameraStrengths, apply_camera, sample_camera

EVERYTHING = CameraStrengths((0.005, 0.01), 0.01, (0.02, 0.03), (20, 50), (1.2, 1.8), 0.3)


def still(frames: int, **changes: object) -> Camera:
    """A camera that does nothing but `changes`."""
    nothing = Camera(0.0, np.zeros((frames, 2)), 0.0, None, 1.0, np.zeros(frames, bool))
    return replace(nothing, **changes)  # type: ignore[arg-type]


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.fixture
def images() -> Tensor:
    """Smooth shapes with some edges, as images have."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 48), torch.linspace(0, 1, 48), indexing="ij")
    frames = [torch.stack([x, 0.5 + 0.3 * torch.sin(9 * y + k), ((x - 0.5) ** 2 + y**2 < 0.2) * 0.6]) for k in range(5)]
    return torch.stack(frames).clamp(0, 1)


def test_a_camera_without_faults_only_rounds(images: Tensor) -> None:
    camera = sample_camera(CameraStrengths(), 5, 48, rng())
    assert torch.equal(apply_camera(images, camera, rng()), (images * 255).round().to(torch.uint8))


@pytest.mark.parametrize(
    ("name", "weak", "strong"),
    [
        ("blur", 0.5, 1.5),
        ("smear", np.full((5, 2), 1.0), np.full((5, 2), 4.0)),
        ("noise", 0.01, 0.04),
        ("quality", 80, 10),
        ("shrink", 1.3, 3.0),
        ("sharpen", 0.5, 2.0),
        ("contrast", 1.1, 1.6),
        ("contrast", 0.9, 0.5),
        ("gamma", 1.1, 1.6),
        ("saturation", 0.8, 0.1),
    ],
)
def test_more_strength_changes_more(images: Tensor, name: str, weak: object, strong: object) -> None:
    clean, little, much = (
        apply_camera(images, still(5, **change), rng()).float() for change in ({}, {name: weak}, {name: strong})
    )
    assert 0 < (little - clean).square().mean() < (much - clean).square().mean() / 1.5


def test_tone_and_colour_are_what_their_numbers_say(images: Tensor) -> None:
    soft = 0.3 + 0.4 * images  # nothing is cut off at black or white
    plain = apply_camera(soft, still(5), rng()).double()

    def shot(**change: float) -> Tensor:
        return apply_camera(soft, still(5, **change), rng()).double()

    assert float(shot(contrast=1.3).std() / plain.std()) == pytest.approx(1.3, rel=0.01)
    assert float(shot(contrast=1.3).mean()) == pytest.approx(float(plain.mean()), abs=0.1)
    torch.testing.assert_close(shot(gamma=1.2), (255 * (plain / 255) ** 1.2), rtol=0, atol=1.1)
    grey = shot(saturation=0.0)
    assert torch.equal(grey[:, 0], grey[:, 1]) and torch.equal(grey[:, 0], grey[:, 2])
    luma = (plain * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1)
    torch.testing.assert_close(grey[:, 0], luma, rtol=0, atol=1.1)
    steps = [clip.diff(dim=-1).abs().amax() for clip in (plain, shot(sharpen=1.0))]
    assert steps[1] > 1.1 * steps[0]
    assert float(shot(sharpen=1.0).mean()) == pytest.approx(float(plain.mean()), abs=0.5)


def test_a_share_of_clips_has_no_colour() -> None:
    strengths = CameraStrengths(saturation=(0.5, 1.5), grey=0.25)
    drawn = np.array([sample_camera(strengths, 1, 8, np.random.default_rng(k)).saturation for k in range(2000)])
    assert (drawn == 0).mean() == pytest.approx(0.25, abs=0.04)
    assert drawn[drawn > 0].min() >= 0.5


@pytest.mark.parametrize("sigma", [0.01, 0.03, 0.08])
def test_noise_at_mid_grey_has_the_deviation_it_claims(sigma: float) -> None:
    noisy = apply_camera(torch.full((8, 3, 96, 96), 0.5), still(8, noise=sigma), rng()).float() / 255
    rounding = 1 / 255 / 12**0.5
    assert float(noisy.std()) == pytest.approx(np.hypot(sigma, rounding), rel=0.02)
    assert float(noisy.mean()) == pytest.approx(0.5, abs=0.005)


def test_the_variance_of_the_noise_grows_in_proportion_to_the_light() -> None:
    """Shot and read noise: in light, variance = a * light + b, so equal steps of light add equal variance."""
    light = np.linspace(0.1, 0.7, 4)
    variance = []
    for level in light:
        grey = torch.full((20, 3, 96, 96), float(level ** (1 / 2.2)))
        variance.append(((apply_camera(grey, still(20, noise=0.03), rng()).double() / 255) ** 2.2).var().item())
    slope, start = np.polyfit(light, variance, 1)
    assert np.allclose(variance, slope * light + start, rtol=0.03)
    assert slope > 0
    assert 0 < start / slope < 0.1


def test_the_dark_is_noisier_but_dark_faces_do_not_drown() -> None:
    spread = [
        float((apply_camera(torch.full((4, 3, 64, 64), v), still(4, noise=0.02), rng()) / 255).std())
        for v in (0.15, 0.5)
    ]
    assert 1.1 < spread[0] / spread[1] < 1.4


def test_strong_noise_is_coarser() -> None:
    def likeness(sigma: float) -> float:
        grain = apply_camera(torch.full((8, 3, 96, 96), 0.5), still(8, noise=sigma), rng())[:, 0].double() - 127.5
        return float((grain[..., 1:] * grain[..., :-1]).mean() / grain.square().mean())

    assert abs(likeness(0.004)) < 0.1
    assert likeness(0.004) < likeness(0.02) < likeness(0.06)


@settings(max_examples=20, deadline=None)
@given(blur=st.floats(0.3, 3), seed=st.integers(0, 1000))
def test_blur_keeps_the_mean(blur: float, seed: int) -> None:
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    blurred = apply_camera(x, still(2, blur=blur), rng()).float() / 255
    assert torch.allclose(blurred.mean((-1, -2)), x.mean((-1, -2)), atol=1e-3)
    assert (blurred.std((-1, -2)) < x.std((-1, -2))).all()


def test_blur_spreads_a_point_by_its_deviation() -> None:
    x = torch.zeros(1, 3, 41, 41)
    x[..., 20, :] = 1  # a line, whose profile a byte can still tell
    profile = apply_camera(x, still(1, blur=2.0), rng())[0, 0, :, 5].double()
    at = torch.arange(41) - 20
    assert float((profile * at**2).sum() / profile.sum()) == pytest.approx(4, rel=0.06)


@pytest.mark.parametrize("way", [(6.0, 0.0), (0.0, -4.0), (3.0, 4.0)])
def test_smear_spreads_a_point_along_its_way(way: tuple[float, float]) -> None:
    x = torch.zeros(2, 3, 33, 33)
    x[..., 16, 16] = 1
    out = apply_camera(x, still(2, smear=np.array([(0.0, 0.0), way])), rng()).double()
    assert torch.equal(out[0], x[0].double() * 255)  # each frame has its own way
    y, right = torch.meshgrid(torch.arange(33.0) - 16, torch.arange(33.0) - 16, indexing="ij")
    weight = out[1, 0] / out[1, 0].sum()
    along = (right * way[0] + y * way[1]) / np.hypot(*way)
    across = (right * way[1] - y * way[0]) / np.hypot(*way)
    # a line of length d has the variance d^2 / 12; sharing points among pixels adds a little
    assert float((weight * along**2).sum()) == pytest.approx(np.hypot(*way) ** 2 / 12, abs=1.2)
    assert float((weight * across**2).sum()) < 0.5
    assert float((weight * along).sum()) == pytest.approx(0, abs=0.05)


def test_shrinking_takes_away_what_few_pixels_cannot_show() -> None:
    stripes = torch.zeros(1, 3, 32, 32)
    stripes[..., ::2] = 1
    out = apply_camera(stripes, still(1, shrink=2.0), rng()).float()
    assert float(out.std()) < 10  # stripes one pixel wide are grey for half the pixels


def test_a_dropped_frame_shows_the_one_before_it(images: Tensor) -> None:
    lost = np.array([False, True, True, False, True])
    out = apply_camera(images, still(5, noise=0.02, dropped=lost), rng())
    whole = apply_camera(images, still(5, noise=0.02), rng())
    assert torch.equal(out, whole[[0, 0, 0, 3, 3]])


def test_drawn_cameras_stay_in_their_ranges_and_are_often_at_both_ends() -> None:
    cameras = [sample_camera(EVERYTHING, 12, 50, np.random.default_rng(k)) for k in range(400)]
    assert not any(camera.dropped[0] for camera in cameras)
    assert np.mean([camera.dropped[1:].mean() for camera in cameras]) == pytest.approx(0.3, abs=0.02)
    for name, low, high in (("blur", 0.25, 0.5), ("noise", 0.02, 0.03), ("quality", 20, 50), ("shrink", 1.2, 1.8)):
        values = np.array([getattr(camera, name) for camera in cameras], dtype=float)
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high >= values.max() > high - 0.05 * (high - low)


def test_lengths_are_shares_of_the_side() -> None:
    small, large = (sample_camera(EVERYTHING, 6, size, rng()) for size in (64, 128))
    assert large.blur == pytest.approx(2 * small.blur)
    assert np.allclose(large.smear, 2 * small.smear)
    assert (large.noise, large.quality, large.shrink) == (small.noise, small.quality, small.shrink)


def test_same_seed_same_bytes_on_any_number_of_threads(images: Tensor) -> None:
    def shot() -> Tensor:
        draws = rng()
        return apply_camera(images, sample_camera(EVERYTHING, 5, 48, draws), draws)

    threads = torch.get_num_threads()
    try:
        outs = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            outs.append(shot())
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(out, outs[0]) for out in outs)


@settings(max_examples=25, deadline=None)
@given(size=st.integers(8, 70), frames=st.integers(1, 4), seed=st.integers(0, 10_000), level=st.floats(0, 1))
def test_any_camera_gives_images(size: int, frames: int, seed: int, level: float) -> None:
    draws = np.random.default_rng(seed)
    strengths = CameraStrengths((0, 0.05), 0.1, (0, 0.3), (1, 100), (1, 4), 0.5)
    flat = torch.full((frames, 3, size, size), level)
    out = apply_camera(flat, replace(sample_camera(strengths, frames, size, draws), noise=0.0), draws)
    assert out.shape == flat.shape
    assert out.dtype == torch.uint8
    assert (out.float() - 255 * level).abs().max() < 18  # what is grey stays grey, but for what the worst JPEG rounds
