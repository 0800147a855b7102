"""The one exception that is meant for people."""

from collections.abc import Iterable


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
