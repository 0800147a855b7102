"""MakeFaces: rendered clips of faces that nobody has to ask for, with the truth of every frame.

A person (`identity`) shows an expression (`actions`, `performance`) on a rigged head (`assets`, `rig`, `texture`). It
is rendered (`render`), partly hidden (`occluders`) and recorded (`camera`). `generator` makes the parts on disk and
`dataset` reads them. `baking` made the assets. Knows the ground, video and data, and no model.
"""

from dferlib.makefaces.actions import UNITS
from dferlib.makefaces.dataset import MakeFaces
from dferlib.makefaces.generator import generate
from dferlib.makefaces.knobs import DIFFICULTIES, Knobs
from dferlib.makefaces.performance import PHASES
from dferlib.makefaces.protocol import PRIORS, SIZES, SPLITS, TASKS, Version

__all__ = [
    "DIFFICULTIES",
    "PHASES",
    "PRIORS",
    "SIZES",
    "SPLITS",
    "TASKS",
    "UNITS",
    "Knobs",
    "MakeFaces",
    "Version",
    "generate",
]
