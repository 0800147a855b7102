import pytest
import torch
from loops import attention_by_loops, gelu, layer_norm, make, make_clips
from torch import Tensor, nn

from dferlib import InputError, create_model
from dferlib.evidence.complexity import complexity
from dferlib.models.msstnet import MSSTNet


def tiny(**overrides) -> MSSTNet:
    """3 frames, stages 3 and 4 cut into 2 x 2 patches."""
    settings = {"frames": 3, "size": 32, "stages": (3, 4), "grid": 2, "dim": 8, "heads": 2, "blocks": 2, **overrides}
    return make("msstnet", **settings).eval()


def by_loops(model: MSSTNet, stage_maps: list[Tensor]) -> Tensor:
    """Equations 1 to 9 for one clip; of each stage the maps (F, d, H', W'). A token z[p][t] at a time."""
    grid, frames = model.backbone.grid, len(stage_maps[0])
    z = [[0.0] * frames for _ in range(grid * grid)]
    for i, maps in enumerate(stage_maps):
        P = maps.shape[-1] // grid
        for p in range(grid * grid):
            row, column = p // grid * P, p % grid * P
            for t in range(frames):
                x = maps[t, :, row : row + P, column : column + P].flatten()  # P^2 d
                x = (x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt()  # ours: all stages in one scale
                z[p][t] = z[p][t] + model.embed[i].weight @ x + model.time_position[i, t, 0]  # Eq. 1
        for block in model.t_formers[i]:
            for p in range(grid * grid):
                n = [layer_norm(x, block.norm_temporal) for x in z[p]]
                z[p] = [x + attention_by_loops(block.temporal, n[t], n) for t, x in enumerate(z[p])]  # Eq. 2 to 7
                first, last = block.mlp[0], block.mlp[-1]
                for t, x in enumerate(z[p]):
                    hidden = first.weight @ layer_norm(x, block.norm_mlp) + first.bias
                    z[p][t] = x + last.weight @ gelu(hidden) + last.bias  # Eq. 8
    tokens = [layer_norm(x, model.norm) for patch in z for x in patch]
    return model.head[1].weight @ (sum(tokens) / len(tokens)) + model.head[1].bias  # Eq. 9


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@torch.no_grad()
def test_equals_its_equations_written_as_loops(dtype, tolerance):
    model = tiny().to(dtype)
    for parameter in [p for key, p in model.named_parameters() if not key.startswith("backbone")]:
        nn.init.normal_(parameter, std=0.2)
    clips = make_clips(model).to(dtype)
    net = model.backbone.net
    expected = []
    for clip in clips:
        third = net.blocks[:3](net.stem(clip))
        expected.append(by_loops(model, [third, net.blocks[3](third)]))
    torch.testing.assert_close(model(clips), torch.stack(expected), rtol=tolerance * 10, atol=tolerance * 10)


@torch.no_grad()
def test_the_scale_of_a_stage_does_not_matter():
    model = make("msstnet").eval()
    maps = model.feature_maps(make_clips(model)) + 0.1  # no patch is dark
    fine, rest = maps.split([model.lengths[0], sum(model.lengths[1:])], 2)
    louder = torch.cat([10 * fine, rest], 2)
    torch.testing.assert_close(model.forward_from_maps(louder), model.forward_from_maps(maps), rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_it_does_not_care_in_which_order_its_patches_come():
    model = make("msstnet").eval()
    maps = model.feature_maps(make_clips(model))
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    shuffled = maps.flatten(3)[..., order].view(maps.shape)
    torch.testing.assert_close(model.forward_from_maps(shuffled), model.forward_from_maps(maps))
    frames = maps.flip(1)
    assert (model.forward_from_maps(frames) - model.forward_from_maps(maps)).abs().max() > 1e-5


PRINTED = {4: 5.05, 8: 10.10, 12: 15.15, 16: 20.20}


@pytest.mark.slow
@pytest.mark.parametrize("frames", PRINTED)
def test_it_costs_what_the_paper_prints_within_five_percent(frames):
    assert complexity(make("msstnet", "paper", frames=frames)).gmac == pytest.approx(PRINTED[frames], rel=0.05)


@pytest.mark.slow
def test_its_cost_is_linear_in_time_but_for_the_attention_scores():
    D, N, blocks = 768, 16, 6
    costs = {}
    for frames in PRINTED:
        scores = blocks * N * 2 * frames * frames * D
        head = 7 * D
        costs[frames] = round(complexity(make("msstnet", "paper", frames=frames)).gmac * 1e9) - scores - head
    assert {cost / frames for frames, cost in costs.items()} == {costs[4] / 4}


@pytest.mark.parametrize("stages", [(4,), (3, 4), (2, 4), (1, 2, 3, 4), (2,)])
@torch.no_grad()
def test_stages_can_be_left_out(stages):
    model = make("msstnet", stages=stages).eval()
    assert model(make_clips(model)).shape == (2, 7)
    assert len(model.t_formers) == len(stages)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"size": 56}, "stage 2 .* 14 wide, which does not split into 4 x 4 patches: choose a size that divides by 16"),
        ({"grid": 3}, "does not split into 3 x 3"),
        ({"stages": ()}, "in rising order"),
        ({"stages": (3, 2)}, "in rising order"),
        ({"stages": (4, 5)}, "give some of 1, 2, 3 and 4"),
    ],
)
def test_what_does_not_fit(overrides, message):
    with pytest.raises(InputError, match=message):
        create_model("msstnet", weights=None, **overrides)
