"""What a model says of pairs of clips that differ in one thing: how far it moves, how often it flips, where it goes.

See `dferlib.evidence.changed` for the pairs. Everybody brings one clip, so clips are people, and independent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import binomtest

from dferlib.errors import choose
from dferlib.evidence.statistics import DRAWS, Interval, interval_of


@dataclass(frozen=True)
class Answers:
    """What one model says of P people's clips, with each of E edits.

    Attributes:
        logits: (E, P, C); nan where an edit does not concern somebody's clip.
        labels: (P,) int64, the class that each person shows.
        pairs: of each change, which edit comes before and which after.
        classes: names of the C classes.
    """

    logits: np.ndarray
    labels: np.ndarray
    pairs: Mapping[str, tuple[int, int]]
    classes: tuple[str, ...]

    def right(self, edit: int = 0) -> np.ndarray:
        """(P,) 1 where the answer is right, nan where there is none."""
        return _is(self.logits[edit], self.labels)

    def flips(self, change: str) -> np.ndarray:
        """(P,) 1 where the answer is another after the change, nan for whom it does not concern."""
        before, after = self._pair(change)
        return 1 - _is(after, before.argmax(-1))

    def lost(self, change: str) -> np.ndarray:
        """(P,) 1 where the change makes a right answer wrong, -1 where it makes a wrong one right, else 0 or nan."""
        before, after = (_is(one, self.labels) for one in self._pair(change))
        return before - after

    def moved(self, change: str) -> np.ndarray:
        """(P,) how far the logits move, in parts of the mean distance between two people's clips as they are drawn.

        Logits are taken from their mean over the classes, as softmax does not see that. Distances are Euclidean.
        """
        before, after = (_centred(one) for one in self._pair(change))
        drawn = _centred(self.logits[0])
        apart = np.linalg.norm(drawn[:, None] - drawn, axis=-1)
        return np.linalg.norm(after - before, axis=-1) / apart[np.triu_indices(len(drawn), 1)].mean()

    def towards(self, change: str, name: str) -> np.ndarray:
        """(P,) 1 where the change makes a class the answer, -1 where it takes it away, else 0 or nan."""
        column = self.classes.index(choose("class", name, self.classes))
        wanted = np.full(len(self.labels), column)
        before, after = (_is(one, wanted) for one in self._pair(change))
        return after - before

    def _pair(self, change: str) -> tuple[np.ndarray, np.ndarray]:
        """Logits before and after, both nan where one is."""
        before, after = (self.logits[edit] for edit in self.pairs[choose("change", change, self.pairs)])
        return before + 0 * after, after + 0 * before


def over_people(values: np.ndarray, level: float = 0.95, seed: int = 0) -> Interval:
    """The mean over people, and the interval that holds it: people are drawn again.

    Args:
        values: (P,) of each person, or (M, P) of several models, whose mean is taken person by person; nan for people
            whom it does not concern.
        level: confidence.
        seed: of the draws.

    Returns:
        Where all values are 0 or 1 it is the exact interval of Clopper and Pearson, which also holds where none of a
        few people flips; elsewhere that of the bootstrap.
    """
    each = values if values.ndim == 1 else values.mean(0)
    each = each[np.isfinite(each)]
    if np.isin(each, (0, 1)).all():
        found = binomtest(int(each.sum()), len(each)).proportion_ci(level)
        return Interval(float(each.mean()), float(found.low), float(found.high))
    return interval_of(float(each.mean()), draw_people(len(each), seed) @ each / len(each), level)


def between_groups(values: np.ndarray, group: np.ndarray, level: float = 0.95, seed: int = 0) -> Interval:
    """How much larger the mean is outside of a group of people than in it, with the bootstrap's interval over people.

    Args:
        values: (P,) of each person.
        group: (P,) bool, who belongs to it.
        level: confidence.
        seed: of the draws.
    """
    draws, outside = draw_people(len(values), seed), ~group
    found = draws[:, outside] @ values[outside] / draws[:, outside].sum(1)
    found -= draws[:, group] @ values[group] / draws[:, group].sum(1)
    return interval_of(float(values[outside].mean() - values[group].mean()), found, level)


@lru_cache(maxsize=4)  # a chapter asks for many intervals over the same people
def draw_people(people: int, seed: int) -> np.ndarray:
    """How often each person is drawn (draws, people)."""
    return np.random.default_rng(seed).multinomial(people, np.full(people, 1 / people), DRAWS).astype(float)


def _is(logits: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(P,) 1 where the answer is the wanted class, nan where there is no answer."""
    return np.where(np.isnan(logits).any(-1), np.nan, logits.argmax(-1) == wanted)


def _centred(logits: np.ndarray) -> np.ndarray:
    return logits - logits.mean(-1, keepdims=True)
