"""From a film to the probability of each class over time."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm import tqdm

from dferlib.data.sampling import segment_indices
from dferlib.data.transforms import prepare, stored_size
from dferlib.devices import pick_device
from dferlib.errors import InputError
from dferlib.files import make_folder, written_whole
from dferlib.training.checkpoints import load_model, read_metadata
from dferlib.video import faces
from dferlib.video.reading import VideoInfo, probe, read_video

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RATE = 12.0  # pictures a second in which the face is looked for
# Seconds that the model sees at once. A clip of MakeFaces lasts two, but a window names the expression that is anywhere
# in it, so a long one blurs when it came and went. One second holds a rise; slow rises are in the training clips too.
WINDOW = 1.0
STEP = 0.25  # seconds from one window to the next
SURE = 0.5  # the most probable class must be more probable than all others together, or the answer is "unsure"
UNSURE = "unsure"
BATCH = 16  # windows at once
PICTURES = 10  # faces shown above the curves
PICTURE_SIDE = 112  # pixels
ROWS = 16  # lines of the printed table
HEAT_SIDE = 14  # places along each side of the kept heat: the maps that Grad-CAM reads are no finer


@dataclass(frozen=True)
class Heat:
    """Where in the pictures of each window the evidence for its most probable class lies.

    Attributes:
        times: seconds of the pictures that the model saw, `(N, T)`.
        maps: uint8 `(N, T, 14, 14)`; 255 is the strongest place of the window.
        share: side of what the model sees over the side of the cut-out face.
    """

    times: np.ndarray
    maps: np.ndarray
    share: float


@dataclass(frozen=True)
class Timeline:
    """What a model says of a face, moment by moment.

    Attributes:
        video: the film.
        duration: its length in seconds.
        times: the middle of each window in seconds `(N,)`, rising; moments without a face have none.
        probabilities: of each class in each window, float64 `(N, C)`.
        classes: names of the C classes.
        boxes: where the face is then, `(N, 3)`: middle x, middle y and side of the detector's box in pixels.
        pictures: a few faces as they were cut out, evenly spaced, `(seconds, uint8 (S, S, 3))` each.
        face: number of the face in the film, from 1; the most visible comes first.
        track: seconds `(M,)` of the pictures in which the face was looked for, and its box in each, `(M, 3)`, nan
            where it is out of sight.
        heat: where the model looked, if that was asked for: Grad-CAM of the most probable class, see `Heat`.
    """

    video: Path
    duration: float
    times: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...]
    boxes: np.ndarray
    pictures: tuple[tuple[float, np.ndarray], ...] = ()
    face: int = 1
    track: tuple[np.ndarray, np.ndarray] = (np.empty(0), np.empty((0, 3)))
    heat: "Heat | None" = None

    @property
    def labels(self) -> list[str]:
        """The most probable class of each window, or "unsure" where it has no more than half of the probability."""
        top = self.probabilities.argmax(1)
        return [self.classes[k] if row[k] > SURE else UNSURE for k, row in zip(top, self.probabilities, strict=True)]

    def to_csv(self, path: Path | str) -> None:
        """Write a line a window: `time`, a column for each class, `label`, `x`, `y`, `side`. Nothing is rounded."""
        import pandas as pd

        rows = pd.DataFrame(self.probabilities, columns=list(self.classes))
        rows.insert(0, "time", self.times)
        rows["label"] = self.labels
        rows[["x", "y", "side"]] = self.boxes
        with written_whole(Path(path)) as temporary:
            rows.to_csv(temporary, index=False)

    def to_json(self, path: Path | str) -> None:
        """Write the same as `to_csv`, with the film, its duration and the classes."""
        windows = [
            {"time": time, "label": label, "probabilities": dict(zip(self.classes, row, strict=True)), "box": box}
            for time, label, row, box in zip(
                self.times.tolist(), self.labels, self.probabilities.tolist(), self.boxes.tolist(), strict=True
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
            temporary.write_text(json.dumps({**about, "windows": windows}, indent=1), encoding="utf-8")

    def figure(self) -> "Figure":
        """Faces, curves and labels over time, as a figure of matplotlib: what a notebook shows."""
        return _drawn(self)

    def plot(self, path: Path | str) -> None:
        """Draw faces, curves and labels over time; the suffix of `path` names the format (png, svg, pdf)."""
        figure = self.figure()
        with written_whole(Path(path)) as temporary:
            try:
                figure.savefig(temporary, dpi=150)
            except ValueError as error:  # matplotlib does not know the format
                raise InputError(f"cannot draw {path}: end the name in .png, .svg or .pdf") from error

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


def predict_video(
    path: Path | str, checkpoint: Path | str, step: float = STEP, device: str = "auto", progress: bool = False
) -> Timeline:
    """Find the most visible face of a film, follow it, and ask a model what it shows, window by window.

    A window is a second long, and shorter at the ends of the film.

    Args:
        path: the film; a still picture is a film of one frame.
        checkpoint: a file that `save_model` wrote.
        step: seconds from one window to the next.
        device: where the model runs.
        progress: show a bar if it takes more than two seconds.

    Raises:
        InputError: the film or the checkpoint cannot be read, dlib is not installed, or no face is found.
    """
    return Predictor(checkpoint, device).predict(path, step, progress)[0]


def predict_faces(
    path: Path | str,
    checkpoint: Path | str,
    most: int = 4,
    step: float = STEP,
    device: str = "auto",
    progress: bool = False,
    cropped: bool = False,
    heat: bool = False,
) -> list[Timeline]:
    """Follow several faces of a film, and ask a model what each shows, window by window.

    Args:
        path: the film; a still picture is a film of one frame.
        checkpoint: a file that `save_model` wrote.
        most: how many faces; the most visible ones are taken.
        step: seconds from one window to the next.
        device: where the model runs.
        progress: show a bar if it takes more than two seconds.
        cropped: the middle square of each picture is the face already: nothing is looked for, and dlib is not needed.
        heat: keep where the model looks, for `write_film`; takes about four times as long.

    Returns:
        A timeline for each face, the most visible first.

    Raises:
        InputError: the film or the checkpoint cannot be read, dlib is not installed, or no face is found.
    """
    return Predictor(checkpoint, device).predict(path, step, progress, most, cropped, heat)


def run(
    videos: Sequence[Path],
    checkpoint: Path,
    out: Path = Path(),
    device: str = "auto",
    step: float = STEP,
    progress: bool = True,
    most: int = 1,
    cropped: bool = False,
    film: bool = False,
    heat: bool = False,
) -> None:
    """Predict one film or several: print a table of each and write its timeline as picture, CSV and JSON.

    A film that cannot be read does not keep the others from being done.

    Args:
        videos: the films.
        checkpoint: a file that `save_model` wrote.
        out: folder for NAME.timeline.png, .csv and .json; the films' names, numbered where two are the same. Further
            faces of a film have NAME.face2.timeline.png and so on.
        device: where the model runs.
        step: seconds from one window to the next.
        progress: show a bar for a film that takes more than two seconds, and one for all films if there are several.
        most: how many faces of a film to follow.
        cropped: the middle square of each picture is the face already.
        film: also write NAME.annotated.mp4, with boxes and probabilities.
        heat: draw into it where the model looks.

    Raises:
        InputError: at least one film could not be done. If there are several, each has had its line on stderr.
    """
    from dferlib.inference.annotating import write_film

    predictor = Predictor(checkpoint, device)
    make_folder(out)
    failed, taken = 0, set[str]()
    for video in tqdm(videos, "videos", unit="video", disable=not progress or len(videos) == 1):
        try:
            timelines = predictor.predict(video, step, progress, most, cropped, film and heat)
            name = _unused(Path(video).stem, taken)
            for timeline in timelines:
                _write(timeline, out, name if timeline.face == 1 else f"{name}.face{timeline.face}")
            if film:
                write_film(timelines, out / f"{name}.annotated.mp4", progress)
                tqdm.write(f"annotated film {out / f'{name}.annotated.mp4'}\n")
        except InputError as error:
            if len(videos) == 1:
                raise
            failed += 1
            tqdm.write(f"dferlib: {error}", file=sys.stderr)
    if failed:
        raise InputError(f"{failed} of {len(videos)} videos could not be done: see the lines above")


def _write(timeline: Timeline, out: Path, name: str) -> None:
    """Write the timeline of a face in three forms, and print it."""
    # the suffix is put on by hand because a film's name may have dots of its own
    picture, table, text = (out / f"{name}.timeline.{suffix}" for suffix in ("png", "csv", "json"))
    timeline.plot(picture)
    timeline.to_csv(table)
    timeline.to_json(text)
    which = f", face {timeline.face}" if timeline.face > 1 else ""
    heading = f"{timeline.video}{which}: {timeline.duration:.1f} s, percent of each class over time"
    tqdm.write(f"{heading}\n{timeline.table()}\ntimeline {picture}, numbers {table} and {text}\n")


def _unused(stem: str, taken: set[str]) -> str:
    """A name that no film before has had."""
    name, number = stem, 2
    while name.lower() in taken:  # two names may differ by case only where the file system sees none
        name, number = f"{stem}-{number}", number + 1
    taken.add(name.lower())
    return name


def windows(times: np.ndarray, boxes: np.ndarray, step: float) -> list[tuple[int, np.ndarray]]:
    """Lay windows over the pictures that show the face.

    Args:
        times: seconds of each picture `(N,)`, rising.
        boxes: `(N, 3)`, nan where there is no face.
        step: seconds from one window to the next.

    Returns:
        For each window the picture in its middle, and all with a face that are at most half a second away from it.
    """
    there = np.flatnonzero(np.isfinite(boxes[:, 2]))
    steps = np.arange(0, times[-1] + step / 2, step)
    after = np.searchsorted(times, steps).clip(0, len(times) - 1)
    before = (after - 1).clip(0)
    # the picture nearest to each step; two steps may share one where pictures are rare
    middles = np.unique(np.where(steps - times[before] < times[after] - steps, before, after))
    out = []
    for middle in middles[np.isin(middles, there)]:
        first, last = np.searchsorted(times[there], times[middle] + np.array([-1, 1]) * (WINDOW / 2 + 1e-6))
        out.append((int(middle), there[first:last]))
    return out


class Predictor:
    """A model, ready for one film after the other.

    Args:
        checkpoint: a file that `save_model` wrote.
        device: where the model runs.

    Raises:
        InputError: the checkpoint cannot be read.
    """

    def __init__(self, checkpoint: Path | str, device: str = "auto") -> None:
        self.device = pick_device(device)
        self.model: Any = load_model(checkpoint, self.device)
        self.spec = self.model.input_spec
        # pairs of neighbours, say, if the model has learnt from these
        self.per_segment = read_metadata(checkpoint)["metadata"].get("train", {}).get("per_segment", 1)

    def predict(
        self,
        path: Path | str,
        step: float,
        progress: bool,
        most: int = 1,
        cropped: bool = False,
        heat: bool = False,
    ) -> list[Timeline]:
        """What `predict_faces` does, which see."""
        if not step >= 1 / RATE:
            raise InputError(f"the step is {step} s: give at least {1 / RATE:.2f} s, for there is no more to see")
        if most < 1:
            raise InputError(f"{most} faces are asked for: give 1 or more")
        info = probe(path)
        times, tracks = self._whole(info, progress) if cropped else self._follow(info, progress)
        made = [self._timeline(info, times, boxes, step, progress, heat) for boxes in tracks[:most]]
        return [replace(timeline, face=number) for number, timeline in enumerate(made, 1)]

    def _timeline(
        self, info: VideoInfo, times: np.ndarray, boxes: np.ndarray, step: float, progress: bool, heat: bool
    ) -> Timeline:
        """What the model says of one face."""
        placed = windows(times, boxes, step)
        count = min(PICTURES, len(times))
        slots = (np.arange(count) + 0.5) * info.duration / count
        shown = np.abs(times[None] - slots[:, None]).argmin(1).tolist()
        pictures = {k: np.empty(0, np.uint8) for k in shown if np.isfinite(boxes[k, 2])}
        maps: list[np.ndarray] | None = [] if heat else None
        chosen = [self.choose(those) for _, those in placed]
        probabilities = self._ask(info, boxes, chosen, pictures, progress, maps)
        middles = [middle for middle, _ in placed]
        kept = tuple((float(slot), pictures[k]) for slot, k in zip(slots, shown, strict=True) if k in pictures)
        share = self.spec.size / stored_size(self.spec.size)
        looked = Heat(times[np.stack(chosen)], np.concatenate(maps), share) if maps else None
        return Timeline(
            info.path,
            info.duration,
            times[middles],
            probabilities,
            self.model.classes,
            boxes[middles],
            kept,
            track=(times, boxes),
            heat=looked,
        )

    def choose(self, those: np.ndarray) -> np.ndarray:
        """The ones among the pictures of a window `(N,)` that the model sees, `(T,)`: the middle of each segment."""
        return those[segment_indices(len(those), self.spec.frames // self.per_segment, self.per_segment)]

    def cut(self, picture: np.ndarray, box: np.ndarray) -> np.ndarray:
        """A face `(3, S, S)` of the model's stored size; see `faces.cut`."""
        return faces.cut(picture, box, stored_size(self.spec.size)).transpose(2, 0, 1)

    def logits(self, clips: np.ndarray) -> torch.Tensor:
        """What the model says of clips `(B, T, 3, S, S)` uint8 of its stored size, float64 `(B, C)`."""
        with torch.inference_mode():
            return self.model(prepare(torch.from_numpy(clips).to(self.device), self.spec)).double().cpu()

    def _whole(self, info: VideoInfo, progress: bool) -> tuple[np.ndarray, list[np.ndarray]]:
        """Seconds of each picture and one track, which is the middle square of all."""
        times = np.array([time for time, _ in _watched(info, "reading", progress, faces.SIDE)])
        size = np.broadcast_to(np.uint8(0), (info.height, info.width, 3))
        return times, [np.repeat(faces.whole(size), len(times), 0)]

    def _follow(self, info: VideoInfo, progress: bool) -> tuple[np.ndarray, list[np.ndarray]]:
        """Seconds of each picture `(N,)` and for each face the box in it `(N, 3)`."""
        describe = faces.describer()
        for side, doing in ((faces.SIDE, "looking for a face"), (faces.FINE_SIDE, "looking for small faces")):
            times, found, people = [], [], []
            seen = None
            for k, (time, picture) in enumerate(_watched(info, doing, progress, side)):
                if picture is not seen:  # a picture that is held shows what it showed
                    boxes = faces.detect(picture, side * faces.DITHER[k % len(faces.DITHER)])
                    who = describe(picture, boxes) if describe else np.empty((len(boxes), 0))
                    boxes *= max(info.width, info.height) / max(picture.shape)
                    seen = picture
                times.append(time)
                found.append(boxes)
                people.append(who)
            if tracks := faces.follow_all(np.array(times), found, people if describe else None):
                return np.array(times), tracks
        raise InputError(f"no face found in {info.path}: give a film in which a face looks towards the camera")

    def _ask(
        self,
        info: VideoInfo,
        boxes: np.ndarray,
        chosen: list[np.ndarray],
        pictures: dict[int, np.ndarray],
        progress: bool,
        maps: list[np.ndarray] | None,
    ) -> np.ndarray:
        """Probabilities of each window, float64 `(N, C)`; on the way, `pictures` are filled in, and `maps` if given."""
        logits: list[torch.Tensor] = []
        batch: list[np.ndarray] = []
        for clip in self._clips(info, boxes, chosen, pictures, progress):
            batch.append(clip)
            if len(batch) == BATCH or len(logits) * BATCH + len(batch) == len(chosen):
                clips = np.stack(batch)
                logits.append(self.logits(clips))
                if maps is not None:
                    pixels = prepare(torch.from_numpy(clips).to(self.device), self.spec)
                    maps += [_heat(self.model, one) for one in pixels]
                batch = []
        return to_probabilities(torch.cat(logits))

    def _clips(
        self,
        info: VideoInfo,
        boxes: np.ndarray,
        chosen: list[np.ndarray],
        pictures: dict[int, np.ndarray],
        progress: bool,
    ) -> Iterator[np.ndarray]:
        """The clips `(T, 3, S, S)` of the windows in order, while the film runs; one window's faces are in memory."""
        watched = _watched(info, "asking the model", progress)
        held, done = dict[int, np.ndarray](), 0
        for k, (box, (_, picture)) in enumerate(zip(boxes, watched, strict=False)):
            if np.isfinite(box[2]):
                held[k] = self.cut(picture, box)
            if k in pictures:
                pictures[k] = faces.cut(picture, box, PICTURE_SIDE)
            while done < len(chosen) and chosen[done][-1] <= k:
                yield np.stack([held[index] for index in chosen[done].tolist()])
                done += 1
                oldest = chosen[done][0] if done < len(chosen) else k
                held = {index: face for index, face in held.items() if index >= oldest}


def to_probabilities(logits: torch.Tensor) -> np.ndarray:
    """Softmax of logits `(N, C)`, float64.

    Raises:
        InputError: they are not finite.
    """
    if not logits.isfinite().all():
        raise InputError("the model gives nan or infinity for this film: its weights are broken, train it again")
    return logits.softmax(1).numpy()


def _heat(model: Any, clip: torch.Tensor) -> np.ndarray:
    """Grad-CAM of a normalised clip (T, 3, S, S) for its most probable class, coarse, uint8 (1, T, 14, 14)."""
    from dferlib.evidence.explain import grad_cam

    maps, _ = grad_cam(model, clip)
    small = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(maps), HEAT_SIDE)
    return (255 * small).round().to(torch.uint8).numpy()[None]


def _watched(
    info: VideoInfo, doing: str, progress: bool, max_side: int | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """The pictures that are looked at, with a bar if it takes more than two seconds."""
    total, title = int(info.duration * RATE) + 1, f"{info.path.name}: {doing}"
    pictures = read_video(info.path, RATE, max_side)
    return iter(tqdm(pictures, title, total, unit="picture", delay=2, leave=False, disable=not progress))


def _drawn(timeline: Timeline) -> "Figure":
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from dferlib.book.plots import INK, STYLE

    wide, high = 7.6, 2.6  # inches of the curves
    slot = wide / PICTURES
    figure = Figure(figsize=(wide + 2.3, high + slot + 1.35), facecolor="white")
    width, height = figure.get_size_inches()

    def place(bottom: float, tall: float) -> "Axes":
        return figure.add_axes((0.65 / width, bottom / height, wide / width, tall / height))

    with rc_context(STYLE):  # type: ignore[arg-type]
        strip, panel, top = place(0.5, 0.2), place(0.8, high), place(0.9 + high, slot)
        _draw_faces(top, timeline)
        _draw_curves(panel, timeline)
        _draw_labels(strip, timeline)
        top.set_title(timeline.video.name, loc="left", color=INK)
    return figure


def _draw_faces(axes: "Axes", timeline: Timeline) -> None:
    """The faces, each above its own time."""
    for time, picture in timeline.pictures:
        centre = time / _end(timeline) * PICTURES
        axes.imshow(picture, extent=(centre - 0.47, centre + 0.47, 0, 0.94), interpolation="bilinear")
    axes.set(xlim=(0, PICTURES), ylim=(0, 1), aspect="auto")
    axes.set_axis_off()


def _draw_curves(axes: "Axes", timeline: Timeline) -> None:
    times, rows = timeline.times, 100 * timeline.probabilities
    edges = _edges(timeline)
    # a line must not run on where no face was seen
    breaks = np.flatnonzero(edges[1:, 0] > edges[:-1, 1] + 1e-6) + 1
    x, y = np.insert(times, breaks, np.nan), np.insert(rows, breaks, np.nan, axis=0)
    order = sorted(range(len(timeline.classes)), key=lambda k: -rows[:, k].max())
    for k in order:
        axes.plot(
            x, y[:, k], "-o", ms=2.5, lw=1.8, clip_on=False, color=_colour(timeline, k), label=timeline.classes[k]
        )
    ends = [0.0, *edges.ravel().tolist(), _end(timeline)]
    for start, stop in zip(ends[::2], ends[1::2], strict=True):
        if stop - start > 1e-6:
            axes.axvspan(start, stop, color="#EEEEEE", lw=0)
            axes.text((start + stop) / 2, 50, "no face", rotation=90, ha="center", va="center", color="#888888", size=8)
    axes.axhline(100 * SURE, color="#BBBBBB", lw=0.8, ls=":", zorder=0)
    axes.set(xlim=(0, _end(timeline)), ylim=(0, 102), ylabel="probability, %")
    axes.tick_params(labelbottom=False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), frameon=False)


def _draw_labels(axes: "Axes", timeline: Timeline) -> None:
    """One colour a moment: what the model says, or that it is unsure."""
    edges, labels = _edges(timeline), timeline.labels
    start = 0
    for k in range(1, len(labels) + 1):
        if k < len(labels) and labels[k] == labels[start] and edges[k, 0] <= edges[k - 1, 1] + 1e-6:
            continue
        left, right = edges[start, 0], edges[k - 1, 1]
        sure = labels[start] != UNSURE
        colour = _colour(timeline, timeline.classes.index(labels[start])) if sure else "#F2F2F2"
        axes.axvspan(left, right, facecolor=colour, edgecolor="#BBBBBB", hatch=None if sure else "/////", lw=0)
        if right - left > 0.011 * (len(labels[start]) + 1) * _end(timeline):
            style: dict[str, Any] = {"color": "white"} if sure else {"color": "#777777", "backgroundcolor": "#F2F2F2"}
            axes.text((left + right) / 2, 0.47, labels[start], ha="center", va="center", size=8, **style)
        start = k
    if UNSURE in labels:
        axes.text(1.015, 0.47, "hatched: unsure", transform=axes.transAxes, va="center", color="#777777", size=8)
    axes.set(xlim=(0, _end(timeline)), ylim=(0, 1), xlabel="seconds", yticks=[])
    axes.spines[:].set_visible(False)


def _end(timeline: Timeline) -> float:
    return max(timeline.duration, float(timeline.times[-1]), 1e-3)


def _edges(timeline: Timeline) -> np.ndarray:
    """When each window's answer begins and ends to hold `(N, 2)`: halfway to its neighbours, unless they are far."""
    times = timeline.times
    gaps = np.diff(times)
    step = float(np.median(gaps)) if len(gaps) else _end(timeline)
    reach = np.where(gaps > 2 * step, step, gaps) / 2
    # the film may go on for less than a step before the first window and after the last
    before, after = np.concatenate([[step], reach]), np.concatenate([reach, [step]])
    return np.stack([times - before, times + after], 1).clip(0, _end(timeline))


def _colour(timeline: Timeline, k: int) -> Any:
    """The book's colour of a class; classes that it does not know get matplotlib's, in turn."""
    from dferlib.book.plots import COLOURS

    return COLOURS.get(timeline.classes[k], f"C{k % 10}")
