"""The parts of a drawing that stand under each other: steps, arrows, shortcuts, branches.

Each draws itself from (x, y) on in a given width and says where it ends. The arrows of a column stand `SPINE` to the
right of its left edge; the lanes of shortcuts run to the left of that edge.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from dferlib.book.drawings.canvas import FONTS, Bounds, Box, Canvas, Path, Words, number, sizes
from dferlib.book.drawings.sources import Cited
from dferlib.book.drawings.text import width_of, wrap
from dferlib.book.drawings.trace import Shape

NONE = Cited()
SPINE, LANE, PAD = 20.0, 9.0, 9.0
LINE = 14.0  # from one line of words to the next
Painter = Callable[[Canvas, float, float, float], float]  # as `Element.draw`


class Element(ABC):
    """Something that draws itself."""

    @abstractmethod
    def draw(self, canvas: Canvas, x: float, y: float, width: float) -> float:
        """Draw from (x, y) on, `width` wide; returns where it ends."""


def counted(count: int) -> str:
    """A number of parameters, in words."""
    for unit, word in ((1_000_000, "M"), (1_000, "k")):
        if count >= unit:
            value = count / unit
            return f"{value:.1f} {word}" if value < 10 else f"{value:.0f} {word}"
    return str(count)


@dataclass
class Step(Element):
    """A box: what is done, how, where in the paper, with how many parameters.

    Attributes:
        name: what it is called, at the top.
        details: sentences under it.
        look: over what it works: "frame", "time", "both", "token", or "plain" for what has no parameters.
        cited: the equations of the paper.
        count: of parameters.
        copies: how often it stands there.
        picture: drawn inside, under the words.
    """

    name: str
    details: str = ""
    look: str = "plain"
    cited: Cited = NONE
    count: int = 0
    copies: int = 1
    picture: Painter | None = None

    def draw(self, canvas: Canvas, x: float, y: float, width: float) -> float:
        """Draw it."""
        left, right, at = x + PAD, x + width - PAD, y + PAD + 10
        lines = [(line, "name") for line in self._names(canvas, right, at, right - left)]
        lines += [(line, "text") for line in wrap(self.details, FONTS["text"][0], right - left)]
        lines += [(line, "formula") for line in wrap(self.cited.formula, FONTS["formula"][0], right - left)]
        if self.count:
            number, look = counted(self.count), "count"
            taken = width_of(lines[-1][0], *FONTS[lines[-1][1]]) + width_of(number, *FONTS[look]) + 10
            corner = self.cited.label or self.copies > 1  # is taken in the first line
            if taken > right - left or (len(lines) == 1 and corner):
                lines.append(("", "text"))
            canvas.words(right, at + LINE * (len(lines) - 1), number, look, "end")
        for line, look in lines:
            canvas.words(left, at, line, look)
            at += LINE
        at += PAD - 1 - LINE
        if self.picture:
            at = self.picture(canvas, left, at + 5, right - left) + PAD
        self._boxes(canvas, Bounds(x, y, x + width, at))
        extra = [part for part in (self.details, self._times, self.cited.label) if part]
        canvas.said.append(self.name + (f" ({', '.join(extra)})" if extra else ""))
        return at + (4 if self.copies > 1 else 0)

    @property
    def _times(self) -> str:
        return f"× {self.copies}" if self.copies > 1 else ""

    def _names(self, canvas: Canvas, right: float, y: float, space: float) -> list[str]:
        """The lines of the name, beside what stands in the upper right corner."""
        for text, look in ((self._times, "times"), (self.cited.label, "eq")):
            if text:
                canvas.words(right, y, text, look, "end")
                taken = width_of(text, *FONTS[look]) + 8
                right, space = right - taken, space - taken
        return wrap(self.name, *_font("name", space))

    def _boxes(self, canvas: Canvas, bounds: Bounds) -> None:
        if self.copies > 1:
            bottom = number(bounds.bottom + 4)
            sheet = f"M{number(bounds.left + 8)} {bottom}H{number(bounds.right - 1)}q5 0 5 -5V{number(bounds.top + 8)}"
            canvas.behind.append(Path(Bounds(*(edge + 4 for edge in bounds)), sheet, f"sheet {self.look}"))
        canvas.behind.append(Box(bounds, f"step {self.look}"))


def _font(look: str, space: float) -> tuple[float, float, bool]:
    size, bold = FONTS[look]
    return size, space, bold


@dataclass
class Arrow(Element):
    """An arrow to the next step, and beside it the shape of what goes along it."""

    shape: Shape = ()
    axes: str = ""
    note: str = ""
    tip: bool = True

    def draw(self, canvas: Canvas, x: float, y: float, width: float) -> float:
        """Draw it."""
        end = y + (36 if self.shape else 24 if self.note else 15)
        canvas.line((x + SPINE, y), (x + SPINE, end), tip=self.tip)
        beside = x + SPINE + 11
        if self.shape:
            shown = sizes(beside, y + 15, self.shape, letters(self.shape, self.axes))
            canvas.put(shown)
            beside = max(word.bounds.right for word in shown.words) + 14
        if self.note:
            canvas.words(beside, y + 15, self.note, "mark")
        return end


def letters(shape: Shape, axes: str) -> tuple[str, ...]:
    """The letter of each axis.

    Args:
        shape: as on an arrow.
        axes: the letters with spaces between them; "F+1" is one letter.

    Raises:
        ValueError: there are not as many letters as axes.
    """
    found = tuple(axes.split())
    if len(found) != len(shape):
        raise ValueError(f"{len(shape)} axes {shape} have {len(found)} letters {axes!r}")
    return found


@dataclass
class Flow(Element):
    """Several elements under each other."""

    parts: Sequence[Element] = field(default_factory=list)

    def draw(self, canvas: Canvas, x: float, y: float, width: float) -> float:
        """Draw it."""
        for part, after in zip_longest(self.parts, self.parts[1:]):
            if isinstance(part, Arrow) and isinstance(after, Residual | Branches):
                part = replace(part, tip=False)  # theirs follows at once
            y = part.draw(canvas, x, y, width)
        return y


@dataclass
class Plus(Element):
    """A circle on the arrow where two things come together, and beside it the equation, or a word."""

    word: str = ""
    cited: Cited = NONE
    sign: str = "+"
    above: bool = False

    def draw(self, canvas: Canvas, x: float, y: float, width: float) -> float:
        """Draw it; the word is beside the circle, or above what comes in from the right."""
        radius, middle = 7.0, x + SPINE
        bounds = Bounds(middle - radius, y, middle + radius, y + 2 * radius)
        circle = f"M{number(middle - radius)} {number(y + radius)}a7 7 0 1 0 14 0a7 7 0 1 0 -14 0"
        canvas.put(Path(bounds, circle, "node"))
        cross = f"M{number(middle - 4)} {number(y + radius)}h8m-4 -4v8"
        if self.sign == "×":
            cross = f"M{number(middle - 3)} {number(y + radius - 3)}l6 6m0 -6l-6 6"
        canvas.put(Path(bounds, cross, "sign"))
        beside, level = middle + radius + 6, y + radius + (-5 if self.above else 4)
        said = (
            (self.cited.label, "eq"),
            (self.cited.formula or self.word, "formula" if self.cited.formula else "mark"),
        )
        for text, look in said:
            if text:
                canvas.words(beside, level, text, look)
                beside += width_of(text, *FONTS[look]) + 8
        return y + 2 * radius


@dataclass
class Residual(Element):
    """A shortcut around some elements, and the node where it is added."""

    parts: Sequence[Element]
    word: str = ""
    cited: Cited = NONE
    sign: str = "+"
    lane: float = LANE

    def draw(self, canvas: Canvas, x: float, y: float, width: float) -> float:
        """Draw it."""
        begin = y + 2
        canvas.line((x + SPINE, y), (x + SPINE, begin + 14), tip=not isinstance(self.parts[0], Branches))
        end = Flow([*self.parts, Arrow()]).draw(canvas, x, begin + 14, width)
        middle = end + 7
        left = x - self.lane
        canvas.line((x + SPINE, begin), (left, begin), (left, middle), (x + SPINE - 7, middle), look="line skip")
        return Plus(self.word, self.cited, self.sign).draw(canvas, x, end, width)


@dataclass
class Branches(Element):
    """Several flows side by side that begin at one arrow; `join` is drawn where they come together, if they do."""

    flows: Sequence[Sequence[Element]]
    join: Element | None = None
    shares: Sequence[float] = ()  # of the width, of each
    gap: float = 12.0

    def draw(self, canvas: Canvas, x: float, y: float, width: float) -> float:
        """Draw it."""
        free = width - self.gap * (len(self.flows) - 1)
        shares = self.shares or [1 / len(self.flows)] * len(self.flows)
        lefts, ends, left = list[float](), list[float](), x
        for flow, share in zip(self.flows, shares, strict=True):
            start = (x + SPINE, y)
            corner = [] if left == x else [(x + SPINE, y + 6), (left + SPINE, y + 6)]
            canvas.line(start, *corner, (left + SPINE, y + 20), tip=True)
            lefts.append(left)
            ends.append(Flow(flow).draw(canvas, left, y + 20, share * free))
            left += share * free + self.gap
        if self.join is None:
            return max(ends)
        bottom = max(ends) + 14
        for left, end in zip(lefts, ends, strict=True):
            if left > x and isinstance(self.join, Plus):
                canvas.line((left + SPINE, end), (left + SPINE, bottom + 7), (x + SPINE + 7, bottom + 7))
            else:
                canvas.line((left + SPINE, end), (left + SPINE, bottom), tip=True)
        return self.join.draw(canvas, x, bottom, width)


@dataclass
class Gap(Element):
    """Some room, with a line of words if there are any."""

    text: str = ""
    height: float = 10

    def draw(self, canvas: Canvas, x: float, y: float, width: float) -> float:
        """Draw it."""
        for line in wrap(self.text, *_font("text", width)):
            y += LINE
            canvas.put(Words(x, y, line, "text"))
        return y + self.height


@dataclass
class Picture(Element):
    """A painting of its own, with a caption above."""

    paint: Painter
    caption: str = ""
    note: str = ""

    def draw(self, canvas: Canvas, x: float, y: float, width: float) -> float:
        """Draw it."""
        for look, text in (("name", self.caption), ("text", self.note)):
            for line in wrap(text, *_font(look, width)):
                y += LINE + 1
                canvas.words(x, y, line, look)
        return self.paint(canvas, x, y + 8, width)
