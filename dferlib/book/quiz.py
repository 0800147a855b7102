"""Questions at the end of a chapter: a click on an answer says at once whether it is right, and why.

The script takes its words from the HTML. Where scripts are off, and on paper, the answer to each question is folded
below it.
"""

import html
import re
from dataclasses import dataclass

from dferlib.book.explorers import Interactive, explorer
from dferlib.errors import InputError

LETTERS = "ABCD"
FEWEST = 3  # choices
REASON = " | "


@dataclass(frozen=True)
class Choice:
    """One of the answers that a question offers.

    Attributes:
        text: the answer.
        reason: why it is right or wrong.
        is_right: which of the two.
    """

    text: str
    reason: str
    is_right: bool


@dataclass(frozen=True)
class Question:
    """A question and its choices, of which one is right."""

    text: str
    choices: tuple[Choice, ...]

    @property
    def right(self) -> int:
        """The place of the right choice, from 0 on."""
        return [choice.is_right for choice in self.choices].index(True)


def quiz(text: str) -> Interactive:
    """Questions that answer where they stand, by mouse and by keyboard.

    Example::

        quiz('''
        ? What does UAR weigh alike?
        - All clips. | That is WAR: a frequent class counts more.
        + All classes. | It is the mean of their recalls.
        - All people. | A person with many clips counts more, in both.
        ''')

    Args:
        text: a line with `?` for each question, below it a line for each of three or four choices, `+` before the one
            that is right and `-` before the others, each with the reason behind ` | `. In it `code` and *emphasis*.

    Raises:
        InputError: a line is none of these, or a question has not three or four choices with exactly one right.
    """
    questions = read_quiz(text)
    body = "".join(_markup(number, one) for number, one in enumerate(questions, 1))
    said = '<p class="fim-said fim-live" role="status" aria-live="polite"></p>'
    data = [one.right for one in questions]
    return explorer(body + said, data, "quiz", alt=f"Quiz with {len(questions)} questions")


def read_quiz(text: str) -> list[Question]:
    """The questions in the text of a quiz, see `quiz`.

    Raises:
        InputError: as `quiz` does.
    """
    asked = list[tuple[str, list[Choice]]]()
    for line in filter(None, map(str.strip, text.splitlines())):
        mark, _, rest = line.partition(" ")
        said, _, reason = (part.strip() for part in rest.partition(REASON))
        if mark == "?" and rest:
            asked.append((rest, []))
        elif asked and mark in ("+", "-") and said and reason:
            asked[-1][1].append(Choice(said, reason, mark == "+"))
        else:
            raise InputError(
                f"a quiz has lines '? question', then '+ right | reason' and '- wrong | reason', not {line!r}"
            )
    for question, choices in asked:
        if not FEWEST <= len(choices) <= len(LETTERS) or sum(choice.is_right for choice in choices) != 1:
            raise InputError(f"give {FEWEST} or {len(LETTERS)} choices, one of them with +, to {question!r}")
    if not asked:
        raise InputError("a quiz needs a question: a line that begins with '? '")
    return [Question(question, tuple(choices)) for question, choices in asked]


def _markup(number: int, one: Question) -> str:
    """A question with its choices, and its answer folded below, where scripts are off."""
    choices = reasons = ""
    for letter, choice in zip(LETTERS, one.choices, strict=False):
        verdict = f"{letter} is {'right' if choice.is_right else 'not right'}."
        choices += f"<li><b>{letter}</b> <span>{_inline(choice.text)}</span></li>"
        reasons += f"<li><b>{verdict}</b> <span>{_inline(choice.reason)}</span></li>"
    return (
        f'<fieldset><legend>{number}. {_inline(one.text)}</legend><ul class="fim-choices">{choices}</ul>'
        f'<details class="fim-still"><summary>Answer</summary><ul>{reasons}</ul></details></fieldset>'
    )


def _inline(text: str) -> str:
    """HTML of a text with `code` and *emphasis*."""
    coded = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", coded).replace(" %", "&nbsp;%")
