"""What a drawing is made of: boxes, words, lines and paths with known bounds, and how they become SVG."""

import re
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

from dferlib.book.drawings.text import width_of
from dferlib.book.drawings.trace import Shape

# pixels of each kind of words, and whether they are bold
FONTS = {
    "head": (14, True),
    "sub": (11, False),
    "name": (12.5, True),
    "text": (11, False),
    "eq": (10.5, True),
    "count": (10.5, False),
    "size": (11, False),
    "axis": (9.5, False),
    "times": (12, True),
    "mark": (10.5, False),
    "formula": (12, False),
    "place": (10.5, True),
}
DROP = 2  # pixels, how far below the line an index stands
CORNER = 5.0  # pixels, how round the corners of a line are
ASCENT, DESCENT = 0.78, 0.22  # of the height of a line of words, above and below the line it stands on


class Bounds(NamedTuple):
    """A rectangle that nothing may share."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Bounds", slack: float = 0.1) -> bool:
        """Whether the two share more than their edges."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return across > slack and down > slack

    def holds(self, other: "Bounds", slack: float = 0.1) -> bool:
        """Whether the other lies within this one."""
        sides = (other.left - self.left, other.top - self.top, self.right - other.right, self.bottom - other.bottom)
        return min(sides) >= -slack


def number(value: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{round(value, 1):g}"


def pen(*parts: str | float) -> str:
    """What a path is drawn by: of "M", 1, 2, "h" and 3 it is "M1 2h3"."""
    drawn = ""
    for part in parts:
        word = part if isinstance(part, str) else number(part)
        drawn += f" {word}" if drawn and drawn[-1].isdigit() and not isinstance(part, str) else word
    return drawn


@dataclass(frozen=True)
class Words:
    """A line of words that stands on (x, y): it starts there, or has its middle or its end there."""

    x: float
    y: float
    text: str
    look: str
    anchor: str = "start"

    @property
    def bounds(self) -> Bounds:
        """What they cover, in the widest font."""
        size, bold = FONTS[self.look.split()[0]]
        wide = width_of(self.text, size, bold)
        left = self.x - {"start": 0, "middle": wide / 2, "end": wide}[self.anchor]
        return Bounds(left, self.y - ASCENT * size, left + wide, self.y + DESCENT * size)

    def svg(self) -> str:
        """As SVG."""
        name = f"{self.look} {self.anchor}" if self.anchor != "start" else self.look
        text = escape(self.text, quote=False)
        if self.look == "formula":
            low, back = f'<tspan class="index" dy="{DROP}">', f'<tspan dy="-{DROP}">&#8203;</tspan>'  # an empty sign
            text = re.sub(r"_(\w)", rf"{low}\1</tspan>{back}", text)
        return f'<text class="{name}" x="{number(self.x)}" y="{number(self.y)}">{text}</text>'


@dataclass(frozen=True)
class Box:
    """A rectangle. `look` says what it is; "frame" and "sheet" lie behind others."""

    bounds: Bounds
    look: str
    radius: float = 5

    def svg(self) -> str:
        """As SVG."""
        left, top, right, bottom = self.bounds
        size = f'width="{number(right - left)}" height="{number(bottom - top)}" rx="{number(self.radius)}"'
        return f'<rect class="{self.look}" x="{number(left)}" y="{number(top)}" {size}/>'


@dataclass(frozen=True)
class Line:
    """A line through points, with or without a tip at its end."""

    points: tuple[tuple[float, float], ...]
    tip: bool = False
    look: str = "line"

    def svg(self) -> str:
        """As SVG; corners are a little round."""
        points, (x, y) = self.points, self.points[-1]
        across, down = _step(points[-2], points[-1])
        path = [f"M{number(points[0][0])} {number(points[0][1])}"]
        for before, corner, after in zip(points, points[1:], points[2:], strict=False):
            enter, leave = _towards(corner, before, CORNER), _towards(corner, after, CORNER)
            path.append(f"L{enter}Q{number(corner[0])} {number(corner[1])} {leave}")
        path.append(f"L{number(x - 4 * across * self.tip)} {number(y - 4 * down * self.tip)}")
        drawn = f'<path class="{self.look}" d="{"".join(path)}"/>'
        if self.tip:
            foot = (x - 6 * across, y - 6 * down)
            ends = [(foot[0] + 3.5 * sign * down, foot[1] + 3.5 * sign * across) for sign in (-1, 1)]
            tip = "L".join(f"{number(a)} {number(b)}" for a, b in [*ends, (x, y)])
            drawn += f'<path class="tip" d="M{tip}z"/>'
        return drawn


def _step(one: tuple[float, float], other: tuple[float, float]) -> tuple[int, int]:
    """The direction from one point to another on the same height or below each other."""
    across, down = other[0] - one[0], other[1] - one[1]
    return (across > 0.01) - (across < -0.01), (down > 0.01) - (down < -0.01)


def _towards(one: tuple[float, float], other: tuple[float, float], far: float) -> str:
    """The point that lies so far from one towards the other, at most half-way."""
    length = abs(other[0] - one[0]) + abs(other[1] - one[1])
    part = min(far / length, 0.5) if length else 0
    return " ".join(number(a + part * (b - a)) for a, b in zip(one, other, strict=True))


@dataclass(frozen=True)
class Path:
    """Any shape, with its bounds."""

    bounds: Bounds
    d: str
    look: str

    def svg(self) -> str:
        """As SVG."""
        return f'<path class="{self.look}" d="{self.d}"/>'


@dataclass(frozen=True)
class Sizes:
    """A shape beside an arrow: its numbers, and under each the letter of its axis."""

    words: tuple[Words, ...]
    shape: Shape
    axes: tuple[str, ...]

    def svg(self) -> str:
        """As SVG, with the shape in attributes, where tests and tools find it."""
        shape, axes = (",".join(map(str, part)) for part in (self.shape, self.axes))
        return f'<g data-shape="{shape}" data-axes="{axes}">{"".join(word.svg() for word in self.words)}</g>'


Thing = Words | Box | Line | Path | Sizes


@dataclass
class Canvas:
    """Collects what is drawn: what lies behind, what lies before it, and what both say to those who cannot see them."""

    behind: list[Thing] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def put(self, thing: Thing) -> None:
        """Draw something."""
        self.things.append(thing)

    def words(self, x: float, y: float, text: str, look: str, anchor: str = "start") -> None:
        """Draw a line of words, if there are any."""
        if text:
            self.things.append(Words(x, y, text, look, anchor))

    def line(self, *points: tuple[float, float], tip: bool = False, look: str = "line") -> None:
        """Draw a line."""
        self.things.append(Line(points, tip, look))

    def all_words(self) -> list[Words]:
        """Every line of words."""
        found = [thing for thing in self.things if isinstance(thing, Words)]
        return found + [words for thing in self.things if isinstance(thing, Sizes) for words in thing.words]

    def looks(self) -> set[str]:
        """The last word of what the boxes look like, which says over what they work."""
        return {thing.look.split()[-1] for thing in self.behind if isinstance(thing, Box)}

    def svg(self) -> str:
        """Everything, as SVG."""
        return "".join(thing.svg() for thing in (*self.behind, *self.things))


def sizes(x: float, y: float, shape: Shape, axes: tuple[str, ...]) -> Sizes:
    """A shape whose numbers stand on y, from x on, with the letters of its axes under them."""
    gap, words = width_of("×", FONTS["size"][0]) + 7, []
    for k, (value, letter) in enumerate(zip(shape, axes, strict=True)):
        wide = max(width_of(str(value), FONTS["size"][0]), width_of(letter, FONTS["axis"][0]))
        words.append(Words(x + wide / 2, y, str(value), "size", "middle"))
        if letter != str(value):
            words.append(Words(x + wide / 2, y + 11.5, letter, "axis", "middle"))
        x += wide
        if k + 1 < len(shape):
            words.append(Words(x + gap / 2, y, "×", "axis", "middle"))
            x += gap
    return Sizes(tuple(words), shape, axes)
