"""Draw the strip of faces that each chapter opens with, and write down what it shows.

python book/_static/draw_openings.py
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

from dferlib import EMOTIONS
from dferlib.makefaces.assets import load_head
from dferlib.makefaces.blend_shapes import shape_weights
from dferlib.makefaces.generator import HALF_WIDTH
from dferlib.makefaces.identity import sample_identity
from dferlib.makefaces.knobs import Knobs
from dferlib.makefaces.performance import perform
from dferlib.makefaces.render import Actor
from dferlib.makefaces.scene import sample_scene

FRAMES, SIDE, GAP, TILES = 24, 168, 8, 8
FOLDER = Path(__file__).parent / "openings"
Faces = list[np.ndarray]  # of (S, S, 3) float in [0, 1]


def clip(emotion: str, person: int, skin: float | None = None, wide: float = HALF_WIDTH) -> np.ndarray:
    """(F, S, S, 3) in [0, 1]: the expression rises, holds and falls."""
    rng = np.random.default_rng([person, EMOTIONS.index(emotion)])
    who = sample_identity(np.random.default_rng([7, person]), load_head().shape_names)
    actor = Actor(who if skin is None else replace(who, skin_tone=skin), SIDE)
    knobs = Knobs(intensity=(0.8, 0.9))
    done = perform(emotion, FRAMES, rng, knobs)
    while emotion != "neutral" and not (done.expression[[0, -1]].max() < 0.1 and done.expression.max() > 0.95):
        done = perform(emotion, FRAMES, rng, knobs)
    pose = rng.normal(0, (0.08, 0.03, 0.02)) + np.sin(np.linspace(0, 2 * np.pi, FRAMES))[:, None] * [0.05, 0.02, 0.01]
    scene = sample_scene(rng, FRAMES, SIDE, wide, 0.001)
    frames = actor.render(shape_weights(done, actor.action_index), pose, scene).frames.permute(0, 2, 3, 1).numpy()
    strongest = int(done.expression.argmax())
    return np.roll(frames, FRAMES // 2 - strongest, axis=0)  # the strongest frame is in the middle


def coarse(face: np.ndarray, side: int) -> np.ndarray:
    """The face in so many squares a side."""
    return sized(sized(face, side, Image.Resampling.BOX), SIDE, Image.Resampling.NEAREST)


def sized(face: np.ndarray, side: int, how: Image.Resampling = Image.Resampling.LANCZOS) -> np.ndarray:
    """The face with another number of pixels."""
    return np.asarray(Image.fromarray((face * 255).round().astype(np.uint8)).resize((side, side), how)) / 255


def soft(face: np.ndarray, radius: float) -> np.ndarray:
    """The face out of focus."""
    picture = Image.fromarray((face * 255).round().astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius))) / 255


def lit(face: np.ndarray, rows: slice, columns: slice, cells: int = 7) -> np.ndarray:
    """The face in the dark, with light on some of its cells."""
    shown, step = 0.22 * face, SIDE // cells
    part = (
        slice((rows.start or 0) * step, rows.stop and rows.stop * step),
        slice((columns.start or 0) * step, columns.stop and columns.stop * step),
    )
    shown[part] = face[part]
    return shown


def grey(face: np.ndarray) -> np.ndarray:
    """The face without colour."""
    return np.repeat(face.mean(2, keepdims=True), 3, 2)


def framed(face: np.ndarray, low: int, high: int, thick: int = 3) -> np.ndarray:
    """The face in a box."""
    shown = face.copy()
    for near, far in ((low, low + thick), (high - thick, high)):
        for part in ((slice(near, far), slice(low, high)), (slice(low, high), slice(near, far))):
            shown[part] = (0.95, 0.62, 0.1)
    return shown


def crowd(clips: list[np.ndarray], k: int) -> np.ndarray:
    """Four small faces, one of them without colour."""
    four = [sized(clips[(k + 3 * n) % TILES][(5 * n + k) % FRAMES], SIDE // 2) for n in range(4)]
    four[k % 4] = 0.5 * grey(four[k % 4])
    return np.vstack([np.hstack(four[:2]), np.hstack(four[2:])])


def small(face: np.ndarray, side: int) -> np.ndarray:
    """The face with fewer pixels, at the foot of its place, on the grey of the studio."""
    shown = np.full((SIDE, SIDE, 3), 0.5)
    left = (SIDE - side) // 2
    shown[SIDE - side :, left : left + side] = sized(face, side)
    return shown


def openings() -> dict[str, tuple[str, Faces]]:
    """For each chapter what its strip shows, in words, and the strip."""
    people = (10, 7, 12, 15, 8, 1, 3, 5)
    clips = [clip(emotion, person) for emotion, person in zip((*EMOTIONS, "surprise"), people, strict=True)]
    middle = FRAMES // 2
    peaks = [frames[middle] for frames in clips]
    surprise, joy, fear = clips[7], clips[0], clips[6]
    moments = np.arange(middle - TILES + 1, middle + 1)
    rise, moving = [surprise[k] for k in moments], [fear[k] for k in moments]
    every = range(TILES)
    rest = np.mean(peaks, 0)
    return {
        "01_makefaces": ("Eight rendered people, each with an expression.", peaks),
        "02_a_face_in_motion": ("One face over time: surprise rises from rest.", rise),
        "03_from_video_to_tensor": (
            "One face in fewer and fewer pixels.",
            [coarse(joy[middle], side) for side in (168, 84, 56, 42, 28, 21, 14, 7)],
        ),
        "04_measuring": ("Many small faces; every fourth has no colour.", [crowd(clips, k) for k in every]),
        "05_before_attention": (
            "The mean of more and more frames of one clip: the face goes out of focus.",
            [np.mean(surprise[: 3 * k + 1], 0) for k in every],
        ),
        "06_attention": (
            "A dark face with light on one place, which wanders over it.",
            [lit(peaks[2], slice(1 + k % 4, 4 + k % 4), slice(k * 5 // 8, k * 5 // 8 + 3)) for k in every],
        ),
        "07_stt": (
            "Eight dark frames of a clip. One is lit as a whole, in the others one and the same place.",
            [face if k == 3 else lit(face, slice(4, 6), slice(2, 5)) for k, face in enumerate(rise)],
        ),
        "08_compact_loss": (
            "One face in colour, and seven that all look alike, without.",
            [peaks[0], *[0.7 * grey(rest)] * 7],
        ),
        "09_logo_former": (
            "Frames of a clip out of focus; in each a quarter is sharp.",
            [near(face, k) for k, face in enumerate(moving)],
        ),
        "10_msstnet": (
            "Frames of a clip in squares of three sizes, in turn.",
            [coarse(face, (28, 14, 7)[k % 3]) for k, face in enumerate(moving)],
        ),
        "11_staner": (
            "What moves in a face, bright on black, more and more, and at the end the face itself.",
            [*[np.clip(4 * grey(abs(face - surprise[0])), 0, 1) for face in rise[1:]], rise[-1]],
        ),
        "12_costs": ("One face, small and then larger and larger.", [small(joy[middle], 42 + 18 * k) for k in every]),
        "13_data_sets": ("Eight people in pictures of all qualities.", [worn(face, k) for k, face in enumerate(peaks)]),
        "14_your_own_video": (
            "A person farther away, with a box around the face.",
            [framed(face, 40, 132) for face in clip("happiness", 4, wide=1.7 * HALF_WIDTH)[moments]],
        ),
        "15_rendered_to_real": (
            "Eight rendered people at rest.",
            [clip("neutral", person)[0] for person in people],
        ),
        "16_audit": (
            "Eight times one face. One of them, in a box, is not like the others.",
            [joy[middle] if k != 5 else framed(clip("anger", people[0])[middle], 0, SIDE, 6) for k in every],
        ),
        "17_claims": (
            "Eight faces, from left to right ever more out of focus.",
            [soft(face, 1.3 * k) for k, face in enumerate(peaks)],
        ),
        "18_one_thing_changed": (
            "One face, eight times; nothing but its skin gets darker.",
            [clip("happiness", 4, skin=float(tone))[middle] for tone in np.linspace(0.1, 0.9, TILES)],
        ),
        "19_maps": (
            "Frames of a clip without colour, under a warm glow that wanders from the brows to the mouth.",
            [glowing(face, 0.5 + 0.15 * (-1) ** k, 0.25 + 0.5 * k / TILES) for k, face in enumerate(moving)],
        ),
        "20_using_time": ("The frames of a clip, shuffled.", [rise[k] for k in (3, 0, 6, 1, 7, 4, 2, 5)]),
        "21_features": (
            "Eight faces, each nearer than the last to the mean of all.",
            [(1 - k / TILES) * peaks[k] + k / TILES * rest for k in every],
        ),
        "22_masked_autoencoder": (
            "One face, of which more and more squares are hidden.",
            [hidden(joy[middle], k / TILES) for k in every],
        ),
    }


def glowing(face: np.ndarray, x: float, y: float, wide: float = 0.16) -> np.ndarray:
    """The face without colour, with a warm glow around a place, both in sides of the frame."""
    along = (np.arange(SIDE) + 0.5) / SIDE
    heat = np.exp(-((along[:, None] - y) ** 2 + (along - x) ** 2) / (2 * wide**2))[:, :, None]
    return (1 - 0.6 * heat) * 0.8 * grey(face) + 0.6 * heat * np.array([0.95, 0.35, 0.05])


def hidden(face: np.ndarray, part: float, cells: int = 7) -> np.ndarray:
    """The face with a part of its cells grey, always the same ones first."""
    order = np.random.default_rng(0).permutation(cells**2).reshape(cells, cells)
    over = np.kron(order < part * cells**2, np.ones((SIDE // cells, SIDE // cells)))[:, :, None]
    return np.where(over > 0, 0.35, face)


def near(face: np.ndarray, k: int) -> np.ndarray:
    """The face out of focus but for a quarter."""
    shown, half = soft(face, 6), SIDE // 2
    part = slice(k // 2 % 2 * half, (k // 2 % 2 + 1) * half), slice(k % 2 * half, (k % 2 + 1) * half)
    shown[part] = face[part]
    return shown


def worn(face: np.ndarray, k: int) -> np.ndarray:
    """The face as another camera shows it."""
    grain = np.random.default_rng(k).normal(0, 0.03 * (k % 3), face.shape)
    seen = coarse(face, (168, 84, 56, 42)[k % 4]) if k % 2 else soft(face, k / 3)
    return np.clip((grey(seen) if k in (2, 7) else seen) * (0.6, 1, 1.25)[k % 3] + grain, 0, 1)


def main() -> None:
    """Draw all."""
    torch.manual_seed(0)
    FOLDER.mkdir(exist_ok=True)
    words = {}
    for name, (said, faces) in openings().items():
        strip = np.ones((SIDE, TILES * (SIDE + GAP) - GAP, 4))
        strip[..., 3] = 0
        for k, face in enumerate(faces):
            strip[:, k * (SIDE + GAP) : k * (SIDE + GAP) + SIDE] = np.dstack([face, np.ones((SIDE, SIDE))])
        Image.fromarray((strip * 255).round().astype(np.uint8)).save(FOLDER / f"{name}.webp", quality=78, method=6)
        words[name] = said
    (FOLDER / "words.json").write_text(json.dumps(words, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
