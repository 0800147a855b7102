"""Timing: who is timed when and how often, what is made of it, and what it is compared with."""

import statistics

import pytest
import torch
from loops import make
from torch import nn

from dferlib import TrainConfig
from dferlib.evidence import speed
from dferlib.evidence.complexity import pass_cost
from dferlib.evidence.parts import parts
from dferlib.evidence.speed import Copy, Product, Timing, measure_speed, stopwatch, take_turns
from dferlib.models.attention import (
    DividedAttention,
    GlobalAttention,
    JointAttention,
    LocalAttention,
    MixingAttention,
    SpatialAttention,
    TemporalAttention,
)


class Clock:
    """A stopwatch on which each piece of work takes what is said, one repeat after the other."""

    def __init__(self, **seconds: list[float]) -> None:
        self.seconds, self.done = seconds, list[str]()

    def works(self) -> dict[str, object]:
        return {name: lambda name=name: name for name in self.seconds}

    def __call__(self, work) -> float:
        name = work()
        self.done.append(name)
        taken = self.seconds[name]
        return taken[min(self.done.count(name), len(taken)) - 1]


def test_everybody_takes_turns_and_the_first_turn_does_not_count():
    clock = Clock(a=[100, 1, 2, 3], b=[50, 10, 30, 20])
    found = take_turns(clock.works(), 0, clock)
    assert clock.done == list("ab" * 4)
    assert found["a"].seconds == (1, 2, 3) and found["b"].seconds == (10, 30, 20)
    assert found["b"].median == 20


@pytest.mark.parametrize(
    ("seconds", "repeats"), [(0, 3), (9.9, 3), (10, 4), (11.9, 4), (12, 5), (13.9, 5), (1e9, speed.MOST)]
)
def test_as_many_rounds_are_made_as_fit_but_never_less_than_three(seconds, repeats):
    clock = Clock(a=[1.5], b=[0.5])  # two seconds a round, and one round to warm up
    assert len(take_turns(clock.works(), seconds, clock)["a"].seconds) == repeats


def test_a_timing_knows_its_middle_and_compares_turn_by_turn():
    timing = Timing((4.0, 1.0, 3.0, 2.0, 9.0))
    assert timing.median == 3
    assert timing.middle == tuple(statistics.quantiles(timing.seconds, method="inclusive")[::2])
    slowed = Timing(tuple(k * x for k, x in zip((2, 2, 4, 4, 2), timing.seconds, strict=True)))
    assert slowed.over(timing).seconds == (2, 2, 4, 4, 2)


def test_the_clock_of_a_cpu_runs_from_before_the_work_until_after_it(monkeypatch):
    ticks = [10.0, 12.5]
    monkeypatch.setattr(speed, "perf_counter", lambda: ticks.pop(0))
    assert stopwatch(torch.device("cpu"))(lambda: ticks.append(99.0)) == 2.5
    assert ticks == [99.0]


def test_a_gpu_is_waited_for_on_both_sides_of_the_work(monkeypatch):
    said = []

    class Event:
        count = 0

        def __init__(self, enable_timing):
            assert enable_timing
            Event.count += 1
            self.name = ("start", "end")[Event.count - 1]

        def record(self, stream):
            said.append(f"{self.name} on {stream}")

        def synchronize(self):
            said.append(f"wait for {self.name}")

        def elapsed_time(self, other):
            assert (self.name, other.name) == ("start", "end")
            return 1500.0  # milliseconds

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: said.append("wait for all"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: "a stream")
    assert stopwatch(torch.device("cuda"))(lambda: said.append("work")) == 1.5
    assert said == ["wait for all", "start on a stream", "work", "end on a stream", "wait for end"]


def test_the_best_of_the_machine_does_what_it_says():
    product, copy = Product(torch.device("cpu"), side=20), Copy(torch.device("cpu"), 4000)
    product(), copy()
    assert product.operations == 2 * 20**3
    torch.testing.assert_close(product.out, product.one @ product.other)
    assert copy.moved == 8000 and torch.equal(copy.target, copy.source)


@pytest.fixture
def small_products(monkeypatch):
    monkeypatch.setattr(speed, "SIDES", {"cpu": 32})


@pytest.mark.slow
def test_a_model_is_asked_and_taught_and_stays_as_it_was(tiny_model, small_products):
    model = tiny_model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = list(measure_speed(model, TrainConfig(batch_size=4, device="cpu"), seconds=20))
    assert [(one.work, one.clips) for one in found] == [("predict", 1), ("predict", 4), ("train", 4)]
    assert all(one.share > 0 and len(one.timing.seconds) >= speed.LEAST for one in found)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "sam", "clips"), [(100, 0.0, 4), (1000, 0.0, 32), (100, 0.05, 2), (1, 0.0, 2)])
def test_a_slow_machine_gets_batches_that_it_has_time_for(tiny_model, small_products, monkeypatch, seconds, sam, clips):
    """A second a clip: nine tenths of the time are for four rounds, each a prediction and one or two passes of 3.5."""
    monkeypatch.setattr(speed, "stopwatch", lambda device: lambda work: (work(), 1.0)[1])
    found = list(measure_speed(tiny_model(), TrainConfig(device="cpu", sam=sam), seconds=seconds))
    assert [one.clips for one in found] == [1, clips, clips]
    cost = pass_cost(tiny_model(), (1, 4, 3, 14, 14))
    shares = [one.share * 2 * 32**3 for one in found]  # all take a second, so this is operations
    assert shares == pytest.approx([cost.forward, clips * cost.forward, (1 + (sam > 0)) * clips * cost.both])


def test_passes_cost_what_their_products_cost():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 5))  # 8 x 8 px
    convolution, product = 8 * 36 * 27, 8 * 36 * 5
    found = pass_cost(net, (2, 3, 8, 8))
    assert found.forward == 2 * 2 * (convolution + product)
    assert found.both == found.forward + 2 * 2 * (convolution + 2 * product)  # clips need no gradient
    weights = sum(p.nbytes for p in net.parameters())
    assert found.peak >= 2 * weights + 4 * 2 * (3 * 64 + 8 * 36)
    assert net[0].weight.grad is None and type(net[0].weight) is nn.Parameter


def test_bytes_are_those_that_operations_read_and_write():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(8 * 36, 5))  # 8 x 8 px
    clips, maps, said = 2 * 3 * 64, 2 * 8 * 36, 2 * 5
    convolution = clips + 8 * 27 + 8 + maps
    product = maps + 8 * 36 * 5 + 5 + said
    assert pass_cost(net, (2, 3, 8, 8)).moved == 4 * (convolution + 2 * maps + product)  # to flatten moves nothing
    assert net.training and net[2].training


@pytest.mark.parametrize(
    "kind",
    [
        *(JointAttention, SpatialAttention, TemporalAttention, DividedAttention),
        *(MixingAttention, LocalAttention, GlobalAttention),
    ],
)
def test_fused_attention_is_counted_as_its_closed_form_has_it(kind):
    F, S, D = 4, 16, 24
    layer = kind(D, 4)
    found = pass_cost(layer, (3, F, S, D))
    assert found.forward == 2 * 3 * layer.cost(F, S, D)
    assert found.both < 3 * found.forward + 1  # each product has two in the backward pass, and the tokens no gradient


def test_parts_are_counted_timed_and_compared():
    net = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 9, 5), nn.Linear(5, 5)),
    ).eval()
    # a second for each operation; copies take a nanosecond a byte
    found = parts(net, torch.rand(2, 3, 8, 8), {1: 1e-9, 10**9: 1.0}, measure=lambda work: (work(), 1.0)[1])
    assert next(iter(found)) == "matrix product"  # two of them take longest
    maps, weights = 2 * 8 * 36, 8 * 27 + 8
    expected = {  # seconds, operations, values that are read and written
        "convolution": (1, 2 * maps * 27, 2 * 3 * 64 + weights + maps),
        "activation": (1, 0, 2 * maps),
        "matrix product": (2, 2 * 2 * (72 * 5 + 25), 2 * (72 + 5 + 5 + 5) + 6 * 5 + 72 * 5 + 5),
    }
    for kind, (seconds, operations, values) in expected.items():
        assert (found[kind].seconds, found[kind].operations, found[kind].moved) == (seconds, operations, 4 * values)
        assert found[kind].copying == pytest.approx(4e-9 * values)
    assert found["pooling"].moved == 4 * (maps + maps // 4) + 8 * maps // 4  # and where each of them was
    assert {"batch norm", "pooling"} <= set(found)


@pytest.mark.slow
def test_the_parts_of_a_model_are_all_its_products():
    model = make("stt").eval()
    spec = model.input_spec
    clips = torch.rand(1, spec.frames, 3, spec.size, spec.size)
    found = parts(model, clips, {1: 1e-9, 10**9: 1.0}, repeats=1)
    counted = sum(part.operations for part in found.values())
    assert counted == pass_cost(model, clips.shape).forward
    assert {"convolution", "matrix product", "attention", "batch norm", "layer norm"} <= set(found)
