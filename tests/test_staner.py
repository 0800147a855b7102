import pytest
import torch
import torch.nn.functional as F
from loops import lstm_by_loops, make, make_clips
from torch import nn

from dferlib import InputError, TrainConfig, create_model, evaluate, train
from dferlib.evidence.complexity import complexity
from dferlib.models.base import each_map
from dferlib.models.staner import PEAKS, REGIONS, VARIANTS, peak_frames


def moving_clips() -> torch.Tensor:
    """Faces that change most at frame 3 (the first clip) and 1 (the second), under light that comes and goes."""
    generator = torch.Generator().manual_seed(0)
    still = torch.rand(2, 1, 3, 32, 32, generator=generator)
    changed = torch.rand(2, 1, 3, 32, 32, generator=generator)
    amount = torch.tensor([[0, 0.3, 0.6, 0.9, 0.5, 0], [0, 0.8, 0.4, 0.2, 0.1, 0]])[..., None, None, None]
    light = torch.tensor([1, 1.2, 0.5, 1, 0.7, 2.0])[:, None, None, None]
    return ((1 - amount) * still + amount * changed) * light


def test_the_peak_is_what_differs_most_from_both_ends_whatever_the_light():
    clips = moving_clips()
    assert torch.equal(peak_frames(clips, "change"), torch.stack([clips[0, 3], clips[1, 1]]))
    assert torch.equal(peak_frames(clips, "last"), clips[:, -1])
    assert torch.equal(peak_frames(clips, "middle"), clips[:, clips.shape[1] // 2])


@pytest.mark.parametrize("frames", [1, 2])
def test_a_short_clip_has_a_peak_too(frames):
    clips = moving_clips()[:, :frames]
    assert torch.equal(peak_frames(clips, "change"), clips[:, 0])


@pytest.mark.parametrize("peak", PEAKS)
@torch.no_grad()
def test_sgaer_sees_the_peak_frame_only(peak):
    model = make("sgaer", frames=6, size=32, peak=peak).eval()
    clips = moving_clips()
    frozen = peak_frames(clips, peak)[:, None].expand_as(clips)
    torch.testing.assert_close(model(frozen), model(clips))
    assert (model(clips[:, :1].expand_as(clips)) - model(clips)).abs().max() > 1e-6


@torch.no_grad()
def test_sgaer_equals_its_equations():
    model = make("sgaer", frames=2, size=32).double().eval()
    u = torch.randn(64, 4, 4, dtype=torch.float64)
    _, first, _, last, _ = model.branch.mask
    pooled = torch.zeros_like(u)
    for y in range(4):
        for x in range(4):
            pooled[:, y, x] = u[:, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].mean((1, 2))
    hidden = F.conv2d(pooled[None], first.weight, first.bias, padding=1).relu()[0]
    m = (torch.einsum("c,cyx->yx", last.weight[0, :, 0, 0], hidden) + last.bias).sigmoid()  # Eq. 1
    f = (1 + m) * u  # Eq. 2
    f_g = model.branch.end(f[None])[0].mean((1, 2))
    torch.testing.assert_close(model.features_from_maps(u[None, None])[0], f_g, rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_attention_off_is_the_same_with_every_place_alike():
    model, plain = make("sgaer").eval(), make("sgaer", attention=False).eval()
    lost = model.state_dict().keys() - plain.state_dict().keys()
    assert {key.split(".")[1] for key in lost} == {"mask"}
    plain.load_state_dict({key: v for key, v in model.state_dict().items() if key not in lost})
    nn.init.zeros_(model.branch.mask[3].weight)
    nn.init.constant_(model.branch.mask[3].bias, -100.0)  # M = 0
    clips = make_clips(model)
    torch.testing.assert_close(model(clips), plain(clips))


@torch.no_grad()
def test_tler_equals_its_equations():
    model = make("tler", frames=5, size=32).double().eval()
    maps = torch.randn(1, 5, 3, 32, 2, 2, dtype=torch.float64)
    end = model.branch.end
    joined = []
    for t in range(5):  # an LSTM's output at frame t is that of the clip up to there
        followed = [lstm_by_loops(lstm, maps[0, : t + 1, r].flatten(1)) for r, lstm in enumerate(model.branch.lstms)]
        joined.append(torch.cat(followed))  # Eq. 11
    nothing = torch.zeros_like(joined[0])
    f_l = torch.zeros_like(end.bias)
    for t in range(5):
        window = [joined[s] if 0 <= s < 5 else nothing for s in (t - 1, t, t + 1)]
        f_l = f_l + (sum(end.weight[:, :, k] @ x for k, x in enumerate(window)) + end.bias).relu() / 5
    torch.testing.assert_close(model.features_from_maps(maps)[0], f_l, rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_tler_sees_its_three_regions_and_nothing_else():
    model = make("tler").eval()
    clips = make_clips(model, 1)
    outside = torch.ones(56, 56, dtype=torch.bool)
    for top, bottom, left, right in REGIONS.values():
        outside[round(top * 56) : round(bottom * 56), round(left * 56) : round(right * 56)] = False
    torch.testing.assert_close(model(clips.masked_fill(outside, 9.0)), model(clips))
    for top, bottom, left, right in REGIONS.values():
        spoilt = clips.clone()
        spoilt[..., round(top * 56) : round(bottom * 56), round(left * 56) : round(right * 56)] = 0
        assert (model(spoilt) - model(clips)).abs().max() > 1e-5


@pytest.mark.parametrize("name", ["sgaer", "tler", "staner"])
@torch.no_grad()
def test_colour_does_not_count(name):
    model = make(name).eval()
    clips = make_clips(model)
    torch.testing.assert_close(model(clips.flip(2)), model(clips))


@pytest.mark.parametrize("alpha", [0.5, 0.2])
@torch.no_grad()
def test_the_decision_is_the_average_of_both_and_each_is_its_branch(alpha):
    model = make("staner", alpha=alpha, num_classes=5).eval()
    sgaer, tler = make("sgaer", num_classes=5).eval(), make("tler", num_classes=5).eval()
    state = model.state_dict()
    names = {"backbone.": "backbone.face.", "branch.": "spatial.", "head.1.": "head.spatial."}
    other = {"backbone.": "backbone.regions.", "branch.": "temporal.", "head.1.": "head.temporal."}
    for branch, table in ((sgaer, names), (tler, other)):
        renamed = {}
        for key in branch.state_dict():
            ours = next(start for start in table if key.startswith(start))
            renamed[key] = state[table[ours] + key.removeprefix(ours)]
        branch.load_state_dict(renamed)
    clips = make_clips(model)
    p_g, p_l = sgaer(clips).softmax(1), tler(clips).softmax(1)
    torch.testing.assert_close(model(clips).softmax(1), alpha * p_g + (1 - alpha) * p_l)  # Eq. 14
    torch.testing.assert_close(model(clips).exp().sum(1), torch.ones(2))
    labels = torch.tensor([3, 0])
    joint = -sum(p[i, y].log() for p in (p_g, p_l) for i, y in enumerate(labels)) / 2
    torch.testing.assert_close(model.joint_loss(clips, labels), joint)  # Eq. 15
    torch.testing.assert_close(model.loss_from_features(model.forward_features(clips), labels), joint)


@torch.no_grad()
def test_maps_that_were_kept_give_the_same_answer():
    model = make("staner").eval()
    clips = make_clips(model, 4)
    halves = [model.feature_maps(half) for half in clips.chunk(2)]
    kept = each_map(lambda *parts: torch.cat(parts), *halves)
    assert kept._fields == ("face", "regions")
    torch.testing.assert_close(model.forward_from_maps(kept), model(clips))
    third = each_map(lambda part: part[2:3], kept)
    torch.testing.assert_close(model.forward_from_maps(third), model(clips[2:3]))


def test_it_trains_on_kept_maps_as_it_would_on_pixels(tiny_source):
    """With a frozen backbone nobody runs the backbone again, and what was learnt is judged alike from the pixels."""
    torch.manual_seed(0)
    model, passes = create_model("staner", weights=None), []
    model.backbone.register_forward_hook(lambda *_: passes.append(1))
    clips = tiny_source(8, frames=8, side=64)
    before = [p.clone() for p in model.spatial.parameters()]
    config = TrainConfig(epochs=3, batch_size=4, device="cpu", backbone_lr_scale=0, loss="joint", lr=1e-3)
    history = train(model, clips, clips, config, progress=False)
    assert len(passes) == 1 + 8, "the plain clips once, and once each of the eight augmented versions"
    assert all((p - old).abs().max() > 0 for p, old in zip(model.spatial.parameters(), before, strict=True))
    assert evaluate(model, clips, device="cpu").metrics()["uar"] == history.best.val_uar


def test_labels_out_of_range_are_told():
    model = make("staner", num_classes=5)
    with pytest.raises(InputError, match="label 5 is out of range: 5 classes have labels 0 to 4"):
        model.joint_loss(make_clips(model), torch.tensor([5, 0]))


def test_a_sure_branch_leaves_the_decision_finite():
    head = make("staner").head
    for layer in (head.spatial, head.temporal):
        nn.init.constant_(layer.weight[0], 1e4)
    features = torch.ones(1, sum(head.widths), requires_grad=True)
    F.cross_entropy(head(features), torch.tensor([3])).backward()
    assert torch.isfinite(head(features)).all()
    assert torch.isfinite(features.grad).all()


def test_variants_of_table_1_differ_in_what_they_leave_out():
    sizes = {}
    for key, (name, arguments) in VARIANTS.items():
        sizes[key] = complexity(make(name, **arguments)).parameters
    mask = sizes["C3"] - sizes["C1"]
    assert mask == 9 * 64 * 16 + 16 + 16 + 1
    assert sizes["STANER"] - sizes["C4"] == mask
    assert sizes["C4"] == sizes["C1"] + sizes["C2"]


@torch.no_grad()
def test_the_front_is_the_first_ten_convolutions_of_vgg16():
    with torch.device("meta"):
        face = make("sgaer", "paper").backbone
        maps = face(torch.zeros(1, 3, 112, 112))
    widths = [m.out_channels for m in face.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [64, 64, 128, 128, 256, 256, 256, 512, 512, 512]
    assert maps.shape == (1, 512, 14, 14)


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("staner", {"alpha": 1.0}, "alpha is 1.0: it must be between 0 and 1"),
        ("staner", {"peak": "first"}, "unknown peak 'first': choose one of change, last, middle"),
        ("sgaer", {"backbone": "resnet18"}, "unknown backbone 'resnet18': choose one of vgg16, slim"),
    ],
)
def test_wrong_input(name, overrides, message):
    with pytest.raises(InputError, match=message):
        create_model(name, **overrides)
