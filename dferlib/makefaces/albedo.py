"""The colour of what has no texture: teeth and eyes, from where a sample lies on the template head."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dferlib.makefaces.identity import Identity
from dferlib.makefaces.patterns import rgb, smoothstep

# metres across the front teeth from the middle outwards, as the camera sees them on the curved row
UPPER_TEETH, LOWER_TEETH = (0.0083, 0.0062, 0.0058, 0.0042), (0.0054, 0.0056, 0.0056, 0.0048)
TEETH_MEET = 0.6605  # metres


def tooth_albedo(place: Tensor, edge: float) -> Tensor:
    """(N, 3) colour of the teeth at `place` (N, 3) on the template head, darker towards `edge`, where they end."""
    x, y, z = place[:, :1].abs(), place[:, 1:2], place[:, 2:]
    ends = torch.tensor([UPPER_TEETH, LOWER_TEETH], device=place.device).cumsum(1)
    apart = (x - ends[(z[:, 0] < TEETH_MEET).long()]).abs().amin(1, keepdim=True)
    between = torch.exp(-((torch.minimum(apart, x) / 0.0005) ** 2))
    shade = (0.25 + 0.75 * ((edge - y) / 0.014).clamp(0, 1)) * (1 - 0.4 * between)
    return torch.tensor([0.70, 0.655, 0.58], device=place.device) * shade


def eye_albedo(place: Tensor, person: Identity) -> Tensor:
    """(N, 3) colour of the eye at `place` (N, 3), metres from its centre on the template head, -y straight ahead."""
    direction = F.normalize(place, dim=-1)
    angle = torch.acos((-direction[:, 1]).clamp(-1, 1))[:, None]
    round_ = torch.atan2(direction[:, 2], direction[:, 0])[:, None]
    spokes = 1 + 0.10 * torch.sin(17 * round_ + 9 * angle) + 0.10 * torch.sin(29 * round_ + 2 * torch.sin(5 * round_))
    # light from above gathers in the lower half of the iris
    lit = 0.85 + 0.5 * smoothstep(-direction[:, 2:], -0.1, 0.35)
    iris = rgb(person.eye_colour).to(place.device) * spokes * lit * (1.15 - 0.55 * smoothstep(angle, 0.25, 0.42))
    white = torch.tensor([0.62, 0.56, 0.53], device=place.device)
    red = torch.tensor([1.0, 0.72, 0.68], device=place.device)
    white = white * torch.lerp(torch.ones_like(red), red, smoothstep(place[:, :1].abs(), 0.006, 0.012))
    colour = torch.lerp(iris, white, smoothstep(angle, 0.40, 0.46))
    colour = colour * (1 - 0.6 * torch.exp(-(((angle - 0.42) / 0.04) ** 2)))  # the dark ring round the iris
    colour = torch.lerp(torch.full_like(colour, 0.006), colour, smoothstep(angle, 0.18, 0.21))
    up = place[:, 2:]
    lids = (0.30 + 0.70 * smoothstep(-up, -0.0062, -0.0005)) * (0.7 + 0.3 * smoothstep(up, -0.0065, -0.003))
    return colour * lids * (1 - 0.4 * smoothstep(place[:, :1].abs(), 0.007, 0.0115))
