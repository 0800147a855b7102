"""What every model promises, and what STT promises beside it."""

import warnings

import numpy as np
import pytest
import torch
from loops import attention_by_loops, gelu, layer_norm, make, make_clips
from torch import Tensor, nn

from dferlib import InputError, attention_maps, create_model, feature_maps, list_models, load_model, save_model
from dferlib.data.transforms import normalise
from dferlib.evidence.complexity import complexity
from dferlib.models import ClipModel
from dferlib.models.attention import SpatialAttention, TemporalAttention
from dferlib.models.backbones import HalfInstanceNorm, ResNet18, SlimResNet, build_backbone, places_of
from dferlib.models.stt import STT

SCALES = ("book", "paper")
# the papers' own models, a recurrent one and one that sees volumes stand for all where each takes seconds
SOME = ("stt", "logo_former", "msstnet", "staner", "resnet18_lstm", "r3d18")
some_models = pytest.mark.parametrize(
    "name", [name if name in SOME else pytest.param(name, marks=pytest.mark.thorough) for name in list_models()]
)


def tiny_stt(**overrides) -> STT:
    """STT that loops can follow: 2 frames of 2 x 2 places, one layer."""
    return make("stt", frames=2, size=32, dim=8, heads=2, layers=1, **overrides).eval()


# ---- every model


@pytest.mark.parametrize("name", list_models())
@torch.no_grad()
def test_shapes_and_the_ways_into_a_model(name):
    model = make(name, num_classes=5).eval()
    clips = make_clips(model)
    logits = model(clips)
    assert logits.shape == (2, 5)
    # a clip's result does not depend on what else is in the batch, nor on the way in
    maps = model.feature_maps(clips[:1])
    torch.testing.assert_close(model.forward_from_maps(maps), logits[:1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.head(model.forward_features(clips)), logits)


@pytest.mark.slow
@some_models
@torch.no_grad()
def test_the_papers_sizes_give_logits(name):
    model = make(name, "paper", num_classes=5).eval()
    assert model(make_clips(model, 1)).shape == (1, 5)


@pytest.mark.parametrize("name", list_models())
def test_every_parameter_learns(name):
    model = make(name).train()
    model(make_clips(model, 3)).logsumexp(1).sum().backward()
    silent = [key for key, p in model.named_parameters() if p.grad is None]
    assert not silent


@pytest.mark.slow
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", list_models())
def test_a_model_can_be_built_again_from_its_config(name, scale):
    with torch.device("cpu" if scale == "book" else "meta"):  # at paper scale shapes will do
        model = make(name, scale, num_classes=4).eval()
        config = dict(model.config)
        again = create_model(
            config.pop("name"), config.pop("num_classes"), config.pop("scale"), **config.pop("overrides")
        )
    assert not config
    again.load_state_dict(model.state_dict())
    assert again.input_spec == model.input_spec
    if scale == "paper":
        return
    clips = make_clips(model, 1)
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(clips), model(clips), rtol=0, atol=0)


@pytest.mark.parametrize("name", list_models())
def test_the_same_seed_makes_the_same_model(name):
    first, second = make(name).state_dict(), make(name).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", list_models())
@torch.no_grad()
def test_half_precision_keeps_the_answer(name):
    model = make(name).eval()
    clips = make_clips(model)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(clips)
    logits = model(clips)
    assert (half.float() - logits).abs().max() < 0.05 * logits.abs().max()


@pytest.mark.slow
@some_models
@torch.no_grad()
def test_export_gives_the_same_numbers_for_another_batch_size(name):
    model = make(name).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (make_clips(model, 2),), dynamic_shapes=({0: batch},))
    clips = make_clips(model, 3, seed=1)
    torch.testing.assert_close(program.module()(clips), model(clips), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@some_models
@torch.no_grad()
def test_export_captures_the_papers_sizes_too(name):
    """Shapes will do here: no number is computed."""
    with torch.device("meta"):
        model = make(name, "paper").eval()
        clips = torch.zeros(2, model.input_spec.frames, 3, model.input_spec.size, model.input_spec.size)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (clips,), dynamic_shapes=({0: batch},))
    assert program.module()(torch.cat([clips, clips[:1]])).shape == (3, 7)


@pytest.mark.slow
@some_models
def test_the_papers_sizes_learn_from_an_odd_batch_of_shorter_clips(name):
    model = make(name, "paper", frames=4).train()
    clips = make_clips(model, 3)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        half = model(clips[:2])
    logits = model(clips)
    assert half.shape == (2, 7) and logits.shape == (3, 7)
    assert half.isfinite().all()
    nn.functional.cross_entropy(logits, torch.arange(3)).backward()
    assert not [key for key, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]


@pytest.mark.slow
@some_models
@torch.no_grad()
def test_compiles_in_one_piece_unless_it_is_recurrent(name):
    torch._dynamo.reset()
    model = make(name).eval()
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    # torch leaves LSTM and GRU out of what it compiles; "eager" runs what was captured without a C++ compiler
    compiled = torch.compile(model, backend="eager", fullgraph=not recurrent)
    clips = make_clips(model)
    torch.testing.assert_close(compiled(clips), model(clips), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models())
def test_learns_sixteen_clips_by_heart(name):
    learns_by_heart(name, "book", lr=2e-3)


@pytest.mark.slow
@some_models
def test_learns_sixteen_clips_by_heart_at_the_papers_sizes(name):
    learns_by_heart(name, "paper", lr=3e-4)


def learns_by_heart(name, scale, lr):
    fitting = {"msstnet": {"size": 64, "grid": 2}, "logo_former": {"window": (2, 1, 1)}}  # windows for small clips
    model = make(name, scale, **{"dropout": 0.0, "frames": 4, "size": 32, **fitting.get(name, {})}).train()
    spec, labels = model.input_spec, torch.arange(16) % 7
    coarse = torch.randn(16, spec.frames * 3, 3, 3, generator=torch.Generator().manual_seed(0))
    clips = nn.functional.interpolate(coarse, size=spec.size, mode="bilinear").unflatten(1, (-1, 3))
    optimiser = torch.optim.Adam(model.parameters(), lr=lr)
    for _ in range(80):
        logits = model(clips)
        if logits.argmax(1).equal(labels):
            return
        optimiser.zero_grad()
        nn.functional.cross_entropy(logits, labels).backward()
        optimiser.step()
    pytest.fail(f"after 80 steps {int((logits.argmax(1) != labels).sum())} of 16 clips are still wrong")


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x[0], "shape"),
        (lambda x: x[:, :, :1], "shape"),
        (lambda x: x[..., :-8], "shape"),
        (lambda x: x[:, :-1], "shape"),
        (lambda x: x.to(torch.uint8), "torch.uint8: give float"),
        (lambda x: x.masked_fill(x > 3, float("nan")), "nan or infinite"),
        (lambda x: x.sigmoid() * 255, "not normalised"),
        (lambda x: x[:0], "no clips"),
        (lambda x: x.double(), "give clips.to"),
        (lambda x: x.numpy(), "are ndarray: this model takes a tensor"),
    ],
    ids=["rank", "channels", "size", "frames", "integers", "nan", "bytes", "empty", "double", "numpy"],
)
def test_wrong_clips_are_refused_in_one_line(name, spoil, message):
    model = make(name).eval()
    with pytest.raises(InputError, match=message) as caught:
        model(spoil(make_clips(model)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("training", [False, True])
def test_clips_that_were_not_normalised_are_told_of(training):
    model = make("frame_average").train(training)
    clips = make_clips(model).sigmoid()  # from 0 to 1, as frames are before
    with pytest.warns(UserWarning, match="from 0 to 1"):
        model(clips)
    with pytest.raises(InputError, match="so they were not normalised"):
        model(255 * clips)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(normalise(clips, model.input_spec.mean, model.input_spec.std))
        model(torch.zeros_like(clips))  # the mean of all frames, everywhere


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "stt2"}, "unknown model 'stt2': choose one of stt, logo_former"),
        ({"name": "stt", "scale": "huge"}, "unknown scale 'huge': choose one of book, paper"),
        ({"name": "stt", "depth": 3}, "unknown argument of stt 'depth': choose one of .*layers"),
        ({"name": "stt", "num_classes": 1}, "at least 2"),
        ({"name": "stt", "num_classes": "7"}, "num_classes is '7': give a whole number"),
        ({"name": "stt", "frames": 8.5}, "frames is 8.5: give a whole number"),
        ({"name": "stt", "layers": -1}, "layers is -1: it must be 1 or more"),
        ({"name": "stt", "dim": 0}, "dim is 0: it must be 1 or more"),
        ({"name": "c3d", "hidden": 0}, "hidden is 0: it must be 1 or more"),
        ({"name": "r3d18", "blocks": True}, "blocks is True: give a whole number"),
        ({"name": "stt", "mlp_ratio": 0}, "mlp_ratio is 0.*above 0"),
        ({"name": "stt", "dropout": 2}, "dropout is 2.*between 0 and 1"),
        ({"name": "stt", "spatial": 1}, "spatial is 1: give True or False"),
        ({"name": "logo_former", "window": 2}, "window is 2: give numbers in brackets"),
        ({"name": "stt", "heads": 3}, "do not divide into 3 heads"),
        ({"name": "stt", "frames": 0}, "at least .* 1 frame"),
        ({"name": "stt", "size": 8}, "at least 16 px"),
        ({"name": "stt", "backbone": "vit"}, "unknown backbone 'vit': choose one of slim, resnet18"),
        ({"name": "stt", "weights": "imagenet"}, "unknown weights of slim 'imagenet': choose one of makefaces"),
        ({"name": "stt", "backbone": "dlib_face"}, "dlib's network needs at least 103; best is size=150"),
        ({"name": "stt", "backbone": "dlib_face", "size": 150}, "weights of dlib_face 'makefaces': choose one of dlib"),
        ({"name": "former_dfer", "backbone": "dlib_face"}, "unknown backbone 'dlib_face': choose one of slim, resnet"),
        ({"name": "msstnet", "backbone": "dlib_face"}, "unknown backbone 'dlib_face': choose one of slim, resnet18"),
    ],
)
def test_wrong_names_list_the_valid_ones(arguments, message):
    with pytest.raises(InputError, match=message):
        create_model(**arguments)


def test_numbers_of_numpy_go_into_a_checkpoint_as_those_of_python(tmp_path):
    save_model(create_model("frame_average", np.int64(3), frames=np.int64(4)), tmp_path / "a", ["x", "y", "z"])
    assert load_model(tmp_path / "a").input_spec.frames == 4


def test_no_download_fails_in_one_line(monkeypatch, tmp_path):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(InputError, match="cannot download the ImageNet weights"):
        create_model("stt", scale="paper", weights="imagenet")


# ---- backbones


@pytest.mark.parametrize(
    ("kind", "channels", "size", "side"), [("slim", 128, 56, 4), ("resnet18", 512, 112, 4), ("dlib_face", 256, 150, 2)]
)
@torch.no_grad()
def test_backbones_turn_a_frame_into_a_map(kind, channels, size, side):
    backbone = build_backbone(kind, None).eval()
    assert backbone(torch.zeros(2, 3, size, size)).shape == (2, channels, side, side)
    assert backbone.out_channels == channels
    for other in (size - 16, size - 7, size + 9, size + 49):
        assert backbone(torch.zeros(1, 3, other, other)).shape[2] ** 2 == places_of(backbone, other)


def test_backbone_sizes_in_closed_form():
    def block(i: int, o: int) -> int:
        return 9 * i * o + 9 * o * o + 4 * o + (i * o + 2 * o if i != o else 0)

    slim = 25 * 3 * 16 + 32 + block(16, 16) + block(16, 32)
    slim += block(32, 64) + block(64, 64) + block(64, 128) + block(128, 128)
    assert sum(p.numel() for p in SlimResNet().parameters()) == slim
    assert sum(p.numel() for p in ResNet18().parameters()) == 11_689_512 - 513_000  # torchvision's, less its classifier


@torch.no_grad()
def test_the_slim_backbone_does_not_care_for_light_and_colour_of_a_frame():
    net = SlimResNet().eval()
    frames = torch.rand(3, 3, 56, 56)
    factor, shift = torch.rand(3, 3, 1, 1) + 0.5, torch.rand(3, 3, 1, 1)
    torch.testing.assert_close(net(frames * factor + shift), net(frames), atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_half_instance_norm_is_instance_norm_of_one_half_and_batch_norm_of_the_other():
    norm, x = HalfInstanceNorm(6).eval(), torch.randn(4, 6, 5, 7)
    norm.batch.running_mean.copy_(torch.tensor([1.0, 2, 3]))
    norm.batch.running_var.copy_(torch.tensor([4.0, 1, 9]))
    first = x[:, :3].double()
    first = (first - first.mean((2, 3), keepdim=True)) / first.var((2, 3), unbiased=False, keepdim=True).sqrt()
    second = (x[:, 3:] - torch.tensor([1.0, 2, 3]).view(3, 1, 1)) / torch.tensor([2.0, 1, 3]).view(3, 1, 1)
    torch.testing.assert_close(norm(x), torch.cat([first.float(), second], 1), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_resnet18_is_torchvisions_up_to_the_last_map():
    from torchvision.models import resnet18

    theirs, ours = resnet18().eval(), ResNet18().eval()
    values = [v for key, v in theirs.state_dict().items() if not key.startswith("fc.")]
    ours.load_state_dict(dict(zip(ours.state_dict(), values, strict=True)))
    frame = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(theirs.fc(ours(frame).mean((2, 3))), theirs(frame))


def test_the_shipped_weights_are_loaded_at_book_scale():
    model = create_model("stt")
    random = make("stt").backbone.state_dict()
    learnt = model.backbone.state_dict()
    assert not torch.equal(learnt["blocks.3.0.conv2.weight"], random["blocks.3.0.conv2.weight"])
    assert learnt["blocks.3.0.bn2.running_mean"].abs().max() > 0  # it has seen frames
    assert torch.equal(learnt["stem.1.weight"], create_model("frame_average").backbone.state_dict()["stem.1.weight"])


@pytest.mark.parametrize(
    ("name", "size"), [("stt", 150), ("logo_former", 150), ("resnet18_lstm", 103), ("single_frame", 103)]
)
def test_a_model_on_dlibs_backbone_learns(name, size):
    model = make(name, backbone="dlib_face", size=size, frames=2).train()
    model(make_clips(model)).logsumexp(1).sum().backward()
    assert not [key for key, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    config = model.config
    assert config["overrides"]["weights"] is None, "whoever builds it again would need the package"


# ---- cost


def test_resnet18_on_sixteen_frames_costs_what_the_papers_print():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = complexity(make("frame_average", "paper"))
    assert found.gmac == pytest.approx(7.778, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("scale", SCALES)
def test_the_cost_of_stt_in_closed_form(scale):
    model = make("stt", scale)
    S, D, C = 16, model.head[1].in_features, model.backbone.out_channels
    F, width, layers = model.input_spec.frames, model.blocks[0].mlp[0].out_features, len(model.blocks)
    block = (F + 1) * S * 2 * D * width
    block += SpatialAttention(D, 4).cost(F + 1, S, D) + TemporalAttention(D, 4).cost(F + 1, S, D)
    backbone = complexity(make("frame_average", scale)).gmac - 7 * C / 1e9
    expected = backbone + (F * S * C * D + layers * block + 7 * D) / 1e9
    assert complexity(model).gmac == pytest.approx(expected, rel=1e-9)
    parameters = C * D + D + S * D + (F + 1) * D + D + 2 * D + 7 * D + 7
    parameters += layers * (2 * (4 * D * D + 4 * D) + 6 * D + 2 * D * width + D + width)
    assert complexity(model).parameters == parameters + sum(p.numel() for p in model.backbone.parameters())


# ---- STT


def stt_by_loops(model: STT, maps: Tensor) -> Tensor:
    """Equations 1 to 13 for one clip (F, C, H, W), a token at a time; z[t][p] with t = 0 the class tokens."""
    F, _, H, W = maps.shape
    e_space, e_time = model.space_position[0, 0], model.time_position[0, :, 0]
    z = []
    if model.class_token is not None:
        z.append([model.class_token[0, 0, 0] + e_time[0] for _ in range(H * W)])
    for t in range(F):
        row = [model.project.weight @ maps[t, :, p // W, p % W] + model.project.bias for p in range(H * W)]
        z.append([f1 + e_space[p] + e_time[len(z)] for p, f1 in enumerate(row)])
    for block in model.blocks:
        if block.spatial:
            n = [[layer_norm(x, block.norm_spatial) for x in frame] for frame in z]
            z = [
                [x + attention_by_loops(block.spatial, n[t][p], n[t]) for p, x in enumerate(f)] for t, f in enumerate(z)
            ]
        if block.temporal:
            n = [[layer_norm(x, block.norm_temporal) for x in frame] for frame in z]
            z = [
                [x + attention_by_loops(block.temporal, n[t][p], [m[p] for m in n]) for p, x in enumerate(f)]
                for t, f in enumerate(z)
            ]
        first, last = block.mlp[0], block.mlp[-1]
        for frame in z:
            for p, x in enumerate(frame):
                h = first.weight @ layer_norm(x, block.norm_mlp) + first.bias
                frame[p] = x + last.weight @ gelu(h) + last.bias
    read = z[0] if model.class_token is not None else [x for frame in z for x in frame]
    feature = sum(layer_norm(x, model.norm) for x in read) / len(read)
    return model.head[1].weight @ feature + model.head[1].bias


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("spatial", [True, False])
@pytest.mark.parametrize("temporal", [True, False])
@torch.no_grad()
def test_stt_equals_its_equations_written_as_loops(spatial, temporal, dtype, tolerance):
    model = tiny_stt(spatial=spatial, temporal=temporal).to(dtype)
    for parameter in [p for key, p in model.named_parameters() if not key.startswith("backbone")]:
        nn.init.normal_(parameter, std=0.3)
    maps = torch.randn(2, 2, 128, 2, 2, dtype=dtype)
    expected = torch.stack([stt_by_loops(model, clip) for clip in maps])
    torch.testing.assert_close(model.forward_from_maps(maps), expected, rtol=tolerance, atol=tolerance * 10)


def test_the_controls_lack_attention_and_nothing_else():
    full, space, time, none = (
        {key: p.shape for key, p in make("stt", spatial=s, temporal=t).named_parameters()}
        for s, t in [(True, True), (True, False), (False, True), (False, False)]
    )
    assert none.keys() < space.keys() < full.keys()
    assert none.keys() < time.keys() < full.keys()
    assert {key.split(".")[2] for key in full.keys() - time.keys()} == {"norm_spatial", "spatial"}
    lost = full.keys() - space.keys() - {"class_token"}
    assert {key.split(".")[2] for key in lost} == {"norm_temporal", "temporal"}
    for part in (space, time, none):
        different = {key for key in part if part[key] != full[key]}
        assert different <= {"time_position"}  # one row less where there is no class token


@torch.no_grad()
def test_without_temporal_attention_the_order_does_not_matter_but_for_the_positions():
    model = tiny_stt(temporal=False)
    model.time_position.zero_()
    clips = make_clips(model)
    torch.testing.assert_close(model(clips.flip(1)), model(clips))
    full = tiny_stt()
    assert (full(clips.flip(1)) - full(clips)).abs().max() > 1e-5


@pytest.mark.parametrize("frames", [1, 4, 12])
@torch.no_grad()
def test_stt_takes_other_lengths(frames):
    model = make("stt", frames=frames).eval()
    assert model(make_clips(model, 1)).shape == (1, 7)


@torch.no_grad()
def test_attention_maps_name_every_layer_and_leave_no_trace():
    model = make("stt").train()
    clips = make_clips(model)
    weights = attention_maps(model, clips)
    assert {key: tuple(w.shape) for key, w in weights.items()} == {
        f"blocks.{i}.{kind}": shape
        for i in range(2)
        for kind, shape in (("spatial", (2, 9, 4, 16, 16)), ("temporal", (2, 16, 4, 9, 9)))
    }
    for w in weights.values():
        torch.testing.assert_close(w.sum(-1), torch.ones_like(w[..., 0]))
    assert model.training
    assert all(m.weights is None for m in model.modules() if hasattr(m, "keep_weights"))


# ---- feature maps


def steps_of(name: str, model: ClipModel, maps: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """The tokens before and after each block, one step of the model after another, by hand."""
    steps = {}

    def step(key: str, block: nn.Module, z: Tensor) -> Tensor:
        steps[key] = (z, block(z))
        return steps[key][1]

    if name == "stt":
        z = model.embed(maps)
        for k, block in enumerate(model.blocks):
            z = step(f"blocks.{k}", block, z)
    elif name == "msstnet":
        z, start = 0.0, 0
        for k, t_former in enumerate(model.t_formers):
            patches = maps[:, :, start : start + model.lengths[k]].flatten(3).transpose(2, 3)
            start += model.lengths[k]
            scaled = nn.functional.layer_norm(patches, patches.shape[-1:])
            first = z = z + model.embed[k](scaled) + model.time_position[k]
            for n, block in enumerate(t_former):
                z = step(f"t_formers.{k}.{n}", block, z)
            steps[f"t_formers.{k}"] = (first, z)
    elif name == "logo_former":
        x = model.project(maps.flatten(3).transpose(2, 3)) + model.space_position + model.time_position
        token = model.class_token.expand(len(maps), 1, -1)
        for k, block in enumerate(model.blocks):
            before, (token, x) = x, block(token, x)
            steps[f"blocks.{k}"] = (before, x)
    else:
        tokens = maps.flatten(3).transpose(2, 3) + model.s_former.position
        seen = step("s_former.blocks.0", model.s_former.blocks[0], tokens)
        seen = seen.transpose(2, 3).reshape(maps.shape)
        seen = torch.stack([model.backbone.blocks[3](one).mean((2, 3)) for one in seen])
        z = torch.cat([model.class_token.expand(len(maps), 1, -1), seen], 1) + model.position
        for k, block in enumerate(model.blocks):
            z = step(f"blocks.{k}", block, z)
    return steps


@pytest.mark.parametrize("name", ["stt", "msstnet", "logo_former", "former_dfer"])
@torch.no_grad()
def test_feature_maps_are_the_tokens_of_every_step(name):
    more = {"blocks": 2} if name == "msstnet" else {}
    model = make(name, frames=4, **more).eval()
    clips = make_clips(model)
    expected = steps_of(name, model, model.feature_maps(clips))
    found = feature_maps(model.train(), clips)
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert found.keys() == expected.keys()
    for key, (before, after) in expected.items():
        torch.testing.assert_close(found[key].before, before)
        torch.testing.assert_close(found[key].after, after)


@torch.no_grad()
def test_feature_maps_of_the_s_former_have_frames_and_places():
    model = make("former_dfer", frames=3).eval()
    clips = make_clips(model)
    before, after = feature_maps(model, clips)["s_former.blocks.0"]
    maps = torch.stack([model.backbone.blocks[2](early) for early in early_maps(model, clips)])  # frame by frame
    tokens = maps.flatten(3).transpose(2, 3) + model.s_former.position
    torch.testing.assert_close(before, tokens, rtol=1e-4, atol=1e-5)
    assert before.shape == after.shape == (2, 3, 49, 64)


def early_maps(model: ClipModel, clips: Tensor) -> list[Tensor]:
    """What goes into the third stage of the slim backbone, for each clip."""
    net = model.backbone
    return [net.blocks[1](net.blocks[0](net.stem(clip))) for clip in clips]


@pytest.mark.parametrize("name", list_models())
def test_feature_maps_keep_the_clips_apart_and_models_without_blocks_have_none(name):
    model = make(name)
    found = feature_maps(model, make_clips(model, 3))
    assert bool(found) == (name in ("stt", "msstnet", "logo_former", "former_dfer", "nr_dfernet"))
    for before, after in found.values():
        assert before.shape == after.shape
        assert len(before) == 3


@torch.no_grad()
def test_single_frame_sees_the_middle_frame_only():
    model = make("single_frame").eval()
    clips = make_clips(model)
    others = torch.randn_like(clips)
    others[:, 4] = clips[:, 4]
    torch.testing.assert_close(model(others), model(clips))
    assert (model(clips.roll(1, 1)) - model(clips)).abs().max() > 1e-5


@torch.no_grad()
def test_frame_average_does_not_see_order():
    model = make("frame_average").eval()
    clips = make_clips(model)
    torch.testing.assert_close(model(clips.flip(1)), model(clips))


@pytest.mark.parametrize("name", ["stt", "r3d18", "staner"])
def test_a_backbone_that_is_frozen_stays_as_it_is_in_a_loop_of_ones_own(name):
    model = create_model(name)
    before = {key: value.clone() for key, value in model.backbone.state_dict().items()}
    clips = make_clips(model)

    def moved() -> bool:
        model.train()(clips)
        return any(not torch.equal(value, before[key]) for key, value in model.backbone.state_dict().items())

    model.backbone.requires_grad_(False)
    assert not moved() and model.head.training and not model.backbone.training
    model.backbone.requires_grad_(True)
    assert moved(), "one that learns follows the clips"
