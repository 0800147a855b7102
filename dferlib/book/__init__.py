"""What chapters show: figures in one style, computed sentences, clips that play, models drawn, the speeds.

It may know the whole library but the command line. `state` writes a sentence whose number cannot be typed and that
fails the build when it is no longer true; `miniature` says at the head of a chapter that its run is a short one.
`player` shows clips that play in step with `Curves` and `Bars` beside them, under `Points` and `Heat`; `acting` makes
such clips, and `explorers` is the frame around everything on a page that answers: `imbalance` shows what metrics make
of recalls, `best_of_epochs` what choosing the epoch on the test clips adds, `logits_and_losses` where losses push.
`drawings` draws any model from itself, and the map of the book. `folders` finds the records wherever a chapter is run.
"""

from dferlib.book.best_of_epochs import best_of_epochs
from dferlib.book.imbalance import imbalance
from dferlib.book.logits import logits_and_losses
from dferlib.book.panels import Bars, Curves
from dferlib.book.playing import Heat, Points, player
from dferlib.book.sentences import miniature, state

__all__ = [
    "Bars",
    "Curves",
    "Heat",
    "Points",
    "best_of_epochs",
    "imbalance",
    "logits_and_losses",
    "miniature",
    "player",
    "state",
]
