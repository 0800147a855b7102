"""The part of the head that a camera in front of it can ever see, ready for rendering."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from dferlib.makefaces.assets import EARS, EYELIDS, FACE, INSIDE_MOUTH, LIPS, Head, Part, load_head
from dferlib.makefaces.hair import with_long_hair
from dferlib.makefaces.shadows import Visibility, precompute_visibility

DEPTH_BIAS = {Part.TEETH: 0.005, Part.TONGUE: 0.005, Part.LEFT_EYE: 0.0006, Part.RIGHT_EYE: 0.0006}  # metres
FACES_AWAY = 0.75  # a surface whose normal points this far back is hidden at every head pose we draw
REGION_EDGES = (0.7415, 0.699)  # metres: under the brows, under the nose's bridge and the eyes
REGIONS = tuple(f"{height} {side}" for height in ("upper", "middle", "lower") for side in ("Left", "Right"))
BELOW_FRAME = 0.55  # metres; the chin is at 0.62


@dataclass(frozen=True, eq=False)  # there is one of each kind, and others remember what they found on it
class Rig:
    """The head without what no frame shows, and what the renderer needs to know of it.

    V vertices and M triangles of those of `Head`.
    """

    template: Tensor  # (V, 3)
    shapes: Tensor  # (K, V * 3) every shape offset
    action_shapes: Tensor  # (52, V * 3) the facial actions among them
    action_index: dict[str, int]  # row of each in action_shapes
    triangles: Tensor  # (M, 3)
    part: Tensor  # (M,)
    uv: Tensor  # (M, 3, 2)
    two_sided: Tensor  # (M,) long hair and lashes
    solid: Tensor  # (L, 3) the triangles that are neither
    turnable: Tensor  # (V,) vertices whose normal may point away from a camera that sees them
    follows_head: Tensor  # (V,)
    bias: Tensor  # (V,) added to the depth so that teeth do not poke through lips
    openness: Tensor  # (V,) ambient occlusion, but for teeth and eyes, which are shaded by their own rule
    skin: Tensor  # (V,) 1 on the skin
    ears: Tensor  # (V,) how much ear
    hanging: Tensor  # (V,) 1 on hair that hangs down
    lids: Tensor  # (V,) bool
    region: Tensor  # (M,) index into REGIONS
    lips: Tensor  # (V,) how much lip
    face: Tensor  # (V,) 1 on the face with its eyes and mouth, 0 on scalp, ears, neck and hair
    teeth_edge: float  # depth at which the teeth end
    in_mouth: Tensor  # (V,) 1 on teeth, tongue and what is behind them
    visibility: Visibility  # which vertices a lamp reaches


def region_of(place: Tensor) -> Tensor:
    """(...) int64: the region of the face, of `REGIONS`, in which places (..., 3) on the template head lie."""
    below = torch.tensor(REGION_EDGES, device=place.device) > place[..., 2:]
    return 2 * below.sum(-1) + (place[..., 0] < 0).long()


@lru_cache(maxsize=4)
def load_rig(device: str, long_hair: bool) -> Rig:
    """The rig of the packaged head, with or without hair that hangs down."""
    head = with_long_hair(device) if long_hair else load_head(device)
    drawn = _drawn(head)
    used, triangles = head.triangles[drawn].unique(return_inverse=True)
    part = head.part[drawn]
    two_sided = (part == Part.LONG_HAIR) | (part == Part.LASHES)

    def marked(*parts: Part, value: float = 1.0, base: Tensor | None = None) -> Tensor:
        out = torch.zeros(len(head.vertices), device=device) if base is None else base.clone()
        out[head.vertices_of(*parts)] = value
        return out

    bias = torch.zeros(len(head.vertices), device=device)
    for which, metres in DEPTH_BIAS.items():
        bias = marked(which, value=metres, base=bias)
    openness = marked(Part.TEETH, value=0.75, base=head.openness)
    openness = marked(Part.LEFT_EYE, Part.RIGHT_EYE, value=1.0, base=openness)
    inner = marked(*(Part.LEFT_EYE, Part.RIGHT_EYE, Part.TONGUE, Part.TEETH, Part.MOUTH_CAVITY))
    face = torch.stack([inner, head.masks[:, FACE], head.masks[:, INSIDE_MOUTH]]).amax(0)
    shapes = head.shapes[:, used].reshape(len(head.shapes), -1)
    rows = head.action_index()
    return Rig(
        template=head.vertices[used],
        shapes=shapes,
        action_shapes=shapes[list(rows.values())],
        action_index={name: k for k, name in enumerate(rows)},
        triangles=triangles,
        part=part,
        uv=head.uv[drawn],
        two_sided=two_sided,
        solid=triangles[~two_sided],
        turnable=marked(Part.LONG_HAIR, Part.LASHES, Part.TEETH)[used],
        follows_head=head.follows_head[used],
        bias=bias[used],
        openness=openness[used],
        skin=marked(Part.SKIN)[used],
        hanging=marked(Part.LONG_HAIR)[used],
        ears=head.masks[used, EARS],
        region=region_of(head.vertices[head.triangles[drawn]].mean(1)),
        lids=head.masks[used, EYELIDS] > 0.5,
        lips=head.masks[used, LIPS],
        face=face[used],
        teeth_edge=float(head.vertices[head.vertices_of(Part.TEETH), 1].min()) + 0.016,
        in_mouth=marked(Part.TEETH, Part.TONGUE, Part.MOUTH_CAVITY)[used] * (1 - head.masks[used, LIPS]),
        visibility=precompute_visibility(head.vertices[used], triangles, part),
    )


def _drawn(head: Head) -> Tensor:
    """(M,) bool: the triangles that some frame may show."""
    corners = head.vertices[head.triangles]
    centre = corners.mean(1)
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    back = normal[:, 1] / normal.norm(dim=1).clamp(min=1e-12)
    two_sided = (head.part == Part.LONG_HAIR) | (head.part == Part.LASHES)
    drawn = (head.part != Part.EYE_SOCKET) & ((back < FACES_AWAY) | two_sided)
    drawn &= ~((head.part == Part.LASHES) & (centre[:, 2] < 0.7305))  # the lower lashes look like dirt
    return drawn & (centre[:, 2] > BELOW_FRAME)
