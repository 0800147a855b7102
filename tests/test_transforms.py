from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from dferlib import InputError
from dferlib.data.transforms import (
    Augment,
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
    center_crop,
    normalise,
    prepare,
    resize,
    stored_size,
    to_float,
)


def noise(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def ramp(batch, frames, side=16):
    """Every pixel tells where it lay: red is the column, green the row, blue is constant; all frames are the same."""
    column = torch.arange(side).expand(side, side)
    image = torch.stack([column, column.T, torch.full((side, side), 9)]).to(torch.uint8)
    return image.expand(batch, frames, 3, side, side).clone()


def augment(clips, seed=0, **kwargs):
    return Augment(14, generator=torch.Generator().manual_seed(seed), **kwargs)(clips)


def test_the_stored_frame_is_an_eighth_larger_than_the_crop():
    assert [stored_size(size) for size in (56, 112, 14)] == [64, 128, 16]


def test_all_frames_of_a_clip_get_the_same_augmentation():
    out = augment(ramp(40, 5))
    assert torch.equal(out, out[:, :1].expand_as(out))
    assert len({clip.numpy().tobytes() for clip in out}) > 30  # and clips get different ones


def test_a_crop_is_a_window_of_the_frame_mirrored_or_not():
    clips = ramp(64, 2)
    out = (augment(clips, brightness=0, contrast=0) * 255).round().to(torch.uint8)
    seen = set()
    for before, after in zip(clips, out, strict=True):
        mirrored = bool(after[0, 0, 0, 0] > after[0, 0, 0, 1])
        left = int(after[0, 0, 0].min())
        top = int(after[0, 1, 0, 0])
        window = before[..., top : top + 14, left : left + 14]
        assert torch.equal(after, window.flip(-1) if mirrored else window)
        seen.add((top, left, mirrored))
    assert len(seen) > 14  # of 3 x 3 corners x 2
    assert {corner[0] for corner in seen} == {corner[1] for corner in seen} == {0, 1, 2}


def test_without_flip_nothing_is_mirrored():
    out = augment(ramp(64, 1), flip=False, brightness=0, contrast=0)
    assert (out[:, :, 0, :, 1:] > out[:, :, 0, :, :-1]).all()


def test_light_changes_within_the_stated_range_and_stays_in_zero_to_one():
    grey = torch.full((300, 1, 3, 16, 16), 100, dtype=torch.uint8)
    factors = augment(grey, contrast=0, brightness=0.2)[:, 0, 0, 0, 0] * 255 / 100
    assert 0.8 <= factors.min() < 0.82 and 1.18 < factors.max() <= 1.2
    wild = augment(noise(50, 2, 3, 16, 16), brightness=0.9, contrast=0.9)
    assert wild.min() >= 0 and wild.max() <= 1


def test_saturation_changes_grey_frames_in_nothing_and_others_within_the_range():
    grey = noise(20, 2, 1, 16, 16).expand(-1, -1, 3, -1, -1)
    plain = augment(grey, brightness=0, contrast=0)
    torch.testing.assert_close(augment(grey, brightness=0, contrast=0, saturation=0.9), plain, atol=1e-3, rtol=0)
    red = torch.tensor([140, 100, 100], dtype=torch.uint8).view(3, 1, 1).expand(300, 1, 3, 16, 16)
    out = augment(red, brightness=0, contrast=0, saturation=0.5)[:, 0, :, 0, 0] * 255
    factors = (out[:, 0] - out[:, 1]) / 40
    assert 0.5 <= factors.min() < 0.53 and 1.47 < factors.max() <= 1.501


def test_erasing_takes_a_rectangle_of_the_stated_area_from_all_frames_of_a_part_of_the_clips():
    white = torch.full((600, 2, 3, 64, 64), 255, dtype=torch.uint8)
    maker = Augment(56, brightness=0, contrast=0, erase=0.5, generator=torch.Generator().manual_seed(0))
    gone = maker(white) == 0.5
    assert torch.equal(gone, gone[:, :1, :1].expand_as(gone))
    areas, corners = [], set()
    for clip in gone[:, 0, 0]:
        rows, columns = clip.any(1).nonzero().flatten(), clip.any(0).nonzero().flatten()
        if len(rows):
            assert clip[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            assert 1 / 3.5 < len(rows) / len(columns) < 3.5
            areas.append(float(clip.float().mean()))
            corners.add((int(rows[0]), int(columns[0])))
    assert 250 < len(areas) < 350  # of 600, half
    assert 0.015 < min(areas) < 0.03 and 0.18 < max(areas) < 0.22 and 0.1 < np.mean(areas) < 0.12
    assert len(corners) > 200


def test_draws_of_some_clips_do_to_them_what_those_of_all_do():
    clips = noise(10, 2, 3, 16, 16)
    maker = Augment(14, erase=0.5, saturation=0.2)
    draws = maker.draw(10, torch.Generator().manual_seed(1))
    whole = maker.apply(clips, draws)
    for which in (slice(3, 7), torch.tensor([8, 2])):
        torch.testing.assert_close(maker.apply(clips[which], draws.take(which)), whole[which])


def test_the_same_generator_gives_the_same_bytes():
    clips = noise(6, 3, 3, 16, 16)
    assert torch.equal(augment(clips, seed=3), augment(clips, seed=3))
    assert not torch.equal(augment(clips, seed=3), augment(clips, seed=4))


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
def test_light_is_what_torchvision_calls_by_that_name(factor):
    clips = to_float(noise(3, 1, 3, 10, 12))
    factors = torch.full((3, 1, 1, 1, 1), factor)
    torch.testing.assert_close(adjust_brightness(clips, factors), tv.adjust_brightness(clips, factor))
    # one frame a clip: torchvision takes the mean grey of each frame, we that of the clip
    expected = tv.adjust_contrast(clips, factor)
    torch.testing.assert_close(adjust_contrast(clips, factors), expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(
        adjust_saturation(clips, factors), tv.adjust_saturation(clips, factor), atol=1e-3, rtol=0
    )


def test_contrast_pulls_all_frames_towards_one_grey():
    clips = torch.stack([torch.full((1, 3, 4, 4), 0.2), torch.full((1, 3, 4, 4), 0.6)], 1)
    out = adjust_contrast(clips, torch.full((1, 1, 1, 1, 1), 0.5))
    torch.testing.assert_close(out[0, :, 0, 0, 0], torch.tensor([0.3, 0.5]), atol=1e-3, rtol=0)


def test_center_crop_and_resize_agree_with_torchvision():
    clips = noise(2, 3, 3, 20, 20)
    assert torch.equal(center_crop(clips, 14), tv.center_crop(clips, [14, 14]))
    expected = tv.resize(clips.flatten(0, 1), [16, 16], antialias=True).unflatten(0, (2, 3))
    assert (resize(clips, 16).int() - expected.int()).abs().max() <= 1  # rounding
    assert resize(clips, 20) is clips


def test_prepare_is_crop_scale_and_normalise_written_out():
    spec = SimpleNamespace(size=14, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    clips = noise(2, 3, 3, 16, 16)
    out = prepare(clips, spec)
    assert out.shape == (2, 3, 3, 14, 14) and out.dtype == torch.float32
    expected = clips.numpy()[..., 1:15, 1:15].astype(np.float64) / 255
    expected = (expected - np.reshape(spec.mean, (3, 1, 1))) / np.reshape(spec.std, (3, 1, 1))
    np.testing.assert_allclose(out.numpy(), expected, atol=1e-5)
    torch.testing.assert_close(normalise(to_float(center_crop(clips, 14)), spec.mean, spec.std), out)


def test_prepare_sees_the_same_part_of_the_face_whatever_the_stored_size():
    spec = SimpleNamespace(size=14, mean=(0.0,) * 3, std=(1.0,) * 3)
    small = ramp(1, 1) * 15
    large = tv.resize(small[0], [64, 64], interpolation=tv.InterpolationMode.NEAREST)[None]
    torch.testing.assert_close(prepare(large, spec), prepare(small, spec), atol=0.02, rtol=0)


def test_frames_lie_channels_last_in_memory_once_they_are_floats():
    flat = prepare(noise(2, 3, 3, 16, 16), SimpleNamespace(size=14, mean=(0.0,) * 3, std=(1.0,) * 3)).flatten(0, 1)
    assert flat.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("bad", [torch.zeros(2, 3, 3, 16, 16), torch.zeros(3, 3, 16, 16, dtype=torch.uint8)])
def test_what_is_no_batch_of_stored_clips_is_refused(bad):
    with pytest.raises(InputError, match=r"uint8 \(B, F, 3, H, W\)"):
        augment(bad)


@pytest.mark.parametrize("shape", [(2, 3, 16, 16, 3), (2, 3, 1, 16, 16), (2, 3, 4, 16, 16)])
def test_frames_that_are_not_of_three_colours_are_refused(shape):
    clips, spec = torch.zeros(shape, dtype=torch.uint8), SimpleNamespace(size=14, mean=(0.5,) * 3, std=(0.25,) * 3)
    for use in (lambda: prepare(clips, spec), lambda: Augment(14)(clips)):
        with pytest.raises(InputError, match=r"give uint8 \(B, F, 3, H, W\)"):
            use()
    with pytest.raises(InputError, match=r"give float \(\.\.\., 3, H, W\)"):
        normalise(clips.movedim(-1, 2), spec.mean, spec.std)
    with pytest.raises(InputError, match="clips are ndarray"):
        prepare(clips.numpy(), spec)
