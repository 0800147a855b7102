"""The fit of rendered people to real ones: how their distances answer to their shape, and where people's lie.

Both are linear models by least squares. Few people were photographed, so what a group of them adds is drawn towards
nothing (ridge regression), and their covariance towards an even one (Ledoit and Wolf 2004). What is drawn is meant for
people who are not among them: their spread is that of a prediction, not of the sample.

Faces do not answer quite linearly, and shapes have their limits. So the fit is repeated on people drawn from the first,
and then corrected: what people drawn from it miss of the mean and the covariance is added to what is drawn.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.covariance import LedoitWolf

from dferlib.makefaces.assets import load_head
from dferlib.makefaces.identity import Identity
from dferlib.makefaces.proportions import Proportions, amounts_of, changes_of, decisive, groups_of, spreads, traits_of

GROUP_RIDGE = 1.0  # in units of a person: a group of four is believed by four fifths
UNLIKELY = 0.1  # of people's variance: what a distance may miss if the face would be unusual otherwise


def fit(people: list[Identity], rendered: np.ndarray, photographed: pd.DataFrame, real: np.ndarray) -> Proportions:
    """Find what `Proportions` holds.

    Args:
        people: N rendered people.
        rendered: (N, 15) their distances.
        photographed: the groups of M photographed people: the columns of `photographs.read_people`.
        real: (M, 15) their distances.
    """
    names = load_head().shape_names
    amounts = np.stack([amounts_of(person.shape, person.brow_lifts, names) for person in people])
    traits = np.stack([traits_of(p.female, p.age, p.weight, p.ancestry) for p in people])
    moved = decisive(changes_of(names))
    both = np.concatenate([amounts[:, moved], traits], 1)
    coefficients, *_ = np.linalg.lstsq(both, rendered, rcond=None)
    response, expected = np.zeros((len(moved), rendered.shape[1])), coefficients[moved.sum() :]
    response[moved] = coefficients[: moved.sum()]
    mean, covariance = people_of(photographed, real)
    error = rendered - both @ coefficients  # what the shape does not decide is there anyway
    wanted = covariance - error.T @ error / (len(people) - both.shape[1])
    variance = spreads(changes_of(names))[:, None] ** 2
    unit = np.sqrt(np.diag(covariance))  # a distance that varies little counts as much as one that varies much
    answer = response / unit
    step = variance * answer @ np.linalg.inv(answer.T @ (variance * answer) + UNLIKELY * np.eye(len(unit))) / unit
    return Proportions(response, expected, step, mean, _factor(wanted))


def correct(
    before: Proportions, people: list[Identity], rendered: np.ndarray, photographed: pd.DataFrame, real: np.ndarray
) -> Proportions:
    """Add to what is drawn what people drawn from `before` miss of the mean and the covariance; see `fit`."""
    mean, covariance = people_of(photographed, real)
    groups = np.stack([groups_of(p.female, p.ancestry) for p in people])
    drawn, *_ = np.linalg.lstsq(groups, rendered, rcond=None)
    about = rendered - groups @ drawn
    covariance += before.factor @ before.factor.T - about.T @ about / (len(people) - groups.shape[1])
    return replace(before, mean=before.mean + mean - drawn, factor=_factor(covariance))


def _factor(covariance: np.ndarray) -> np.ndarray:
    """What, times normal numbers, has this covariance, or the nearest one that there can be."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(values.clip(min=0))


def people_of(photographed: pd.DataFrame, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean distances (G, 15) of people, of all and of each group more, and the covariance (15, 15) about these."""
    groups = photographed[["male", "african", "asian"]].to_numpy()
    design = np.concatenate([np.ones((len(groups), 1)), groups], 1)
    solved = np.linalg.solve(design.T @ design + np.diag([0.0] + [GROUP_RIDGE] * groups.shape[1]), design.T)
    mean, freedom = solved @ real, len(real) - np.trace(design @ solved)
    about = real - design @ mean
    scale = about.std(0)
    shrunk = LedoitWolf(assume_centered=True).fit(about / scale).covariance_
    # of a new person: t distributed with so much freedom, about a mean that is itself uncertain
    predictive = freedom / (freedom - 2) * (1 + 1 / len(real))
    return mean, shrunk * np.outer(scale, scale) * len(real) / freedom * predictive
