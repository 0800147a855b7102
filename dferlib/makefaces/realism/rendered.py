"""Rendered people as a photographer would take them: at rest, from the front; and as clips show them."""

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

import numpy as np
import torch
from tqdm import tqdm

from dferlib.makefaces.actions import UNITS
from dferlib.makefaces.assets import load_head
from dferlib.makefaces.blend_shapes import blend_shape_weights
from dferlib.makefaces.generator import render_clip
from dferlib.makefaces.identity import Identity, sample_identity
from dferlib.makefaces.knobs import DIFFICULTIES
from dferlib.makefaces.portrait import PEOPLE, portrait
from dferlib.makefaces.realism.light import SIDE
from dferlib.makefaces.realism.photographs import find_one
from dferlib.makefaces.render import Actor

PIXELS, HALF_WIDTH = 448, 0.16  # side of a portrait, and half its width in metres: the whole head, as a passport has it

Result = TypeVar("Result")


def who(person: int) -> Identity:
    """The person that `portrait` shows by this number."""
    return sample_identity(np.random.default_rng([PEOPLE, person]), load_head().shape_names)


def passport(person: int, units: dict[str, float] | None = None) -> np.ndarray:
    """(PIXELS, PIXELS, 3) uint8: somebody from the front, at rest or with action units."""
    frame = portrait(units, person=person, size=PIXELS, half_width=HALF_WIDTH).frames[0]
    return (255 * frame).round().byte().permute(1, 2, 0).contiguous().numpy()


def landmarks_at_rest(person: int) -> np.ndarray | None:
    """(68, 2) dlib's landmarks of somebody at rest; None where it finds no face."""
    torch.set_num_threads(1)
    found = find_one(passport(person))
    return None if found is None else found[0]


def frame_of_a_clip(person: int) -> np.ndarray | None:
    """(SIDE, SIDE, 3) uint8: somebody at rest as a clip of difficulty standard shows them, facing the camera.

    None where something is in front of the face.
    """
    torch.set_num_threads(1)
    actor, rng = Actor(who(person), SIDE), np.random.default_rng([PEOPLE, person, 1])
    weights = blend_shape_weights(np.zeros((1, len(UNITS))), np.zeros((1, 2)), 0.0, actor.action_index)
    frames, truth = render_clip(actor, weights, np.zeros((1, 3), np.float32), DIFFICULTIES["standard"], rng)
    return None if truth["in_front"] else frames[0].transpose(1, 2, 0)


def for_each(do: Callable[[int], Result | None], people: Iterable[int], workers: int, what: str) -> dict[int, Result]:
    """What `do` gives for each person, in several processes; those for whom it gives None are left out."""
    everyone = list(people)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        done = list(tqdm(pool.map(do, everyone, chunksize=4), what, total=len(everyone), unit="person"))
    return {person: found for person, found in zip(everyone, done, strict=True) if found is not None}
