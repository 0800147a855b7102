"""A figure that answers: the faces of a video play, and what a model says of them follows."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from dferlib.book.explorers import Interactive
from dferlib.book.panels import Curves
from dferlib.book.playing import player
from dferlib.errors import InputError
from dferlib.inference.clips import RATE
from dferlib.inference.timeline import UNSURE, Timeline
from dferlib.video.faces.cutting import cut
from dferlib.video.reading import read_video

SIZE = 160  # pixels of a face
WIDEST = 480  # pixels of a whole frame


def replay(
    timelines: Mapping[str, Timeline], *, alt: str, size: int = SIZE, annotated: Path | str | None = None
) -> Interactive:
    """Faces of one video under one scrubber, each over the curves of its probabilities, with the values of the moment.

    Between the middles of two windows the probabilities lie on a line; shaded is where the model is unsure.

    Args:
        timelines: of one video, by what the faces are to be called; see `dferlib.predict_faces`.
        alt: what it shows, for those who do not see it.
        size: of a face in pixels.
        annotated: a file that `annotate_video` wrote of them: it plays above all curves, in place of the faces.

    Raises:
        InputError: there are no timelines, or they are of several videos; or the video is too long for a figure.
    """
    videos = {one.video for one in timelines.values()}
    if len(videos) != 1:
        raise InputError(f"the faces of one video can be played in step, not of {len(videos)}")
    shown = list(read_video(annotated or videos.pop(), rate=RATE))
    times = np.array([time for time, _ in shown])
    curves = {name: _at(one.times, one.probabilities, times) for name, one in timelines.items()}
    said = {name: dict(zip(one.classes, curves[name].T, strict=True)) for name, one in timelines.items()}
    unsure = {name: {UNSURE: _unsure(one, times)} for name, one in timelines.items()}
    clips: dict[str, np.ndarray] = {}
    if annotated is None:
        panels = [Curves("Probability of each class", said, marks=unsure)]
        for name, one in timelines.items():
            boxes = _boxes(one, times)
            clips[name] = np.stack([cut(frame, box, size) for (_, frame), box in zip(shown, boxes, strict=True)])
    else:
        panels = [Curves(f"Probability of each class: {name}", said[name], marks=unsure[name]) for name in timelines]
        clips["the video"] = np.stack([_narrow(frame) for _, frame in shown])
    played = {name: clip.transpose(0, 3, 1, 2) for name, clip in clips.items()}
    return player(played, panels, alt=alt, seconds=float(round(times[-1], 2)))


def _narrow(frame: np.ndarray) -> np.ndarray:
    """A frame (H, W, 3) that is at most `WIDEST` pixels wide."""
    scale = min(1.0, WIDEST / frame.shape[1])
    size = round(frame.shape[1] * scale), round(frame.shape[0] * scale)
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))


def _boxes(timeline: Timeline, times: np.ndarray) -> np.ndarray:
    """Where the face is at each moment (F, 3); out of sight, on the way to where it is next."""
    seen = np.isfinite(timeline.track.boxes[:, 2])
    return _at(timeline.track.times[seen], timeline.track.boxes[seen], times)


def _at(known: np.ndarray, values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Values (N, K) of known moments (N,) at other ones (F,), on lines between them: (F, K)."""
    return np.stack([np.interp(times, known, column) for column in values.T], 1)


def _unsure(timeline: Timeline, times: np.ndarray) -> np.ndarray:
    """Whether the window that is nearest to each moment has no answer, bool (F,)."""
    nearest = np.abs(timeline.times - times[:, None]).argmin(1)
    return np.array([label == UNSURE for label in timeline.labels])[nearest]
