"""Cost against accuracy: the points, the front and the table are those of the records and of the counts."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reader import Open, composed
from test_player import Shown, shown  # noqa: F401
from test_site import browser  # noqa: F401

from dferlib import create_model, list_models
from dferlib.book.costing import cost_chart
from dferlib.book.speeds import Speeds
from dferlib.book.zoo import ALONG, COSTS, FROZEN, NAMES, NOTHING, PRINTED, RECORDS, Entry, printed, zoo
from dferlib.errors import InputError
from dferlib.evidence.complexity import complexity
from dferlib.evidence.results import load_runs
from dferlib.evidence.statistics import Interval

ROOT = Path(__file__).parents[1]
site = pytest.mark.site


def made_up(seed: int = 0) -> list[Entry]:
    """Entries of all models with costs and results by chance, from the best to the worst; some costs are missing."""
    rng = np.random.default_rng(seed)
    found = []
    for model, value in zip(RECORDS, np.sort(0.2 + 0.6 * rng.random(len(RECORDS)))[::-1], strict=True):
        costs = {key: float(np.exp(rng.normal(3, 1.5))) for key in COSTS}
        costs["parameters"] = float(rng.integers(1, 4))  # several cost the same
        costs["paper_ms"] = None if rng.random() < 0.3 else costs["paper_ms"]
        uar = Interval(float(value), float(value) - 0.03, float(value) + 0.02)
        start = (FROZEN, ALONG, NOTHING)[len(found) % 3]
        command = f"dferlib study some --again {model}-seed0"
        one = {"model": model, "uar": uar, "costs": costs, "start": start, "seeds": 5, "command": command}
        one |= {"weights": f"results/some/{model}/best.safetensors" if len(found) % 4 == 0 else ""}
        one |= {"printed": "UAR 54.58 on DFEW" if len(found) % 3 == 0 else ""}
        found.append(Entry(**one, record=f"results/some/{model}-seed0.json", is_waiting=len(found) % 2 == 1))
    return found


def by_definition(entries: list[Entry], cost: str) -> set[str]:
    """The names of those that nobody beats: no other one is as cheap and better, or cheaper and as good."""
    known = [(one.costs[cost], one.uar.value, one.name) for one in entries if one.costs[cost] is not None]
    return {
        name
        for price, value, name in known
        if not any((p <= price and v > value) or (p < price and v >= value) for p, v, _ in known)
    }


def test_every_model_has_a_name_and_records_of_its_own() -> None:
    assert set(RECORDS) == set(NAMES) == set(list_models())
    for model, (study, row) in RECORDS.items():
        runs = [run for run in load_runs(ROOT / "results" / study) if run.name.rsplit("-seed", 1)[0] == row]
        assert len(runs) >= 2 and {run.model["name"] for run in runs} == {model}, model


@pytest.mark.slow
def test_the_zoo_has_the_numbers_of_records_and_counts() -> None:
    speeds = Speeds.load(ROOT / "benchmarks" / "results")
    entries = {one.model: one for one in zoo(speeds, ROOT / "results")}
    assert list(entries) == sorted(entries, key=lambda name: -entries[name].uar.value)
    late = (ROOT / "results" / "waiting.txt").read_text().split()
    for model, (study, row) in RECORDS.items():
        one = entries[model]
        runs = [run for run in load_runs(ROOT / "results" / study) if run.name.rsplit("-seed", 1)[0] == row]
        assert one.uar.value == pytest.approx(np.mean([run.metrics["uar"] for run in runs]))
        assert one.uar.low < one.uar.value < one.uar.high and one.seeds == len(runs)
        assert (ROOT / one.record).is_file() and one.command.endswith(f"{study} --again {Path(one.record).stem}")
        assert one.is_waiting == (study in late)
        train = runs[0].record["config"]["train"]
        assert one.start == (NOTHING if train["epochs"] == 32 else ALONG if train["backbone_lr_scale"] else FROZEN)
        weights = ROOT / "results" / study / row / "best.safetensors"
        assert one.weights == (weights.relative_to(ROOT).as_posix() if weights.is_file() else "")
        work = 4.6e-9 * 1e6 * one.costs["macs"]  # millijoules; beside it 1.3 nJ for eight bytes
        spec = create_model(model, **runs[0].model["overrides"]).input_spec
        once = 4 * (1e6 * one.costs["parameters"] + spec.frames * 3 * spec.size**2)
        assert one.costs["energy_least"] == pytest.approx(work + once / 8 * 1.3e-6)
        assert one.costs["energy"] > one.costs["energy_least"]
        if model in ("stt", "msstnet", "c3d"):
            counted = complexity(create_model(model, **runs[0].model["overrides"]))
            assert one.costs["parameters"] == pytest.approx(counted.parameters / 1e6)
            assert one.costs["macs"] == pytest.approx(1000 * counted.gmac)
    paper = complexity(create_model("stt", scale="paper"))
    assert entries["stt"].costs["paper_macs"] == pytest.approx(paper.gmac)
    assert entries["stt"].costs["paper_ms"] == pytest.approx(1000 * speeds.row("stt")["median"])  # type: ignore[index]


def by_papers(method: str, metric: str, data: str) -> list[float]:
    """What is printed, from the table itself."""
    rows = pd.read_csv(ROOT / "results" / "reported.csv")
    mine = rows[(rows["method"] == method) & (rows["metric"] == metric) & (rows["dataset"] == data)]
    return sorted(mine["value"].astype(float))


def test_what_is_printed_is_told_from_the_least_to_the_most() -> None:
    lstm = by_papers("ResNet18+LSTM", "UAR", "DFEW")
    assert lstm[0] < lstm[-1] and f"{lstm[0]:.2f} to {lstm[-1]:.2f} on DFEW" in printed("resnet18_lstm")
    (stt,) = by_papers("STT", "UAR", "DFEW")
    assert printed("stt").startswith(f"UAR {stt:.2f} on DFEW, ")
    (staner, _) = by_papers("STANER", "Acc", "CK+")  # in two tables, the same
    assert printed("staner").startswith(f"accuracy {staner:.2f} on CK+, ") and " to " not in printed("staner")
    assert printed("single_frame") == printed("inflated_resnet") == ""
    assert set(PRINTED) < set(RECORDS) and all(printed(model) for model in PRINTED)


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(InputError, match="no model"):
        cost_chart([], alt="x")
    with pytest.raises(InputError, match="unknown cost 'price'"):
        cost_chart(made_up(), "price", alt="x")


def at(one: Shown) -> dict[str, tuple[float, float]]:
    """Where the points stand in the drawing, by the model's name."""
    points = one.page.locator("svg.fim-chart .fim-point")
    names = points.evaluate_all("all => all.map(one => one.dataset.model)")
    places = points.evaluate_all(
        "all => all.map(one => ['cx', 'cy'].map(key => Number(one.querySelector('circle').getAttribute(key))))"
    )
    return {name: tuple(place) for name, place in zip(names, places, strict=True)}


@site
def test_points_stand_at_the_logarithm_of_their_cost_and_at_their_uar(shown: Open) -> None:  # noqa: F811
    entries = made_up(3)
    one = shown(cost_chart(entries, alt="Costs").html)
    for cost in COSTS:
        one.page.locator("select").select_option(cost)
        priced = [entry for entry in entries if entry.costs[cost] is not None]
        places = at(one)
        assert places.keys() == {entry.name for entry in priced}
        x, y = np.array([places[entry.name] for entry in priced]).T
        price = [math.log(entry.costs[cost]) for entry in priced]  # type: ignore[arg-type]
        for seen, true in ((x, price), (-y, [entry.uar.value for entry in priced])):
            slope, start = np.polyfit(true, seen, 1)
            assert slope > 0 and seen == pytest.approx(slope * np.array(true) + start, abs=0.1)
        front = one.page.evaluate("document.querySelector('.fim').fim.front")
        assert set(front) == by_definition(entries, cost)
        assert [places[name][0] for name in front] == sorted(places[name][0] for name in front)
        whisker = one.page.locator(".fim-point path").first.get_attribute("d") or ""
        low, high = (float(part) for part in re.findall(r"[\d.]+", whisker)[1:])
        assert (low - high) / (y.max() - y.min()) == pytest.approx(
            0.05 / np.ptp([e.uar.value for e in priced]), rel=0.02
        )
    assert not one.wrong


@site
def test_a_model_is_chosen_by_keys_by_the_mouse_and_in_the_table(shown: Open) -> None:  # noqa: F811
    entries = made_up(3)
    one = shown(cost_chart(entries, "memory", alt="Costs").html)
    page, area = one.page, one.page.locator(".fim-plot-of-costs")

    def chosen() -> str:
        name = page.evaluate("document.querySelector('.fim').fim.chosen")
        said = page.locator(".fim-said").inner_text()
        entry = next(entry for entry in entries if entry.name == name)
        assert said.startswith(f"{name}: UAR {100 * entry.uar.value:.1f} %")
        assert ("waits to be made again" in said) == entry.is_waiting
        assert ("It is on the front" in said) == (name in by_definition(entries, "memory"))
        assert page.locator("tbody.chosen").get_attribute("data-model") == name
        return name

    cheap = [entry.name for entry in sorted(entries, key=lambda entry: entry.costs["memory"])]  # type: ignore[arg-type,return-value]
    good = [entry.name for entry in entries]
    assert chosen() == good[0]
    area.focus()
    page.keyboard.press("ArrowUp")
    assert chosen() == good[0], "there is none above"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert chosen() == good[2]
    place = cheap.index(good[2])
    page.keyboard.press("ArrowRight" if place == 0 else "ArrowLeft")
    assert chosen() == cheap[1 if place == 0 else place - 1]
    box = area.locator("svg").bounding_box()
    assert box
    x, y = at(one)[good[7]]
    page.mouse.move(box["x"] + x + 1, box["y"] + y + 1)
    assert chosen() == good[7]
    page.get_by_role("button", name=good[-1], exact=True).press("Enter")
    assert chosen() == good[-1]
    assert not one.wrong


@site
@pytest.mark.parametrize("scripts", [True, False], ids=["live", "still"])
def test_the_table_has_every_model_with_its_record_and_command(scripts: bool, shown: Open) -> None:  # noqa: F811
    entries = made_up(3)
    one = shown(cost_chart(entries, alt="Costs").html, scripts=scripts)
    rows = one.page.locator("tbody")
    assert rows.count() == len(entries)
    for k, entry in enumerate(entries):
        row = rows.nth(k)
        star = "*" if entry.is_waiting else ""
        assert row.locator("th").inner_text().replace(" ", "") == f"{entry.name}{star}".replace(" ", "")
        told = [entry.record, entry.weights, entry.command]
        assert row.locator("code").all_inner_texts() == [one for one in told if one]
        assert (
            (f"Printed: {entry.printed}." in row.inner_text()) if entry.printed else "Printed" not in row.inner_text()
        )
        cells = row.locator("tr").first.locator("td").all_inner_texts()
        ends = [100 * x for x in (entry.uar.value, entry.uar.low, entry.uar.high)]
        assert [float(x) for x in re.findall(r"[\d.]+", cells[0])] == pytest.approx(ends, abs=0.051)
        *known, energy = [entry.costs[key] for key in COSTS if not key.startswith(("paper", "energy_least"))]
        least = entry.costs["energy_least"]
        paper = [entry.costs[key] for key in COSTS if key.startswith("paper")]
        for cell, cost in zip(cells[1:4] + cells[5:], known + paper, strict=True):
            assert (cell == "") if cost is None else float(cell) == pytest.approx(cost, rel=0.006)
        assert [float(x) for x in cells[4].split(" from ")] == pytest.approx([energy, least], rel=0.006)
    assert "to be made again" in one.page.locator("details .fim-note").inner_text()


@site
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_light_and_dark_wide_and_narrow(width: int, scheme: str, shown: Open) -> None:  # noqa: F811
    piece = cost_chart(made_up(1), alt="Costs").html
    one = shown(piece, piece, scheme=scheme, width=width)
    assert one.page.locator("details").first.evaluate("one => one.open") == (width > 500)
    for summary in one.page.locator("summary").all() if width < 500 else ():
        summary.click()
    composed(one, width, scheme)
    names = one.page.locator("svg >> nth=0").locator(".fim-point text")
    boxes = [box for name in names.all() if (box := name.bounding_box())]
    assert len(boxes) >= 8
    for k, a in enumerate(boxes):
        for b in boxes[:k]:
            apart = a["x"] + a["width"] <= b["x"] + 1 or b["x"] + b["width"] <= a["x"] + 1
            assert apart or abs(a["y"] - b["y"]) > 8, "names lie on each other"
    before = one.page.evaluate("[...document.querySelectorAll('.fim')].map(one => one.fim.cost)")
    one.page.locator("select").first.select_option("memory")
    after = one.page.evaluate("[...document.querySelectorAll('.fim')].map(one => one.fim.cost)")
    assert (before, after) == (["macs", "macs"], ["memory", "macs"]), "two do not know of each other"
    assert not one.wrong


def test_it_is_small_and_asks_for_nothing() -> None:
    piece = cost_chart(made_up(), alt="Costs").html
    assert len(piece.encode()) <= 60_000
    assert not re.findall(r"""(?:src|href|url)\s*[=(]""", piece)
    assert set(re.findall(r"https?://[^\"'\s]+", piece)) <= {"http://www.w3.org/2000/svg"}
    assert piece == cost_chart(made_up(), alt="Costs").html
