"""What a model has learnt from: the distance from it, the file that carries it, and what `predict` makes of it."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from tiny import make_model, make_source

from dferlib.data.protocols import Part
from dferlib.data.table import name_of
from dferlib.errors import InputError
from dferlib.inference.asking import to_probabilities
from dferlib.inference.predictor import REST, Predictor
from dferlib.inference.timeline import UNSURE, Timeline
from dferlib.inference.writing import say_learnt
from dferlib.models import create_model
from dferlib.training.checkpoints import change_metadata, load_model, load_weights, read_metadata, save_model
from dferlib.training.config import TrainConfig
from dferlib.training.evaluation import evaluate
from dferlib.training.known import Known, know, read_known, write_known
from dferlib.training.loop import train


def some_known(count: int = 40, dim: int = 6, limit: float = 0.5) -> Known:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count, dtype=torch.uint8) % 7
    return Known(torch.randn(count, dim, generator=generator).half(), labels, limit)


@pytest.mark.parametrize("count", [3, 10, 40])
def test_the_distance_is_that_of_scikit_learn_s_tenth_neighbour(count):
    known, clips = some_known(count), torch.randn(5, 6)
    near = NearestNeighbors(n_neighbors=min(10, count), metric="cosine").fit(known.features.double().numpy())
    expected = near.kneighbors(clips.double().numpy())[0][:, -1]
    np.testing.assert_allclose(known.distance(clips).numpy(), expected, atol=1e-6)


def test_length_does_not_count_and_the_mean_is_that_of_a_class():
    known, clips = some_known(), torch.randn(5, 6)
    torch.testing.assert_close(known.distance(clips), known.distance(100 * clips))
    torch.testing.assert_close(known.mean(3), known.features.double()[3::7].mean(0))


def test_training_leaves_what_was_learnt_from_in_the_checkpoint(tmp_path):
    model, clips, val = make_model(), make_source(30, "train"), make_source(21, "val", seed=1)
    train(model, clips, val, TrainConfig(epochs=1, device="cpu"), tmp_path, progress=False)
    found = read_known(tmp_path / "best.safetensors")
    seen, usual = (evaluate(model, source, device="cpu", features=True) for source in (clips, val))
    np.testing.assert_allclose(found.features.numpy(), seen.features, rtol=2e-3, atol=1e-3)
    assert found.labels.tolist() == seen.labels.tolist()
    distances = found.distance(torch.from_numpy(usual.features)).numpy()
    assert found.limit == pytest.approx(np.quantile(distances, 0.95))
    about = read_metadata(tmp_path / "best.safetensors")["metadata"]["known"]
    people = len(set(clips.table.groups))
    assert about == {"name": "ArraySource", "clips": 30, "people": people, "limit": found.limit}


def test_of_many_clips_some_are_kept(monkeypatch):
    monkeypatch.setattr("dferlib.training.known.MOST", 7)
    found = know(make_model(), make_source(30, "train"), make_source(4, "val"), device="cpu")
    assert len(found.features) == 7


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    path = tmp_path / "stt.safetensors"
    torch.manual_seed(0)
    save_model(create_model("frame_average"), path)
    return path


def test_it_lies_beside_the_weights_and_changes_nothing_else(checkpoint):
    assert read_known(checkpoint) is None and "known" not in read_metadata(checkpoint)["metadata"]
    before = load_model(checkpoint).state_dict()
    write_known(checkpoint, some_known(dim=128), make_source(30, "train"))
    change_metadata(checkpoint, best={"temperature": 2.0})
    found = read_known(checkpoint)
    torch.testing.assert_close(found.features, some_known(dim=128).features)
    after = load_model(checkpoint).state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    assert load_weights(create_model("frame_average"), checkpoint) == []
    assert Predictor(checkpoint, "cpu").temperature == 2.0


def test_a_part_has_the_name_of_the_whole():
    source = make_source(9, "train")
    source.name = "CREMA-D"
    assert name_of(Part(Part(source, np.arange(5), "val"), np.arange(2), "val")) == "CREMA-D"
    assert name_of(make_source(2, "train")) == "ArraySource"


def test_a_line_says_what_was_learnt_from():
    about = {"name": "MakeFaces", "clips": 1008, "people": 252, "limit": 0.1}
    assert say_learnt(about) == (
        "1,008 clips of 252 people of MakeFaces, which are rendered; no real person was among them"
    )
    assert say_learnt({**about, "name": "DFEW", "people": 1008}) == "1,008 clips of DFEW"


def test_an_unusual_face_is_unsure_whatever_the_probability(tmp_path):
    rows, times = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]]), np.arange(3.0)
    line = Timeline(Path("video.mp4"), 3.0, times, rows, ("glad", "sad"), np.ones((3, 3)))
    assert line.labels == ["glad", "glad", "sad"]
    line = replace(line, distances=np.array([0.5, 1.01, 1.0]))
    assert line.labels == ["glad", UNSURE, "sad"]
    line.to_csv(tmp_path / "a.csv")
    line.to_json(tmp_path / "a.json")
    with (tmp_path / "a.csv").open(newline="") as file:
        told = list(csv.DictReader(file))
    assert [float(row["distance"]) for row in told] == [0.5, 1.01, 1.0] and told[1]["label"] == UNSURE
    windows = json.loads((tmp_path / "a.json").read_text())["windows"]
    assert [one["distance"] for one in windows] == [0.5, 1.01, 1.0]


def test_half_of_the_way_to_the_own_rest(checkpoint):
    write_known(checkpoint, some_known(dim=128), make_source(30, "train"))
    predictor = Predictor(checkpoint, "cpu")
    features, resting = torch.randn(4, 128), np.array([True, True, False, False])
    found = predictor.towards_rest(features, resting)
    neutral = some_known(dim=128).features.float()[2::7].mean(0)  # the third class
    torch.testing.assert_close(
        found, features + REST * (neutral - (features[0] + features[1]) / 2), atol=1e-4, rtol=1e-3
    )
    clips = np.random.default_rng(0).integers(0, 256, (2, predictor.spec.frames, 3, 72, 72), dtype=np.uint8)
    seen = predictor.look(clips)
    torch.testing.assert_close(predictor.judge(seen), predictor.logits(clips))
    expected = some_known(dim=128).distance(seen) / 0.5
    np.testing.assert_allclose(predictor.distances(seen), expected.numpy(), rtol=1e-5)
    assert to_probabilities(predictor.judge(seen)).sum() == pytest.approx(2)


@pytest.mark.parametrize(
    ("rest", "told"),
    [((2.0, 1.0), "two rising times"), ((-1.0, 1.0), "two rising times"), ((0.0, 1.0), "train it anew")],
)
def test_a_rest_that_cannot_be_is_told(checkpoint, rest, told):
    with pytest.raises(InputError, match=told):
        Predictor(checkpoint, "cpu").predict("nowhere.mp4", most=1, rest=rest)
    assert Predictor(checkpoint, "cpu").distances(torch.zeros(2, 3)).tolist() == [0, 0], "nothing is known"
