"""Panels beside a playing clip: curves over its time, and bars of the moment. They are whole without a script."""

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from dferlib.emotions import COLOURS
from dferlib.errors import InputError

Values = Mapping[str, np.ndarray] | Mapping[str, Mapping[str, np.ndarray]]

# seven that stay apart for colour-blind readers, after Okabe and Ito
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
WIDE = 1000  # of the drawing, which is stretched


@dataclass(frozen=True)
class Curves:
    """Curves over the time of a clip, with a cursor at the frame that is shown.

    Attributes:
        title: above them.
        values: by name, (F,) each; or such a mapping for each clip, by the name of the clip.
        low: what the lower edge stands for.
        high: what the upper edge stands for.
        marks: by name, (F,) bool: moments to shade; or such a mapping for each clip.
    """

    title: str
    values: Values
    low: float = 0.0
    high: float = 1.0
    marks: Values = field(default_factory=dict)

    def of(self, clip: str) -> "Curves":
        """Those of one clip."""
        return Curves(self.title, _of(self.values, clip), self.low, self.high, _of(self.marks, clip))

    def markup(self, seconds: float) -> str:
        """Their HTML.

        Args:
            seconds: between the first frame and the last.
        """
        lines = [
            f'<polyline style="--c:{colour}" points="{_points(self._up(values))}"/>'
            for colour, (_, values) in _coloured(self.values)
        ]
        shades, labels = self._shades()
        keys = "".join(
            f'<li style="--c:{colour}"><span>{html.escape(name)}</span><b>{_short(values[0])}</b></li>'
            for colour, (name, values) in _coloured(self.values)
        )
        drawing = f'<svg viewBox="0 0 {WIDE} 100" preserveAspectRatio="none">{shades}{"".join(lines)}</svg>'
        return (
            f'<div class="fim-panel fim-curves"><p class="fim-title">{html.escape(self.title)}</p>'
            f'<div class="fim-plot" role="img" aria-label="{html.escape(self.words(seconds))}">{drawing}{labels}</div>'
            f'<p class="fim-axis"><span>0 s</span><span>{seconds:g} s</span></p><ul class="fim-keys">{keys}</ul></div>'
        )

    def data(self) -> list[dict[str, object]]:
        """What the script needs: of each curve the values, and how high they lie, 0 to 1."""
        return [
            {"v": [_short(x) for x in values], "y": [round(float(y), 3) for y in self._up(values)]}
            for _, (_, values) in _coloured(self.values)
        ]

    def words(self, seconds: float) -> str:
        """What they show, for those who do not see it."""
        said = []
        for _, (name, values) in _coloured(self.values):
            peak = int(np.argmax(values))
            when = seconds * peak / max(1, len(values) - 1)
            said.append(f"{name} has its peak, {_short(values[peak])}, at {when:.1f} s")
        return f"{self.title}: {'; '.join(said) or 'nothing'}"

    def _up(self, values: np.ndarray) -> np.ndarray:
        return ((np.asarray(values, float) - self.low) / (self.high - self.low)).clip(0, 1)

    def _shades(self) -> tuple[str, str]:
        """Shaded moments, and their names above them."""
        shades, labels = "", ""
        for (name, where), shade in zip(self.marks.items(), ("a", "b", "a"), strict=False):
            moments = np.asarray(where, bool)
            count = len(moments) - 1
            for first, last in _runs(moments):
                left, right = (100 * min(max(x / count, 0.0), 1.0) for x in (first - 0.5, last + 0.5))
                box = f'x="{left * WIDE / 100:.0f}" width="{(right - left) * WIDE / 100:.0f}"'
                shades += f'<rect class="fim-shade-{shade}" {box} y="0" height="100"/>'
                labels += f'<span class="fim-mark" style="left:{(left + right) / 2:.1f}%">{html.escape(name)}</span>'
        return shades, labels


@dataclass(frozen=True)
class Bars:
    """Bars of what is so at the frame that is shown, such as the probabilities of the classes.

    Attributes:
        title: above them.
        values: by name, (F,) each from 0 to 1; or such a mapping for each clip, by the name of the clip.
        first: the frame whose values stand there where scripts are off.
    """

    title: str
    values: Values
    first: int = 0

    def of(self, clip: str) -> "Bars":
        """Those of one clip."""
        return Bars(self.title, _of(self.values, clip), self.first)

    def markup(self, seconds: float) -> str:
        """Their HTML.

        Args:
            seconds: between the first frame and the last.
        """
        rows = "".join(
            f'<li style="--c:{colour}"><span>{html.escape(name)}</span>'
            f'<i style="--v:{float(values[self.first]):.3f}"></i><b>{100 * float(values[self.first]):.0f} %</b></li>'
            for colour, (name, values) in _coloured(self.values)
        )
        title = html.escape(self.title)
        head = f'<p class="fim-title">{title}</p>'
        return f'<div class="fim-panel fim-bars">{head}<ul aria-label="{title}">{rows}</ul></div>'

    def data(self) -> list[dict[str, object]]:
        """What the script needs."""
        return [{"y": [round(float(x), 3) for x in values]} for _, (_, values) in _coloured(self.values)]


Panel = Curves | Bars


def is_by_clip(panel: Panel, clips: Iterable[str]) -> bool:
    """Whether a panel stands with a clip: it has values of its own for each, or there is one clip only.

    Raises:
        InputError: it has them for some of the clips only.
    """
    if not any(isinstance(value, Mapping) for value in panel.values.values()):
        return len(tuple(clips)) == 1
    if missing := sorted(set(clips) - set(panel.values)):
        raise InputError(f"the panel {panel.title!r} has nothing for {', '.join(missing)}: give values for every clip")
    return True


def check_panel(panel: Panel, frames: int) -> None:
    """See that every curve has a value for every frame.

    Raises:
        InputError: one has not.
    """
    for name, values in panel.values.items():
        rows = values.items() if isinstance(values, Mapping) else ((name, values),)
        for row, one in rows:
            if np.shape(one) != (frames,):
                raise InputError(
                    f"{row!r} in {panel.title!r} has the shape {np.shape(one)}, the clips have {frames} frames"
                )


def _of(values: Values, clip: str) -> Values:
    mine = values.get(clip)
    return mine if isinstance(mine, Mapping) else values


def _coloured(values: Values) -> list[tuple[str, tuple[str, np.ndarray]]]:
    """Names and values with their colours."""
    return [
        (COLOURS.get(name, CYCLE[k % len(CYCLE)]), (name, np.asarray(one)))
        for k, (name, one) in enumerate(values.items())
    ]


def _points(up: np.ndarray) -> str:
    step = WIDE / max(1, len(up) - 1)
    return " ".join(f"{k * step:.0f},{100 - 100 * y:.1f}" for k, y in enumerate(up))


def _short(value: float) -> str:
    return f"{float(value):.2f}"


def _runs(where: np.ndarray) -> list[tuple[int, int]]:
    """First and last place of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], where.astype(np.int8), [0]])))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]
