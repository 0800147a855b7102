"""What chapters show: figures in one style, computed sentences, clips that play, models drawn, the speeds.

It may know the whole library but the command line. `state` writes a sentence whose number cannot be typed and that
fails the build when it is no longer true; `miniature` says at the head of a chapter that its run is a short one.
`player` shows clips that play in step with `Curves` and `Bars` beside them, under `Points` and `Heat`; `acting` makes
such clips, and `explorers` is the frame around everything on a page that answers: `attention_explorer` lets a reader
choose a query, `window_valley` a window, `sampling_explorer` frames. `drawings` draws any model from itself, and the
map of the book. `folders` finds the records wherever a chapter is run. What needs torch is imported at its first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

from dferlib.book.panels import Bars, Curves
from dferlib.book.playing import Heat, Points, player
from dferlib.book.sentences import miniature, state

# where each explorer lives; `__getattr__` imports it on first use
_HOME = {
    "attention_explorer": "dferlib.book.attending",
    "sampling_explorer": "dferlib.book.choosing",
    "window_valley": "dferlib.book.valley",
}

if TYPE_CHECKING:  # the same names for type checkers and editors
    from dferlib.book.attending import attention_explorer
    from dferlib.book.choosing import sampling_explorer
    from dferlib.book.valley import window_valley

__all__ = [
    "Bars",
    "Curves",
    "Heat",
    "Points",
    "attention_explorer",
    "miniature",
    "player",
    "sampling_explorer",
    "state",
    "window_valley",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'dferlib.book' has no attribute {name!r}")
