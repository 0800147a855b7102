"""The records that the book reads, and what papers reported: whole, consistent, and recomputable."""

from pathlib import Path

import pandas as pd
import pytest

from dferlib import EMOTIONS, load_model
from dferlib.results import load_runs
from dferlib.studies import STUDIES

RESULTS = Path(__file__).parents[1] / "results"
RUNS = load_runs(RESULTS)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.path.parent.name}/{run.name}")
def test_metrics_follow_from_the_logits(run):
    run.check()
    found = run.predictions()
    assert len(set(found.ids)) == len(found.ids) >= 1000
    assert found.classes == EMOTIONS
    epochs = run.record["history"]["epochs"]
    best = max(epochs, key=lambda epoch: epoch["val_uar"])
    assert run.record["history"]["best_epoch"] == best["epoch"], "the epoch is chosen on the validation split"


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_whole_and_its_rows_saw_the_same_clips(name):
    study = STUDIES[name]
    runs = {run.name: run for run in RUNS if run.path.parent.name == name}
    assert set(runs) == {f"{row}-seed{seed}" for row in study.rows for seed in study.seeds}
    seen = {}  # what the clips were asked for with, and which they were
    for name, row in study.rows.items():
        mine = [run for key, run in runs.items() if key.startswith(f"{name}-seed")]
        assert len({run.record["config"]["train"]["lr"] for run in mine}) == 1, "the seeds share a learning rate"
        clips = {(str(run.record["data"]), run.predictions().ids.tobytes()) for run in mine}
        assert len(clips) == 1
        assert seen.setdefault(str(row.data), clips) == clips, "rows that ask for the same clips saw the same"
    assert len({str(clips) for clips in seen.values()}) == len(seen), "rows that ask for other clips saw others"


def test_attention_and_the_clip_are_worth_what_the_chapter_says():
    """The chapter's sentences: the clip brings most, the attention brings some, in every seed."""
    uar = {run.name: run.metrics["uar"] for run in RUNS if run.path.parent.name == "stt_against_controls"}
    for seed in STUDIES["stt_against_controls"].seeds:
        stt, control, single = (uar[f"{row}-seed{seed}"] for row in ("stt", "no_attention", "single_frame"))
        assert stt - single >= 0.08
        assert 0 < stt - control < control - single


@pytest.mark.parametrize("path", sorted(RESULTS.rglob("*.safetensors")), ids=lambda path: path.parent.name)
def test_shipped_weights_load(path):
    assert load_model(path).classes == EMOTIONS


def test_reported_recalls_average_to_the_reported_uar():
    """Holds for every row of STT's Table 3 but the one that the errata name."""
    reported = pd.read_csv(RESULTS / "reported.csv")
    table = reported[(reported.paper == "STT") & (reported.table == "Table 3")]
    wide = table.pivot(index=["method", "sampling"], columns="metric", values="value").astype(float)
    gap = (wide[list(EMOTIONS)].mean(axis=1) - wide["UAR"]).abs()
    off = gap[gap > 0.011]
    assert [method.lower() for method, _ in off.index] == ["resnet18+gru"]
    assert len(wide) == 14
