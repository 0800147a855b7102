"""Every attention against its definition written as loops, and against the cases in which it must be another one."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dferlib import InputError
from dferlib.models.attention import (
    Attention,
    DividedAttention,
    GlobalAttention,
    JointAttention,
    LocalAttention,
    MixingAttention,
    SpatialAttention,
    TemporalAttention,
    short_attention,
)

B, F, SIDE, D, HEADS = 2, 4, 2, 12, 3
S = SIDE * SIDE
WINDOW = (2, 2, 1)
FAMILY = [
    JointAttention,
    SpatialAttention,
    TemporalAttention,
    DividedAttention,
    MixingAttention,
    LocalAttention,
    GlobalAttention,
]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def make(kind: Callable[..., nn.Module], dtype: torch.dtype = torch.float64, window=WINDOW, pool="average", dim=D):
    torch.manual_seed(0)
    attention = kind(dim, HEADS, window, pool).to(dtype)
    for parameter in attention.parameters():
        nn.init.normal_(parameter, std=0.4)  # the usual small start would hide an error
    return attention


def make_tokens(dtype: torch.dtype = torch.float64, frames: int = F, dim: int = D) -> Tensor:
    return torch.randn(B, frames, S, dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def project(attention: Attention, which: int, token: Tensor) -> Tensor:
    """W_Q (0), W_K (1) or W_V (2) of one token, (N_h, D_h)."""
    D = len(token)
    rows = slice(which * D, (which + 1) * D)
    return (attention.qkv.weight[rows] @ token + attention.qkv.bias[rows]).view(attention.heads, -1)


def answer(attention: Attention, query: Tensor, keys: list[Tensor], values: list[Tensor]) -> Tensor:
    """One query (N_h, D_h) against its keys and values, head by head."""
    heads = []
    for a in range(attention.heads):
        scores = [sum(q * k for q, k in zip(query[a], key[a], strict=True)) / math.sqrt(len(query[a])) for key in keys]
        exponents = [score.exp() for score in scores]
        total = sum(exponents)
        heads.append(sum(e / total * value[a] for e, value in zip(exponents, values, strict=True)))
    return attention.out.weight @ torch.cat(heads) + attention.out.bias


def window_of(t: int, s: int, window=WINDOW) -> tuple[int, int, int]:
    return t // window[0], s // SIDE // window[1], s % SIDE // window[2]


def pooled(attention: GlobalAttention, tokens: Tensor) -> list[Tensor]:
    """One token for each window of one clip (F, S, D), by loops."""
    windows: dict[tuple[int, int, int], list[Tensor]] = {}
    for t, s in itertools.product(range(len(tokens)), range(S)):
        windows.setdefault(window_of(t, s, attention.window), []).append(tokens[t, s])
    if attention.pool_weight is None:
        return [sum(cells) / len(cells) for cells in windows.values()]
    return [
        sum(c * w for c, w in zip(cells, attention.pool_weight, strict=True)) + attention.pool_bias
        for cells in windows.values()
    ]


def borrowed(attention: Attention, which: int, tokens: Tensor, t: int, s: int) -> Tensor:
    """Key or value of a place, each head's channels from the frame before, the frame itself, the frame after."""
    frames = [max(t - 1, 0), t, min(t + 1, len(tokens) - 1)]
    projected = [project(attention, which, tokens[frame, s]) for frame in frames]
    size = projected[0].shape[1]
    first, second = -(-size // 3), -(-size // 3) + -(-(size - 1) // 3)
    rows = []
    for a in range(attention.heads):
        rows.append(torch.stack([projected[0 if d < first else 1 if d < second else 2][a, d] for d in range(size)]))
    return torch.stack(rows)


def reference(attention: nn.Module, clip: Tensor) -> Tensor:
    """The attention of one clip (F, S, D), a token at a time."""
    if isinstance(attention, DividedAttention):
        change = reference(attention.temporal, clip)
        return change + reference(attention.spatial, clip + change)
    out = torch.zeros_like(clip)
    places = list(itertools.product(range(len(clip)), range(S)))
    for t, s in places:
        if isinstance(attention, GlobalAttention):
            context = pooled(attention, clip)
            keys, values = ([project(attention, which, c) for c in context] for which in (1, 2))
        elif isinstance(attention, MixingAttention):
            keys, values = ([borrowed(attention, which, clip, t, p) for p in range(S)] for which in (1, 2))
        else:
            sees = {
                JointAttention: lambda u, p: True,
                SpatialAttention: lambda u, p, t=t: u == t,
                TemporalAttention: lambda u, p, s=s: p == s,
                LocalAttention: lambda u, p, t=t, s=s: window_of(u, p) == window_of(t, s),
            }[type(attention)]
            seen = [clip[u, p] for u, p in places if sees(u, p)]
            keys, values = ([project(attention, which, c) for c in seen] for which in (1, 2))
        out[t, s] = answer(attention, project(attention, 0, clip[t, s]), keys, values)
    return out


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", FAMILY)
@torch.no_grad()
def test_equals_its_definition_written_as_loops(kind, dtype):
    attention, tokens = make(kind, dtype), make_tokens(dtype)
    expected = torch.stack([reference(attention, clip) for clip in tokens])
    torch.testing.assert_close(attention(tokens), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@torch.no_grad()
def test_mixing_with_heads_that_do_not_divide_by_three():
    attention, tokens = make(MixingAttention, dim=15), make_tokens(dim=15)  # five channels a head: 2, 2, 1
    expected = torch.stack([reference(attention, clip) for clip in tokens])
    torch.testing.assert_close(attention(tokens), expected, rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_pooling_by_a_convolution_equals_loops():
    attention, tokens = make(GlobalAttention, pool="conv"), make_tokens()
    expected = torch.stack([reference(attention, clip) for clip in tokens])
    torch.testing.assert_close(attention(tokens), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", FAMILY)
@torch.no_grad()
def test_the_fast_path_equals_the_plain_path_and_weights_are_distributions(kind):
    attention, tokens = make(kind), make_tokens()
    fast = attention(tokens)
    layers = [m for m in attention.modules() if isinstance(m, Attention)]
    for layer in layers:
        layer.keep_weights = True
    torch.testing.assert_close(attention(tokens), fast, rtol=1e-10, atol=1e-10)
    for layer in layers:
        assert layer.weights.shape[-1] == layer.seen(F, S)
        torch.testing.assert_close(layer.weights.sum(-1), torch.ones_like(layer.weights[..., 0]))


@pytest.mark.parametrize("kind", FAMILY)
def test_gradients(kind):
    torch.manual_seed(2)
    attention = make(kind, window=(1, 1, 2), dim=6)
    tokens = torch.randn(1, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(attention, tokens)


def same_weights(kind: Callable[..., nn.Module], other: nn.Module, **options) -> nn.Module:
    attention = make(kind, **options)
    attention.load_state_dict(other.state_dict())
    return attention


@pytest.mark.parametrize(
    ("kind", "window"),
    [(LocalAttention, (F, SIDE, SIDE)), (GlobalAttention, (1, 1, 1))],
    ids=["a window as large as the clip", "pooling by one"],
)
@torch.no_grad()
def test_is_joint_attention_with(kind, window):
    joint, tokens = make(JointAttention), make_tokens()
    torch.testing.assert_close(same_weights(kind, joint, window=window)(tokens), joint(tokens), rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_local_attention_in_windows_of_one_frame_is_spatial():
    space, tokens = make(SpatialAttention), make_tokens()
    local = same_weights(LocalAttention, space, window=(1, SIDE, SIDE))
    torch.testing.assert_close(local(tokens), space(tokens), rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_mixing_a_clip_that_stands_still_is_spatial():
    space, tokens = make(SpatialAttention), make_tokens()[:, :1].expand(-1, F, -1, -1)
    mixing = same_weights(MixingAttention, space)
    torch.testing.assert_close(mixing(tokens), space(tokens), rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_convolution_starts_as_the_average():
    tokens = make_tokens()
    conv = GlobalAttention(D, HEADS, WINDOW, "conv").double()
    torch.testing.assert_close(conv.pool(tokens), make(GlobalAttention).pool(tokens), rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_temporal_attention_keeps_places_apart_and_spatial_attention_frames():
    tokens = make_tokens()
    changed = tokens.clone()
    changed[:, 1, 2] += 1
    moved = {
        k: (make(k)(tokens) - make(k)(changed)).abs().amax((0, 3)) > 1e-9 for k in (SpatialAttention, TemporalAttention)
    }
    assert moved[SpatialAttention].nonzero()[:, 0].unique().tolist() == [1]
    assert moved[TemporalAttention].nonzero()[:, 1].unique().tolist() == [2]


@pytest.mark.parametrize("kind", FAMILY)
@torch.no_grad()
def test_cost_is_what_torch_counts(kind):
    attention, tokens = make(kind, torch.float32), make_tokens(torch.float32)[:1]
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        attention(tokens)
    assert counter.get_total_flops() == 2 * attention.cost(F, S, D)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", FAMILY)
@torch.no_grad()
def test_half_precision_stays_close(kind, dtype):
    attention, tokens = make(kind), make_tokens()
    found = attention.to(dtype)(tokens.to(dtype)).double()
    scale = attention.double()(tokens).abs().max()
    assert (found - make(kind)(tokens)).abs().max() < 0.05 * scale


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, 4), "10 channels do not divide into 4 heads"),
        ((8, 0), "do not divide"),
        ((8, 2, (2, 0, 1)), "at least 1"),
        ((8, 2, (1, 1, 1), "max"), "unknown pooling 'max': choose one of average, conv"),
    ],
)
@pytest.mark.parametrize("kind", FAMILY)
def test_wrong_arguments(kind, arguments, message):
    with pytest.raises(InputError, match=message):
        kind(*arguments)


@pytest.mark.parametrize("kind", [LocalAttention, GlobalAttention])
@pytest.mark.parametrize(
    ("frames", "places", "message"), [(3, 4, "do not split into windows"), (4, 6, "not a square map"), (4, 9, "split")]
)
def test_clips_that_do_not_split(kind, frames, places, message):
    with pytest.raises(InputError, match=message):
        make(kind, torch.float32, window=(2, 2, 2))(torch.zeros(1, frames, places, D))


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (9, 9), (16, 16), (3, 5)])
def test_attention_of_short_sequences_is_the_formula_and_so_is_its_gradient(queries, keys):
    torch.manual_seed(0)
    q, k, v = (torch.randn(5, HEADS, n, 4, dtype=torch.float64, requires_grad=True) for n in (queries, keys, keys))
    expected = (torch.einsum("shnd,shmd->shnm", q, k) / 2).softmax(-1) @ v
    torch.testing.assert_close(short_attention(q, k, v), expected, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(short_attention, (q, k, v))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("frames", [1, 9, 16, 17])
@pytest.mark.parametrize("kind", [TemporalAttention, JointAttention, MixingAttention])
def test_who_learns_from_a_sequence_of_any_length_gets_what_who_looks_gets(kind, frames, dtype):
    attention, tokens = make(kind, dtype), make_tokens(dtype, frames=frames)
    learnt = attention(tokens)  # short sequences go another way, where there is a gradient
    with torch.no_grad():
        torch.testing.assert_close(attention(tokens), learnt, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def test_what_the_tokens_of_the_first_frame_see():
    attention, tokens = make(TemporalAttention), make_tokens()
    torch.testing.assert_close(attention(tokens, first=True), attention(tokens)[:, :1], rtol=1e-10, atol=1e-10)
