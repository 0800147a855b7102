"""No measured number is typed into the prose of a chapter: cells compute it, or read it from a record."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
WORDS = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty|seventy"
NUMBER = rf"(?:\d[\d.,]*|\b(?:{WORDS}|eighty|ninety|half|tenths?|quarters?)(?:\s+(?:of\s+)?an?)?)"
UNIT = r"(?:%|per\s?cent\b|(?:percentage\s)?points?\b|[GM]MACs?\b|[GMT]?FLOPs?\b|[kMGT]i?B\b|ms\b|milliseconds?\b)"
MEASURE = r"(?:UAR|WAR|recall|precision|accuracy|correlation|calibration error|loss|p)"
MEASURED = (
    rf"{NUMBER}[\s\-]?{UNIT}",  # 81.8 %, two tenths of a percent, three points
    rf"(?:takes?|took|takes? only|runs? in|within)\s(?:about\s|some\s)?{NUMBER}\s(?:seconds?|minutes?|hours?)\b",
    rf"\b{MEASURE}\s(?:is|was|of|=|reaches|reached|rises to|falls to|near|about)\s(?:about\s|some\s)?\d",
)
NO_PROSE = (  # code, formulas, roles such as {doc}`..`, and the line that says how long a chapter takes
    r"```(?!\{dropdown\}).*?```",
    r"\$\$.*?\$\$",
    r"\$[^$]*\$",
    r"\{[\w:]+\}`[^`]*`",
    r"`[^`\n]*`",
    r"\*\*Time\.\*\*.*?(?=\n\n|\Z)",
)
AGREED = (  # levels and limits that somebody chose, not found
    r"95 (?:%|percent)",
    r"power of 80 %",
    r"100 %",
)
SUPPOSED = {  # by chapter: examples that are made up, and points that are places
    "03": ("Five points", "68 points", "five points"),
    "04": (
        "90 %",
        "one point",  # to which width?
        "a WAR of 60 % and a UAR of 40 %",
        "a recall of disgust of 0 % and of 3 %",
        "almost 3 %",
    ),
    "07": ("A correlation near 1",),
    "08": ("it says 70 %", "in 70 %", "99.9 %", "by one point"),
    "10": ("0.3 points",),
    "11": ("half a point",),
    "12": ("0.1 %", "8 GFLOPs"),
    "14": ("90 %",),
    "17": ("1.2 and 0.4 points", "0.6 points"),
}


def typed(text: str, supposed: tuple[str, ...] = ()) -> list[str]:
    """The measured numbers in a text, as they stand there."""
    for pattern in (*NO_PROSE, *AGREED, *map(re.escape, supposed)):
        text = re.sub(pattern, " ", text, flags=re.DOTALL)
    return [found.group() for pattern in MEASURED for found in re.finditer(pattern, text)]


@pytest.mark.parametrize(
    "text",
    [
        "STT reaches 81.8 % on the test clips",
        "the control is 12 points\nbelow it",
        "the gap is half a point",
        "within two tenths of a percent",
        "a layer of 1.2 GMAC",
        "a training took 80 seconds",
        "its UAR is 0.82 here",
        "a correlation of about 0.7",
        "it needs 1.5 GB",
        "```{dropdown} 1. Why?\nBecause it loses 3 points.\n```",
    ],
)
def test_a_typed_number_is_found(text: str) -> None:
    assert typed(text)


@pytest.mark.parametrize(
    "text",
    [
        "sixteen frames of 112 px",
        "an interval of 95 %",
        "the table prints it in percent",
        "a weight of $0.5$ and `lr=0.1 %`",
        "**Time.** The chapter takes 5 minutes.",
        "one point is an anecdote",
    ],
)
def test_settings_and_formulas_are_not_taken_for_measurements(text: str) -> None:
    assert not typed(text, supposed=("one point",))


def stated(code: str) -> list[str]:
    """The texts of the sentences that a cell states, without the numbers that it fills in, and that of its quiz.

    See `dferlib.book.state` and `dferlib.book.quiz`.
    """
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call) and node.args]
    texts = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id in ("state", "quiz")]
    return [re.sub(r"\{[^}]*\}", "…", text.value) for text in texts if isinstance(text, ast.Constant)]


def test_a_number_in_words_is_found_in_a_computed_sentence() -> None:
    [text] = stated('state("It gains {gap} points, not "\n    "three points", gap=gap, holds=True)')
    assert typed(text) == ["three points"]


def test_a_typed_number_is_found_in_a_quiz() -> None:
    [text] = stated('quiz("""\n? How much?\n+ Some. | It gains 3.1 points.\n""")')
    assert typed(text) == ["3.1 points"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_measured_number_is_typed_into_prose(notebook: Path) -> None:
    found = []
    for cell in nbformat.read(notebook, 4).cells:
        shown = cell.metadata.get("mystnb", {})
        texts = [shown.get("figure", {}).get("caption", ""), shown.get("image", {}).get("alt", "")]
        texts += [cell.source] if cell.cell_type == "markdown" else stated(cell.source)
        found += [number for text in texts for number in typed(text, SUPPOSED.get(notebook.stem[:2], ()))]
    assert not found, "let a cell compute and print these, or read them from a record (or from results/reported.csv)"
