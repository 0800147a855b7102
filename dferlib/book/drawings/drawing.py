"""Drawings of models: `draw_model` makes one from the model itself, `Drawing` shows it in a notebook and on a page."""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from typing import Any

from torch import nn

from dferlib.book.drawings import baselines, staner, transformers
from dferlib.book.drawings.canvas import FONTS, Bounds, Box, Canvas, number
from dferlib.book.drawings.common import Columns, Panel
from dferlib.book.drawings.elements import counted
from dferlib.book.drawings.sources import paper_of
from dferlib.book.drawings.style import LEGEND, STYLE
from dferlib.book.drawings.text import width_of, wrap
from dferlib.book.drawings.trace import Trace
from dferlib.models import STT, ClipModel, FormerDFER, FrameAverage, LOGOFormer, MSSTNet, NRDFERNet, create_model
from dferlib.models.recurrent import Recurrent
from dferlib.models.staner import SGAER, STANER, TLER
from dferlib.models.volumes import VolumeModel

WIDE, MARGIN, GAP = 344.0, 18.0, 28.0  # pixels: a panel, the room for lanes at its left, between columns
DRAWN: dict[type[nn.Module], Callable[[Trace], Columns]] = {
    STT: transformers.stt,
    LOGOFormer: transformers.logo_former,
    MSSTNet: transformers.msstnet,
    FormerDFER: transformers.former_dfer,
    NRDFERNet: transformers.nr_dfernet,
    STANER: staner.staner,
    SGAER: staner.sgaer,
    TLER: staner.tler,
    FrameAverage: baselines.frames_alone,
    Recurrent: baselines.recurrent,
    VolumeModel: baselines.volume,
}


@dataclass
class Sheet:
    """A panel that has been drawn.

    Attributes:
        title: of the panel.
        canvas: everything on it.
        height: in pixels; all panels are equally wide.
    """

    title: str
    canvas: Canvas
    height: float

    @property
    def said(self) -> str:
        """What it shows, in words."""
        steps = "; ".join(self.canvas.said)
        return f"{self.title}, from top to bottom: {steps}." if steps else self.title


@dataclass
class Drawing:
    """A drawing in columns of panels, as SVG and as HTML, where panels stand under each other on a narrow page.

    Attributes:
        title: what it shows, for those who cannot see it.
        description: the same at length.
        columns: the panels.
        wide: of a panel, in pixels.
        gap: between panels, in pixels.
        across: how many columns stand side by side at most.
    """

    title: str
    description: str = field(repr=False)
    columns: list[list[Sheet]] = field(repr=False)
    wide: float = WIDE
    gap: float = GAP
    across: int = 2

    @property
    def sheets(self) -> list[Sheet]:
        """All panels, as they are read."""
        return [sheet for column in self.columns for sheet in column]

    def svg(self) -> str:
        """One picture, a whole file, the columns side by side."""
        parts, tall, step = list[str](), 0.0, self.wide + self.gap
        rows = [self.columns[k : k + self.across] for k in range(0, len(self.columns), self.across)]
        for row in rows:
            top, left = tall + (self.gap if tall else 0), (len(rows[0]) - len(row)) * step / 2
            for k, column in enumerate(row):
                y = top
                for sheet in column:
                    place = f"translate({number(left + k * step)} {number(y)})"
                    parts.append(f'<g transform="{place}">{sheet.canvas.svg()}</g>')
                    y += sheet.height + self.gap
                tall = max(tall, y - self.gap)
        wide = len(rows[0]) * step - self.gap
        head = self._head(self.title, self.description, wide, tall, 'class="dfer-drawing alone" ')
        return f"{head}<style>{STYLE}</style>{''.join(parts)}</svg>"

    def html(self) -> str:
        """A part of a page; it takes its colour of words from the page."""
        columns = []
        for column in self.columns:
            pieces = [
                self._head(f"{self.title}: {sheet.title}", sheet.said, self.wide, sheet.height)
                + f"{sheet.canvas.svg()}</svg>"
                for sheet in column
            ]
            columns.append(f'<div class="dfer-column">{"".join(pieces)}</div>')
        sizes = f"--wide:{number(self.wide)}px;--gap:{number(self.gap)}px"
        return f'<div class="dfer-drawing" style="{sizes}"><style>{STYLE}</style>{"".join(columns)}</div>'

    def _head(self, title: str, description: str, wide: float, tall: float, more: str = "") -> str:
        name = "d" + sha256(f"{title}{description}{wide}{tall}".encode()).hexdigest()[:8]
        size = f'viewBox="0 0 {number(wide)} {number(tall)}" width="{number(wide)}" height="{number(tall)}"'
        labels = f'role="img" aria-labelledby="{name}t {name}d"'
        words = f'<title id="{name}t">{escape(title)}</title><desc id="{name}d">{escape(description)}</desc>'
        return f'<svg xmlns="http://www.w3.org/2000/svg" {more}{size} {labels}>{words}'

    def _repr_svg_(self) -> str:
        return self.svg()

    def _repr_html_(self) -> str:
        return self.html()


def draw_model(model: str | ClipModel, *, scale: str = "book", **overrides: Any) -> Drawing:
    """Draw a model from what happens in it when a clip goes through.

    Args:
        model: one of `dferlib.list_models()`, or a model.
        scale: of a model that is named, "book" or "paper".
        overrides: for a model that is named, as for `dferlib.create_model`.

    Returns:
        What a notebook shows as a picture. Sizes and numbers of parameters are those of the model; the batch is B.

    Raises:
        InputError: an unknown name, scale or argument.
    """
    if isinstance(model, str):
        model = create_model(model, scale=scale, **overrides)
    trace = Trace(model)
    kind = next((kind for kind in DRAWN if isinstance(model, kind)), None)
    columns = DRAWN[kind](trace) if kind else baselines.any_model(trace)
    total = sum(parameter.numel() for parameter in model.parameters())
    columns[0][0].subtitle = _about(model, total, columns[0][0].subtitle)
    sheets = [[_sheet(panel) for panel in column] for column in columns if column]
    looks = {look for column in sheets for sheet in column for look in sheet.canvas.looks()}
    sheets[0][-1].height = _legend(sheets[0][-1].canvas, sheets[0][-1].height + 13, looks)
    title = "The model " + columns[0][0].title.partition("'s ")[0]
    return Drawing(title, " ".join(sheet.said for column in sheets for sheet in column), sheets)


def _about(model: ClipModel, total: int, said: str) -> str:
    """The line under the title: the paper, what it does, its size."""
    paper = paper_of(type(model))
    scale = getattr(model, "config", {}).get("scale")
    parts = [paper.cited if paper else "", f"{scale} scale" if scale else "", f"{counted(total)} parameters"]
    return "; ".join(part for part in parts if part) + (f". {said}" if said else "")


def _sheet(panel: Panel) -> Sheet:
    """Draw a panel."""
    canvas, y = Canvas(), 15.0
    canvas.words(0, y, panel.title, "head")
    for line in wrap(panel.subtitle, FONTS["sub"][0], WIDE):
        y += 15
        canvas.words(0, y, line, "sub")
    y = panel.flow().draw(canvas, MARGIN, y + 10, WIDE - MARGIN - 5)
    return Sheet(panel.title, canvas, y + 3)


def _legend(canvas: Canvas, y: float, looks: set[str]) -> float:
    """What the colours mean; returns where it ends."""
    x = MARGIN
    for look, words in LEGEND.items():
        if look not in looks:
            continue
        wide = 17 + width_of(words, *FONTS["mark"]) + 14
        if x + wide - 14 > WIDE:
            x, y = MARGIN, y + 18
        canvas.put(Box(Bounds(x, y, x + 11, y + 11), look, 2))
        canvas.words(x + 17, y + 9.5, words, "mark")
        x += wide
    canvas.words(MARGIN, y + 29, "At the right of a box: its parameters.", "mark")
    return y + 33
