"""The numbers that the field reports: unweighted and weighted average recall, and what is behind them.

UAR is the mean of the per-class recalls; WAR is plain accuracy, the recalls weighted by how often each class occurs.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dferlib.errors import InputError


def confusion(labels: ArrayLike, predicted: ArrayLike, num_classes: int) -> np.ndarray:
    """Count the clips of each true class (rows) by predicted class (columns): int64 `(C, C)`.

    Raises:
        InputError: the two differ in length, or there is a label outside `[0, num_classes)`.
    """
    true, guess = np.asarray(labels), np.asarray(predicted)
    if true.shape != guess.shape or true.ndim != 1:
        raise InputError(f"labels {true.shape} and predictions {guess.shape} differ: give one for each clip")
    for name, values in (("label", true), ("prediction", guess)):
        if len(values) and not (values.min() >= 0 and values.max() < num_classes):
            raise InputError(f"a {name} lies outside 0 to {num_classes - 1}: is this data of other classes?")
    if not len(true):
        return np.zeros((num_classes, num_classes), dtype=np.int64)
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(true, guess, labels=np.arange(num_classes)).astype(np.int64)


def per_class_recall(labels: ArrayLike, predicted: ArrayLike, num_classes: int) -> np.ndarray:
    """The part of each class's clips that was recognised: float64 `(C,)`.

    Warning:
        A class without clips has no recall: it is nan here, and `uar` leaves it out of the mean. Compare the UAR of
        two test sets only when both hold every class.
    """
    counts = confusion(labels, predicted, num_classes)
    total = counts.sum(1)
    return np.divide(counts.diagonal(), total, out=np.full(num_classes, np.nan), where=total > 0)


def uar(labels: ArrayLike, predicted: ArrayLike, num_classes: int) -> float:
    """Unweighted average recall, from 0 to 1: the mean recall of the classes that occur (nan if none does)."""
    recalls = per_class_recall(labels, predicted, num_classes)
    present = recalls[~np.isnan(recalls)]
    return float(present.mean()) if len(present) else float("nan")


def war(labels: ArrayLike, predicted: ArrayLike, num_classes: int) -> float:
    """Weighted average recall, from 0 to 1: the part of all clips that was recognised (nan if there are none)."""
    counts = confusion(labels, predicted, num_classes)
    return float(counts.trace() / counts.sum()) if counts.sum() else float("nan")


def f1(labels: ArrayLike, predicted: ArrayLike, num_classes: int) -> np.ndarray:
    """The harmonic mean of precision and recall of each class, float64 `(C,)`; nan for one without clips.

    A class that has clips but is never right has 0. The mean over classes is the macro F1.
    """
    counts = confusion(labels, predicted, num_classes)  # refuses what does not fit
    from sklearn.metrics import f1_score

    found = f1_score(labels, predicted, labels=np.arange(num_classes), average=None, zero_division=0.0)
    return np.where(counts.sum(1) > 0, found, np.nan)


def calibration_error(labels: ArrayLike, logits: ArrayLike, bins: int = 15) -> float:
    """The expected calibration error (Guo et al., ICML 2017), from 0 to 1.

    Clips are put into equal bins by the probability of the predicted class. It is the mean gap between that probability
    and the part of right predictions, weighted by how many clips a bin has.

    Args:
        labels: `(N,)`.
        logits: `(N, C)`.
        bins: how many.
    """
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    scores = torch.tensor(np.asarray(logits, dtype=np.float64)).softmax(1)
    return float(multiclass_calibration_error(scores, torch.tensor(np.asarray(labels)), scores.shape[1], bins))


def summary(labels: ArrayLike, logits: ArrayLike) -> dict[str, Any]:
    """Every metric of one evaluation, from the logits.

    Args:
        labels: `(N,)`.
        logits: `(N, C)`; the prediction is the largest, the first of equals.

    Returns:
        `clips`, `uar`, `war` (0 to 1), `recalls` (list of C; None where the class does not occur) and `confusion`
        (C lists of C), in plain Python numbers that JSON can hold.
    """
    scores = np.asarray(logits)
    predicted, classes = scores.argmax(1), scores.shape[1]
    recalls = per_class_recall(labels, predicted, classes)
    return {
        "clips": len(scores),
        "uar": uar(labels, predicted, classes),
        "war": war(labels, predicted, classes),
        "recalls": [None if np.isnan(recall) else float(recall) for recall in recalls],
        "confusion": confusion(labels, predicted, classes).tolist(),
    }
