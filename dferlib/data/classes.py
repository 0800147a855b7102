"""Clips in the classes of somebody else, matched by their names; the same number may mean another class there."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from dferlib.data.table import ClipSource, ClipTable, lacks
from dferlib.errors import InputError, choose


class Relabelled:
    """The clips of a source with the labels of other classes, which is a source again.

    Args:
        source: all of them.
        classes: the other classes.
        labels: for each class of the source its number among these, or -1 to leave its clips out.
    """

    def __init__(self, source: ClipSource, classes: Sequence[str], labels: Sequence[int]) -> None:
        found = np.asarray(labels, dtype=np.int64)[source.table.labels]
        self.source, self.which = source, np.flatnonzero(found >= 0)
        rows = source.table.rows.iloc[self.which].assign(label=found[self.which])
        self.table = ClipTable(rows, tuple(classes))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""
        return self.table.classes

    @property
    def fingerprint(self) -> str:
        """Differs whenever the clips of the source do, or the classes."""
        text = repr((self.source.fingerprint, self.classes, self.which.tolist(), self.table.labels.tolist()))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def lacks(self) -> str:
        """See `dferlib.data.table.lacks`."""
        return lacks(self.source)

    def __len__(self) -> int:
        return len(self.which)

    def read(self, index: int, frames: np.ndarray) -> np.ndarray:
        """Return the asked frames of one clip, uint8 `(F, C, H, W)`."""
        return self.source.read(int(self.which[index]), frames)


def match_classes(
    source: ClipSource, classes: Sequence[str], names: Mapping[str, str | None] | None = None
) -> ClipSource:
    """Give clips the labels that a model knows, whose classes come in another order or are others.

    `match_classes(CKPlus(root), model.classes, {"contempt": None})` lets a model for the seven emotions be tested on a
    set that has contempt, and no neutral.

    Args:
        source: the clips.
        classes: the wanted classes in the order of their labels. Some may have no clips.
        names: what a class of the source counts as, or None to leave its clips out. One that is not named here counts
            as the class of the same name.

    Returns:
        The source itself where nothing is to be done.

    Raises:
        InputError: a class of the source has no counterpart, or `names` has one that is not there.
    """
    stated = dict(names or {})
    for name in stated:
        choose("class of the data", name, source.classes)
    counterparts = [stated.get(name, name) for name in source.classes]
    if strange := [name for name in counterparts if name is not None and name not in classes]:
        first = source.classes[counterparts.index(strange[0])]
        lone = [name for name in classes if name not in counterparts]
        raise InputError(
            f"the data has classes that the model does not know: {', '.join(strange)}"
            + (f"; the model has {', '.join(lone)} besides" if lone else "")
            + f". Say what each counts as, or leave its clips out: --map {first}= on the command line, in Python "
            f"match_classes(data, model.classes, {{{first!r}: None}})"
        )
    if counterparts == list(classes):
        return source
    order = list(classes)
    found = Relabelled(source, classes, [-1 if name is None else order.index(name) for name in counterparts])
    if not len(found):
        raise InputError("no clips are left: every class of the data was left out")
    return found
