"""Studies: every row its own rate, the same seeds for all, and nothing is done twice."""

import io
import itertools
import json
import multiprocessing
import os
import pickle
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from tiny import make_model, make_source, same_probe

from dferlib import InputError, create_model, list_models
from dferlib.evidence import complexity, studies
from dferlib.evidence.results import load_runs
from dferlib.evidence.statistics import compare, interval
from dferlib.evidence.studies import MakeFacesClips, Row, Study, make_again, run_study
from dferlib.evidence.studies.agenda import Agenda
from dferlib.evidence.studies.board import Board, span
from dferlib.evidence.studies.declared import RATES
from dferlib.evidence.studies.job import Job
from dferlib.evidence.studies.report import listing, measured, plan, results_table
from dferlib.training.checkpoints import read_metadata
from dferlib.training.config import TrainConfig
from dferlib.training.recipes import RECIPES, recipe


def small_study(monkeypatch):
    """A study of two rows on the tiny data: its clips, and a list that counts the trainings."""
    config = TrainConfig(epochs=1, device="cpu")
    study = Study("Does it work?", {"a": Row("tiny", {}, config), "b": Row("tiny", {}, config)}, seeds=(0, 1))
    monkeypatch.setitem(studies.STUDIES, "small", study)
    monkeypatch.setattr(
        studies.job,
        "create_model",
        lambda name, num_classes=7, scale="book", **kwargs: make_model(seed=torch.initial_seed()),
    )
    monkeypatch.setattr(studies.rates, "LADDER", RATES)  # nothing lies beyond what every row begins with
    same_probe(monkeypatch)
    trained = []
    real = studies.job.train
    monkeypatch.setattr(studies.job, "train", lambda *args, **kw: trained.append(args[3]) or real(*args, **kw))
    counts = {"train": 28, "val": 14, "test": 21}
    return {s: make_source(n, s, seed=k) for k, (s, n) in enumerate(counts.items())}, trained


@pytest.fixture
def small(monkeypatch):
    return small_study(monkeypatch)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    with pytest.MonkeyPatch.context() as patch:
        sources, _ = small_study(patch)
        run_study("small", lambda data: sources, folder, progress=False)
    return folder


@pytest.fixture
def finished(small, made_once, tmp_path):
    """The same where it has been run already."""
    shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)
    return small


@pytest.mark.slow
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


def test_interrupted_it_goes_on_where_it_stopped(finished, tmp_path):
    sources, trained = finished
    first = run_study("small", lambda data: sources, tmp_path, progress=False)
    (tmp_path / "small" / "b-seed1.json").unlink()
    trained.clear()
    again = run_study("small", lambda data: sources, tmp_path, progress=False)
    assert len(trained) == 1
    assert [run.record["predictions"] for run in again] == [run.record["predictions"] for run in first]


@pytest.mark.slow
def test_other_data_or_other_code_makes_it_anew(finished, tmp_path, tiny_source):
    sources, trained = finished
    other = {**sources, "test": tiny_source(21, "test", seed=9)}
    run_study("small", lambda data: other, tmp_path, progress=False)
    assert len(trained) == 2 * (len(RATES) + 2), "rates that were chosen on other clips are chosen anew"


@pytest.mark.slow
def test_a_row_of_another_model_is_made_anew(finished, tmp_path, monkeypatch):
    sources, trained = finished
    study = studies.STUDIES["small"]
    rows = {**study.rows, "b": replace(study.rows["b"], overrides={"layers": (3,)})}
    monkeypatch.setitem(studies.STUDIES, "small", replace(study, rows=rows))
    trained.clear()
    runs = run_study("small", lambda data: sources, tmp_path, progress=False)
    assert len(trained) == len(RATES) + 2, "row b and nothing else"
    assert runs[-1].model["overrides"] == {"layers": [3]}
    trained.clear()
    run_study("small", lambda data: sources, tmp_path, progress=False)
    assert not trained, "a tuple becomes a list in the file, and is the same"


@pytest.mark.slow
def test_a_run_that_another_study_has_made_is_not_made_again(finished, tmp_path, monkeypatch):
    sources, trained = finished
    first = run_study("small", lambda data: sources, tmp_path, progress=False)
    rows = {"same": studies.STUDIES["small"].rows["a"], "other": Row("tiny", {"layers": 3}, TrainConfig(epochs=1))}
    monkeypatch.setitem(studies.STUDIES, "twin", Study("And this?", rows, seeds=(0, 1, 2)))
    monkeypatch.setattr(studies.report, "complexity", lambda model: complexity.complexity(create_model("stt")))
    monkeypatch.setattr(studies.report, "create_model", lambda *args, **kwargs: None)
    monkeypatch.setattr(studies.report, "measured", lambda row, scale: 1.0)
    told = [line.split() for line in plan("twin", tmp_path)]
    assert told[1][3:5] == ["1", "0"] and told[2][3:5] == ["3", str(len(RATES))], "runs and tuning that are missing"
    agenda = Agenda(studies.STUDIES["twin"], tmp_path / "twin", lambda data: sources)
    assert Board(agenda, 1, shown=False).left == {"same": 1, "other": 3 + len(RATES)}, "the time left counts those only"
    trained.clear()
    runs = run_study("twin", lambda data: sources, tmp_path, progress=False)
    assert len(trained) == 1 + len(RATES) + 3, "seed 2 of the one row, and all of the other"
    assert [run.name for run in runs[:3]] == ["same-seed0", "same-seed1", "same-seed2"]
    for run, twin in zip(runs[:2], first[:2], strict=True):
        run.check()
        assert run.path.parent.name == "twin" and run.record == twin.record
    tried = [json.loads((tmp_path / name).read_text()) for name in ("small/a-rates.json", "twin/same-rates.json")]
    assert tried[0] == tried[1]
    trained.clear()
    run_study("twin", lambda data: sources, tmp_path, keep_weights=True, progress=False)
    assert not trained, "what is there is not made for its weights"


@pytest.mark.slow
def test_the_weights_of_a_run_are_not_taken_from_another_study(finished, tmp_path, monkeypatch):
    sources, trained = finished
    rows = {"same": studies.STUDIES["small"].rows["a"]}
    monkeypatch.setitem(studies.STUDIES, "twin", Study("And this?", rows, seeds=(0, 1)))
    trained.clear()
    run_study("twin", lambda data: sources, tmp_path, keep_weights=True, progress=False)
    assert len(trained) == 1, "the first seed, whose weights are wanted"
    assert (tmp_path / "twin" / "same" / "best.safetensors").exists()


@pytest.mark.slow
def test_rates_of_another_study_count_when_they_hold_all_that_are_asked_for(finished, tmp_path, monkeypatch):
    sources, trained = finished
    row = studies.STUDIES["small"].rows["a"]
    rows = {"few": replace(row, rates=RATES[:2]), "more": replace(row, rates=(*RATES, 1.0))}
    monkeypatch.setitem(studies.STUDIES, "twin", Study("And this?", rows, seeds=(0,)))
    trained.clear()
    run_study("twin", lambda data: sources, tmp_path, progress=False)
    assert [config.lr for config in trained if config.seed == 100] == [*RATES, 1.0]
    few = json.loads((tmp_path / "twin" / "few-rates.json").read_text())["rates"]
    assert few == json.loads((tmp_path / "small" / "a-rates.json").read_text())["rates"][:2]


@pytest.mark.slow
def test_a_row_with_another_rate_is_made_anew(finished, tmp_path):
    sources, trained = finished
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
    assert run.record["config"]["data"] == {"difficulty": "easy"} and all(
        one == {"difficulty": "easy"} for one in asked
    )


def test_the_rows_of_table_1_differ_in_attention_alone():
    rows = studies.STUDIES["stt_table1"].rows
    switched = {"spatial": {"temporal": False}, "temporal": {"spatial": False}}
    switched["no_attention"] = {"spatial": False, "temporal": False}
    for name, overrides in switched.items():
        assert replace(rows[name], overrides={}) == rows["stt"]
        assert rows[name].overrides == overrides


def real_clips(data):
    """Noise in the shape that real models take; in another process it may end that process."""
    if data.get("deadly") and multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    counts = {"train": 14, "val": 7, "test": 14}
    return {s: make_source(n, s, seed=k, frames=8, side=64) for k, (s, n) in enumerate(counts.items())}


@pytest.mark.slow
def test_two_processes_make_the_records_that_one_makes(monkeypatch, tmp_path):
    config = TrainConfig(epochs=1, device="cpu", backbone_lr_scale=0.0)
    rows = {name: Row(name, {}, config, rates=(1e-3, 1e-2)) for name in ("single_frame", "frame_average")}
    monkeypatch.setitem(studies.STUDIES, "small", Study("?", rows, (0, 1)))
    found = {jobs: run_study("small", real_clips, tmp_path / str(jobs), progress=False, jobs=jobs) for jobs in (1, 2)}
    names = [f"{row}-seed{seed}" for row in rows for seed in (0, 1)]
    for runs in found.values():
        assert [run.name for run in runs] == names
        for run in runs:
            run.check()
    assert [run.record["predictions"] for run in found[1]] == [run.record["predictions"] for run in found[2]]
    rates = [(tmp_path / jobs / "small" / "single_frame-rates.json").read_text() for jobs in "12"]
    assert rates[0] == rates[1]


@pytest.mark.slow
def test_a_killed_process_is_one_line_and_the_next_call_goes_on(monkeypatch, tmp_path):
    config = TrainConfig(epochs=1, device="cpu", backbone_lr_scale=0.0)
    rows = {"good": Row("single_frame", {}, config, rates=(1e-3,))}
    rows["bad"] = replace(rows["good"], data={"deadly": True})
    monkeypatch.setitem(studies.STUDIES, "small", Study("?", rows, (0,)))
    with pytest.raises(InputError, match=r"was killed.*run the same again") as told:
        run_study("small", real_clips, tmp_path, progress=False, jobs=2)
    assert "\n" not in str(told.value)
    assert all(run.name == "good-seed0" for run in load_runs(tmp_path))
    assert [run.name for run in run_study("small", real_clips, tmp_path, progress=False)] == ["good-seed0", "bad-seed0"]


def test_a_study_is_not_for_torchrun(small, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="--jobs"):
        run_study("small", lambda data: small[0], tmp_path)


@pytest.mark.slow
def test_seeds_and_device_can_be_chosen_and_do_not_make_it_anew(small, tmp_path):
    sources, trained = small
    run_study("small", lambda data: sources, tmp_path, progress=False, seeds=(1,))
    assert {config.seed for config in trained} == {1, 100}
    trained.clear()
    runs = run_study("small", lambda data: sources, tmp_path, progress=False, seeds=(1, 0), device="auto")
    assert [run.name for run in runs] == ["a-seed1", "a-seed0", "b-seed1", "b-seed0"]
    assert [config.seed for config in trained] == [0, 0], "another device is no other run, and the rates are chosen"


@pytest.mark.slow
def test_a_row_starts_from_what_another_has_learnt(small, tmp_path, monkeypatch):
    sources, trained = small
    config = TrainConfig(epochs=2, device="cpu")
    rows = {"fine": Row("tiny", {}, config, rates=(1e-3, 1e-2), start="large"), "large": Row("tiny", {}, config)}
    monkeypatch.setitem(studies.STUDIES, "small", Study("?", rows, seeds=(0, 1)))
    monkeypatch.setattr("dferlib.training.checkpoints.create_model", None)  # only the weights are read

    def run():
        trained.clear()
        found = run_study("small", lambda data: sources, tmp_path, progress=False)
        return {one.name: one.record for one in found}

    records, folder = run(), tmp_path / "small"
    wanted = [f"large-seed{seed}/best.safetensors" for seed in (0, 0, 0, 1)]  # two rates, two seeds
    started = [Path(config.start) for config in trained if config.start]
    assert ["/".join(path.parts[-2:]) for path in started] == wanted
    for seed in (0, 1):
        first = records[f"large-seed{seed}"]["predictions"]
        assert records[f"fine-seed{seed}"]["config"]["start"] == {f"large-seed{seed}": first}
        assert records[f"fine-seed{seed}"]["config"]["train"]["start"] == f"large-seed{seed}/best.safetensors"
    assert run() == records and not trained

    # weights are needed only as long as something is to start from them
    for seed in (0, 1):
        (folder / f"large-seed{seed}" / "best.safetensors").unlink()
    assert run() == records and not trained
    (folder / "fine-seed1.json").unlink()
    run()
    assert [bool(config.start) for config in trained] == [False, False, True]

    # another start is another run
    path = folder / "large-rates.json"
    tuning = json.loads(path.read_text())
    best = max(tuning["rates"], key=lambda one: one["val_uar"])
    next(one for one in tuning["rates"] if one is not best)["val_uar"] = 2.0
    path.write_text(json.dumps(tuning))
    again = run()
    assert again["large-seed0"]["predictions"] != records["large-seed0"]["predictions"]
    assert sum(bool(config.start) for config in trained) == 4, "the rate and both runs of the row that follows"


def test_every_row_can_be_made_at_every_scale_of_its_study():
    for name, study in studies.STUDIES.items():
        for title, row in study.rows.items():
            assert row.model in list_models() and (not row.start or study.rows[row.start].model == row.model)
            assert row.at("book").config == replace(row.config, **row.settings), (name, title)
            if "paper" not in study.scales:
                continue
            paper, printed = row.at("paper"), recipe(row.recipe or row.model, "paper")
            assert paper.config == replace(printed, **row.settings)
            own = (row.recipe or row.model) in RECIPES
            assert paper.rates == ((printed.lr,) if own else studies.declared.PAPER_RATES)
    losses = {title: row.at("paper").config.loss for title, row in studies.STUDIES["stt_table2"].rows.items()}
    assert all(title == loss for title, loss in losses.items()), "the recipe must not undo what a row is about"


@pytest.mark.slow
def test_records_of_paper_scale_have_a_folder_of_their_own(small, tmp_path, monkeypatch):
    sources, trained = small
    study = studies.STUDIES["small"]
    rows = {title: replace(row, settings={"epochs": 1}) for title, row in study.rows.items()}
    monkeypatch.setitem(studies.STUDIES, "small", replace(study, rows=rows, seeds=(0,)))
    runs = run_study("small", lambda data: sources, tmp_path, progress=False, scale="paper")
    assert {run.path.parent.name for run in runs} == {"small-paper"}
    assert {run.model["scale"] for run in runs} == {"paper"} and {config.optimizer for config in trained} == {"sgd"}
    monkeypatch.setitem(studies.STUDIES, "small", replace(study, scales=("book",)))
    with pytest.raises(InputError, match="unknown scale of small 'paper': choose one of book"):
        run_study("small", lambda data: sources, tmp_path, progress=False, scale="paper")


def test_clips_travel_to_another_process_without_their_frames(monkeypatch, tiny_source, tmp_path):
    asked = []

    def make_faces(split, size, root, **kwargs):
        asked.append((split, size, root, kwargs))
        return tiny_source(28, split)

    monkeypatch.setattr("dferlib.makefaces.MakeFaces", make_faces)
    clips = MakeFacesClips("paper", tmp_path)
    whole, few = clips({"seed": 1}), clips({"seed": 1, "people": 2})
    assert clips({"seed": 1}) is whole and len(asked) == 6
    assert asked[0] == ("train", "paper", tmp_path, {"seed": 1}) == asked[3]
    assert sorted(set(few["train"].table.groups)) == ["0", "1"] and len(few["train"]) == 14
    assert len(few["test"]) == 28 and few["train"].fingerprint != whole["train"].fingerprint
    there, again = (pickle.loads(pickle.dumps(clips)) for _ in range(2))
    assert (there.size, there.root, there._loaded) == ("paper", tmp_path, {})
    assert again is there, "every job of a process finds the same clips, and their maps"


def test_several_difficulties_give_the_clips_of_each(monkeypatch, tiny_source, tmp_path):
    asked = []

    def make_faces(split, size, root, difficulty):
        asked.append((split, difficulty))
        return tiny_source(14, split, seed=len(difficulty))

    monkeypatch.setattr("dferlib.makefaces.MakeFaces", make_faces)
    found = MakeFacesClips("book", tmp_path)({"difficulty": ["easy", "standard"]})
    assert asked == [(s, level) for s in ("train", "val", "test") for level in ("easy", "standard")]
    for split, source in found.items():
        assert len(source) == 28 and {name.split("/")[0] for name in source.table.ids} == {"easy", "standard"}
        assert set(source.table.rows["split"]) == {split}
        assert (source.read(20, np.arange(2)) == tiny_source(14, split, seed=8).read(6, np.arange(2))).all()


@pytest.mark.slow
def test_the_table_at_the_end_is_that_of_the_records(small, tmp_path):
    sources, _ = small
    runs = run_study("small", lambda data: sources, tmp_path, progress=False)
    told = [run.predictions() for run in runs]
    lines = results_table(runs, 2)
    for line, row in ((lines[1], told[:2]), (lines[2], told[2:])):
        uar, war = np.mean([one.metrics()["uar"] for one in row]), interval(row, "war")
        assert line.split()[1] == f"{100 * uar:.1f}"
        assert f"{100 * war.value:.1f} {100 * war.low:.1f} to {100 * war.high:.1f}" in " ".join(line.split())
    gap = compare(told[2:], told[:2]).uar
    assert lines[1].endswith(" -")
    assert lines[2].endswith(f"{100 * gap.value:+.1f} ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})")


def test_a_row_of_other_clips_has_no_difference(small, tmp_path, tiny_source, monkeypatch):
    sources, _ = small
    rows = {name: Row("tiny", {}, TrainConfig(epochs=1), {"seed": k}, (1e-3,)) for k, name in enumerate("ab")}
    monkeypatch.setitem(studies.STUDIES, "small", Study("?", rows, seeds=(0,)))
    worlds = [sources, {**sources, "test": tiny_source(21, "test", seed=9)}]
    runs = run_study("small", lambda data: worlds[data["seed"]], tmp_path, progress=False)
    assert all(line.endswith(" -") for line in results_table(runs, 1)[1:3])


@pytest.mark.slow
def test_a_plan_counts_what_is_missing_and_takes_the_time_from_the_records(small, tmp_path, monkeypatch):
    sources, _ = small
    run_study("small", lambda data: sources, tmp_path, progress=False)
    seconds = {"a": (3600.0, 7200.0), "b": (10.0, 20.0)}
    for row, taken in seconds.items():
        for seed, value in enumerate(taken):
            path = tmp_path / "small" / f"{row}-seed{seed}.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), "seconds": value}))
    (tmp_path / "small" / "a-seed1.json").unlink()
    (tmp_path / "small" / "b-rates.json").unlink()
    monkeypatch.setattr(
        "dferlib.evidence.studies.report.create_model", lambda *args, **kwargs: create_model("single_frame")
    )
    cost = complexity.complexity(create_model("single_frame"))
    lines = plan("small", tmp_path)
    assert lines[1].split() == ["a", f"{cost.parameters:,}", f"{cost.gmac:.3f}", "1", "0", *["60", "min", "60", "min"]]
    assert lines[2].split()[3:] == ["0", "3", *["15", "s", "45", "s"]]
    assert lines[-1] == "in all about 61 min"
    assert plan("small", tmp_path, jobs=2)[-1].startswith("in all about 61 min, 30 min in 2 processes")
    listed = listing(tmp_path)
    assert listed[listed.index("small: Does it work?") + 1] == "    book: 3 of 4 records current, 0 old"
    old = json.loads((tmp_path / "small" / "b-seed0.json").read_text())
    (tmp_path / "small" / "b-seed0.json").write_text(json.dumps({**old, "probe": None}))
    listed = listing(tmp_path)
    assert listed[listed.index("small: Does it work?") + 1] == "    book: 2 of 4 records current, 1 old"
    assert plan("small", tmp_path)[2].split()[3] == "1"


@pytest.mark.slow
def test_where_there_are_no_records_one_step_is_measured(small, tmp_path, monkeypatch):
    row = Row("single_frame", {}, TrainConfig(epochs=3, backbone_lr_scale=0.0, device="cpu"), {"people": 4}, (1e-3,))
    monkeypatch.setitem(studies.STUDIES, "small", Study("?", {"one": row}, (0,)))
    assert plan("small", tmp_path)[1].endswith("(from one step)")
    assert not list(tmp_path.iterdir())

    def train(model, source, val, config, progress):
        history = type("History", (), {})()
        history.epochs = [type("Epoch", (), {"seconds": taken})() for taken in (99.0, 7.0, 8.0)]
        assert len(source) == config.batch_size and config.epochs == 3 and not progress
        sizes.append(len(source))
        return history

    sizes = []
    monkeypatch.setattr("dferlib.evidence.studies.report.train", train)
    assert measured(row, "book") == 7.0 / 7 * 16 * 3  # a clip takes a second; 4 people, 4 clips each, 3 epochs
    assert measured(row, "paper") == 7.0 / 2 * 16 * 3 and sizes == [7, 2]


@pytest.mark.slow
def test_what_takes_long_before_a_study_begins_has_a_bar(small, tmp_path, monkeypatch, capsys):
    clock = itertools.count(0, 3)
    monkeypatch.setattr("tqdm.std.time", lambda: next(clock))  # every look at the clock is three seconds later
    monkeypatch.setattr("dferlib.evidence.studies.report.measured", lambda row, scale: 5.0)
    monkeypatch.setattr(
        "dferlib.evidence.studies.report.create_model", lambda *args, **kwargs: create_model("single_frame")
    )
    plan("small", tmp_path)
    assert re.search(r"probes.*1/2", capsys.readouterr().err)
    board(small, tmp_path, 1, terminal=False)
    assert re.search(r"probes.*1/2", capsys.readouterr().err)
    run_study("small", lambda data: small[0], tmp_path, progress=False)
    assert "probes" not in capsys.readouterr().err
    listing(tmp_path)
    assert re.search(r"probes.*1/4", capsys.readouterr().err)


def test_what_cannot_be_built_is_told_in_the_plan(tmp_path, monkeypatch):
    rows = {"broken": Row("stt", {"layers": -1, "nosuch": 1}), "whole": Row("single_frame", rates=(1e-3,))}
    monkeypatch.setitem(studies.STUDIES, "small", Study("?", rows, (0,)))
    monkeypatch.setattr("dferlib.evidence.studies.report.measured", lambda row, scale: 5.0)
    lines = plan("small", tmp_path)
    assert "cannot be run: unknown argument of stt 'nosuch'" in lines[1] and lines[-1] == "in all about 5 s"


def board(small, tmp_path, jobs, terminal):
    out = io.StringIO()
    agenda = Agenda(studies.STUDIES["small"], tmp_path / "small", lambda data: small[0])
    return agenda, Board(agenda, jobs, console=Console(file=out, force_terminal=terminal, width=100)), out


def test_the_time_left_follows_from_what_was_done(small, tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("dferlib.evidence.studies.board.perf_counter", lambda: clock[0])
    agenda, shown, out = board(small, tmp_path, 2, terminal=False)
    assert shown.time_left() is None and "unknown" in shown.state()
    job = agenda.next_job()
    assert shown.begins(job) is job and job.tuning and shown.begins(None) is None
    clock[0] = 100.0
    shown.ended(job, 0.25)  # left are 2 + 2 trainings of row a and 3 + 2 of row b, in two processes
    assert shown.time_left() == 450.0 and "8 min left" in out.getvalue()
    assert out.getvalue().startswith("a, rate 0.01: validation UAR 25.0 %, 2 min (0 of 4")
    shown.begins(agenda.next_job())
    clock[0] = 160.0
    assert shown.time_left() == 420.0
    assert [span(value) for value in (40, 720, 12240)] == ["40 s", "12 min", "3.4 h"]


@pytest.mark.slow
def test_a_terminal_shows_a_table(small, tmp_path):
    agenda, shown, out = board(small, tmp_path, 1, terminal=True)
    runs = run_study("small", lambda data: small[0], tmp_path, progress=False, seeds=(0,))
    with shown:
        job = Job("a", replace(agenda.rows["a"], config=TrainConfig(seed=0)), "book", agenda.clips, {})
        tuning = shown.begins(replace(job, tuning=True))
        assert "choosing" in str(list(shown.table().columns[1].cells))
        shown.ended(tuning, 0.25)
        shown.begins(job)
        assert "running" in str(list(shown.table().columns[2].cells))
        files = {path.name: path.read_bytes() for path in (runs[0].path.with_suffix(".npz"), runs[0].path)}
        shown.ended(job, agenda.finish(job, files))
    assert f"{100 * runs[0].metrics['uar']:.1f} %" in out.getvalue() and "1 of 4 records" in out.getvalue()


@pytest.mark.slow
def test_a_record_is_made_again_to_the_bit(small, tmp_path, monkeypatch):
    sources, trained = small
    run = run_study("small", lambda data: sources, tmp_path, progress=False)[1]
    before, threads = run.path.read_bytes(), torch.get_num_threads()
    found = make_again(run, lambda data: sources, "cpu", progress=False)
    assert (found.logits == run.predictions().logits).all()
    assert trained[-1] == TrainConfig(**{**run.record["config"]["train"], "device": "cpu"})
    assert torch.get_num_threads() == threads and run.path.read_bytes() == before
    used = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    run.record["device"] = "cpu x86_64, 3 threads"
    make_again(run, lambda data: sources, progress=False)
    assert used == [3, threads], "it trains on as many threads as the record names"


@pytest.mark.slow
def test_a_record_of_another_training_or_of_other_clips_does_not_come_out(small, tmp_path):
    sources, _ = small
    run = run_study("small", lambda data: sources, tmp_path, progress=False)[1]
    found = run.predictions()
    run.record["config"]["train"]["lr"] *= 2
    assert (make_again(run, lambda data: sources, progress=False).logits != found.logits).any()
    with pytest.raises(InputError, match="a-seed1 was made on other clips"):
        make_again(run, lambda data: {**sources, "test": sources["val"]})


def test_a_record_that_started_from_another_is_made_again_from_the_same_weights(small, tmp_path, monkeypatch):
    sources, trained = small
    config = TrainConfig(epochs=1, device="cpu")
    rows = {"large": Row("tiny", {}, config, rates=(1e-2,))}
    rows["fine"] = Row("tiny", {}, config, rates=(1e-3,), start="large")
    monkeypatch.setitem(studies.STUDIES, "small", Study("Does it work?", rows, seeds=(0,)))
    run = run_study("small", lambda data: sources, tmp_path, keep_weights=True, progress=False)[1]
    weights = tmp_path / "small" / "large-seed0" / "best.safetensors"
    kept = read_metadata(tmp_path / "small" / "fine" / "best.safetensors")["metadata"]
    assert kept["train"] == run.record["config"]["train"] and kept["train"]["start"] == "large-seed0/best.safetensors"
    assert (make_again(run, lambda data: sources, progress=False).logits == run.predictions().logits).all()
    assert trained[-1].start == str(weights)
    weights.unlink()
    with pytest.raises(InputError, match=r"started from .*large-seed0.*not there"):
        make_again(run, lambda data: sources)


@pytest.mark.slow
def test_a_row_whose_rates_were_changed_tries_the_new_ones_and_chooses_among_all(small, tmp_path, monkeypatch):
    sources, trained = small
    run_study("small", lambda data: sources, tmp_path, progress=False)
    rows = {"a": replace(studies.STUDIES["small"].rows["a"], rates=(*RATES[1:], 1e-4))}  # as many, one of them new
    monkeypatch.setitem(studies.STUDIES, "small", Study("Does it work?", rows, seeds=(0,)))
    path = tmp_path / "small" / "a-rates.json"
    known = json.loads(path.read_text())
    next(one for one in known["rates"] if one["lr"] == RATES[0])["val_uar"] = 2.0  # not asked for any more
    path.write_text(json.dumps(known))
    trained.clear()
    run = run_study("small", lambda data: sources, tmp_path, progress=False)[0]
    assert [config.lr for config in trained if config.seed == 100] == [1e-4]
    assert run.record["config"]["train"]["lr"] == RATES[0], "what is known of it counts"


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize(
    ("peak", "tried"),
    [
        (1e-3, [1e-3, 3e-3, 3e-4]),
        (3e-3, [1e-3, 3e-3, 1e-2]),
        (1e-5, [1e-3, 3e-3, 3e-4, 1e-4]),  # the end of the ladder
    ],
)
def test_while_the_best_rate_is_at_an_end_the_next_one_is_tried(small, tmp_path, monkeypatch, peak, tried, jobs):
    sources, _ = small
    monkeypatch.setattr(studies.rates, "LADDER", (1e-4, 3e-4, 1e-3, 3e-3, 1e-2))
    monkeypatch.setitem(
        studies.STUDIES, "small", Study("?", {"a": Row("tiny", {}, TrainConfig(epochs=1), rates=(1e-3, 3e-3))}, (0,))
    )
    agenda = Agenda(studies.STUDIES["small"], tmp_path / "small", lambda data: sources)
    board, asked = Board(agenda, 1, shown=False), []
    while True:
        batch = [job for job in (board.begins(agenda.next_job()) for _ in range(jobs)) if job]
        if not batch[0].tuning:
            break
        for job in batch:
            asked.append(job.row.config.lr)
            board.ended(job, agenda.finish(job, -abs(np.log(job.row.config.lr / peak))))
    assert asked == tried
    assert batch[0].row.config.lr == min(tried, key=lambda rate: abs(np.log(rate / peak)))
    assert board.left == {"a": 1}, "the one run"
