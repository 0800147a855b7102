"""From a video to the probability of each class over time."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from dferlib.data.transforms import prepare, stored_size
from dferlib.devices import pick_device, threads
from dferlib.errors import InputError
from dferlib.inference.asking import Asking, Watching
from dferlib.inference.clips import RATE, STEP, ClipForm
from dferlib.inference.describing import load_describer
from dferlib.inference.timeline import Timeline
from dferlib.training.checkpoints import load_model, read_metadata
from dferlib.training.known import read_known
from dferlib.video.faces.tracking import track_middle, watch_faces
from dferlib.video.reading import SampledVideo, VideoInfo, probe

NEUTRAL = "neutral"
SMALL = 64  # pixels: a model of such frames is done sooner by one thread, for the second one finds faces meanwhile
LARGEST = 3840 * 2160  # pixels: 21 frames of a second and a half are 260 MB then
REST = 0.5  # of the way from a person's face at rest to the mean neutral clip that every window is moved
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
    rest: tuple[float, float] | None = None,
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
        rest: from which second to which the faces are at rest, if that is known. Then the model takes the person's
            own neutral face for the zero line: see `Predictor.towards_rest`.

    Returns:
        A timeline for each face, the most visible first.

    Raises:
        InputError: the video or the checkpoint cannot be read, dlib is not installed, or no face is found.
    """
    predictor = Predictor(checkpoint, device)
    return predictor.predict(path, most=most, step=step, progress=progress, cropped=cropped, heat=heat, rest=rest)


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
        self.classes: tuple[str, ...] = self.model.classes
        self._threads = 1 if self.spec.size <= SMALL else None
        about = read_metadata(checkpoint)["metadata"]
        # pairs of neighbours, say, if the model has learnt from these
        per_segment = about.get("train", {}).get("per_segment", 1)
        self.known = read_known(checkpoint)
        self.learnt_from: dict[str, Any] | None = about.get("known")
        self.temperature: float = about.get("best", {}).get("temperature", 1.0)
        self.form = ClipForm(self.spec.frames // per_segment, per_segment, size=stored_size(self.spec.size))
        self.share = self.spec.size / self.form.size

    def predict(
        self,
        path: Path | str | VideoInfo,
        *,
        most: int,
        step: float = STEP,
        progress: bool = False,
        cropped: bool = False,
        heat: bool = False,
        rest: tuple[float, float] | None = None,
    ) -> list[Timeline]:
        """What `predict_faces` does, which see; `path` may also be what `probe` said of the video."""
        if not step >= 1 / RATE:
            raise InputError(f"the step is {step} s: give at least {1 / RATE:.2f} s, for there is no more to see")
        if most < 1:
            raise InputError(f"{most} faces are asked for: give 1 or more")
        if rest is not None and not 0 <= rest[0] < rest[1]:
            raise InputError(f"the face is at rest from {rest[0]} s to {rest[1]} s: give two rising times from 0 on")
        if rest is not None and (self.known is None or NEUTRAL not in self.classes):
            raise InputError(
                "this checkpoint does not say how it sees a neutral face, so that no other can be compared with it: "
                f"train it anew, with a class {NEUTRAL!r}"
            )
        video = SampledVideo(path if isinstance(path, VideoInfo) else probe(path), RATE, progress=progress)
        watching = Watching(lambda: Asking(self, video.info, step=step, heat=heat))
        if cropped:
            tracks = dict(enumerate(track_middle(video, watching)))
        else:
            # the frames of the largest videos are not held until it is known where the face is: they are read again
            watcher = watching if video.info.width * video.info.height <= LARGEST else None
            tracks = watch_faces(video, load_describer(), watcher, most)
        wanted = dict(list(tracks.items())[:most])
        asked = watching.catch_up(video, wanted)
        return [
            one.timeline(track, face, rest)
            for face, (one, track) in enumerate(zip(asked, wanted.values(), strict=True), 1)
        ]

    def look(self, clips: np.ndarray) -> torch.Tensor:
        """Features of clips `(B, F, 3, S, S)` uint8 of the model's stored size, `(B, D)`."""
        with torch.inference_mode(), threads(self._threads):
            return self.model.forward_features(self._prepare(clips))

    def judge(self, features: torch.Tensor) -> torch.Tensor:
        """What the model says of features `(B, D)`, float64 logits `(B, C)`.

        They are divided by the temperature that the checkpoint names, see `dferlib.training.calibration`.
        """
        with torch.inference_mode():
            return self.model.head(features).double().cpu() / self.temperature

    def logits(self, clips: np.ndarray) -> torch.Tensor:
        """What the model says of clips, see `look` and `judge`."""
        return self.judge(self.look(clips))

    def distances(self, features: torch.Tensor) -> np.ndarray:
        """How far features `(B, D)` are from what the model has learnt from; 1 is the farthest that is usual.

        All are 0 if the checkpoint does not say.
        """
        if self.known is None:
            return np.zeros(len(features))
        return (self.known.distance(features.cpu()) / self.known.limit).numpy()

    def towards_rest(self, features: torch.Tensor, resting: np.ndarray) -> torch.Tensor:
        """Move features `(B, D)` of a person by half of what makes their neutral face unlike the mean neutral clip.

        All of the way would take every window for neutral sooner, and a long smile that is taken for rest is lost in
        any case: `benchmarks.real_faces` measures both on photographs.

        Args:
            features: of all windows.
            resting: in which of them the face is at rest, bool `(B,)`.
        """
        assert self.known is not None
        usual = self.known.mean(self.classes.index(NEUTRAL)).to(features)
        return features + REST * (usual - features[torch.from_numpy(resting)].mean(0))

    def heat(self, clips: np.ndarray) -> list[np.ndarray]:
        """Where it looks in each of them, coarse, uint8 `(F, 14, 14)`: see `Heat`."""
        with threads(self._threads):
            return [_heat_map(self.model, clip) for clip in self._prepare(clips)]

    def _prepare(self, clips: np.ndarray) -> torch.Tensor:
        return prepare(torch.from_numpy(clips).to(self.device), self.spec)


def _heat_map(model: Any, clip: torch.Tensor) -> np.ndarray:
    """Grad-CAM of a normalised clip `(F, 3, S, S)` for its most probable class, coarse, uint8 `(F, 14, 14)`."""
    from dferlib.evidence.explain import grad_cam

    maps, _ = grad_cam(model, clip)
    small = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(maps), HEAT_SIDE)
    return (255 * small).round().to(torch.uint8).numpy()
