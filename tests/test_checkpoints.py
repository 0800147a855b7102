import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import dferlib
from dferlib import EMOTIONS, InputError, create_model
from dferlib.training.checkpoints import change_metadata, load_model, read_metadata, save_model


@pytest.fixture
def tiny_in_models(tiny_model, monkeypatch):
    """Let `create_model` know the tiny model of the tests, and nothing else."""

    def create_model(name, num_classes=7, scale="book", **overrides):
        if name != "tiny":
            raise InputError(f"unknown model {name!r}: choose one of tiny")
        return tiny_model(seed=99, num_classes=num_classes)

    monkeypatch.setattr("dferlib.training.checkpoints.create_model", create_model)


@pytest.fixture
def saved(tiny_model, tiny_in_models, tmp_path):
    model = tiny_model()
    save_model(model, tmp_path / "model.safetensors", epoch=3)
    return model, tmp_path / "model.safetensors"


def test_a_model_comes_back_with_its_weights_classes_and_metadata(saved):
    model, path = saved
    back = load_model(path, expect="tiny")
    clips = torch.rand(2, 4, 3, 14, 14)
    assert torch.equal(back(clips), model.eval()(clips))
    assert not back.training and back.classes == EMOTIONS
    about = read_metadata(path)
    assert about["config"] == model.config and about["metadata"] == {"epoch": 3}
    assert list(path.parent.iterdir()) == [path]
    (path.parent / "plain").write_text("")
    assert path.stat().st_mode == (path.parent / "plain").stat().st_mode  # whom a file is for is the umask's matter


def test_metadata_can_be_changed_and_nothing_else_is(saved):
    model, path = saved
    change_metadata(path, best="last")
    about = read_metadata(path)
    assert about["metadata"] == {"epoch": 3, "best": "last"}
    assert about["config"] == model.config and tuple(about["classes"]) == EMOTIONS
    kept = load_file(path)
    assert kept.keys() == model.state_dict().keys()
    assert all(torch.equal(kept[key], value) for key, value in model.state_dict().items())


def test_channels_last_and_shared_weights_can_be_saved(saved):
    model, path = saved
    model.to(memory_format=torch.channels_last)
    model.twice = model.head
    model.head.bias.data = model.head.weight.data[:, 0]  # a view of other weights
    save_model(model, path)
    kept = load_file(path)
    assert torch.equal(kept["head.bias"], model.head.bias) and torch.equal(kept["twice.weight"], model.head.weight)
    assert torch.equal(kept["backbone.0.weight"], model.backbone[0].weight)


def test_own_classes_are_kept_and_counted(tiny_model, tiny_in_models, tmp_path):
    path = tmp_path / "sub" / "three.safetensors"
    save_model(tiny_model(num_classes=3), path, classes=("yes", "no", "maybe"))
    assert load_model(path).classes == ("yes", "no", "maybe")
    with pytest.raises(InputError, match="7 class names for a model of 3"):
        save_model(tiny_model(num_classes=3), path)


def test_a_model_that_no_file_could_build_again_is_not_saved(tiny_model, tmp_path):
    model = create_model("frame_average", 3)
    path, names = tmp_path / "model.safetensors", ("yes", "no", "maybe")
    with pytest.raises(InputError, match="one class is named twice: yes, no, yes"):
        save_model(model, path, ("yes", "no", "yes"))
    with pytest.raises(InputError, match="1 class names for a model of 3"):
        save_model(model, path, "yes")
    with pytest.raises(InputError, match="a Linear cannot be saved"):
        save_model(nn.Linear(2, 2), path)
    model.head = nn.Linear(model.head[-1].in_features, 5)
    with pytest.raises(InputError, match=r"not as create_model made it, from the weight 'head\."):
        save_model(model, path, names)
    assert not path.exists()


def test_names_that_nobody_gave_are_told(tiny_model, tmp_path, caplog):
    model = tiny_model()
    save_model(model, tmp_path / "model.safetensors")
    assert "no classes were given, so its outputs are named, in this order, happiness, sadness" in caplog.text
    caplog.clear()
    save_model(model, tmp_path / "model.safetensors", EMOTIONS)
    model.classes = EMOTIONS
    save_model(model, tmp_path / "model.safetensors")
    assert not caplog.text


def test_a_compiled_model_is_saved_as_what_it_was(tmp_path):
    model = create_model("frame_average", 3)
    save_model(torch.compile(model), tmp_path / "model.safetensors", ("yes", "no", "maybe"))
    kept = load_model(tmp_path / "model.safetensors", "auto").state_dict()
    assert all(torch.equal(kept[key].cpu(), value) for key, value in model.state_dict().items())


def test_a_device_that_is_not_there_is_told(saved, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="this machine has no cuda device"):
        load_model(saved[1], "cuda")
    with pytest.raises(InputError, match="unknown device 'gpu': choose one of auto, cpu"):
        load_model(saved[1], "gpu")


def bad_files(good: bytes):
    size = int.from_bytes(good[:8], "little")
    return {
        "empty": b"",
        "seven bytes": good[:7],
        "cut in the header": good[: 8 + size // 2],
        "cut in the weights": good[:-5],
        "one byte too many": good + b"\0",
        "random": bytes((7 * k * k + 3) % 256 for k in range(5000)),
        "text": b"version https://example.org\n" * 9,
    }


@pytest.mark.parametrize("kind", bad_files(b"\0" * 99))
def test_a_damaged_file_is_named(saved, kind):
    path = saved[1]
    path.write_bytes(bad_files(path.read_bytes())[kind])
    for read in (load_model, read_metadata):
        with pytest.raises(InputError, match="cannot read the checkpoint") as caught:
            read(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(InputError, match=r"does not exist.*dferlib train"):
        load_model(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match="is a folder"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "metadata",
    [None, {"format": "pt"}, {"dferlib": "{"}, {"dferlib": "[]"}, {"dferlib": '{"config": {"name": "tiny"}}'}],
)
def test_foreign_safetensors_are_refused(tmp_path, metadata):
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors", metadata=metadata)
    with pytest.raises(InputError, match="no dferlib checkpoint"):
        load_model(tmp_path / "other.safetensors")


def rewritten(path, change_about=None, change_weights=None):
    about, weights = read_metadata(path), load_file(path)
    if change_about:
        change_about(about)
    if change_weights:
        change_weights(weights)
    save_file(weights, path, metadata={"dferlib": json.dumps(about)})
    return path


def test_another_model_than_expected_is_refused(saved):
    with pytest.raises(InputError, match="holds the model 'tiny', not 'stt'"):
        load_model(saved[1], expect="stt")


def test_weights_that_do_not_fit_are_refused(saved):
    path, good = saved[1], saved[1].read_bytes()
    cases = [
        ({"change_about": lambda about: about["config"].update(name="gone")}, "unknown model 'gone'"),
        ({"change_weights": lambda weights: weights.pop("head.bias")}, "lacks weight 'head.bias'"),
        ({"change_weights": lambda weights: weights.update(new=torch.zeros(1))}, "unknown weight 'new'"),
        ({"change_about": lambda about: about["config"].update(num_classes=5)}, "does not fit.*size mismatch"),
    ]
    for change, message in cases:
        path.write_bytes(good)
        with pytest.raises(InputError, match=message) as caught:
            load_model(rewritten(path, **change))
        assert "\n" not in str(caught.value)


def test_a_failed_save_leaves_the_old_file(saved, monkeypatch):
    model, path = saved
    before = path.read_bytes()

    write = Path.write_bytes

    def full_disk(target, data):
        write(target, data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(InputError, match="No space left on device"):
        save_model(model, path)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["single_frame", "frame_average", "stt"])
def test_the_models_of_this_library_come_back_equal(name, tmp_path):
    torch.manual_seed(0)
    model = dferlib.create_model(name, num_classes=3, weights=None).eval()
    save_model(model, tmp_path / "model.safetensors", classes=("a", "b", "c"))
    back = load_model(tmp_path / "model.safetensors")
    spec = model.input_spec
    clips = torch.rand(1, spec.frames, 3, spec.size, spec.size)
    assert back.config == model.config and torch.equal(back(clips), model(clips))
