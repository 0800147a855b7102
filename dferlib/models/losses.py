"""Losses that the papers propose beside cross entropy."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dferlib.errors import InputError, choose

FORMS = ("kl", "printed")


class CompactTerm(nn.Module):
    """The symmetric divergence of STT (Eq. 18 to 20), which is the regulariser of LOGO-Former (its Eq. 11 and 12).

    It lies between the uniform distribution u' and the softmax p' over the C - 1 classes that are not the target: it is
    0 where all wrong classes are equally unlikely.

    Args:
        form: "kl" is the symmetric Kullback-Leibler divergence that both texts speak of. "printed" is the second sum
            as both papers print it, without the weights p' and with the sign of the first: C - 1 times the first, so
            that the two add up to C D(u'||p') and the second direction is missing.

    Raises:
        InputError: unknown form.
    """

    def __init__(self, form: str = "kl") -> None:
        super().__init__()
        self.form = choose("form", form, FORMS)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean over logits (B, C) and labels (B,) int64, computed in float32 whatever the logits are.

        Raises:
            InputError: they do not belong together, there are fewer than three classes (with one class left over there
                is nothing to make uniform), or a label is out of range.
        """
        if logits.dim() != 2 or labels.shape != logits.shape[:1]:
            raise InputError(
                f"logits have shape {tuple(logits.shape)} and labels {tuple(labels.shape)}:"
                " give (batch, classes) and (batch,)"
            )
        classes = logits.shape[1]
        check_labels(labels, classes)
        if classes < 3:
            raise InputError(f"the compact loss needs at least 3 classes, not {classes}: use cross entropy")
        others = torch.arange(classes - 1, device=labels.device).expand(len(labels), -1)
        others = others + (others >= labels[:, None])  # all classes but the true one
        log_p = precise(logits).gather(1, others).log_softmax(1)  # p', Eq. 20
        log_u = -math.log(classes - 1)
        u_from_p = (log_u - log_p).mean(1)  # D(u'||p'), Eq. 18
        # D(p'||u'): the true one, or Eq. 19 as printed
        terms = log_p.exp() * (log_p - log_u) if self.form == "kl" else log_u - log_p
        return (u_from_p + terms.sum(1)).mean()


class CompactLoss(nn.Module):
    """The compact softmax cross entropy of STT (Eq. 17): cross entropy plus beta / 2 times `CompactTerm`.

    LOGO-Former adds the same term, and does not say with which weight.

    Args:
        beta: weight of the second part; STT uses 0.2.
        form: "kl" or "printed", see `CompactTerm`.

    Raises:
        InputError: unknown form, or a negative beta.
    """

    def __init__(self, beta: float = 0.2, form: str = "kl") -> None:
        super().__init__()
        if not beta >= 0:
            raise InputError(f"beta is {beta}: it must not be negative")
        self.beta, self.term = beta, CompactTerm(form)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of logits (B, C) and labels (B,) int64, computed in float32 whatever the logits are.

        Raises:
            InputError: see `CompactTerm`.
        """
        divergence = self.term(logits, labels)
        return (
            functional.cross_entropy(precise(logits), labels) + self.beta / 2 * divergence
        )  # Eq. 17, with the sign of a loss


def check_labels(labels: Tensor, classes: int) -> None:
    """Raise an InputError where a label is out of range; on a GPU, which would have to wait for it, nobody looks."""
    if labels.device.type != "cpu":
        return
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise InputError(f"label {wrong[0].item()} is out of range: {classes} classes have labels 0 to {classes - 1}")


def precise(values: Tensor) -> Tensor:
    """The same values in float32, or in float64 if they are."""
    return values if values.dtype == torch.float64 else values.float()
