"""Sentences with numbers, computed where they stand.

`state` writes a sentence with its numbers in place and says under which condition it is true. Where it has stopped
being true, a full run of the chapter ends there, and so does the build of the book. A short run shows it and does not
judge: its numbers are those of a miniature, which `miniature` says at the head of the chapter.
"""

import os
import re
import sys
from dataclasses import dataclass, field
from string import Formatter
from typing import Any

import numpy as np

from dferlib.book.formats import written
from dferlib.errors import InputError

METADATA = "dferlib"  # of a cell's output: where the book finds the sentences that have names
NUMBER = r"\(?\d+(?:\.\d+)*[a-z]?\)?"
PLACE = r"(?:Eq\.|Fig\.|[Tt]able|[Cc]hapter|[Ss]ection|[Ee]xercise|[Aa]lgorithm|[Aa]ppendix|[Pp]art)"
PLACES = r"(?:Eqs\.|Figs\.|[Tt]ables|[Cc]hapters|[Ss]ections|[Ee]xercises)"
NAMES = (  # digits that are no measurement
    r"\]\([^)\s]*\)",  # where a link leads
    rf"\b{PLACE}\s{NUMBER}",
    rf"\b{PLACES}\s{NUMBER}(?:(?:,| and| to| or)\s{NUMBER})+",
    r"\bR\(2\+1\)D",
    r"\b[23]-?D\b",
    r"\b[A-Za-z][A-Za-z-]*\d\w*",  # R3D18, AU12, VGG-13, F1
)


class SentenceError(Exception):
    """What a chapter states is not so."""


@dataclass(frozen=True)
class Prose:
    """Sentences that a notebook and a page show as text. Two are added to stand in one paragraph.

    Attributes:
        text: Markdown.
        named: of those sentences in it that have names, the text by name.
    """

    text: str
    named: dict[str, str] = field(default_factory=dict)

    def __add__(self, other: "Prose") -> "Prose":
        return Prose(f"{self.text} {other.text}", {**self.named, **other.named})

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        """What Jupyter shows; the book looks into the metadata."""
        return {"text/markdown": self.text, "text/plain": self.text}, {METADATA: {"sentences": self.named}}


def state(text: str, /, *, holds: bool, name: str = "", **numbers: object) -> Prose:
    """A sentence with its numbers, true as long as `holds` is.

    Example::

        state("Attention brings {gap} points.", gap=gap, holds=gap.low > 0)

    Args:
        text: Markdown with a place in curly brackets for each number, `{gap}`, or `{gap:%}` to say how it is written;
            see `dferlib.book.formats.written`. A number that is typed is refused; names such as R3D18, Eq. 9 or
            chapter 4 are not.
        holds: whether the sentence is true, computed from the same numbers.
        name: so that another page can show the sentence, too.
        numbers: numbers, intervals (parts of 1), and words that were computed, by the name of their place.

    Returns:
        The sentence. The last line of a cell is shown; a name is found by the book only if it was.

    Raises:
        SentenceError: it is not true, and the run is not a short one.
        InputError: a number is typed, missing or not used; or `holds` is neither true nor false.
    """
    _refuse_typed_numbers(text)
    said = " ".join(_filled(text, numbers).split())
    if not isinstance(holds, bool | np.bool_):
        raise InputError(f"whether this holds must be True or False, not {holds!r}: {said!r}")
    if not holds and not is_quick():
        raise SentenceError(f"this does not hold any more: {said!r}")
    return Prose(said, {name: said} if name else {})


def _filled(text: str, numbers: dict[str, object]) -> str:
    """A text with its numbers in place."""
    parts, used, formatter = list[str](), set[str](), Formatter()
    for literal, place, how, _ in formatter.parse(text):
        parts.append(literal)
        if place is not None:
            name = re.split(r"[.\[]", place)[0]
            if name not in numbers:
                raise InputError(f"the sentence has a place {{{name}}} and no number for it: give {name or 'name'}=...")
            used.add(name)
            parts.append(written(formatter.get_field(place, (), numbers)[0], how or ""))
    if unused := sorted(set(numbers) - used):
        raise InputError(f"the sentence has no place for {', '.join(unused)}: write {{{unused[0]}}}, or leave it out")
    return "".join(parts)


def _refuse_typed_numbers(text: str) -> None:
    typed = "".join(literal for literal, *_ in Formatter().parse(text))
    for pattern in NAMES:
        typed = re.sub(pattern, " ", typed)
    if found := re.search(r"\S*\d\S*", typed):
        raise InputError(
            f"the number in {found.group()!r} is typed: write {{name}} for it and give name=..., in {text!r}"
        )


def is_quick() -> bool:
    """Whether this run is a short one: the parameter QUICK of the notebook, else the environment's DFERLIB_QUICK."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    parameter = shell.user_ns.get("QUICK") if shell is not None else None
    return bool(int(os.environ.get("DFERLIB_QUICK", "0"))) if parameter is None else bool(parameter)


def miniature() -> Prose | None:
    """For the head of a chapter: in a short run, a line that says so; else nothing."""
    if not is_quick():
        return None
    return Prose(
        "> **A miniature.** This is a short run, on a few small clips and with short trainings. Its numbers say "
        "nothing about the models, and its sentences are not judged by them."
    )
