"""Answers to exercises: whether one is there yet, and whether it is right."""

import numpy as np
import numpy.typing as npt

from dferlib.book.sentences import Prose

NOT_YET = "**Not yet.** Write your answer into the cell above, and run both again."


def check(answer: npt.ArrayLike | None, wanted: npt.ArrayLike, hint: str = "", within: float = 1e-5) -> Prose:
    """Say whether an answer to an exercise is right.

    Example::

        check(my_mean([1, 2, 6]), np.mean([1, 2, 6]), "Did you divide by the length?")

    Args:
        answer: what the reader's code gives: a number, a word, or any array; None as long as there is none.
        wanted: what it should be.
        hint: what to look at where it is not.
        within: how far numbers may lie apart, absolutely and in parts of what is wanted.
    """
    if answer is None:
        return Prose(NOT_YET)
    try:
        given, right = np.asarray(answer), np.asarray(wanted)
    except ValueError:  # rows of different lengths
        return _wrong("Your answer is not an array: its rows have different lengths.", hint)
    if given.shape != right.shape:
        return _wrong(f"The shape should be {right.shape}, and yours is {given.shape}.", hint)
    if right.dtype.kind in "US" or given.dtype.kind not in "biufc":
        is_right, found = bool(np.all(given == right)), ""
    else:
        is_right = bool(np.allclose(given, right, rtol=within, atol=within))
        found = f"The largest difference is {np.abs(given - right.astype(float)).max():.3g}." if right.size else ""
    return Prose("**Right.**") if is_right else _wrong(found, hint)


def _wrong(found: str, hint: str) -> Prose:
    return Prose(" ".join(part for part in ("**Not right.**", found, hint) if part))
