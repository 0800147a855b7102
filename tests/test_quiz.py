"""The quizzes: what each chapter asks, and that a page answers by mouse, by keyboard, without scripts and on paper."""

import ast
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from test_player import Shown, shown  # noqa: F401
from test_site import browser  # noqa: F401

from dferlib.book import quiz
from dferlib.book.quiz import Question, read_quiz
from dferlib.errors import InputError

CHAPTERS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
TEXT = """
? What does UAR weigh alike, if `F < 3`?
- All clips. | That is WAR: a *frequent* class counts more.
+ All classes. | It is the mean of their recalls, 100 % at most.
- All people. | A person with many clips counts more.

? Is 2 a prime number?
+ Yes. | Only 1 and 2 divide it.
- No, it is even. | Even numbers are divided by 2, and so is 2: by itself.
- No, it is too small. | There is no smallest size but that 1 is none.
- Nobody knows. | One has only to try.
"""
site = pytest.mark.site
Open = Callable[..., Shown]


def asked(notebook: Path) -> list[list[Question]]:
    """The quizzes of a chapter. Their cells are hidden on the page."""
    found = []
    for cell in nbformat.read(notebook, 4).cells:
        for node in ast.walk(ast.parse(cell.source)) if cell.cell_type == "code" else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "quiz":
                assert cell.metadata.tags == ["remove-input"]
                found.append(read_quiz(ast.literal_eval(node.args[0])))
    return found


@pytest.mark.parametrize("notebook", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_asks_and_answers_what_it_set_out_to_teach(notebook: Path) -> None:
    [questions] = asked(notebook)
    assert len(questions) >= 3
    assert len({one.right for one in questions}) > 1, "the right answers all stand at one place"
    said = "\n".join(cell.source for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "markdown")
    goals, answers = (
        re.search(rf"{head}\n(?:.*\n)*?((?:- .*\n)+)", said)[1].count("\n")  # type: ignore[index]
        for head in ("What you will learn", r"## Summary\n\nWhat you were to learn, answered:")
    )
    assert answers >= min(goals, 4)


def test_neither_place_nor_length_gives_the_right_answer_away() -> None:
    questions = [one for notebook in CHAPTERS for some in asked(notebook) for one in some]
    places = Counter(one.right for one in questions)
    assert all(places[place] > len(questions) / 5 for place in range(3))
    lengths = [[len(choice.text) for choice in one.choices] for one in questions]
    longest = sum(all[one.right] == max(all) for one, all in zip(questions, lengths, strict=True))
    assert longest < len(questions) / 2


def test_a_quiz_is_read_as_it_stands() -> None:
    first, second = read_quiz(TEXT)
    assert (first.right, second.right, len(second.choices)) == (1, 0, 4)
    assert first.choices[2].reason == "A person with many clips counts more."
    assert [choice.is_right for choice in first.choices] == [False, True, False]


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "needs a question"),
        ("+ Yes. | So it is.", "a quiz has lines"),
        ("? Why?\n- Because.", "a quiz has lines"),
        ("? Why?\nBecause. | So it is.", "a quiz has lines"),
        ("? Why?\n- A. | a\n+ B. | b", "give 3 or 4 choices"),
        ("? Why?\n- A. | a\n- B. | b\n- C. | c", "one of them with"),
        ("? Why?\n- A. | a\n+ B. | b\n+ C. | c", "one of them with"),
        ("? Why?\n" + "- A. | a\n" * 4 + "+ B. | b", "give 3 or 4 choices"),
    ],
)
def test_what_is_no_quiz_is_told(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        quiz(text)


def verdicts(one: Shown) -> list[str]:
    return one.page.locator(".fim-why:not(:empty)").all_inner_texts()


@site
def test_a_click_answers_at_its_place_in_words(shown: Open) -> None:  # noqa: F811
    one = shown(quiz(TEXT).html, quiz(TEXT).html)
    said = one.page.locator(".fim-said").first
    assert said.inner_text().startswith("Choose an answer")
    first = one.page.get_by_role("group", name="What does UAR weigh alike, if F < 3?").first
    wrong, right = (first.get_by_role("button", name=name) for name in ("All clips.", "All classes."))
    wrong.click()
    assert verdicts(one) == ["✗ Not right. That is WAR: a frequent class counts more."]
    assert said.inner_text() == "0 of 2 right."
    right.click()
    right.click()
    assert verdicts(one)[1:] == ["✓ Right. It is the mean of their recalls, 100\xa0% at most."]
    assert said.inner_text() == "1 of 2 right, none of them at the first try."
    assert [button.get_attribute("aria-pressed") for button in first.get_by_role("button").all()] == [
        "true",
        "true",
        "false",
    ]
    told, button = one.page.locator("li.right .fim-why"), right.bounding_box()
    box = told.bounding_box()
    assert box and button and 0 <= box["y"] - button["y"] - button["height"] < 20
    assert told.get_attribute("aria-live") == said.get_attribute("aria-live") == "polite"
    assert one.page.evaluate("[...document.querySelectorAll('.fim')].map(one => one.fim.right)") == [1, 0]
    assert not one.wrong


@site
def test_the_keyboard_answers_and_is_seen(shown: Open) -> None:  # noqa: F811
    one = shown(quiz(TEXT).html)
    one.page.keyboard.press("Tab")
    one.page.keyboard.press("Tab")
    assert one.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    one.page.keyboard.press("Enter")
    one.page.keyboard.press("Tab")
    one.page.keyboard.press("Tab")
    one.page.keyboard.press("Space")
    assert [text.split(".")[0] for text in verdicts(one)] == ["✓ Right", "✓ Right"]
    assert one.page.locator(".fim-said").inner_text() == "2 of 2 right, 2 of them at the first try."
    assert not one.wrong


@site
def test_without_scripts_and_on_paper_each_question_has_its_answer(shown: Open) -> None:  # noqa: F811
    plain, paper = shown(quiz(TEXT).html, scripts=False), shown(quiz(TEXT).html)
    paper.page.emulate_media(media="print")
    for one in (plain, paper):
        folds = one.page.locator("details")
        assert folds.count() == one.page.locator("details:visible").count() == 2
        answer = folds.nth(1).locator("li").first
        assert not answer.is_visible()
        folds.nth(1).evaluate("one => { one.open = true; }")  # as a click does, and whoever prints the book
        assert answer.inner_text() == "A is right. Only 1 and 2 divide it."
        assert one.page.locator(".fim-choices li:visible").count() == 7
        assert not one.page.locator(".fim-said").is_visible()
    assert not plain.page.locator("button").count()


@site
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_light_and_dark_wide_and_narrow(width: int, scheme: str, shown: Open) -> None:  # noqa: F811
    one = shown(quiz(TEXT).html, scheme=scheme, width=width)
    for button in one.page.get_by_role("button").all():
        button.click()
        box = button.bounding_box()
        assert box and box["height"] >= 36 and box["x"] >= 0 and box["x"] + box["width"] <= width
    assert one.page.evaluate("document.documentElement.scrollWidth") <= width
    for selector in ("legend", "li.right .fim-why b", "li.wrong .fim-why b"):
        ink = one.page.locator(selector).first.evaluate("one => getComputedStyle(one).color")
        assert contrast(ink, scheme) > 4.5, selector
    assert not one.wrong


def contrast(ink: str, scheme: str) -> float:
    """WCAG's contrast of a colour on the browser's own page."""
    numbers = [float(part) for part in re.findall(r"[\d.]+", ink.removeprefix("color(srgb"))[:3]]
    parts = numbers if ink.startswith("color(srgb") else [part / 255 for part in numbers]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    light = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    page = {"light": 1.0, "dark": ((18 / 255 + 0.055) / 1.055) ** 2.4}[scheme]
    return (max(light, page) + 0.05) / (min(light, page) + 0.05)
