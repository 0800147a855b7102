"""Facial action units, the expressions they make, and when they rise, hold and fall.

Action units (AU) are the muscle movements of the Facial Action Coding System. An expression here is a list of them with
intensities from 0 to 1; a clip adds to it what real faces do all the time: blinks, gaze, talking and short movements
that mean nothing. Which units make which emotion follows the EMFACS-style lists in common use; durations lie in the
ranges that the literature reports (rise 0.2 to 0.9 s, surprise fast, sadness slow, the fall no mirror of the rise).
"""

from dataclasses import dataclass

import numpy as np

from dferlib.errors import choose

LEFT_RIGHT = ("Left", "Right")


def _both(name: str, weight: float) -> dict[str, float]:
    return {name + side: weight for side in LEFT_RIGHT}


# Each action unit at full intensity, as weights of the 52 face shapes. Weights over 1 overdrive a weak shape.
ACTION_UNITS: dict[str, dict[str, float]] = {
    "AU1": {"browInnerUp": 1.25},
    "AU2": _both("browOuterUp", 1.0),
    "AU4": _both("browDown", 1.25),
    "AU5": _both("eyeWide", 1.2),
    "AU6": {**_both("cheekSquint", 1.0), **_both("eyeSquint", 0.35)},
    "AU7": _both("eyeSquint", 1.0),
    "AU9": _both("noseSneer", 1.5),
    "AU10": _both("mouthUpperUp", 1.2),
    "AU12": _both("mouthSmile", 1.2),
    "AU14": _both("mouthDimple", 1.0),
    "AU15": _both("mouthFrown", 1.25),
    "AU16": _both("mouthLowerDown", 1.0),
    "AU17": {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.5},
    "AU18": {"mouthPucker": 1.0},
    "AU20": _both("mouthStretch", 1.25),
    "AU22": {"mouthFunnel": 1.0},
    # the lips roll in; the shape called mouthPress would lift the corners and make anger look like a smile
    "AU23": {"mouthRollUpper": 0.6, "mouthRollLower": 0.6, **_both("mouthFrown", 0.35)},
    "AU24": {**_both("mouthPress", 0.35), "mouthRollLower": 0.3, "mouthShrugLower": 0.5},
    "AU25": {**_both("mouthLowerDown", 0.6), **_both("mouthUpperUp", 0.36)},
    "AU26": {"jawOpen": 0.56},
    "AU27": {"jawOpen": 0.9},
    "AU43": _both("eyeBlink", 1.0),
}
UNITS = tuple(ACTION_UNITS)
MAX_SHAPE_WEIGHT = 1.5  # beyond this the face shapes tear

# Several ways to show each emotion; a clip draws one.
VARIANTS: dict[str, list[dict[str, float]]] = {
    "neutral": [{}],
    "happiness": [
        {"AU6": 0.9, "AU12": 0.75, "AU25": 0.75, "AU26": 0.25},
        {"AU6": 1.0, "AU12": 0.85, "AU25": 0.85, "AU10": 0.3, "AU26": 0.35},
        {"AU6": 1.0, "AU12": 1.0, "AU25": 0.85, "AU10": 0.5, "AU26": 0.5},
        {"AU6": 0.8, "AU12": 0.9},
    ],
    "sadness": [
        {"AU1": 1.0, "AU4": 0.55, "AU15": 1.0, "AU43": 0.3},
        {"AU1": 1.0, "AU4": 0.5, "AU15": 0.9, "AU17": 1.0, "AU7": 0.5, "AU20": 0.25},
        {"AU1": 1.0, "AU4": 0.25, "AU15": 1.0, "AU17": 0.8, "AU43": 0.25},
    ],
    "anger": [
        {"AU4": 1.0, "AU5": 0.75, "AU7": 0.5, "AU10": 0.65, "AU25": 1.0, "AU26": 0.55, "AU9": 0.25, "AU20": 0.3},
        {"AU4": 0.95, "AU5": 0.5, "AU7": 0.55, "AU9": 0.2, "AU23": 0.9, "AU24": 0.5, "AU17": 0.3},
        {"AU4": 0.9, "AU5": 0.5, "AU7": 0.5, "AU10": 0.6, "AU9": 0.3, "AU25": 0.75, "AU26": 0.35, "AU22": 0.3},
        {"AU4": 1.0, "AU5": 0.65, "AU7": 0.4, "AU23": 1.0, "AU17": 0.6, "AU15": 0.25},
    ],
    "surprise": [
        {"AU1": 0.8, "AU2": 1.0, "AU5": 0.85, "AU25": 0.2, "AU26": 1.0},
        {"AU1": 0.8, "AU2": 1.0, "AU5": 0.85, "AU27": 1.0},
        {"AU1": 0.8, "AU2": 1.0, "AU5": 0.75, "AU26": 0.75},
    ],
    "disgust": [
        {"AU9": 1.0, "AU10": 1.0, "AU6": 0.6, "AU7": 0.4, "AU15": 0.4, "AU17": 0.6},
        {"AU9": 1.0, "AU10": 1.0, "AU6": 0.8, "AU7": 0.6, "AU25": 0.5, "AU26": 0.2, "AU16": 0.6},
        {"AU9": 0.95, "AU10": 0.85, "AU4": 0.25, "AU7": 0.4, "AU17": 0.8, "AU15": 0.35},
    ],
    "fear": [
        {"AU1": 1.0, "AU2": 0.2, "AU4": 0.65, "AU5": 1.0, "AU20": 1.0, "AU25": 0.85, "AU26": 0.25, "AU10": 0.25},
        {"AU1": 1.0, "AU4": 0.4, "AU5": 1.0, "AU20": 1.0, "AU25": 1.0, "AU26": 0.55, "AU10": 0.35},
        {"AU1": 0.95, "AU2": 0.4, "AU4": 0.65, "AU5": 1.0, "AU20": 1.0, "AU25": 0.45, "AU26": 0.2, "AU7": 0.4},
    ],
}

# seconds: (shortest, longest) rise and fall of each emotion
RISE = {
    "happiness": (0.3, 0.8),
    "sadness": (0.5, 0.9),
    "anger": (0.25, 0.6),
    "surprise": (0.2, 0.35),
    "disgust": (0.3, 0.7),
    "fear": (0.2, 0.5),
}
FALL = {
    "happiness": (0.4, 1.0),
    "sadness": (0.7, 1.4),
    "anger": (0.4, 0.9),
    "surprise": (0.25, 0.6),
    "disgust": (0.4, 0.9),
    "fear": (0.35, 0.8),
}
HOLD = (0.25, 0.8)

NEUTRAL, ONSET, APEX, OFFSET = range(4)  # the phases of an expression
PHASES = ("neutral", "onset", "apex", "offset")

# short movements that people make whatever they feel: name, chance of one in a clip, units
DISTRACTORS: tuple[tuple[float, dict[str, float]], ...] = (
    (0.35, {"AU1": 0.8, "AU2": 1.0}),
    (0.30, {"AU4": 0.8}),
    (0.20, {"AU12": 0.45}),
    (0.12, {"AU9": 0.5}),
    (0.20, {"AU15": 0.5}),
    (0.20, {"AU5": 0.6}),
)
MOUTHINGS: tuple[dict[str, float], ...] = ({"AU22": 0.7}, {"AU18": 0.7}, {"AU16": 0.6, "AU10": 0.25}, {"AU20": 0.4})
IDLE = ("AU1", "AU7", "AU17", "AU24", "AU26")


@dataclass(frozen=True)
class Performance:
    """What a face does in one clip of T frames.

    Attributes:
        units: (T, U) intensity of each action unit of `UNITS`, 0 to 1, everything together.
        expression: (T,) how far the expression itself has risen, 0 to 1, before its intensity.
        phase: (T,) index into `PHASES`.
        gaze: (T, 2) eyes to the right of the picture and up, about -0.5 to 0.5.
        asymmetry: how much stronger the left side is, about -0.2 to 0.2.
        intensity: the strength of the expression at its apex, 0 for neutral.
    """

    units: np.ndarray
    expression: np.ndarray
    phase: np.ndarray
    gaze: np.ndarray
    asymmetry: float
    intensity: float


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
    return np.array([NEUTRAL, ONSET, APEX, OFFSET, NEUTRAL])[np.searchsorted(edges, times, side="right")]


def _bump(times: np.ndarray, centre: float, width: float) -> np.ndarray:
    return np.exp(-(((times - centre) / width) ** 2))


def _add(units: np.ndarray, recipe: dict[str, float], curve: np.ndarray) -> None:
    for name, intensity in recipe.items():
        units[:, UNITS.index(name)] += intensity * curve


def _everyday(units: np.ndarray, times: np.ndarray, rng: np.random.Generator) -> None:
    """Add what a face does anyway: idle motion, talking in 60 % of the clips, short meaningless movements."""
    length = times[-1]
    for name in IDLE:
        wave = 1 + np.sin(times * rng.uniform(1, 3.5) + rng.uniform(0, 6))
        units[:, UNITS.index(name)] += 0.04 * rng.random() * wave
    if rng.random() < 0.6:
        begin = rng.uniform(-0.2, 0.8) * length
        end = begin + rng.uniform(0.4, 1.0) * length
        for _ in range(rng.integers(3, 7)):
            curve = _bump(times, rng.uniform(begin, end), rng.uniform(0.07, 0.14))
            _add(units, {"AU26": rng.uniform(0.1, 0.5)}, curve)
            _add(units, MOUTHINGS[rng.integers(len(MOUTHINGS))], curve * rng.uniform(0.3, 1.0))
    for chance, recipe in DISTRACTORS:
        if rng.random() < chance:
            curve = _bump(times, rng.uniform(0, length), rng.uniform(0.1, 0.2)) * rng.uniform(0.4, 1.0)
            _add(units, recipe, curve)


def _blinks(units: np.ndarray, times: np.ndarray, rng: np.random.Generator) -> None:
    column = UNITS.index("AU43")
    for _ in range(rng.integers(0, 3)):
        closed = 0.95 * _bump(times, rng.uniform(0, times[-1]), 0.09)
        units[:, column] = np.maximum(units[:, column], closed)


def perform(
    emotion: str,
    frames: int,
    rng: np.random.Generator,
    seconds: float = 2.0,
    intensity: tuple[float, float] = (0.4, 0.95),
) -> Performance:
    """Draw what a face does in a clip of one emotion.

    The apex may lie anywhere in the clip; the rise may begin before the first frame and the fall end after the last.
    Each action unit leads or lags the others a little and has its own strength.

    Args:
        emotion: one of `dferlib.EMOTIONS`.
        frames: T, the number of frames.
        rng: the source of every draw.
        seconds: length of the clip.
        intensity: range of the strength at the apex.

    Raises:
        InputError: there is no such emotion; the message lists those there are.
    """
    times = np.linspace(0, seconds, frames)
    units = np.zeros((frames, len(UNITS)))
    expression, phase, strength = np.zeros(frames), np.zeros(frames, dtype=np.int64), 0.0
    variants = VARIANTS[choose("emotion", emotion, VARIANTS)]
    variant = variants[rng.integers(len(variants))]
    if variant:
        strength = float(rng.uniform(*intensity))
        rise, fall, hold = rng.uniform(*RISE[emotion]), rng.uniform(*FALL[emotion]), rng.uniform(*HOLD)
        apex = rng.uniform(0.05, 0.95) * seconds  # the middle of the hold
        shape = (apex - hold / 2 - rise, rise, hold, fall)
        expression, phase = envelope(times, *shape), phase_of(times, *shape)
        for name, weight in variant.items():
            lag = rng.normal(0, 0.04)
            curve = envelope(times - lag, *shape) * strength * rng.uniform(0.8, 1.2)
            _add(units, {name: weight}, curve)
    _everyday(units, times, rng)
    _blinks(units, times, rng)
    gaze = rng.normal(0, 0.18, 2) + 0.06 * np.sin(times[:, None] * rng.uniform(1, 3, 2) + rng.uniform(0, 6, 2))
    return Performance(
        units=np.clip(units, 0, 1).astype(np.float32),
        expression=expression.astype(np.float32),
        phase=phase,
        gaze=np.clip(gaze, -0.6, 0.6).astype(np.float32),
        asymmetry=float(np.clip(rng.normal(0, 0.07), -0.2, 0.2)),
        intensity=strength,
    )


def shape_weights(performance: Performance, shape_index: dict[str, int]) -> np.ndarray:
    """Turn a performance into weights of the face shapes.

    Args:
        performance: T frames of action units and gaze.
        shape_index: column of each face shape, 0 to 51.

    Returns:
        (T, 52) weights, 0 to `MAX_SHAPE_WEIGHT`.
    """
    mix = np.zeros((len(UNITS), len(shape_index)), dtype=np.float32)
    for row, recipe in enumerate(ACTION_UNITS.values()):
        for name, weight in recipe.items():
            left = name.endswith("Left") - name.endswith("Right")  # 1, -1, or 0 for a shape of the whole face
            mix[row, shape_index[name]] += weight * (1 + left * performance.asymmetry)
    weights = performance.units @ mix
    right, up = performance.gaze.T
    for side in LEFT_RIGHT:
        inward = right if side == "Left" else -right
        for name, amount in (("In", inward), ("Out", -inward), ("Up", up), ("Down", -up)):
            weights[:, shape_index[f"eyeLook{name}{side}"]] += np.maximum(amount, 0)
    return np.clip(weights, 0, MAX_SHAPE_WEIGHT)
