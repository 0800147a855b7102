"""dlib's face ResNet: its shapes, its blocks as loops, and the same descriptors as dlib itself."""

import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch

from dferlib import EMOTIONS, InputError, create_model
from dferlib.data.transforms import normalise, prepare
from dferlib.makefaces.assets import load_head
from dferlib.makefaces.generator import make_clip
from dferlib.makefaces.identity import sample_identity
from dferlib.makefaces.protocol import Version
from dferlib.makefaces.render import Actor
from dferlib.models.dlib_face import DLIB_MEAN, DLIB_STD, DlibBlock, DlibFaceResNet, load_dlib_weights

PACKAGE = "face_recognition_models"
WEIGHTS = f"{PACKAGE}/models/dlib_face_recognition_resnet_model_v1.dat"


@pytest.fixture(scope="module")
def weights() -> Path:
    try:
        return Path(str(metadata.distribution(PACKAGE).locate_file(WEIGHTS)))
    except metadata.PackageNotFoundError:
        pytest.skip(f"{PACKAGE} is not installed")


@pytest.fixture(scope="module")
def net(weights: Path) -> DlibFaceResNet:
    net = DlibFaceResNet().eval()
    load_dlib_weights(net)
    return net


def rendered_face() -> np.ndarray:
    rng = np.random.default_rng(3)
    actor = Actor(sample_identity(rng, load_head().shape_names), 150)
    images, _ = make_clip(actor, Version("mini"), EMOTIONS.index("happiness"), rng)
    return images[-1].transpose(1, 2, 0)


def test_parameters_in_closed_form() -> None:
    stem = 3 * 32 * 7**2 + 32
    blocks = [(32, 32, 3), (32, 64, 1), (64, 64, 3), (64, 128, 1), (128, 128, 2), (128, 256, 1), (256, 256, 3)]
    inside = sum(count * (9 * (a + b) * b + 2 * b) for a, b, count in blocks)
    net = DlibFaceResNet()
    assert sum(p.numel() for p in net.parameters()) == stem + inside + 256 * 128 == 5_607_488
    assert sum(isinstance(m, torch.nn.Conv2d) for m in net.modules()) == 29


@pytest.mark.parametrize("height, width", [(150, 150), (103, 103), (112, 166), (135, 224), (198, 199)])
@torch.no_grad()
def test_shapes(height: int, width: int) -> None:
    net = DlibFaceResNet()
    frames = torch.zeros(2, 3, height, width)
    assert net(frames).shape == (2, net.out_channels, (height - 7) // 64, (width - 7) // 64)
    assert net.embed(frames).shape == (2, 128)


def slow_convolution(x: np.ndarray, conv: torch.nn.Conv2d, stride: int, border: int) -> np.ndarray:
    weight, bias = conv.weight.detach().numpy(), conv.bias.detach().numpy()
    x = np.pad(x, ((0, 0), (border, border), (border, border)))
    out = np.zeros((len(weight), (x.shape[1] - 3) // stride + 1, (x.shape[2] - 3) // stride + 1))
    for o, r, c in np.ndindex(out.shape):
        window = x[:, r * stride : r * stride + 3, c * stride : c * stride + 3]
        out[o, r, c] = (weight[o] * window).sum() + bias[o]
    return out


@pytest.mark.parametrize("inputs, outputs, down", [(3, 3, False), (3, 5, True), (4, 4, True)])
@pytest.mark.parametrize("height, width", [(7, 7), (8, 8), (8, 5), (3, 4)])
@torch.no_grad()
def test_block_is_its_definition(inputs: int, outputs: int, down: bool, height: int, width: int) -> None:
    torch.manual_seed(0)
    block = DlibBlock(inputs, outputs, down).double()
    x = torch.randn(inputs, height, width, dtype=torch.float64).numpy()
    stride = 2 if down else 1
    branch = slow_convolution(x, block.conv1, stride, 1 - down).clip(0)
    branch = slow_convolution(branch, block.conv2, 1, 1)
    expected = np.zeros((outputs, height // stride, width // stride))
    for i, r, c in np.ndindex(expected.shape):
        if i < inputs:
            expected[i, r, c] = x[i, r * stride : (r + 1) * stride, c * stride : (c + 1) * stride].mean()
        if r < branch.shape[1] and c < branch.shape[2]:
            expected[i, r, c] += branch[i, r, c]
    got = block(torch.from_numpy(x)[None])[0].numpy()
    np.testing.assert_allclose(got, expected.clip(0), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "frames, message",
    [
        (torch.zeros(3, 150, 150), "shape"),
        (torch.zeros(1, 1, 150, 150), "shape"),
        (torch.zeros(1, 3, 102, 150), "at least 103"),
        (torch.zeros(1, 3, 150, 150, dtype=torch.uint8), "DLIB_MEAN"),
    ],
)
def test_wrong_frames_are_refused(frames: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        DlibFaceResNet().embed(frames)


@pytest.mark.slow
def test_descriptors_are_those_of_dlib(net: DlibFaceResNet, weights: Path) -> None:
    dlib = pytest.importorskip("dlib")
    rng = np.random.default_rng(0)
    ramp = np.broadcast_to(np.linspace(0, 255, 150)[:, None, None], (150, 150, 3)).astype(np.uint8)
    noise = rng.integers(0, 256, (3, 150, 150, 3), dtype=np.uint8)
    images = [*noise, ramp, np.zeros_like(ramp), np.full_like(ramp, 255), rendered_face()]
    theirs = dlib.face_recognition_model_v1(str(weights))
    expected = np.array([theirs.compute_face_descriptor(image) for image in images])
    assert expected.shape == (7, 128)
    assert np.ptp(expected, 0).max() > 0.1
    frames = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        got = net.embed(normalise(frames, DLIB_MEAN, DLIB_STD)).numpy()
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


def test_a_model_on_this_backbone_sees_frames_as_dlib_does(net: DlibFaceResNet) -> None:
    model = create_model("stt", backbone="dlib_face", weights="dlib", size=150, frames=2).eval()
    clips = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 2, 3, 171, 171), dtype=np.uint8))
    middle = clips[0, :, :, 10:160, 10:160].float()
    mean = torch.tensor([122.782, 117.001, 104.298]).view(3, 1, 1)
    with torch.inference_mode():
        expected = net((middle - mean) / 256)
        torch.testing.assert_close(model.feature_maps(prepare(clips, model.input_spec))[0], expected)


def test_package_is_not_imported(net: DlibFaceResNet) -> None:
    """Its own code needs pkg_resources, which new installations lack."""
    assert PACKAGE not in sys.modules


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(InputError, match=rf"not installed: run pip install {PACKAGE}"):
        load_dlib_weights(DlibFaceResNet())


@pytest.mark.parametrize("content, message", [(None, "cannot read"), (b"con_4", "is not dlib's file")])
def test_wrong_file_is_refused(
    content: bytes | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / f"{PACKAGE}-0.3.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 0.3.0\n")
    if content is not None:
        (tmp_path / WEIGHTS).parent.mkdir(parents=True)
        (tmp_path / WEIGHTS).write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=message):
        load_dlib_weights(DlibFaceResNet())
