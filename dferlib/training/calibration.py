"""Probabilities that mean what they say: the temperature of a model.

A network that has learnt its training clips well is surer of its answers than it is right. One number mends most of
that: all logits are divided by a temperature, chosen so that the validation clips' labels are as probable as they can
be. The order of the classes stays what it is.
Source: Guo et al., "On calibration of modern neural networks", ICML 2017.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

LARGEST = 20.0  # times surer, or less sure, than the logits say


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature under which labels are most probable.

    Args:
        logits: (N, C).
        labels: int64 (N,).

    Returns:
        The number to divide logits by: 1 / `LARGEST` to `LARGEST`, and 1 where there are no clips.
    """
    if not len(labels):
        return 1.0
    scores, rows = np.asarray(logits, dtype=np.float64), np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(scores / np.exp(log_temperature), axis=1)[rows, labels].mean())

    bound = np.log(LARGEST)
    return float(np.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))
