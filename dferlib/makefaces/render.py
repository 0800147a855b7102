"""From a person, blend shapes, a head pose and light to frames.

The light is computed at every vertex of the mesh (which is finer than the frames) and carried to the samples with the
triangle's weights; colour comes from the painted atlas; eyes are shaded sample by sample, for the highlights that
make them look alive.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dferlib.makefaces import kernel, raster
from dferlib.makefaces.albedo import eye_albedo, tooth_albedo
from dferlib.makefaces.assets import Part, load_head
from dferlib.makefaces.hair import hair_albedo, hair_mask, hair_offset
from dferlib.makefaces.identity import Identity
from dferlib.makefaces.landmarks import find_landmarks
from dferlib.makefaces.patterns import smoothstep
from dferlib.makefaces.raster import Lamps, Material, Samples
from dferlib.makefaces.rig import load_rig
from dferlib.makefaces.scene import CAMERA_DISTANCE, SUPERSAMPLE, Scene
from dferlib.makefaces.shadows import mouth_light
from dferlib.makefaces.texture import atlas_shrink, facial_hair, paint_texture
from dferlib.makefaces.wrinkles import wrinkle_strengths

EYES_TO_MOUTH = 0.0684  # metres on the template; the crop scales with it, as an aligner's would
EYE_SHINE, EYE_SHARPNESS = 2.2, 800  # of the lamps' reflections in the eyes


@dataclass(frozen=True)
class Rendered:
    """F frames of side S and what is true of them.

    Attributes:
        frames: (F, 3, S, S) float in [0, 1], sRGB.
        landmarks: (F, 68, 2) places of the landmarks of iBUG 300-W, right and down in pixels.
        motion: (F, S, S) metres that the surface seen by each pixel moved from where it is on the neutral face of the
            same person in the same pose; 0 where no face is seen.
        face: (F, S, S) how much of each pixel shows the face, 0 to 1; hair, neck and background do not count.
    """

    frames: Tensor
    landmarks: Tensor
    motion: Tensor
    face: Tensor


class Actor:
    """A person made ready for rendering: the resting mesh, the painted atlas, the triangles to draw.

    Args:
        person: who.
        size: side of the frames in pixels; decides how fine the atlas must be.
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
        self.atlas = paint_texture(person, atlas_shrink(size, SUPERSAMPLE)).to(device).permute(1, 2, 0).contiguous()
        self.landmarks = find_landmarks(rig, person.brow_lifts)
        self.action_index = rig.action_index
        self.painted = torch.where(rig.part == Part.SKIN, rig.region, -1)
        self.material = self._material()
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
        crown = 0.35 + 0.65 * smoothstep(template[:, 2], 0.70, 0.80)
        on_scalp = raster.normals(rest[None], self.rig.solid)[0] * (self.scalp * thick * lumps * crown)[:, None]
        return on_scalp + hair_offset(template, person) * self.rig.hanging[:, None]

    @torch.no_grad()
    def render(self, actions: np.ndarray, pose: np.ndarray, scene: Scene, tears: float = 0.0) -> Rendered:
        """Draw F frames.

        Args:
            actions: (F, 52) weights of the blend shapes.
            pose: (F, 3) yaw, pitch and roll of the head in radians.
            scene: light, background and framing.
            tears: how wet the cheeks are, 0 to 1.

        Returns:
            The frames and what is true of each of their pixels.
        """
        act, turn = (torch.from_numpy(np.asarray(a, dtype=np.float32)).to(self.device) for a in (actions, pose))
        samples = self.size * SUPERSAMPLE
        world, middle, moved = self._pose_vertices(act, turn)
        points, eye = self._project(world, middle, scene, samples)
        points[..., 2] += self.rig.bias
        loops, triangles = self.loops, self.rig.triangles
        normal = loops.normals(world, triangles)
        found = loops.rasterise(points, triangles, samples, self.rig.two_sided)
        seen = loops.barycentric(points, triangles, found)
        light = loops.illuminate(world, normal, eye, self._wet(tears), self._lamps(turn, scene), seen.corners)
        light[..., :3] *= mouth_light(act, self.action_index, self.rig.in_mouth)
        truth = torch.stack([moved, self.rig.face.expand_as(moved)], -1)
        carried = loops.interpolate(torch.cat([light, truth], -1).flatten(0, 1), seen.corners, seen.weights)
        self._add_eye_highlights(carried[:, 3:6], seen, world, normal, eye, scene)
        colour = self._albedo(seen, samples, act)
        pixels = loops.resolve_pixels(
            colour, carried, seen.place, self._background_samples(scene, samples), len(act), self.size
        )
        frames, motion, face = loops.tone_map(pixels[:, :3], scene.exposure), pixels[:, 3], pixels[:, 4]
        landmarks = self.landmarks.of(points[..., :2]) / SUPERSAMPLE
        return Rendered(frames, landmarks, motion / face.clamp(min=1e-6), face)

    @torch.no_grad()
    def place(self, points: Tensor, pose: np.ndarray, scene: Scene) -> Tensor:
        """Where points that sit on the head, such as the rims of glasses, come to lie in the frames.

        Args:
            points: (P, 3) in the coordinates of `rest`, metres.
            pose: (F, 3) yaw, pitch and roll of the head in radians.
            scene: light, background and framing.

        Returns:
            (F, P, 3): x to the right and y down in pixels, and the distance from the camera in metres.
        """
        turn = _rotation(torch.from_numpy(np.asarray(pose, dtype=np.float32)).to(self.device))
        world = (points.to(self.device) - self.pivot) @ turn.transpose(1, 2) + self.pivot
        return self._project(world, self._middle(turn), scene, self.size)[0]

    def _pose_vertices(self, actions: Tensor, pose: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Vertices (F, V, 3) with expression and pose, the middle of the face (F, 3), how far vertices moved (F, V)."""
        moved = (actions @ self.rig.action_shapes).view(len(actions), -1, 3)
        shaped = self.rest + moved
        turn = _rotation(pose)
        turned = (shaped - self.pivot) @ turn.transpose(1, 2) + self.pivot
        world = torch.lerp(shaped, turned, self.rig.follows_head[None, :, None])
        return world, self._middle(turn), moved.norm(dim=-1)

    def _middle(self, turn: Tensor) -> Tensor:
        """(F, 3) the middle of the face when the head is turned by (F, 3, 3)."""
        return torch.einsum("tij,j->ti", turn, self.middle - self.pivot) + self.pivot

    def _project(self, world: Tensor, middle: Tensor, scene: Scene, samples: int) -> tuple[Tensor, Tensor]:
        """Perspective: points (F, V, 3), x and y in samples and depth; and the place of the camera (F, 3)."""
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

    def _material(self) -> Material:
        """What light meets: skin, lips and hair answer to it differently."""
        rig, skin = self.rig, 1 - self.scalp
        return Material(
            # long hair is seen from both sides, and the normals of the teeth point inwards
            turns=rig.turnable > 0,
            open=rig.openness,
            wrap=0.25 * skin,
            strength=(0.09 + 0.08 * rig.lips) * rig.skin * skin * (1 - facial_hair(rig.template, self.person)),
            sharpness=14 + 26 * rig.lips,
            hair=0.72 * self.scalp[:, None] * _vector(self.person.hair_colour, self.device),
        )

    def _wet(self, tears: float) -> Material:
        """The material with tears under the eyes: wet skin mirrors light, and sharply."""
        if not tears:
            return self.material
        x, y, z = self.rig.template[:, 0].abs(), self.rig.template[:, 1], self.rig.template[:, 2]
        pooled = torch.exp(-(((x - 0.031) / 0.014) ** 2 + ((z - 0.7215) / 0.004) ** 2))
        run = torch.exp(-(((x - 0.029) / 0.006) ** 2)) * smoothstep(z, 0.665, 0.69) * smoothstep(-z, -0.724, -0.718)
        wet = tears * torch.maximum(pooled, run) * (y < -0.06) * self.rig.skin
        return replace(
            self.material,
            strength=torch.lerp(self.material.strength, torch.full_like(wet, 0.9), wet),
            sharpness=torch.lerp(self.material.sharpness, torch.full_like(wet, 60.0), wet),
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
            _vector(scene.ambient, self.device),
            toward,
            factor[..., None] * colour,
            self.rig.visibility.of(toward, turn),
        )

    def _albedo(self, seen: Samples, size: int, actions: Tensor) -> Tensor:
        """(K, 3) the colour of each sample before light."""
        person, rig, vertices = self.person, self.rig, len(self.rest)
        strengths = wrinkle_strengths(actions, self.action_index) * person.folding * (0.5 + 0.2 * person.old)
        colour = self.loops.skin_albedo(self.atlas, rig.uv, self.painted, seen, size, strengths)
        other = self.loops.select(seen.triangle, self.painted < 0)
        _, triangle, corners, weights = seen.of(other)
        part, at = rig.part[triangle], self.loops.interpolate(rig.template, corners % vertices, weights)

        def where(which: Part) -> tuple[Tensor, Tensor]:
            """The samples that see `which`, and where on the template head they lie."""
            chosen = (part == which).nonzero()[:, 0]
            return other[chosen], at[chosen]

        skin, dark = _vector(person.skin, self.device), 0.30 if person.male else 0.16
        s, p = where(Part.BODY)
        collar = smoothstep(p[:, 2] - (0.560 + 0.35 * p[:, 0].abs()), -0.003, 0.003)[:, None]
        colour[s] = torch.lerp(_vector(person.clothes, self.device).expand(len(s), 3), skin.expand(len(s), 3), collar)
        s, _ = where(Part.MOUTH_CAVITY)
        colour[s] = _vector((0.05, 0.011, 0.009), self.device)
        s, p = where(Part.TONGUE)
        further_out = smoothstep(-p[:, 1:2], 0.095, 0.142)
        colour[s] = _vector((0.34, 0.125, 0.11), self.device) * (0.12 + 0.88 * further_out)
        s, p = where(Part.TEETH)
        colour[s] = tooth_albedo(p, rig.teeth_edge)
        s, _ = where(Part.LASHES)
        colour[s] = skin * dark
        s, p = where(Part.LONG_HAIR)
        colour[s] = hair_albedo(p, person)
        eye_centres = load_head(self.device).eye_centres
        for k, eye in enumerate((Part.LEFT_EYE, Part.RIGHT_EYE)):
            s, p = where(eye)
            colour[s] = eye_albedo(p - eye_centres[k], person)
        return colour

    def _add_eye_highlights(
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

    def _background_samples(self, scene: Scene, samples: int) -> Tensor:
        """(samples, samples, 3): the background."""
        if scene.background is None:
            return torch.full((samples, samples, 3), 0.25, device=self.device)
        return scene.background.to(self.device)


def _vector(numbers: Sequence[float] | np.ndarray, device: str) -> Tensor:
    return torch.tensor([float(x) for x in numbers], device=device)


def _rotation(pose: Tensor) -> Tensor:
    """(F, 3, 3) from yaw (about z), pitch (about x) and roll (about y) in radians."""
    (cy, cp, cr), (sy, sp, sr) = pose.cos().unbind(1), pose.sin().unbind(1)
    one, zero = torch.ones_like(cy), torch.zeros_like(cy)
    yaw = torch.stack([cy, -sy, zero, sy, cy, zero, zero, zero, one], -1).view(-1, 3, 3)
    pitch = torch.stack([one, zero, zero, zero, cp, -sp, zero, sp, cp], -1).view(-1, 3, 3)
    roll = torch.stack([cr, zero, sr, zero, one, zero, -sr, zero, cr], -1).view(-1, 3, 3)
    return yaw @ pitch @ roll
