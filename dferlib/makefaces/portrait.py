"""One frame of one face, its action units set by hand: for figures, for sliders, for trying things out."""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from dferlib.errors import choose
from dferlib.makefaces.actions import UNITS

if TYPE_CHECKING:
    from dferlib.makefaces.render import Actor, Rendered

STUDIO = ((-0.45, -0.8, 0.4), (0.7, -0.7, 0.1))  # where the key and the fill light come from
PEOPLE = 7  # the first number of the random streams of people who are in no data set


@lru_cache(maxsize=8)
def _actor(person: int, size: int) -> "Actor":
    from dferlib.makefaces.assets import load_head
    from dferlib.makefaces.identity import sample_identity
    from dferlib.makefaces.render import Actor

    rng = np.random.default_rng([PEOPLE, person])
    return Actor(sample_identity(rng, load_head().shape_names), size)


def portrait(
    units: dict[str, float] | None = None,
    person: int = 0,
    size: int = 160,
    pose: tuple[float, float, float] = (0.0, 0.0, 0.0),
    gaze: tuple[float, float] = (0.0, 0.0),
    asymmetry: float = 0.0,
    half_width: float = 0.1,
) -> "Rendered":
    """Draw a face in studio light.

    Args:
        units: intensity, 0 to 1, of action units by name (see `UNITS`); the others are at rest.
        person: who, any whole number from 0; they are in no split of the data set.
        size: side of the frame in pixels.
        pose: yaw, pitch and roll of the head in radians.
        gaze: of the eyes, to the right of the frame and up, about -0.5 to 0.5.
        asymmetry: how much stronger the left side of the face is, -1 to 1.
        half_width: half the width of the frame at the face, in metres; the data set's crops have 0.085.

    Returns:
        One frame: `frames` (1, 3, size, size), `landmarks`, `motion`, `face`.

    Raises:
        InputError: there is no such action unit; the message lists those there are.
    """
    from dferlib.makefaces.blend_shapes import blend_shape_weights
    from dferlib.makefaces.scene import Light, Scene

    row = np.zeros((1, len(UNITS)), dtype=np.float32)
    for name, intensity in (units or {}).items():
        row[0, UNITS.index(choose("action unit", name, UNITS))] = intensity
    actor = _actor(person, size)
    weights = blend_shape_weights(row, np.array([gaze], dtype=np.float32), asymmetry, actor.action_index)
    key, fill = (Light(where, (power,) * 3) for where, power in zip(STUDIO, (0.95, 0.3), strict=True))
    scene = Scene(
        ambient=(0.3, 0.3, 0.3),
        lamps=(key, fill),
        exposure=1.0,
        background=None,
        half_width=half_width,
        offset=np.zeros((1, 2)),
        light=np.ones((1, 2)),
    )
    return actor.render(weights, np.array([pose], dtype=np.float32), scene)
