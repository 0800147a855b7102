"""What can be read from features by a straight line: traits of who is seen, of the view, and of the face's act.

A linear probe is a regression from clip features to a trait. It is fitted on some people and asked about others, so
that nobody can be known by heart. It tells that a trait *can* be read, not that it is used (Alain and Bengio 2016).
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from dferlib.errors import InputError
from dferlib.evidence.drawn import Drawn, ratio_of_sums
from dferlib.makefaces import UNITS, MakeFaces

FOLDS, INNER = 5, 4
PENALTIES = 10.0 ** np.arange(-1, 6)
WHO = ("sex", "age", "African ancestry", "Asian ancestry", "skin tone", "beard")
VIEW = ("yaw", "pitch", "light", "colour", "blur")
SHOWN_UNITS = ("AU1", "AU4", "AU6", "AU12", "AU15", "AU25")
ACT = ("strength", *SHOWN_UNITS)
TRAITS = {"who is seen": WHO, "the view": VIEW, "the act": ACT}
_COLUMNS = {
    "sex": "female",
    "age": "age",
    "African ancestry": "african",
    "Asian ancestry": "asian",
    "skin tone": "skin_tone",
    "beard": "beard",
    "colour": "saturation",
    "blur": "blur",
    "strength": "intensity",
}


def traits_of(source: MakeFaces) -> pd.DataFrame:
    """The truth of every clip: a row for each of N clips, a column for each trait of `TRAITS`.

    Of the person: sex, age, two of the three parts of the ancestry, the skin's tone, the beard. Of the view: yaw and
    pitch of the head in radians and the factor on the lamps, means over the frames; the colours' saturation, the blur.
    Of the act: how strong the expression is, and action units in the frame where it has risen farthest.
    """
    rows = source.table.rows
    found = pd.DataFrame({name: rows[column].to_numpy(np.float64) for name, column in _COLUMNS.items()})
    truths = [source.truth(k) for k in range(len(source))]
    found["yaw"], found["pitch"] = np.array([truth["pose"].mean(0)[:2] for truth in truths], np.float64).T
    found["light"] = [float(truth["light"].mean()) for truth in truths]
    peaks = np.stack([truth["units"][int(truth["expression"].argmax())] for truth in truths])
    for name in SHOWN_UNITS:
        found[name] = peaks[:, UNITS.index(name)].astype(np.float64)
    return found[[name for names in TRAITS.values() for name in names]]


def read_linearly(features: np.ndarray, traits: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a ridge regression that was fitted on other people says of each clip's traits.

    Features are scaled to unit variance, and the penalty is chosen for each trait on the people who are fitted on.

    Args:
        features: (N, D).
        traits: (N, T).
        groups: (N,) who is seen; nobody is in the fit and among those who are asked about.

    Returns:
        What is said (N, T), and the mean over the people who were fitted on, which knows nothing of the clip (N, T).

    Raises:
        InputError: there are fewer people than folds.
    """
    if len(np.unique(groups)) < FOLDS + INNER:
        raise InputError(f"{len(np.unique(groups))} people are too few to be shared out: give {FOLDS + INNER} or more")
    said, guessed = np.empty(traits.shape), np.empty(traits.shape)
    for fit, ask in _folds(groups, FOLDS):
        missed = np.zeros((len(PENALTIES), traits.shape[1]))
        for some, others in _folds(groups[fit], INNER):
            each = _fitted(features[fit][some], traits[fit][some], features[fit][others])
            missed += ((each - traits[fit][others]) ** 2).sum(1)
        best = missed.argmin(0)
        said[ask] = _fitted(features[fit], traits[fit], features[ask])[best, :, np.arange(len(best))].T
        guessed[ask] = traits[fit].mean(0)
    return said, guessed


def _folds(groups: np.ndarray, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return GroupKFold(count).split(groups, groups=groups)


def _fitted(features: np.ndarray, traits: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """What is said of those who are asked about, by penalty, (penalties, N, T)."""
    scaler = StandardScaler().fit(features)
    one, other = scaler.transform(features), scaler.transform(asked)
    each = [Ridge(alpha=penalty).fit(one, traits).predict(other) for penalty in PENALTIES]
    return np.stack(each).reshape(len(PENALTIES), len(asked), -1)  # of a single trait there is no axis


def shuffled_people(traits: np.ndarray, groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """Everybody's clips with the traits of somebody else's: what a probe of these finds is chance.

    Args:
        traits: (N, T), all people with equally many clips, one person's after another's.
        groups: (N,) who is seen.
        seed: of the shuffle.
    """
    people = len(np.unique(groups))
    order = np.random.default_rng(seed).permutation(people)
    return traits.reshape(people, -1, traits.shape[1])[order].reshape(traits.shape)


def squares(said: np.ndarray, traits: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The squared errors of each person's clips, added up, (P, T)."""
    _, person = np.unique(groups, return_inverse=True)
    found = np.zeros((person.max() + 1, traits.shape[1]))
    np.add.at(found, person, (said - traits) ** 2)
    return found


def explained(missed: np.ndarray, spread: np.ndarray, seed: int = 0) -> Drawn:
    """How much of the variance is explained, R²: 1 where a trait is read without error, 0 where the mean is as good.

    Args:
        missed: (P,) or (P, T) squared errors of each person; of several traits it is the mean of their R².
        spread: the same of the mean that knows nothing of the clip.
        seed: of the draws of people.
    """
    each = [
        ratio_of_sums(one, all_of_it, seed) for one, all_of_it in zip(_columns(missed), _columns(spread), strict=True)
    ]
    return Drawn(1 - float(np.mean([it.value for it in each])), 1 - np.mean([it.draws for it in each], 0))


def _columns(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1).T
