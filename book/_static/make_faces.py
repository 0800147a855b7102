"""Draw faces.webp, which moves, and faces.png, which does not: seven people, seven classes.

python book/_static/make_faces.py
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from dferlib import EMOTIONS
from dferlib.makefaces.assets import load_head
from dferlib.makefaces.blend_shapes import shape_weights
from dferlib.makefaces.generator import HALF_WIDTH
from dferlib.makefaces.identity import sample_identity
from dferlib.makefaces.knobs import Knobs
from dferlib.makefaces.performance import perform
from dferlib.makefaces.render import Actor
from dferlib.makefaces.scene import sample_scene

FRAMES, SECONDS, SIDE, GAP = 24, 2.0, 144, 4
PEOPLE = (10, 7, 12, 15, 8, 1, 3)  # who shows each of `EMOTIONS`


def clip(emotion: str, person: int) -> tuple[np.ndarray, int]:
    """(F, S, S, 3) uint8, and its strongest frame: the expression rises, holds and falls within the clip."""
    rng = np.random.default_rng([person, EMOTIONS.index(emotion)])
    actor = Actor(sample_identity(np.random.default_rng([7, person]), load_head().shape_names), SIDE)
    knobs = Knobs(intensity=(0.8, 0.9))
    done = perform(emotion, FRAMES, rng, knobs)
    while emotion != "neutral" and not (done.expression[[0, -1]].max() < 0.1 and done.expression.max() > 0.95):
        done = perform(emotion, FRAMES, rng, knobs)
    pose = rng.normal(0, (0.1, 0.04, 0.02)) + np.sin(np.linspace(0, 2 * np.pi, FRAMES))[:, None] * [0.05, 0.02, 0.01]
    scene = sample_scene(rng, FRAMES, SIDE, HALF_WIDTH, 0.001)
    frames = actor.render(shape_weights(done, actor.action_index), pose, scene).frames
    return (frames * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy(), int(done.expression.argmax())


def row(faces: list[np.ndarray]) -> Image.Image:
    """The faces side by side, each with its class below."""
    picture = Image.new("RGBA", (len(faces) * (SIDE + GAP) - GAP, SIDE))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(17)
    for k, (face, emotion) in enumerate(zip(faces, EMOTIONS, strict=True)):
        picture.paste(Image.fromarray(face), (k * (SIDE + GAP), 0))
        middle = (k * (SIDE + GAP) + SIDE // 2, SIDE - 6)
        draw.text(middle, emotion, "white", font, anchor="ms", stroke_width=2, stroke_fill="black")
    return picture


here = Path(__file__).parent
clips, strongest = zip(*map(clip, EMOTIONS, PEOPLE), strict=True)
moving = [row([frames[k] for frames in clips]) for k in range(FRAMES)]
moving[0].save(
    here / "faces.webp",
    save_all=True,
    append_images=moving[1:],
    duration=round(1000 * SECONDS / FRAMES),
    loop=0,
    quality=72,
    method=6,
)
row([frames[k] for frames, k in zip(clips, strongest, strict=True)]).save(here / "faces.png", optimize=True)
