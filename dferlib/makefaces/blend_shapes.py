"""From action units to the weights of the head's blend shapes."""

import numpy as np

from dferlib.makefaces.actions import ACTION_UNITS, LEFT_RIGHT, MAX_SHAPE_WEIGHT, UNITS
from dferlib.makefaces.performance import Performance

STRONGER_SIDE = 1.2  # of its even strength at most: what is one-sided is weak on the other side


def shape_weights(performance: Performance, shape_index: dict[str, int]) -> np.ndarray:
    """Turn a performance into weights of the blend shapes.

    Args:
        performance: F frames of action units and gaze.
        shape_index: column of each blend shape, 0 to 51.

    Returns:
        (F, 52) weights, 0 to `MAX_SHAPE_WEIGHT`.
    """
    return blend_shape_weights(performance.units, performance.gaze, performance.asymmetry, shape_index)


def blend_shape_weights(
    units: np.ndarray, gaze: np.ndarray, asymmetry: np.ndarray | float, shape_index: dict[str, int]
) -> np.ndarray:
    """Turn action units into weights of the blend shapes.

    Args:
        units: (F, U) intensities of `UNITS`.
        gaze: (F, 2) eyes to the right of the frame and up.
        asymmetry: (U,) or one number, how much stronger the left side is.
        shape_index: column of each blend shape, 0 to 51.

    Returns:
        (F, 52) weights, 0 to `MAX_SHAPE_WEIGHT`.
    """
    lean = np.broadcast_to(asymmetry, len(UNITS))
    mix = np.zeros((len(UNITS), len(shape_index)), dtype=np.float32)
    for row, recipe in enumerate(ACTION_UNITS.values()):
        for name, weight in recipe.items():
            left = name.endswith("Left") - name.endswith("Right")  # 1, -1, or 0 for a shape of the whole face
            mix[row, shape_index[name]] += weight * min(1 + left * lean[row], STRONGER_SIDE)
    weights = units @ mix
    right, up = gaze.T
    for side in LEFT_RIGHT:
        inward = right if side == "Left" else -right
        for name, amount in (("In", inward), ("Out", -inward), ("Up", up), ("Down", -up)):
            weights[:, shape_index[f"eyeLook{name}{side}"]] += np.maximum(amount, 0)
    return np.clip(weights, 0, MAX_SHAPE_WEIGHT)
