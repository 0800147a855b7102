"""`make bench`: what is measured of whom, what is left out, what grows how, and which ratios are told as worse."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import __main__ as bench
from benchmarks import comparison, growth, guard, machine, paths, predicting, report
from benchmarks.comparison import Comparison, Entry, groups, pair_of
from benchmarks.contestants import FRAMES, NEEDED, PAPERS, Contestant, everybody, others
from benchmarks.former_dfer import FormerDFER
from dferlib import InputError
from dferlib.book import plots
from dferlib.book.speeds import Speeds
from dferlib.evidence import parts, speed
from dferlib.models import create_model, list_models
from dferlib.models.former_dfer import FormerBlock

ROOT = Path(__file__).parents[1]
RECORDS = sorted((ROOT / "benchmarks" / "results").glob("*.json"))


class Small(nn.Module):
    """Takes clips of any number of frames."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.layer, self.drop = nn.Conv2d(3, 7, 4), nn.Dropout(0.5)

    def forward(self, clips):
        return self.drop(self.layer(clips.flatten(0, 1)).mean((2, 3)).unflatten(0, clips.shape[:2]).mean(1))


SMALL = Contestant("small", "torch", Small, size=16, grows=True)


@pytest.fixture
def compared(monkeypatch):
    """A comparison on a machine on which everything takes a tenth of a second, and products are as slow."""
    monkeypatch.setattr(speed, "SIDES", {"cpu": 16})
    monkeypatch.setattr(comparison, "stopwatch", lambda device: lambda work: (work(), 0.1)[1])
    return Comparison(torch.device("cpu"))


def test_a_row_says_what_was_measured_and_counted(compared):
    compared.run("one clip", [Entry(SMALL, "forward"), Entry(SMALL, "training")], seconds=1e6)
    forward, training = compared.rows
    operations = 2 * 16 * 7 * 13 * 13 * 48
    assert forward["operations"] == operations and training["operations"] == 2 * operations  # clips need no gradient
    for row in (forward, training):
        assert (row["model"], row["whose"], row["frames"], row["batch"], row["size"]) == ("small", "torch", 16, 1, 16)
        assert row["repeats"] == len(row["seconds"]) == speed.MOST
        assert row["low"] == row["median"] == row["high"] == pytest.approx(0.1)
        assert row["share"] == pytest.approx(row["operations"] / (2 * 16**3))
        assert row["parameters"] == 7 * 49
    assert not compared.left_out


def test_what_time_or_memory_does_not_reach_for_is_left_out_and_named(compared, monkeypatch):
    entries = [Entry(SMALL, "forward"), Entry(SMALL, "forward", batch=32), Entry(SMALL, "forward", frames=8)]
    compared.count(entries)
    one = 4 * compared.expected(entries[0])
    kept = compared.fitting(entries, 0.4 + 1.6 * one)  # the product's four turns, this one and one of half its size
    assert kept == [entries[0], entries[2]]
    (left,) = compared.left_out
    assert left["what"] == "small, forward, 16 frames, batch 32" and left["why"].startswith("no time")
    monkeypatch.setattr(comparison, "MEMORY_SHARE", 1e-12)
    assert not compared.fitting(entries, 1e9)
    assert all("GiB" in one["why"] for one in compared.left_out[1:])


def test_what_is_expected_follows_what_was_measured(compared):
    few, many = Entry(SMALL, "forward"), Entry(SMALL, "forward", frames=64)
    compared.count([few, many])
    assert compared.expected(few) == pytest.approx(compared.cost(few).forward / compared.rate / 0.4)
    compared.run("one clip", [few], 1e6)
    assert compared.expected(many) == pytest.approx(4 * 0.1)


def test_who_is_asked_does_not_learn_and_shares_the_weights():
    asked, taught = pair_of(SMALL, FRAMES, torch.device("cpu"))
    assert not asked.training and not asked.drop.training and taught.training and taught.drop.training
    assert asked.layer.weight is taught.layer.weight


def test_the_ratios_come_first_and_large_batches_last():
    names = [*NEEDED, *(name for name in list_models() if name not in NEEDED)]
    everyone = [Contestant(name, "torch", Small, grows=name == "stt") for name in names]
    found = groups(everyone)
    first, frames, batches = (entries for _, entries in found.values())
    assert [one.contestant.name for one in first] == names * 2 and first[0].work == "forward"
    assert len(set(map(str, first))) == len(first) == 2 * len(names)
    assert {(one.frames, one.batch) for one in first} == {(16, 1)}
    assert {one.frames for one in frames} == {8, 32, 64} and {one.contestant.name for one in frames} == {"stt"}
    assert {one.batch for one in batches} == {32}
    assert sum(share for share, _ in found.values()) < 1


@pytest.mark.slow
def test_others_take_the_clips_and_give_seven_logits():
    found, missing = others()
    assert set(NEEDED) <= {one.name for one in found} | {*list_models()} | ({*NEEDED} if missing else set())
    for one in found:
        with torch.device("meta"):  # where nothing is computed
            assert one.make(FRAMES)(torch.empty(Entry(one, "forward").shape)).shape == (1, 7), one.name


@pytest.mark.slow
def test_the_library_takes_part_with_every_model():
    everyone, _ = everybody()
    assert {one.name for one in everyone if one.whose == "dferlib"} == {*list_models()}
    assert {one.name for one in everyone if one.grows and one.whose == "dferlib"} == {*PAPERS}
    assert [one.name in NEEDED for one in everyone] == sorted((one.name in NEEDED for one in everyone), reverse=True)


def normed(net: nn.Module) -> list[nn.Module]:
    """The convolutions and norms of a network in their order."""
    return [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d)]


@pytest.mark.slow
def test_the_plain_former_dfer_is_the_library_s():
    """With the same weights, the exact GELU here too, and no bias on the way into attention there."""
    own = create_model("former_dfer", scale="paper", frames=3).eval()
    plain = FormerDFER(3).eval()
    for block in own.modules():
        if isinstance(block, FormerBlock):
            block.mlp[1] = nn.GELU()
    for one, other in zip(normed(plain.early) + normed(plain.late), normed(own.backbone), strict=True):
        nn.init.normal_(other.weight, 1.0 if isinstance(other, nn.BatchNorm2d) else 0.0, 0.05)
        one.load_state_dict(other.state_dict())
    for encoder, blocks in ((plain.space, own.s_former.blocks), (plain.time, own.blocks)):
        for layer, block in zip(encoder.layers, blocks, strict=True):
            layer.self_attn.in_proj_weight.data = block.attention.qkv.weight.data
            layer.self_attn.in_proj_bias.data.zero_()
            for one, other in (
                *((layer.norm1, block.norm_attention), (layer.norm2, block.norm_mlp)),
                *((layer.linear1, block.mlp[0]), (layer.linear2, block.mlp[-1])),
                (layer.self_attn.out_proj, block.attention.project),
            ):
                one.load_state_dict(other.state_dict())
    plain.space_position, plain.time_position = own.s_former.position, own.position
    plain.token, plain.head = own.class_token, own.head
    clips = torch.randn(2, 3, 3, 112, 112)
    with torch.no_grad():
        torch.testing.assert_close(plain(clips), own(clips), rtol=1e-3, atol=1e-4)


def test_a_power_is_found_again():
    assert growth.exponent([8, 16, 32, 64], [3 * n**1.5 for n in (8, 16, 32, 64)]) == pytest.approx(1.5)


@pytest.mark.slow
def test_attention_grows_and_saves_as_its_formula_says(monkeypatch):
    """Where every layer takes exactly as long as its operations, what is measured is the formula."""
    monkeypatch.setattr(growth, "DIM", 16)
    monkeypatch.setattr(growth, "_forward", lambda kind, F, S, device: lambda: growth.formula(kind, F, S) / 1e9)
    monkeypatch.setattr(growth, "stopwatch", lambda device: lambda work: work())
    found = growth.grow(torch.device("cpu"), 1.0)
    for kinds in found["exponents"].values():
        for one in kinds.values():
            assert one["measured"] == pytest.approx(one["formula"])
    assert found["exponents"]["frames"]["spatial"]["formula"] == pytest.approx(1)  # of the places of a frame only
    assert found["exponents"]["frames"]["joint"]["formula"] > 1.8  # with narrow tokens the scores are nearly all
    at_64 = found["saving"][0]
    assert at_64["time"] == pytest.approx(at_64["formula"])
    assert at_64["pairs"] == 64 * 16 / (16 + 64)
    assert at_64["memory_plain"] > at_64["memory"]


def made_up() -> dict:
    """A record in which all that is compared takes as long as what it is compared with."""
    places = [place for pair in guard.RATIOS.values() for place in pair]
    models = sorted({place for place in places if not isinstance(place, str)})
    basics = {"group": "one clip", "frames": 16, "batch": 1, "size": 112, "parameters": 10**6, "operations": 2 * 10**9}
    timed = {"median": 0.2, "low": 0.19, "high": 0.22, "repeats": 4, "seconds": [0.19, 0.2, 0.2, 0.22]}
    rows = [
        {**basics, "model": name, "whose": "dferlib", "work": work, "peak": 2**20, "share": 0.5, **timed}
        for name, work in models
    ]
    part = {"seconds": 0.1, "operations": 0, "moved": 8, "copying": 0.05}
    return {
        "format": 1,
        "machine": {"name": "a-machine", "device": "cpu", "processor": "A", "threads": 2, "date": "2026-01-01"}
        | {"versions": {"torch": "2"}},
        **{"precision": "float32", "minutes": 1.0, "load": 0.1, "others": 0.0, "left_out": []},
        "rates": {"product": 1e11, "copies": {"1000": 2e10, "1000000": 1e10}},
        **{"rows": [*rows, {**rows[0], "group": "frames", "frames": 8}]},
        "paths": {place: dict(timed) for place in places if isinstance(place, str)},
        "attention": {
            "exponents": {what: {"joint": {"measured": 1.1, "formula": 1.2}} for what in ("frames", "places")},
            "saving": [{"frames": 64, "places": 16, "time": 1.2, "formula": 1.3, "memory": 0.8}],
        },
        "parts": {"stt": {"pooling": {**part, "share_of_products": None, "share_of_copies": 0.5}}},
    }


def slower(record: dict, place, factors: list[float]) -> dict:
    """The record with one thing slowed down, turn by turn."""
    worse = copy.deepcopy(record)
    if isinstance(place, str):
        one = worse["paths"][place]
    else:
        one = next(row for row in worse["rows"] if (row["model"], row["work"]) == place)
    one["seconds"] = [k * x for k, x in zip(factors, one["seconds"], strict=True)]
    return worse


@pytest.fixture
def accepted(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "ACCEPTED", tmp_path / "accepted.json")
    guard.accept(made_up())


def test_nothing_has_become_worse_where_nothing_has_changed(accepted, capsys):
    assert bench.judge(made_up()) == 0
    said = capsys.readouterr().out
    assert said.count("as accepted") == len(guard.RATIOS) and "WORSE" not in said


@pytest.mark.parametrize("name", guard.RATIOS)
def test_a_ratio_that_got_worse_is_named_and_ends_with_1(name, accepted, capsys):
    above, _ = guard.RATIOS[name]
    assert bench.judge(slower(made_up(), above, [1.2] * 4)) == 1
    said = capsys.readouterr().out
    assert "slower than accepted: " in said and name in said.splitlines()[-1]


def test_one_slow_turn_and_a_small_loss_are_no_alarm(accepted):
    above, _ = guard.RATIOS["STT / TimeSformer of transformers"]
    assert bench.judge(slower(made_up(), above, [1, 5, 1, 1])) == 0
    assert bench.judge(slower(made_up(), above, [1.08] * 4)) == 0


def test_accepting_takes_what_was_measured_and_keeps_the_rest(accepted, capsys):
    name = "packing / Pillow alone"
    worse = slower(made_up(), "pack", [1.5] * 4)
    worse["rows"] = []
    guard.accept(worse)
    values = guard.load_accepted("a-machine")
    assert values.pop(name) == 1.5
    assert set(values.values()) == {1.0} and len(values) == len(guard.RATIOS) - 1
    assert bench.judge(worse) == 0
    assert capsys.readouterr().out.count("not measured") == sum(
        not isinstance(a, str) for a, _ in guard.RATIOS.values()
    )
    assert guard.load_accepted("another-machine") == {}


def test_a_new_machine_is_told_how_to_accept(accepted, capsys):
    record = made_up()
    record["machine"]["name"] = "another"
    assert bench.judge(record) == 0
    assert "nothing has been accepted on another yet: python -m benchmarks --accept" in capsys.readouterr().out


def test_accepting_needs_a_run(accepted, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    assert bench.main(["--accept"]) == 1
    assert "measure first" in capsys.readouterr().err
    record = made_up()
    record["machine"]["name"] = machine.machine_name(torch.device("cpu"))
    (tmp_path / f"{record['machine']['name']}.json").write_text(json.dumps(record))
    assert bench.main(["--accept"]) == 0
    assert set(guard.load_accepted(record["machine"]["name"])) == set(guard.RATIOS)


def test_names_of_machines_are_names_of_files(monkeypatch):
    monkeypatch.setattr(machine, "processor", lambda device: "Intel(R) Core(TM) i7-1165G7 @ 2.80GHz")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert machine.machine_name(torch.device("cpu")) == "intel-core-i7-1165g7-2-80ghz-4-threads"
    assert machine.machine_name(torch.device("cuda")) == "intel-core-i7-1165g7-2-80ghz"


def test_others_are_who_is_not_this_process(monkeypatch):
    every, mine = [(100, 60, 40), (110, 62, 48)], [10, 16]  # all, of them busy, idle; and busy here
    monkeypatch.setattr(machine.Others, "_seconds", lambda _: (every[0][0], every[0][1] - mine[0]))
    others = machine.Others()
    assert others.share() == 0
    monkeypatch.setattr(machine.Others, "_seconds", lambda _: (110, 52))
    assert others.share() == pytest.approx(0.2)


def test_the_record_becomes_tables(tmp_path):
    with pytest.raises(InputError, match="make bench"):
        Speeds.load(tmp_path)
    for name, date in (("new", "2026-02-01"), ("old", "2026-01-01")):
        record = made_up()
        record["machine"] |= {"name": name, "date": date}
        (tmp_path / f"{name}.json").write_text(json.dumps(record))
    speeds = Speeds.load(tmp_path)
    assert speeds.record["machine"]["name"] == "new"
    assert "stt takes 1.00 of the time of the TimeSformer" in speeds.finding()
    assert "reach 50 to 50 % of the rate" in speeds.finding()
    models = speeds.models(quartiles=True)
    assert models.loc["stt", "forward, ms"] == 200 and models.loc["stt", "training, share"] == 50
    assert models.loc["stt", "GMAC"] == 1 and models.loc["r3d18", "forward, quartiles"] == "190 to 220"
    assert speeds.ratio("stt", "logo_former") == 1 and speeds.ratio("stt", "nobody") is None
    assert "100 GFLOP/s" in str(speeds) and "10.0 GB/s" in str(speeds)
    assert list(speeds.other_sizes()["frames"]) == [8]
    assert speeds.growth().loc["joint", "places, formula"] == 1.2
    assert speeds.parts().loc[("stt", "pooling"), "% of the best"] == 50
    with pytest.raises(InputError):
        Speeds.load(tmp_path, "cuda")
    drifting = slower(made_up(), ("stt", "forward"), [1, 1, 3, 3])  # in the last two turns it was slow alone
    assert Speeds(drifting).ratio("stt", "logo_former") == pytest.approx(2)


def test_the_chart_has_a_dot_and_a_tick_for_each_model():
    speeds = Speeds(made_up())
    times, own = speeds.forwards()
    figure = plots.speeds(times, set(list(own)[:2]))
    (panel,) = figure.axes
    assert [tick.get_text() for tick in panel.get_yticklabels()] == list(times)
    dots = {line.get_label(): line.get_xdata().tolist() for line in panel.lines}
    assert dots["dferlib"] + dots["others"] == [200] * len(times) and len(dots["dferlib"]) == 2
    assert dots["at the rate of matrix products"] == [100] * len(times)


@pytest.mark.slow
def test_a_run_from_end_to_end(tmp_path, monkeypatch, accepted, capsys):
    monkeypatch.setattr(speed, "SIDES", {"cpu": 32})
    monkeypatch.setattr(parts, "SIZES", [2**14, 2**16])
    monkeypatch.setattr(growth, "DIM", 16)
    monkeypatch.setattr(growth, "LARGE", (8, 16))
    monkeypatch.setattr(growth, "SWEEPS", {"frames": [(8, 16), (64, 16)], "places": [(8, 16), (8, 64)]})
    for name, small in (("CLIPS", 5), ("FRAMES", 2), ("VIDEO", (2, 64, 64)), ("PRODUCT_SIDE", 32)):
        monkeypatch.setattr(paths, name, small)
    own = [replace(SMALL, name="stt", whose="dferlib"), replace(SMALL, name="logo_former", whose="dferlib")]
    monkeypatch.setattr(bench, "everybody", lambda: (own, ["something"]))
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "results")
    assert bench.main(["--minutes", "2"]) == 0
    said = capsys.readouterr().out
    assert "something: it is not installed" in said and "nothing has been accepted" in said
    (path,) = (tmp_path / "results").glob("*.json")
    assert path.with_suffix(".png").stat().st_size > 5000
    record = json.loads(path.read_text())
    assert {row["group"] for row in record["rows"]} == {"one clip", "frames", "batches"}
    assert len(record["rows"]) == 2 * 2 * (1 + 3 + 1)
    assert set(record["parts"]) == {"stt", "logo_former"}
    found = {one.name: one for one in guard.ratios(record, {})}
    assert found["LOGO-Former / STT"].found and found["packing / Pillow alone"].found
    assert found["R3D18 / torchvision's"].found is None
    assert 0 <= record["others"] <= 1 and record["minutes"] < 2
    assert bench.main(["--accept"]) == 0


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_the_records_of_the_tree_are_what_the_chapter_reads(path):
    speeds = Speeds(json.loads(path.read_text()))
    assert speeds.record["format"] == bench.FORMAT and speeds.record["machine"]["name"] == path.stem
    assert set(NEEDED[:5]) <= set(speeds.models().index)
    assert (speeds.models()["forward, share"].dropna() > 0).all()
    assert not speeds.growth().isna().any(axis=None)
    speeds.parts()  # for which there may have been no time
    assert len(speeds.saving()) and str(speeds) and speeds.finding()
    for row in speeds.record["rows"]:
        assert len(row["seconds"]) == row["repeats"] >= speed.LEAST
        assert row["low"] <= row["median"] <= row["high"]


def test_what_was_accepted_are_ratios_that_exist():
    if guard.ACCEPTED.exists():
        every = json.loads(guard.ACCEPTED.read_text())
        assert all(set(ratios) <= set(guard.RATIOS) for ratios in every.values())


def test_a_run_without_time_for_one_forward_pass_is_told_and_not_drawn(tmp_path):
    record = made_up()
    forwards = Speeds(record).forward_rows()
    record["rows"] = [row for row in record["rows"] if row not in forwards]
    report.draw(Speeds(record), tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
    report.draw(Speeds(made_up()), tmp_path / "some.png")
    assert (tmp_path / "some.png").stat().st_size > 1000


def test_shares_are_of_a_look_in_which_nobody_is_described():
    assert predicting.shares({"decode": 1.0, "describe": 90.0, "model": 3.0}) == {"decode": 0.25, "model": 0.75}
