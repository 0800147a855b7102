"""The kinds of occluder, which of them a person can have, and drawing one over the frames of a clip."""

import numpy as np
import torch
from torch import Tensor

from dferlib.errors import InputError, choose
from dferlib.makefaces.identity import Identity
from dferlib.makefaces.occluders.glasses import sample_glasses
from dferlib.makefaces.occluders.hair import sample_hair
from dferlib.makefaces.occluders.hand import sample_hand
from dferlib.makefaces.occluders.overlay import Occluder
from dferlib.makefaces.render import Actor
from dferlib.makefaces.scene import Scene

KINDS = ("glasses", "sunglasses", "hair", "hand")  # from the face to the camera


def possible_kinds(person: Identity) -> tuple[str, ...]:
    """The kinds of occluder that this person can have: hair in front needs hair."""
    return tuple(kind for kind in KINDS if kind != "hair" or person.hairstyle in ("short", "long"))


def sample_occluder(kind: str, actor: Actor, rng: np.random.Generator) -> Occluder:
    """Draw an occluder for a clip.

    Args:
        kind: one of `KINDS`.
        actor: whose face it hides.
        rng: the source of every draw.

    Raises:
        InputError: unknown kind, or hair for a person without.
    """
    choose("kind of occluder", kind, KINDS)
    if kind not in possible_kinds(actor.person):
        raise InputError(
            f"hair cannot hang in front of a {actor.person.hairstyle} head; ask possible_kinds(person) first"
        )
    if kind == "hand":
        return sample_hand(actor, rng)
    return sample_hair(actor, rng) if kind == "hair" else sample_glasses(kind, actor, rng)


@torch.no_grad()
def occlude(frames: Tensor, occluder: Occluder, actor: Actor, pose: np.ndarray, scene: Scene) -> tuple[Tensor, Tensor]:
    """Draw an occluder over frames.

    Args:
        frames: (F, 3, S, S) float in [0, 1], sRGB, as `actor` rendered them.
        occluder: what comes in front.
        actor: who is in the frames.
        pose: (F, 3) yaw, pitch and roll of the head in radians.
        scene: the light and framing they were rendered with.

    Returns:
        The new frames, and (F, S, S) how much of each pixel is hidden, 0 to 1. What is hidden by 0 is unchanged, but
        for the shadow that falls close by.
    """
    drawn = occluder.draw(actor, pose, scene)
    keep = ((1 - drawn.shadow) * (1 - drawn.hidden))[:, None]
    return (frames * keep + drawn.paint).clamp(0, 1), drawn.hidden
