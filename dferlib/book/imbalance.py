"""A figure that answers: what UAR, WAR and macro F1 make of the same recalls, as classes become uneven."""

from collections.abc import Mapping, Sequence

import numpy as np

from dferlib.book.controls import choice, said, slider, table
from dferlib.book.explorers import Interactive, explorer
from dferlib.book.panels import CYCLE
from dferlib.emotions import COLOURS, EMOTIONS
from dferlib.errors import InputError

METRICS = ("UAR", "WAR", "macro F1")
SPREADS = ("evenly", "frequent", "one")
ALWAYS, FREQUENT, EQUAL, RARE = "always {}", "best at the frequent", "equally good", "best at the rare"


def imbalance(
    frequencies: Sequence[float], classes: Sequence[str] = EMOTIONS, *, like: str = "DFEW", alt: str
) -> Interactive:
    """Recalls to drag, and sizes of classes from balanced to uneven: three metrics and the confusion matrix follow.

    Beside the reader's recalls stand four made-up classifiers. With balanced classes UAR and WAR are the same; with
    uneven ones each metric has another favourite.

    Args:
        frequencies: how frequent each of C classes is at the uneven end, such as `PRIORS["dfew"]`.
        classes: their names.
        like: the data set whose frequencies these are.
        alt: what it shows, for those who do not see it.

    Raises:
        InputError: there are not as many frequencies as classes, or one is not positive.
    """
    uneven = np.asarray(frequencies, float)
    if uneven.shape != (len(classes),) or not (uneven > 0).all():
        raise InputError(f"give a positive frequency for each of the {len(classes)} classes, not {list(frequencies)}")
    uneven = uneven / uneven.sum()
    shown = made_up(uneven, classes)
    data = {
        "classes": list(classes),
        "colours": [COLOURS.get(name, CYCLE[k % len(CYCLE)]) for k, name in enumerate(classes)],
        "uneven": uneven.tolist(),
        "like": like,
        "metrics": METRICS,
        "known": [{"name": name, "recalls": recalls.tolist()} for name, recalls in shown.items()],
    }
    return explorer(_body(shown, uneven, classes, like), data, "imbalance", alt=alt)


def made_up(frequencies: np.ndarray, classes: Sequence[str] = EMOTIONS) -> dict[str, np.ndarray]:
    """The recalls (C,) of four classifiers, by name, for classes that are as frequent as `frequencies` (C,) say."""
    common = frequencies.argsort().argsort() / (len(frequencies) - 1)  # 0 for the rarest class, 1 for the commonest
    return {
        ALWAYS.format(classes[int(frequencies.argmax())]): (common == 1).astype(float),
        FREQUENT: (0.85 * common**0.5).round(2),
        EQUAL: np.full(len(frequencies), 0.63),
        RARE: (0.92 - 0.55 * common).round(2),
    }


def expected_confusion(recalls: np.ndarray, sizes: np.ndarray, spread: str, one: int = 0) -> np.ndarray:
    """The confusion matrix (C, C) that such recalls give on average, as parts of all clips.

    Args:
        recalls: of each class (C,).
        sizes: of each class (C,), as parts of all clips.
        spread: how the clips that are not recognised are shared out among the other classes: "evenly", as "frequent"
            as these are, or all to "one". The errors of that one are shared out evenly.
        one: which.
    """
    count = len(sizes)
    weights = {"evenly": np.ones(count), "frequent": np.asarray(sizes), "one": np.eye(count)[one]}[spread]
    others = weights * (1 - np.eye(count))
    others[others.sum(1) == 0] = 1
    np.fill_diagonal(others, 0)
    shares = np.diag(recalls) + (1 - recalls)[:, None] * others / others.sum(1, keepdims=True)
    return sizes[:, None] * shares


def scores(confusion: np.ndarray) -> tuple[float, float, float]:
    """UAR, WAR and macro F1 of a confusion matrix (C, C) whose every class has clips."""
    right, true, called = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    return float((right / true).mean()), float(right.sum() / true.sum()), float((2 * right / (true + called)).mean())


def _body(shown: Mapping[str, np.ndarray], uneven: np.ndarray, classes: Sequence[str], like: str) -> str:
    """All of it but style and script. The script draws the results."""
    recalls = "".join(
        slider(f"recall{k}", name, round(100 * shown[EQUAL][k]), (0, 100), 1) for k, name in enumerate(classes)
    )
    into = f"all into {classes[int(uneven.argmax())]}"
    errors = zip(SPREADS, ("evenly over the others", "by how frequent the others are", into), strict=True)
    chosen = f"{slider('uneven', f'like {like}', 0, (0, 100), 1)}{choice('spread', 'errors go', errors)}"
    return (
        f'<div class="fim-sides fim-live"><div><p class="fim-title">Recall of each class</p>{recalls}'
        f'<p class="fim-title fim-apart">The test set, and the errors</p>{chosen}</div>'
        f'<div class="fim-matrix"></div><div class="fim-scores"></div>{said()}</div>{_still(shown, uneven, like)}'
    )


def _still(shown: Mapping[str, np.ndarray], uneven: np.ndarray, like: str) -> str:
    """What the three metrics say of the four, where scripts are off."""
    ends = {"balanced": np.full(len(uneven), 1 / len(uneven)), like: uneven}
    rows = []
    for name, recalls in shown.items():
        found = [one for sizes in ends.values() for one in scores(expected_confusion(recalls, sizes, SPREADS[0]))]
        rows.append([name, *(f"{100 * one:.1f}" for one in found)])
    head = ["classifier", *(f"{metric}, {end}" for end in ends for metric in METRICS)]
    return table(f"Four made-up classifiers on balanced classes and on those of {like}, in %", head, rows)
