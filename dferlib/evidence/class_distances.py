"""How far apart the clips of different classes are in the space of features, against those of the same class.

Two clips of one person are alike whatever they show, so that only pairs of different people count. People are what is
drawn again, with all their clips; a pair of people then counts as often as both were drawn.
"""

import numpy as np
from sklearn.metrics import pairwise_distances, silhouette_samples

from dferlib.evidence.drawn import Drawn, ratio_of_sums
from dferlib.evidence.flips import draw_people


def class_ratio(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, only: int | None = None, seed: int = 0
) -> Drawn:
    """The mean distance between clips of different classes, by that between clips of the same class.

    Distances are Euclidean, so that the ratio does not care how large features are. 1: classes are nothing to it.

    Args:
        features: (N, D).
        labels: (N,) int64.
        groups: (N,) who is seen; pairs of one person do not count.
        only: a class; pairs that have no clip of it are left out.
        seed: of the draws of people.
    """
    apart = pairwise_distances(features)
    same = labels[:, None] == labels
    some = np.ones(len(labels), bool) if only is None else labels == only
    means = [_mean_over_pairs(apart, some[:, None] & which, groups, seed) for which in (~same, same)]
    return Drawn(means[0].value / means[1].value, means[0].draws / means[1].draws)


def _mean_over_pairs(apart: np.ndarray, which: np.ndarray, groups: np.ndarray, seed: int) -> Drawn:
    """The mean distance over some pairs of clips (N, N) of different people."""
    _, person = np.unique(groups, return_inverse=True)
    is_of = np.eye(person.max() + 1)[person]  # (N, P)
    sums, counts = (is_of.T @ (values @ is_of) for values in (apart * which, which.astype(float)))
    for one in (sums, counts):
        np.fill_diagonal(one, 0)
    times = draw_people(len(sums), seed)
    again = ((times @ sums) * times).sum(1) / ((times @ counts) * times).sum(1)
    return Drawn(float(sums.sum() / counts.sum()), again)


def silhouette(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, only: int | None = None, seed: int = 0
) -> Drawn:
    """The mean silhouette: of each clip (b - a) / max(a, b), the mean distance a to its own class, b to the next one.

    1: classes are tight and far apart; 0: a clip is as near to the next class as to its own. What is drawn again is
    who is asked; whom their clips are compared with is everybody.

    Args:
        features: (N, D).
        labels: (N,) int64.
        groups: (N,) who is seen.
        only: a class; the mean is then over its clips.
        seed: of the draws of people.

    Source: Rousseeuw 1987.
    """
    _, person = np.unique(groups, return_inverse=True)
    each, some = silhouette_samples(features, labels), np.ones(len(labels), bool) if only is None else labels == only
    sums, counts = (np.bincount(person[some], weights, person.max() + 1) for weights in (each[some], None))
    return ratio_of_sums(sums, counts, seed)
