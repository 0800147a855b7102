"""The head that every face of MakeFaces is made of: mesh, shape offsets and skin atlas, loaded from the package."""

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from importlib.resources import files

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class Part(IntEnum):
    """What a triangle belongs to."""

    SKIN = 0
    LEFT_EYE = 1
    RIGHT_EYE = 2
    TONGUE = 3
    TEETH = 4
    LASHES = 5
    LONG_HAIR = 6
    BODY = 7
    MOUTH_CAVITY = 8
    EYE_SOCKET = 9


LIPS, EYELIDS, FACE, EARS, INSIDE_MOUTH = range(5)  # the channels of the masks


@dataclass(frozen=True)
class Head:
    """The template head, in metres: x to the right of the frame, y away from the camera, z up.

    V vertices, M triangles, K shape offsets, an atlas of h x w texels.
    """

    vertices: Tensor  # (V, 3)
    triangles: Tensor  # (M, 3) int64
    part: Tensor  # (M,) int64, values of Part
    uv: Tensor  # (M, 3, 2) place of each corner in the atlas, from -1 to 1 (the units of grid_sample)
    shapes: Tensor  # (K, V, 3) offsets
    shape_names: tuple[str, ...]  # "u:" and "r:" identity, "l:" local change, "f:" facial action
    follows_head: Tensor  # (V,) 1 on the head, falling to 0 down the neck
    pivot: Tensor  # (3,) the point the head turns about
    openness: Tensor  # (V,) ambient occlusion, 1 in the open
    masks: Tensor  # (V, 5)
    atlas_place: Tensor  # (h, w, 3) template position of each texel
    atlas_masks: Tensor  # (h, w, 5)
    eye_centres: Tensor  # (2, 3)

    def vertices_of(self, *parts: Part) -> Tensor:
        """Indices of the vertices that belong to any of `parts`."""
        wanted = torch.isin(self.part, torch.tensor([int(p) for p in parts], device=self.part.device))
        return self.triangles[wanted].unique()

    def action_index(self) -> dict[str, int]:
        """The row of each facial action ("jawOpen", ...) in `shapes`."""
        return {name[2:]: row for row, name in enumerate(self.shape_names) if name.startswith("f:")}


@lru_cache(maxsize=2)
def load_head(device: str = "cpu") -> Head:
    """Load the packaged head onto `device`."""
    folder = files("dferlib.makefaces") / "assets"
    with (folder / "head.npz").open("rb") as file:
        mesh = dict(np.load(file, allow_pickle=False))
    with (folder / "atlas.npz").open("rb") as file:
        atlas = dict(np.load(file, allow_pickle=False))

    def tensor(array: np.ndarray, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device, dtype)

    vertices, triangles = tensor(mesh["V"]), tensor(mesh["tri"], torch.int64)
    part = tensor(atlas["part"], torch.int64)
    kept = part != Part.LONG_HAIR  # the packaged strips show gaps between them: `hair` makes its own sheet
    triangles, part = triangles[kept], part[kept]
    # the packaged teeth sit a little forward of where they look right
    vertices[triangles[part == Part.TEETH].unique(), 1] += 0.0035
    # and the lashes are so long that they look like paint
    lashes, skin = (triangles[part == which].unique() for which in (Part.LASHES, Part.SKIN))
    roots = vertices[skin[torch.cdist(vertices[lashes], vertices[skin]).argmin(1)]]
    vertices[lashes] = torch.lerp(roots, vertices[lashes], 0.5)
    eyes = [vertices[triangles[part == eye]].reshape(-1, 3) for eye in (Part.LEFT_EYE, Part.RIGHT_EYE)]
    u0, u1, v0, v1 = (float(x) for x in atlas["box"])
    uv = tensor(mesh["tuv"])[kept]
    uv = torch.stack([(uv[..., 0] - u0) / (u1 - u0), (v1 - uv[..., 1]) / (v1 - v0)], -1) * 2 - 1
    return Head(
        vertices=vertices,
        triangles=triangles,
        part=part,
        uv=uv,
        shapes=tensor(mesh["B"].astype(np.float32)),
        shape_names=tuple(str(name) for name in mesh["labels"]),
        follows_head=tensor(mesh["wv"]),
        pivot=tensor(mesh["pivot"]),
        openness=tensor(atlas["aov"]),
        masks=tensor(atlas["maskv"]),
        atlas_place=tensor(atlas["pos"]),
        atlas_masks=tensor(atlas["mask"]) / 255,
        eye_centres=torch.stack([(eye.amin(0) + eye.amax(0)) / 2 for eye in eyes]),
    )


@lru_cache(maxsize=4)
def atlas_at(device: str, shrink: int) -> tuple[Tensor, Tensor]:
    """The atlas's places (h, w, 3) and masks (h, w, 5), each side divided by `shrink`."""
    head = load_head(device)
    if shrink == 1:
        return head.atlas_place, head.atlas_masks
    both = torch.cat([head.atlas_place, head.atlas_masks], -1).permute(2, 0, 1)[None]
    small = F.avg_pool2d(both, shrink)[0].permute(1, 2, 0)
    return small[..., :3].contiguous(), small[..., 3:].contiguous()
