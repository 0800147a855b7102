"""Tracking: the faces of a whole video, found and followed."""

from typing import NamedTuple

import numpy as np

from dferlib.errors import InputError
from dferlib.video.faces.cutting import middle_square
from dferlib.video.faces.finding import DITHER, FINE_SIDE, SIDE, detect
from dferlib.video.faces.following import follow_all
from dferlib.video.faces.identity import Describer
from dferlib.video.reading import SampledVideo


class Track(NamedTuple):
    """Where a face is in a video.

    Attributes:
        times: seconds of the frames in which it was looked for, `(N,)`, rising.
        boxes: `(N, 3)`: middle x, middle y and side of the detector's box, in pixels of the first frame (see
            `VideoInfo.scale`); nan where it is out of sight.
    """

    times: np.ndarray
    boxes: np.ndarray


def track_faces(video: SampledVideo, describe: Describer | None = None) -> list[Track]:
    """Find and follow every face of a video, with a second, finer look if the first finds nobody.

    Args:
        video: read once, or twice if nobody is found.
        describe: what tells people apart; without it, place alone does.

    Returns:
        A track for each face, the most visible first; at least one.

    Raises:
        InputError: dlib is not installed, the video cannot be read, or no face is found.
    """
    for side, doing in ((SIDE, "looking for a face"), (FINE_SIDE, "looking for small faces")):
        times, found, descriptors = [], [], []
        before = None
        for k, (time, frame) in enumerate(video.frames(doing, side)):
            if frame is not before:  # a frame that is shown again has the same faces
                boxes = detect(frame, side * DITHER[k % len(DITHER)])
                looks = describe(frame, boxes) if describe else np.empty((len(boxes), 0))
                boxes /= video.info.scale(frame)
                before = frame
            times.append(time)
            found.append(boxes)
            descriptors.append(looks)
        if tracks := follow_all(np.array(times), found, descriptors=descriptors if describe else None):
            return [Track(np.array(times), boxes) for boxes in tracks]
    raise InputError(f"no face found in {video.info.path}: give a video in which a face looks towards the camera")


def track_middle(video: SampledVideo) -> list[Track]:
    """The one track of a video that is cropped to a face already: the middle square of every frame."""
    times, boxes = [], []
    for time, frame in video.frames("reading", SIDE):
        times.append(time)
        boxes.append(middle_square(frame) / video.info.scale(frame))
    return [Track(np.array(times), np.concatenate(boxes))]
