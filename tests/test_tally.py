"""Losses are looked at once in so many steps, so that a GPU need not wait; nothing spoilt is kept for all that."""

import math

import pytest
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

from dferlib import InputError
from dferlib.training import loop
from dferlib.training.checkpoints import read_metadata
from dferlib.training.config import TrainConfig
from dferlib.training.processes import make_fabric
from dferlib.training.tally import Tally


def quick(**changes):
    return TrainConfig(**{"epochs": 8, "batch_size": 8, "lr": 1e-2, "device": "cpu", **changes})


def every(monkeypatch, steps):
    """Let a CPU be asked as seldom as a GPU is."""
    monkeypatch.setitem(loop.READ_STEPS, "cpu", steps)


class Waits(TorchDispatchMode):
    """Counts what would make a GPU finish its work: numbers and shapes that Python takes from its tensors."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        aten = torch.ops.aten
        waiting = (aten._local_scalar_dense, aten.equal, aten.nonzero, aten.masked_select, aten.bincount)
        masked = func.overloadpacket is aten.index and any(i is not None and i.dtype == torch.bool for i in args[1])
        self.count += masked or func.overloadpacket in waiting
        return func(*args, **kwargs or {})


def test_what_waits_is_counted():
    x = torch.ones(3)
    for look in (lambda: x.sum().item(), lambda: float(x[0]), lambda: not x.isfinite().all(), lambda: x[x > 0]):
        with Waits() as waits:
            look()
        assert waits.count == 1


@pytest.mark.parametrize(
    "changes",
    [{}, {"sam": 0.05}, {"loss": "center"}, {"loss": "ec_stfl"}, {"loss": "compact"}, {"balance": "weights"}],
    ids=str,
)
def test_the_loop_looks_at_numbers_of_the_device_once_an_interval(tiny_model, tiny_source, monkeypatch, changes):
    every(monkeypatch, 3)
    for module in ("losses", "metric_losses"):  # it looks at labels on a CPU only
        monkeypatch.setattr(f"dferlib.models.{module}.check_labels", lambda labels, classes: None)
    monkeypatch.setattr("dferlib.models.base.ClipModel._check_values", lambda model, clips: None)  # and so at clips
    clips, read, looks = tiny_source(64), Tally.read, []
    monkeypatch.setattr(Tally, "read", lambda tally, epoch: looks.append(len(tally.unread)) or read(tally, epoch))
    config = quick(optimizer="sgd", **changes)  # the steps that Adam counts are on the CPU, whatever the device
    trainer = loop.Trainer(
        make_fabric("cpu", "auto"), tiny_model(), train_source=clips, val_source=clips, config=config
    )
    batches = list(trainer.loader.epoch(1))  # what chance decides about them is decided on the CPU
    monkeypatch.setattr(trainer.loader, "epoch", lambda number, first: iter(batches))
    with Waits() as waits:
        assert list(trainer.epoch(1)) == list(range(1, 9))
    assert waits.count == 0, "something outside of `Tally.read` looked at a number"
    assert looks == [1, 3, 3, 1]  # before the steps 0, 3 and 6, and at the end


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_step_makes_no_gpu_wait(tiny_model, tiny_source, monkeypatch):
    clips, config = tiny_source(64), quick(device="cuda")
    fabric = make_fabric("cuda", "auto")
    trainer = loop.Trainer(fabric, tiny_model(), train_source=clips, val_source=clips, config=config)
    batches = list(trainer.loader.epoch(1))
    monkeypatch.setattr(trainer.loader, "epoch", lambda number, first: iter(batches))
    try:
        for step in trainer.epoch(1):
            torch.cuda.set_sync_debug_mode("error" if step < len(batches) else "default")
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_losses_and_accuracies_do_not_depend_on_how_often_they_are_looked_at(tiny_model, tiny_source, monkeypatch):
    found = []
    for steps in (1, 2, 100):
        every(monkeypatch, steps)
        model = tiny_model()
        history = loop.train(model, tiny_source(38), tiny_source(14, "val"), quick(epochs=3), progress=False)
        found.append(([(e.train_loss, e.train_accuracy) for e in history.epochs], model.head.weight))
    for other in found[1:]:
        assert other[0] == found[0][0] and torch.equal(other[1], found[0][1])


def test_the_tally_is_the_mean_over_clips(tiny_source):
    tally, losses = Tally(quick()), [0.5, 1.25, 3.0]
    labels = torch.tensor([0, 1, 2, 0])
    for loss, count in zip(losses, (4, 4, 1), strict=True):
        logits = torch.eye(3)[[0, 1, 1, 2]][:count]
        tally.add(torch.tensor(loss), torch.tensor(1.0), logits=logits, labels=labels[:count])
        tally.read(1)
    assert tally.means() == pytest.approx(((0.5 * 4 + 1.25 * 4 + 3.0) / 9, 5 / 9), rel=1e-12)


@pytest.mark.parametrize(
    ("loss", "norm", "precision", "told"),
    [
        (math.nan, 1.0, "32-true", "the loss is nan and its gradient 1,"),
        (1.0, math.inf, "32-true", "the loss is 1 and its gradient inf,"),
        (math.inf, math.inf, "16-mixed", "the loss is inf and its gradient inf,"),
        (1.0, math.inf, "16-mixed", None),  # the scaler leaves the step out
    ],
)
def test_the_first_step_that_went_wrong_is_told(loss, norm, precision, told):
    tally = Tally(quick(precision=precision))
    for values in ((2.0, 1.0), (loss, norm), (math.nan if told else 1.0, 7.0)):
        one, other = map(torch.tensor, values)
        tally.add(one, other, logits=torch.zeros(2, 7), labels=torch.zeros(2, dtype=torch.int64))
    if told is None:
        tally.read(3)
        assert tally.means() == (pytest.approx(4 / 3), 1.0)
    else:
        with pytest.raises(InputError, match=f"epoch 3/8: {told} so training stopped; choose a lower learning rate"):
            tally.read(3)


@pytest.mark.parametrize("interval", [1, 100])
@pytest.mark.parametrize("first", [3, 4, 5])  # in the second epoch, each of its three steps
def test_a_loss_that_is_no_number_stops_with_one_line_and_nothing_spoilt_is_kept(
    tiny_model, tiny_source, tmp_path, monkeypatch, interval, first
):
    class Breaks(type(tiny_model())):
        """Gives nan from the given training step on."""

        steps = 0

        def features_from_maps(self, maps):
            self.steps += self.training
            return super().features_from_maps(maps) * (float("nan") if self.steps > first else 1.0)

    every(monkeypatch, interval)
    monkeypatch.setattr(loop, "SAVE_STEPS", 1)
    model = Breaks()
    with pytest.raises(InputError, match=r"epoch 2/8: the loss is nan.*learning rate") as caught:
        loop.train(model, tiny_source(24), tiny_source(14, "val"), quick(ema=0.5), tmp_path, progress=False)
    assert "\n" not in str(caught.value)
    kept = load_file(tmp_path / "best.safetensors")
    assert read_metadata(tmp_path / "best.safetensors")["metadata"]["best"]["epoch"] == 1
    assert all(torch.equal(kept[key], value) for key, value in model.state_dict().items())
    state = torch.load(tmp_path / "last.pt", weights_only=True)["state"]
    assert 3 * len(state["history"]) + state["step"] == first
    for part in (kept, state["objective"], state["average"], *state["optimizer"]["state"].values()):
        assert all(value.isfinite().all() for value in part.values())


@pytest.mark.parametrize("interval", [1, 100])
def test_where_the_first_epoch_fails_the_same_model_can_be_trained_again(
    tiny_model, tiny_source, monkeypatch, interval
):
    """At the lower rate that the message asks for: there is no best epoch yet to go back to."""
    every(monkeypatch, interval)
    model, clips, val = tiny_model(), tiny_source(24), tiny_source(14, "val")
    began = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(InputError, match=r"epoch 1/8: the loss is .*lower learning rate"):
        loop.train(model, clips, val, quick(lr=1e30), progress=False)
    assert all(torch.equal(began[key], value) for key, value in model.state_dict().items())
    again, fresh = (loop.train(one, clips, val, quick(epochs=1), progress=False) for one in (model, tiny_model()))
    assert again.best.train_loss == fresh.best.train_loss


def test_on_a_cpu_the_step_that_would_spoil_the_weights_is_not_taken(tiny_model, tiny_source, tmp_path):
    """Also in the first epoch, where there is no best one to go back to."""
    clips = tiny_source(24)
    model = tiny_model()
    model.drop.register_forward_hook(lambda module, inputs, output: output * math.inf if module.training else output)
    with pytest.raises(InputError, match=r"epoch 1/8: the loss is nan"):
        loop.train(model, clips, tiny_source(14, "val"), quick(), tmp_path, progress=False)
    assert all(value.isfinite().all() for value in model.parameters())
    assert not any(tmp_path.iterdir())

    loop.train(tiny_model(), clips, clips, quick(epochs=1), tmp_path, progress=False)
    before = (tmp_path / "best.safetensors").read_bytes()
    with pytest.raises(InputError, match="learning rate"):
        loop.train(tiny_model(), clips, tiny_source(14, "val"), quick(lr=1e30), tmp_path, progress=False)
    assert (tmp_path / "best.safetensors").read_bytes() == before
