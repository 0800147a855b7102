"""Numbers as measured and as they are in each draw of people, so that differences are paired: the same people again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dferlib.evidence.flips import draw_people
from dferlib.evidence.statistics import Interval, interval_of


@dataclass(frozen=True)
class Drawn:
    """A number as measured, and in each draw of the same people.

    Attributes:
        value: as measured.
        draws: (draws,); two numbers with the same seed have the same people in each.
    """

    value: float
    draws: np.ndarray

    def __sub__(self, other: "Drawn") -> "Drawn":
        return Drawn(self.value - other.value, self.draws - other.draws)

    def interval(self, level: float = 0.95) -> Interval:
        """The value and the range that holds it."""
        return interval_of(float(self.value), self.draws, level)


def mean_of(numbers: Sequence[Drawn]) -> Drawn:
    """The mean of several numbers about the same people, draw by draw."""
    return Drawn(float(np.mean([it.value for it in numbers])), np.mean([it.draws for it in numbers], 0))


def ratio_of_sums(above: np.ndarray, below: np.ndarray, seed: int = 0) -> Drawn:
    """The sum of one number over people, by that of another.

    Args:
        above: (P,) of each person.
        below: (P,), such as how many clips there are.
        seed: of the draws of people.
    """
    times = draw_people(len(above), seed)
    return Drawn(float(above.sum() / below.sum()), (times @ above) / (times @ below))
