"""What weights are worth on another data set, before and after fine-tuning on parts of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import make_source
from typer.testing import CliRunner

from dferlib.cli import app
from dferlib.data.classes import match_classes
from dferlib.data.protocols import public_splits
from dferlib.errors import InputError
from dferlib.evidence.results import load_runs
from dferlib.evidence.transfer import MOST_EPOCHS, fine_tune, some_people
from dferlib.models import create_model
from dferlib.training.checkpoints import load_model, save_model
from dferlib.training.config import TrainConfig
from dferlib.training.evaluation import evaluate


@given(share=st.floats(0.001, 1), seed=st.integers(0, 5), clips=st.integers(1, 60))
def test_parts_are_of_whole_people_and_hold_the_smaller_ones(share, seed, clips):
    source = make_source(clips, "train", seed=1)
    part, smaller = some_people(source, share, seed), some_people(source, share / 2, seed)
    everyone = source.table.groups
    for some in (part, smaller):
        people = set(some.table.groups)
        assert len(some) == np.isin(everyone, list(people)).sum(), "all clips of each"
    assert set(smaller.table.groups) <= set(part.table.groups)
    sizes = [np.sum(everyone == person) for person in set(part.table.groups)]
    assert len(part) >= share * clips > len(part) - max(sizes), "the last one drawn was needed"
    assert list(some_people(source, share, seed).table.ids) == list(part.table.ids)


@pytest.mark.parametrize("share", [0, -0.1, 1.01, float("nan")])
def test_a_share_is_a_part(share):
    with pytest.raises(InputError, match="above 0 and up to 1"):
        some_people(make_source(4, "train"), share)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "best.safetensors"
    model = create_model("frame_average")
    model.classes = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
    save_model(model, path)
    return path


def cremad(root: Path, weights: Path):
    model = load_model(weights)
    return {name: match_classes(one, model.classes) for name, one in public_splits("CREMAD", root, size=72).items()}


@pytest.mark.slow
def test_each_part_starts_from_the_weights_and_is_tested_on_all_test_clips(made, weights, tmp_path):
    sources = cremad(made["CREMAD"], weights)
    config = TrainConfig(epochs=1, device="cpu", lr=1e-30, backbone_lr_scale=0.0)  # nothing is learnt
    steps = list(fine_tune(weights, sources, tmp_path, config=config, shares=(0.2, 1), progress=False))
    before = evaluate(load_model(weights), sources["test"], device="cpu")
    for step, times in zip(steps, (5, 1), strict=True):
        step.run.check()
        found = step.run.predictions()
        assert list(found.ids) == list(before.ids)
        np.testing.assert_allclose(found.logits, before.logits, atol=1e-5)
        train = step.run.record["config"]["train"]
        assert train["start"] == str(weights) and train["epochs"] == min(times, MOST_EPOCHS)
        assert step.run.record["config"]["data"]["share"] == step.share
    assert [(step.clips, step.people) for step in steps] == [(6, 2), (27, 9)], "of nine people with three clips each"


@pytest.mark.slow
def test_what_is_there_is_not_made_again(made, weights, tmp_path, monkeypatch):
    sources = cremad(made["CREMAD"], weights)
    config = TrainConfig(epochs=1, device="cpu", backbone_lr_scale=0.0)

    def run(shares, config=config):
        return [one.run for one in fine_tune(weights, sources, tmp_path, config=config, shares=shares, progress=False)]

    first = run((0.2,))
    monkeypatch.setattr("dferlib.evidence.transfer.train_and_record", None)
    assert [one.record for one in run((0.2,))] == [one.record for one in first]
    with pytest.raises(TypeError):
        run((0.2,), replace(config, lr=0.1))
    with pytest.raises(TypeError):
        run((0.2, 0.5))
    changed = load_model(weights)
    changed.head[-1].bias.data += 1
    save_model(changed, tmp_path / "other.safetensors")
    before = weights.read_bytes()
    weights.write_bytes((tmp_path / "other.safetensors").read_bytes())
    with pytest.raises(TypeError):
        run((0.2,))  # the same path, and other weights in it
    weights.write_bytes(before)
    assert [one.record for one in run((0.2,))] == [one.record for one in first]


@pytest.mark.slow
def test_the_command_says_what_came_of_each_part(made, weights, tmp_path):
    command = ["evaluate", str(weights), "--data", "CREMAD", "--root", str(made["CREMAD"]), "--device", "cpu"]
    command += ["--fine-tune", "1,100", "--set", "epochs=1", "--out", str(tmp_path / "out")]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0, told.output
    head = next(line for line in told.stdout.splitlines() if line.split()[:2] == ["part", "clips"])
    lines = told.stdout[told.stdout.index(head) :].splitlines()[1:3]
    assert [line.split()[:3] for line in lines] == [["1%", "3", "1"], ["100%", "27", "9"]]
    runs = {run.name.split("-", 1)[1]: run for run in load_runs(tmp_path / "out")}  # behind the name of the weights
    assert [line.split()[3] for line in lines] == [
        f"{100 * runs[name].metrics['uar']:.1f}" for name in ("1-percent", "100-percent")
    ]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--fine-tune", "0,5"], "above 0 and up to 100"),
        (["--fine-tune", "some"], "above 0 and up to 100"),
        (["--fine-tune", "5", "--split", "val"], "not val"),
        (["--fine-tune", "5", "--set", "nothing=1"], "unknown setting 'nothing'"),
        (["--set", "epochs=1"], "give --fine-tune"),
    ],
)
def test_wrong_parts_are_told_in_one_line(made, weights, more, told):
    found = CliRunner().invoke(
        app, ["evaluate", str(weights), "--data", "CREMAD", "--root", str(made["CREMAD"]), *more]
    )
    assert isinstance(found.exception, InputError) and told in str(found.exception)
