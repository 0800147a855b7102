"""Draw readme.png: four people, four emotions that rise, hold and fall.

python book/_static/make_readme_picture.py
"""

from pathlib import Path

import numpy as np
import torch

from dferlib import EMOTIONS
from dferlib.book import plots
from dferlib.makefaces.assets import load_head
from dferlib.makefaces.blend_shapes import shape_weights
from dferlib.makefaces.generator import HALF_WIDTH
from dferlib.makefaces.identity import sample_identity
from dferlib.makefaces.knobs import Knobs
from dferlib.makefaces.performance import perform
from dferlib.makefaces.render import Actor
from dferlib.makefaces.scene import sample_scene

FRAMES, SIDE = 9, 144
SHOWN = (("happiness", 3), ("surprise", 13), ("anger", 28), ("sadness", 41))  # emotion and who shows it


def clip(emotion: str, person: int) -> np.ndarray:
    """(F, 3, S, S) uint8: the expression rises, holds and falls within the clip."""
    rng = np.random.default_rng([person, EMOTIONS.index(emotion)])
    actor = Actor(sample_identity(np.random.default_rng([7, person]), load_head().shape_names), SIDE)
    done = perform(emotion, FRAMES, rng, Knobs(intensity=(0.9, 0.95)))
    while not (done.expression[0] < 0.05 and done.expression[4] > 0.95 and done.expression[-1] < 0.3):
        done = perform(emotion, FRAMES, rng, Knobs(intensity=(0.9, 0.95)))
    pose = rng.normal(0, (0.12, 0.04, 0.02)) + np.linspace(-0.05, 0.05, FRAMES)[:, None] * [1, 0.3, 0.2]
    scene = sample_scene(rng, FRAMES, SIDE, HALF_WIDTH, 0.001)
    frames = actor.render(shape_weights(done, actor.action_index), pose, scene).frames
    return (frames * 255).round().to(torch.uint8).numpy()


figure = plots.frame_strip([clip(*who) for who in SHOWN], [emotion for emotion, _ in SHOWN])
figure.savefig(Path(__file__).with_name("readme.png"), dpi=110)
