"""From a video to the probability of each class over time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dferlib.data.transforms import prepare, stored_size
from dferlib.devices import pick_device
from dferlib.errors import InputError
from dferlib.inference.clips import RATE, STEP, ClipForm, FaceClips
from dferlib.inference.describing import load_describer
from dferlib.inference.timeline import Heat, Timeline
from dferlib.training.checkpoints import load_model, read_metadata
from dferlib.video.faces.tracking import track_faces, track_middle
from dferlib.video.reading import SampledVideo, probe

BATCH = 16  # windows at once
HEAT_SIDE = 14  # places along each side of the kept heat: the maps that Grad-CAM reads are no finer


def predict_video(
    path: Path | str, checkpoint: Path | str, *, step: float = STEP, device: str = "auto", progress: bool = False
) -> Timeline:
    """Find the most visible face of a video, follow it, and ask a model what it shows, window by window.

    A window is a second long, and shorter at the ends of the video.

    Args:
        path: the video; a photograph is a video of one frame.
        checkpoint: a file that `save_model` wrote.
        step: seconds from one window to the next.
        device: where the model runs.
        progress: show a bar if it takes more than two seconds.

    Raises:
        InputError: the video or the checkpoint cannot be read, dlib is not installed, or no face is found.
    """
    return Predictor(checkpoint, device).predict(path, step=step, most=1, progress=progress)[0]


def predict_faces(
    path: Path | str,
    checkpoint: Path | str,
    *,
    most: int = 4,
    step: float = STEP,
    device: str = "auto",
    progress: bool = False,
    cropped: bool = False,
    heat: bool = False,
) -> list[Timeline]:
    """Follow several faces of a video, and ask a model what each shows, window by window.

    Args:
        path: the video; a photograph is a video of one frame.
        checkpoint: a file that `save_model` wrote.
        most: how many faces; the most visible ones are taken.
        step: seconds from one window to the next.
        device: where the model runs.
        progress: show a bar if it takes more than two seconds.
        cropped: the middle square of each frame is the face already: nothing is looked for, and dlib is not needed.
        heat: keep where the model looks, for `annotate_video`; takes about three times as long.

    Returns:
        A timeline for each face, the most visible first.

    Raises:
        InputError: the video or the checkpoint cannot be read, dlib is not installed, or no face is found.
    """
    predictor = Predictor(checkpoint, device)
    return predictor.predict(path, most=most, step=step, progress=progress, cropped=cropped, heat=heat)


class Predictor:
    """A model, ready for one video after the other.

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
        per_segment = read_metadata(checkpoint)["metadata"].get("train", {}).get("per_segment", 1)
        self.form = ClipForm(self.spec.frames // per_segment, per_segment, size=stored_size(self.spec.size))

    def predict(
        self,
        path: Path | str,
        *,
        most: int,
        step: float = STEP,
        progress: bool = False,
        cropped: bool = False,
        heat: bool = False,
    ) -> list[Timeline]:
        """What `predict_faces` does, which see."""
        if not step >= 1 / RATE:
            raise InputError(f"the step is {step} s: give at least {1 / RATE:.2f} s, for there is no more to see")
        if most < 1:
            raise InputError(f"{most} faces are asked for: give 1 or more")
        video = SampledVideo(probe(path), RATE, progress=progress)
        # looked through once to find and follow the faces, ...
        tracks = track_middle(video) if cropped else track_faces(video, load_describer())
        timelines = []
        for face, track in enumerate(tracks[:most], 1):
            # ... and once a face, which is cut out and asked about meanwhile
            clips = FaceClips(video, track, step=step, form=self.form)
            probabilities, looked = self.ask(clips, heat)
            timelines.append(
                Timeline(
                    video=video.info.path,
                    duration=video.info.duration,
                    times=track.times[clips.middles],
                    probabilities=probabilities,
                    classes=self.model.classes,
                    boxes=track.boxes[clips.middles],
                    thumbnails=clips.thumbnails,
                    face=face,
                    track=track,
                    heat=looked,
                )
            )
        return timelines

    def ask(self, clips: FaceClips, heat: bool) -> tuple[np.ndarray, Heat | None]:
        """Probabilities of each clip, float64 `(N, C)`, and where the model looked, if that is asked for."""
        logits, maps = [], []
        for batch in _batches(clips):
            logits.append(self.logits(batch))
            if heat:
                maps += [_heat_map(self.model, clip) for clip in self._prepare(batch)]
        probabilities, share = to_probabilities(torch.cat(logits)), self.spec.size / self.form.size
        return probabilities, Heat(clips.frame_times, maps=np.stack(maps), share=share) if heat else None

    def logits(self, clips: np.ndarray) -> torch.Tensor:
        """What the model says of clips `(B, F, 3, S, S)` uint8 of its stored size, float64 `(B, C)`."""
        with torch.inference_mode():
            return self.model(self._prepare(clips)).double().cpu()

    def _prepare(self, clips: np.ndarray) -> torch.Tensor:
        return prepare(torch.from_numpy(clips).to(self.device), self.spec)


def to_probabilities(logits: torch.Tensor) -> np.ndarray:
    """Softmax of logits `(N, C)`, float64.

    Raises:
        InputError: they are not finite.
    """
    if not logits.isfinite().all():
        raise InputError("the model gives nan or infinity for this video: its weights are broken, train it again")
    return logits.softmax(1).numpy()


def _batches(clips: FaceClips) -> Iterator[np.ndarray]:
    """Clips, some at once, `(B, F, 3, S, S)`."""
    batch = []
    for number, clip in enumerate(clips, 1):
        batch.append(clip)
        if len(batch) == BATCH or number == len(clips):
            yield np.stack(batch)
            batch = []


def _heat_map(model: Any, clip: torch.Tensor) -> np.ndarray:
    """Grad-CAM of a normalised clip `(F, 3, S, S)` for its most probable class, coarse, uint8 `(F, 14, 14)`."""
    from dferlib.evidence.explain import grad_cam

    maps, _ = grad_cam(model, clip)
    small = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(maps), HEAT_SIDE)
    return (255 * small).round().to(torch.uint8).numpy()
