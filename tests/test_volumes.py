import pytest
import torch
import torch.nn.functional as F
from loops import make, make_clips

from dferlib import InputError
from dferlib.evidence.complexity import complexity
from dferlib.models import create_model
from dferlib.models.i3d import Mixed, Same
from dferlib.models.p3d import P3DBlock
from dferlib.models.volumes import InflatedConv


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "gmac", "parameters"),
    [
        ("c3d", 38.594, 78.03),
        ("i3d", 6.994, 12.29),
        ("p3d", 4.192, 24.94),  # as its public code counts
        ("r3d18", 8.319, 33.21),
        ("r2plus1d18", 40.65, 31.30),
    ],
)
def test_cost_and_size_are_the_reference_figures_within_one_percent(name, gmac, parameters):
    found = complexity(make(name, "paper"))
    assert found.gmac == pytest.approx(gmac, rel=0.01)
    assert found.parameters / 1e6 == pytest.approx(parameters, rel=0.01)


@pytest.mark.slow
@torch.no_grad()
def test_r2plus1d18_is_torchvisions():
    from torchvision.models.video import r2plus1d_18

    theirs, ours = r2plus1d_18(num_classes=7).eval(), make("r2plus1d18", "paper", frames=4, size=32).eval()
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    clips = make_clips(ours)
    torch.testing.assert_close(ours(clips), theirs(clips.transpose(1, 2)), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_mixed_layer_of_i3d_is_its_branches_side_by_side():
    layer = Mixed(5, (2, 3, 4, 1, 2, 3)).eval()
    x = torch.randn(1, 5, 3, 4, 4).relu()

    def unit(y, module):  # a convolution that keeps the size; batch normalisation as it starts; ReLU
        weight = module[1].weight
        return (F.conv3d(y, weight, padding=weight.shape[-1] // 2) / 1.001**0.5).relu()

    one, two, three, pooled = layer.branches
    expected = [unit(x, one), unit(unit(x, two[0]), two[1]), unit(unit(x, three[0]), three[1])]
    expected.append(unit(F.max_pool3d(x, 3, 1, 1), pooled[1]))
    torch.testing.assert_close(layer(x), torch.cat(expected, 1), rtol=1e-4, atol=1e-5)
    assert layer.out_channels == 2 + 4 + 2 + 3


def test_a_shorter_i3d_has_the_first_mixed_layers_of_each_stage():
    with torch.device("meta"):
        found = [m.out_channels for m in make("i3d", "paper", blocks=(1, 2, 1)).modules() if isinstance(m, Mixed)]
    assert found == [256, 512, 512, 832]  # Inception-v1: 256, 480; 512, 512, 512, 528, 832; 832, 1024


@pytest.mark.parametrize("blocks", [(2, 5), (0, 5, 2), (2, 6, 2)])
def test_i3d_says_how_many_mixed_layers_there_are(blocks):
    with pytest.raises(InputError, match=r"\(2, 5, 2\)"):
        make("i3d", blocks=blocks)


@pytest.mark.parametrize(("length", "kernel", "stride"), [(16, 7, 2), (15, 7, 2), (4, 3, 2), (7, 3, 1), (1, 2, 2)])
def test_same_padding_gives_the_length_over_the_stride(length, kernel, stride):
    x = torch.ones(1, 1, 1, 1, length)
    padded = Same((1, 1, kernel), (1, 1, stride))(x)
    missing = padded.shape[-1] - length
    assert (padded.shape[-1] - kernel) // stride + 1 == -(-length // stride)
    assert padded[0, 0, 0, 0].tolist() == [0.0] * (missing // 2) + [1.0] * length + [0.0] * (missing - missing // 2)


@pytest.mark.parametrize("kind", ["A", "B", "C", "2D"])
@torch.no_grad()
def test_block_of_p3d_joins_space_and_time_as_its_letter_says(kind):
    block = P3DBlock(8, 2, 1, kind).eval()
    x = torch.randn(1, 8, 3, 4, 4)

    def conv(y, module):
        weight = module[0].weight
        return F.conv3d(y, weight, padding=tuple(k // 2 for k in weight.shape[2:])) / 1.00001**0.5

    y = conv(x, block.reduce).relu()
    space = conv(y, block.space).relu()
    if kind == "2D":
        joined = space
    elif kind == "A":
        joined = conv(space, block.time).relu()
    elif kind == "B":
        joined = space + conv(y, block.time).relu()
    else:
        joined = space + conv(space, block.time).relu()
    torch.testing.assert_close(block(x), (conv(joined, block.expand) + x).relu(), rtol=1e-4, atol=1e-5)


def test_kinds_of_p3d_take_turns():
    with torch.device("meta"):
        kinds = [m.kind for m in make("p3d", "paper").modules() if isinstance(m, P3DBlock)]
    assert kinds == [*"ABCABCABCABCA", "2D", "2D", "2D"]


@pytest.mark.parametrize("name", ["c3d", "p3d", "i3d", "r3d18", "r2plus1d18", "inflated_resnet"])
@pytest.mark.parametrize("frames", [1, 5, 16])
@torch.no_grad()
def test_other_lengths(name, frames):
    model = make(name, frames=frames).eval()
    assert model(make_clips(model, 1)).shape == (1, 7)


@torch.no_grad()
def test_norm_takes_the_scale_of_every_convolution_away():
    model = make("c3d", norm=True, dropout=0.0).train()
    clips = make_clips(model)
    before = model(clips)
    for conv in (m for m in model.modules() if isinstance(m, torch.nn.Conv3d)):
        conv.weight *= 3
        conv.bias += 3
    torch.testing.assert_close(model(clips), before, rtol=1e-2, atol=1e-3)


def test_a_batch_of_one_trains():
    model = create_model("c3d").train()
    model(make_clips(model, 1)).sum().backward()
    assert model.head.weight.grad.abs().max() > 0


@pytest.mark.slow
@pytest.mark.parametrize("begin", ["mean", "centre"])
@pytest.mark.parametrize(("scale", "overrides"), [("book", {"weights": "makefaces"}), ("paper", {"size": 64})])
@torch.no_grad()
def test_an_inflated_network_begins_as_the_frame_average(scale, overrides, begin):
    torch.manual_seed(0)
    solid = create_model("inflated_resnet", scale=scale, begin=begin, **overrides).eval()
    torch.manual_seed(0)
    flat = create_model("frame_average", scale=scale, **overrides).eval()
    clips = make_clips(solid)
    still = clips[:, :1].expand_as(clips)
    torch.testing.assert_close(solid.feature_maps(still), flat.feature_maps(still), rtol=1e-3, atol=1e-4)
    away = (solid.feature_maps(clips) - flat.feature_maps(clips)).abs().max()
    assert away > 0.1 if begin == "mean" else away < 1e-3, "the mean looks at neighbouring frames from the start"


@pytest.mark.parametrize("begin", ["mean", "centre"])
def test_an_inflated_layer_is_the_layer_on_three_frames(begin):
    flat = torch.nn.Conv2d(2, 4, 5, 2, 2, bias=False)
    x = torch.randn(1, 2, 6, 9, 9)
    frames = [flat(x[:, :, t]) for t in (0, *range(6), 5)]  # the ends are seen twice
    threes = [frames[t : t + 3] for t in range(6)]
    expected = torch.stack([sum(three) / 3 if begin == "mean" else three[1] for three in threes], 2)
    layer = InflatedConv(flat, begin)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)
    layer(x)[:, :, 2].sum().backward()
    assert layer.weight.grad[:, :, 0].abs().max() > 0, "what looks at the frame before can be learnt"


def test_an_unknown_beginning_is_told():
    with pytest.raises(InputError, match="unknown begin 'end': choose one of mean, centre"):
        create_model("inflated_resnet", begin="end")
