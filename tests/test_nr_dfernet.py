import pytest
import torch
from loops import gelu, layer_norm, make, make_clips
from torch import nn

from dferlib import InputError, create_model
from dferlib.evidence.complexity import complexity
from dferlib.models.former_dfer import FormerBlock, NarrowAttention


@pytest.mark.slow
def test_its_size_and_cost_are_those_of_the_public_code():
    model = make("nr_dfernet", "paper")
    found = complexity(model)
    assert found.parameters / 1e6 == pytest.approx(18.72, rel=0.01)
    assert found.gmac == pytest.approx(5.636, rel=0.01)
    model.forward = model.filtered  # that code runs the snippets too
    assert complexity(model).gmac == pytest.approx(6.01, rel=0.01)


@torch.no_grad()
def test_narrow_attention_equals_its_definition_a_head_at_a_time():
    layer = NarrowAttention(12, 2, 6).double()
    tokens = torch.randn(5, 12, dtype=torch.float64)
    q, k, v = ((layer.qkv.weight[i * 6 : i * 6 + 6] @ tokens.T).T for i in range(3))
    for i in range(5):
        heads = []
        for part in (slice(0, 3), slice(3, 6)):
            weights = torch.stack([q[i, part] @ k[j, part] / 3**0.5 for j in range(5)]).softmax(0)
            heads.append(sum(weights[j] * v[j, part] for j in range(5)))
        expected = layer.project.weight @ torch.cat(heads) + layer.project.bias
        torch.testing.assert_close(layer(tokens[None])[0, i], expected, rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_block_is_attention_and_mlp_each_with_norm_and_shortcut():
    block = FormerBlock(12, 2, width=6, hidden=8, dropout=0.0).double()
    nn.init.normal_(block.norm_mlp.weight)
    tokens = torch.randn(1, 5, 12, dtype=torch.float64)
    normed = torch.stack([layer_norm(x, block.norm_attention) for x in tokens[0]])
    after = tokens[0] + block.attention(normed[None])[0]
    expected = []
    for x in after:
        hidden = block.mlp[0].weight @ layer_norm(x, block.norm_mlp) + block.mlp[0].bias
        expected.append(x + block.mlp[3].weight @ gelu(hidden) + block.mlp[3].bias)
    # the public code approximates the error function by a tanh, to within a thousandth
    torch.testing.assert_close(block(tokens)[0], torch.stack(expected), rtol=0, atol=5e-3)


@torch.no_grad()
def test_a_token_is_a_frame_and_what_changes_up_to_the_next():
    model = make("nr_dfernet", frames=4, size=32).double().eval()
    maps = torch.randn(2, 4, 64, 4, 4, dtype=torch.float64)
    tokens = model.tokens(maps)
    assert tokens.shape == (2, 3, 64 * 4)
    for b in range(2):
        for t in range(3):
            moving = model.dynamic((maps[b, t + 1] - maps[b, t])[None])[0]
            places = model.patches(maps[b, t][None])[0].flatten(1).T + model.space_position[0]
            still = model.static(places[None])[0].T.reshape(moving.shape)
            torch.testing.assert_close(tokens[b, t], (moving + still).flatten(), rtol=1e-8, atol=1e-8)


@torch.no_grad()
def test_the_class_token_is_the_mean_of_the_others():
    model = make("nr_dfernet", frames=4, size=32).eval()
    tokens = torch.randn(1, 3, 256)
    z = torch.cat([tokens.mean(1, keepdim=True), tokens], 1) + model.time_position
    torch.testing.assert_close(model.attend(tokens), model.temporal(z)[:, 0])


@torch.no_grad()
def test_the_filter_rules_out_neutral_where_a_snippet_is_sure(monkeypatch):
    model = make("nr_dfernet", frames=8, size=32).eval()
    model.head = nn.Linear(7, 7, bias=False)
    nn.init.eye_(model.head.weight)
    tokens = torch.zeros(4, 7, 7)
    tokens[:, :, 2] = 4.0  # mostly neutral, in every clip
    tokens[0, 2:5, 0], tokens[0, 2:5, 2] = 9.0, -9.0  # the second of three snippets is surely happy
    tokens[1, 1:4, 0], tokens[1, 1:4, 2] = 9.0, -9.0  # surely happy, but between two snippets
    tokens[2, 2:5, 2] = -9.0  # surely not neutral, but what else is open
    monkeypatch.setattr(model, "tokens", lambda _: tokens)
    monkeypatch.setattr(model, "attend", lambda t: t.mean(1))
    found, plain = model.filtered(make_clips(model, 4)), tokens.mean(1)
    for clip in range(4):
        snippets = [tokens[clip, start : start + 3].mean(0).softmax(0) for start in (0, 2, 4)]
        ruled_out = any(p[2] <= 0.03 and p.max() > 0.75 for p in snippets)
        expected = plain[clip].clone()
        if ruled_out:
            expected[2] = -1000
        torch.testing.assert_close(found[clip], expected)
    assert (found[:, 2] == -1000).tolist() == [True, True, False, False]


@torch.no_grad()
def test_without_snippets_nothing_is_filtered():
    model = make("nr_dfernet", frames=3, size=32).eval()
    clips = make_clips(model)
    torch.testing.assert_close(model.filtered(clips), model(clips))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"frames": 1}, "1 frame: .* at least 2"),
        ({"backbone": "resnet18"}, "unknown backbone 'resnet18': choose one of deep_stem, slim"),
        ({"backbone": "deep_stem"}, "unknown weights of deep_stem 'makefaces': choose one of None"),
    ],
)
def test_wrong_input(overrides, message):
    with pytest.raises(InputError, match=message):
        create_model("nr_dfernet", **overrides)
