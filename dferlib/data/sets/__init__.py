"""The public data sets as they lie on disk, all behind the interface of `ClipSource`.

`wild` has those cut from movies and the web, `lab` those recorded on request; `base` is what all share, `files` and
`workbook` read what others have written. Knows the ground, video and the clip table:
`train_clips, val_clips = DFEW("data/DFEW", fold=1).hold_out()`.
"""

from dferlib.data.sets.base import Benchmark
from dferlib.data.sets.files import Problem
from dferlib.data.sets.lab import CREMAD, CKPlus, OuluCASIA
from dferlib.data.sets.wild import AFEW, DFEW, MAFW, FERV39k

__all__ = [
    "AFEW",
    "BENCHMARKS",
    "CREMAD",
    "DFEW",
    "MAFW",
    "Benchmark",
    "CKPlus",
    "FERV39k",
    "OuluCASIA",
    "Problem",
]

KINDS: tuple[type[Benchmark], ...] = (
    DFEW,
    FERV39k,
    AFEW,
    MAFW,
    CREMAD,
    CKPlus,
    OuluCASIA,
)
BENCHMARKS = {kind.name: kind for kind in KINDS}
"""Every data set by its name."""
