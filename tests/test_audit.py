"""The audit of the papers: every finding still follows from the data, and stops to if the data change."""

import csv
import shutil
from collections.abc import Callable
from decimal import Decimal
from itertools import product
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import call
from scipy import stats

from dferlib import DFEW, EMOTIONS, InputError, create_model
from dferlib.book.audited import finding_list
from dferlib.evidence.audit import Finding, Tables, audit, checks, choosing, comparisons, costs, equations, recalls
from dferlib.evidence.complexity import complexity
from dferlib.evidence.epochs import choice, jitter, over_folds
from dferlib.models.losses import CompactTerm

RESULTS = Path(__file__).parents[1] / "results"
TABLES = Tables(RESULTS)
PAPERS = {"STT", "LOGO-Former", "MSSTNet", "STANER"}
QUICK = (checks, recalls, comparisons, choosing, equations)  # costs takes some seconds


@pytest.fixture(scope="module")
def found() -> list[Finding]:
    return audit(RESULTS)


@pytest.mark.slow
def test_every_finding_follows_from_the_data(found: list[Finding]) -> None:
    assert [one.name for one in found if not one.holds] == []
    assert len(found) == len({one.name for one in found}) >= 12
    for one in found:
        assert set(one.paper.split(", ")) <= PAPERS
        assert all((one.where, one.printed, one.found, one.how, one.innocent)), one.name
    assert {paper for one in found for paper in one.paper.split(", ")} == PAPERS


@pytest.mark.slow
def test_the_costs_that_no_count_gives_still_do_not_come_out(found: list[Finding]) -> None:
    assert {one.name for one in found} - {one.name for part in QUICK for one in part.findings(TABLES)} == {
        "msstnet-per-frame",
        "two-costs-of-the-backbone",
        "former-dfer-cost",
        "logo-two-costs",
    }


def decimals() -> dict[tuple[str, ...], list[Decimal]]:
    """Every printed number, read without pandas."""
    numbers: dict[tuple[str, ...], list[Decimal]] = {}
    with (RESULTS / "reported.csv").open() as file:
        for row in csv.DictReader(file):
            key = tuple(row[name] for name in ("paper", "table", "dataset", "metric", "method", "sampling"))
            numbers.setdefault(key, []).append(Decimal(row["value"]))
    return numbers


def test_differences_and_values_are_what_decimal_arithmetic_gives() -> None:
    numbers = decimals()
    right, wrong = 0, set()
    with (RESULTS / "stated.csv").open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    for row in rows:
        if row["kind"] not in ("value", "difference"):
            continue
        *place, method, sampling = (row[n] for n in ("paper", "table", "dataset", "metric", "method", "sampling"))
        [value] = numbers[*place, method, sampling]
        if row["kind"] == "difference":
            rivals = [v for (*k, m, s), v in numbers.items() if k == place and m == row["against"]]
            same = numbers.get((*place, row["against"], sampling), rivals[0])
            value -= same[0]
        if value == Decimal(row["stated"]):
            right += 1
        else:
            wrong.add(row["name"])
    assert wrong == {"stt-both-attentions", "stt-former-dfer", "logo-former-dfer", "staner-3dcnn-dap"}
    assert right > 35


def test_what_does_not_come_out_has_a_name_and_a_reason_and_nothing_else_has() -> None:
    for check in checks.run_checks(TABLES):
        assert bool(check.stated["name"]) == bool(check.stated["innocent"]) == (not check.agrees), check.stated.tolist()


def changed(folder: Path, change: Callable[[pd.DataFrame], None], name: str = "reported.csv") -> Tables:
    """The tables with one of them changed."""
    for file in ("reported.csv", "stated.csv", "former_dfer_logs.csv"):
        shutil.copy(RESULTS / file, folder)
    table = pd.read_csv(folder / name, comment="#")
    change(table)
    table.to_csv(folder / name, index=False)
    return Tables(folder)


def put(value: float, **where: str) -> Callable[[pd.DataFrame], None]:
    def change(table: pd.DataFrame) -> None:
        rows = np.logical_and.reduce([table[column] == wanted for column, wanted in where.items()])
        assert rows.any()
        table.loc[rows, "value"] = value

    return change


def last_is_best(table: pd.DataFrame) -> None:
    for _, fold in table.groupby(["dataset", "fold"]):
        table.loc[fold.index[-1], "test_war"] = fold["test_war"].max()


BOTH = {"method": "spatial + temporal attention", "metric": "WAR"}


@pytest.mark.parametrize(
    ("part", "name", "change", "file"),
    [
        (checks, "stt-both-attentions", put(67.19, **BOTH), "reported.csv"),
        (checks, "stt-former-dfer", put(66.65, paper="STT", method="Former-DFER", metric="WAR"), "reported.csv"),
        (checks, "msstnet-underlined", put(39.0, method="MSSTNet (T=4)", metric="fear"), "reported.csv"),
        (recalls, "mean-of-recalls", put(51.90, paper="STT", method="ResNet18+GRU", metric="UAR"), "reported.csv"),
        (recalls, "stt-disgust", put(3.45, method="STT", metric="disgust"), "reported.csv"),
        (recalls, "three-clips-fewer", put(31.76, paper="STT", method="Former-DFER", metric="fear"), "reported.csv"),
        (recalls, "stt-clips-of-afew", put(54.33, table="Table 4", method="STT", metric="WAR"), "reported.csv"),
        (comparisons, "logo-without-stt", put(54.60, method="LOGO-Former", metric="UAR"), "reported.csv"),
        (comparisons, "logo-each-class", put(60.0, method="LOGO-Former", metric="surprise"), "reported.csv"),
        (comparisons, "msstnet-previous-best", put(60.0, method="NR-DFERNet", metric="UAR"), "reported.csv"),
        (choosing, "former-dfer-on-dfew", last_is_best, "former_dfer_logs.csv"),
        (choosing, "former-dfer-on-afew", last_is_best, "former_dfer_logs.csv"),
    ],
)
def test_a_finding_says_so_when_it_does_not_follow_any_more(
    part: ModuleType, name: str, change: Callable[[pd.DataFrame], None], file: str, tmp_path: Path
) -> None:
    before = {one.name: one.holds for one in part.findings(TABLES)}
    after = {one.name: one.holds for one in part.findings(changed(tmp_path, change, file))}
    assert before[name] and not after[name]


def test_a_missing_table_and_a_missing_row_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"reported\.csv is missing: give the folder"):
        Tables(tmp_path)
    with pytest.raises(InputError, match=r"no row of reported\.csv has STT, Table 9"):
        TABLES.rows(paper="STT", table="Table 9")
    with pytest.raises(InputError, match="several values"):
        TABLES.value(dataset="DFEW", method="3D ResNet18", metric="UAR")


# ---- recalls


def test_class_sizes_come_out_of_recalls_that_were_made_with_them() -> None:
    rng, sizes = np.random.default_rng(3), np.array([2391, 1811, 2588, 2222, 1402, 151, 931])
    right = np.array([[rng.integers(0.1 * n, 0.9 * n) for n in sizes] for _ in range(16)])
    printed = np.round(100 * right / sizes, 2)
    rows = pd.DataFrame(printed, columns=list(EMOTIONS))
    rows["UAR"] = np.round((100 * right / sizes).mean(1), 2)
    rows["WAR"] = np.round(100 * right.sum(1) / sizes.sum(), 2)
    assert list(recalls.class_sizes(rows).values()) == sizes.tolist()
    again = recalls.recomputed(rows, dict(zip(EMOTIONS, sizes.tolist(), strict=True)))
    assert again["war"].round(2).tolist() == again["WAR"].tolist()


def test_the_class_sizes_in_stts_table_are_those_of_dfew() -> None:
    sizes = recalls.class_sizes(recalls.recall_rows(TABLES, "STT"))
    assert sum(sizes.values()) == sum(size for (size,) in DFEW.OFFICIAL["splits"]["test"])
    for name, clips in DFEW.OFFICIAL["test classes of fold 1"].items():
        assert abs(sizes[name] - 5 * clips) <= 4  # five folds, alike to a clip


def test_whole_numbers_by_going_through_all_of_them() -> None:
    for value, clips in product((0.0, 3.45, 3.49, 50.92, 99.99, 100.0), (29, 145, 381, 383)):
        by_hand = any(abs(100 * k / clips - value) <= 0.005 + 1e-9 for k in range(clips + 1))
        assert bool(recalls.fits(value, clips)) == by_hand


# ---- the logs


def test_the_logs_are_whole_clips_and_their_best_epochs_those_of_the_public_code() -> None:
    folds = [n for (n,) in DFEW.OFFICIAL["splits"]["test"]]
    folds[0] -= 3  # a fold of which three clips are missing there
    for course, clips in ((TABLES.course("DFEW"), folds), (TABLES.course("AFEW"), [381])):
        right = course * np.array(clips) / 100
        assert np.abs(right - right.round()).max() < 0.0005 * max(clips) / 100 + 1e-6
    course = TABLES.course("DFEW")
    assert course.shape == (100, 5)
    assert course.max(0).round(2).tolist() == [66.21, 64.08, 66.15, 65.03, 67.04]
    three = (course.max(0).mean(), course[-1].mean(), course[-20:].mean())
    assert [round(float(one), 2) for one in three] == [65.70, 65.16, 65.14]


def test_intervals_over_folds_are_those_of_the_t_test() -> None:
    values = np.random.default_rng(0).normal(0.65, 0.01, 5)
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    found = over_folds(values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    course = np.random.default_rng(1).random((30, 4))
    rules = choice(course, late=10)
    assert rules.best.value == pytest.approx(np.mean([max(line) for line in course.T]))
    assert rules.over_late.value == pytest.approx(np.mean([max(line) - line[-10:].mean() for line in course.T]))
    assert rules.over_last.value == pytest.approx(np.mean([max(line) - line[-1] for line in course.T]))


def test_how_much_alike_epochs_are_is_found_in_trainings_that_were_drawn() -> None:
    rng, clips, rho, w = np.random.default_rng(0), 2000, 0.8, 0.65
    sigma = np.sqrt(w * (1 - w) / clips)
    noise = np.sqrt(rho) * rng.standard_normal((1, 3000)) + np.sqrt(1 - rho) * rng.standard_normal((50, 3000))
    found = jitter(w + sigma * noise, [clips] * 3000, late=40)
    assert found.sampling == pytest.approx(sigma, rel=0.01)
    assert found.correlation == pytest.approx(rho, abs=0.01)
    assert found.neighbours == pytest.approx(-1 / 40, abs=0.01)  # independent, but for the common mean
    slow = np.cumsum(rng.standard_normal((50, 300)), axis=0)
    assert jitter(w + 0.001 * slow, [clips] * 300).neighbours > 0.5


# ---- equations and costs


def test_the_divergences_are_those_of_scipy_and_of_the_loss_of_this_library() -> None:
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 7)))
    p = logits[:, 1:].softmax(1).numpy()
    u = np.full(6, 1 / 6)
    assert equations.first_divergence(p) == pytest.approx([stats.entropy(u, one) for one in p])
    assert equations.second_divergence(p, printed=False) == pytest.approx([stats.entropy(one, u) for one in p])
    both = equations.first_divergence(p) + equations.second_divergence(p, printed=True)
    assert both.mean() == pytest.approx(float(CompactTerm("printed")(logits, torch.zeros(5, dtype=torch.int64))))


@pytest.mark.parametrize(("F", "side"), [(16, 4), (16, 7), (8, 6), (12, 14)])
def test_equation_9_asks_for_a_window_between_frames_and_places(F: int, side: int) -> None:
    S = side**2
    sizes = equations.windows(F, S)
    by_hand = [
        f * h * w
        for f in range(1, F + 1)
        for h in range(1, side + 1)
        for w in range(1, side + 1)
        if F % f == side % h == side % w == 0
    ]
    assert sorted(sizes) == sorted(by_hand)
    for tokens in sizes:
        cheaper = F * S * tokens + (F * S) ** 2 / tokens < S**2 * F + S * F**2
        assert cheaper == (min(F, S) < tokens < max(F, S))


@pytest.mark.slow
def test_products_over_time_are_what_a_counted_msstnet_has_more_than_its_frames() -> None:
    short, long = (complexity(create_model("msstnet", scale="paper", frames=T)).gmac for T in (4, 16))
    head = 7 * 768 / 1e9  # once a clip
    beyond = (long - head) - 4 * (short - head)
    expected = costs.products_over_time(16) - 4 * costs.products_over_time(4)
    assert beyond == pytest.approx(expected, rel=1e-6)


# ---- what people see


@pytest.mark.slow
def test_the_command_lists_findings_and_shows_one(found: list[Finding], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("audit") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == [one.name for one in found]
    assert not any("ANY MORE" in line for line in lines)
    assert lines[-1].startswith(f"{len(found)} findings. Of ")
    assert call("audit", "stt-both-attentions") == 0
    shown = capsys.readouterr().out
    assert "2.17, which is 66.65 − 64.48" in shown and "Two digits were swapped" in shown
    assert call("audit", "nothing") == 1
    assert "unknown finding 'nothing': choose one of stt-both-attentions" in capsys.readouterr().err


def test_the_list_on_the_page_opens_and_escapes() -> None:
    one = Finding("a", "STT, MSSTNet", "Eq. 1", "1 < 2", "3", "by <counting>", "none", True)
    other = Finding("b", "STANER", "Table 1", "4", "5", "", "", True)
    page = finding_list([one, other])._repr_html_()
    assert page.count("<details>") == 2
    assert "1 &lt; 2 → 3" in page and "by &lt;counting&gt;" in page
    assert finding_list([one, other], "STANER").findings == (other,)
    assert repr(finding_list([one])) == "STT, MSSTNet, Eq. 1: 1 < 2. 3."
