"""Studies: every row its own rate, the same seeds for all, and nothing is done twice."""

import json
from dataclasses import replace

import pytest
import torch

from dferlib import InputError, studies
from dferlib.studies import RATES, Row, Study, run_study
from dferlib.training import TrainConfig


@pytest.fixture
def small(monkeypatch, tiny_source, tiny_model):
    """A study of two rows on the tiny data; counts the trainings."""
    config = TrainConfig(epochs=1, device="cpu")
    study = Study("Does it work?", {"a": Row("tiny", {}, config), "b": Row("tiny", {}, config)}, seeds=(0, 1))
    monkeypatch.setitem(studies.STUDIES, "small", study)
    monkeypatch.setattr(
        studies,
        "create_model",
        lambda name, num_classes=7, scale="book", **kwargs: tiny_model(seed=torch.initial_seed()),
    )
    trained = []
    real = studies.train
    monkeypatch.setattr(studies, "train", lambda *args, **kw: trained.append(args[3]) or real(*args, **kw))
    counts = {"train": 28, "val": 14, "test": 21}
    sources = {s: tiny_source(n, s, seed=k) for k, (s, n) in enumerate(counts.items())}
    return sources, trained


def test_every_row_is_tuned_once_and_trained_with_every_seed(small, tmp_path):
    sources, trained = small
    runs = run_study("small", lambda data: sources, tmp_path, keep_weights=True, progress=False)
    assert [run.name for run in runs] == ["a-seed0", "a-seed1", "b-seed0", "b-seed1"]
    assert len(trained) == 2 * (len(RATES) + 2)
    tuning = json.loads((tmp_path / "small" / "a-rates.json").read_text())["rates"]
    assert [t["lr"] for t in tuning] == list(RATES)
    best = max(tuning, key=lambda t: t["val_uar"])
    for run in runs[:2]:
        assert run.record["config"]["train"]["lr"] == best["lr"]
        run.check()
    assert {config.seed for config in trained} == {0, 1, 100}, "tuning must not use the seeds of the runs"
    assert (tmp_path / "small" / "a" / "best.safetensors").exists()


def test_interrupted_it_goes_on_where_it_stopped(small, tmp_path):
    sources, trained = small
    first = run_study("small", lambda data: sources, tmp_path, progress=False)
    (tmp_path / "small" / "b-seed1.json").unlink()
    trained.clear()
    again = run_study("small", lambda data: sources, tmp_path, progress=False)
    assert len(trained) == 1
    assert [run.record["predictions"] for run in again] == [run.record["predictions"] for run in first]


def test_other_data_or_other_code_makes_it_anew(small, tmp_path, tiny_source):
    sources, trained = small
    run_study("small", lambda data: sources, tmp_path, progress=False)
    trained.clear()
    other = {**sources, "test": tiny_source(21, "test", seed=9)}
    run_study("small", lambda data: other, tmp_path, progress=False)
    assert len(trained) == 2 * (len(RATES) + 2), "rates that were chosen on other clips are chosen anew"


def test_a_row_with_another_rate_is_made_anew(small, tmp_path):
    sources, trained = small
    before = run_study("small", lambda data: sources, tmp_path, progress=False)[0].record["config"]["train"]["lr"]
    trained.clear()
    path = tmp_path / "small" / "a-rates.json"
    tuning = json.loads(path.read_text())
    worst = next(found for found in tuning["rates"] if found["lr"] != before)
    worst["val_uar"] = 2.0
    path.write_text(json.dumps(tuning))
    runs = run_study("small", lambda data: sources, tmp_path, progress=False)
    assert [config.lr for config in trained] == [worst["lr"]] * 2
    assert runs[0].record["config"]["train"]["lr"] == worst["lr"]


def test_an_unknown_study_lists_the_known_ones(tmp_path):
    with pytest.raises(InputError, match="choose one of stt_table1"):
        run_study("nothing", lambda data: {}, tmp_path)


def test_each_row_gets_the_clips_it_names(small, tmp_path, monkeypatch):
    sources, _ = small
    rows = {"easy": Row("tiny", {}, TrainConfig(epochs=1, device="cpu"), {"difficulty": "easy"})}
    monkeypatch.setitem(studies.STUDIES, "small", Study("?", rows, seeds=(0,)))
    asked = []
    run = run_study("small", lambda data: asked.append(data) or sources, tmp_path, progress=False)[0]
    assert asked == [{"difficulty": "easy"}] == [run.record["config"]["data"]]


def test_the_rows_of_table_1_differ_in_attention_alone():
    rows = studies.STUDIES["stt_table1"].rows
    switched = {"spatial": {"temporal": False}, "temporal": {"spatial": False}}
    switched["no_attention"] = {"spatial": False, "temporal": False}
    for name, overrides in switched.items():
        assert replace(rows[name], overrides={}) == rows["stt"]
        assert rows[name].overrides == overrides
