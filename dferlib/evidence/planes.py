"""What a picture of features in the plane keeps: which clips are neighbours, in the space and in layouts of it."""

import numpy as np
from scipy.spatial import ConvexHull
from sklearn.neighbors import NearestNeighbors

from dferlib.errors import InputError

NEIGHBOURS = 10


def nearest(points: np.ndarray, count: int = NEIGHBOURS) -> np.ndarray:
    """The nearest other points of each of N points (N, D): their indices (N, count), the nearest first.

    Raises:
        InputError: there are not so many others.
    """
    if count >= len(points):
        raise InputError(f"{count} neighbours of {len(points)} points: give fewer than there are points")
    return NearestNeighbors(n_neighbors=count).fit(points).kneighbors(return_distance=False)


def shared_neighbours(one: np.ndarray, other: np.ndarray, count: int = NEIGHBOURS) -> np.ndarray:
    """Which part of each clip's nearest neighbours are the same in two spaces, (N,) from 0 to 1.

    By chance it is count / (N - 1).

    Args:
        one: (N, D), features or a layout.
        other: (N, E) of the same clips.
        count: of neighbours.
    """
    both = zip(nearest(one, count), nearest(other, count), strict=True)
    return np.array([len(np.intersect1d(*pair)) / count for pair in both])


def same_class(points: np.ndarray, labels: np.ndarray, count: int = NEIGHBOURS) -> np.ndarray:
    """Which part of each point's nearest neighbours is of its class, (N,)."""
    return (labels[nearest(points, count)] == labels[:, None]).mean(1)


def clumping(points: np.ndarray) -> float:
    """How clumped points in the plane (N, 2) are: the index of Clark and Evans, seen from the other side.

    It is the mean distance to the nearest neighbour that as many points strewn at random over the same area would
    have, divided by the mean distance that there is. 1: strewn at random; 2: in clumps, twice as near.

    Source: Clark and Evans 1954. The area is that of the convex hull.
    """
    found, _ = NearestNeighbors(n_neighbors=1).fit(points).kneighbors()
    expected = 0.5 * np.sqrt(ConvexHull(points).volume / len(points))
    return float(expected / found.mean())
