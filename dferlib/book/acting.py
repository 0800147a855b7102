"""Clips of faces for a figure: larger and longer than those of the data set, by the same rules, in studio light."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dferlib.book.explorers import Interactive
from dferlib.book.panels import Curves
from dferlib.book.playing import Heat, Points, player
from dferlib.makefaces import PHASES, TASKS, UNITS, Knobs
from dferlib.makefaces.generator import SECONDS, sample_pose
from dferlib.makefaces.performance import Performance, perform, perform_dynamics
from dferlib.makefaces.portrait import portrait

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
    """A face that shows an emotion in a clip of two seconds.

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
    poses = sample_pose(frames, KNOBS, rng)
    drawn = draw(played, poses, person, size)
    return Scene(
        frames=_as_bytes(drawn),
        units=played.units,
        expression=played.expression,
        phase=played.phase,
        landmarks=np.concatenate([one.landmarks.numpy() for one in drawn]),
        motion=np.concatenate([one.motion.numpy() for one in drawn]),
        seconds=SECONDS,
    )


def act_order(person: int = 0, frames: int = 12, size: int = 160, seed: int = 0) -> dict[str, np.ndarray]:
    """Both classes of the task "order": a clip with two expressions, and the same clip backwards.

    Args:
        person: who, any whole number; nobody of them is in the data set.
        frames: F.
        size: S, side of the frames in pixels.
        seed: of what happens when.

    Returns:
        By the name of the class, (F, 3, S, S) uint8.
    """
    rng = np.random.default_rng([seed, person])
    played = perform_dynamics("order", 0, frames, rng, KNOBS, SECONDS)
    clip = _as_bytes(draw(played, sample_pose(frames, KNOBS, rng), person, size))
    return dict(zip(TASKS["order"], (clip, clip[::-1]), strict=True))


def draw(played: Performance, poses: np.ndarray, person: int, size: int) -> list["Rendered"]:
    """Each frame of a performance, at poses (F, 3), as a portrait of a person, `size` pixels wide."""
    return [
        portrait(
            dict(zip(UNITS, units.tolist(), strict=True)), person, size, tuple(pose.tolist()), tuple(gaze.tolist())
        )
        for units, pose, gaze in zip(played.units, poses, played.gaze, strict=True)
    ]


def _as_bytes(drawn: list["Rendered"]) -> np.ndarray:
    pixels = np.concatenate([one.frames.numpy() for one in drawn])
    return (255 * pixels.clip(0, 1)).round().astype(np.uint8)


def play(scenes: Mapping[str, Scene], *, alt: str, first: int = 0) -> Interactive:
    """Scenes in a player, with their strongest action units, phases, landmarks and motion.

    Args:
        scenes: by name, all of the same length and size.
        alt: what they show, for those who do not see it.
        first: the frame that is shown at rest.
    """
    most = max(scene.motion.max() for scene in scenes.values())
    units = Curves(
        "Action units",
        {name: scene.strongest() for name, scene in scenes.items()},
        marks={name: scene.phases() for name, scene in scenes.items()},
    )
    landmarks = Points("landmarks", {name: scene.landmarks for name, scene in scenes.items()})
    motion = Heat("motion", {name: scene.motion / most for name, scene in scenes.items()})
    frames = {name: scene.frames for name, scene in scenes.items()}
    return player(
        frames, [units], [landmarks, motion], alt=alt, first=first, seconds=next(iter(scenes.values())).seconds
    )
