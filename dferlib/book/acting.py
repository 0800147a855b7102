"""Clips for a figure: larger, longer and in studio light, by the rules of the data set; and clips of the data set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dferlib.book.explorers import Interactive
from dferlib.book.panels import Curves
from dferlib.book.playing import Arrange, Heat, Points, player
from dferlib.emotions import EMOTIONS
from dferlib.errors import choose
from dferlib.makefaces import DIFFICULTIES, PHASES, TASKS, UNITS, Knobs, MakeFaces, Version
from dferlib.makefaces.generator import MOTION_UNIT, SECONDS, make_clip, sample_pose
from dferlib.makefaces.performance import Performance, perform, perform_dynamics
from dferlib.makefaces.portrait import PEOPLE, portrait

if TYPE_CHECKING:
    from dferlib.makefaces.render import Rendered

# expressions are strong, nobody talks, and the head moves a little
KNOBS = Knobs(intensity=(0.9, 1.0), talking=0.0, movements=0.0, turn=0.5, sway=0.6)
SMALLEST = 0.15  # intensity that a unit must reach to be named
NO_EXPRESSION = ("AU43",)  # closed eyes: everybody blinks


@dataclass(frozen=True)
class Scene:
    """A clip of F frames and what is true of it.

    Attributes:
        frames: (F, 3, S, S) uint8.
        units: (F, U) intensity of each action unit of `dferlib.makefaces.UNITS`, 0 to 1.
        expression: (F,) how far the expression has risen, 0 to 1.
        phase: (F,) index into `dferlib.makefaces.PHASES`.
        landmarks: (F, 68, 2) right and down in pixels.
        motion: (F, S, S) metres that each pixel's surface moved from the neutral face.
        seconds: from the first frame to the last.
    """

    frames: np.ndarray
    units: np.ndarray
    expression: np.ndarray
    phase: np.ndarray
    landmarks: np.ndarray
    motion: np.ndarray
    seconds: float

    def strongest(self, count: int = 4) -> dict[str, np.ndarray]:
        """The action units that move most, without blinks: by name, (F,) each, the strongest first."""
        peaks = {name: self.units[:, k].max() for k, name in enumerate(UNITS) if name not in NO_EXPRESSION}
        names = sorted(peaks, key=lambda name: -peaks[name])[:count]
        return {name: self.units[:, UNITS.index(name)] for name in names if peaks[name] > SMALLEST}

    def phases(self) -> dict[str, np.ndarray]:
        """By the name of each phase of the expression, (F,) bool."""
        return {name: self.phase == k for k, name in enumerate(PHASES) if k and (self.phase == k).any()}


def act(emotion: str, person: int = 0, frames: int = 24, size: int = 160, seed: int = 0) -> Scene:
    """A face that shows an emotion in a clip of two seconds, in studio light.

    Args:
        emotion: one of `dferlib.EMOTIONS`, or "contempt".
        person: who, any whole number; nobody of them is in the data set.
        frames: F.
        size: side of the frames in pixels.
        seed: of what happens when.

    Raises:
        InputError: there is no such emotion.
    """
    rng = np.random.default_rng([seed, person])
    played = perform(emotion, frames, rng, KNOBS, SECONDS)
    return _drawn(played, sample_pose(frames, KNOBS, rng), person, size)


def act_task(task: str, person: int = 0, frames: int = 12, size: int = 160, seed: int = 0) -> dict[str, Scene]:
    """Both classes of a task that only time can solve: a clip, and the same clip backwards.

    Args:
        task: "onset", "direction" or "order", see `dferlib.makefaces.TASKS`.
        person: who, any whole number; nobody of them is in the data set.
        frames: F.
        size: S, side of the frames in pixels.
        seed: of what happens when.

    Returns:
        By the name of the class.

    Raises:
        InputError: there is no such task.
    """
    rng = np.random.default_rng([seed, person])
    played = perform_dynamics(task, 0, frames, rng, KNOBS, SECONDS)
    one = _drawn(played, sample_pose(frames, KNOBS, rng), person, size)
    return dict(zip(TASKS[task], (one, _backwards(one)), strict=True))


def act_levels(emotion: str, person: int = 0, seed: int = 0) -> dict[str, Scene]:
    """A person who shows an emotion as in the data set, at each level of difficulty, with the same draws.

    Args:
        emotion: one of `dferlib.EMOTIONS`.
        person: who, any whole number; nobody of them is in the data set.
        seed: of what happens when, of the light and of the camera.

    Returns:
        By level; 16 frames of 128 pixels, as at the paper's size.

    Raises:
        InputError: there is no such emotion.
    """
    from dferlib.makefaces.assets import load_head
    from dferlib.makefaces.identity import sample_identity
    from dferlib.makefaces.render import Actor

    label = EMOTIONS.index(choose("emotion", emotion, EMOTIONS))
    versions = {level: Version("paper", knobs=knobs) for level, knobs in DIFFICULTIES.items()}
    identity = sample_identity(np.random.default_rng([PEOPLE, person]), load_head().shape_names)
    actor = Actor(identity, versions["easy"].spec.side)
    scenes = {}
    for level, version in versions.items():
        frames, truth = make_clip(actor, version, label, np.random.default_rng([seed, person]))
        known = {name: np.asarray(value) for name, value in truth.items()}
        scenes[level] = _known(frames, known, known["motion"] * np.float32(MOTION_UNIT))
    return scenes


def take(source: MakeFaces, clip: int) -> Scene:
    """A clip of the data set, with its truth.

    Args:
        source: the split that it is in.
        clip: its number there.
    """
    return _known(source.read(clip), source.truth(clip), source.motion(clip))


def _known(frames: np.ndarray, truth: Mapping[str, np.ndarray], motion: np.ndarray) -> Scene:
    """A scene from the truth as `MakeFaces.truth` gives it."""
    told = {name: truth[name] for name in ("units", "expression", "phase", "landmarks")}
    return Scene(frames=frames, **told, motion=motion, seconds=SECONDS)


def _drawn(played: Performance, poses: np.ndarray, person: int, size: int) -> Scene:
    """A performance in studio light."""
    drawn = draw(played, poses, person, size)
    pixels = np.concatenate([one.frames.numpy() for one in drawn])
    return Scene(
        frames=(255 * pixels.clip(0, 1)).round().astype(np.uint8),
        units=played.units,
        expression=played.expression,
        phase=played.phase,
        landmarks=np.concatenate([one.landmarks.numpy() for one in drawn]),
        motion=np.concatenate([one.motion.numpy() for one in drawn]),
        seconds=SECONDS,
    )


def _backwards(scene: Scene) -> Scene:
    """A scene whose time runs the other way: what rose falls."""
    turned = {name: value[::-1] for name, value in vars(scene).items() if isinstance(value, np.ndarray)}
    onset, offset = PHASES.index("onset"), PHASES.index("offset")
    phase = turned.pop("phase")
    phase = np.select([phase == onset, phase == offset], [offset, onset], phase)
    return Scene(**turned, phase=phase, seconds=scene.seconds)


def draw(played: Performance, poses: np.ndarray, person: int, size: int) -> list["Rendered"]:
    """Each frame of a performance, at poses (F, 3), as a portrait of a person, `size` pixels wide."""
    return [
        portrait(
            dict(zip(UNITS, units.tolist(), strict=True)), person, size, tuple(pose.tolist()), tuple(gaze.tolist())
        )
        for units, pose, gaze in zip(played.units, poses, played.gaze, strict=True)
    ]


def play(
    scenes: Mapping[str, Scene], *, alt: str, first: int = 0, arrange: Arrange = "", heat: bool = False
) -> Interactive:
    """Scenes in a player, with their strongest action units, phases, landmarks and motion.

    Args:
        scenes: by name, all of the same length and size.
        alt: what they show, for those who do not see it.
        first: the frame that is shown at rest.
        arrange: how the clips stand, see `player`.
        heat: whether the motion is shown from the beginning.
    """
    most = max(scene.motion.max() for scene in scenes.values())
    units = Curves(
        "Action units",
        {name: scene.strongest() for name, scene in scenes.items()},
        marks={name: scene.phases() for name, scene in scenes.items()},
    )
    landmarks = Points("landmarks", {name: scene.landmarks for name, scene in scenes.items()})
    motion = Heat("motion", {name: scene.motion / most for name, scene in scenes.items()}, shown=heat)
    frames = {name: scene.frames for name, scene in scenes.items()}
    seconds = next(iter(scenes.values())).seconds
    return player(frames, [units], [landmarks, motion], alt=alt, first=first, seconds=seconds, arrange=arrange)
