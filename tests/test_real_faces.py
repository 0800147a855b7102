"""The question to photographs: that its clips and figures are what they are called."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dferlib import EMOTIONS, create_model, save_model
from dferlib.models import InputSpec

ROOT = Path(__file__).parents[1]
PHOTOS = ROOT.parent / "shared" / "real" / "london"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("real_faces", ROOT / "benchmarks" / "real_faces.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def person(neutral: int, smiling: int) -> dict:
    """The brightness stands for the smile."""
    pictures = {"neutral": neutral, "smiling": smiling}
    return {
        kind: {way: np.full((16, 16, 3), grey, np.uint8) for way in ("box", "aligned")}
        for kind, grey in pictures.items()
    }


class Brightness:
    """Says happiness where the last frame is brighter than 100."""

    classes = EMOTIONS
    input_spec = InputSpec(size=14, frames=4, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

    def __call__(self, clips: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(clips), 7)
        logits[:, EMOTIONS.index("happiness")] = clips[:, -1].mean((1, 2, 3)) * 255 - 100
        logits[:, EMOTIONS.index("anger")] = 40
        return logits


def test_the_morph_rises_to_the_smile_and_stays(script) -> None:
    still, morph = script.clips_of(person(50, 200), "morph", 9)
    assert (still == 50).all() and morph.shape == (9, 16, 16, 3)
    levels = morph.mean((1, 2, 3))
    np.testing.assert_allclose(levels, [50, 87.5, 125, 162.5, 200, 200, 200, 200, 200], atol=1)
    held = list(script.clips_of(person(50, 200), "box", 3))
    assert [clip.mean() for clip in held] == [50, 200] and held[0].shape == (3, 16, 16, 3)


def test_the_figures_are_counts_over_the_answers(script) -> None:
    # right, right; wrong neutral, right; right, wrong but above neutral; both wrong and below
    cuts = {"a": person(50, 200), "b": person(110, 180), "c": person(20, 60), "d": person(150, 90)}
    found = script.examine(Brightness(), cuts, "box")
    assert found["recalls"] == {"neutral": 0.5, "smiling": 0.5} and found["balanced_accuracy"] == 0.5
    assert found["smile_above_neutral"] == 0.75
    assert found["right_among_all_classes"] == {"neutral": 0.0, "smiling": 0.5}  # anger has 40 everywhere
    assert [row["id"] for row in found["answers"][:3]] == ["a_neutral", "a_smiling", "b_neutral"]
    assert found["answers"][1]["said"] == "happiness"
    assert found["answers"][1]["happiness_minus_neutral"] == pytest.approx(100, abs=0.01)
    assert found["interval"][0] <= 0.5 <= found["interval"][1]


class Judge:
    """Sees the brightness of a clip, says happiness above 100 and is the surer the farther from it; dark is unusual."""

    classes, spec, known = EMOTIONS, Brightness.input_spec, True

    def look(self, clips):
        return torch.from_numpy(clips.reshape(len(clips), -1).mean(1, keepdims=True))

    def judge(self, features):
        logits = torch.full((len(features), 7), -100.0, dtype=torch.float64)
        logits[:, EMOTIONS.index("happiness")], logits[:, EMOTIONS.index("neutral")] = (features[:, 0] - 100) / 10, 0
        return logits

    def distances(self, features):
        return np.where(features[:, 0] < 30, 2.0, 0.5)

    def towards_rest(self, features, resting):
        return features + 50 - features[torch.from_numpy(resting)].mean(0)


def test_what_confidence_distance_and_rest_are_worth_is_counted(script) -> None:
    cuts = {"a": person(20, 200), "b": person(110, 180), "c": person(90, 105), "d": person(25, 95)}
    found = script.limits(Judge(), cuts, "box")
    # sure: 20, 200, 180 and 25, all right; wrong: 110 (neutral), 95 (smiling); unlike: 20 and 25, both right
    assert found["sure"] == {"confidence": 0.9, "share": 0.5, "right": 1.0}
    asked = found["confidences"]
    assert asked["ids"] == [f"{who}_{kind}" for who in cuts for kind in ("neutral", "smiling")]
    assert asked["right"] == [True, True, False, True, True, True, True, False]
    odds = np.exp((np.array([20, 200, 110, 180, 90, 105, 25, 95]) - 100) / 10)  # of happiness, neutral has the rest
    assert asked["confidence"] == pytest.approx(np.maximum(odds, 1) / (1 + odds), abs=1e-6)
    assert found["unlike"] == {"share": 0.25, "right": 1.0, "right_of_others": 4 / 6}
    assert found["rest_from_neutral"] == {"neutral": 1.0, "smiling": 0.75}  # 230, 120, 65, 120
    assert found["rest_from_both"] == {"neutral": 1.0, "smiling": 0.25}  # 140, 85, 57.5, 85
    assert found["rest_from_smile"] == {"neutral": 1.0, "smiling": 0.0}


@pytest.mark.slow
def test_the_record_is_written_for_the_photographs(script, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not PHOTOS.is_dir():
        pytest.skip("the photographs of real people are not here")
    pytest.importorskip("dlib", reason="dlib is not installed")
    few = tmp_path / "photos"
    few.mkdir()
    for name in ("001", "003", "005"):
        for kind in ("neutral", "smiling"):
            (few / f"{name}_{kind}.jpg").symlink_to(PHOTOS / f"{name}_{kind}.jpg")
    checkpoint = tmp_path / "runs" / "stt" / "best.safetensors"
    checkpoint.parent.mkdir(parents=True)
    save_model(create_model("stt"), checkpoint)
    script.main([str(checkpoint), "--photos", str(few), "--out", str(tmp_path / "out")])
    record = json.loads((tmp_path / "out" / "runs-stt.json").read_text())
    assert record["people"] == 3 and list(record["ways"]) == ["box", "aligned", "morph"]
    assert all(len(way["answers"]) == 6 for way in record["ways"].values())
    assert capsys.readouterr().out.count("balanced accuracy") == 3


@pytest.mark.parametrize("path", sorted((ROOT / "results" / "real_faces").glob("*.json")), ids=lambda path: path.stem)
def test_the_figures_of_a_record_follow_from_its_answers(path: Path) -> None:
    record = json.loads(path.read_text())
    for way in record["ways"].values():
        answers = {row["id"]: row for row in way["answers"]}
        assert len(answers) == 2 * record["people"]
        gaps = {
            kind: np.array([row["happiness_minus_neutral"] for name, row in answers.items() if name.endswith(kind)])
            for kind in ("neutral", "smiling")
        }
        recalls = {"neutral": (gaps["neutral"] <= 0).mean(), "smiling": (gaps["smiling"] > 0).mean()}
        assert way["recalls"] == pytest.approx(recalls)
        assert way["balanced_accuracy"] == pytest.approx(np.mean(list(recalls.values())))
        assert way["smile_above_neutral"] == pytest.approx((gaps["smiling"] > gaps["neutral"]).mean())
        assert way["interval"][0] < way["balanced_accuracy"] < way["interval"][1]
        if "confidences" in way:
            right = np.array(way["confidences"]["right"])
            assert way["confidences"]["ids"] == list(answers)
            seven = {kind: right[k::2].mean() for k, kind in enumerate(("neutral", "smiling"))}
            assert way["right_among_all_classes"] == pytest.approx(seven)
            sure = np.array(way["confidences"]["confidence"]) >= way["sure"]["confidence"]
            assert way["sure"]["share"] == pytest.approx(sure.mean())
            assert way["sure"]["right"] == pytest.approx(right[sure].mean())
