"""The reader of the truth: trees that see the true action units of chosen frames, and no pixels."""

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import balanced_accuracy_score

Labelled = tuple[Sequence[np.ndarray], np.ndarray]


def read_units(
    train: Labelled, test: Labelled, choose: Callable[[int], np.ndarray], error: float = 0.1, seed: int = 0
) -> float:
    """What trees make of the true units of chosen frames: what those frames can tell, whoever looks.

    Args:
        train: the units of each clip (F, U), F may differ, and the labels (N,).
        test: the same for the clips that are asked about.
        choose: gives for the number of frames of a clip which are seen; always equally many.
        error: standard deviation of what is added to each unit of each frame.
        seed: of the error and of the trees.

    Returns:
        UAR on the test clips, 0 to 1.
    """
    rng = np.random.default_rng(seed)
    views = []
    for units, _ in (train, test):
        seen = np.stack([clip[choose(len(clip))] for clip in units])
        views.append((seen + rng.normal(0, error, seen.shape)).reshape(len(seen), -1))
    trees = ExtraTreesClassifier(60, min_samples_leaf=2, max_features=0.3, random_state=seed)
    return float(balanced_accuracy_score(test[1], trees.fit(views[0], train[1]).predict(views[1])))
