"""Losses that the papers propose beside cross entropy."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dferlib.errors import InputError, choose

FORMS = ("kl", "printed")


class CompactLoss(nn.Module):
    """The compact softmax cross entropy of STT (Eq. 17 to 20).

    Cross entropy, plus beta / 2 times the symmetric divergence between the uniform distribution u' and the softmax p'
    over the C - 1 classes that are not the target: the wrong classes are pushed to be equally unlikely.

    Args:
        beta: weight of the second part; the paper uses 0.2.
        form: "kl" is the symmetric Kullback-Leibler divergence that the text speaks of. "printed" is Eq. 19 as printed,
            without the weights p' and with the sign of Eq. 18: C - 1 times Eq. 18, so that the two add up to
            C D(u'||p') and the second direction is missing.

    Raises:
        InputError: unknown form, or a negative beta.
    """

    def __init__(self, beta: float = 0.2, form: str = "kl") -> None:
        super().__init__()
        if not beta >= 0:
            raise InputError(f"beta is {beta}: it must not be negative")
        self.beta, self.form = beta, choose("form", form, FORMS)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of logits (B, C) and labels (B,) int64, computed in float32 whatever the logits are.

        Raises:
            InputError: fewer than three classes (with one class left over there is nothing to make uniform), or a label
                out of range.
        """
        classes = logits.shape[1]
        wrong = labels[(labels < 0) | (labels >= classes)]
        if len(wrong):
            raise InputError(
                f"label {wrong[0].item()} is out of range: {classes} classes have labels 0 to {classes - 1}"
            )
        if classes < 3:
            raise InputError(f"the compact loss needs at least 3 classes, not {classes}: use cross entropy")
        logits = logits if logits.dtype == torch.float64 else logits.float()
        others = F.one_hot(labels, classes) == 0
        log_p = logits[others].view(-1, classes - 1).log_softmax(1)  # p', Eq. 20
        log_u = -math.log(classes - 1)
        u_from_p = (log_u - log_p).mean(1)  # D(u'||p'), Eq. 18
        # D(p'||u'): the true one, or Eq. 19 as printed
        terms = log_p.exp() * (log_p - log_u) if self.form == "kl" else log_u - log_p
        p_from_u = terms.sum(1)
        divergence = (u_from_p + p_from_u).mean()
        return F.cross_entropy(logits, labels) + self.beta / 2 * divergence  # Eq. 17, with the sign of a loss
