"""How the packaged backbone is made: what it is shown, what it is asked, and how its answers are judged."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import r2_score
from torch import nn

from dferlib.makefaces.actions import UNITS
from dferlib.makefaces.assets import load_head
from dferlib.makefaces.generator import HALF_WIDTH, render_clip
from dferlib.makefaces.identity import sample_identity
from dferlib.makefaces.knobs import DIFFICULTIES
from dferlib.makefaces.render import Actor
from dferlib.models import backbones
from dferlib.models.backbones import SlimResNet
from dferlib.training import pretraining as pretrain
from dferlib.training.pretraining import FRAMES_PER_LIGHT, FRAMINGS, TARGETS, Examples


def coloured(count: int, seed: int) -> Examples:
    """Frames whose bright upper part ends lower by the first target; the others are noise that no frame shows."""
    random = torch.Generator().manual_seed(seed)
    targets = torch.randn(count, len(TARGETS), generator=random)
    end = 32 + 6 * targets[:, :1, None, None]
    frames = (128 - 60 * torch.tanh(torch.arange(64.0)[:, None] - end)).to(torch.uint8).expand(-1, 1, 64, 64)
    return Examples(frames.expand(-1, 3, 64, 64).contiguous(), targets, torch.arange(count) % 2)


def test_a_person_is_seen_in_both_framings_at_every_difficulty(monkeypatch):
    seen = []

    def look(actor, weights, pose, knobs, rng, half_width):
        seen.append((half_width, knobs.intensity, knobs.camera.quality, knobs.camera.dropped))
        return render_clip(actor, weights, pose, knobs, rng, half_width)

    monkeypatch.setattr(pretrain, "render_clip", look)
    person = pretrain.render_person(3)
    expected = [(w, k.intensity, k.camera.quality, 0.0) for w in FRAMINGS.values() for k in DIFFICULTIES.values()]
    assert seen == expected
    count = len(expected) * FRAMES_PER_LIGHT
    assert person["frames"].shape == (count, 3, 64, 64)
    assert person["frames"].dtype == np.uint8
    assert person["framing"].tolist() == [0] * (count // 2) + [1] * (count // 2)
    units, others = np.split(person["targets"], [len(UNITS)], 1)
    assert units.min() == 0
    assert 0.3 < units.max() <= 1
    assert np.abs(others).max() <= 0.6
    again = pretrain.render_person(3)
    assert all(np.array_equal(person[name], again[name]) for name in person)


def test_the_loose_framing_is_the_tight_one_from_further_away():
    actor = Actor(sample_identity(np.random.default_rng(2), load_head().shape_names), 64)
    weights, pose = np.zeros((1, 52), np.float32), np.zeros((1, 3), np.float32)
    tight, loose = (
        render_clip(actor, weights, pose, DIFFICULTIES["easy"], np.random.default_rng(0), half_width=width)[0]
        for width in (HALF_WIDTH, 2 * HALF_WIDTH)
    )
    small = F.interpolate(torch.from_numpy(tight).float(), (32, 32), mode="bilinear", antialias=True)
    middle = torch.from_numpy(loose).float()[..., 16:48, 16:48]
    assert np.corrcoef(small.flatten(), middle.flatten())[0, 1] > 0.95


def test_augmentation_turns_what_a_mirror_turns():
    ramp = torch.arange(64, dtype=torch.uint8).expand(200, 3, 64, 64)  # brighter to the right
    targets = torch.ones(200, len(TARGETS))
    frames, turned = pretrain.augment(ramp, targets, torch.Generator().manual_seed(0))
    assert frames.shape == (200, 3, 56, 56)
    mirrored = frames[..., -20:].mean((1, 2, 3)) < frames[..., :20].mean((1, 2, 3))  # whatever the tone and the grain
    assert 60 < int(mirrored.sum()) < 140
    for k, name in enumerate(TARGETS):
        sign = -1.0 if name in ("yaw", "roll", "gaze right") else 1.0
        assert torch.equal(turned[:, k], torch.where(mirrored, sign, 1.0)), name


def test_without_disguise_a_crop_shows_the_frame_as_it_is():
    ramp = torch.arange(64, dtype=torch.uint8).expand(50, 3, 64, 64)
    targets = torch.ones(50, len(TARGETS))
    frames, _ = pretrain.augment(ramp, targets, torch.Generator().manual_seed(0), disguised=False)
    values = (frames * backbones.FACE_STD[0] + backbones.FACE_MEAN[0]) * 255
    assert values.min() > -1e-3 and values.max() < 63 + 1e-3, "no value that the frame did not have"
    steps = values.diff(dim=-1)[..., 2:-2].abs()  # a crop is stretched by 14 % at most, and never shaded or grained
    assert ((steps > 0.85) & (steps < 1.15)).all()


def test_r2_is_that_of_scikit_learn():
    examples = coloured(300, seed=0)
    torch.manual_seed(0)
    net = nn.Sequential(nn.AvgPool2d(56), nn.Flatten(), nn.Linear(3, len(TARGETS)))
    middle = examples.frames[:, :, 4:60, 4:60]
    with torch.no_grad():
        out = net((middle.float() / 255 - 110 / 255) / (60 / 255)).numpy()
    expected = r2_score(examples.targets.numpy(), out, multioutput="raw_values")
    np.testing.assert_allclose(pretrain.r2(net, examples).numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_it_learns_what_frames_show_and_says_so_in_the_file(tmp_path, monkeypatch):
    backbone, scores = pretrain.fit(coloured(640, seed=0), coloured(80, seed=1), epochs=4)
    assert scores.keys() == FRAMINGS.keys()
    for score in scores.values():
        assert score.keys() == set(TARGETS)
        assert score["AU1"] > 0.5
        assert max(value for name, value in score.items() if name != "AU1") < 0.3
    path = tmp_path / "weights.safetensors"
    pretrain.write(backbone, path, {"people": "7", "held_out_r2": json.dumps(scores)})
    monkeypatch.setattr(backbones, "FACE_WEIGHTS", path)
    about = backbones.face_weights_about()
    assert about["people"] == "7"
    assert about["held_out_r2"] == scores
    again = SlimResNet()
    backbones.load_face_weights(again)
    frame = torch.randn(1, 3, 56, 56)
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(frame), backbone.eval()(frame))


@pytest.mark.slow
@pytest.mark.thorough
def test_rendering_is_kept_and_goes_person_by_person(tmp_path, monkeypatch):
    monkeypatch.setenv("DFERLIB_CACHE", str(tmp_path))
    first = pretrain.render(2, workers=1)
    one = pretrain.render_person(1)
    assert torch.equal(first.frames[len(first.frames) // 2 :], torch.from_numpy(one["frames"]))
    monkeypatch.setattr(pretrain, "ProcessPoolExecutor", None)  # nothing is rendered twice
    assert torch.equal(pretrain.render(2, workers=1).targets, first.targets)


def test_the_packaged_weights_say_how_they_were_made():
    about = backbones.face_weights_about()
    assert int(about["people"]) > 1000
    assert int(about["frames"]) > 10 * int(about["people"])
    assert about["recipe"]
    assert about["held_out_r2"]
