import copy
import json
import math
from dataclasses import asdict

import numpy as np
import pytest
import torch
from loops import make
from safetensors.torch import load_file

from dferlib import InputError, list_models
from dferlib.data.table import ArraySource, ClipTable
from dferlib.data.transforms import prepare
from dferlib.training import loop as training_module
from dferlib.training.checkpoints import read_metadata
from dferlib.training.config import TrainConfig
from dferlib.training.evaluation import evaluate
from dferlib.training.loop import train
from dferlib.training.objective import LOSSES


def quick(**changes):
    return TrainConfig(**{"epochs": 2, "batch_size": 8, "lr": 1e-2, "device": "cpu", **changes})


def weights(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


def kept(folder):
    """The weights in the file; what they have learnt from lies beside them."""
    return {key: value for key, value in load_file(folder / "best.safetensors").items() if key[:7] != "beside."}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


class Watched(ArraySource):
    """Notes which frames were read, and can fail at a chosen read."""

    def __init__(self, source, fail_at=None, error=KeyboardInterrupt):
        super().__init__(source.table, source.clips)
        self.reads, self.fail_at, self.error = [], fail_at, error

    def read(self, index, frames):
        if len(self.reads) == self.fail_at:
            raise self.error
        self.reads.append((index, frames.tolist()))
        return super().read(index, frames)


@pytest.mark.slow
def test_training_overfits_sixteen_clips(tiny_model, tiny_source):
    model, clips = tiny_model(), tiny_source(16)
    history = train(model, clips, clips, quick(epochs=60, lr=3e-2), progress=False)
    assert evaluate(model, clips, device="cpu").metrics()["war"] == 1.0
    losses = [epoch.train_loss for epoch in history.epochs]
    assert sum(losses[-10:]) / 10 < 0.5 < 1.5 < losses[0]
    assert [epoch.epoch for epoch in history.epochs] == list(range(1, 61))


@pytest.mark.slow
@pytest.mark.parametrize("loss", [name for name in LOSSES if name != "joint"])
def test_the_same_seed_gives_the_same_weights_whatever_happened_before(tiny_model, tiny_source, loss):
    found = []
    for seed, before in ((3, 1), (3, 2), (4, 1)):
        model = tiny_model()
        torch.manual_seed(before)
        torch.rand(before)
        train(model, tiny_source(20), tiny_source(14, "val"), quick(seed=seed, loss=loss), progress=False)
        found.append(weights(model))
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


def test_training_leaves_the_callers_chance_alone(tiny_model, tiny_source):
    model = tiny_model()
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    train(model, tiny_source(8), tiny_source(7, "val"), quick(), progress=False)
    assert torch.equal(torch.rand(4), expected)


def test_the_kept_epoch_is_the_best_on_validation_and_the_file_holds_it(tiny_model, tiny_source, tmp_path, monkeypatch):
    recalls, sources, passed = [0.2, 0.7, 0.7, 0.3], [], []

    class Judged:
        logits, labels = np.zeros((0, 7)), np.zeros(0, np.int64)

        def metrics(self):
            return {"uar": recalls[len(passed) - 1], "war": 0.5}

    def judge(model, source, **kwargs):
        sources.append(source)
        passed.append(weights(model))
        return Judged()

    monkeypatch.setattr(training_module, "evaluate", judge)
    model, val = tiny_model(), tiny_source(14, "val")
    history = train(model, tiny_source(16), val, quick(epochs=4), tmp_path, progress=False)
    assert sources == [val] * 4
    assert [epoch.val_uar for epoch in history.epochs] == recalls
    assert history.best.epoch == 2  # the first of the equally good
    assert same(weights(model), passed[1]) and not same(passed[1], passed[2])
    assert same(kept(tmp_path), passed[1])
    about = read_metadata(tmp_path / "best.safetensors")["metadata"]
    assert about["best"]["epoch"] == 2 and about["train"]["epochs"] == 4 and about["data"]["val"] == val.fingerprint
    written = json.loads((tmp_path / "history.json").read_text())
    assert written["best_epoch"] == 2 and [epoch["val_uar"] for epoch in written["epochs"]] == recalls


def test_a_frozen_backbone_does_not_change_in_any_bit(tiny_model, tiny_source):
    model = tiny_model()
    before = weights(model)
    train(model, tiny_source(16), tiny_source(14, "val"), quick(backbone_lr_scale=0), progress=False)
    after = weights(model)
    assert all(torch.equal(before[key], after[key]) for key in before if key.startswith("backbone."))
    assert not torch.equal(before["head.weight"], after["head.weight"])
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_backbone_learns_at_its_own_rate(tiny_model, tiny_source):
    model = tiny_model()
    before = weights(model)
    clips = tiny_source(8)
    train(model, clips, clips, quick(epochs=1, lr=1e-3, backbone_lr_scale=0.25, weight_decay=0), progress=False)
    moved = {key: float((value - before[key]).abs().max()) for key, value in weights(model).items()}
    # the first step of Adam moves every weight that has a gradient by the learning rate
    assert moved["head.weight"] == pytest.approx(1e-3, rel=0.01)
    assert moved["backbone.0.weight"] == pytest.approx(0.25e-3, rel=0.01)


@pytest.mark.parametrize("per_segment", [1, 2, 4])
def test_training_reads_random_consecutive_frames_and_evaluation_the_middle_ones(tiny_model, tiny_source, per_segment):
    source = tiny_source(14, frames=24)
    learn, check = Watched(source), Watched(source)
    train(tiny_model(), learn, check, quick(per_segment=per_segment), progress=False)
    for watched in (learn, check):
        assert sorted(index for index, _ in watched.reads) == sorted(list(range(14)) * 2)
        for _, frames in watched.reads:
            assert (np.diff(np.reshape(frames, (-1, per_segment)), axis=1) == 1).all()
    drawn, middle = ([dict(w.reads[:14])[k] for k in range(14)] for w in (learn, check))
    assert middle == [dict(check.reads[14:])[k] for k in range(14)] != drawn
    assert drawn != [dict(learn.reads[14:])[k] for k in range(14)]


def test_a_source_too_large_to_hold_trains_the_same(tiny_model, tiny_source, monkeypatch):
    class OnDisk:
        def __init__(self, source):
            self.table, self.classes, self.fingerprint = source.table, source.classes, source.fingerprint
            self.read = source.read

        def __len__(self):
            return len(self.table)

    found = []
    for limit in (0, 2**30):
        monkeypatch.setattr("dferlib.training.clips.MEMORY_BYTES", limit)
        model = tiny_model()
        train(model, OnDisk(tiny_source(16)), OnDisk(tiny_source(7, "val")), quick(), progress=False)
        found.append(weights(model))
    assert same(*found)


def test_an_interrupted_training_leaves_the_best_epoch_so_far(tiny_model, tiny_source, tmp_path):
    model, val = tiny_model(), tiny_source(14, "val")
    in_second_epoch = 24 + 9
    with pytest.raises(KeyboardInterrupt):
        train(model, Watched(tiny_source(24), fail_at=in_second_epoch), val, quick(), tmp_path, progress=False)
    best = read_metadata(tmp_path / "best.safetensors")["metadata"]["best"]
    assert best["epoch"] == 1
    assert same(kept(tmp_path), weights(model))
    assert evaluate(model, val, device="cpu").metrics()["uar"] == best["val_uar"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.safetensors", "history.json", "last.pt"]


@pytest.mark.parametrize("batch_size", [1, 2, 5, 22, 23, 64])
def test_every_clip_counts_once_for_any_batch_size(tiny_model, tiny_source, batch_size):
    model, clips = tiny_model().eval(), tiny_source(23)
    found = evaluate(model, clips, batch_size=batch_size, device="cpu", features=True)
    assert found.ids.tolist() == clips.table.ids.tolist()
    assert found.labels.tolist() == clips.table.labels.tolist()
    assert found.groups.tolist() == clips.table.groups.tolist()
    assert found.metrics()["clips"] == 23 == np.sum(found.metrics()["confusion"])
    with torch.no_grad():
        for index in range(23):
            count = clips.table.frames[index]
            # the middle frame of each of four segments, written out
            frames = [int((k + 0.5) * count / 4 - 0.5) for k in range(4)]
            alone = model(prepare(torch.from_numpy(clips.clips[index][frames])[None], model.input_spec))
            np.testing.assert_allclose(found.logits[index], alone[0], atol=1e-5)
    np.testing.assert_allclose(found.features @ model.head.weight.detach().numpy().T + model.head.bias.detach().numpy(),
                               found.logits, atol=1e-5)  # fmt: skip
    assert (found.predicted == found.logits.argmax(1)).all()


def test_evaluation_changes_nothing_about_the_model(tiny_model, tiny_source):
    model = tiny_model().train()
    before = copy.deepcopy(weights(model))
    evaluate(model, tiny_source(9), device="cpu")
    assert model.training and same(before, weights(model))


def test_shuffled_frames_are_the_same_frames_in_another_order(tiny_model, tiny_source):
    model, plain, shuffled = tiny_model(), Watched(tiny_source(14)), Watched(tiny_source(14))
    evaluate(model, plain, device="cpu")
    evaluate(model, shuffled, device="cpu", shuffle_frames=True)
    assert [sorted(frames) for _, frames in shuffled.reads] == [frames for _, frames in plain.reads]
    assert shuffled.reads != plain.reads
    again = Watched(tiny_source(14))
    evaluate(model, again, device="cpu", shuffle_frames=True)
    assert again.reads == shuffled.reads


def test_a_model_with_broken_weights_is_named_as_such(tiny_model, tiny_source):
    model = tiny_model()
    torch.nn.init.constant_(model.head.weight, float("nan"))
    with pytest.raises(InputError, match=r"for clip 'train-0-0': train it again"):
        evaluate(model, tiny_source(4), device="cpu")


def test_data_and_model_must_fit(tiny_model, tiny_source):
    clips = tiny_source(7)
    with pytest.raises(InputError, match="7 classes, the model 5"):
        train(tiny_model(num_classes=5), clips, clips, quick(), progress=False)
    with pytest.raises(InputError, match=r"takes 4 frames.*3 per segment"):
        evaluate(tiny_model(), clips, device="cpu", per_segment=3)
    for number in ({"per_segment": 0}, {"batch_size": 0}, {"batch_size": -1}):
        with pytest.raises(InputError, match="per segment" if "per_segment" in number else "batch_size is"):
            evaluate(tiny_model(), clips, device="cpu", **number)
    empty = ArraySource(clips.table.select(np.array([], dtype=int)), [])
    with pytest.raises(InputError, match="no clips"):
        evaluate(tiny_model(), empty, device="cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "mse"}, "cross_entropy, label_smoothing, compact"),
        ({"device": "tpu"}, "auto, cpu, cuda, mps"),
        ({"precision": "fp8"}, "bf16-mixed"),
        ({"epochs": 0}, "epochs is 0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"weight_decay": -1.0}, "weight_decay is -1"),
        ({"clip_norm": -1.0}, "clip_norm is -1"),
        ({"ema": 1.5}, "ema is 1.5"),
        ({"ema": 1}, "nothing is ever learnt"),
        ({"epochs": 2.5}, "epochs is 2.5: give a whole number"),
        ({"batch_size": True}, "batch_size is True: give a whole number"),
        ({"lr": float("inf")}, "lr is inf: give a number"),
        ({"lr": "1e-3"}, "lr is '1e-3': give a number"),
        ({"compile": "no"}, "compile is 'no': give True or False"),
        ({"warmup": 2}, "warmup is 2: it must be between 0 and 1"),
        ({"saturation": 5}, "saturation is 5: it must be between 0 and 1"),
        ({"schedule": "steps", "milestones": 5}, "milestones is 5: give numbers in brackets"),
        ({"schedule": "steps", "milestones": (40, 20)}, r"milestones are \[40, 20\]: give epochs that rise"),
        ({"erase": -0.1}, "erase is -0.1"),
        ({"optimizer": "adam"}, "adamw, sgd"),
        ({"schedule": "poly"}, "cosine, steps"),
        ({"balance": "yes"}, "none, weights, sampling"),
        ({"select": "train"}, "val, test"),
        ({"milestones": (3,)}, "schedule='steps'"),
        ({"sam": 0.05, "precision": "16-mixed"}, "bf16-mixed"),
        ({"balance": "weights", "loss": "compact"}, "balance='sampling'"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**change)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x.transpose(0, 2, 3, 1), r"must be uint8 \(., 3, height, width\)"),
        (lambda x: x / np.float32(255), "is float32"),
        (lambda x: list(x), "is list: it must be a NumPy array"),
        (lambda x: x[:1], r"is uint8 \(1, 3, 16, 16\): it must be uint8 \([^1]"),
        (lambda x: None, "is NoneType"),
    ],
    ids=["channels last", "float", "list", "too few", "nothing"],
)
def test_what_a_source_of_ones_own_gives_is_looked_at(tiny_model, tiny_source, monkeypatch, spoil, message):
    source, read = tiny_source(7), ArraySource.read
    monkeypatch.setattr(ArraySource, "read", lambda self, index, frames: spoil(read(self, index, frames)))
    with pytest.raises(InputError, match=message):
        evaluate(tiny_model(), source, device="cpu")


def test_a_model_in_half_precision_is_tested_in_it(tiny_model, tiny_source):
    source = tiny_source(14)
    whole, half = (evaluate(model, source, device="cpu").logits for model in (tiny_model(), tiny_model().bfloat16()))
    assert np.abs(whole - half).max() < 0.05 * np.abs(whole).max() + 0.02


def test_people_who_are_learnt_from_and_chosen_by_are_told_of(tiny_model, tiny_source, caplog):
    def told(val):
        caplog.clear()
        train(tiny_model(), tiny_source(14), val, quick(epochs=1), progress=False)
        return caplog.text

    assert "2 people, by their groups, are in the training and in the validation clips" in told(tiny_source(14))
    others = tiny_source(14)
    table = ClipTable(others.table.rows.assign(group=["somebody else"] * 14), others.classes)
    assert not told(ArraySource(table, others.clips))


def test_a_config_comes_back_from_json_as_it_was():
    for config in (quick(), quick(schedule="steps", milestones=(2, 5))):
        back = json.loads(json.dumps(asdict(config)))
        assert back == asdict(config) and TrainConfig(**back) == config


def test_a_folder_that_cannot_be_made_is_named_before_training_starts(tiny_model, tiny_source, tmp_path):
    (tmp_path / "file").write_text("")
    watched = Watched(tiny_source(7))
    with pytest.raises(InputError, match="cannot create the folder"):
        train(tiny_model(), watched, watched, quick(), tmp_path / "file" / "run", progress=False)
    assert watched.reads == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_a_gpu_learns_what_a_cpu_learns(tiny_model, tiny_source, precision, tmp_path):
    clips, found = tiny_source(28), []
    for device, exact in (("cpu", "32-true"), ("cuda", precision)):
        model = tiny_model()
        config = quick(epochs=20, lr=3e-2, device=device, precision=exact)
        found.append(train(model, clips, clips, config, tmp_path / device, progress=False).best.val_uar)
        assert next(model.parameters()).device.type == "cpu"  # it comes back to where it was
    assert found[1] == pytest.approx(found[0], abs=0.2) and found[1] > 0.7
    again = train(tiny_model(), clips, clips, config, tmp_path / "cuda", progress=False, resume=True)
    assert again.best.val_uar == found[1]


@pytest.mark.slow
def test_tensorboard_shows_every_epoch_once_also_after_a_stop(tiny_model, tiny_source, tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    config = TrainConfig(epochs=3, device="cpu")
    with pytest.raises(InputError, match="TensorBoard"):
        train(tiny_model(), tiny_source(14), tiny_source(7), config, progress=False, tensorboard=True)
    for _ in range(2):  # the second time from the beginning, in the same folder
        history = train(
            tiny_model(), tiny_source(14), tiny_source(7), config, tmp_path, progress=False, tensorboard=True
        )
    seen = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    for name in ("train_loss", "val_uar"):
        events = seen.Scalars(name)
        assert [event.step for event in events] == [1, 2, 3]
        assert [event.value for event in events] == pytest.approx([getattr(e, name) for e in history.epochs])


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("frozen", [False, True])
def test_every_model_can_be_trained(name, frozen, tiny_source):
    size = {"msstnet": 64}.get(name, 32)
    model = make(name, frames=4, size=size, **({"window": (2, 1, 1)} if name == "logo_former" else {}))
    source = tiny_source(7, frames=4, side=size)
    config = TrainConfig(epochs=1, batch_size=4, device="cpu", backbone_lr_scale=0.0 if frozen else 0.5)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    history = train(model, source, source, config, progress=False)
    assert math.isfinite(history.best.train_loss)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert any(key.startswith("head") for key in changed)
    assert any(key.startswith("backbone") for key in changed) is not frozen


def test_the_kept_maps_of_one_stage_are_not_taken_for_those_of_two(tiny_source):
    source, config = tiny_source(7, frames=4, side=64), TrainConfig(epochs=1, device="cpu", backbone_lr_scale=0.0)
    for stages in ((4,), (3, 4)):
        model = make("msstnet", frames=4, stages=stages)
        assert train(model, source, source, config, progress=False).best.epoch == 1
