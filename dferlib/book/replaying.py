"""A figure that answers: the faces of a video play, and what a model says of them follows."""

from collections.abc import Mapping

import numpy as np

from dferlib.book.explorers import Interactive
from dferlib.book.panels import Curves
from dferlib.book.playing import player
from dferlib.errors import InputError
from dferlib.inference.clips import RATE
from dferlib.inference.timeline import UNSURE, Timeline
from dferlib.video.faces.cutting import cut
from dferlib.video.reading import read_video

SIZE = 160  # pixels of a face


def replay(timelines: Mapping[str, Timeline], *, alt: str, size: int = SIZE) -> Interactive:
    """Faces of one video under one scrubber, each over the curves of its probabilities, with the values of the moment.

    Between the middles of two windows the probabilities lie on a line; shaded is where the model is unsure.

    Args:
        timelines: of one video, by what the faces are to be called; see `dferlib.predict_faces`.
        alt: what it shows, for those who do not see it.
        size: of a face in pixels.

    Raises:
        InputError: there are no timelines, or they are of several videos; or the video is too long for a figure.
    """
    videos = {one.video for one in timelines.values()}
    if len(videos) != 1:
        raise InputError(f"the faces of one video can be played in step, not of {len(videos)}")
    shown = list(read_video(videos.pop(), rate=RATE))
    times = np.array([time for time, _ in shown])
    faces = {
        name: np.stack([cut(frame, box, size) for (_, frame), box in zip(shown, _boxes(one, times), strict=True)])
        for name, one in timelines.items()
    }
    curves = {name: _at(one.times, one.probabilities, times) for name, one in timelines.items()}
    said = {name: dict(zip(one.classes, curves[name].T, strict=True)) for name, one in timelines.items()}
    unsure = {name: {UNSURE: _unsure(one, times)} for name, one in timelines.items()}
    return player(
        {name: face.transpose(0, 3, 1, 2) for name, face in faces.items()},
        [Curves("Probability of each class", said, marks=unsure)],
        alt=alt,
        seconds=float(round(times[-1], 2)),
    )


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
