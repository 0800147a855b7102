"""What a face does in one clip: when its action units rise, hold and fall, and everything it does besides.

Durations lie in the ranges that the literature reports: rise 0.2 to 0.9 s, surprise fast, sadness slow, the fall no
mirror of the rise. A clip adds what real faces do all the time: blinks, gaze, talking and movements that mean nothing.

Two kinds of clip are drawn here. `perform` shows one of the emotions. `perform_dynamics` shows what only time can tell:
its two classes are the same movement run forward and backward.
"""

from dataclasses import dataclass

import numpy as np

from dferlib.errors import choose
from dferlib.makefaces.actions import (
    DISTRACTORS,
    IDLE,
    MOUTHINGS,
    ONE_SIDED,
    TEARS,
    UNITS,
    VARIANTS,
)
from dferlib.makefaces.knobs import Knobs

# seconds: (shortest, longest) rise and fall of each emotion
RISE = {
    "happiness": (0.3, 0.8),
    "sadness": (0.5, 0.9),
    "anger": (0.25, 0.6),
    "surprise": (0.2, 0.35),
    "disgust": (0.3, 0.7),
    "fear": (0.2, 0.5),
    "contempt": (0.3, 0.7),
}
FALL = {
    "happiness": (0.4, 1.0),
    "sadness": (0.7, 1.4),
    "anger": (0.4, 0.9),
    "surprise": (0.25, 0.6),
    "disgust": (0.4, 0.9),
    "fear": (0.35, 0.8),
    "contempt": (0.4, 0.9),
}
HOLD = (0.25, 0.8)
APEX = (0.05, 0.95)  # where in the clip the middle of the apex may lie
EARLIER, LATER = (-0.15, 0.15), (0.55, 0.95)  # the same where a clip holds two expressions

NEUTRAL, ONSET, PEAK, OFFSET = range(4)  # the phases of an expression
PHASES = ("neutral", "onset", "apex", "offset")

DYNAMICS = {
    "onset": ("spontaneous smile", "posed smile"),
    "direction": ("rising", "falling"),
    "order": ("happiness then surprise", "surprise then happiness"),
}


@dataclass(frozen=True)
class Course:
    """How the expression that names a clip of F frames comes and goes.

    Attributes:
        expression: (F,) how far it has risen, 0 to 1, before its intensity.
        earlier: (F,) the same of another expression that the clip shows; zeros where there is none.
        phase: (F,) index into `PHASES`.
        intensity: strength at the apex, 0 for neutral.
        earlier_emotion: name of the other expression, "" where there is none.
        timing: (4,) start, rise, hold and fall in seconds; nan for neutral, and where it comes and goes in cycles.
    """

    expression: np.ndarray
    earlier: np.ndarray
    phase: np.ndarray
    intensity: float
    earlier_emotion: str
    timing: np.ndarray


@dataclass(frozen=True)
class Performance(Course):
    """Everything a face does in one clip of F frames.

    Attributes:
        units: (F, U) intensity of each action unit of `UNITS`, 0 to 1, everything together.
        gaze: (F, 2) eyes to the right of the frame and up, about -0.5 to 0.5.
        asymmetry: (U,) how much stronger each unit is on the left side, -1 to 1.
        talking: whether the person talks.
        movements: how many short movements that mean nothing there are.
        blinks: how many blinks.
        tears: how wet the eyes and the cheeks below them are, 0 to 1.
    """

    units: np.ndarray
    gaze: np.ndarray
    asymmetry: np.ndarray
    talking: bool
    movements: int
    blinks: int
    tears: float


def smoothstep(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, and a smooth S between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def envelope(times: np.ndarray, start: float, rise: float, hold: float, fall: float) -> np.ndarray:
    """How far an expression has risen at each of `times` (seconds), 0 to 1.

    The rise is an S. The fall starts fast and ends slowly, as the fall of a real expression does.
    """
    up = smoothstep((times - start) / rise)
    x = np.clip((times - start - rise - hold) / fall, 0, 1)
    return up * (1 - x) ** 2 * (1 + 2 * x) ** 0.5


def phase_of(times: np.ndarray, start: float, rise: float, hold: float, fall: float) -> np.ndarray:
    """The phase at each of `times`: an index into `PHASES`."""
    edges = np.cumsum([start, rise, hold, fall])
    return np.array([NEUTRAL, ONSET, PEAK, OFFSET, NEUTRAL])[np.searchsorted(edges, times, side="right")]


def _bump(times: np.ndarray, centre: float, width: float) -> np.ndarray:
    return np.exp(-(((times - centre) / width) ** 2))


def _add(units: np.ndarray, recipe: dict[str, float], curve: np.ndarray) -> None:
    for name, intensity in recipe.items():
        units[:, UNITS.index(name)] += intensity * curve


def _add_everyday_motion(
    units: np.ndarray, times: np.ndarray, rng: np.random.Generator, knobs: Knobs
) -> tuple[bool, int, int]:
    """Add what a face does anyway: idle motion, talking, short movements, blinks; say which of these there were."""
    length = times[-1]
    for name in IDLE:
        wave = 1 + np.sin(times * rng.uniform(1, 3.5) + rng.uniform(0, 6))
        units[:, UNITS.index(name)] += 0.04 * rng.random() * wave
    talking = bool(rng.random() < knobs.talking)
    if talking:
        begin = rng.uniform(-0.2, 0.8) * length
        end = begin + rng.uniform(0.4, 1.0) * length
        for _ in range(rng.integers(3, 7)):
            curve = _bump(times, rng.uniform(begin, end), rng.uniform(0.07, 0.14))
            _add(units, {"AU26": rng.uniform(0.1, 0.5)}, curve)
            _add(units, MOUTHINGS[rng.integers(len(MOUTHINGS))], curve * rng.uniform(0.3, 1.0))
    movements = 0
    for chance, recipe in DISTRACTORS:
        if rng.random() < chance * knobs.movements:
            curve = _bump(times, rng.uniform(0, length), rng.uniform(0.1, 0.2)) * rng.uniform(0.4, 1.0)
            _add(units, recipe, curve)
            movements += 1
    blinks = int(rng.integers(0, 3))
    for _ in range(blinks):
        closed = 0.95 * _bump(times, rng.uniform(0, length), 0.09)
        column = UNITS.index("AU43")
        units[:, column] = np.maximum(units[:, column], closed)
    return talking, movements, blinks


def _draw_timing(
    emotion: str, where: tuple[float, float], seconds: float, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Start, rise, hold and fall of an expression whose apex has its middle in the part `where` of the clip."""
    rise, fall, hold = rng.uniform(*RISE[emotion]), rng.uniform(*FALL[emotion]), rng.uniform(*HOLD)
    return rng.uniform(*where) * seconds - hold / 2 - rise, rise, hold, fall


def _add_expression(
    units: np.ndarray,
    times: np.ndarray,
    emotion: str,
    timing: tuple[float, float, float, float],
    strength: float,
    rng: np.random.Generator,
) -> None:
    """Add an expression: each of its units leads or lags the others a little and has its own strength."""
    variants = VARIANTS[emotion]
    for name, weight in variants[rng.integers(len(variants))].items():
        curve = envelope(times - rng.normal(0, 0.04), *timing)
        _add(units, {name: weight}, curve * strength * rng.uniform(0.8, 1.2))


def _finish_performance(
    course: Course,
    units: np.ndarray,
    times: np.ndarray,
    rng: np.random.Generator,
    knobs: Knobs,
    one_sided: bool = False,
    crying: float = 0.0,
) -> Performance:
    """Add to the expression what is there in every clip: everyday movements, gaze, asymmetry."""
    talking, movements, blinks = _add_everyday_motion(units, times, rng, knobs)
    gaze = rng.normal(0, 0.18, 2) + 0.06 * np.sin(times[:, None] * rng.uniform(1, 3, 2) + rng.uniform(0, 6, 2))
    asymmetry = np.clip(rng.normal(0, 0.07, len(UNITS)), -0.2, 0.2)
    side = rng.choice([-0.95, 0.95])
    if one_sided:
        asymmetry[[UNITS.index(name) for name in ONE_SIDED]] = side
    return Performance(
        **vars(course),
        units=np.clip(units, 0, 1).astype(np.float32),
        gaze=np.clip(gaze, -0.6, 0.6).astype(np.float32),
        asymmetry=asymmetry.astype(np.float32),
        talking=talking,
        movements=movements,
        blinks=blinks,
        tears=float(rng.uniform(0.4, 1)) if rng.random() < crying else 0.0,
    )


def perform(
    emotion: str, frames: int, rng: np.random.Generator, knobs: Knobs | None = None, seconds: float = 2.0
) -> Performance:
    """Draw what a face does in a clip of one emotion.

    The apex may lie anywhere in the clip; the rise may begin before the first frame and the fall end after the last.
    With `knobs.carry_over` some clips begin in the remainder of another expression; the later one names the clip.

    Args:
        emotion: one of `dferlib.EMOTIONS`, or "contempt".
        frames: F, the number of frames.
        rng: the source of every draw.
        knobs: how strong the expression is and what else happens; the defaults if not given.
        seconds: length of the clip.

    Raises:
        InputError: there is no such emotion; the message lists those there are.
    """
    choose("emotion", emotion, VARIANTS)
    knobs = knobs or Knobs()
    times = np.linspace(0, seconds, frames)
    units = np.zeros((frames, len(UNITS)))
    expression, earlier = np.zeros(frames, dtype=np.float32), np.zeros(frames, dtype=np.float32)
    phase, timing, strength, before = np.zeros(frames, dtype=np.int64), np.full(4, np.nan), 0.0, ""
    if emotion != "neutral":
        two = rng.random() < knobs.carry_over
        if two:
            before = str(rng.choice([name for name in RISE if name not in (emotion, "contempt")]))
            first = _draw_timing(before, EARLIER, seconds, rng)
            earlier = envelope(times, *first).astype(np.float32)
            _add_expression(units, times, before, first, rng.uniform(*knobs.intensity), rng)
        strength = float(rng.uniform(*knobs.intensity))
        shape = _draw_timing(emotion, LATER if two else APEX, seconds, rng)
        if rng.random() < knobs.held and not two:
            shape = (-shape[1], shape[1], seconds, shape[3])
        expression, phase = envelope(times, *shape).astype(np.float32), phase_of(times, *shape)
        timing = np.array(shape)
        _add_expression(units, times, emotion, shape, strength, rng)
    course = Course(
        expression=expression,
        earlier=earlier,
        phase=phase,
        intensity=strength,
        earlier_emotion=before,
        timing=timing.astype(np.float32),
    )
    return _finish_performance(
        course, units, times, rng, knobs, one_sided=emotion == "contempt", crying=TEARS.get(emotion, 0.0)
    )


def _cycle(task: str, turns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Levels (F, 2) of the two expressions of a task, and phases (F,), at `turns` of an endless cycle."""
    u = turns % 1
    if task == "order":  # one bump after the other, then rest
        levels = np.stack([smoothstep(1 - np.abs(u - centre) / 0.2) for centre in (0.3, 0.55)], 1)
        return levels, np.where(levels.max(1) > 0, PEAK, NEUTRAL)
    rise, fall = {"onset": (0.55, 0.12), "direction": (0.9, 0.1)}[task]
    level = np.where(u < rise, smoothstep(u / rise), 1 - smoothstep((u - rise) / fall))
    phase = np.select([u < rise, u < rise + fall], [ONSET, OFFSET], NEUTRAL)
    return np.stack([level, np.zeros_like(level)], 1), phase


def perform_dynamics(
    task: str, label: int, frames: int, rng: np.random.Generator, knobs: Knobs | None = None, seconds: float = 2.0
) -> Performance:
    """Draw a clip whose class only time can tell.

    The expression follows an endless cycle that the clip enters at a random moment; class 1 runs through it backwards.
    So each frame, taken alone, looks the same in both classes, wherever in the clip it lies, and so does any set of
    frames whose order is lost. What differs is which way time runs:

    - "onset": a smile that rises slowly and vanishes quickly (spontaneous), or the reverse (posed);
    - "direction": an emotion that grows through the clip, or one that fades;
    - "order": happiness, then surprise, then rest, or surprise first.

    Args:
        task: one of `DYNAMICS`.
        label: 0 or 1, index into `DYNAMICS[task]`.
        frames: F.
        rng: the source of every draw; the same draws serve both labels.
        knobs: as for `perform`; `carry_over` has no meaning here.
        seconds: length of the clip.

    Raises:
        InputError: there is no such task.
    """
    choose("task", task, DYNAMICS)
    knobs = knobs or Knobs()
    times = np.linspace(0, seconds, frames)
    period, start, strength = rng.uniform(0.8, 1.2) * seconds, rng.random(), float(rng.uniform(*knobs.intensity))
    first = str(rng.choice([name for name in RISE if name != "contempt"])) if task == "direction" else "happiness"
    units = np.zeros((frames, len(UNITS)))
    forward = -1 if label else 1

    def levels(lag: float) -> tuple[np.ndarray, np.ndarray]:
        return _cycle(task, start + forward * (times - lag) / period)

    for which, emotion in enumerate((first, "surprise")[: 2 if task == "order" else 1]):
        variants = VARIANTS[emotion]
        for name, weight in variants[rng.integers(len(variants))].items():
            curve = levels(rng.normal(0, 0.04))[0][:, which]
            _add(units, {name: weight}, curve * strength * rng.uniform(0.8, 1.2))
    both, phase = levels(0.0)
    if label:
        phase = np.select([phase == ONSET, phase == OFFSET], [OFFSET, ONSET], phase)
    both = both.astype(np.float32)
    no_timing = np.full(4, np.nan, dtype=np.float32)
    course = Course(both[:, 0], both[:, 1], phase, intensity=strength, earlier_emotion="", timing=no_timing)
    return _finish_performance(course, units, times, rng, knobs)
