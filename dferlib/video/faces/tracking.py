"""Tracking: the faces of a whole video, found and followed."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np

from dferlib.errors import InputError
from dferlib.video.faces.cutting import middle_square
from dferlib.video.faces.finding import DITHER, FINE_SIDE, SIDE, detect
from dferlib.video.faces.following import Linker
from dferlib.video.faces.identity import Describer, Sight
from dferlib.video.faces.smoothing import SETTLED
from dferlib.video.reading import SampledVideo, Shown

AHEAD = 6  # frames in which faces are being found while those before are followed


class Track(NamedTuple):
    """Where a face is in a video.

    Attributes:
        times: seconds of the frames in which it was looked for, `(N,)`, rising.
        boxes: `(N, 3)`: middle x, middle y and side of the detector's box, in pixels of the first frame (see
            `VideoInfo.scale`); nan where it is out of sight.
    """

    times: np.ndarray
    boxes: np.ndarray


class Watcher(Protocol):
    """Who wants to see the most visible faces while a video is gone through, a second and a half behind."""

    def begin(self) -> None:
        """The video begins, perhaps once more."""

    def see(self, face: int, frame: int, *, box: np.ndarray, times: Sequence[float], shown: Shown) -> None:
        """A face in a frame.

        Args:
            face: its number.
            frame: number of the frame.
            box: as the track of this face will have it, `(3,)`; nan where it is out of sight.
            times: seconds of the frames so far, and of the next one at least, if there is one.
            shown: the frame.
        """


def track_faces(video: SampledVideo, describe: Describer | None = None) -> list[Track]:
    """Find and follow every face of a video, with a second, finer look if the first finds nobody.

    Args:
        video: read once, or twice if nobody is found.
        describe: what tells people apart where places cannot; without it, place alone does.

    Returns:
        A track for each face, the most visible first; at least one.

    Raises:
        InputError: dlib is not installed, the video cannot be read, or no face is found.
    """
    return list(watch_faces(video, describe).values())


def watch_faces(
    video: SampledVideo, describe: Describer | None = None, watcher: Watcher | None = None, most: int = 1
) -> dict[int, Track]:
    """What `track_faces` does, for somebody who watches meanwhile.

    Args:
        video: read once, or twice if nobody is found.
        describe: see `track_faces`.
        watcher: is shown, frame by frame, the faces that are the most visible ones by then.
        most: how many of them.

    Returns:
        A track for each face by its number, the most visible first; at least one.

    Raises:
        InputError: dlib is not installed, the video cannot be read, or no face is found.
    """
    for side, doing in ((SIDE, "looking for a face"), (FINE_SIDE, "looking for small faces")):
        passage = _Passage(watcher, most)
        for time, shown, sight in _find(video, side, doing=doing, describe=describe):
            passage.add(
                time, shown, boxes=sight.boxes / video.info.scale(sight.frame), look=sight if describe else None
            )
        if tracks := passage.finish():
            return tracks
    raise InputError(f"no face found in {video.info.path}: give a video in which a face looks towards the camera")


def track_middle(video: SampledVideo, watcher: Watcher | None = None) -> list[Track]:
    """The one track of a video that is cropped to a face already: the middle square of every frame.

    Args:
        video: read once.
        watcher: is shown every frame, as that of face 0.
    """
    times: list[float] = []
    boxes: list[np.ndarray] = []
    before = None
    if watcher:
        watcher.begin()
    for time, shown in video.shown("reading"):
        width, height = shown.size(SIDE)
        boxes.append(
            middle_square(np.broadcast_to(0, (height, width)))[0] * video.info.longer_side / max(width, height)
        )
        times.append(time)
        if watcher and before:
            watcher.see(0, len(times) - 2, box=boxes[-2], times=times, shown=before)
        before = shown
    if watcher and before:
        watcher.see(0, len(times) - 1, box=boxes[-1], times=times, shown=before)
    return [Track(np.array(times), np.stack(boxes))]


def _find(
    video: SampledVideo, side: int, *, doing: str, describe: Describer | None
) -> Iterator[tuple[float, Shown, Sight]]:
    """Every frame with what was found in it; a thread finds while others do what they do with the frames before."""
    with ThreadPoolExecutor(1) as finder:
        ahead: deque[tuple[float, Shown, Future[Sight]]] = deque()

        def find(frame: np.ndarray, k: int) -> Sight:
            return Sight(frame, detect(frame, side * DITHER[k % len(DITHER)]), describe)

        try:
            for k, (time, shown) in enumerate(video.shown(doing)):
                again = ahead and shown is ahead[-1][1]  # a frame that is shown again has the same faces
                ahead.append((time, shown, ahead[-1][2] if again else finder.submit(find, shown.array(side), k)))
                if len(ahead) > AHEAD:
                    time, shown, sight = ahead.popleft()
                    yield time, shown, sight.result()
            for time, shown, sight in ahead:
                yield time, shown, sight.result()
        finally:
            finder.shutdown(cancel_futures=True)


class _Passage:
    """One passage through a video: faces are followed, and shown to a watcher as soon as their boxes are settled."""

    def __init__(self, watcher: Watcher | None, most: int) -> None:
        self._linker, self._watcher, self._most = Linker(), watcher, most
        self._held: deque[Shown] = deque()  # the frames that are not settled yet, if somebody watches
        if watcher:
            watcher.begin()

    def add(self, time: float, shown: Shown, *, boxes: np.ndarray, look: Sight | None) -> None:
        """The next frame."""
        self._linker.add(time, boxes, look)
        if self._watcher:
            self._held.append(shown)
            times = self._linker.times
            while times[-1] > times[len(times) - len(self._held)] + SETTLED + 1e-6:
                self._show()

    def finish(self) -> dict[int, Track]:
        """The last frame has come. The tracks of the visible faces by their numbers, the most visible first."""
        while self._held:
            self._show()
        times = np.array(self._linker.times)
        return {face: Track(times, self._linker.track(face)) for face in self._linker.visible()}

    def _show(self) -> None:
        """The oldest frame that is held, with the faces that are the most visible ones by now."""
        frame, shown = len(self._linker.times) - len(self._held), self._held.popleft()
        if self._watcher:
            for face in self._linker.visible()[: self._most]:
                box = self._linker.settled(face, frame)
                self._watcher.see(face, frame, box=box, times=self._linker.times, shown=shown)
