"""Networks that turn one frame into feature maps: the book's small one, the papers' ResNet18, dlib's, and VGG."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from typing import Any

import torch
from torch import Tensor, nn

from dferlib.errors import InputError, choose
from dferlib.models.base import InputSpec
from dferlib.models.dlib_face import DLIB_MEAN, DLIB_SMALLEST, DLIB_STD, DlibFaceResNet, load_dlib_weights

# Rendered and real faces alike are roughly this bright in all three channels; the book-scale models use it.
FACE_MEAN, FACE_STD = (110 / 255,) * 3, (60 / 255,) * 3
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WEIGHTS = {"slim": ("makefaces",), "resnet18": ("imagenet",), "dlib_face": ("dlib",)}
NORMALS = {"slim": (FACE_MEAN, FACE_STD), "dlib_face": (DLIB_MEAN, DLIB_STD)}  # ImageNet's for all others
FACE_WEIGHTS = files("dferlib.models") / "weights" / "slim_resnet_makefaces.safetensors"
STAGED = ("slim", "resnet18")  # those that fall into a stem and four stages


def init_convolutions(net: nn.Module) -> None:
    """Draw the weights of every convolution anew, so that ReLUs keep the variance of the gradients (He et al. 2015)."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with a shortcut (He et al. 2016)."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, norm: Callable[[int], nn.Module] = nn.BatchNorm2d
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        nn.init.zeros_(self.bn2.weight)  # every block begins as its shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.shortcut(x) + self.bn2(self.conv2(y)))


class HalfInstanceNorm(nn.Module):
    """Instance normalisation of the first half of the channels, batch normalisation of the others.

    Of a channel whose mean and contrast are taken out frame by frame, light and colour can tell the next layer nothing;
    the other half keeps what they tell. Source: IBN-a of Pan et al., "Two at once", ECCV 2018, made for networks that
    learn from rendered pictures and are used on photographs.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.halves = channels // 2, channels - channels // 2
        self.instance, self.batch = nn.InstanceNorm2d(self.halves[0], affine=True), nn.BatchNorm2d(self.halves[1])

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to the same."""
        first, second = x.split(self.halves, 1)
        return torch.cat([self.instance(first), self.batch(second)], 1)


class SlimResNet(nn.Module):
    """A small ResNet of 0.68 M parameters that two cores can train: 3 x 56 x 56 to 128 x 4 x 4.

    It takes the mean and the contrast out of each channel of each frame first, and cares little for light and colour in
    its first three stages either (`HalfInstanceNorm`): it has learnt from rendered people, and is asked about others.
    """

    out_channels = 128
    stride = 16

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.InstanceNorm2d(3), nn.Conv2d(3, 16, 5, 2, 2, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)
        )  # 56 -> 28
        self.blocks = nn.Sequential(
            BasicBlock(16, 16, 1, HalfInstanceNorm),  # 28
            BasicBlock(16, 32, 2, HalfInstanceNorm),  # 14
            nn.Sequential(BasicBlock(32, 64, 2, HalfInstanceNorm), BasicBlock(64, 64, 1, HalfInstanceNorm)),  # 7
            nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1)),  # 4
        )
        init_convolutions(self)

    def forward(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, 128, ceil(H / 16), ceil(W / 16))."""
        return self.blocks(self.stem(frames))


class ResNet18(nn.Sequential):
    """torchvision's ResNet18 without its pooling and classifier: 3 x 112 x 112 to 512 x 4 x 4."""

    out_channels = 512
    stride = 32

    def __init__(self, imagenet: bool = False) -> None:
        from torchvision.models import ResNet18_Weights, resnet18  # type: ignore[import-untyped]

        net = resnet18(weights=ResNet18_Weights.IMAGENET1K_V1 if imagenet else None)
        stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        super().__init__(stem, net.layer1, net.layer2, net.layer3, net.layer4)


class VGG(nn.Sequential):
    """torchvision's VGG without its classifier: 3 x 112 x 112 to 512 x 3 x 3.

    The variant with batch normalisation: the original hardly learns from a random start.
    """

    stride = 32

    def __init__(self, depth: int, width: int = 64, imagenet: bool = False) -> None:
        from torchvision.models import get_model
        from torchvision.models.vgg import cfgs, make_layers  # type: ignore[import-untyped]

        layers = [x if x == "M" else x * width // 64 for x in cfgs[{11: "A", 13: "B", 16: "D"}[depth]]]
        net = make_layers(layers, batch_norm=True)
        super().__init__(*net)
        self.out_channels = 8 * width
        init_convolutions(self)
        if imagenet:
            self.load_state_dict(get_model(f"vgg{depth}_bn", weights="IMAGENET1K_V1").features.state_dict())


class DlibFace(nn.Sequential):
    """dlib's face ResNet without its descriptor: 3 x 150 x 150 to 256 x 2 x 2; frames of at least 103 px."""

    out_channels = 256

    def __init__(self, learnt: bool = False) -> None:
        net = DlibFaceResNet()
        if learnt:
            load_dlib_weights(net)
        super().__init__(net.stem, net.blocks)


StagedBackbone = SlimResNet | ResNet18
Backbone = StagedBackbone | DlibFace


def build_backbone(kind: str, weights: str | None) -> Backbone:
    """Build a backbone.

    Args:
        kind: "slim", "resnet18" or "dlib_face".
        weights: None for a random start; "makefaces" (slim), packaged, learnt on rendered action units; "imagenet"
            (resnet18), which torchvision downloads from its own server and checks; "dlib" (dlib_face), learnt on
            photographs, from the package `face_recognition_models`.

    Raises:
        InputError: unknown names, the download failed, or the package is missing.
    """
    choose("backbone", kind, WEIGHTS)
    if kind != "dlib_face":
        return build_staged(kind, weights)
    if weights is not None:
        choose(f"weights of {kind}", weights, WEIGHTS[kind])
    return DlibFace(learnt=weights is not None)


def build_staged(kind: str, weights: str | None) -> StagedBackbone:
    """The same for the backbones that fall into a stem and four stages: "slim" and "resnet18"."""
    choose("backbone", kind, STAGED)
    if weights is not None:
        choose(f"weights of {kind}", weights, WEIGHTS[kind])
    if kind == "slim":
        slim = SlimResNet()
        if weights is not None:
            load_face_weights(slim)
        return slim
    with _download():
        return ResNet18(imagenet=weights is not None)


def build_vgg(depth: int, width: int, weights: str | None) -> VGG:
    """Build a VGG.

    Args:
        depth: 11, 13 or 16.
        width: channels of its first convolution; the original has 64.
        weights: None for a random start, or "imagenet" for the original width.

    Raises:
        InputError: unknown weights, or weights for another width, or the download failed.
    """
    if weights is not None:
        choose(f"weights of vgg{depth} with width {width}", weights, ("imagenet",) if width == 64 else ())
    with _download():
        return VGG(depth, width, imagenet=weights is not None)


@contextmanager
def _download() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot download the ImageNet weights ({error}): go online once, or use weights=None"
        ) from error


def load_face_weights(backbone: SlimResNet) -> None:
    """Fill a backbone with the packaged weights, which know action units (see `weights/pretrain.py`)."""
    from safetensors.torch import load_file

    with as_file(FACE_WEIGHTS) as path:
        backbone.load_state_dict(load_file(path))


def face_weights_about() -> dict[str, Any]:
    """What the file of the packaged weights says of them.

    Returns:
        Among other things `people` and `frames` that they were learnt on, `recipe`, which names the code that rendered
        them, and `held_out_r2`: what share of each target's variance they explain on other people.
    """
    from safetensors import safe_open

    with as_file(FACE_WEIGHTS) as path, safe_open(path, "np") as file:
        about = file.metadata()
    return {**about, "held_out_r2": json.loads(about["held_out_r2"])}


def spec_of(kind: str, size: int, frames: int) -> InputSpec:
    """The input of a model on this backbone."""
    if size < 16 or frames < 1:
        raise InputError(f"frames of {size} px, {frames} of them: a model needs at least 16 px and 1 frame")
    if kind == "dlib_face" and size < DLIB_SMALLEST:
        raise InputError(f"frames of {size} px: dlib's network needs at least {DLIB_SMALLEST}; best is size=150")
    return InputSpec(size, frames, *NORMALS.get(kind, (IMAGENET_MEAN, IMAGENET_STD)))


def stages_of(net: StagedBackbone) -> list[nn.Module]:
    """The stem of a backbone and its four stages, one after another."""
    return [net.stem, *net.blocks] if isinstance(net, SlimResNet) else list(net)


def vgg_blocks(net: VGG) -> list[list[nn.Module]]:
    """The five blocks of a VGG: in each some convolutions with their norms and ReLUs, and a pool at the end."""
    blocks: list[list[nn.Module]] = []
    layers: list[nn.Module] = []
    for layer in net:
        layers.append(layer)
        if isinstance(layer, nn.MaxPool2d):
            blocks.append(layers)
            layers = []
    return blocks


def places_of(backbone: Backbone, size: int) -> int:
    """S, how many places the feature map of a frame of `size` px has."""
    side = (size - 7) // 64 if isinstance(backbone, DlibFace) else -(-size // backbone.stride)
    return side**2
