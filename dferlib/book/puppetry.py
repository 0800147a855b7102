"""The puppet: a face that the page draws by itself, with a slider for each action unit."""

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from dferlib.book.explorers import Interactive, explorer
from dferlib.book.sprites import webp
from dferlib.emotions import EMOTIONS
from dferlib.errors import InputError
from dferlib.makefaces import UNITS
from dferlib.makefaces.actions import VARIANTS
from dferlib.makefaces.portrait import PEOPLE, portrait

if TYPE_CHECKING:
    from dferlib.book.puppet_parts import Parts
    from dferlib.makefaces.render import Actor

SIDE = 600  # samples along each side of the canvas, about two a pixel
FARTHEST = 35  # degrees that the head turns
STILL = 150  # pixels along each side of the pictures without scripts
QUALITY = 92  # of the texture


def puppet(names: Mapping[str, str], person: int = 0, *, alt: str) -> Interactive:
    """A face of MakeFaces whose action units a reader moves, with the recipes of the seven emotions.

    The page draws it as the library does: the same mesh, units, light and colours, rounded. Where scripts are off,
    there are pictures of the first recipe of each emotion.

    Args:
        names: each action unit of `dferlib.makefaces.UNITS` in words.
        person: who, as for `portrait`.
        alt: what it shows, for those who do not see it.

    Raises:
        InputError: no text, or units without a name.
    """
    if missing := [unit for unit in UNITS if unit not in names]:
        raise InputError(f"there are no words for {', '.join(missing)}")
    data = _data(face_of(person)[1])
    data |= {"names": [[unit, names[unit]] for unit in UNITS]}
    data |= {"recipes": {emotion: [row(recipe) for recipe in VARIANTS[emotion]] for emotion in EMOTIONS}}
    return explorer(_controls(names) + _stills(names, person), data, "puppet", alt=alt)


def row(recipe: Mapping[str, float]) -> list[float]:
    """A recipe as the intensity of each of `UNITS`."""
    return [recipe.get(unit, 0.0) for unit in UNITS]


def face_of(person: int) -> "tuple[Actor, Parts]":
    """The person whom `portrait` draws, and everything that a script needs to draw the same."""
    from dferlib.book.puppet_parts import parts_of
    from dferlib.makefaces.assets import load_head
    from dferlib.makefaces.identity import sample_identity
    from dferlib.makefaces.render import Actor

    actor = Actor(sample_identity(np.random.default_rng([PEOPLE, person]), load_head().shape_names), SIDE)
    recipes = [row(recipe) for emotion in EMOTIONS for recipe in VARIANTS[emotion]]
    return actor, parts_of(actor, np.concatenate([np.eye(len(UNITS)), recipes]).astype(np.float32))


def _data(parts: "Parts") -> dict[str, object]:
    """Packed arrays, numbers, and two pictures: the colours, and the four channels of wrinkles side by side."""
    from dferlib.book.puppet_parts import FOLDS_FROM, FOLDS_TO, packed
    from dferlib.makefaces.raster import GAMMA

    colour = parts.texture[..., :3].clip(0, 1) ** (1 / GAMMA)
    folds = ((parts.texture[..., 3:] - FOLDS_FROM) / (FOLDS_TO - FOLDS_FROM)).clip(0, 1)
    tiles = np.concatenate([np.concatenate([folds[..., k], folds[..., k + 1]], 1) for k in (0, 2)])
    texture, wrinkles = (
        webp((255 * picture).round().astype(np.uint8), QUALITY) for picture in (colour, tiles[..., None].repeat(3, -1))
    )
    return {**packed(parts.arrays), "numbers": parts.numbers, "texture": texture, "wrinkles": wrinkles}


def _controls(names: Mapping[str, str]) -> str:
    """The canvas, the emotions and the sliders."""
    presets = "".join(
        f'<button type="button" class="fim-toggle" data-emotion="{emotion}" aria-pressed="false">{emotion}</button>'
        for emotion in EMOTIONS
    )
    words = {unit: html.escape(names[unit]) for unit in UNITS}
    sliders = "".join(
        _slider("fim-unit", f"<b>{unit}</b> {told}", f"{unit} {told}", 0, 1, 0.05) for unit, told in words.items()
    )
    turn = _slider("fim-turn", "turn of the head", "turn of the head in degrees", -FARTHEST, FARTHEST, 1)
    return (
        f'<div class="fim-puppet-all fim-live"><div class="fim-puppet-stage"><div class="fim-view">'
        f'<canvas width="{SIDE}" height="{SIDE}" role="img"></canvas></div>{turn}'
        f'<div class="fim-presets" role="group" aria-label="Emotions">{presets}</div>'
        f'<p class="fim-said" aria-live="polite"></p></div><div class="fim-units">{sliders}</div></div>'
    )


def _slider(kind: str, shown: str, told: str, low: float, high: float, step: float) -> str:
    """A slider below its name and its value."""
    return (
        f'<label class="{kind}"><span class="fim-word">{shown}</span><span class="fim-value" aria-hidden="true"></span>'
        f'<input type="range" min="{low}" max="{high}" step="{step}" value="0" aria-label="{told}"></label>'
    )


def _stills(names: Mapping[str, str], person: int) -> str:
    """A picture of the first recipe of each emotion, for where scripts are off."""
    faces = ""
    for emotion in EMOTIONS:
        recipe = VARIANTS[emotion][0]
        frame = portrait(recipe, person, STILL).frames[0].permute(1, 2, 0).clamp(0, 1).numpy()
        source = webp((255 * frame).round().astype(np.uint8), QUALITY)
        told = ", ".join(f"{unit} {html.escape(names[unit])} {value:g}" for unit, value in recipe.items()) or "at rest"
        faces += f'<li><img class="dark-light" src="{source}" alt="{emotion}: {told}"><b>{emotion}</b><br>{told}</li>'
    return f'<ul class="fim-faces fim-still">{faces}</ul>'
