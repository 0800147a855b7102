"""The figure of a timeline: faces above, curves of probabilities in the middle, a band of answers below."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dferlib.emotions import COLOURS
from dferlib.inference.lettering import for_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#333333"
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.titlesize": 9,
}
LONGEST = 72  # signs of a title, which fit even if they are Chinese
THUMBNAILS = 10  # faces above the curves


def draw_timeline(
    *,
    title: str,
    duration: float,
    times: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    labels: Sequence[str],
    thumbnails: Sequence[tuple[float, np.ndarray]],
    threshold: float,
) -> "Figure":
    """Draw what a model says of a face over time.

    Args:
        title: above everything.
        duration: seconds of the whole video.
        times: the middle of each window in seconds, `(N,)`, rising.
        probabilities: `(N, C)`.
        classes: names of the C classes.
        labels: the answer in each window; one that is no class is drawn hatched.
        thumbnails: at most ten faces, `(seconds, uint8 (S, S, 3))` each.
        threshold: the probability above which there is an answer, a dotted line.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    wide, high = 7.6, 2.6  # inches of the curves
    slot = wide / THUMBNAILS
    figure = Figure(figsize=(wide + 2.3, high + slot + 1.35), facecolor="white")
    width, height = figure.get_size_inches()

    def place(bottom: float, tall: float) -> "Axes":
        return figure.add_axes((0.65 / width, bottom / height, wide / width, tall / height))

    end = max(duration, float(times[-1]), 1e-3)
    spans = _spans(times, end)
    letters, (title, *words) = for_matplotlib(title, *classes, *labels)
    classes, labels = words[: len(classes)], words[len(classes) :]
    if len(title) > LONGEST:
        title = f"{title[: LONGEST // 2]}…{title[-(LONGEST // 2 - 1) :]}"
    with rc_context(STYLE | letters):  # type: ignore[arg-type]
        band, curves, faces = place(0.5, 0.2), place(0.8, high), place(0.9 + high, slot)
        _draw_faces(faces, thumbnails, end=end)
        _draw_curves(curves, times=times, probabilities=probabilities, classes=classes, spans=spans, end=end)
        curves.axhline(100 * threshold, color="#BBBBBB", lw=0.8, ls=":", zorder=0)
        _draw_labels(band, labels=labels, classes=classes, spans=spans, end=end)
        faces.set_title(title, loc="left", color=INK)
    return figure


def _draw_faces(axes: "Axes", thumbnails: Sequence[tuple[float, np.ndarray]], end: float) -> None:
    """The faces, each above its own time."""
    for time, face in thumbnails:
        centre = time / end * THUMBNAILS
        axes.imshow(face, extent=(centre - 0.47, centre + 0.47, 0, 0.94), interpolation="bilinear")
    axes.set(xlim=(0, THUMBNAILS), ylim=(0, 1), aspect="auto")
    axes.set_axis_off()


def _draw_curves(
    axes: "Axes", *, times: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], spans: np.ndarray, end: float
) -> None:
    """A line a class, and grey where no face was seen."""
    rows = 100 * probabilities
    # a line must not run on where no face was seen
    breaks = np.flatnonzero(spans[1:, 0] > spans[:-1, 1] + 1e-6) + 1
    x, y = np.insert(times, breaks, np.nan), np.insert(rows, breaks, np.nan, axis=0)
    order = sorted(range(len(classes)), key=lambda k: -rows[:, k].max())
    for k in order:
        axes.plot(x, y[:, k], "-o", ms=2.5, lw=1.8, clip_on=False, color=_colour(classes, k), label=classes[k])
    ends = [0.0, *spans.ravel().tolist(), end]
    for start, stop in zip(ends[::2], ends[1::2], strict=True):
        if stop - start > 1e-6:
            axes.axvspan(start, stop, color="#EEEEEE", lw=0)
            axes.text((start + stop) / 2, 50, "no face", rotation=90, ha="center", va="center", color="#888888", size=8)
    axes.set(xlim=(0, end), ylim=(0, 102), ylabel="probability, %")
    axes.tick_params(labelbottom=False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), frameon=False)


def _draw_labels(axes: "Axes", *, labels: Sequence[str], classes: Sequence[str], spans: np.ndarray, end: float) -> None:
    """One colour a moment: what the model says, or that it is unsure."""
    stretches: dict[str, list[tuple[float, float]]] = {}  # of each label, all at once: thousands take seconds to draw
    start = 0
    for k in range(1, len(labels) + 1):
        if k < len(labels) and labels[k] == labels[start] and spans[k, 0] <= spans[k - 1, 1] + 1e-6:
            continue
        left, right, label = spans[start, 0], spans[k - 1, 1], labels[start]
        stretches.setdefault(label, []).append((left, right - left))
        if right - left > 0.011 * (len(label) + 1) * end:
            sure = label in classes
            style: dict[str, Any] = {"color": "white"} if sure else {"color": "#777777", "backgroundcolor": "#F2F2F2"}
            axes.text((left + right) / 2, 0.47, label, ha="center", va="center", size=8, **style)
        start = k
    for label, places in stretches.items():
        sure = label in classes
        colour = _colour(classes, classes.index(label)) if sure else "#F2F2F2"
        axes.broken_barh(places, (0, 1), facecolor=colour, edgecolor="#BBBBBB", hatch=None if sure else "/////", lw=0)
    for label in set(labels) - set(classes):
        axes.text(1.015, 0.47, f"hatched: {label}", transform=axes.transAxes, va="center", color="#777777", size=8)
    axes.set(xlim=(0, end), ylim=(0, 1), xlabel="seconds", yticks=[])
    axes.spines[:].set_visible(False)


def _spans(times: np.ndarray, end: float) -> np.ndarray:
    """From when to when each window's answer stands, `(N, 2)`: halfway to its neighbours, unless they are far."""
    gaps = np.diff(times)
    step = float(np.median(gaps)) if len(gaps) else end
    reach = np.where(gaps > 2 * step, step, gaps) / 2
    # the video may go on for less than a step before the first window and after the last
    before, after = np.concatenate([[step], reach]), np.concatenate([reach, [step]])
    return np.stack([times - before, times + after], 1).clip(0, end)


def _colour(classes: Sequence[str], k: int) -> str:
    """The book's colour of a class; classes that it does not know get matplotlib's, in turn."""
    return COLOURS.get(classes[k], f"C{k % 10}")
