"""What it is worth to choose the epoch on the test clips, read from the courses of finished trainings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from dferlib.evidence.statistics import Interval


@dataclass(frozen=True)
class Choice:
    """Test results of some folds under three rules, in parts of 1, with t-intervals over the folds.

    Attributes:
        best: each fold's best test epoch.
        last: the last epoch.
        late: the mean of the late epochs.
        over_last: best above last, fold by fold.
        over_late: best above late, fold by fold.
    """

    best: Interval
    last: Interval
    late: Interval
    over_last: Interval
    over_late: Interval


@dataclass(frozen=True)
class Jitter:
    """How the test result of a training moves from epoch to epoch once it has ceased to improve.

    Attributes:
        deviation: of an epoch from the mean of its training, in parts of 1.
        sampling: deviation of the noise that the choice of test clips brings, sqrt(w (1 - w) / clips), in parts of 1.
        correlation: of this noise between two epochs of a training, 1 - (deviation / sampling)^2.
        neighbours: correlation between what an epoch and the next one deviate.
    """

    deviation: float
    sampling: float
    correlation: float
    neighbours: float


def over_folds(values: np.ndarray, level: float = 0.95) -> Interval:
    """The mean over folds with its t-interval.

    Args:
        values: one of each fold, at least two.
        level: confidence.
    """
    mean, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    reach = float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * error
    return Interval(mean, mean - reach, mean + reach)


def choice(course: np.ndarray, late: int = 20) -> Choice:
    """What three rules give.

    Args:
        course: test results after every epoch (epochs, folds), in parts of 1.
        late: how many epochs at the end are late.
    """
    best, last, mean = course.max(0), course[-1], course[-late:].mean(0)
    return Choice(*map(over_folds, (best, last, mean, best - last, best - mean)))


def jitter(course: np.ndarray, clips: Sequence[int], late: int = 20) -> Jitter:
    """How much the late epochs move, and what of it they share.

    If a model does not improve any more, its result after an epoch is the truth and noise. What of the noise all epochs
    share, since they are tested on the same clips, does not show within a training; the rest is what is seen to move.

    Args:
        course: test results after every epoch (epochs, folds), in parts of 1.
        clips: test clips of each fold.
        late: how many epochs at the end are late.
    """
    end = course[-late:]
    away = end - end.mean(0)
    seen = float((away**2).sum() / (away.size - away.shape[1]))
    noise = float(np.mean(end.mean(0) * (1 - end.mean(0)) / np.asarray(clips)))
    beside = float((away[1:] * away[:-1]).sum() / (away**2).sum())
    return Jitter(seen**0.5, noise**0.5, 1 - seen / noise, beside)
