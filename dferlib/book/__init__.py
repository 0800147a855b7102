"""What chapters show: figures in one style, computed sentences, clips that play, models drawn, the speeds.

It may know the whole library but the command line. `state` writes a sentence whose number cannot be typed and that
fails the build when it is no longer true; `miniature` says at the head of a chapter that its run is a short one.
`table` sets numbers under a caption, `check` says whether an answer to an exercise is right, `quiz` asks questions.
`player` shows clips that play in step with `Curves` and `Bars` beside them, under `Points` and `Heat`; `acting` makes
such clips, and `explorers` is the frame around everything on a page that answers. `records` has the rows of a study.
`drawings` draws any model from itself, and the map of the book. `folders` finds the records wherever a chapter is run.
"""

import importlib
from typing import TYPE_CHECKING, Any

from dferlib.book.best_of_epochs import best_of_epochs
from dferlib.book.exercises import check
from dferlib.book.imbalance import imbalance
from dferlib.book.logits import logits_and_losses
from dferlib.book.panels import Bars, Curves
from dferlib.book.patching import patch_explorer
from dferlib.book.playing import Heat, Points, player
from dferlib.book.quiz import quiz
from dferlib.book.reaching import reach_explorer
from dferlib.book.sentences import miniature, state
from dferlib.book.tables import table

# figures that need torch: `__getattr__` imports it when they are first used
_HOME = {
    "attention_explorer": "dferlib.book.attending",
    "cost_chart": "dferlib.book.costing",
    "fusion_explorer": "dferlib.book.fusing",
    "power_explorer": "dferlib.book.powering",
    "puppet": "dferlib.book.puppetry",
    "replay": "dferlib.book.replaying",
    "sampling_explorer": "dferlib.book.choosing",
    "shuffler": "dferlib.book.shuffling",
    "threshold_explorer": "dferlib.book.answering",
    "window_valley": "dferlib.book.valley",
}

if TYPE_CHECKING:  # the same names for type checkers and editors
    from dferlib.book.answering import threshold_explorer
    from dferlib.book.attending import attention_explorer
    from dferlib.book.choosing import sampling_explorer
    from dferlib.book.costing import cost_chart
    from dferlib.book.fusing import fusion_explorer
    from dferlib.book.powering import power_explorer
    from dferlib.book.puppetry import puppet
    from dferlib.book.replaying import replay
    from dferlib.book.shuffling import shuffler
    from dferlib.book.valley import window_valley

__all__ = [
    "Bars",
    "Curves",
    "Heat",
    "Points",
    "attention_explorer",
    "best_of_epochs",
    "check",
    "cost_chart",
    "fusion_explorer",
    "imbalance",
    "logits_and_losses",
    "miniature",
    "patch_explorer",
    "player",
    "power_explorer",
    "puppet",
    "quiz",
    "reach_explorer",
    "replay",
    "sampling_explorer",
    "shuffler",
    "state",
    "table",
    "threshold_explorer",
    "window_valley",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'dferlib.book' has no attribute {name!r}")
