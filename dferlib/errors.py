"""The one exception that is meant for people."""

from collections.abc import Iterable, Sequence
from math import isfinite
from numbers import Integral, Real
from typing import Any


class InputError(ValueError):
    """Something that the caller gave is wrong.

    The message is one line that says what is wrong, where, and what to do about it. The command line prints it
    without a traceback and exits with status 1.
    """


def choose(kind: str, name: str, valid: Iterable[str]) -> str:
    """Return `name` if it is one of `valid`.

    Args:
        kind: what is being named, for the message ("model", "scale", "class").
        name: what the caller asked for.
        valid: the names that exist.

    Raises:
        InputError: `name` is not among them; the message lists the valid names.
    """
    names = list(valid)
    if name not in names:
        raise InputError(f"unknown {kind} {name!r}: choose one of {', '.join(names)}")
    return name


def of_kind(key: str, value: Any, default: Any) -> Any:
    """Return `value` in Python's own types, which a file can hold, if it is of the same kind as a default.

    Args:
        key: what the value is of, for the message.
        value: what the caller gave.
        default: True or False, a whole number, a number, or several; any other kind is not looked at.

    Raises:
        InputError: `value` is of another kind, or a number that is not finite.
    """
    number = isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
    whole = number and isinstance(value, Integral)
    several = isinstance(value, Sequence) and not isinstance(value, str)
    kinds: tuple[tuple[type, bool, str], ...] = (
        (bool, isinstance(value, bool), "True or False"),  # before int, of which it is one
        (int, whole, "a whole number"),
        (float, number, "a number"),
        (tuple, several, "numbers in brackets"),
    )
    for kind, fits, wanted in kinds:
        if isinstance(default, kind):
            if not fits:
                raise InputError(f"{key} is {value!r}: give {wanted}")
            break
    if whole:
        return int(value)
    return float(value) if number and isinstance(default, float) else value
