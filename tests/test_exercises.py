"""An answer to an exercise is called right when it is, and only then; and what a reader of true units can know."""

import numpy as np
import pytest

from dferlib.book import check
from dferlib.book.unit_reader import read_units


def test_no_answer_is_not_a_wrong_one() -> None:
    assert check(None, 3).text.startswith("**Not yet.**")


@pytest.mark.parametrize(
    "answer, wanted",
    [(3, 3.0), ([1, 2], np.array([1, 2])), ("anger", "anger"), (0.1 + 0.2, 0.3), (np.eye(2), np.eye(2)), ([], [])],
)
def test_a_right_answer_is_right(answer: object, wanted: object) -> None:
    assert check(answer, wanted, "look again").text == "**Right.**"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "answer, wanted, said",
    [
        (3.5, 3, "The largest difference is 0.5."),
        ([1, 2, 3], [1, 2], "The shape should be (2,), and yours is (3,)."),
        ([[1], [1, 2]], [1, 2], "different lengths"),
        ("fear", "anger", "look again"),
        (float("nan"), 3, "look again"),
        ("3", 3, "look again"),
    ],
)
def test_a_wrong_answer_is_told_what_is_wrong(answer: object, wanted: object, said: str) -> None:
    text = check(answer, wanted, "look again").text  # type: ignore[arg-type]
    assert text.startswith("**Not right.**")
    assert said in text and text.endswith("look again")


def clips(count: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Clips of five to nine frames; the class is a unit of the last frame."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    found = [rng.random((rng.integers(5, 10), 3)) for _ in labels]
    for clip, label in zip(found, labels, strict=True):
        clip[-1, 1] = label
    return found, labels


def test_the_reader_knows_what_is_in_the_chosen_frames_and_nothing_else() -> None:
    train, test = clips(120, 1), clips(100, 2)
    assert read_units(train, test, lambda n: np.array([0, n - 1]), error=0.05) > 0.95
    assert abs(read_units(train, test, lambda n: np.array([0, 1]), error=0.05) - 0.5) < 0.15


def test_an_error_hides_what_the_frames_tell() -> None:
    train, test = clips(120, 1), clips(100, 2)
    by_error = [read_units(train, test, lambda n: np.array([n - 1]), error) for error in (0.0, 0.5, 5.0)]
    assert by_error[0] == 1 > by_error[1] > by_error[2]
