"""How much of what a model gets right it owes to time: recall that is lost when a clip is shown otherwise.

Everybody brings one clip, or one of each class, so that people are what is drawn again. For the ways in which clips are
shown see `dferlib.evidence.using_time`.
"""

import numpy as np

from dferlib.errors import InputError
from dferlib.evidence.flips import draw_people
from dferlib.evidence.statistics import Interval, interval_of


def uar(right: np.ndarray, labels: np.ndarray, level: float = 0.95, seed: int = 0) -> Interval:
    """The unweighted average recall, with its interval over people.

    Args:
        right: (P,) or (P, K), of each person and clip 1 where the answer is right, 0 where not, or the mean of several.
        labels: of the same shape, the class of each clip.
        level: confidence.
        seed: of the draws.
    """
    return interval_of(*_uar(right, labels, seed), level)


def uar_lost(
    right: np.ndarray, otherwise: np.ndarray, labels: np.ndarray, level: float = 0.95, seed: int = 0
) -> Interval:
    """How much UAR the same people's clips lose where they are shown otherwise; arguments as for `order_score`."""
    (value, draws), (then, draws_then) = (_uar(one, labels, seed) for one in (right, otherwise))
    return interval_of(value - then, draws - draws_then, level)


def order_score(
    right: np.ndarray, otherwise: np.ndarray, labels: np.ndarray, level: float = 0.95, seed: int = 0
) -> Interval:
    """The part of what a model gets right above chance that it loses where clips are shown otherwise.

    With U the unweighted average recall on the clips as they are, U' on those shown otherwise, and C classes, it is
    (U - U') / (U - 1 / C): 0 where nothing is lost, 1 where what is left is chance, more where it is below chance.

    Args:
        right: (P,) or (P, K), of each person and clip 1 where the answer is right, 0 where not.
        otherwise: the same of the clips shown otherwise; the mean where they are shown in several ways.
        labels: of the same shape, the class of each clip; every class occurs.
        level: confidence.
        seed: of the draws of people. Near chance the interval is wide.

    Raises:
        InputError: nothing is right above chance, so that nothing can be lost.
    """
    chance = 1 / len(np.unique(labels))
    (value, draws), (then, draws_then) = (_uar(one, labels, seed) for one in (right, otherwise))
    if value <= chance:
        raise InputError(f"the UAR is {value:.3f}, which is chance: there is nothing to lose, and no order score")
    return interval_of((value - then) / (value - chance), (draws - draws_then) / (draws - chance), level)


def mean_over_people(values: np.ndarray, level: float = 0.95, seed: int = 0) -> Interval:
    """The mean of any numbers over people, with the interval of the bootstrap.

    Args:
        values: (P,), nan for people whom it does not concern. Where all are alike the interval has no width.
        level: confidence.
        seed: of the draws.
    """
    each = values[np.isfinite(values)]
    return interval_of(float(each.mean()), draw_people(len(each), seed) @ each / len(each), level)


def _uar(right: np.ndarray, labels: np.ndarray, seed: int) -> tuple[float, np.ndarray]:
    """UAR as measured, and in each draw of people (draws,)."""
    is_of = labels.reshape(len(labels), -1, 1) == np.unique(labels)  # (P, K, C)
    hits, totals = (right.reshape(len(right), -1, 1) * is_of).sum(1), is_of.sum(1)  # (P, C)
    times = draw_people(len(right), seed)
    again = (times @ hits) / np.maximum(times @ totals, 1)
    return float((hits.sum(0) / totals.sum(0)).mean()), again.mean(1)
