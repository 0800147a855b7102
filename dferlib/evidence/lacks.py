"""What rendered clips can be made to lack, one thing at a time: for experiments on what photographs need.

MakeFaces draws people whose faces are proportioned, whose pictures are lit and taken, and whose expressions are as
strong as of people. Each function here takes one of these away and leaves everything else as it was.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dferlib.makefaces.actions import UNITS
from dferlib.makefaces.assets import load_head
from dferlib.makefaces.blend_shapes import blend_shape_weights
from dferlib.makefaces.identity import Identity
from dferlib.makefaces.knobs import DIFFICULTIES, FAINT_NOISE, Knobs
from dferlib.makefaces.portrait import STUDIO
from dferlib.makefaces.proportions import BROW_POINTS, LARGEST, changes_of, spreads
from dferlib.makefaces.render import Actor
from dferlib.makefaces.scene import Light, Scene


def free_shape(person: Identity, rng: np.random.Generator) -> Identity:
    """The same person, shaped as the mesh allows: no distance is drawn as people's are."""
    names = load_head().shape_names
    changes = changes_of(names)
    amounts = rng.normal(0, spreads(changes)[: len(changes)]).clip(-LARGEST, LARGEST)
    wanted: dict[str, float] = {}
    for (one, other), amount in zip(changes.items(), amounts.tolist(), strict=True):
        wanted |= {side + one: amount for side in ("", "l-", "r-")} | {
            side + other: -amount for side in ("", "l-", "r-")
        }
    shape = person.shape.copy()
    for k, name in enumerate(names):
        if name[:2] == "l:":
            shape[k] = max(0.0, wanted.get(name[2:], 0.0))
    return replace(person, shape=shape, brow_lifts=np.zeros((2, len(BROW_POINTS)), dtype=np.float32))


def at_rest(person: Identity, size: int, half_width: float = 0.1) -> np.ndarray:
    """Somebody at rest, from the front, in the light of `dferlib.makefaces.portrait`.

    Args:
        person: who.
        size: side of the frame in pixels.
        half_width: half the width of the frame at the face, in metres.

    Returns:
        One frame (size, size, 3) uint8.
    """
    actor = Actor(person, size)
    weights = blend_shape_weights(np.zeros((1, len(UNITS))), np.zeros((1, 2)), 0.0, actor.action_index)
    lamps = tuple(Light(where, (power,) * 3) for where, power in zip(STUDIO, (0.95, 0.3), strict=True))
    scene = Scene(
        ambient=(0.3, 0.3, 0.3),
        lamps=lamps,
        exposure=1.0,
        background=None,
        half_width=half_width,
        offset=np.zeros((1, 2)),
        light=np.ones((1, 2)),
    )
    frame = actor.render(weights, np.zeros((1, 3), np.float32), scene).frames[0]
    return (255 * frame).round().byte().permute(1, 2, 0).contiguous().numpy()


def plain_pictures(knobs: Knobs) -> Knobs:
    """A camera with a little noise, and light that keeps still."""
    return replace(knobs, camera=FAINT_NOISE, flicker=0.0)


def strong_expressions(knobs: Knobs) -> Knobs:
    """As strong as actors play them, from rest to rest."""
    return replace(knobs, intensity=DIFFICULTIES["easy"].intensity, held=0.0)


def nothing_in_the_way(knobs: Knobs) -> Knobs:
    """Upright heads with nothing in front of the face."""
    return replace(knobs, hanging=0.0, glasses=0.0, sunglasses=0.0, hand=0.0, hair=0.0)


@dataclass(frozen=True)
class Lack:
    """What clips, or a backbone's frames, lack.

    Attributes:
        knobs: changes how hard they are.
        shaped: whether faces are proportioned as people's.
        disguised: whether a backbone sees each frame in another tone, colour, sharpness and grain every time.
    """

    knobs: Callable[[Knobs], Knobs] = lambda knobs: knobs
    shaped: bool = True
    disguised: bool = True


LACKS = {
    "nothing": Lack(),
    "proportions": Lack(shaped=False),
    "pictures": Lack(plain_pictures),
    "strengths": Lack(strong_expressions),
    "obstacles": Lack(nothing_in_the_way),
    "everything": Lack(lambda k: nothing_in_the_way(strong_expressions(plain_pictures(k))), shaped=False),
}
