import pytest
import torch
from loops import lstm_by_loops, make, make_clips
from torch import Tensor, nn

from dferlib import InputError, create_model
from dferlib.evidence.complexity import complexity
from dferlib.models.backbones import build_vgg


def gru_by_loops(layer: nn.GRU, frames: Tensor) -> Tensor:
    h = torch.zeros(layer.hidden_size, dtype=frames.dtype)
    for x in frames:
        r_x, z_x, n_x = (layer.weight_ih_l0 @ x + layer.bias_ih_l0).chunk(3)
        r_h, z_h, n_h = (layer.weight_hh_l0 @ h + layer.bias_hh_l0).chunk(3)
        r, z = (r_x + r_h).sigmoid(), (z_x + z_h).sigmoid()
        h = (1 - z) * (n_x + r * n_h).tanh() + z * h
    return h


@pytest.mark.parametrize(("name", "reference"), [("resnet18_lstm", lstm_by_loops), ("resnet18_gru", gru_by_loops)])
@torch.no_grad()
def test_equals_the_cell_written_as_a_loop(name, reference):
    model = make(name).double().eval()
    maps = torch.randn(2, 8, 128, 4, 4, dtype=torch.float64)
    expected = torch.stack([reference(model.recurrent, clip.mean((2, 3))) for clip in maps])
    torch.testing.assert_close(model.features_from_maps(maps), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "gates"), [("resnet18_lstm", 4), ("resnet18_gru", 3)])
def test_the_cost_is_the_printed_one_plus_the_recurrent_layer(name, gates):
    recurrent = 16 * gates * 512 * (512 + 512) / 1e9
    found = complexity(make(name, "paper"))
    assert found.gmac - recurrent == pytest.approx(7.778, rel=0.01)  # printed without it
    assert found.parameters == 11_176_512 + gates * 512 * (512 + 512 + 2) + 7 * 513


@pytest.mark.parametrize(("name", "backbone"), [("vgg11_lstm", 9_225_984), ("vgg13_lstm", 9_410_880)])
def test_the_size_of_vgg_with_an_lstm(name, backbone):
    with torch.device("meta"):
        found = sum(p.numel() for p in make(name, "paper").parameters())
    assert found == backbone + 4 * 512 * (512 + 512 + 2) + 7 * 513  # torchvision's vgg11_bn and vgg13_bn, then ours


@pytest.mark.slow
@pytest.mark.parametrize("depth", [11, 13])
@torch.no_grad()
def test_vgg_is_torchvisions_up_to_its_last_pooling(depth):
    from torchvision.models import get_model

    theirs, ours = get_model(f"vgg{depth}_bn").features.eval(), build_vgg(depth, 64, None).eval()
    ours.load_state_dict(theirs.state_dict())
    frame = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(ours(frame), theirs(frame))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"size": 31}, "31 px: .* at least 32"),
        ({"weights": "makefaces"}, "unknown weights of vgg11 with width 8 'makefaces'"),
        ({"weights": "imagenet"}, "unknown weights of vgg11 with width 8"),
    ],
)
def test_vgg_refuses_what_it_has_no_way_to_do(overrides, message):
    with pytest.raises(InputError, match=message):
        create_model("vgg11_lstm", **overrides)


@pytest.mark.parametrize("name", ["resnet18_lstm", "resnet18_gru", "vgg11_lstm", "vgg13_lstm"])
@torch.no_grad()
def test_the_last_frame_counts_and_so_does_the_order(name):
    model = make(name).eval()
    clips = make_clips(model)
    assert (model(clips.flip(1)) - model(clips)).abs().max() > 1e-5
