"""Sentences whose numbers are computed: how numbers are written, what is refused, what an untrue one does."""

import ast
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

from dferlib.book.formats import written
from dferlib.book.sentences import METADATA, SentenceError, miniature, state
from dferlib.errors import InputError
from dferlib.evidence.statistics import Interval

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
GAP = Interval(0.1218, 0.0904, 0.1536)


@pytest.fixture(autouse=True)
def full_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DFERLIB_QUICK", raising=False)


@pytest.mark.parametrize(
    "value, how, expected",
    [
        (GAP, "", "12.2 (9.0 to 15.4)"),
        (GAP, "points", "12.2 points (9.0 to 15.4)"),
        (GAP, "%", "12.2 % (9.0 to 15.4)"),
        (GAP, ".2%", "12.18 % (9.04 to 15.36)"),
        (Interval(0.004, -0.011, 0.019), "+points", "+0.4 points (−1.1 to +1.9)"),
        (Interval(0.73, 0.65, 0.8), ".2f", "0.73 (0.65 to 0.80)"),
        (Interval(-0.0003, -0.02, 0.02), "", "0.0 (−2.0 to 2.0)"),
        (0.8182, "%", "81.8 %"),
        (np.float32(0.5), "points", "50.0 points"),
        (-0.0004, "%", "0.0 %"),
        (0.8182, "", "0.818"),
        (0.003119, "", "0.00312"),
        (9.999, "", "10.0"),
        (12345.6, "", "12,346"),
        (0.0, "", "0"),
        (-2.5, ".1", "−2.5"),
        (1022, "", "1,022"),
        (np.int64(7), "word", "seven"),
        (13, "word", "13"),
        (0.035, "seconds", "35 ms"),
        (2.04, "seconds", "2.0 s"),
        (80.4, "seconds", "80 s"),
        (840, "seconds", "14 minutes"),
        (9000, "seconds", "2.5 hours"),
        ("STT", "", "STT"),
    ],
)
def test_numbers_are_written_as_a_reader_expects(value: object, how: str, expected: str) -> None:
    assert written(value, how) == expected


@pytest.mark.parametrize("value, how", [(float("nan"), ""), (True, ""), (None, ""), ([1.0], "%"), (0.5, "percent")])
def test_what_is_no_number_is_refused(value: object, how: str) -> None:
    with pytest.raises(InputError):
        written(value, how)


def test_a_sentence_has_its_numbers_in_place() -> None:
    said = state(
        "Attention\n  brings {gap} points, {part.value:%} of {n} clips.", gap=GAP, part=GAP, n=1764, holds=True
    )
    assert str(said) == "Attention brings 12.2 (9.0 to 15.4) points, 12.2 % of 1,764 clips."


@pytest.mark.parametrize(
    "text",
    [
        "R3D18 and R(2+1)D lie {gap} apart",
        "by Eq. 9 of chapter 4, Figs. 2, 3 and 4 and Table 1, AU12 gains {gap}",
        "a 3-D convolution, VGG-13, F1 and CREMA-D gain {gap}",
        "see [the chapter](07_stt.ipynb): {gap}",
    ],
)
def test_digits_of_names_are_no_numbers(text: str) -> None:
    assert "12.2" in str(state(text, gap=GAP, holds=True))


@pytest.mark.parametrize(
    "text",
    [
        "12.2 points, not {gap}",
        "{gap} of 7 classes",
        "{gap} in `lr=0.1`",
        "Table 1 and 12 points, {gap}",
        "a UAR0.3 of {gap}",
        "$7 \\times 7$ places, {gap}",
    ],
)
def test_a_typed_number_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is typed"):
        state(text, gap=GAP, holds=True)


@pytest.mark.parametrize(
    "text, numbers, said",
    [
        ("it is {gap}", {"gap": GAP, "other": 1}, "no place for other"),
        ("it is {gap} or {other}", {"gap": GAP}, "no number for it: give other="),
        ("it is {}", {}, "no number for it"),
    ],
)
def test_numbers_and_places_must_match(text: str, numbers: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said) as trouble:
        state(text, holds=True, **numbers)
    assert "\n" not in str(trouble.value)


@pytest.mark.parametrize("holds", [None, "yes", 1, np.array([True])])
def test_what_holds_is_true_or_false(holds: object) -> None:
    with pytest.raises(InputError, match="True or False"):
        state("it is {gap}", gap=GAP, holds=holds)  # type: ignore[arg-type]


def test_an_untrue_sentence_ends_the_run_and_is_named() -> None:
    with pytest.raises(SentenceError, match=r"'Attention brings 12\.2 \(9\.0 to 15\.4\) points'"):
        state("Attention brings {gap} points", gap=GAP, holds=np.bool_(False))


def test_a_short_run_shows_it_and_says_that_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert miniature() is None
    monkeypatch.setenv("DFERLIB_QUICK", "1")
    assert "12.2" in str(state("it is {gap}", gap=GAP, holds=False))
    assert "short run" in str(miniature())


@pytest.mark.parametrize("quick, judged", [(True, False), (False, True)])
def test_the_parameter_of_the_notebook_comes_first(quick: bool, judged: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DFERLIB_QUICK", str(int(not quick)))
    shell = InteractiveShell()
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    shell.user_ns["QUICK"] = quick
    try:
        state("it is {gap}", gap=GAP, holds=False)
        assert not judged
    except SentenceError:
        assert judged


def test_jupyter_shows_prose_and_the_book_finds_what_has_a_name() -> None:
    one = state("It is {gap}.", gap=GAP, holds=True, name="gap")
    both = one + state("It is *{what}*.", what="so", holds=True) + state("Yes{x}", x="!", holds=True, name="yes")
    data, metadata = InteractiveShell().display_formatter.format(both)
    assert data["text/markdown"] == data["text/plain"] == "It is 12.2 (9.0 to 15.4). It is *so*. Yes!"
    assert metadata[METADATA] == {"sentences": {"gap": "It is 12.2 (9.0 to 15.4).", "yes": "Yes!"}}


def test_it_needs_no_torch() -> None:
    code = "import sys, dferlib.book.sentences; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def stated(tree: ast.Module) -> list[ast.Call]:
    """The calls of `state` in a cell."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "state"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_shows_what_it_states_and_says_when_it_is_a_miniature(notebook: Path) -> None:
    cells = [cell.source for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"]
    trees = [ast.parse(source) for source in cells]
    lost = [
        ast.unparse(call)
        for tree in trees
        for line in tree.body[:-1]
        if isinstance(line, ast.Expr)
        for call in stated(ast.Module([line], []))
    ]
    assert not lost, "only the last line of a cell is shown"
    if any(map(stated, trees)):
        assert "miniature()" in cells, "a chapter that states something has a cell `miniature()` at its head"
