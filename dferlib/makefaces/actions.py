"""Facial action units, and the expressions and other movements they make.

Action units (AU) are the muscle movements of the Facial Action Coding System. An expression here is a list of them with
intensities from 0 to 1. Which units make which emotion follows the EMFACS-style lists in common use.
`performance.py` says when they rise, hold and fall.
"""

LEFT_RIGHT = ("Left", "Right")


def _both(name: str, weight: float) -> dict[str, float]:
    return {name + side: weight for side in LEFT_RIGHT}


# Each action unit at full intensity, as weights of the 52 blend shapes. Weights over 1 overdrive a weak shape.
ACTION_UNITS: dict[str, dict[str, float]] = {
    "AU1": {"browInnerUp": 1.5},
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
MAX_SHAPE_WEIGHT = 1.5  # beyond this the blend shapes tear

# Several ways to show each emotion; a clip draws one.
VARIANTS: dict[str, list[dict[str, float]]] = {
    "neutral": [{}],
    "happiness": [
        {"AU6": 0.9, "AU12": 0.75, "AU25": 0.75, "AU26": 0.25},
        {"AU6": 1.0, "AU12": 0.85, "AU25": 0.85, "AU10": 0.3, "AU26": 0.35},
        {"AU6": 1.0, "AU12": 1.0, "AU25": 0.85, "AU10": 0.5, "AU26": 0.5},
        {"AU6": 0.8, "AU12": 0.9},
        # polite: the mouth smiles more than the eyes
        {"AU6": 0.3, "AU12": 0.85, "AU25": 0.7, "AU10": 0.25},
        {"AU6": 0.4, "AU12": 0.85},
        # laughing, with the eyes squeezed
        {"AU6": 1.0, "AU7": 0.5, "AU12": 0.95, "AU25": 1.0, "AU26": 0.75, "AU43": 0.4},
    ],
    # the brows must slant: a strong AU4 would pull them level again and make sadness look like anger
    "sadness": [
        {"AU1": 1.0, "AU4": 0.3, "AU15": 0.9, "AU43": 0.35},
        {"AU1": 1.0, "AU4": 0.35, "AU15": 0.75, "AU17": 0.85, "AU7": 0.35, "AU20": 0.2},
        {"AU1": 1.0, "AU4": 0.2, "AU15": 0.9, "AU17": 0.6, "AU43": 0.3},
        # crying: everything round the eyes and the mouth draws together, and the brows still slant
        {"AU1": 0.9, "AU4": 0.6, "AU6": 0.6, "AU7": 0.6, "AU43": 0.5, "AU15": 0.7, "AU17": 0.8, "AU20": 0.3},
        {
            "AU1": 0.8,
            "AU4": 0.7,
            "AU6": 0.8,
            "AU7": 0.7,
            "AU43": 0.6,
            "AU10": 0.35,
            "AU15": 0.6,
            "AU20": 0.6,
            "AU25": 0.6,
        },
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
    "contempt": [
        {"AU12": 0.75, "AU14": 1.0},
        {"AU12": 0.5, "AU14": 1.0, "AU10": 0.4, "AU7": 0.3},
    ],
}
# chance of tears in a clip: people cry when they are sad, and some laugh until they do
TEARS = {"sadness": 0.35, "happiness": 0.07, "fear": 0.07, "anger": 0.05}
# units that contempt shows on one side of the face only
ONE_SIDED = ("AU10", "AU12", "AU14")

# short movements that people make whatever they feel: name, chance of one in a clip, units
DISTRACTORS: tuple[tuple[float, dict[str, float]], ...] = (
    (0.35, {"AU1": 0.8, "AU2": 1.0}),
    (0.30, {"AU4": 0.8}),
    (0.20, {"AU12": 0.3}),
    (0.12, {"AU9": 0.5}),
    (0.20, {"AU15": 0.5}),
    (0.20, {"AU5": 0.6}),
)
MOUTHINGS: tuple[dict[str, float], ...] = ({"AU22": 0.7}, {"AU18": 0.7}, {"AU16": 0.6, "AU10": 0.25}, {"AU20": 0.4})
IDLE = ("AU1", "AU7", "AU17", "AU24", "AU26")
