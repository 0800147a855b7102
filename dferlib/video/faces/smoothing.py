"""Boxes over time without gaps and without jumps. Plain geometry."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

GAP = 0.5  # seconds without a detection that are bridged
SMOOTH = 0.25  # seconds, the spread of the weights that smooth the boxes
# seconds from a frame to the last one that can change its smoothed box: its neighbours reach so far, and their bridges
SETTLED = 3 * SMOOTH + GAP


def bridge(times: np.ndarray, boxes: np.ndarray, longest: float = GAP) -> np.ndarray:
    """Fill gaps of at most `longest` seconds by straight lines between the boxes `(N, 3)` on their two sides."""
    there = np.flatnonzero(np.isfinite(boxes[:, 2]))
    filled = boxes.copy()
    for before, after in pairwise(there):
        if after > before + 1 and times[after] - times[before] <= longest:
            inside = slice(before + 1, after)
            part = ((times[inside] - times[before]) / (times[after] - times[before]))[:, None]
            filled[inside] = boxes[before] * (1 - part) + boxes[after] * part
    return filled


def smooth(
    times: np.ndarray, boxes: np.ndarray, width: float = SMOOTH, rows: Sequence[int] | None = None
) -> np.ndarray:
    """Replace each box `(N, 3)` by the straight line through its neighbours in time, at its own time.

    The line is the least-squares one with Gaussian weights of standard deviation `width` seconds, cut off at three.
    A face at rest or in even motion is followed without lag, at the ends too; rows of nan stay so and do not count.
    Of some `rows` alone if they are given, `(len(rows), 3)`.
    """
    out = fit_lines(times, boxes, width=width, rows=rows)
    # a line through a face that shrinks very fast could end below nothing
    out[:, 2] = np.maximum(out[:, 2], 1.0)
    return out


def fit_lines(times: np.ndarray, values: np.ndarray, width: float, rows: Sequence[int] | None = None) -> np.ndarray:
    """What `smooth` does, for rows `(N, D)` of anything: the weighted line through each row's neighbours in time."""
    there = np.flatnonzero(np.isfinite(values).all(1))
    known, heights = times[there], values[there]
    wanted = np.arange(len(times)) if rows is None else np.asarray(rows)
    first = np.searchsorted(known, times[wanted] - 3 * width)
    stop = np.searchsorted(known, times[wanted] + 3 * width, side="right")
    out = np.full((len(wanted), values.shape[1]), np.nan)
    for row, (k, near) in enumerate(zip(wanted.tolist(), map(slice, first, stop), strict=True)):
        if not np.isfinite(values[k]).all():
            continue
        t = known[near] - times[k]
        weights = np.exp(-0.5 * (t / width) ** 2)
        weights /= weights.sum()
        middle = weights @ t
        spread = weights @ (t - middle) ** 2
        slope = (weights * (t - middle)) @ heights[near] / spread if spread > 1e-12 else np.zeros(values.shape[1])
        out[row] = weights @ heights[near] - slope * middle
    return out
