"""What a model says of a face, moment by moment: as arrays, as CSV and JSON, as a table and as a figure."""

import csv
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dferlib.errors import InputError
from dferlib.files import spell, written_whole
from dferlib.inference.drawing import draw_timeline
from dferlib.video.faces.tracking import Track

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SURE = 0.5  # the most probable class must be more probable than all others together, or the answer is "unsure"
UNSURE = "unsure"
ROWS = 16  # lines of the printed table


@dataclass(frozen=True)
class Heat:
    """Where in the frames of each window the evidence for its most probable class lies.

    Attributes:
        times: seconds of the frames that the model saw, `(N, F)`.
        maps: uint8 `(N, F, 14, 14)`; 255 is the strongest place of the window.
        share: side of what the model sees over the side of the cut-out face.
    """

    times: np.ndarray
    maps: np.ndarray
    share: float


@dataclass(frozen=True)
class Timeline:
    """What a model says of a face, moment by moment.

    Attributes:
        video: the file.
        duration: its length in seconds.
        times: the middle of each window in seconds `(N,)`, rising; moments without a face have none.
        probabilities: of each class in each window, float64 `(N, C)`.
        classes: names of the C classes.
        boxes: where the face is then, `(N, 3)`: middle x, middle y and side of the detector's box, in pixels of the
            first frame, see `VideoInfo.scale`.
        thumbnails: a few faces as they were cut out, evenly spaced, `(seconds, uint8 (S, S, 3))` each.
        face: number of the face in the video, from 1; the most visible comes first.
        track: where the face is in all frames in which it was looked for.
        heat: where the model looked, if that was asked for: Grad-CAM of the most probable class, see `Heat`.
        distances: how far each window is from what the model has learnt from, `(N,)`: beyond 1, farther than 95 % of
            its validation clips. Empty, or 0, where the checkpoint does not say.
    """

    video: Path
    duration: float
    times: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...]
    boxes: np.ndarray
    thumbnails: tuple[tuple[float, np.ndarray], ...] = ()
    face: int = 1
    track: Track = field(default_factory=lambda: Track(np.empty(0), np.empty((0, 3))))
    heat: Heat | None = None
    distances: np.ndarray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        if len(self.distances) != len(self.times):
            object.__setattr__(self, "distances", np.zeros(len(self.times)))

    @property
    def labels(self) -> list[str]:
        """The most probable class of each window, or "unsure": see `to_label`."""
        rows = zip(self.probabilities, self.distances, strict=True)
        return [to_label(row, self.classes, distance) for row, distance in rows]

    def to_csv(self, path: Path | str) -> None:
        """Write a line a window: `time`, each class, `label`, `x`, `y`, `side`, `distance`. Nothing is rounded."""
        places = np.column_stack([self.boxes, self.distances])
        numbers = (self.times.tolist(), self.probabilities.tolist(), self.labels, places.tolist())
        with written_whole(Path(path)) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator=os.linesep)
            table.writerow(["time", *self.classes, "label", "x", "y", "side", "distance"])
            table.writerows([time, *row, label, *place] for time, row, label, place in zip(*numbers, strict=True))

    def to_json(self, path: Path | str) -> None:
        """Write the same as `to_csv`, with the video, its duration and the classes."""
        columns = (self.times, self.probabilities, self.boxes, self.distances)
        windows = [
            {
                **{"time": time, "label": label, "probabilities": dict(zip(self.classes, row, strict=True))},
                **{"box": box, "distance": distance},
            }
            for label, time, row, box, distance in zip(
                self.labels, *(column.tolist() for column in columns), strict=True
            )
        ]
        about = {
            "video": str(self.video),
            "face": self.face,
            "duration": self.duration,
            "classes": self.classes,
            "windows": windows,
        }
        with written_whole(Path(path)) as temporary:
            temporary.write_text(json.dumps(about, indent=1), encoding="utf-8")

    def figure(self) -> "Figure":
        """Faces, curves and labels over time, as a figure of matplotlib: what a notebook shows."""
        return draw_timeline(
            title=spell(self.video.name),
            duration=self.duration,
            times=self.times,
            probabilities=self.probabilities,
            classes=self.classes,
            labels=self.labels,
            thumbnails=self.thumbnails,
            threshold=SURE,
        )

    def plot(self, path: Path | str) -> None:
        """Draw faces, curves and labels over time; the suffix of `path` names the format (png, svg, pdf).

        Raises:
            InputError: matplotlib does not know the format, or the file cannot be written.
        """
        from matplotlib.backend_bases import FigureCanvasBase

        path = Path(path)
        if path.suffix[1:].lower() not in FigureCanvasBase.get_supported_filetypes():
            raise InputError(f"cannot draw {path}: end the name in .png, .svg or .pdf")
        with written_whole(path) as temporary:
            self.figure().savefig(temporary, dpi=150)

    def table(self, rows: int = ROWS) -> str:
        """Percentages as text, at most `rows` moments, spread evenly."""
        chosen = np.unique(np.linspace(0, len(self.times) - 1, min(rows, len(self.times))).round().astype(int))
        widths = [max(5, len(name)) for name in self.classes]
        head = "  ".join(f"{name:>{width}}" for name, width in zip(self.classes, widths, strict=True))
        lines = [f"{'time':>8}  {head}"]
        for k in chosen:
            cells = "  ".join(f"{100 * p:{w}.1f}" for p, w in zip(self.probabilities[k], widths, strict=True))
            lines.append(f"{self.times[k]:6.2f} s  {cells}  {self.labels[k]}")
        return "\n".join(lines)


def to_label(probabilities: np.ndarray, classes: tuple[str, ...], distance: float = 0.0) -> str:
    """The most probable class of `probabilities` `(C,)`, or "unsure".

    Unsure is an answer if no class has more than half of the probability, or if the face is unlike those that the model
    has learnt from: `distance` beyond 1.
    """
    top = int(probabilities.argmax())
    return classes[top] if probabilities[top] > SURE and distance <= 1 else UNSURE
