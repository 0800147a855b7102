"""The attention family: who looks at whom among the tokens of a clip.

All take and give tokens (B, F, S, D): F frames, S places, D channels. They differ only in which tokens a query sees.
The fast path is torch's fused kernel, or `short_attention` where a CPU learns from short sequences; the plain path
computes the same and keeps the weights for looking at.
"""

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from dferlib.errors import InputError, choose

Window = tuple[int, int, int]
POOLS = ("average", "conv")
SHORT = 16  # tokens of a sequence for which `short_attention` learns faster than the fused kernel


class Attention(nn.Module):
    """Multi-head attention over a sequence; subclasses say which sequences a clip falls into.

    Args:
        dim: D, channels of a token.
        heads: N_h; each head works on D / N_h channels.
        window: frames, rows and columns of the windows of local and global attention; the others have none.
        pool: how global attention makes one token of a window: "average", or "conv", a convolution over each channel.

    Attributes:
        keep_weights: take the plain path and store the weights in `weights` (..., N_h, queries, keys).

    Raises:
        InputError: D does not divide into the heads, the window is empty, or the pooling is unknown.
    """

    def __init__(self, dim: int, heads: int = 8, window: Window = (2, 2, 2), pool: str = "average") -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise InputError(f"{dim} channels do not divide into {heads} heads: choose a divisor")
        if len(window) != 3 or min(window) < 1:
            raise InputError(f"window is {window}: give frames, rows and columns, each at least 1")
        choose("pooling", pool, POOLS)
        self.heads, self.window = heads, window
        self.qkv = nn.Linear(dim, 3 * dim)  # W_Q, W_K, W_V of all heads in one product
        self.out = nn.Linear(dim, dim)  # W_O
        self.keep_weights = False
        self.weights: Tensor | None = None

    def attend(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Attention of every token of each sequence x (..., N, D) to `context` (..., M, D), or to x itself."""
        if context is None:
            q, k, v = self.qkv(x).chunk(3, -1)
        else:
            D = x.shape[-1]
            weight_q, weight_kv = self.qkv.weight.split([D, 2 * D])
            bias_q, bias_kv = self.qkv.bias.split([D, 2 * D])
            q = functional.linear(x, weight_q, bias_q)
            k, v = functional.linear(context, weight_kv, bias_kv).chunk(2, -1)
        return self.mix(q, k, v)

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries (..., N, D), keys and values (..., M, D) to (..., N, D): softmax(q k^T / sqrt(D_h)) v, then W_O."""
        sequences = q.shape[:-2]
        # the fused kernel takes four dimensions and no more: all sequences, N_h, N or M, D_h
        q, k, v = (rearrange(y, "... n (heads d) -> (...) heads n d", heads=self.heads) for y in (q, k, v))
        if self.keep_weights:
            weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1)
            self.weights = weights.unflatten(0, sequences)
            y = weights @ v
        elif torch.is_grad_enabled() and q.device.type == "cpu" and q.shape[-2] == k.shape[-2] <= SHORT:
            y = short_attention(q, k, v)
        else:
            y = functional.scaled_dot_product_attention(q, k, v)
        y = self.out(rearrange(y, "sequences heads n d -> sequences n (heads d)"))
        return y.unflatten(0, sequences)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, F, S, D) to (B, F, S, D)."""
        raise TypeError("Attention does not say who looks at whom: use one of its subclasses")

    def seen(self, F: int, S: int) -> int:
        """How many keys a query sees."""
        raise TypeError("Attention does not say who looks at whom: use one of its subclasses")

    def cost(self, F: int, S: int, D: int) -> int:
        """Multiply-accumulates for one clip: four projections, and each query against each key and value it sees."""
        return 4 * F * S * D * D + 2 * F * S * self.seen(F, S) * D


class JointAttention(Attention):
    """Every token sees every token of the clip."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, F, S, D) to (B, F, S, D)."""
        return self.attend(rearrange(tokens, "b f s d -> b (f s) d")).view(tokens.shape)

    def seen(self, F: int, S: int) -> int:
        """How many keys a query sees: all."""
        return F * S


class SpatialAttention(Attention):
    """A token sees the tokens of its own frame (STT, Eq. 6)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, F, S, D) to (B, F, S, D)."""
        return self.attend(tokens)

    def seen(self, F: int, S: int) -> int:
        """How many keys a query sees: its frame."""
        return S


class TemporalAttention(Attention):
    """A token sees the tokens at its own place in all frames (STT, Eq. 9; MSSTNet, Eq. 5)."""

    def forward(self, tokens: Tensor, first: bool = False) -> Tensor:
        """(B, F, S, D) to (B, F, S, D), or to what the `first` frame's tokens alone see, (B, 1, S, D)."""
        # a linear layer takes half as long again for tokens that lie apart
        places = rearrange(tokens, "b f s d -> b s f d").contiguous()
        seen = self.attend(places[:, :, :1], places) if first else self.attend(places)
        return rearrange(seen, "b s f d -> b f s d")

    def seen(self, F: int, S: int) -> int:
        """How many keys a query sees: its place over time."""
        return F


class DividedAttention(nn.Module):
    """Temporal, then spatial attention, each with its own projections (TimeSformer, Bertasius et al. 2021).

    With the caller's shortcut around it the tokens x become y + spatial(y), where y = x + temporal(x).
    Arguments and errors are those of `Attention`.
    """

    def __init__(self, dim: int, heads: int = 8, window: Window = (2, 2, 2), pool: str = "average") -> None:
        super().__init__()
        self.temporal = TemporalAttention(dim, heads, window, pool)
        self.spatial = SpatialAttention(dim, heads, window, pool)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, F, S, D) to (B, F, S, D)."""
        change = self.temporal(tokens)
        return change + self.spatial(tokens + change)

    def cost(self, F: int, S: int, D: int) -> int:
        """Multiply-accumulates for one clip: those of both."""
        return self.temporal.cost(F, S, D) + self.spatial.cost(F, S, D)


class MixingAttention(SpatialAttention):
    """Spatial attention whose keys and values borrow channels of the frame before and after (Bulat et al. 2021).

    Of each head's channels the first third comes from the frame before, the last third from the frame after; where D_h
    does not divide by three, the first parts are the larger ones. At its ends the clip stands still: the first frame
    is its own predecessor. It sees three frames at the price of one.
    """

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, F, S, D) to (B, F, S, D)."""
        q, k, v = self.qkv(tokens).chunk(3, -1)
        return self.mix(q, self._borrow(k), self._borrow(v))

    def _borrow(self, x: Tensor) -> Tensor:
        # (B, F, S, N_h, D_h / 3) each
        first, own, last = rearrange(x, "b f s (heads d) -> b f s heads d", heads=self.heads).tensor_split(3, -1)
        before = torch.cat([first[:, :1], first[:, :-1]], 1)
        after = torch.cat([last[:, 1:], last[:, -1:]], 1)
        return rearrange(torch.cat([before, own, after], -1), "b f s heads d -> b f s (heads d)")


class LocalAttention(Attention):
    """A token sees the tokens of its own space-time window (LOGO-Former, Eq. 1). The windows do not overlap."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, F, S, D) to (B, F, S, D); S places are a square map, row by row."""
        y = self.attend(self._split(tokens))
        return rearrange(y, "b nf nh nw (f h w) d -> b (nf f) (nh h nw w) d", **self._sizes(tokens))

    def _split(self, tokens: Tensor) -> Tensor:
        """(B, F, S, D) to its windows (B, F/f, H/h, W/w, fhw, D)."""
        return rearrange(tokens, "b (nf f) (nh h nw w) d -> b nf nh nw (f h w) d", **self._sizes(tokens))

    def _sizes(self, tokens: Tensor) -> dict[str, int]:
        """What has to be said of the windows, so that their number along each axis is known."""
        _, F, S, _ = tokens.shape
        _, nh, nw = windows_of(self.window, F, S)
        f, h, w = self.window
        return {"f": f, "nh": nh, "h": h, "nw": nw, "w": w}

    def seen(self, F: int, S: int) -> int:
        """How many keys a query sees: its window (LOGO-Former, Eq. 2)."""
        windows_of(self.window, F, S)
        return math.prod(self.window)


class GlobalAttention(LocalAttention):
    """A token sees one pooled token for each space-time window of the clip (LOGO-Former, Eq. 3 to 6)."""

    def __init__(self, dim: int, heads: int = 8, window: Window = (2, 2, 2), pool: str = "average") -> None:
        super().__init__(dim, heads, window, pool)
        # one weight for each channel and each cell of the window; it begins as the average
        self.pool_weight = None
        if pool == "conv":
            cells = math.prod(window)
            self.pool_weight = nn.Parameter(torch.full((cells, dim), 1 / cells))
            self.pool_bias = nn.Parameter(torch.zeros(dim))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, F, S, D) to (B, F, S, D); S places are a square map, row by row."""
        return self.attend(rearrange(tokens, "b f s d -> b (f s) d"), self.pool(tokens)).view(tokens.shape)

    def pool(self, tokens: Tensor) -> Tensor:
        """Tokens (B, F, S, D) to one token a window (B, windows, D)."""
        cells = self._split(tokens).flatten(1, 3)  # (B, windows, fhw, D)
        if self.pool_weight is None:
            return cells.mean(2)
        return (cells * self.pool_weight).sum(2) + self.pool_bias

    def seen(self, F: int, S: int) -> int:
        """How many keys a query sees: as many as there are windows (LOGO-Former, Eq. 8)."""
        nf, nh, nw = windows_of(self.window, F, S)
        return nf * nh * nw

    def cost(self, F: int, S: int, D: int) -> int:
        """Multiply-accumulates for one clip; keys and values are projected once a window. Pooling is not counted."""
        seen = self.seen(F, S)
        return 2 * F * S * D * D + 2 * seen * D * D + 2 * F * S * seen * D


def short_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """What torch's fused kernel computes, in two thirds of its time on a CPU that learns from short sequences.

    The kernel goes through the sequences one by one, and a softmax over nine values in a row is slower than one over
    rows: so the keys come first here.

    Args:
        q: queries (sequences, N_h, N, D_h).
        k: keys (sequences, N_h, M, D_h).
        v: values, as the keys.

    Returns:
        (sequences, N_h, N, D_h).
    """
    heads, scale = q.shape[1], math.sqrt(q.shape[-1])
    q, k, v = (y.flatten(0, 1) for y in (q, k, v))
    weights = (torch.bmm(k, q.transpose(1, 2)) / scale).softmax(1)  # (sequences N_h, M, N)
    return torch.bmm(weights.transpose(1, 2), v).unflatten(0, (-1, heads))


def windows_of(window: Window, F: int, S: int) -> Window:
    """How many windows a clip of F frames and S places has along time, rows and columns.

    Raises:
        InputError: the places are no square map, or the clip does not split evenly.
    """
    side = math.isqrt(S)
    if side * side != S:
        raise InputError(f"{S} places are not a square map: windows need one")
    if F % window[0] or side % window[1] or side % window[2]:
        raise InputError(f"{F} frames of {side} x {side} places do not split into windows of {window}: choose divisors")
    return F // window[0], side // window[1], side // window[2]
