"""A clip that plays under its patches: choose one, and see where it looks and what it votes for."""

import math
from collections.abc import Sequence

import numpy as np

from dferlib.book.controls import said, table
from dferlib.book.explorers import Interactive, explorer
from dferlib.book.panels import CYCLE
from dferlib.emotions import COLOURS, EMOTIONS
from dferlib.errors import InputError

DIGITS = 3


def patch_explorer(
    shown: Interactive,
    votes: np.ndarray,
    attention: np.ndarray,
    bias: Sequence[float] | np.ndarray,
    classes: Sequence[str] = EMOTIONS,
    *,
    first: int = 0,
    alt: str,
) -> Interactive:
    """A player whose picture is cut into patches: a click or the arrow keys choose one, and its track answers.

    For the chosen patch it shows what its tokens vote for, over all frames and in the one that is shown, and which
    frames the shown one attends to. Votes and attention are those of a network that keeps patches apart, as MSSTNet.

    Args:
        shown: a `player` of one clip of F frames.
        votes: of each token for each class, (F, P, C); their mean over all tokens, plus the bias, are the logits.
        attention: of each patch, from frame to frame, (P, F, F); rows sum to 1.
        bias: of the classes, (C,).
        classes: the names of the C classes.
        first: the patch at the beginning, row by row from 0.
        alt: what it shows, for those who do not see it.

    Returns:
        The figure.

    Raises:
        InputError: the shapes do not fit, or the patches do not make a square.
    """
    grid = _check(votes, attention, bias, classes, first)
    data = {
        "grid": grid,
        "first": first,
        "votes": votes.round(DIGITS).tolist(),
        "attention": attention.round(DIGITS).tolist(),
        "logits": (votes.mean((0, 1)) + np.asarray(bias)).round(DIGITS).tolist(),
        "classes": list(classes),
        "colours": [COLOURS.get(name, CYCLE[k % len(CYCLE)]) for k, name in enumerate(classes)],
    }
    body = (
        f'{shown.html}<div class="fim-live fim-sides"><div class="fim-votes"></div><div class="fim-looks"></div></div>'
        f"{said()}{_still(votes, grid, classes)}"
    )
    return explorer(body, data, "patching", alt=alt)


def _check(
    votes: np.ndarray, attention: np.ndarray, bias: Sequence[float] | np.ndarray, classes: Sequence[str], first: int
) -> int:
    """See that all fits; how many patches stand side by side."""
    frames, count, kinds = votes.shape
    grid = math.isqrt(count)
    if grid**2 != count or not 0 <= first < count:
        raise InputError(f"{count} patches with patch {first} chosen: give a square number of patches, and one of them")
    if attention.shape != (count, frames, frames) or len(classes) != kinds or len(bias) != kinds:
        raise InputError(
            f"votes {votes.shape}, attention {attention.shape}, {len(bias)} biases and {len(classes)} classes do not "
            "fit: give (F, P, C), (P, F, F), C and C"
        )
    return grid


def _still(votes: np.ndarray, grid: int, classes: Sequence[str]) -> str:
    """The votes of each patch, where scripts are off."""
    rows = [
        [f"row {row + 1}, column {column + 1}", *(f"{one:+.2f}" for one in votes[:, grid * row + column].mean(0))]
        for row in range(grid)
        for column in range(grid)
    ]
    return table("What each patch votes for, the mean over its frames", ("patch", *classes), rows)
