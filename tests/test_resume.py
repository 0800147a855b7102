"""A training that was stopped, however it was, goes on as if nothing had happened."""

import copy
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dferlib import InputError
from dferlib.data.table import ArraySource
from dferlib.training import loop as training
from dferlib.training.checkpoints import load_state, load_weights, read_metadata, save_model, save_state
from dferlib.training.config import TrainConfig
from dferlib.training.loop import train

# every kind of state at once: momentum, centres, an average, a schedule, balanced sampling
FULL = {"optimizer": "sgd", "loss": "center", "ema": 0.5, "balance": "sampling", "sam": 0.05, "erase": 0.5}


def quick(**changes):
    return TrainConfig(**{"epochs": 3, "batch_size": 8, "lr": 1e-2, "device": "cpu", **changes})


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def last_state(folder):
    return torch.load(folder / "last.pt", weights_only=True)["state"]


def stopping(model, passes):
    """Let a model end its training with Ctrl-C after so many forward passes."""

    class Stops(type(model)):
        left = passes

        def features_from_maps(self, maps):
            self.left -= self.training
            if self.left < 0:
                raise KeyboardInterrupt
            return super().features_from_maps(maps)

    model.__class__ = Stops
    return model


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, FULL, {"backbone_lr_scale": 0.0}])
def test_stopped_anywhere_and_resumed_the_losses_are_the_same_to_the_bit(
    tiny_model, tiny_source, tmp_path, monkeypatch, changes
):
    monkeypatch.setattr(training, "SAVE_STEPS", 1)
    source, val, config = tiny_source(22), tiny_source(14, "val"), quick(**changes)
    passes = 2 if config.sam else 1  # of each of the three steps of an epoch
    expected = train(whole := tiny_model(), source, val, config, tmp_path / "whole", progress=False)
    for stop in range(9):
        folder = tmp_path / str(stop)
        with pytest.raises(KeyboardInterrupt):
            train(stopping(tiny_model(), stop * passes), source, val, config, folder, progress=False)
        state = torch.load(folder / "last.pt", weights_only=True)["state"] if stop else {"history": [], "step": 0}
        assert 3 * len(state["history"]) + state["step"] == stop
        model = tiny_model(seed=7 if stop else 0)  # whatever it holds, the state replaces it
        found = train(model, source, val, config, folder, progress=False, resume=True)
        for one, other in zip(found.epochs, expected.epochs, strict=True):
            assert replace(one, seconds=0) == replace(other, seconds=0), stop
        assert same(model.state_dict(), whole.state_dict())
        assert same(load_file(folder / "best.safetensors"), load_file(tmp_path / "whole" / "best.safetensors"))
        assert same(last_state(folder)["objective"], last_state(tmp_path / "whole")["objective"])


def test_a_finished_training_resumed_does_nothing(tiny_model, tiny_source, tmp_path):
    source, model = tiny_source(16), tiny_model()
    first = train(model, source, source, quick(), tmp_path, progress=False)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = tiny_model(seed=9)
    assert train(stopping(again, 0), source, source, quick(), tmp_path, progress=False, resume=True) == first
    assert same(again.state_dict(), model.state_dict())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_without_a_state_resume_begins_and_without_a_folder_it_is_refused(tiny_model, tiny_source, tmp_path):
    source, plain, resumed = tiny_source(16), tiny_model(), tiny_model()
    train(plain, source, source, quick(), progress=False)
    train(resumed, source, source, quick(), tmp_path, progress=False, resume=True)
    assert same(plain.state_dict(), resumed.state_dict())
    with pytest.raises(InputError, match="nothing to resume from"):
        train(resumed, source, source, quick(), progress=False, resume=True)


def test_the_state_of_another_training_is_refused_and_named(tiny_model, tiny_source, tmp_path):
    source = tiny_source(16)
    train(tiny_model(), source, source, quick(), tmp_path, progress=False)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(InputError, match=r"train lr was 0\.01, now 0\.5"):
        train(tiny_model(), source, source, quick(lr=0.5), tmp_path, progress=False, resume=True)
    with pytest.raises(InputError, match="data train was"):
        train(tiny_model(), tiny_source(23), source, quick(), tmp_path, progress=False, resume=True)
    assert (tmp_path / "last.pt").read_bytes() == before


def damaged(good: bytes):
    rng = random.Random(0)
    yield b""
    yield b"no state\n" * 30
    for _ in range(20):
        yield good[: rng.randrange(len(good))]
    for _ in range(20):
        at = rng.randrange(len(good))
        yield good[:at] + bytes(rng.randrange(256) for _ in range(64)) + good[at + 64 :]


@pytest.mark.slow
def test_a_damaged_state_is_told_in_one_line_and_left_alone(tiny_model, tiny_source, tmp_path):
    source, path = tiny_source(16), tmp_path / "last.pt"
    train(tiny_model(), source, source, quick(epochs=1), tmp_path, progress=False)
    good, refused = path.read_bytes(), 0
    for bad in damaged(good):
        path.write_bytes(bad)
        try:
            train(tiny_model(), source, source, quick(epochs=1), tmp_path, progress=False, resume=True)
        except InputError as error:  # nothing else may come out
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
        assert path.read_bytes() == bad
    assert refused >= 30


@pytest.mark.parametrize("content", [[1, 2], {"format": "other"}, torch.zeros(3)])
def test_a_foreign_state_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(InputError, match="no state of a training"):
        load_state(tmp_path / "last.pt", {}, torch.device("cpu"))


def test_a_state_that_could_run_code_is_not_read(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save(Evil(), tmp_path / "last.pt")
    with pytest.raises(InputError, match="damaged"):
        load_state(tmp_path / "last.pt", {}, torch.device("cpu"))
    assert not (tmp_path / "ran").exists()


def test_a_full_disk_stops_with_one_line_and_the_last_good_files_stay(tiny_model, tiny_source, tmp_path, monkeypatch):
    source, write = tiny_source(16), Path.write_bytes
    train(tiny_model(), source, source, quick(epochs=1), tmp_path, progress=False)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(target, data):
        write(target, data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="No space left on device") as caught:
        train(tiny_model(seed=3), source, source, quick(epochs=2), tmp_path, progress=False)
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_clip_that_cannot_be_read_is_named_and_the_state_stays(tiny_model, tiny_source, tmp_path):
    class Torn(ArraySource):
        broken = False

        def read(self, index, frames):
            if self.broken and index == 9:
                raise OSError("input/output error")
            return super().read(index, frames)

    source = Torn(tiny_source(16).table, tiny_source(16).clips)
    train(tiny_model(), source, source, quick(epochs=1), tmp_path, progress=False)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    source.broken = True
    with pytest.raises(InputError, match=r"cannot read the clip 'train-0-9' .input/output error"):
        train(tiny_model(), source, source, quick(epochs=1, seed=1), tmp_path, progress=False)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_fine_tuning_starts_from_a_checkpoint_with_a_new_head_for_other_classes(tiny_model, tmp_path):
    source = tiny_model(seed=3)
    save_model(source, tmp_path / "a.safetensors")
    model = tiny_model()
    assert load_weights(model, tmp_path / "a.safetensors") == []
    assert same(model.state_dict(), source.state_dict())
    fewer = tiny_model(num_classes=5)
    fewer.classes, head = tuple("abcde"), copy.deepcopy(fewer.head.state_dict())
    assert load_weights(fewer, tmp_path / "a.safetensors") == ["head.bias", "head.weight"]
    assert same(fewer.head.state_dict(), head) and same(fewer.backbone.state_dict(), source.backbone.state_dict())
    other = tiny_model()
    other.config["name"] = "stt"
    with pytest.raises(InputError, match="holds the model 'tiny', not 'stt'"):
        load_weights(other, tmp_path / "a.safetensors")
    wider = tiny_model()
    wider.backbone[0] = torch.nn.Conv2d(3, 8, 5, stride=4)
    with pytest.raises(InputError, match=r"weight 'backbone\.0\.weight'"):
        load_weights(wider, tmp_path / "a.safetensors")


def test_training_starts_from_the_given_checkpoint_and_says_so(tiny_model, tiny_source, tmp_path):
    clips, begun = tiny_source(8), tiny_model(seed=3)
    save_model(begun, tmp_path / "a.safetensors")
    config = quick(epochs=1, lr=1e-9, weight_decay=0, start=str(tmp_path / "a.safetensors"))
    model = tiny_model()
    train(model, clips, clips, config, tmp_path / "run", progress=False)
    torch.testing.assert_close(model.head.weight, begun.head.weight)
    told = read_metadata(tmp_path / "run" / "best.safetensors")["metadata"]["train"]
    assert told["start"].endswith("a.safetensors")


# one process imports everything and forks the trainings, which saves the imports of each
KILLER = """
import os, random, signal, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
import lightning.fabric
from dferlib.training import loop
from dferlib.training.config import TrainConfig
from tiny import TinyModel, make_source

torch.set_num_threads(1)
loop.SAVE_STEPS = 1
config = TrainConfig(epochs=12, batch_size=4, lr=1e-2, device="cpu", ema=0.9)


def begin(folder):
    child = os.fork()
    if not child:
        torch.manual_seed(0)
        loop.train(
            TinyModel(), make_source(60), make_source(14, "val"), config, folder, progress=False, resume=True
        )
        os._exit(0)
    return child


def changed(folder):
    path = Path(folder) / "last.pt"
    return path.stat().st_mtime_ns if path.exists() else None


assert os.waitpid(begin("whole"), 0)[1] == 0
chance = random.Random(1)
for kill in range({kills}):
    before, child = changed("killed"), begin("killed")
    while changed("killed") == before:  # let it come a little further
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.1))  # and end it in the middle of whatever it does
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, "it was over before it was killed so often"
    torch.load("killed/last.pt", weights_only=True)  # never half written
assert os.waitpid(begin("killed"), 0)[1] == 0
"""


@pytest.mark.slow
@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.thorough)])
def test_killed_at_random_moments_it_ends_with_the_same_weights(tmp_path, kills):
    script = KILLER.format(tests=str(Path(__file__).parent), kills=kills)
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})
    folder, whole = tmp_path / "killed", tmp_path / "whole"
    assert same(load_file(folder / "best.safetensors"), load_file(whole / "best.safetensors"))
    found, expected = last_state(folder), last_state(whole)
    assert same(found["objective"], expected["objective"]) and same(found["average"], expected["average"])
    for one, other in zip(found["history"], expected["history"], strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert sorted(path.name for path in folder.iterdir()) == ["best.safetensors", "history.json", "last.pt"]


def test_what_a_killed_training_left_half_written_is_swept_away(tiny_model, tiny_source, tmp_path):
    for name in (".last.77.tmp.pt", ".best.77.tmp.safetensors", ".history.77.tmp.json"):
        (tmp_path / name).write_text("half")
    (tmp_path / ".mine.77.tmp.txt").write_text("not ours")
    source = tiny_source(8)
    train(tiny_model(), source, source, quick(epochs=1), tmp_path, progress=False, resume=True)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == [".mine.77.tmp.txt"]


def test_a_state_holds_tensors_and_plain_values_only(tmp_path):
    state = {"a": torch.arange(3), "b": [1, 2.5, "c", None], "d": {"e": (1, 2)}}
    save_state(tmp_path / "s.pt", state, {"model": {"x": 1}})
    back = load_state(tmp_path / "s.pt", {"model": {"x": 1}}, torch.device("cpu"))
    assert torch.equal(back["a"], state["a"]) and back["b"] == state["b"] and back["d"] == state["d"]
