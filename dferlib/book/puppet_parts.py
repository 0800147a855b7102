"""What a page needs to draw a face of MakeFaces by itself: its mesh, how units move it, its colours and its light.

The script does what `dferlib.makefaces.render` does. It gets the numbers of this module, rounded and packed.
"""

import base64
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from dferlib.makefaces import UNITS, raster, shadows
from dferlib.makefaces.actions import MAX_SHAPE_WEIGHT
from dferlib.makefaces.assets import Part
from dferlib.makefaces.blend_shapes import blend_shape_weights
from dferlib.makefaces.render import EYE_SHARPNESS, EYE_SHINE, Actor
from dferlib.makefaces.scene import CAMERA_DISTANCE, Light, Scene
from dferlib.makefaces.wrinkles import wrinkle_strengths

STEP = 1e-5  # metres: places and movements are rounded to this
TEXEL = 1 / 32  # places in the texture are rounded to this
TURNS = (-36, -18, 0, 18, 36)  # degrees at which shadows are worked out; between them the script blends
NO_FOLDS, EYE, TWO_SIDED = 6, 7, 8  # kinds of triangles; those below are skin, in the regions of `rig.REGIONS`
# where a part that has no place in the atlas is painted, (width, height) in texels
PATCHES = {
    Part.LEFT_EYE: (80, 80),
    Part.RIGHT_EYE: (80, 80),
    Part.TEETH: (128, 64),
    Part.TONGUE: (32, 32),
    Part.BODY: (32, 32),
    Part.LASHES: (8, 8),
    Part.MOUTH_CAVITY: (8, 8),
    Part.LONG_HAIR: (160, 240),
}
MARGIN = 2  # texels of a patch around what it shows
FOLDS_FROM, FOLDS_TO = -0.6, 1.0  # what black and white say of wrinkles


def studio() -> Scene:
    """The light and the frame of `dferlib.makefaces.portrait.portrait`."""
    from dferlib.makefaces.portrait import STUDIO

    key, fill = (Light(where, (power,) * 3) for where, power in zip(STUDIO, (0.95, 0.3), strict=True))
    return Scene((0.3, 0.3, 0.3), (key, fill), 1.0, None, 0.1, np.zeros((1, 2)), np.ones((1, 2)))


@dataclass(frozen=True)
class Moves:
    """How action units move the face.

    Blend shapes that every unit moves alike, such as left and right, are one of the G groups.

    Attributes:
        group: (52,) the group of each blend shape, -1 where no unit moves it.
        mix: (U, G) weight of each group at full intensity of each unit; a weight ends at `MAX_SHAPE_WEIGHT`.
        offsets: (G, V, 3) metres.
        parting: (G,) how far each group parts the lips.
        folds: (G, 24) how deep each group makes the wrinkles of each region and channel.
    """

    group: np.ndarray
    mix: np.ndarray
    offsets: np.ndarray
    parting: np.ndarray
    folds: np.ndarray


def moves_of(actor: Actor) -> Moves:
    """How action units move the vertices of the actor's rig."""
    count, index = len(UNITS), actor.action_index
    mix = blend_shape_weights(np.eye(count, dtype=np.float32), np.zeros((count, 2)), 0.0, index)
    columns, group = np.unique(mix, axis=1, return_inverse=True)
    group = group.reshape(-1)
    moving: np.ndarray = np.any(columns, 0)
    group = np.where(moving[group], (np.cumsum(moving) - 1)[group], -1)
    members = np.eye(len(columns.T))[:, : moving.sum()][group] * (group >= 0)[:, None]  # (52, G)
    parting = np.array([shadows.PARTING.get(name, 0.0) for name in index])
    folds = wrinkle_strengths(torch.eye(len(index)), index).flatten(1).numpy()
    offsets = torch.from_numpy(members.T).float() @ actor.rig.action_shapes
    return Moves(
        group, columns[:, moving], offsets.view(len(offsets), -1, 3).numpy(), members.T @ parting, members.T @ folds
    )


def weights_of(moves: Moves, units: np.ndarray) -> np.ndarray:
    """(F, 52) weights of the blend shapes for intensities of units (F, U)."""
    groups = np.minimum(units @ moves.mix, MAX_SHAPE_WEIGHT)
    return np.where(moves.group >= 0, groups[:, moves.group], 0).astype(np.float32)


def seen_triangles(actor: Actor, weights: np.ndarray, size: int = 240) -> np.ndarray:
    """(M,) bool: the triangles that are seen at blend shapes (F, 52) and some turn, and all that touch them."""
    rig, scene = actor.rig, studio()
    act = torch.from_numpy(weights)
    seen = torch.zeros(len(rig.triangles), dtype=torch.bool)
    for turn in (TURNS[0], 0, TURNS[-1]):
        pose = torch.tensor([[np.radians(turn), 0, 0]], dtype=torch.float32).expand(len(act), 3)
        world, middle, _ = actor._pose_vertices(act, pose)
        points, _ = actor._project(world, middle, scene, size)
        points[..., 2] += rig.bias
        found = actor.loops.rasterise(points, rig.triangles, size, rig.two_sided)
        seen[found[found >= 0]] = True
    touched = torch.zeros(len(rig.template), dtype=torch.bool)
    touched[rig.triangles[seen].flatten()] = True
    return touched[rig.triangles].any(1).numpy()


def texture_of(actor: Actor, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All colours before light in one picture.

    Args:
        actor: whose.
        kept: (m,) the triangles that are drawn.

    Returns:
        (h, w, 7) linear RGB and four channels of wrinkles, and (m, 3, 2) texels right and down of each corner.
    """
    rig, atlas = actor.rig, actor.atlas.numpy()
    height, width = atlas.shape[:2]
    uv = ((rig.uv[kept].numpy() + 1) * (width, height) - 1) / 2
    part = rig.part[kept].numpy()
    skin = part == Part.SKIN
    top, bottom = (int(uv[skin][..., 1].min()) - 1, int(uv[skin][..., 1].max()) + 3)
    rows, x, y, tall = [atlas[max(top, 0) : bottom]], 0, 0, 0
    uv[..., 1] -= max(top, 0)
    below = np.zeros((sum(high for _, high in PATCHES.values()), width, atlas.shape[2]), np.float32)
    for which, (wide, high) in PATCHES.items():
        mine = np.flatnonzero(part == which)
        if not len(mine):
            continue
        if x + wide > width:
            x, y, tall = 0, y + tall, 0
        below[y : y + high, x : x + wide, :3], places = _patch(actor, kept[mine], wide, high)
        uv[mine] = places + np.array([x, y + len(rows[0])])
        x, tall = x + wide, max(tall, high)
    return np.concatenate([*rows, below[: y + tall]]), uv


def _patch(actor: Actor, chosen: np.ndarray, wide: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """The colours (high, wide, 3) of some triangles from the front, and texels (n, 3, 2) of their corners."""
    rig = actor.rig
    triangles = rig.triangles[chosen].contiguous()
    place = rig.template[triangles]
    low, far = place.amin((0, 1)), place.amax((0, 1))
    scale = torch.tensor([wide - 2 * MARGIN, high - 2 * MARGIN]) / (far - low)[[0, 2]].clamp(min=1e-9)
    points = torch.empty_like(rig.template)
    points[:, 0] = (rig.template[:, 0] - low[0]) * scale[0] + MARGIN
    points[:, 1] = (far[2] - rig.template[:, 2]) * scale[1] + MARGIN
    points[:, 2] = rig.template[:, 1] + 1
    size = max(wide, high)
    found = raster.rasterise(points[None], triangles, size, torch.ones(len(chosen), dtype=torch.bool))
    seen = raster.barycentric(points[None], triangles, found)
    seen = seen._replace(triangle=torch.from_numpy(chosen)[seen.triangle])
    colour = np.zeros((size * size, 3), np.float32)
    filled = np.zeros(size * size, bool)
    with torch.no_grad():
        colour[seen.place] = actor._albedo(seen, size, torch.zeros(1, len(actor.action_index))).numpy()
    filled[seen.place] = True
    colour, filled = (one.reshape(size, size, -1)[:high, :wide] for one in (colour, filled))
    nearest = distance_transform_edt(np.logical_not(filled[..., 0]), return_distances=False, return_indices=True)
    return colour[tuple(nearest)], points[triangles][..., :2].numpy() - 0.5


def in_bytes(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Values from 0 as uint8, and what one of them is worth."""
    worth = float(values.max()) / 255 or 1.0
    return (values / worth).round().astype(np.uint8), worth


@dataclass(frozen=True)
class Parts:
    """A face in parts, R corners of n vertices and m triangles.

    Attributes:
        vertices: (n,) which vertices of the rig are kept.
        arrays: by name, what the script unpacks.
        numbers: by name, single numbers and small lists.
        texture: (h, w, 7) linear RGB and wrinkles.
    """

    vertices: np.ndarray
    arrays: dict[str, np.ndarray]
    numbers: dict[str, object]
    texture: np.ndarray


def parts_of(actor: Actor, settings: np.ndarray) -> Parts:
    """Everything that a script needs to draw a face.

    Args:
        actor: the face.
        settings: (F, U) intensities of units; what they show is drawn.
    """
    rig, moves = actor.rig, moves_of(actor)
    kept = np.flatnonzero(seen_triangles(actor, weights_of(moves, settings)))
    texture, uv = texture_of(actor, kept)
    vertices, triangles = np.unique(rig.triangles[kept].numpy(), return_inverse=True)
    keys = np.concatenate([triangles.reshape(-1, 1), (uv.reshape(-1, 2) / TEXEL).round()], 1).astype(np.int64)
    corners, triangles = np.unique(keys, axis=0, return_inverse=True)
    part, region = rig.part[kept].numpy(), rig.region[kept].numpy()
    kind = np.where(part == Part.SKIN, region, NO_FOLDS)
    kind[(part == Part.LEFT_EYE) | (part == Part.RIGHT_EYE)] = EYE
    kind[rig.two_sided[kept].numpy()] = TWO_SIDED
    moved = (moves.offsets[:, vertices] / STEP).round().astype(np.int16)
    moving: np.ndarray = np.any(moved, -1)
    arrays: dict[str, np.ndarray] = {
        "rest": ((actor.rest[vertices] - actor.middle).numpy() / STEP).round().astype(np.int16),
        "movedAt": np.concatenate([np.flatnonzero(one) for one in moving]).astype(np.uint16),
        "moved": moved[moving],
        "triangles": triangles.reshape(-1).astype(np.uint16),
        "vertex": corners[:, 0].astype(np.uint16),
        "texels": corners[:, 1:].astype(np.uint16),
        "kind": kind.astype(np.uint8),
    }
    numbers: dict[str, object] = {"movedCount": moving.sum(1).tolist(), "mix": moves.mix.round(6).tolist()}
    numbers |= {"parting": moves.parting.tolist(), "folds": moves.folds.round(6).tolist()}
    surface, worth = _surface(actor, vertices)
    numbers |= {"worth": worth, **_fixed(actor)}
    return Parts(vertices, arrays | surface, numbers, texture)


def _surface(actor: Actor, vertices: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """How each of the vertices answers to light, as bytes by name, and what a byte of each is worth."""
    rig, material = actor.rig, actor.material
    angles = torch.tensor(TURNS).deg2rad()
    turned = torch.eye(3).repeat(len(TURNS), 1, 1)
    turned[:, 0, 0] = turned[:, 1, 1] = angles.cos()
    turned[:, 1, 0], turned[:, 0, 1] = angles.sin(), -angles.sin()
    lit = rig.visibility.of(torch.from_numpy(_toward_lamps()).float(), turned)  # (T, L, V)
    every = {
        "follows": rig.follows_head,
        "bias": rig.bias,
        "open": material.open,
        "wrap": material.wrap,
        "strength": material.strength,
        "sharpness": material.sharpness,
        "hair": material.hair.amax(1),
        "turnsToUs": material.turns,
        "inMouth": rig.in_mouth,
        "lit": lit.flatten(0, 1),
    }
    both = {name: in_bytes(values[..., vertices].float().numpy().T) for name, values in every.items()}
    return {name: one for name, (one, _) in both.items()}, {name: worth for name, (_, worth) in both.items()}


def _toward_lamps() -> np.ndarray:
    """(L, 3) unit vectors."""
    directions = np.array([lamp.direction for lamp in studio().lamps])
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _fixed(actor: Actor) -> dict[str, object]:
    """The constants of the renderer."""
    scene, person = studio(), actor.person
    eye = actor._project(actor.rest[None], actor.middle[None], scene, 1)[1]
    hair = actor.material.hair.amax(0)
    return {
        "step": STEP,
        "texel": TEXEL,
        "most": MAX_SHAPE_WEIGHT,
        "turns": [float(turn) for turn in TURNS],
        "middle": actor.middle.tolist(),
        "pivot": actor.pivot.tolist(),
        "distance": CAMERA_DISTANCE,
        "eye": float(eye[0, 1]),
        "halfWidth": scene.half_width * actor.scale,
        "ambient": scene.ambient[0],
        "lamps": _toward_lamps().tolist(),
        "powers": [lamp.colour[0] for lamp in scene.lamps],
        "background": float(actor._background_samples(scene, 1)[0, 0, 0]),
        "hairColour": (hair / hair.max().clamp(min=1e-9)).tolist(),
        "noFolds": NO_FOLDS,
        "isEye": EYE,
        "twoSided": TWO_SIDED,
        "sky": raster.SKY,
        "falls": raster.FALLS,
        "shines": raster.SHINES,
        "reach": [raster.RED_REACHES, raster.BLUE_REACHES],
        "sheen": [raster.SHEEN, raster.SHEEN_EDGE],
        "strands": raster.STRANDS_LEAN,
        "wrinkled": [raster.FURROW, raster.RIDGE],
        "folding": person.folding * (0.5 + 0.2 * person.old),
        "foldsFrom": [FOLDS_FROM, FOLDS_TO],
        "tone": [scene.exposure, raster.SHOULDER, raster.GAMMA],
        "eyes": [EYE_SHINE, EYE_SHARPNESS],
        "mouth": [shadows.CLOSED, shadows.IN_THE_DARK],
    }


def packed(arrays: dict[str, np.ndarray]) -> dict[str, object]:
    """Arrays as one compressed text, with the name, type and length of each; values of one column lie together."""
    parts = [[name, one.dtype.name, one.size] for name, one in arrays.items()]
    flat = b"".join(np.ascontiguousarray(one.T).tobytes() for one in arrays.values())
    return {"parts": parts, "bytes": base64.b64encode(zlib.compress(flat, 9)).decode()}
