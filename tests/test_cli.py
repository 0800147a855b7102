import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import typer.main
from conftest import call
from tiny import same_probe

import dferlib.makefaces as makefaces
from dferlib import InputError, TrainConfig, create_model
from dferlib.cli import app
from dferlib.data.sets import BENCHMARKS
from dferlib.evidence import studies
from dferlib.evidence.complexity import complexity

COMMANDS = typer.main.get_command(app).commands


def dferlib(*arguments, **kwargs):
    command = [sys.executable, "-m", "dferlib.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **kwargs)


@pytest.fixture
def tiny_world(tiny_source, tiny_model, monkeypatch):
    """The tiny data and model in place of MakeFaces and the real models."""
    counts = {"train": 28, "val": 14, "test": 21}

    def make_faces(split="train", size="book", seed=0, root=None, **kwargs):
        if size not in ("mini", "book"):
            raise InputError(f"unknown size {size!r}: choose one of mini, book")
        source = tiny_source(counts[split], split, seed=list(counts).index(split))
        source.verify = lambda: None
        return source

    def create_model(name, num_classes=7, scale="book", **overrides):
        if name != "tiny":
            raise InputError(f"unknown model {name!r}: choose one of tiny")
        return tiny_model(seed=torch.initial_seed(), num_classes=num_classes)

    same_probe(monkeypatch)
    monkeypatch.setattr(makefaces, "MakeFaces", make_faces)
    for module in ("models", "evidence.studies.job", "evidence.studies.report"):
        monkeypatch.setattr(f"dferlib.{module}.create_model", create_model)
    monkeypatch.setattr("dferlib.training.checkpoints.create_model", create_model)


def fails(capsys, *arguments, words):
    """Check that a command ends with status 1 and one line on stderr that holds the words."""
    assert call(*arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("dferlib: ") and error.count("\n") == 1 and "Traceback" not in error
    for word in words:
        assert word in error


def test_import_and_help_leave_the_heavy_packages_alone():
    heavy = ("torch", "torchvision", "numpy", "pandas", "scipy", "matplotlib", "sklearn", "lightning", "av")
    script = (
        "import sys, dferlib.cli\n"
        "try: dferlib.cli.main(['--help'])\n"
        f"except SystemExit: print([name for name in {heavy} if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout
    assert all(name in shown for name in COMMANDS)
    assert shown.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(command, capsys):
    assert call(command, "--help") == 0
    assert f"Example: dferlib {command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["check-data", "pack"])
def test_help_names_every_data_set(command, capsys):
    assert call(command, "--help") == 0
    assert f"One of {', '.join(BENCHMARKS)}." in " ".join(capsys.readouterr().out.split())


def test_training_takes_every_setting_and_goes_on_where_it_was(tiny_world, tmp_path, capsys):
    out = tmp_path / "run"
    settings = [
        part
        for text in ("ema=0.5", "milestones=1,2", "schedule=steps", "compile=false", "balance=sampling", "batch_size=4")
        for part in ("--set", text)
    ]
    command = ["train", "tiny", "--epochs", 2, "--out", out, "--device", "cpu", *settings]
    assert call(*command) == 0
    told = json.loads((out / "run.json").read_text())["config"]["train"]
    assert (told["ema"], told["milestones"], told["batch_size"], told["epochs"]) == (0.5, [1, 2], 4, 2)
    first = (out / "last.pt").read_bytes()
    capsys.readouterr()
    assert call(*command, "--resume") == 0  # all is done already
    assert (out / "last.pt").read_bytes() == first
    capsys.readouterr()
    fails(capsys, *command, "--lr", "0.5", "--resume", words=["train lr was 0.001, now 0.5"])


def test_the_course_of_a_training_is_written_for_tensorboard(tiny_world, tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard")
    assert call("train", "tiny", "--epochs", 2, "--out", tmp_path, "--device", "cpu", "--tensorboard") == 0
    found = reader.EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    epochs = json.loads((tmp_path / "history.json").read_text())["epochs"]
    for name in ("train_loss", "val_uar"):
        shown = [(event.step, event.value) for event in found.Scalars(name)]
        assert shown == [(epoch["epoch"], pytest.approx(epoch[name])) for epoch in epochs]


def test_spoilt_clips_are_told_before_training_and_the_last_files_stay(tiny_world, tmp_path, capsys, monkeypatch):
    command = ["train", "tiny", "--epochs", 1, "--out", tmp_path, "--device", "cpu"]
    assert call(*command) == 0
    before, whole = {path: path.read_bytes() for path in tmp_path.iterdir()}, makefaces.MakeFaces
    capsys.readouterr()

    def spoilt(split, *args, **kwargs):
        source = whole(split, *args, **kwargs)

        def verify():
            raise InputError(f"{split}-0.npy does not match its checksum: delete it and run again")

        source.verify = verify
        return source

    monkeypatch.setattr(makefaces, "MakeFaces", spoilt)
    fails(capsys, *command, words=["train-0.npy does not match its checksum", "delete it"])
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("ema", ["ema takes float"]),
        ("ema=much", ["ema takes float"]),
        ("compile=yes", ["compile takes true or false"]),
        ("milestones=1,x", ["milestones takes numbers with commas between"]),
        ("speed=9", ["unknown setting 'speed'", "batch_size"]),
        ("ema=7", ["ema is 7.0"]),
    ],
)
def test_a_setting_that_cannot_be_is_told(tiny_world, tmp_path, capsys, setting, words):
    fails(capsys, "train", "tiny", "--out", tmp_path, "--set", setting, words=words)


def test_a_public_data_set_is_trained_and_tested_by_its_folds(tiny_world, tmp_path, capsys, monkeypatch):
    calls = []

    def splits(name, root, fold, size, layout, links):
        calls.append((name, root, fold, size, layout, tuple(links)))
        return {split: makefaces.MakeFaces(split) for split in ("train", "val", "test")}

    monkeypatch.setattr("dferlib.data.protocols.public_splits", splits)
    where = ["--data", "DFEW", "--root", tmp_path, "--fold", 3, "--device", "cpu"]
    assert call("train", "tiny", "--epochs", 1, "--out", tmp_path / "run", *where) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config"]["data"] == {"name": "DFEW", "fold": 3}
    assert call("evaluate", tmp_path / "run" / "best.safetensors", *where) == 0
    assert calls == [("DFEW", tmp_path, 3, 16, None, ())] * 2  # frames of 16 pixels for a model that takes 14
    other = [*where, "--layout", "jpg_224", "--follow-links", tmp_path]
    assert call("train", "tiny", "--epochs", 1, "--out", tmp_path / "other", *other) == 0
    assert calls[2:] == [("DFEW", tmp_path, 3, 16, "jpg_224", (tmp_path,))]
    data = json.loads((tmp_path / "other" / "run.json").read_text())["config"]["data"]
    assert data == {"name": "DFEW", "fold": 3, "layout": "jpg_224"}
    capsys.readouterr()
    fails(capsys, "train", "tiny", "--data", "DFEW", "--out", tmp_path, words=["where is DFEW?", "--root"])


def test_choosing_on_the_test_clips_marks_the_record_and_uses_them(tiny_world, tmp_path, capsys):
    for select in ("val", "test"):
        out = ["--out", tmp_path / select, "--device", "cpu", "--set", f"select={select}"]
        assert call("train", "tiny", "--epochs", 3, *out) == 0
    shown = capsys.readouterr().out
    assert "validation UAR" in shown and "TEST UAR" in shown
    record = json.loads((tmp_path / "test" / "run.json").read_text())
    best = record["history"]["epochs"][record["history"]["best_epoch"] - 1]
    assert best["val_uar"] == record["metrics"]["uar"]
    assert call("results", tmp_path) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["test/run"].endswith("select=test") and not lines["val/run"].endswith("select=test")


def test_two_records_are_tested_against_each_other(tiny_world, tmp_path, capsys):
    for seed, epochs in ((0, 1), (1, 12)):
        out = ["--out", tmp_path / str(seed), "--device", "cpu", "--lr", "0.01", "--seed", seed]
        assert call("train", "tiny", "--epochs", epochs, *out) == 0
    metrics = [json.loads((tmp_path / name / "run.json").read_text())["metrics"] for name in "10"]
    capsys.readouterr()
    assert call("results", tmp_path, "--compare", "1/run", "0/run") == 0
    shown = capsys.readouterr().out
    assert "21 clips of 3 people" in shown
    for name in ("uar", "war"):
        assert f"{name.upper()} {100 * (metrics[0][name] - metrics[1][name]):+.1f} points" in shown
    fails(capsys, "results", tmp_path, "--compare", "1/run", "2/run", words=["unknown run '2/run'", "0/run"])


def test_folds_have_folders_of_their_own_and_a_mean(tiny_world, tiny_source, tmp_path, monkeypatch, capsys):
    def splits(name, root, fold, size, layout, links):
        found = {split: tiny_source(14, split, seed=fold) for split in ("train", "val", "test")}
        rows = found["test"].table.rows
        rows["id"] = [f"{fold}-{text}" for text in rows["id"]]  # each fold tests other clips
        return found

    monkeypatch.setattr("dferlib.data.protocols.public_splits", splits)
    monkeypatch.chdir(tmp_path)
    for fold in (1, 2):
        assert call("train", "tiny", "--epochs", 1, "--data", "DFEW", "--root", ".", "--fold", fold) == 0
    found = {path.name: json.loads((path / "run.json").read_text()) for path in (tmp_path / "runs").iterdir()}
    assert sorted(found) == ["tiny-0-fold1", "tiny-0-fold2"]
    capsys.readouterr()
    assert call("results", "runs", "--mean") == 0
    *_, mean, whole = capsys.readouterr().out.splitlines()
    uar, war = (sum(record["metrics"][name] for record in found.values()) / 2 for name in ("uar", "war"))
    assert mean == f"mean of 2 runs: UAR {100 * uar:.2f} %, WAR {100 * war:.2f} %"
    counts = sum(np.array(record["metrics"]["confusion"]) for record in found.values())
    recalls = counts.diagonal() / counts.sum(1)
    assert call("train", "tiny", "--epochs", 2, "--data", "DFEW", "--root", ".", "--fold", 3) == 0
    capsys.readouterr()
    fails(capsys, "results", "runs", "--mean", words=["the 3 runs are of 2 kinds", "fold or seed only"])
    assert whole == (
        f"all 28 clips together: UAR {100 * recalls.mean():.2f} %, WAR {100 * counts.trace() / counts.sum():.2f} %"
    )


def test_what_the_backbone_starts_from_can_be_chosen(tmp_path, capsys):
    fails(capsys, "train", "stt", "--weights", "imagenet", "--out", tmp_path, words=["'imagenet'", "makefaces"])
    fails(capsys, "train", "stt", "--scale", "paper", "--weights", "makefaces", words=["'makefaces'", "imagenet"])


def test_train_evaluate_and_results_work_together(tiny_world, tmp_path, capsys):
    out = tmp_path / "run"
    assert call("train", "tiny", "--epochs", 3, "--out", out, "--device", "cpu", "--loss", "label_smoothing") == 0
    shown = capsys.readouterr()
    written = ["best.safetensors", "history.json", "last.pt", "run.json", "run.npz"]
    assert sorted(path.name for path in out.iterdir()) == written
    record = json.loads((out / "run.json").read_text())
    assert record["metrics"]["clips"] == 21 and record["config"]["train"]["loss"] == "label_smoothing"
    assert set(record["data"]) == {"train", "val", "test"}
    line = f"test: 21 clips, UAR {100 * record['metrics']['uar']:.1f} %, WAR {100 * record['metrics']['war']:.1f} %"
    assert line in shown.out and str(out / "best.safetensors") in shown.out
    assert "95 % interval of the UAR over people: " in shown.out and "calibration error" in shown.out

    assert call("evaluate", out / "best.safetensors", "--device", "cpu") == 0
    shown = capsys.readouterr().out
    assert line in shown  # the file holds the model that was tested
    table = [row.split() for row in shown.splitlines()[-7:]]
    assert [[int(count) for count in row[-7:]] for row in table] == record["metrics"]["confusion"]
    assert [row[0] for row in table] == record["classes"]

    assert call("results", tmp_path, "--check") == 0
    shown = capsys.readouterr().out
    assert "run/run" in shown and f"{100 * record['metrics']['uar']:.1f}" in shown and "current" in shown


def test_a_training_that_is_begun_anew_says_so(tiny_world, tmp_path, capsys):
    run = ["train", "tiny", "--out", tmp_path, "--device", "cpu", "--epochs", 1]
    told = []
    for more in ([], ["--resume"], []):
        assert call(*run, *more) == 0
        told.append("begins anew" in capsys.readouterr().err)
    assert told == [False, False, True]
    assert call(*run, "--resume", "--out", tmp_path / "mistyped") == 0
    assert f"{tmp_path / 'mistyped'} has no training to go on with: it begins anew" in capsys.readouterr().err


def test_options_of_other_data_are_refused(tiny_world, tmp_path, capsys):
    for option in (["--size", "mini"], ["--data-seed", 3]):
        words = ["--size and --data-seed are of MakeFaces, and the data is DFEW"]
        fails(capsys, "train", "tiny", "--data", "DFEW", "--root", tmp_path, "--out", tmp_path, *option, words=words)
    assert call("makefaces", "--seed", "-1") == 2 and "greater than or equal to 0" in capsys.readouterr().err


def test_a_test_in_another_fold_is_told_of(tiny_world, tiny_source, tmp_path, capsys, monkeypatch):
    def splits(name, root, fold, size, layout, links):
        sources = {split: makefaces.MakeFaces(split) for split in ("train", "val", "test")}
        sources["train"] = tiny_source(28, "train", seed=fold)
        sources["test"].about = {"size": 8 * fold}
        return sources

    monkeypatch.setattr("dferlib.data.protocols.public_splits", splits)
    where = ["--data", "DFEW", "--root", tmp_path, "--device", "cpu", "--fold"]
    assert call("train", "tiny", "--epochs", 1, "--out", tmp_path, *where, 2) == 0
    assert "enlarged" not in capsys.readouterr().err  # 16 px, from which 14 are cut
    for fold, careful, enlarged in ((2, False, False), (1, True, True)):
        assert call("evaluate", tmp_path / "best.safetensors", *where, fold) == 0
        shown = capsys.readouterr().err
        assert ("CAREFUL: the model has learnt from other clips" in shown) == careful
        assert ("holds frames of 8 px, and the model takes them from 16 px" in shown) == enlarged


def test_training_is_over_before_a_test_clip_is_read(tiny_world, tmp_path, monkeypatch):
    make, read = makefaces.MakeFaces, []

    def watched(split, *arguments, **named):
        source = make(split, *arguments, **named)
        inner = source.read

        def late(index, frames):
            read.append(json.loads((tmp_path / "history.json").read_text())["epochs"][-1]["epoch"])
            return inner(index, frames)

        if split == "test":
            source.read = late
        return source

    monkeypatch.setattr(makefaces, "MakeFaces", watched)
    assert call("train", "tiny", "--epochs", 2, "--out", tmp_path, "--device", "cpu") == 0
    assert read == [2] * 21


def test_the_same_seed_writes_the_same_checkpoint(tiny_world, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert call("train", "tiny", "--epochs", 1, "--seed", seed, "--out", tmp_path / name, "--device", "cpu") == 0
    from safetensors.numpy import load_file

    one, two, other = (load_file(tmp_path / name / "best.safetensors") for name in "abc")
    assert all((one[key] == two[key]).all() for key in one)
    assert any((one[key] != other[key]).any() for key in one)


def test_bad_input_gets_one_line_and_status_1(tiny_world, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    missing = tmp_path / "none.safetensors"
    fails(capsys, "train", "tiny", "--out", tmp_path / "file" / "x", words=["cannot create the folder"])
    fails(capsys, "train", "tiny", "--size", "huge", "--out", tmp_path, words=["'huge'", "mini, book"])
    fails(capsys, "train", "tiny", "--loss", "mse", words=["'mse'", "cross_entropy"])
    fails(capsys, "train", "tiny", "--lr", "-1", words=["lr is -1"])
    fails(capsys, "train", "tiny", "--device", "tpu", words=["'tpu'", "auto, cpu"])
    fails(capsys, "evaluate", missing, words=[str(missing), "does not exist"])
    fails(capsys, "evaluate", tmp_path / "file", words=["cannot read the checkpoint"])
    fails(capsys, "results", tmp_path / "none", words=["no folder"])
    fails(capsys, "results", tmp_path, words=["no records"])


def test_a_training_that_diverges_ends_with_one_line_below_the_bar(tiny_world, tmp_path, capsys):
    assert call("train", "tiny", "--lr", "1e30", "--out", tmp_path, "--device", "cpu") == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert error.splitlines()[-1].startswith("dferlib: ") and "learning rate" in error.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_unknown_names_list_the_valid_ones(capsys):
    fails(capsys, "train", "nosuch", words=["unknown model 'nosuch'", "stt", "frame_average"])
    fails(capsys, "train", "stt", "--scale", "giant", words=["unknown scale 'giant'", "book", "paper"])
    fails(capsys, "makefaces", "--size", "huge", words=["unknown size 'huge'", "mini", "book"])
    fails(capsys, "makefaces", "--size", "mini", "--split", "dev", words=["unknown split 'dev'", "train, val, test"])


@pytest.mark.slow
def test_the_installed_command_behaves_the_same(tmp_path):
    failed = dferlib("evaluate", tmp_path / "none.safetensors")
    assert failed.returncode == 1 and failed.stdout == ""
    assert failed.stderr.startswith("dferlib: ") and failed.stderr.count("\n") == 1
    for usage in (("train",), ("results", "--nosuch")):
        wrong = dferlib(*usage)
        assert wrong.returncode == 2 and "Traceback" not in wrong.stderr and "Usage" in wrong.stderr


def test_an_interrupt_is_one_line_and_status_130(tiny_world, tmp_path, capsys, monkeypatch):
    def interrupted(*arguments, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("dferlib.evidence.studies.job.train", interrupted)
    assert call("train", "tiny", "--out", tmp_path) == 130
    assert capsys.readouterr().err.strip() == "dferlib: interrupted"


def test_a_study_is_run_by_its_name_on_the_clips_that_its_rows_ask_for(tiny_world, tmp_path, monkeypatch, capsys):
    rows = {
        level: studies.Row("tiny", {}, TrainConfig(epochs=1), {"difficulty": level}, (1e-3,))
        for level in ("easy", "hard")
    }
    monkeypatch.setitem(studies.STUDIES, "small", studies.Study("Does it run?", rows, (0,)))
    assert call("study", "small", "--out", tmp_path) == 0
    shown = capsys.readouterr().out
    assert "Does it run?" in shown and "easy-seed0: test UAR" in shown
    records = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "small").glob("*-seed0.json")}
    assert {name: record["config"]["data"] for name, record in records.items()} == {
        "easy-seed0": {"difficulty": "easy"},
        "hard-seed0": {"difficulty": "hard"},
    }
    assert shown.splitlines()[-3].startswith("easy") and shown.splitlines()[-2].startswith("hard")
    fails(capsys, "study", "nothing", words=["unknown study 'nothing'", "small"])
    fails(capsys, "study", "small", "--scale", "huge", words=["'huge'", "book, paper"])
    for seeds in ("0,x", "1,1", "-1,0"):
        fails(capsys, "study", "small", "--seeds", seeds, words=[f"--seeds {seeds}", "0,1,2"])

    assert call("study", "small", "--seeds", "0,3", "--dry-run", "--out", tmp_path) == 0
    planned = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()[1:]}
    assert planned["easy"][3] == planned["hard"][3] == "1" and planned["in"][-1] == "s"
    assert len(list((tmp_path / "small").glob("*-seed*.json"))) == 2, "a dry run makes no record"
    assert call("study", "--out", tmp_path) == 0
    listed = capsys.readouterr().out
    assert "small: Does it run?\n    book: 2 of 2 records current, 0 old" in listed and "stt_table1: " in listed


def test_a_record_is_made_again_by_its_name(tiny_world, tmp_path, monkeypatch, capsys):
    row = studies.Row("tiny", {}, TrainConfig(epochs=1), rates=(1e-3,))
    monkeypatch.setitem(studies.STUDIES, "small", studies.Study("Does it run?", {"a": row}, (0,)))
    fails(
        capsys, "study", "small", "--again", "a-seed0", "--out", tmp_path, words=["no records", "dferlib study small"]
    )
    assert call("study", "small", "--out", tmp_path) == 0
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert call("study", "small", "--again", "a-seed0", "--out", tmp_path) == 0
    assert "a-seed0: the same to the bit, " in capsys.readouterr().out
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files
    fails(capsys, "study", "small", "--again", "b-seed0", "--out", tmp_path, words=["'b-seed0'", "a-seed0"])
    elsewhere = ["study", "small", "--again", "a-seed0", "--out", tmp_path, "--device", "sun"]
    fails(capsys, *elsewhere, words=["device", "'sun'", "cpu"])

    record = tmp_path / "small" / "a-seed0.json"
    record.write_text(record.read_text().replace('"lr": 0.001', '"lr": 0.1'))
    assert call("study", "small", "--again", "a-seed0", "--out", tmp_path) == 1
    said = capsys.readouterr().err.splitlines()[-1]  # behind the bar
    assert said.startswith("dferlib: a-seed0 comes out otherwise: UAR ") and "made on cpu" in said


@pytest.mark.slow
def test_bench_tells_cost_and_speed_and_refuses_what_it_does_not_know(capsys, monkeypatch):
    monkeypatch.setattr("dferlib.evidence.speed.SIDES", {"cpu": 64})
    monkeypatch.setattr("dferlib.models.list_models", lambda: ["single_frame", "frame_average"])
    asked = ("--seconds", "1", "--device", "cpu", "--set", "batch_size=2")
    assert call("bench", "frame_average", *asked) == 0
    one = capsys.readouterr().out
    assert call("bench", *asked) == 0
    every = capsys.readouterr().out
    cost = complexity(create_model("frame_average"))
    for shown, models in ((one, 1), (every, 2)):
        assert f"frame_average, book scale: {cost.parameters:,} parameters, {cost.gmac:.3f} GMAC" in shown
        assert shown.count("memory to train batches of 2") == models
        measured = [line.split() for line in shown.splitlines() if line.startswith(("predict ", "train "))]
        assert [(words[0], words[1]) for words in measured] == [
            ("predict", "1"),
            ("predict", "2"),
            ("train", "2"),
        ] * models
        for words in measured:  # work, clips, ms a clip, low to high, clips a second, share, repeats
            took, low, high, rate = (float(words[k]) for k in (2, 3, 5, 6))
            assert low <= took <= high and took * rate == pytest.approx(1000, rel=0.1)
            assert int(words[-1]) >= 3
    fails(capsys, "bench", "sst", words=["unknown model 'sst'", "frame_average"])
    fails(capsys, "bench", "frame_average", "--set", "batch=3", words=["unknown setting 'batch'"])


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("[..] DefaultCPUAllocator: can't allocate memory")],
)
def test_full_memory_is_one_line_that_says_what_to_do(tiny_world, tmp_path, monkeypatch, capsys, error):
    def full(*arguments, **kwargs):
        raise error

    monkeypatch.setattr("dferlib.evidence.studies.job.train", full)
    fails(capsys, "train", "tiny", "--out", tmp_path, words=["memory is full", "smaller batches"])


def test_other_errors_of_torch_keep_their_traceback(tiny_world, tmp_path, monkeypatch):
    def broken(*arguments, **kwargs):
        raise RuntimeError("a bug")

    monkeypatch.setattr("dferlib.evidence.studies.job.train", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        call("train", "tiny", "--out", tmp_path)
