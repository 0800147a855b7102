"""The attention family: who looks at whom among the tokens of a clip.

All take and give tokens (B, T, S, D): T frames, S places, D channels. They differ only in which tokens a query sees.
The fast path is torch's fused kernel; the plain path computes the same and keeps the weights for looking at.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dferlib.errors import InputError, choose

Window = tuple[int, int, int]
POOLS = ("average", "conv")


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
            q = F.linear(x, self.qkv.weight[:D], self.qkv.bias[:D])
            k, v = F.linear(context, self.qkv.weight[D:], self.qkv.bias[D:]).chunk(2, -1)
        return self.mix(q, k, v)

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries (..., N, D), keys and values (..., M, D) to (..., N, D): softmax(q k^T / sqrt(D_h)) v, then W_O."""
        # (sequences, N_h, N, D_h): the fused kernel takes four dimensions and no more
        heads = [y.flatten(0, -3).unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (q, k, v)]
        if self.keep_weights:
            weights = (heads[0] @ heads[1].transpose(-2, -1) / math.sqrt(heads[0].shape[-1])).softmax(-1)
            self.weights = weights.unflatten(0, q.shape[:-2])
            y = weights @ heads[2]
        else:
            y = F.scaled_dot_product_attention(*heads)
        return self.out(y.transpose(1, 2).flatten(2)).view(q.shape)  # heads side by side again

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, S, D) to (B, T, S, D)."""
        raise TypeError("Attention does not say who looks at whom: use one of its subclasses")

    def seen(self, T: int, S: int) -> int:
        """How many keys a query sees."""
        raise TypeError("Attention does not say who looks at whom: use one of its subclasses")

    def cost(self, T: int, S: int, D: int) -> int:
        """Multiply-accumulates for one clip: four projections, and each query against each key and value it sees."""
        return 4 * T * S * D * D + 2 * T * S * self.seen(T, S) * D


class JointAttention(Attention):
    """Every token sees every token of the clip."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, S, D) to (B, T, S, D)."""
        return self.attend(tokens.flatten(1, 2)).view(tokens.shape)

    def seen(self, T: int, S: int) -> int:
        """How many keys a query sees: all."""
        return T * S


class SpatialAttention(Attention):
    """A token sees the tokens of its own frame (STT, Eq. 6)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, S, D) to (B, T, S, D)."""
        return self.attend(tokens)

    def seen(self, T: int, S: int) -> int:
        """How many keys a query sees: its frame."""
        return S


class TemporalAttention(Attention):
    """A token sees the tokens at its own place in all frames (STT, Eq. 9; MSSTNet, Eq. 5)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, S, D) to (B, T, S, D)."""
        return self.attend(tokens.transpose(1, 2)).transpose(1, 2)

    def seen(self, T: int, S: int) -> int:
        """How many keys a query sees: its place over time."""
        return T


class DividedAttention(nn.Module):
    """Temporal, then spatial attention, each with its own projections (TimeSformer, Bertasius et al. 2021).

    With the caller's shortcut around it the tokens x become y + space(y), where y = x + time(x).
    Arguments and errors are those of `Attention`.
    """

    def __init__(self, dim: int, heads: int = 8, window: Window = (2, 2, 2), pool: str = "average") -> None:
        super().__init__()
        self.time = TemporalAttention(dim, heads, window, pool)
        self.space = SpatialAttention(dim, heads, window, pool)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, S, D) to (B, T, S, D)."""
        change = self.time(tokens)
        return change + self.space(tokens + change)

    def cost(self, T: int, S: int, D: int) -> int:
        """Multiply-accumulates for one clip: those of both."""
        return self.time.cost(T, S, D) + self.space.cost(T, S, D)


class MixingAttention(SpatialAttention):
    """Spatial attention whose keys and values borrow channels of the frame before and after (Bulat et al. 2021).

    Of each head's channels the first third comes from the frame before, the last third from the frame after; where D_h
    does not divide by three, the first parts are the larger ones. At its ends the clip stands still: the first frame
    is its own predecessor. It sees three frames at the price of one.
    """

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, S, D) to (B, T, S, D)."""
        q, k, v = self.qkv(tokens).chunk(3, -1)
        return self.mix(q, self._borrow(k), self._borrow(v))

    def _borrow(self, x: Tensor) -> Tensor:
        parts = x.unflatten(-1, (self.heads, -1)).tensor_split(3, -1)  # each (B, T, S, N_h, D_h / 3)
        before = torch.cat([parts[0][:, :1], parts[0][:, :-1]], 1)
        after = torch.cat([parts[2][:, 1:], parts[2][:, -1:]], 1)
        return torch.cat([before, parts[1], after], -1).flatten(-2)


class LocalAttention(Attention):
    """A token sees the tokens of its own space-time window (LOGO-Former, Eq. 1). The windows do not overlap."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, S, D) to (B, T, S, D); S places are a square map, row by row."""
        grid = self._split(tokens)
        return self.attend(grid.flatten(4, 6)).view(grid.shape).permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(tokens.shape)

    def _split(self, tokens: Tensor) -> Tensor:
        """(B, T, S, D) to (B, T/f, H/h, W/w, f, h, w, D)."""
        f, h, w = self.window
        nf, nh, nw = windows_of(self.window, *tokens.shape[1:3])
        return tokens.reshape(-1, nf, f, nh, h, nw, w, tokens.shape[-1]).permute(0, 1, 3, 5, 2, 4, 6, 7)

    def seen(self, T: int, S: int) -> int:
        """How many keys a query sees: its window (LOGO-Former, Eq. 2)."""
        windows_of(self.window, T, S)
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
        """(B, T, S, D) to (B, T, S, D); S places are a square map, row by row."""
        return self.attend(tokens.flatten(1, 2), self.pool(tokens)).view(tokens.shape)

    def pool(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T, S, D) to one token a window (B, windows, D)."""
        cells = self._split(tokens).flatten(1, 3).flatten(2, 4)  # (B, windows, fhw, D)
        if self.pool_weight is None:
            return cells.mean(2)
        return (cells * self.pool_weight).sum(2) + self.pool_bias

    def seen(self, T: int, S: int) -> int:
        """How many keys a query sees: as many as there are windows (LOGO-Former, Eq. 8)."""
        nf, nh, nw = windows_of(self.window, T, S)
        return nf * nh * nw

    def cost(self, T: int, S: int, D: int) -> int:
        """Multiply-accumulates for one clip; keys and values are projected once a window. Pooling is not counted."""
        seen = self.seen(T, S)
        return 2 * T * S * D * D + 2 * seen * D * D + 2 * T * S * seen * D


def windows_of(window: Window, T: int, S: int) -> Window:
    """How many windows a clip of T frames and S places has along time, rows and columns.

    Raises:
        InputError: the places are no square map, or the clip does not split evenly.
    """
    side = math.isqrt(S)
    if side * side != S:
        raise InputError(f"{S} places are not a square map: windows need one")
    if T % window[0] or side % window[1] or side % window[2]:
        raise InputError(f"{T} frames of {side} x {side} places do not split into windows of {window}: choose divisors")
    return T // window[0], side // window[1], side // window[2]
