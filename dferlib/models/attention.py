"""The attention family: who looks at whom among the tokens of a clip.

All take and give tokens (B, T, S, D): T frames, S places, D channels. They differ only in which tokens a query sees.
The fast path is torch's fused kernel; the plain path computes the same and keeps the weights for looking at.
"""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from dferlib.errors import InputError


class Attention(nn.Module):
    """Multi-head attention over a sequence; subclasses say which sequences a clip falls into.

    Args:
        dim: D, channels of a token.
        heads: N_h; each head works on D / N_h channels.
        dropout: chance to drop an attention weight in training.

    Attributes:
        keep_weights: take the plain path and store the weights in `weights` (..., N_h, N, N).

    Raises:
        InputError: D does not divide into the heads.
    """

    def __init__(self, dim: int, heads: int = 8, dropout: float = 0.0) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise InputError(f"{dim} channels do not divide into {heads} heads: choose a divisor")
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(dim, 3 * dim)  # W_Q, W_K, W_V of all heads in one product
        self.out = nn.Linear(dim, dim)  # W_O
        self.keep_weights = False
        self.weights: Tensor | None = None

    def attend(self, x: Tensor) -> Tensor:
        """Attention within each sequence of x (..., N, D)."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0).transpose(-2, -3)  # (..., N_h, N, D_h)
        if self.keep_weights:
            scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
            self.weights = scores.softmax(-1)
            y = self.weights @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        return self.out(y.transpose(-2, -3).flatten(-2))  # heads side by side again

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, S, D) to (B, T, S, D)."""
        return self.attend(tokens.flatten(1, 2)).unflatten(1, tokens.shape[1:3])

    @staticmethod
    def seen(T: int, S: int) -> int:
        """How many tokens a query sees, itself included."""
        return T * S

    @classmethod
    def cost(cls, T: int, S: int, D: int) -> int:
        """Multiply-accumulates for one clip: four projections, and each query against each key and value it sees."""
        return 4 * T * S * D * D + 2 * T * S * cls.seen(T, S) * D


class JointAttention(Attention):
    """Every token sees every token of the clip."""


class SpatialAttention(Attention):
    """A token sees the tokens of its own frame (STT, Eq. 6)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, S, D) to (B, T, S, D)."""
        return self.attend(tokens)

    @staticmethod
    def seen(T: int, S: int) -> int:
        """How many tokens a query sees: its frame."""
        return S


class TemporalAttention(Attention):
    """A token sees the tokens at its own place in all frames (STT, Eq. 9)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, S, D) to (B, T, S, D)."""
        return self.attend(tokens.transpose(1, 2)).transpose(1, 2)

    @staticmethod
    def seen(T: int, S: int) -> int:
        """How many tokens a query sees: its place over time."""
        return T
