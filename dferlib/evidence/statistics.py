"""How sure a result is: intervals over identities and seeds, and paired tests between two ways of doing it.

Clips of one person are alike, so that 1,000 clips of 72 people are no 1,000 independent trials. What is drawn again, or
swapped, is therefore a whole person with all clips; where runs of several seeds are given, seeds are drawn again too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtr
from scipy.stats import binomtest

from dferlib.errors import InputError
from dferlib.training.evaluation import Predictions

DRAWS = 5000


@dataclass(frozen=True)
class Interval:
    """A value and the range that holds it with the stated confidence. All are parts from 0 to 1, or their differences.

    Args:
        value: as measured.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """One way against another, on the same clips.

    Args:
        uar: UAR of the first minus that of the second.
        war: the same of WAR.
        p_uar: how probable a difference of the UAR as large as this is, in either direction, if nothing distinguished
            the two: the answers of the two are swapped for each person by chance.
        p_war: the same of WAR by McNemar's exact test, which counts every clip by itself; nan for several seeds.
    """

    uar: Interval
    war: Interval
    p_uar: float
    p_war: float


def interval(
    runs: Predictions | Sequence[Predictions], metric: str = "uar", level: float = 0.95, seed: int = 0
) -> Interval:
    """The bootstrap interval of a metric over test identities, and over seeds where there are several.

    Args:
        runs: of one model, or of the same model with several seeds; the value is then their mean.
        metric: "uar" or "war".
        level: confidence.
        seed: of the draws.

    Raises:
        InputError: the runs are not of the same clips.
    """
    hits, totals = _counts(_listed(runs))
    people, seeds = _draws(*hits.shape[:2], seed)
    found = _metric(metric, _again(hits, people, seeds), people @ totals)
    return interval_of(float(_metric(metric, hits.mean(0).sum(0), totals.sum(0))), found, level)


def compare(
    first: Predictions | Sequence[Predictions],
    second: Predictions | Sequence[Predictions],
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two models on the same clips, run by run where several seeds of each are given.

    Args:
        first: one run, or one for each seed.
        second: the same number, with the same seeds in the same order.
        level: confidence of the intervals.
        seed: of the draws.

    Raises:
        InputError: the runs are not of the same clips, or not equally many.
    """
    ours, theirs = _listed(first), _listed(second)
    one, other, totals = _paired(ours, theirs)
    gaps = _gaps(one, other, totals, seed)
    uar, war = (interval_of(*gaps[name], level) for name in ("uar", "war"))
    p_war = _mcnemar(ours[0], theirs[0]) if len(ours) == 1 else float("nan")
    return Comparison(uar, war, _swapped(one.mean(0), other.mean(0), totals, seed), p_war)


def draw_gaps(
    first: Predictions | Sequence[Predictions], second: Predictions | Sequence[Predictions], seed: int = 0
) -> dict[str, tuple[float, np.ndarray]]:
    """What `compare` takes its intervals from, for those who need them at several levels.

    Args:
        first: as for `compare`.
        second: as for `compare`.
        seed: of the draws.

    Returns:
        By "uar" and "war" the difference as measured, and as it is in each draw of people and seeds, (draws,).

    Raises:
        InputError: the runs are not of the same clips, or not equally many.
    """
    return _gaps(*_paired(_listed(first), _listed(second)), seed)


def interval_of(value: float, draws: np.ndarray, level: float) -> Interval:
    """The middle part of some draws (draws,), as large as `level` says, with the value as it was measured."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def expected_maximum(count: int) -> float:
    """The expected largest of so many independent standard normal numbers: what choosing the best of them adds.

    It is the integral of E x phi(x) Phi(x)^(E - 1) over all x, with E numbers, the normal density phi and its
    distribution function Phi. Of numbers correlated by rho, the largest is sqrt(1 - rho) times as high.

    Args:
        count: E, from 1 on.

    Raises:
        InputError: there are none to choose from.
    """
    if count < 1:
        raise InputError(f"the largest of {count} numbers: give at least 1")
    x, step = np.linspace(-12, 12, 4801, retstep=True)  # the sum is exact to rounding: the ends are 0, all is smooth
    return float((count * x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) * ndtr(x) ** (count - 1)).sum() * step)


def _listed(runs: Predictions | Sequence[Predictions]) -> list[Predictions]:
    found = [runs] if isinstance(runs, Predictions) else list(runs)
    for run in found[1:]:
        if not (np.array_equal(run.ids, found[0].ids) and np.array_equal(run.labels, found[0].labels)):
            raise InputError("the runs are of different clips: only runs on the same test set can be compared")
        if run.classes != found[0].classes:
            raise InputError(
                f"the runs tell other classes apart: {', '.join(found[0].classes)}; and {', '.join(run.classes)}"
            )
    return found


def _counts(runs: list[Predictions]) -> tuple[np.ndarray, np.ndarray]:
    """Right clips (runs, people, classes), and all clips (people, classes)."""
    _listed(runs)
    names, person = np.unique(runs[0].groups, return_inverse=True)
    labels, shape = runs[0].labels, (len(names), len(runs[0].classes))
    totals = np.zeros(shape)
    np.add.at(totals, (person, labels), 1)
    hits = np.zeros((len(runs), *shape))
    for count, run in zip(hits, runs, strict=True):
        np.add.at(count, (person, labels), run.predicted == labels)
    return hits, totals


def _paired(ours: list[Predictions], theirs: list[Predictions]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right clips (runs, people, classes) of both, and all clips (people, classes)."""
    if len(ours) != len(theirs):
        raise InputError(f"{len(ours)} runs against {len(theirs)}: give one of each for every seed")
    hits, totals = _counts([*ours, *theirs])
    one, other = np.split(hits, 2)
    return one, other, totals


def _gaps(one: np.ndarray, other: np.ndarray, totals: np.ndarray, seed: int) -> dict[str, tuple[float, np.ndarray]]:
    """The differences, measured and drawn, by metric."""
    people, seeds = _draws(*one.shape[:2], seed)
    found = {}
    for name in ("uar", "war"):
        gaps = _metric(name, _again(one, people, seeds), people @ totals)
        gaps -= _metric(name, _again(other, people, seeds), people @ totals)
        value = _metric(name, one.mean(0).sum(0), totals.sum(0)) - _metric(name, other.mean(0).sum(0), totals.sum(0))
        found[name] = (float(value), gaps)
    return found


@lru_cache(maxsize=4)  # a chapter compares many rows of one study
def _draws(runs: int, people: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each person (draws, people) and each run (draws, runs) is drawn; the runs as parts of 1."""
    rng = np.random.default_rng(seed)
    one = rng.multinomial(people, np.full(people, 1 / people), DRAWS).astype(float)
    other = rng.multinomial(runs, np.full(runs, 1 / runs), DRAWS) / runs
    for drawn in (one, other):
        drawn.setflags(write=False)
    return one, other


def _again(hits: np.ndarray, people: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Right clips of each draw (draws, classes)."""
    return np.einsum("dp,dr,rpc->dc", people, seeds, hits, optimize=True)


def _metric(name: str, hits: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """UAR or WAR of right clips and all clips (..., classes); a class that was not drawn is left out."""
    if name == "war":
        return hits.sum(-1) / totals.sum(-1)
    recalls = np.divide(hits, totals, out=np.full(hits.shape, np.nan), where=totals > 0)
    return np.nanmean(recalls, -1)


def _swapped(one: np.ndarray, other: np.ndarray, totals: np.ndarray, seed: int) -> float:
    """The permutation test: right clips (people, classes) of both, swapped for each person by chance."""
    everybody, middle = totals.sum(0), (one + other).sum(0) / 2
    gap = abs(_metric("uar", one.sum(0), everybody) - _metric("uar", other.sum(0), everybody))
    signs = np.random.default_rng(seed).choice([-0.5, 0.5], (DRAWS, len(one)))
    away = signs @ (one - other)  # of the two sums from their middle
    gaps = np.abs(_metric("uar", middle + away, everybody) - _metric("uar", middle - away, everybody))
    return float((1 + (gaps >= gap - 1e-12).sum()) / (1 + DRAWS))


def _mcnemar(one: Predictions, other: Predictions) -> float:
    right, wrong = one.predicted == one.labels, other.predicted == other.labels
    better, worse = int((right & ~wrong).sum()), int((~right & wrong).sum())
    return float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
