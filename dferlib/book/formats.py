"""Numbers as they stand in a sentence."""

import math
import re
from numbers import Integral, Real
from typing import Protocol, runtime_checkable

from dferlib.errors import InputError

WORDS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
OURS = re.compile(r"(?P<sign>\+?)(?:\.(?P<digits>\d+))?(?P<unit>%|points)?")


@runtime_checkable
class Ranged(Protocol):
    """A value with the ends of its range, as `dferlib.evidence.statistics.Interval` is: parts of 1, or differences."""

    @property
    def value(self) -> float:
        """As measured."""

    @property
    def low(self) -> float:
        """Lower end."""

    @property
    def high(self) -> float:
        """Upper end."""


def written(value: object, how: str = "") -> str:
    """A value in words and digits.

    Args:
        value: a number, an interval in parts of 1, or a word that was computed.
        how: nothing for the usual: an interval in percent without a unit, "12.2 (9.0 to 15.4)"; a whole number,
            "1,022"; any other number with three digits that count, "0.818". "%" and "points" multiply by 100, write
            one decimal and the unit: "81.8 %". Before them, "+" asks for the sign and ".2" for two decimals. "seconds"
            is a time in the unit that suits it, "word" a small whole number as a word. Whatever else Python's `format`
            takes is for that.

    Raises:
        InputError: nothing of the kind can be written like that.
    """
    if isinstance(value, Ranged):
        return _interval(value, how)
    if isinstance(value, str) and not how:
        return value
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError(f"{value!r} cannot be written as {how or 'a number'}: give a number, an interval or a word")
    if not math.isfinite(float(value)):
        raise InputError(f"{float(value)} is not a number that a sentence can state")
    if how == "seconds":
        return _seconds(float(value))
    if how == "word":
        whole = int(value) if isinstance(value, Integral) else -1
        return WORDS[whole] if 0 <= whole < len(WORDS) else written(value)
    return _number(value, how)


def _interval(found: Ranged, how: str) -> str:
    """Value, unit and ends, as in 12.2 points (9.0 to 15.4)."""
    ours = OURS.fullmatch(how)
    bare, unit = (how.removesuffix(ours["unit"] or ""), ours["unit"]) if ours else (how, None)
    value, low, high = (
        written(end, f"{bare}%").removesuffix(" %") if ours else written(end, bare)
        for end in (float(found.value), float(found.low), float(found.high))
    )
    return f"{value} {unit} ({low} to {high})" if unit else f"{value} ({low} to {high})"


def _number(value: Real, how: str) -> str:
    if not how:
        return _minus(f"{int(value):,}" if isinstance(value, Integral) else _three(float(value)))
    if ours := OURS.fullmatch(how):
        sign, digits, unit = ours["sign"], int(ours["digits"] or 1), ours["unit"]
        number = round(float(value) * (100 if unit else 1), digits) + 0.0  # no minus before a zero
        return _minus(f"{number:{sign},.{digits}f}{f' {unit}' if unit else ''}")
    try:
        return _minus(format(value, how))
    except (ValueError, TypeError):
        raise InputError(f"{value!r} cannot be written as {how!r}: try %, points, seconds, word or .2f") from None


def _three(value: float) -> str:
    """Three digits that count, and all before the point."""
    if not value:
        return "0"
    size = math.floor(math.log10(abs(float(f"{value:.2e}"))))
    return f"{value:,.{max(0, 2 - size)}f}"


def _minus(text: str) -> str:
    """A minus sign as long as a plus."""
    return text.replace("-", "−")


def _seconds(value: float) -> str:
    for limit, unit, name in ((1, 1e-3, "ms"), (120, 1, "s"), (7200, 60, "minutes"), (math.inf, 3600, "hours")):
        if abs(value) < limit:
            number = value / unit
            return f"{number:.{int(abs(number) < 10 and name in ('s', 'hours'))}f} {name}"
    raise InputError(f"{value} is no time")
