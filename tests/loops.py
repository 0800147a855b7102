"""The parts of a transformer a token at a time, and small models and clips to try them on."""

import math

import torch
from torch import Tensor, nn

from dferlib import create_model
from dferlib.models import ClipModel

FROM_SCRATCH = ("c3d", "p3d", "i3d", "r3d18", "r2plus1d18")  # nothing is shipped for them to start from


def make(name: str, scale: str = "book", **overrides) -> ClipModel:
    torch.manual_seed(0)
    nothing_learnt = {} if name in FROM_SCRATCH else {"weights": None}
    return create_model(name, scale=scale, **{**nothing_learnt, **overrides})


def make_clips(model: ClipModel, count: int = 2, seed: int = 0) -> Tensor:
    spec = model.input_spec
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, spec.frames, 3, spec.size, spec.size, generator=generator)


def layer_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    centred = x - x.mean()
    return centred / (centred.square().mean() + norm.eps).sqrt() * norm.weight + norm.bias


def attention_by_loops(attention: nn.Module, query: Tensor, seen: list[Tensor]) -> Tensor:
    d, heads = len(query), attention.heads
    W, b = attention.qkv.weight, attention.qkv.bias
    q, *_ = ((W[i * d : (i + 1) * d] @ query + b[i * d : (i + 1) * d]).view(heads, -1) for i in range(1))
    keys, values = (
        [(W[i * d : (i + 1) * d] @ x + b[i * d : (i + 1) * d]).view(heads, -1) for x in seen] for i in (1, 2)
    )
    s = []
    for a in range(heads):
        alpha = torch.stack([q[a] @ k[a] / math.sqrt(d // heads) for k in keys]).softmax(0)
        s.append(sum(alpha[j] * v[a] for j, v in enumerate(values)))
    return attention.out.weight @ torch.cat(s) + attention.out.bias


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def lstm_by_loops(layer: nn.LSTM, frames: Tensor) -> Tensor:
    """Hochreiter and Schmidhuber's cell, with forget gate, over frames (F, C)."""
    h = c = torch.zeros(layer.hidden_size, dtype=frames.dtype)
    for x in frames:
        gates = layer.weight_ih_l0 @ x + layer.bias_ih_l0 + layer.weight_hh_l0 @ h + layer.bias_hh_l0
        i, f, g, o = gates.chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
    return h
