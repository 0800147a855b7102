"""A figure that answers: which logits each loss pushes, and where it comes to rest."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dferlib.book.controls import button, choice, said, slider, table
from dferlib.book.explorers import Interactive, explorer
from dferlib.book.panels import CYCLE
from dferlib.emotions import COLOURS, EMOTIONS
from dferlib.errors import InputError

if TYPE_CHECKING:
    from torch import nn

NAMES = {
    "cross_entropy": "cross entropy",
    "label_smoothing": "label smoothing",
    "kl": "compact loss",
    "printed": "compact, printed",
}
REACH, STEP = 6.0, 0.5  # of the sliders
BETAS = (0.0, 2.0)
RATE = 1.0  # how far a step goes down the gradient


def logits_and_losses(
    logits: Sequence[float], target: int = 0, beta: float = 0.2, classes: Sequence[str] = EMOTIONS, *, alt: str
) -> Interactive:
    """Logits of one clip to drag: its probabilities, a loss, the gradient, and where four losses take the logits.

    The losses are cross entropy, label smoothing as `TrainConfig` has it, and both forms of `CompactLoss`. Steps go
    down the gradient at the rate 1.

    Args:
        logits: at the beginning (C,), from -6 to 6.
        target: the true class at the beginning.
        beta: of the compact loss at the beginning, from 0 to 2.
        classes: their names.
        alt: what it shows, for those who do not see it.

    Raises:
        InputError: there are not as many logits as classes or fewer than three, no such class, or a value is out of its
            range.
    """
    if len(logits) != len(classes) or len(classes) < 3 or max(map(abs, logits)) > REACH:
        raise InputError(
            f"give a logit from {-REACH:g} to {REACH:g} for each class, and at least 3, not {list(logits)}"
        )
    if not (0 <= target < len(classes) and BETAS[0] <= beta <= BETAS[1]):
        raise InputError(f"class {target} of {len(classes)}, beta {beta}: beta goes from {BETAS[0]:g} to {BETAS[1]:g}")
    from dferlib.training.objective import SMOOTHING  # it brings torch, which no other figure needs

    data = {
        "classes": list(classes),
        "colours": [_colour(k, name) for k, name in enumerate(classes)],
        "names": NAMES,
        "smoothing": SMOOTHING,
        "rate": RATE,
    }
    return explorer(_body(logits, target, beta, classes), data, "logits", alt=alt)


def four_losses(beta: float) -> dict[str, "nn.Module"]:
    """The losses by their keys, each called with logits (B, C) and labels (B,).

    Args:
        beta: of the compact loss.
    """
    from torch import nn

    from dferlib.models.losses import CompactLoss
    from dferlib.training.objective import SMOOTHING

    return {
        "cross_entropy": nn.CrossEntropyLoss(),
        "label_smoothing": nn.CrossEntropyLoss(label_smoothing=SMOOTHING),
        "kl": CompactLoss(beta, "kl"),
        "printed": CompactLoss(beta, "printed"),
    }


def pushes(logits: Sequence[float], target: int, beta: float) -> dict[str, tuple[float, list[float]]]:
    """The value of each of the four losses, and its gradient (C,) on the logits of one clip.

    Args:
        logits: (C,).
        target: the true class.
        beta: of the compact loss.
    """
    import torch

    found = {}
    for key, loss in four_losses(beta).items():
        z = torch.tensor([list(logits)], dtype=torch.float64, requires_grad=True)
        value = loss(z, torch.tensor([target]))
        value.backward()
        found[key] = value.item(), z.grad[0].tolist() if z.grad is not None else []
    return found


def _colour(number: int, name: str) -> str:
    return COLOURS.get(name, CYCLE[number % len(CYCLE)])


def _body(logits: Sequence[float], target: int, beta: float, classes: Sequence[str]) -> str:
    """All of it but style and script."""
    chosen = (
        choice("target", "true class", ((str(k), name) for k, name in enumerate(classes)), str(target))
        + choice("loss", "loss", NAMES.items(), "kl")
        + slider("beta", "beta", beta, BETAS, 0.1)
    )
    rows = "".join(
        f'<div class="fim-logit">{slider(f"logit{k}", name, logits[k], (-REACH, REACH), STEP, _colour(k, name))}'
        '<span class="fim-number"></span><i></i><span class="fim-number"></span></div>'
        for k, name in enumerate(classes)
    )
    head = (
        '<div class="fim-logit fim-note"><span>logit</span><span class="fim-number">probability</span>'
        "<span></span><span></span></div>"
    )
    steps = button("10", "Ten steps") + button("1000", "A thousand steps") + button("0", "Back to the sliders")
    return (
        f'<div class="fim-live"><div class="fim-chosen">{chosen}</div>{head}{rows}'
        f'<div class="fim-group fim-steps">{steps}<span></span></div><div class="fim-rests"></div></div>{said()}'
        f"{_still(pushes(logits, target, beta), logits, target, classes)}"
    )


def _still(
    found: Mapping[str, tuple[float, list[float]]], logits: Sequence[float], target: int, classes: Sequence[str]
) -> str:
    """The gradients of all four losses on the first logits, where scripts are off."""
    rows = [
        [
            name,
            *(one.replace("-", "\u2212") for one in (f"{logits[k]:g}", *(f"{g[k]:+.3f}" for _, g in found.values()))),
        ]
        for k, name in enumerate(classes)
    ]
    rows.append(["value of the loss", "", *(f"{value:.3f}" for value, _ in found.values())])
    title = f"Gradient of each loss on each logit of a clip of {classes[target]}; a logit is pushed against it"
    return table(title, ["class", "logit", *NAMES.values()], rows)
