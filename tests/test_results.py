import json
import shutil
from dataclasses import asdict

import numpy as np
import pytest

import dferlib.evidence.results as results_module
from dferlib import EMOTIONS, InputError
from dferlib.evidence.results import Run, device_name, load_runs, save_run
from dferlib.training.config import TrainConfig
from dferlib.training.evaluation import Predictions
from dferlib.training.history import Epoch, History


def predictions(count=30):
    rng = np.random.default_rng(0)
    return Predictions(
        ids=np.array([f"clip-{k}" for k in range(count)]),
        labels=np.arange(count) % 7,
        groups=np.array([f"person {k // 7}" for k in range(count)]),
        logits=rng.normal(size=(count, 7)).astype(np.float32),
        classes=EMOTIONS,
    )


def save(folder, name="first", **changes):
    history = History([Epoch(1, 2.0, 0.1, 0.3, 0.3, 1.0), Epoch(2, 1.0, 0.5, 0.25, 0.3, 1.0)])
    given = {
        "config": {"model": {"name": "single_frame", "scale": "book"}, "train": asdict(TrainConfig())},
        "seed": 4,
        "data": {"test": "abc"},
        "predictions": predictions(),
        "history": history,
        "device": "cpu x",
        "seconds": 1.5,
    }
    return save_run(folder, name, **{**given, **changes})


def test_a_record_holds_what_anyone_needs_to_check_it(tmp_path):
    save(tmp_path)
    record = json.loads((tmp_path / "first.json").read_text())
    assert record["config"]["model"]["name"] == "single_frame"
    assert (record["seed"], record["data"], record["device"], record["seconds"]) == (4, {"test": "abc"}, "cpu x", 1.5)
    assert record["history"]["best_epoch"] == 1 and len(record["history"]["epochs"]) == 2
    assert {"python", "dferlib", "torch", "numpy"} <= record["versions"].keys()
    with np.load(tmp_path / "first.npz", allow_pickle=False) as file:
        labels, logits, ids = file["labels"], file["logits"], file["ids"]
    assert ids.tolist() == predictions().ids.tolist()
    # UAR from the file alone, with a loop
    recalls = []
    for k in range(7):
        rows = [row for row, label in zip(logits, labels, strict=True) if label == k]
        recalls.append(sum(int(np.argmax(row)) == k for row in rows) / len(rows))
    assert record["metrics"]["uar"] == pytest.approx(sum(recalls) / 7, abs=1e-12)
    assert record["metrics"]["recalls"] == pytest.approx(recalls)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.json", "first.npz"]


def test_runs_come_back_from_every_depth_and_other_json_is_passed_over(tmp_path):
    save(tmp_path / "b" / "deep", "one")
    save(tmp_path / "a", "two", seed=9)
    (tmp_path / "a" / "history.json").write_text('{"epochs": []}')
    runs = load_runs(tmp_path)
    assert [run.name for run in runs] == ["two", "one"]
    assert runs[0].record["seed"] == 9
    back = runs[0].predictions()
    for name in ("ids", "labels", "groups", "logits"):
        np.testing.assert_array_equal(getattr(back, name), getattr(predictions(), name))
    for run in runs:
        run.check()


def test_a_clip_of_an_absent_class_survives_the_check(tmp_path):
    held = predictions(5)  # two classes have no clips, so no recall
    run = save(tmp_path, predictions=held)
    assert run.metrics["recalls"][5:] == [None, None]
    load_runs(tmp_path)[0].check()


@pytest.mark.parametrize("name", ["uar", "war", "clips", "recalls", "confusion"])
def test_a_changed_number_is_found(tmp_path, name):
    save(tmp_path)
    path = tmp_path / "first.json"
    record = json.loads(path.read_text())
    value = record["metrics"][name]
    if name == "recalls":
        value[3] += 1e-6
    elif name == "confusion":
        value[2][2] += 1
    else:
        value += 1e-6 if isinstance(value, float) else 1
    record["metrics"][name] = value
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match=f"{name} is written as"):
        load_runs(tmp_path)[0].check()


def test_predictions_of_another_run_are_found(tmp_path):
    save(tmp_path, "first")
    run = save(tmp_path, "second", predictions=predictions(29))
    shutil.copy(tmp_path / "first.npz", tmp_path / "second.npz")
    with pytest.raises(InputError, match=r"second\.npz is not the file of this record"):
        run.check()
    (tmp_path / "second.npz").unlink()
    with pytest.raises(InputError, match=r"second\.npz is missing"):
        run.predictions()


def test_a_record_is_current_while_its_probe_comes_out_the_same(tmp_path):
    run = save(tmp_path)
    assert run.is_current and run.state == "current"
    losses = [loss * 1.1 for loss in run.record["probe"]["losses"]]
    assert Run(run.path, {**run.record, "probe": {**run.record["probe"], "losses": losses}}).state == "old"
    assert Run(run.path, {key: value for key, value in run.record.items() if key != "probe"}).state == "old"
    other = {**run.record["config"], "model": {"name": "no_such_model", "scale": "book"}}
    assert Run(run.path, {**run.record, "config": other}).state == "unknown"


def test_a_damaged_record_and_a_missing_folder_are_named(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        load_runs(tmp_path / "none")
    (tmp_path / "bad.json").write_text('{"format": ')
    with pytest.raises(InputError, match=r"cannot read .*bad\.json"):
        load_runs(tmp_path)


def test_an_interrupted_save_leaves_no_record(tmp_path, monkeypatch):
    monkeypatch.setattr(results_module, "probe_of", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path)
    assert load_runs(tmp_path) == []


def test_the_device_has_a_name():
    assert device_name("cpu").startswith("cpu ") and device_name("cpu").endswith("threads")
    with pytest.raises(InputError, match="unknown device"):
        device_name("abacus")
