"""The masked autoencoder: what is hidden, what is filled in and judged, and that a backbone learns from it."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dferlib import EMOTIONS, InputError, create_model
from dferlib.book.few_labels import FewLabels
from dferlib.data.table import ArraySource, ClipTable
from dferlib.evidence.statistics import compare
from dferlib.models.masked_autoencoder import PATCH, WAYS, Filled, MaskedAutoencoder, draw_masks, hidden_error
from dferlib.training.self_supervised import Pairs, explained, pretrain

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "results" / "masked_autoencoder"


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
    clips = [
        np.full((5, 3, 64, 64), 20 * k + 40, np.uint8) + np.arange(5, dtype=np.uint8)[:, None, None, None]
        for k in range(6)
    ]
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
def test_it_learns_to_fill_in_and_says_the_same_with_the_same_seed():
    source, held = moving(60), moving(13)
    made = pretrain(source, "motion", 25, progress=False)
    assert made.errors[-1] < made.errors[0]
    assert explained(made.model, held, batches=1) > 0.1
    assert not made.model.backbone.training
    model = create_model("resnet18_gru", weights=None)
    model.backbone.load_state_dict(made.model.backbone.state_dict())  # it is the book's
    short, again = (pretrain(source, "code", 2, progress=False).model.state_dict() for _ in range(2))
    assert all(torch.equal(short[name], again[name]) for name in short)


@pytest.fixture(scope="module")
def few_labels() -> FewLabels:
    return FewLabels()


def test_the_records_say_what_they_are_of(few_labels):
    starts = {start for start, *_ in few_labels.runs}
    assert starts == {"nothing", *WAYS, "action_units"}
    for (start, how, share), runs in few_labels.runs.items():
        for seed, run in runs.items():
            assert run.record["config"]["start"] == start and run.record["seed"] == seed
            assert run.record["config"]["data"]["share"] == share
            assert (run.record["config"]["train"]["backbone_lr_scale"] == 0) == (how == "frozen")
    ways = few_labels.about["ways"]
    assert set(ways) == set(WAYS) and all(0 < one["explained"] < 1 for one in ways.values())
    best = max(few_labels.about["frozen_val_uar"].items(), key=lambda item: item[1])[0]
    assert few_labels.about["chosen"] == best


def test_all_starts_had_the_same_labels_and_as_many_steps(few_labels):
    for share in {share for _, _, share in few_labels.runs}:
        for how in ("frozen", "tuned"):
            of_seed: dict[int, set[str]] = {}
            for (_, way, part), runs in few_labels.runs.items():
                if (way, part) == (how, share):
                    for seed, run in runs.items():
                        known = (run.record["data"], run.record["config"]["train"]["epochs"])
                        of_seed.setdefault(seed, set()).add(json.dumps(known))
            assert all(len(found) == 1 for found in of_seed.values())


def test_a_gap_is_taken_seed_by_seed(few_labels):
    chosen = few_labels.about["chosen"]
    ours, theirs = (few_labels.runs[start, "tuned", 0.2] for start in (chosen, "nothing"))
    expected = compare(*([run.predictions() for _, run in sorted(runs.items())] for runs in (ours, theirs))).uar
    assert few_labels.gap(chosen, "nothing", 0.2) == expected
    means = [np.mean([run.metrics["uar"] for run in runs.values()]) for runs in (ours, theirs)]
    assert expected.value == pytest.approx(means[0] - means[1])
    with pytest.raises(InputError, match="there are"):
        few_labels.uar("nothing", 0.5)


@pytest.mark.slow
def test_the_benchmark_makes_its_records_and_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("DFERLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(ROOT)
    benchmark = importlib.import_module("benchmarks.masked_autoencoder")
    clips = {split: moving(14, frames=12) for split in benchmark.SPLITS}
    for source in clips.values():
        source.table.rows["label"] = np.arange(14) % 7
    monkeypatch.setattr(benchmark, "MakeFaces", lambda split, size: clips[split])
    monkeypatch.setattr(benchmark, "EPOCHS", {0.2: 1, 1.0: 1})
    monkeypatch.setattr(benchmark, "STATISTICS", 1, raising=False)
    monkeypatch.setattr(benchmark, "explained", lambda *_: 0.5)
    monkeypatch.setattr("dferlib.training.self_supervised.STATISTICS", 1)
    work = benchmark.Work("mini", 1, tmp_path / "out", tmp_path)
    plan = benchmark.Plan("code", "frozen", 0.2, 1)
    work.do(plan)
    record = json.loads((tmp_path / "out" / f"{plan.name}.json").read_text())
    assert record["config"]["start"] == "code" and record["seed"] == 1
    assert record["config"]["train"]["lr"] == work.about["rates"]["code-frozen"]["rate"]
    monkeypatch.setattr(benchmark, "train", None)  # nothing is trained twice
    work.do(plan)
    again = benchmark.Work("mini", 1, tmp_path / "out", tmp_path)
    kept = work.autoencoder("code").state_dict()
    monkeypatch.setattr(benchmark, "pretrain", None)
    assert all(torch.equal(value, kept[name]) for name, value in again.autoencoder("code").state_dict().items())
    sys.modules.pop("benchmarks.masked_autoencoder")
