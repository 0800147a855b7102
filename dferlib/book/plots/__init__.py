"""The book's figures, in one style. Every function draws on a figure of its own and returns it.

`frames` shows clips, `attention` what is attended to and what it costs, `results` what training came to, `gains` what
was claimed beside it, `speeds` how long models take, `audit` what printed tables give, `maps` intervals as cells;
`style` is what they share.
Chapters call them as `plots.NAME(...)`. They know the ground and get everything else as numbers.
"""

from dferlib.book.plots.attention import attention_reach, attention_reach_in_frames, scaling
from dferlib.book.plots.audit import deviations, epochs, gaps, peaks
from dferlib.book.plots.frames import frame_strip, gallery, heat_strip, over_time, png
from dferlib.book.plots.gains import Gain, gains
from dferlib.book.plots.maps import interval_cells
from dferlib.book.plots.results import (
    confusion,
    curves,
    dots,
    intervals,
    lines,
    logit_gradients,
    pairs,
    recalls,
    scatter,
    scatter_panels,
    seeds,
)
from dferlib.book.plots.speeds import speeds
from dferlib.book.plots.style import ACCENT, INK, SECOND, STYLE, new_figure
from dferlib.emotions import COLOURS

__all__ = [
    "ACCENT",
    "COLOURS",
    "INK",
    "SECOND",
    "STYLE",
    "Gain",
    "attention_reach",
    "attention_reach_in_frames",
    "confusion",
    "curves",
    "deviations",
    "dots",
    "epochs",
    "frame_strip",
    "gains",
    "gallery",
    "gaps",
    "heat_strip",
    "interval_cells",
    "intervals",
    "lines",
    "logit_gradients",
    "new_figure",
    "over_time",
    "pairs",
    "peaks",
    "png",
    "recalls",
    "scaling",
    "scatter",
    "scatter_panels",
    "seeds",
    "speeds",
]
