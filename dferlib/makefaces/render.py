"""From a person, face shapes, a head pose and light to pictures.

The light is computed at every vertex of the mesh (which is finer than the pictures) and carried to the samples with the
triangle's weights; colour comes from the painted atlas; eyes are shaded sample by sample, for the highlights that
make them look alive.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dferlib.makefaces import kernel, raster
from dferlib.makefaces.assets import Part, load_head
from dferlib.makefaces.identity import Identity
from dferlib.makefaces.landmarks import find_landmarks
from dferlib.makefaces.paint import (
    atlas_shrink,
    eyeball,
    hair_colour,
    hair_mask,
    hang,
    matte,
    noise,
    paint,
    smooth,
    tooth_colour,
    wrinkle_strengths,
)
from dferlib.makefaces.raster import Lamps, Samples, Surface
from dferlib.makefaces.rig import load_rig
from dferlib.makefaces.shadows import mouth_light

CAMERA_DISTANCE = 1.1  # metres from the face
EYES_TO_MOUTH = 0.0684  # metres on the template; the crop scales with it, as an aligner's would
LARGEST_MISS = 0.02  # metres: eyes and mouth stay inside the picture
SUPERSAMPLE = 2  # samples along each side of a pixel
EYE_SHINE, EYE_SHARPNESS = 2.2, 800  # of the lamps' reflections in the eyes


@dataclass(frozen=True)
class Light:
    """One lamp far away, or the sky when `direction` is None. Colours are linear RGB."""

    direction: tuple[float, float, float]
    colour: tuple[float, float, float]


@dataclass(frozen=True)
class Scene:
    """Everything about a picture that is not the person.

    Attributes:
        ambient: linear RGB of the light from everywhere.
        lamps: key, fill and rim light.
        exposure: factor before the tone curve.
        background: (S, S, 3) linear RGB at the sample resolution, or None for grey.
        half_width: half the width of the picture at the face, in metres, for a face of average size.
        offset: (T, 2) how far the crop misses the middle of the face, right and up, in metres.
        light: (T, L) factor on each lamp in each frame; ones where the light does not change.
    """

    ambient: tuple[float, float, float]
    lamps: tuple[Light, ...]
    exposure: float
    background: Tensor | None
    half_width: float
    offset: np.ndarray
    light: np.ndarray


@dataclass(frozen=True)
class Rendered:
    """T pictures of side S and what is true of them.

    Attributes:
        pictures: (T, 3, S, S) float in [0, 1], sRGB.
        landmarks: (T, 68, 2) places of the landmarks of iBUG 300-W, right and down in pixels.
        motion: (T, S, S) metres that the surface seen by each pixel moved from where it is on the neutral face of the
            same person in the same pose; 0 where no face is seen.
        face: (T, S, S) how much of each pixel shows the face, 0 to 1; hair, neck and background do not count.
    """

    pictures: Tensor
    landmarks: Tensor
    motion: Tensor
    face: Tensor


class Actor:
    """A person made ready for rendering: the resting mesh, the painted atlas, the triangles to draw.

    Args:
        person: who.
        size: side of the pictures in pixels; decides how fine the atlas must be.
        device: where to render.
    """

    def __init__(self, person: Identity, size: int, device: str = "cpu") -> None:
        rig = load_rig(device, person.hairstyle == "long")
        self.person, self.size, self.rig, self.device = person, size, rig, device
        shape = torch.from_numpy(person.shape).to(device) @ rig.shapes
        rest = rig.template + shape.view(-1, 3)
        lids, lips = rest[rig.lids], rest[rig.lips > 0.5]
        self.middle = (lids.mean(0) + lips.mean(0)) / 2
        self.middle[0] = 0
        self.scale = float(lids[:, 2].mean() - lips[:, 2].mean()) / EYES_TO_MOUTH
        on_skin = rig.skin > 0
        self.pivot = load_head(device).pivot + (rest - rig.template)[on_skin].mean(0)
        self.scalp = hair_mask(rig.template, person) * rig.skin * (1 - rig.ears) + rig.hanging
        self.rest = rest + self._hair_volume(rest)
        # (h, w, 7): what belongs to one texel lies together, as the loops read it
        self.atlas = paint(person, atlas_shrink(size, SUPERSAMPLE)).to(device).permute(1, 2, 0).contiguous()
        self.action_index = rig.action_index
        self.painted = torch.where(rig.part == Part.SKIN, rig.region, -1)
        self.surface = self._surface()
        # two versions of the same inner loops: compiled where that is possible
        self.loops = kernel if device == "cpu" and kernel.available() else raster

    def _hair_volume(self, rest: Tensor) -> Tensor:
        """(V, 3) how far the hair lifts the scalp's surface."""
        person, template = self.person, self.rig.template
        if person.hairstyle == "bald":
            return torch.zeros_like(rest)
        thick = {"buzz": 0.003, "short": person.hair_thickness, "long": 0.012}[person.hairstyle]
        rng = np.random.default_rng(person.seed + 1)
        waves = torch.from_numpy(rng.normal(0, 60, (3, 4))).float().to(self.device)
        start = torch.from_numpy(rng.uniform(0, 6, 4)).float().to(self.device)
        lumps = 1 + 0.5 * torch.sin(template @ waves + start).mean(1)
        crown = 0.35 + 0.65 * smooth(template[:, 2], 0.70, 0.80)
        on_scalp = raster.normals(rest[None], self.rig.solid)[0] * (self.scalp * thick * lumps * crown)[:, None]
        return on_scalp + hang(template, person) * self.rig.hanging[:, None]

    @torch.no_grad()
    def render(self, actions: np.ndarray, pose: np.ndarray, scene: Scene) -> Rendered:
        """Draw T frames.

        Args:
            actions: (T, 52) weights of the face shapes.
            pose: (T, 3) yaw, pitch and roll of the head in radians.
            scene: light, background and framing.

        Returns:
            The pictures and what is true of each of their pixels.
        """
        act, turn = (torch.from_numpy(np.asarray(a, dtype=np.float32)).to(self.device) for a in (actions, pose))
        samples = self.size * SUPERSAMPLE
        world, middle, moved = self._posed(act, turn)
        points, eye = self._project(world, middle, scene, samples)
        points[..., 2] += self.rig.bias
        loops, triangles = self.loops, self.rig.triangles
        normal = loops.normals(world, triangles)
        found = loops.rasterise(points, triangles, samples, self.rig.two_sided)
        seen = loops.barycentric(points, triangles, found)
        light = loops.illuminate(world, normal, eye, self.surface, self._lamps(turn, scene), seen.corners)
        light[..., :3] *= mouth_light(act, self.action_index, self.rig.in_mouth)
        truth = torch.stack([moved, self.rig.face.expand_as(moved)], -1)
        carried = loops.interpolate(torch.cat([light, truth], -1).flatten(0, 1), seen.corners, seen.weights)
        self._shine_eyes(carried[:, 3:6], seen, world, normal, eye, scene)
        colour = self._colour(seen, samples, act)
        pixels = loops.expose(colour, carried, seen.place, self._behind(scene, samples), len(act), self.size)
        pictures, motion, face = loops.tone_map(pixels[:, :3], scene.exposure), pixels[:, 3], pixels[:, 4]
        landmarks = find_landmarks(self.rig).of(points[..., :2]) / SUPERSAMPLE
        return Rendered(pictures, landmarks, motion / face.clamp(min=1e-6), face)

    @torch.no_grad()
    def place(self, points: Tensor, pose: np.ndarray, scene: Scene) -> Tensor:
        """Where points that sit on the head, such as the rims of glasses, come to lie in the pictures.

        Args:
            points: (P, 3) in the coordinates of `rest`, metres.
            pose: (T, 3) yaw, pitch and roll of the head in radians.
            scene: light, background and framing.

        Returns:
            (T, P, 3): x to the right and y down in pixels, and the distance from the camera in metres.
        """
        turn = _rotation(torch.from_numpy(np.asarray(pose, dtype=np.float32)).to(self.device))
        world = (points.to(self.device) - self.pivot) @ turn.transpose(1, 2) + self.pivot
        return self._project(world, self._middle(turn), scene, self.size)[0]

    def _posed(self, actions: Tensor, pose: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Vertices (T, V, 3) with expression and pose, the middle of the face (T, 3), how far vertices moved (T, V)."""
        moved = (actions @ self.rig.action_shapes).view(len(actions), -1, 3)
        shaped = self.rest + moved
        turn = _rotation(pose)
        turned = (shaped - self.pivot) @ turn.transpose(1, 2) + self.pivot
        world = torch.lerp(shaped, turned, self.rig.follows_head[None, :, None])
        return world, self._middle(turn), moved.norm(dim=-1)

    def _middle(self, turn: Tensor) -> Tensor:
        """(T, 3) the middle of the face when the head is turned by (T, 3, 3)."""
        return torch.einsum("tij,j->ti", turn, self.middle - self.pivot) + self.pivot

    def _project(self, world: Tensor, middle: Tensor, scene: Scene, samples: int) -> tuple[Tensor, Tensor]:
        """Perspective: points (T, V, 3), x and y in samples and depth; and the place of the camera (T, 3)."""
        offset = torch.from_numpy(np.asarray(scene.offset, dtype=np.float32)).to(self.device)
        eye = torch.stack(
            [
                middle[:, 0] + offset[:, 0],
                torch.full_like(middle[:, 1], -CAMERA_DISTANCE - 0.1),
                middle[:, 2] + offset[:, 1],
            ],
            1,
        )
        depth = world[..., 1] - eye[:, None, 1]
        focal = samples / 2 / (scene.half_width * self.scale) * CAMERA_DISTANCE
        x = samples / 2 + focal * (world[..., 0] - eye[:, None, 0]) / depth
        y = samples / 2 - focal * (world[..., 2] - eye[:, None, 2]) / depth
        return torch.stack([x, y, depth], -1), eye

    def _surface(self) -> Surface:
        """What light meets: skin, lips and hair answer to it differently."""
        rig, skin = self.rig, 1 - self.scalp
        return Surface(
            # long hair is seen from both sides, and the normals of the teeth point inwards
            turns=rig.turnable > 0,
            open=rig.openness,
            wrap=0.25 * skin,
            strength=(0.09 + 0.08 * rig.lips) * rig.skin * skin * (1 - matte(rig.template, self.person)),
            sharpness=14 + 26 * rig.lips,
            hair=0.72 * self.scalp[:, None] * _vector(self.person.hair_colour, self.device),
        )

    def _lamps(self, pose: Tensor, scene: Scene) -> Lamps:
        """The scene's light in each frame, and how much of it reaches each vertex."""
        direction, colour = (
            _vector([x for lamp in scene.lamps for x in getattr(lamp, name)], self.device).view(-1, 3)
            for name in ("direction", "colour")
        )
        toward, turn = F.normalize(direction, dim=1), _rotation(pose)
        factor = torch.from_numpy(np.asarray(scene.light, dtype=np.float32)).to(self.device)
        return Lamps(
            _vector(scene.ambient, self.device), toward, factor[..., None] * colour, self.rig.reach.of(toward, turn)
        )

    def _colour(self, seen: Samples, size: int, actions: Tensor) -> Tensor:
        """(K, 3) the colour of each sample before light."""
        person, rig, vertices = self.person, self.rig, len(self.rest)
        strengths = wrinkle_strengths(actions, self.action_index) * (0.34 + 0.14 * person.old)
        colour = self.loops.skin(self.atlas, rig.uv, self.painted, seen, size, strengths)
        other = self.loops.select(seen.triangle, self.painted < 0)
        _, triangle, corners, weights = seen.of(other)
        part, at = rig.part[triangle], self.loops.interpolate(rig.template, corners % vertices, weights)

        def where(which: Part) -> tuple[Tensor, Tensor]:
            """The samples that see `which`, and where on the template head they lie."""
            chosen = (part == which).nonzero()[:, 0]
            return other[chosen], at[chosen]

        skin, dark = _vector(person.skin, self.device), 0.30 if person.male else 0.16
        s, p = where(Part.BODY)
        collar = smooth(p[:, 2] - (0.560 + 0.35 * p[:, 0].abs()), -0.003, 0.003)[:, None]
        colour[s] = torch.lerp(_vector(person.clothes, self.device).expand(len(s), 3), skin.expand(len(s), 3), collar)
        s, _ = where(Part.MOUTH_CAVITY)
        colour[s] = _vector((0.05, 0.011, 0.009), self.device)
        s, p = where(Part.TONGUE)
        further_out = smooth(-p[:, 1:2], 0.095, 0.142)
        colour[s] = _vector((0.34, 0.125, 0.11), self.device) * (0.12 + 0.88 * further_out)
        s, p = where(Part.TEETH)
        colour[s] = tooth_colour(p, rig.teeth_edge)
        s, _ = where(Part.LASHES)
        colour[s] = skin * dark
        s, p = where(Part.LONG_HAIR)
        colour[s] = hair_colour(p, person)
        eye_centres = load_head(self.device).eye_centres
        for k, eye in enumerate((Part.LEFT_EYE, Part.RIGHT_EYE)):
            s, p = where(eye)
            colour[s] = eyeball(p - eye_centres[k], person)
        return colour

    def _shine_eyes(
        self, added: Tensor, seen: Samples, world: Tensor, normal: Tensor, eye: Tensor, scene: Scene
    ) -> None:
        """Add the sharp highlights of wet eyes to the light (K, 3) that is added to the samples, in place."""
        part = self.rig.part
        s = self.loops.select(seen.triangle, (part == Part.LEFT_EYE) | (part == Part.RIGHT_EYE))
        _, _, corners, weights = seen.of(s)
        position = self.loops.interpolate(world.flatten(0, 1), corners, weights)
        normal = self.loops.interpolate(normal.flatten(0, 1), corners, weights)
        frame = corners[:, 0] // world.shape[1]
        view = F.normalize(eye[frame] - position, dim=-1)
        normal = F.normalize(normal, dim=-1)
        light = torch.from_numpy(np.asarray(scene.light, dtype=np.float32)).to(self.device)[frame]
        for lamp, factor in zip(scene.lamps, light.unbind(1), strict=True):
            toward = F.normalize(_vector(lamp.direction, self.device), dim=0)
            half = F.normalize(toward + view, dim=-1)
            shine = EYE_SHINE * (normal * half).sum(1).clamp(min=0) ** EYE_SHARPNESS * ((normal @ toward) > 0)
            added[s] += (shine * factor)[:, None] * _vector(lamp.colour, self.device)

    def _behind(self, scene: Scene, samples: int) -> Tensor:
        """(samples, samples, 3): the background."""
        if scene.background is None:
            return torch.full((samples, samples, 3), 0.25, device=self.device)
        return scene.background.to(self.device)


def _vector(numbers: Sequence[float] | np.ndarray, device: str) -> Tensor:
    return torch.tensor([float(x) for x in numbers], device=device)


def _rotation(pose: Tensor) -> Tensor:
    """(T, 3, 3) from yaw (about z), pitch (about x) and roll (about y) in radians."""
    (cy, cp, cr), (sy, sp, sr) = pose.cos().unbind(1), pose.sin().unbind(1)
    one, zero = torch.ones_like(cy), torch.zeros_like(cy)
    yaw = torch.stack([cy, -sy, zero, sy, cy, zero, zero, zero, one], -1).view(-1, 3, 3)
    pitch = torch.stack([one, zero, zero, zero, cp, -sp, zero, sp, cp], -1).view(-1, 3, 3)
    roll = torch.stack([cr, zero, sr, zero, one, zero, -sr, zero, cr], -1).view(-1, 3, 3)
    return yaw @ pitch @ roll


def sample_scene(
    rng: np.random.Generator, frames: int, size: int, half_width: float, misaligned: float, flicker: float = 0.0
) -> Scene:
    """Draw light, background and framing.

    Args:
        rng: the source of every draw.
        frames: T.
        size: side of the picture in pixels.
        half_width: half the width of the picture at the face, metres; varies by about a tenth.
        misaligned: spread of the crop's error in metres; a fifth of it changes from frame to frame.
        flicker: how much the light of each lamp changes in the clip, 0 to 1: slow waves that neither begin nor end.
    """
    azimuth, height, power, warm = (
        rng.uniform(-1.1, 1.1),
        rng.uniform(0.1, 0.9),
        rng.uniform(0.7, 1.25),
        rng.uniform(-0.08, 0.08),
    )
    key = (np.sin(azimuth) * np.cos(height), -np.cos(azimuth) * np.cos(height), np.sin(height))
    other = -np.sign(azimuth) * rng.uniform(0.5, 1.3)
    lamps = (
        Light(key, tuple(power * np.array([1 + warm, 1, 1 - warm]))),
        Light((np.sin(other), -np.cos(other), 0.1), tuple(rng.uniform(0.4, 1.2) * np.array([0.30, 0.31, 0.33]))),
        Light((rng.choice([-1, 1]) * 0.8, 0.7, 0.5), tuple(rng.uniform(0, 1) * np.array([0.3, 0.3, 0.3]))),
    )
    wander = np.cumsum(rng.normal(0, misaligned / 5, (frames, 2)), 0)
    t = np.linspace(0, 1, frames)[:, None]
    waves = np.sin(t * rng.uniform(1, 9, len(lamps)) + rng.uniform(0, 6, len(lamps)))
    return Scene(
        ambient=tuple(rng.uniform(0.7, 1.3) * np.array([0.26, 0.27, 0.29])),
        lamps=lamps,
        exposure=rng.uniform(0.85, 1.15),
        background=_background(size * SUPERSAMPLE, rng),
        half_width=half_width * rng.uniform(0.92, 1.12),
        offset=np.clip(rng.normal(0, misaligned, 2) + wander - wander.mean(0), -LARGEST_MISS, LARGEST_MISS),
        light=1 + flicker * rng.uniform(0.3, 1, len(lamps)) * waves,
    )


def _background(samples: int, rng: np.random.Generator) -> Tensor:
    """(samples, samples, 3): two muted colours that flow into each other."""
    colours = []
    for _ in range(2):
        grey = rng.uniform(0.03, 0.5)
        colours.append(torch.from_numpy(grey + (rng.uniform(0.02, 0.6, 3) - grey) * 0.35).float())
    pattern = noise(samples, samples, int(rng.integers(60, 140)), rng, 2) * rng.uniform(0.3, 1.5)
    pattern = torch.sigmoid(pattern + torch.linspace(-1, 1, samples)[:, None] * rng.uniform(-1, 1))
    return torch.lerp(
        colours[0].expand(samples, samples, 3), colours[1].expand(samples, samples, 3), pattern[..., None]
    )
