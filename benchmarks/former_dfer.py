"""The published structure of Former-DFER from parts that everybody has: torchvision's ResNet18, torch's transformer."""

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

HEADS = 8


def encoder(dim: int, layers: int) -> nn.TransformerEncoder:
    """Blocks with their norms in front, and an MLP twice as wide as the tokens."""
    layer = nn.TransformerEncoderLayer(
        dim, HEADS, 2 * dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


class FormerDFER(nn.Module):
    """One block over the 7 x 7 places behind the third stage of a ResNet18, three over the frames of the clip."""

    def __init__(self, frames: int, size: int = 112, num_classes: int = 7) -> None:
        super().__init__()
        net = resnet18()
        self.early = nn.Sequential(
            net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2, net.layer3
        )  # fmt: skip
        self.space_position = nn.Parameter(0.02 * torch.randn(1, (size // 16) ** 2, 256))
        self.space = encoder(256, 1)
        self.late = net.layer4
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, 512))
        self.time_position = nn.Parameter(0.02 * torch.randn(1, 1 + frames, 512))
        self.time = encoder(512, 3)
        self.head = nn.Linear(512, num_classes)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, F, 3, H, W) to logits (B, C)."""
        maps = self.early(clips.flatten(0, 1))
        places = self.space(maps.flatten(2).transpose(1, 2) + self.space_position)
        maps = self.late(places.transpose(1, 2).unflatten(2, maps.shape[2:]))
        frames = maps.mean((2, 3)).unflatten(0, clips.shape[:2])
        tokens = torch.cat([self.token.expand(len(clips), -1, -1), frames], 1)
        return self.head(self.time(tokens + self.time_position)[:, 0])
