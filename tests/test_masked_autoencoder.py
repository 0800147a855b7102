"""The masked autoencoder: what is hidden, what is filled in and judged, and that a backbone learns from it."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dferlib import EMOTIONS, InputError, create_model
from dferlib.book.few_labels import FewLabels
from dferlib.data.table import ArraySource, ClipTable
from dferlib.data.transforms import prepare
from dferlib.makefaces.realism.photographs import MEASURED
from dferlib.models.masked_autoencoder import PATCH, WAYS, Filled, MaskedAutoencoder, draw_masks, hidden_error
from dferlib.training.self_supervised import Pairs, explained, pretrain

ROOT = Path(__file__).parents[1]


def moving(count: int, frames: int = 4, side: int = 64) -> ArraySource:
    """Clips of a bright square that goes to the right over a plain ground; its labels say nothing."""
    rng = np.random.default_rng(count)
    clips = np.full((count, frames, 3, side, side), 90, np.uint8)
    for clip in clips:
        top, left, step = rng.integers(16, 32), rng.integers(8, 16), rng.integers(3, 7)
        for k, frame in enumerate(clip):
            frame[:, top : top + 16, left + k * step : left + k * step + 16] = 220
    ids = [f"{k}" for k in range(count)]
    rows = pd.DataFrame({"id": ids, "label": 0, "group": ids, "split": "train", "frames": frames})
    return ArraySource(ClipTable(rows, EMOTIONS), list(clips))


def test_whole_patches_are_hidden_and_as_many_in_every_mask():
    masks = draw_masks(50, 56, 0.6, torch.Generator().manual_seed(0))
    assert masks.shape == (50, 1, 56, 56) and masks.dtype == torch.bool
    for mask in masks[:, 0]:
        hidden = 0
        for top in range(0, 56, PATCH):
            for left in range(0, 56, PATCH):
                patch = mask[top : top + PATCH, left : left + PATCH]
                assert patch.all() or not patch.any()
                hidden += bool(patch.all())
        assert hidden == round(0.6 * 49)
    often = masks[:, 0, ::PATCH, ::PATCH].float().mean(0)
    assert often.min() > 0.3 and often.max() < 0.9, "every patch has its turn"


@pytest.mark.parametrize(("side", "part"), [(60, 0.5), (56, 0.0), (56, 1.0)])
def test_a_mask_that_cannot_be_is_refused(side, part):
    with pytest.raises(InputError):
        draw_masks(2, side, part)


def test_only_what_was_hidden_is_judged():
    random = torch.Generator().manual_seed(1)
    filled = Filled(torch.randn(2, 3, 16, 16, generator=random), torch.randn(2, 3, 16, 16, generator=random))
    hidden = draw_masks(2, 16, 0.5, random)
    total, count = 0.0, 0
    for b in range(2):
        for c in range(3):
            for y in range(16):
                for x in range(16):
                    if hidden[b, 0, y, x]:
                        total += float(filled.said[b, c, y, x] - filled.wanted[b, c, y, x]) ** 2
                        count += 1
    assert hidden_error(filled, hidden).item() == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_hidden_cannot_be_seen_and_the_aim_is_what_the_way_says(way):
    torch.manual_seed(0)
    model = MaskedAutoencoder(way).eval()
    frames, others = torch.rand(2, 3, 56, 56), torch.rand(2, 3, 56, 56)
    hidden = draw_masks(2, 56, random=torch.Generator().manual_seed(0))
    changed = torch.where(hidden, torch.rand(2, 3, 56, 56), frames)
    with torch.no_grad():
        first, second = model(frames, others, hidden), model(changed, others, hidden)
        moved = model(frames, others.flip(-1), hidden)
    assert torch.equal(first.said, second.said)

    def alike(x):
        return (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()

    aim = alike(frames) - (0 if way == "frame" else alike(others))
    torch.testing.assert_close(first.wanted, aim, rtol=1e-4, atol=1e-4)
    assert torch.equal(first.said, moved.said) == (way == "frame"), "only one way does without the other frame"


def test_a_code_says_nothing_of_places():
    """With the mean over places alone, the decoder cannot know where in the frame something was."""
    torch.manual_seed(0)
    model = MaskedAutoencoder("code").eval()
    others, hidden = torch.rand(1, 3, 56, 56), torch.zeros(1, 1, 56, 56, dtype=torch.bool)
    maps = torch.rand(1, 128, 4, 4)
    model.backbone = torch.nn.Module()
    answers = []
    for own in (maps, maps.flip(-1)):
        model.backbone.forward = lambda x, own=own: torch.cat([own, torch.zeros(1, 128, 4, 4)])
        answers.append(model(torch.rand(1, 3, 56, 56), others, hidden).said)
    torch.testing.assert_close(*answers)


def test_pairs_are_two_frames_of_one_clip_changed_alike():
    steps = np.arange(5, dtype=np.uint8)[:, None, None, None]
    clips = [np.full((5, 3, 64, 64), 20 * k + 40, np.uint8) + steps for k in range(6)]
    rows = pd.DataFrame({"id": list("abcdef"), "label": 0, "group": list("abcdef"), "split": "train", "frames": 5})
    pairs = Pairs(ArraySource(ClipTable(rows, EMOTIONS), clips), 56, seed=0).draw(64)
    assert pairs.shape == (64, 2, 3, 56, 56)
    levels = (pairs.mean((2, 3, 4)) * 60 + 110).diff(dim=1).abs()
    assert levels.min() > 0.3, "never the same frame twice"
    assert levels.max() < 4 * 1.5, "and never of two clips, which are 20 apart"


def test_clips_in_which_nothing_can_move_are_refused():
    with pytest.raises(InputError, match="fewer than two"):
        Pairs(moving(2, frames=1), 56, seed=0)


@pytest.mark.slow
def test_it_learns_to_fill_in_and_says_the_same_with_the_same_seed(monkeypatch):
    monkeypatch.setattr("dferlib.training.self_supervised.BATCH", 16)
    monkeypatch.setattr("dferlib.training.self_supervised.STATISTICS", 2)
    source = moving(20)
    made = pretrain(source, "frame", 12, progress=False)
    assert made.errors[-1] < 0.9 * made.errors[0]
    assert not made.model.backbone.training
    model = create_model("resnet18_gru", weights=None)
    model.backbone.load_state_dict(made.model.backbone.state_dict())  # it is the book's
    short, again = (pretrain(source, "code", 1, progress=False).model.state_dict() for _ in range(2))
    assert all(torch.equal(short[name], again[name]) for name in short)


class Known(torch.nn.Module):
    """Says half of what is wanted."""

    side = 56

    def forward(self, frames, others, hidden):
        return Filled(frames / 2, frames)


def test_what_is_explained_is_one_minus_the_part_of_the_variance_that_is_missed():
    assert explained(Known(), moving(4), batches=1) == pytest.approx(0.75, abs=1e-4)


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A record of two starts, two shares and three draws: twelve people with two clips, and photographs."""
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 3
    test = rng.normal(0, 1, (2, 2, 3, 24, 3)).astype(np.float16)
    test[1] += 2 * np.eye(3, dtype=np.float16)[labels]  # the second start knows more
    people = [f"{k:03d}" for k in range(MEASURED + 4)]
    photographs = [f"{person}_{kind}" for person in people for kind in ("neutral", "smiling")]
    asked = np.zeros((2, 2, 3, len(photographs), 3), np.float16)
    asked[..., 0] = 1  # everybody is happy
    ids, groups = np.array([f"{k}" for k in range(24)]), np.arange(24) // 2
    known = {"ids": ids, "labels": labels, "groups": groups, "photograph_ids": np.array(photographs)}
    np.savez(tmp_path / "read_out.npz", test=test, photographs=asked, **known)
    about = {"starts": ["nothing", "units"], "shares": [0.2, 1.0], "clips": {"0.2": [4, 6], "1.0": [24, 24]}}
    about |= {"classes": ["happiness", "sadness", "neutral"], "source": "older"}
    (tmp_path / "about.json").write_text(json.dumps(about))
    return tmp_path


def test_a_read_out_is_the_mean_over_draws_and_gaps_are_taken_draw_by_draw(record):
    labels = FewLabels(record)
    with np.load(record / "read_out.npz") as file:
        found = {
            i: [recall_score(file["labels"], file["test"][i, 0, k].argmax(1), average="macro") for k in range(3)]
            for i in range(2)
        }
        said = file["test"][:, 0].astype(np.float32)
    assert labels.uar("units", 0.2).value == pytest.approx(np.mean(found[1]))
    gap = labels.gap("units", "nothing", 0.2)
    assert gap.value == pytest.approx(np.mean(np.subtract(found[1], found[0])))
    assert gap.low < gap.value < gap.high and gap.low > 0
    assert np.array_equal(labels.read_out("units", 0.2)[2].logits, said[1, 2])
    assert labels.clips(0.2) == 5 and not labels.is_current
    with pytest.raises(InputError, match="share"):
        labels.uar("units", 0.5)


def test_photographs_are_of_those_who_set_no_figure(record):
    labels = FewLabels(record)
    assert labels.photographs("nothing", 1.0, "smiling").value == 1
    assert labels.photographs("nothing", 1.0).value == pytest.approx(1 / 2)
    assert labels.photographs_gap("units", "nothing", 1.0).value == 0


def test_where_there_is_no_record_it_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match=r"benchmarks\.masked_autoencoder"):
        FewLabels(tmp_path)


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    """The script, with a few clips in place of those of MakeFaces."""
    monkeypatch.setenv("DFERLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(ROOT)
    script = importlib.import_module("benchmarks.masked_autoencoder")
    clips = {split: moving(14, frames=12) for split in script.SPLITS}
    monkeypatch.setattr(script, "MakeFaces", lambda split, size: clips[split])
    monkeypatch.setattr(script, "explained", lambda *_: 0.5)
    monkeypatch.setattr("dferlib.training.self_supervised.STATISTICS", 1)
    yield script
    sys.modules.pop("benchmarks.masked_autoencoder")


@pytest.mark.slow
def test_the_benchmark_trains_from_what_was_learnt_and_does_nothing_twice(benchmark, monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark, "EPOCHS", 1)
    work = benchmark.Work("mini", 1, tmp_path / "out")
    kept = work.autoencoder("code").state_dict()
    monkeypatch.setattr(benchmark, "pretrain", None)
    again = benchmark.Work("mini", 1, tmp_path / "out")
    assert all(torch.equal(value, kept[name]) for name, value in again.autoencoder("code").state_dict().items())
    backbone = {name.removeprefix("backbone."): value for name, value in kept.items() if name.startswith("backbone.")}
    for seed in (0, 1):
        begins = again.model("code", seed).backbone.state_dict()
        assert all(torch.equal(begins[name], value) for name, value in backbone.items())
    one, other = (again.model("nothing", seed).backbone.stem[1].weight for seed in (0, 1))
    assert not torch.equal(one, other)
    plan = benchmark.Plan("code", 1)
    again.do(plan)
    made = json.loads((tmp_path / "out" / "code-seed1.json").read_text())
    assert made["config"]["start"] == "code" and made["seed"] == 1 and made["config"]["train"]["lr"] == 3e-3
    monkeypatch.setattr(benchmark, "train", None)
    again.do(plan)


def test_features_are_the_mean_and_the_maximum_over_frames(benchmark):
    torch.manual_seed(0)
    model = create_model("resnet18_gru", frames=4, weights=None).eval()
    source = moving(3)
    found = benchmark.features(model, benchmark.middle_frames(source))
    assert found.shape == (3, 2 * 128 * 4 * 4)
    with torch.no_grad():
        clips = prepare(torch.from_numpy(np.stack([source.read(k, np.arange(4)) for k in range(3)])), model.input_spec)
        maps = model.feature_maps(clips).flatten(2).numpy()
    np.testing.assert_allclose(found, np.concatenate([maps.mean(1), maps.max(1)], 1), rtol=1e-3, atol=1e-4)


def test_a_read_out_chooses_its_ridge_on_held_out_clips(benchmark):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    x = rng.normal(0, 1, (60, 20)) + 3 * np.eye(20)[labels]
    model, uar = benchmark.fit(x[:30], labels[:30], x[30:], labels[30:])
    assert uar == pytest.approx(recall_score(labels[30:], model.predict(x[30:]), average="macro")) and uar > 0.6
    for ridge in benchmark.RIDGES:
        other = make_pipeline(StandardScaler(), RidgeClassifier(ridge)).fit(x[:30], labels[:30])
        assert recall_score(labels[30:], other.predict(x[30:]), average="macro") <= uar + 1e-9
