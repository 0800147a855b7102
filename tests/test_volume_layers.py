"""Convolutions and pools that go frame by frame against torch's own, in float64."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dferlib import create_model
from dferlib.models.volume_layers import VolumeConv, VolumePool, by_frames

few = st.integers(1, 4)


@st.composite
def volumes(draw, pool=False):
    """A layer and a volume (B, C, F, H, W) that it takes, in one of the two layouts in memory."""
    kernel = draw(st.tuples(few, *[draw(st.sampled_from([st.just(1), few]))] * 2))
    stride = draw(st.tuples(*[st.integers(1, 3)] * 3))
    padding = tuple(draw(st.integers(0, k // 2 if pool else k)) for k in kernel)
    sides = [draw(st.integers(max(1, k - 2 * p), 7)) for k, p in zip(kernel, padding, strict=True)]
    torch.manual_seed(draw(st.integers(0, 99)))
    x = torch.randn(draw(st.integers(1, 3)), draw(few), *sides, dtype=torch.float64)
    layer = (
        nn.MaxPool3d(kernel, stride, padding, ceil_mode=draw(st.booleans()))
        if pool
        else nn.Conv3d(x.shape[1], draw(few), kernel, stride, padding, bias=draw(st.booleans())).double()
    )
    if draw(st.booleans()):
        x = x.contiguous(memory_format=torch.channels_last_3d)
    return layer, x.requires_grad_()


def outcome(layer, x):
    """What a layer gives, and the gradients of its input and its weights."""
    y = layer(x)
    weights = [x, *layer.parameters()]
    return [y.detach(), *torch.autograd.grad((y * torch.arange(y.numel()).view(y.shape)).sum(), weights)]


@given(volumes())
def test_a_convolution_is_that_of_torch(case):
    layer, x = case
    expected = outcome(layer, x)
    found = outcome(by_frames(layer), x)
    assert type(layer) is VolumeConv
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@given(volumes(pool=True))
def test_a_pool_is_that_of_torch(case):
    layer, x = case
    expected = outcome(layer, x)
    found = outcome(by_frames(layer), x)
    assert type(layer) is VolumePool
    for one, other in zip(found, expected, strict=True):
        assert one.equal(other) or torch.allclose(one, other)


@pytest.mark.parametrize("name", ["c3d", "p3d", "i3d", "r3d18", "r2plus1d18", "inflated_resnet"])
def test_no_volume_model_has_a_layer_of_torch_left(name):
    layers = [m for m in create_model(name).modules() if isinstance(m, nn.Conv3d | nn.MaxPool3d)]
    assert layers and all(isinstance(layer, VolumeConv | VolumePool) for layer in layers)
