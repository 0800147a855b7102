"""A checkpoint as an ONNX file: for any number of clips, the same logits, without torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import call

from dferlib import InputError, create_model, export_onnx, list_models, load_model, save_model
from dferlib.inference import export
from dferlib.inference.export import NEEDED, TOLERANCE, random_clips

SOME = ("stt", "logo_former", "msstnet", "staner", "resnet18_gru", "r2plus1d18")
each_model = pytest.mark.parametrize(
    "name", [name if name in SOME else pytest.param(name, marks=pytest.mark.thorough) for name in list_models()]
)
# reads a file and clips, writes logits and what the file says of itself; torch and dferlib cannot be imported
RUN = """
import json, sys
sys.modules["torch"] = sys.modules["dferlib"] = None
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
np.save("logits.npy", session.run(["logits"], {"clips": np.load("clips.npy")})[0])
print(json.dumps(session.get_modelmeta().custom_metadata_map))
"""


@pytest.fixture
def onnx() -> None:
    for name in NEEDED:
        pytest.importorskip(name, reason=f"needs {name}: pip install dferlib[onnx]")


def saved(name: str, folder: Path) -> Path:
    """A model that has learnt nothing, but whose statistics of a batch are not those of the start."""
    torch.manual_seed(0)
    model = create_model(name)
    model.train()(random_clips(3, model.input_spec))
    save_model(model, folder / "model.safetensors")
    return folder / "model.safetensors"


@pytest.mark.slow
@each_model
@pytest.mark.usefixtures("onnx")
def test_a_model_says_the_same_without_torch(name: str, tmp_path: Path) -> None:
    checkpoint = saved(name, tmp_path)
    assert export_onnx(checkpoint, tmp_path / "model.onnx") <= TOLERANCE
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "model.onnx"}, "one file has all"
    model = load_model(checkpoint)
    clips = random_clips(3, model.input_spec)
    np.save(tmp_path / "clips.npy", clips.numpy())
    command = [sys.executable, "-c", RUN, "model.onnx"]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    with torch.no_grad():
        logits = model(clips)
    torch.testing.assert_close(torch.from_numpy(np.load(tmp_path / "logits.npy")), logits, rtol=1e-4, atol=1e-4)
    about = {key: json.loads(value) for key, value in json.loads(done.stdout).items()}
    assert about == {
        "classes": list(model.classes), "mean": list(model.input_spec.mean), "std": list(model.input_spec.std)
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("onnx")
def test_a_file_that_says_something_else_is_not_written(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_difference", lambda *_: float("nan"))
    with pytest.raises(InputError, match=r"stt\.onnx was not written: its logits were nan away"):
        export_onnx(checkpoint, tmp_path / "stt.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("onnx")
def test_the_command_writes_the_file(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("export", checkpoint, "--onnx", tmp_path / "stt.onnx") == 0
    shown = capsys.readouterr()
    assert "away from torch's, or less" in shown.out and "half a minute" in shown.err
    assert (tmp_path / "stt.onnx").stat().st_size > 10**6


def test_a_place_where_nothing_can_be_written_is_told_before_tracing(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: True)
    monkeypatch.setattr(export.torch.onnx, "export", lambda *_, **__: pytest.fail("it was traced"))
    (tmp_path / "file").write_text("")
    for place, words in ((tmp_path, "is a folder"), (tmp_path / "file" / "stt.onnx", "cannot create the folder")):
        assert call("export", checkpoint, "--onnx", place) == 1
        assert words in capsys.readouterr().err


def test_what_is_missing_is_named(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    assert call("export", checkpoint, "--onnx", tmp_path / "stt.onnx") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == 'dferlib: exporting needs onnxscript and onnxruntime, not installed: pip install "dferlib[onnx]"'
    assert not list(tmp_path.iterdir())
