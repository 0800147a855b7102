"""The temperature of a model."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dferlib import TrainConfig, create_model, evaluate, save_model, train
from dferlib.inference.predictor import Predictor
from dferlib.training.calibration import LARGEST, fit_temperature
from dferlib.training.checkpoints import read_metadata


def answers(clips: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, 5) that are `temperature` times surer than their labels, which were drawn from them, are right."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (clips, 5))
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([rng.choice(5, p=p) for p in probability])
    return temperature * logits, labels


@settings(max_examples=20, deadline=None)
@given(temperature=st.floats(0.3, 5))
def test_logits_that_are_too_sure_by_a_factor_are_divided_by_it(temperature: float) -> None:
    assert fit_temperature(*answers(4000, temperature)) == pytest.approx(temperature, rel=0.1)


def test_no_other_temperature_makes_the_labels_more_probable() -> None:
    logits, labels = answers(60, 3.0)
    grid = np.linspace(0.5, 10, 2000)
    losses = [torch.nn.functional.cross_entropy(torch.tensor(logits) / t, torch.tensor(labels)).item() for t in grid]
    assert fit_temperature(logits, labels) == pytest.approx(grid[int(np.argmin(losses))], abs=0.01)


def test_it_stays_within_bounds_where_every_answer_is_right_or_there_is_none() -> None:
    sure = 5 * np.eye(4)
    assert 1 / LARGEST <= fit_temperature(sure, np.arange(4)) < 0.2
    assert 0.9 * LARGEST < fit_temperature(sure, np.array([1, 2, 3, 0])) <= LARGEST
    assert fit_temperature(np.zeros((0, 4)), np.zeros(0, dtype=np.int64)) == 1


def test_a_video_is_judged_at_the_temperature_of_the_checkpoint(tmp_path) -> None:
    model = create_model("single_frame").eval()
    plain, warm = tmp_path / "plain.safetensors", tmp_path / "warm.safetensors"
    save_model(model, plain)
    save_model(model, warm, best={"temperature": 2.5})
    clips = np.random.default_rng(0).integers(0, 256, (3, model.input_spec.frames, 3, 64, 64), dtype=np.uint8)
    as_it_is, divided = (Predictor(path, "cpu").logits(clips) for path in (plain, warm))
    torch.testing.assert_close(divided, as_it_is / 2.5)
    assert as_it_is.abs().max() > 0


def test_a_training_keeps_the_temperature_of_its_best_epoch(tiny_source, tiny_model, tmp_path) -> None:
    model, clips = tiny_model(), tiny_source(28)
    history = train(model, clips, clips, TrainConfig(epochs=2, batch_size=8, device="cpu"), tmp_path, progress=False)
    found = evaluate(model, clips, device="cpu")
    assert history.best.temperature == pytest.approx(fit_temperature(found.logits, found.labels), rel=1e-4)
    assert read_metadata(tmp_path / "best.safetensors")["metadata"]["best"]["temperature"] == history.best.temperature
    assert json.loads((tmp_path / "history.json").read_text())["epochs"][0]["temperature"] > 0
