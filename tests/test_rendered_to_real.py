"""The experiment on what photographs need: that each row lacks what it is called after, and nothing else."""

import importlib
import json
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dferlib.evidence import lacks
from dferlib.makefaces import MakeFaces
from dferlib.makefaces.assets import load_head
from dferlib.makefaces.identity import sample_identity
from dferlib.makefaces.knobs import DIFFICULTIES, FAINT_NOISE
from dferlib.makefaces.portrait import PEOPLE, portrait
from dferlib.makefaces.proportions import amounts_of, changes_of, spreads
from dferlib.models import create_model
from dferlib.models.backbones import SlimResNet

ROOT = Path(__file__).parents[1]
RECORDS = sorted((ROOT / "results" / "rendered_to_real").glob("*.json"))


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(ROOT))
    try:
        yield importlib.import_module("benchmarks.rendered_to_real")
    finally:
        sys.path.remove(str(ROOT))


@pytest.mark.slow
def test_where_nothing_lacks_the_clips_are_those_of_makefaces(script, monkeypatch):
    monkeypatch.setattr(script.Version, "people", lambda version, split: 2)
    found = script.render(lacks.LACKS["nothing"], "val", "mini")
    monkeypatch.undo()
    expected = MakeFaces("val", "mini")
    assert len(found) == 8 and found.table.labels.tolist() == expected.table.labels[:8].tolist()
    for k in range(len(found)):
        assert (found.clips[k] == expected.read(k)).all()
    assert found.table.groups.tolist() == expected.table.groups[:8].tolist()


def test_a_free_shape_changes_nothing_else_and_is_drawn_from_the_mesh_alone(script):
    names = load_head().shape_names
    people = [sample_identity(np.random.default_rng([7, k]), names) for k in range(60)]
    freed = [lacks.free_shape(person, np.random.default_rng([8, k])) for k, person in enumerate(people)]
    for one, other in zip(people, freed, strict=True):
        for field in fields(one):
            if field.name not in ("shape", "brow_lifts"):
                assert np.array_equal(getattr(one, field.name), getattr(other, field.name))
        kept = [k for k, name in enumerate(names) if name[:2] != "l:"]
        assert (one.shape[kept] == other.shape[kept]).all(), "sex, age, weight and ancestry stay"
    amounts = np.array([amounts_of(one.shape, one.brow_lifts, names) for one in freed])
    count = len(changes_of(names))
    expected = spreads(changes_of(names))[:count]
    assert np.abs(amounts[:, :count].mean(0) / expected).mean() < 0.2, "about no change"
    assert np.median(amounts[:, :count].std(0) / expected) == pytest.approx(1, abs=0.1)
    assert not amounts[:, count:].any()


def test_what_lacks_is_what_the_name_says(script):
    standard = DIFFICULTIES["standard"]
    assert lacks.plain_pictures(standard) == replace(standard, camera=FAINT_NOISE, flicker=0.0)
    strong = lacks.strong_expressions(standard)
    assert (
        strong.intensity[0] > standard.intensity[0]
        and replace(strong, intensity=standard.intensity, held=standard.held) == standard
    )
    free = lacks.nothing_in_the_way(standard)
    assert not any(getattr(free, name) for name in ("hanging", "glasses", "sunglasses", "hand", "hair"))
    everything = lacks.LACKS["everything"]
    assert not everything.shaped and everything.knobs(standard) == lacks.nothing_in_the_way(
        lacks.strong_expressions(lacks.plain_pictures(standard))
    )


def test_a_backbone_lacks_what_its_row_says_and_sits_in_the_model(script, monkeypatch, tmp_path):
    seen = {}

    def fit(train, held_out, epochs, disguised):
        seen.update(frames=train.frames.float().mean().item(), people=len(train.frames), disguised=disguised)
        torch.manual_seed(3)
        return SlimResNet(), {}

    monkeypatch.setenv("DFERLIB_CACHE", str(tmp_path))
    monkeypatch.setattr(script, "PEOPLE", 2)
    monkeypatch.setattr(script.pretraining, "HELD_OUT", 1)
    monkeypatch.setattr(script.pretraining, "fit", fit)
    found = {}
    for name in ("nothing", "proportions", "pictures", "disguise"):
        weights, found[name] = script.make_backbone(name), dict(seen)
        model = create_model("stt")
        model.backbone.load_state_dict(weights)
        assert all(torch.equal(tensor, weights[key]) for key, tensor in model.backbone.state_dict().items())
    whole = found["nothing"]
    assert found["disguise"] == {**whole, "disguised": False}, "the same frames, in their own colours"
    assert whole["frames"] not in {found[name]["frames"] for name in ("proportions", "pictures")}
    assert len({row["people"] for row in found.values()}) == 1 and whole["disguised"]


def test_the_summary_counts_those_who_set_no_figure(script):
    classes = ["happiness", "sadness", "neutral"]
    said = {"neutral": [0.0, 0.0, 1.0], "smiling": [1.0, 0.0, 0.0], "sad": [0.0, 1.0, 0.0]}
    rows = {}
    for k, (rest, smile) in enumerate([("sad", "sad"), ("neutral", "sad"), ("neutral", "smiling")]):
        rows |= {f"{k:03d}_neutral": said[rest], f"{k:03d}_smiling": said[smile]}
    record = {"classes": classes, "logits": {"box": rows}}
    assert script.summary(record, "box", first=1) == {"neutral": 1.0, "smiling": 0.5}


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_has_every_photograph_in_both_ways(script, path):
    record = json.loads(path.read_text())
    name, seed = path.stem.split("-seed")
    assert (record["lacks"], record["seed"], record["size"]) == (name, int(seed), "book") and name in script.ROWS
    box, aligned = (record["logits"][way] for way in script.WAYS)
    assert box.keys() == aligned.keys() and len(box) == 102
    assert np.isfinite(np.array([*box.values(), *aligned.values()])).all()
    assert 0 < record["val_uar"] <= 1


def test_somebody_at_rest_is_who_a_portrait_shows():
    person = sample_identity(np.random.default_rng([PEOPLE, 4]), load_head().shape_names)
    frame = portrait(person=4, size=48).frames[0]
    expected = (255 * frame).round().byte().permute(1, 2, 0).numpy()
    assert (lacks.at_rest(person, 48) == expected).all()
    freed = lacks.at_rest(lacks.free_shape(person, np.random.default_rng(0)), 48)
    assert 1 < np.abs(freed.astype(float) - expected).mean() < 40, "the same person, otherwise shaped"


def test_the_levels_are_clips_of_every_difficulty(script):
    clips, backbone = script.ROWS["levels"]
    assert backbone is None and all(lack.shaped for lack in clips)
    assert [lack.knobs(DIFFICULTIES["standard"]) for lack in clips] == list(DIFFICULTIES.values())
