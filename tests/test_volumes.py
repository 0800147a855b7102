import pytest
import torch
from loops import make, make_clips

from dferlib.complexity import complexity
from dferlib.models import create_model


@pytest.mark.parametrize(
    ("name", "gmac", "parameters"),
    [("c3d", 38.594, 78.03), ("r3d18", 8.319, 33.21), ("r2plus1d18", 40.65, 31.30)],
)
def test_cost_and_size_are_the_reference_figures_within_one_percent(name, gmac, parameters):
    found = complexity(make(name, "paper"))
    assert found.gmac == pytest.approx(gmac, rel=0.01)
    assert found.parameters / 1e6 == pytest.approx(parameters, rel=0.01)


@torch.no_grad()
def test_r2plus1d18_is_torchvisions():
    from torchvision.models.video import r2plus1d_18

    theirs, ours = r2plus1d_18(num_classes=7).eval(), make("r2plus1d18", "paper", frames=4, size=32).eval()
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    clips = make_clips(ours)
    torch.testing.assert_close(ours(clips), theirs(clips.transpose(1, 2)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["c3d", "r3d18", "r2plus1d18"])
@pytest.mark.parametrize("frames", [1, 5, 16])
@torch.no_grad()
def test_other_lengths(name, frames):
    model = make(name, frames=frames).eval()
    assert model(make_clips(model, 1)).shape == (1, 7)


def test_a_batch_of_one_trains():
    model = create_model("c3d").train()
    model(make_clips(model, 1)).sum().backward()
    assert model.head.weight.grad.abs().max() > 0
