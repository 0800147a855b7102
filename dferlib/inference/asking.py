"""Asking the model about faces while the video runs, so that it is read once where one face is foremost all along."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch

from dferlib.errors import InputError
from dferlib.inference.clips import ClipForm, FaceClips
from dferlib.inference.timeline import Heat, Timeline
from dferlib.video.faces.tracking import Track
from dferlib.video.reading import SampledVideo, Shown, VideoInfo

BATCH = 16  # windows at once
NOWHERE = np.full(3, np.nan)


class Model(Protocol):
    """Who is asked."""

    form: ClipForm
    classes: tuple[str, ...]
    share: float

    def look(self, clips: np.ndarray) -> torch.Tensor:
        """Features of clips `(B, F, 3, S, S)` uint8, `(B, D)`."""

    def judge(self, features: torch.Tensor) -> torch.Tensor:
        """What is said of features `(B, D)`, float64 `(B, C)`."""

    def distances(self, features: torch.Tensor) -> np.ndarray:
        """How far they are from what was learnt from, `(B,)`; beyond 1 is unusual."""

    def towards_rest(self, features: torch.Tensor, resting: np.ndarray) -> torch.Tensor:
        """Features with the person's own rest, the mean of the windows `resting` (B,), as the zero line."""

    def heat(self, clips: np.ndarray) -> list[np.ndarray]:
        """Where it looks in each, uint8 `(F, 14, 14)`."""


class Asking:
    """What a model says of one face, window by window, while the video runs.

    Args:
        model: who is asked.
        info: of the video.
        step: seconds from one window to the next.
        heat: ask also where the model looks.
    """

    def __init__(self, model: Model, info: VideoInfo, *, step: float, heat: bool) -> None:
        self._model, self._info, self._step, self._heat = model, info, step, heat
        self._clips = FaceClips(info, step=step, form=model.form)
        self._batch: list[np.ndarray] = []
        self._features: list[torch.Tensor] = []
        self._maps: list[np.ndarray] = []
        self._next = 0  # frame
        self._shown = 0  # frames with the face

    def see(self, number: int, *, box: np.ndarray, times: Sequence[float], frame: np.ndarray | None) -> None:
        """Take a frame; in those before it that were left out the face counts as out of sight. See `FaceClips.add`."""
        for before in range(self._next, number):
            self._ask(self._clips.add(before, box=NOWHERE, times=times, frame=None))
        self._ask(self._clips.add(number, box=box, times=times, frame=frame))
        self._next = number + 1
        self._shown += frame is not None

    def has_seen(self, track: Track) -> bool:
        """Whether it has been shown every frame in which the face is."""
        return self._shown == np.isfinite(track.boxes[:, 2]).sum()

    def timeline(self, track: Track, face: int, rest: tuple[float, float] | None = None) -> Timeline:
        """What the model says, once all frames have been shown.

        Args:
            track: where the face is.
            face: its number in the timeline.
            rest: from which second to which the face is at rest, if that is known.

        Raises:
            InputError: the model gives no finite number, or no window falls on the face, or on its rest.
        """
        last = len(track.times) - 1
        if self._next <= last:
            self.see(last, box=NOWHERE, times=track.times.tolist(), frame=None)
        self._ask(self._clips.close(), last=True)
        middles = self._clips.middles
        if not middles:
            raise InputError(f"{self._info.path}: no window of {self._step} s falls on the face: take a smaller step")
        times, features = track.times[middles], torch.cat(self._features)
        distances = self._model.distances(features)
        if rest is not None:
            resting = (times >= rest[0]) & (times <= rest[1])
            if not resting.any():
                raise InputError(f"{self._info.path}: face {face} is not seen from {rest[0]} s to {rest[1]} s")
            features = self._model.towards_rest(features, resting)
        heat = None
        if self._heat:
            heat = Heat(np.stack(self._clips.frame_times), maps=np.stack(self._maps), share=self._model.share)
        return Timeline(
            video=self._info.path,
            duration=self._info.duration,
            times=times,
            probabilities=to_probabilities(self._model.judge(features)),
            classes=self._model.classes,
            boxes=track.boxes[middles],
            thumbnails=self._clips.thumbnails(track.times),
            face=face,
            track=track,
            heat=heat,
            distances=distances,
        )

    def _ask(self, clips: Iterator[np.ndarray], last: bool = False) -> None:
        """Collect clips, and ask about some at once."""
        for clip in clips:
            self._batch.append(clip)
            if len(self._batch) == BATCH:
                self._flush()
        if last and self._batch:
            self._flush()

    def _flush(self) -> None:
        clips = np.stack(self._batch)
        self._batch.clear()
        self._features.append(self._model.look(clips))
        if self._heat:
            self._maps += self._model.heat(clips)


class Watching:
    """A `Watcher` that asks about every face that it is shown.

    Args:
        begin: how to begin to ask about a face.
    """

    def __init__(self, begin: Callable[[], Asking]) -> None:
        self._begin = begin
        self._faces: dict[int, Asking] = {}
        self._shown: Shown | None = None
        self._frame = np.empty(0)

    def begin(self) -> None:
        """The video begins, perhaps once more."""
        self._faces.clear()

    def see(self, face: int, frame: int, *, box: np.ndarray, times: Sequence[float], shown: Shown) -> None:
        """See `Watcher.see`."""
        if face not in self._faces:
            self._faces[face] = self._begin()
        self._faces[face].see(frame, box=box, times=times, frame=self._array(shown) if np.isfinite(box[2]) else None)

    def catch_up(self, video: SampledVideo, tracks: Mapping[int, Track]) -> list[Asking]:
        """Go through the video again for the faces that came to the fore later, if there are any.

        Args:
            video: the same.
            tracks: where the wanted faces are, by their numbers.

        Returns:
            What was asked about each of them.
        """
        late = {
            face: track
            for face, track in tracks.items()
            if face not in self._faces or not self._faces[face].has_seen(track)
        }
        for face in late:
            self._faces.pop(face, None)
        if late:
            times = next(iter(late.values())).times.tolist()
            for k, (_, shown) in zip(range(len(times)), video.shown("asking the model"), strict=False):
                for face, track in late.items():
                    self.see(face, k, box=track.boxes[k], times=times, shown=shown)
        return [self._faces[face] for face in tracks]

    def _array(self, shown: Shown) -> np.ndarray:
        """The frame, converted once for all faces in it."""
        if shown is not self._shown:
            self._shown, self._frame = shown, shown.array()
        return self._frame


def to_probabilities(logits: torch.Tensor) -> np.ndarray:
    """Softmax of logits `(N, C)`, float64.

    Raises:
        InputError: they are not finite.
    """
    if not logits.isfinite().all():
        raise InputError("the model gives nan or infinity for this video: its weights are broken, train it again")
    return logits.softmax(1).numpy()
