"""The same clip rendered again with one thing changed, and what a model says of both.

Everything that chance decides in a clip is drawn from a stream of its own: the person, the shape of the face, what the
face does, how the head is held, light and framing, what is in front, the camera, its grain. So one of them can be
changed, or drawn again, and every other stays as it was. Each person shows one clip: an interval over people is one
over clips, too. Nobody of them is in a data set.

What differs between the two answers is then the effect of the change on this model. Two renderings are never alike in
every bit, so every change is held against `FLOOR`, in which nothing but the grain of the camera is another.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import torch

from dferlib.data.sampling import segment_indices
from dferlib.data.transforms import prepare
from dferlib.emotions import EMOTIONS
from dferlib.errors import InputError, choose
from dferlib.makefaces.actions import UNITS
from dferlib.makefaces.assets import load_head
from dferlib.makefaces.blend_shapes import shape_weights
from dferlib.makefaces.camera import Camera, apply_camera, sample_camera
from dferlib.makefaces.generator import HALF_WIDTH, SECONDS, sample_pose
from dferlib.makefaces.identity import Identity, sample_identity
from dferlib.makefaces.occluders import occlude, sample_occluder
from dferlib.makefaces.performance import Performance, perform
from dferlib.makefaces.proportions import draw_shape
from dferlib.makefaces.protocol import Version
from dferlib.makefaces.render import Actor
from dferlib.makefaces.scene import Scene, sample_scene
from dferlib.models.base import ClipModel

PEOPLE = 21  # the first number of the random streams of these people
PARTS = ("person", "shape", "performance", "pose", "scene", "in front", "camera", "grain")
FLOOR = "grain"  # the change that changes nothing


@dataclass(frozen=True)
class Edit:
    """What is set in a clip. The defaults leave everything as it is drawn.

    Attributes:
        traits: fields of `Identity`; with another age or sex the shape of the face follows.
        in_front: one of `occluders.KINDS`, "" for nothing.
        light: which draw of the lamps.
        background: which draw of the background.
        camera: which draw of the camera.
        grain: which draw of its noise.
        yaw: the mean turn of the head in radians, to the side to which it is turned anyway; None as drawn.
        speed: how many times faster the face moves, while the head moves as it did.
        strength: factor on the strength of the expression.
        units: intensity of action units of `UNITS`, added in every frame.
    """

    traits: Mapping[str, Any] = field(default_factory=dict)
    in_front: str = ""
    light: int = 0
    background: int = 0
    camera: int = 0
    grain: int = 0
    yaw: float | None = None
    speed: float = 1.0
    strength: float = 1.0
    units: Mapping[str, float] = field(default_factory=dict)


AS_DRAWN = Edit()
NOT_OF_ALL = {"beard": 0.0, "moustache": False}  # as drawn, nobody has a beard


@dataclass(frozen=True)
class Change:
    """Two clips of everybody that differ in one thing.

    Attributes:
        words: what the first shows and what the second one does, for a table.
        before: the first.
        after: the second.
        whom: a name in `WHOM`: whose clips it concerns.
    """

    words: str
    after: Edit
    before: Edit = AS_DRAWN
    whom: str = "all"


def _traits(**traits: Any) -> Edit:
    return Edit(traits=traits)


WHOM: dict[str, Callable[[Identity, str], bool]] = {
    "all": lambda person, emotion: True,
    "men": lambda person, emotion: person.male,
    "expressions": lambda person, emotion: emotion != "neutral",
}
CHANGES = {
    FLOOR: Change("the camera's grain, drawn again", Edit(grain=1)),
    "skin tone": Change("light skin, dark skin", _traits(skin_tone=0.8), _traits(skin_tone=0.2)),
    "age": Change("a young adult, an old one", _traits(age=0.95), _traits(age=2 / 3)),
    "sex": Change("a woman's face, a man's", _traits(female=0.05), _traits(female=0.95)),
    "beard": Change("no beard, a full one", _traits(beard=0.95, moustache=True), whom="men"),
    "hair": Change("short hair, long hair", _traits(hairstyle="long"), _traits(hairstyle="short")),
    "glasses": Change("no glasses, glasses", Edit(in_front="glasses")),
    "light": Change("other lamps", Edit(light=1)),
    "background": Change("another background", Edit(background=1)),
    "camera": Change("another camera", Edit(camera=1)),
    "yaw": Change("from the front, turned by 20 degrees", Edit(yaw=0.35), Edit(yaw=0.0)),
    "speed": Change("the face moves twice as fast", Edit(speed=2.0)),
    "strength": Change("an expression 0.6 times as strong", Edit(strength=0.6), whom="expressions"),
    "lowered brows": Change("one action unit more, AU4, all along", Edit(units={"AU4": 0.5})),
}
# whether the right answer may depend on it: a weaker or otherwise moving face may be another expression
OF_THE_EXPRESSION = ("speed", "strength", "lowered brows")


@dataclass(frozen=True)
class Take:
    """Everything that decides the pixels of one clip of F frames.

    Attributes:
        number: of the person; decides every draw.
        label: which of `EMOTIONS` the person shows.
        size: side of the frames in pixels.
        person: who.
        performance: what the face does.
        pose: (F, 3) yaw, pitch and roll in radians.
        scene: light, background and framing.
        in_front: what is in front of the face, "" for nothing.
        camera: what it does to the frames.
        grain: which draw of its noise.
    """

    number: int
    label: int
    size: int
    person: Identity
    performance: Performance
    pose: np.ndarray
    scene: Scene
    in_front: str
    camera: Camera
    grain: int


def _stream(number: int, part: str, draw: int = 0) -> np.random.Generator:
    return np.random.default_rng([PEOPLE, number, PARTS.index(part), draw])


def draw_take(number: int, edit: Edit = AS_DRAWN, version: Version | None = None, emotion: str | None = None) -> Take:
    """Draw somebody's clip, with what an edit sets in it.

    Args:
        number: of the person, any whole number; it decides the class, too: seven in a row show all seven.
        edit: what is set.
        version: of MakeFaces, whose size and knobs are taken; the default one if not given. Nothing is in front of
            the face but what the edit puts there.
        emotion: what the person shows, if not the class of the number; all but the movement of the face stays.

    Raises:
        InputError: there is no such action unit, or no such emotion.
    """
    version = version or Version()
    knobs, spec, label = version.knobs, version.spec, number % len(EMOTIONS)
    if emotion is not None:
        label = EMOTIONS.index(choose("emotion", emotion, EMOTIONS))
    if unknown := sorted(set(edit.units) - set(UNITS)):
        raise InputError(f"there is no action unit {unknown[0]}: choose from {', '.join(UNITS)}")
    low, high = knobs.intensity
    performance = perform(
        EMOTIONS[label],
        spec.frames,
        _stream(number, "performance"),
        replace(knobs, intensity=(edit.strength * low, edit.strength * high)),
        SECONDS * edit.speed,  # of what happens in the time of the clip
    )
    if edit.units:
        more = [edit.units.get(name, 0.0) for name in UNITS]
        units = np.clip(performance.units + np.array(more, dtype=np.float32), 0, 1)
        performance = replace(performance, units=units)
    pose = sample_pose(spec.frames, knobs, _stream(number, "pose"))
    if edit.yaw is not None:
        held = pose[:, 0].mean()
        pose[:, 0] += (1 if held >= 0 else -1) * edit.yaw - held
    return Take(
        number=number,
        label=label,
        size=spec.side,
        person=_person(number, edit.traits),
        performance=performance,
        pose=pose,
        scene=_scene(number, edit, version),
        in_front=edit.in_front,
        camera=sample_camera(knobs.camera, spec.frames, spec.side, _stream(number, "camera", edit.camera)),
        grain=edit.grain,
    )


def _person(number: int, traits: Mapping[str, Any]) -> Identity:
    """The person, whose face takes the shape that goes with age and sex, all other draws of it being the same."""
    names = load_head().shape_names
    person = replace(sample_identity(_stream(number, "person"), names), **{**NOT_OF_ALL, **traits})
    shape, lifts = draw_shape(
        names, person.female, person.age, person.weight, person.ancestry, _stream(number, "shape")
    )
    return replace(person, shape=shape, brow_lifts=lifts)


def _scene(number: int, edit: Edit, version: Version) -> Scene:
    """Lamps and background of the draws that are asked for, and the framing of the first one."""
    knobs, spec = version.knobs, version.spec

    @cache
    def draw(which: int) -> Scene:
        rng = _stream(number, "scene", which)
        return sample_scene(rng, spec.frames, spec.side, HALF_WIDTH, knobs.misaligned, knobs.flicker)

    lit = draw(edit.light)
    light = {name: getattr(lit, name) for name in ("ambient", "lamps", "exposure", "light")}
    return replace(draw(0), background=draw(edit.background).background, **light)


def render_take(take: Take, actor: Actor | None = None) -> np.ndarray:
    """Render a clip, (F, 3, S, S) uint8.

    Args:
        take: what is to be seen.
        actor: the person, ready to render; made if not given.
    """
    actor = actor or Actor(take.person, take.size)
    played = take.performance
    frames = actor.render(shape_weights(played, actor.action_index), take.pose, take.scene, played.tears).frames
    if take.in_front:
        occluder = sample_occluder(take.in_front, actor, _stream(take.number, "in front"))
        frames, _ = occlude(frames, occluder, actor, take.pose, take.scene)
    return apply_camera(frames, take.camera, _stream(take.number, "grain", take.grain)).numpy()


def render_motion(take: Take, actor: Actor | None = None) -> np.ndarray:
    """How far the surface that each pixel sees is from where it is on the neutral face in the same pose.

    Args:
        take: of a clip of F frames.
        actor: the person, ready to render; made if not given.

    Returns:
        (F, S, S) float32, in metres; 0 beside the face. What is in front of the face does not count.
    """
    actor = actor or Actor(take.person, take.size)
    played = take.performance
    return actor.render(shape_weights(played, actor.action_index), take.pose, take.scene).motion.numpy()


def edits(changes: Mapping[str, Change] = CHANGES) -> list[Edit]:
    """The edits that some changes need, each once."""
    found: list[Edit] = []
    for change in changes.values():
        found += [one for one in (change.before, change.after) if one not in found]
    return found


def render_edits(
    number: int, wanted: Sequence[Edit], version: Version | None = None
) -> Iterator[tuple[Edit, np.ndarray]]:
    """Render somebody's clip with each of some edits, (F, 3, S, S) uint8; people are made ready once."""
    actors: dict[str, Actor] = {}
    for edit in wanted:
        take = draw_take(number, edit, version)
        key = repr(sorted(edit.traits.items()))
        if key not in actors:
            actors[key] = Actor(take.person, take.size)
        yield edit, render_take(take, actors[key])


def concerns(number: int, change: Change) -> bool:
    """Whether a change concerns somebody's clip."""
    return WHOM[change.whom](_person(number, {}), EMOTIONS[number % len(EMOTIONS)])


@torch.inference_mode()
def ask(model: ClipModel, clips: np.ndarray) -> np.ndarray:
    """Logits (N, C), float64, of clips (N, F, 3, S, S) uint8, by the middle frames of their segments."""
    frames = segment_indices(clips.shape[1], model.input_spec.frames)
    return model.eval()(prepare(torch.from_numpy(clips[:, frames]), model.input_spec)).double().numpy()
