"""The same clip shown otherwise in time, and pairs of clips that share their apex and differ in how it comes and goes.

A model reads F frames of a clip. Put in another order, or made all alike, they say what an answer owes to order and to
motion. Other clips have to be rendered: the same face that moves at another speed, and an expression on one and the
same face, with the same strength, the same pose and the same light, that rises and falls otherwise. The people are
those of `dferlib.evidence.changed`, who are in no data set; everything that is not said to differ is the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from dferlib.data.sampling import segment_indices
from dferlib.emotions import EMOTIONS
from dferlib.errors import choose
from dferlib.evidence.changed import AS_DRAWN, PARTS, PEOPLE, Edit, Take, draw_take, render_take
from dferlib.makefaces.actions import UNITS, VARIANTS
from dferlib.makefaces.generator import SECONDS
from dferlib.makefaces.performance import perform, perform_dynamics, smoothstep
from dferlib.makefaces.protocol import Version
from dferlib.makefaces.render import Actor

FRAMES = 8  # F, of a clip as the book's models read it
SHUFFLES = 4  # orders of each clip
PLAIN, FLOOR = "as it is", "grain"  # the clip as it is drawn, and again with other noise: what changes nothing
BACKWARDS, APEX, MEAN = "backwards", "apex", "mean"
SHUFFLED = tuple(f"shuffled {k + 1}" for k in range(SHUFFLES))
SPEEDS = {"half as fast": 0.5, "twice as fast": 2.0}
UPPER = ("AU1", "AU2", "AU4", "AU5", "AU6", "AU7", "AU43")  # brows, lids and cheeks
# streams beside those of `changed`: what the face does in clips that are timed, and in those of a task
_TIMED, _TASK, _ORDER = (len(PARTS) + k for k in range(3))


@dataclass(frozen=True)
class Timing:
    """How an expression comes and goes around its apex, which lies in the middle of the frames that are read.

    Attributes:
        rise: seconds from rest to the apex.
        fall: seconds from the apex to rest.
        hold: seconds at the apex.
        lead: by how many seconds the upper half of the face is ahead of the lower half.
    """

    rise: float
    fall: float
    hold: float = 0.4
    lead: float = 0.0


TIMINGS = {
    "slow rise, quick fall": Timing(0.7, 0.2),
    "quick rise, slow fall": Timing(0.2, 0.7),
    "eyes first": Timing(0.4, 0.4, 0.64, 0.24),
    "mouth first": Timing(0.4, 0.4, 0.64, -0.24),
    "short": Timing(0.2, 0.2),
    "long": Timing(0.7, 0.7),
}
# two timings that share their apex. Of the first two pairs one is the other run backwards: each frame's level occurs in
# both, so that who only adds frames up sees next to no difference
PAIRS = {
    "which way": ("slow rise, quick fall", "quick rise, slow fall"),
    "which part first": ("eyes first", "mouth first"),
    "how long": ("short", "long"),
}
FLOOR_OF_PAIRS = "slow rise, quick fall, grain"


@dataclass(frozen=True)
class Shown:
    """Somebody's clips.

    Attributes:
        clips: by name, (F, 3, S, S) uint8: the frames that a model reads.
        level: (F,) how far the expression that names the clip has risen in the clip as it is drawn, 0 to 1.
        two: whether that clip begins in the remainder of another expression.
    """

    clips: Mapping[str, np.ndarray]
    level: np.ndarray
    two: bool


def names() -> list[str]:
    """The names of everybody's clips, as it is first; the timed ones, which nobody has whose face rests, last."""
    return [PLAIN, FLOOR, BACKWARDS, *SHUFFLED, APEX, MEAN, *SPEEDS, *TIMINGS, FLOOR_OF_PAIRS]


def apex_of(level: np.ndarray) -> int:
    """The frame in which an expression has risen farthest, by levels (F,); the middle one where there is none."""
    return int(level.argmax()) if level.any() else len(level) // 2


def shown_otherwise(clip: np.ndarray, level: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The frames of a clip in other orders, and all alike.

    Args:
        clip: (F, 3, S, S) uint8.
        level: (F,) how far the expression has risen.
        rng: of the orders; none of them is the clip's own.

    Returns:
        "backwards", "shuffled 1" and so on, "apex" (each frame is the one where the expression has risen farthest) and
        "mean" (each is the mean of all), by these names.
    """
    count = len(clip)
    found = {BACKWARDS: clip[::-1].copy()}
    for name in SHUFFLED:
        order = rng.permutation(count)
        while (order == np.arange(count)).all():
            order = rng.permutation(count)
        found[name] = clip[order]
    mean = clip.mean(0).round().astype(np.uint8)
    return found | {APEX: np.repeat(clip[[apex_of(level)]], count, 0), MEAN: np.repeat(mean[None], count, 0)}


def level_at(times: np.ndarray, timing: Timing, centre: float, lead: float = 0.0) -> np.ndarray:
    """How far what is timed has risen at each of `times` (seconds), 0 to 1.

    Rise and fall are the same S, one the mirror of the other, so that rise and fall exchanged is time reversed.

    Args:
        times: (F,).
        timing: how it comes and goes.
        centre: the middle of the apex.
        lead: by how many seconds this part of the face is ahead of that.
    """
    off = times + lead - centre
    return np.minimum(
        smoothstep(1 + (off + timing.hold / 2) / timing.rise), smoothstep(1 - (off - timing.hold / 2) / timing.fall)
    )


def draw_timed(number: int, timing: Timing, grain: int = 0) -> Take:
    """Draw a clip in which somebody's expression comes and goes as a timing says, and all else is as without it.

    Which units, how strong, how the head is held and what the face does besides are the person's.

    Args:
        number: of the person, as in `draw_take`.
        timing: how the expression comes and goes.
        grain: which draw of the camera's noise.
    """
    version = _steady()
    take = draw_take(number, Edit(grain=grain), version)
    rng = np.random.default_rng([PEOPLE, number, _TIMED])
    frames = version.spec.frames
    rest = perform("neutral", frames, rng, version.knobs, SECONDS)
    units, times = rest.units.astype(np.float64), np.linspace(0, SECONDS, frames)
    centre = float(times[segment_indices(frames, FRAMES)].mean())
    variants, strength = VARIANTS[EMOTIONS[take.label]], rng.uniform(*version.knobs.intensity)
    for name, weight in variants[rng.integers(len(variants))].items():
        lead = timing.lead / 2 if name in UPPER else -timing.lead / 2
        curve = level_at(times, timing, centre, lead)
        units[:, UNITS.index(name)] += weight * strength * rng.uniform(0.8, 1.2) * curve
    level = level_at(times, timing, centre).astype(np.float32)
    played = replace(rest, units=np.clip(units, 0, 1).astype(np.float32), expression=level, intensity=strength)
    return replace(take, performance=played)


def draw_task(number: int, task: str, label: int) -> Take:
    """Draw somebody's clip of a task that only time can solve: the two labels differ in which way time runs.

    Args:
        number: of the person.
        task: one of `DYNAMICS`, such as "order".
        label: 0 or 1.
    """
    version = Version(task=task)
    rng = np.random.default_rng([PEOPLE, number, _TASK])
    played = perform_dynamics(task, label, version.spec.frames, rng, version.knobs, SECONDS)
    return replace(draw_take(number, AS_DRAWN), performance=played)


@cache
def _steady() -> Version:
    """A version whose camera does the same to a frame whatever the others show: it loses none, and leaves contrast."""
    version = Version()
    camera = replace(version.knobs.camera, dropped=0.0, contrast=(1.0, 1.0))
    return replace(version, knobs=replace(version.knobs, camera=camera))


def read_frames(clip: np.ndarray) -> np.ndarray:
    """The F frames that a model reads of a clip (n, ...): the middle ones of its segments."""
    return clip[segment_indices(len(clip), FRAMES)]


def show(number: int) -> Shown:
    """Render everything of `names` that somebody has."""
    take = draw_take(number)
    actor = Actor(take.person, take.size)
    played = take.performance
    level = read_frames(played.expression)
    clip = read_frames(render_take(take, actor))
    rng = np.random.default_rng([PEOPLE, number, _ORDER])
    clips = {PLAIN: clip, **shown_otherwise(clip, level, rng)}
    others = {FLOOR: draw_take(number, Edit(grain=1))}
    others |= {name: draw_take(number, Edit(speed=speed)) for name, speed in SPEEDS.items()}
    if EMOTIONS[take.label] != "neutral":
        others |= {name: draw_timed(number, timing) for name, timing in TIMINGS.items()}
        others[FLOOR_OF_PAIRS] = draw_timed(number, TIMINGS[PAIRS["which way"][0]], grain=1)
    clips |= {name: read_frames(render_take(other, actor)) for name, other in others.items()}
    return Shown({name: clips[name] for name in names() if name in clips}, level, bool(played.earlier_emotion))


def show_task(number: int, task: str) -> dict[str, np.ndarray]:
    """Render both clips of somebody in a task, in order and otherwise.

    Returns:
        By name, "as it is", "backwards" and the shuffled ones, both labels' clips (2, F, 3, S, S) uint8.
    """
    found: dict[str, list[np.ndarray]] = {}
    actor = None
    for label in (0, 1):
        take = draw_task(number, task, label)
        actor = actor or Actor(take.person, take.size)
        clip = read_frames(render_take(take, actor))
        rng = np.random.default_rng([PEOPLE, number, _ORDER])
        ways = {PLAIN: clip, **shown_otherwise(clip, np.zeros(FRAMES), rng)}
        for name in task_names():
            found.setdefault(name, []).append(ways[name])
    return {name: np.stack(both) for name, both in found.items()}


def task_names() -> list[str]:
    """The names of a task's clips."""
    return [PLAIN, BACKWARDS, *SHUFFLED]


def pair(name: str) -> tuple[Timing, Timing]:
    """The two timings of a pair.

    Raises:
        InputError: there is no such pair.
    """
    one, other = PAIRS[choose("pair", name, PAIRS)]
    return TIMINGS[one], TIMINGS[other]
