import pytest
import torch
from loops import make, make_clips
from torch import Tensor, nn

from dferlib.complexity import complexity


def lstm_by_loops(layer: nn.LSTM, frames: Tensor) -> Tensor:
    """Hochreiter and Schmidhuber's cell, with forget gate, over frames (T, C)."""
    h = c = torch.zeros(layer.hidden_size, dtype=frames.dtype)
    for x in frames:
        gates = layer.weight_ih_l0 @ x + layer.bias_ih_l0 + layer.weight_hh_l0 @ h + layer.bias_hh_l0
        i, f, g, o = gates.chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
    return h


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


@pytest.mark.parametrize(("name", "gates"), [("resnet18_lstm", 4), ("resnet18_gru", 3)])
def test_the_cost_is_the_printed_one_plus_the_recurrent_layer(name, gates):
    recurrent = 16 * gates * 512 * (512 + 512) / 1e9
    found = complexity(make(name, "paper"))
    assert found.gmac - recurrent == pytest.approx(7.778, rel=0.01)  # printed without it
    assert found.parameters == 11_176_512 + gates * 512 * (512 + 512 + 2) + 7 * 513


@pytest.mark.parametrize("name", ["resnet18_lstm", "resnet18_gru"])
@torch.no_grad()
def test_the_last_frame_counts_and_so_does_the_order(name):
    model = make(name).eval()
    clips = make_clips(model)
    assert (model(clips.flip(1)) - model(clips)).abs().max() > 1e-5
