"""Formulas as they are printed, tried on numbers."""

from itertools import product

import numpy as np

from dferlib.emotions import EMOTIONS
from dferlib.evidence.audit.finding import Finding
from dferlib.evidence.audit.tables import Tables

C = len(EMOTIONS)
DRAWS = 1000
SMOOTHING = 0.1  # a usual weight of label smoothing; any other shows the same
CLIPS = ((16, 16), (16, 49))  # frames and places: maps of 4 x 4 and 7 x 7, of frames of 112 and 224 px
SEED = 0


def findings(_: Tables) -> list[Finding]:
    """Those that do not say what the text around them says; they need no table."""
    return [
        *_second_divergence(),
        _sign_of_the_loss(),
        _soft_label(),
        _first_line(),
        _cheaper_than_divided(),
        _one_matrix(),
        _global_pooling(),
        _true_negatives(),
    ]


def first_divergence(p: np.ndarray) -> np.ndarray:
    """Eq. 18 of STT for probabilities (..., C - 1) of the wrong classes."""
    wrong = p.shape[-1]
    return (np.log(1 / (wrong * p)) / wrong).sum(-1)


def second_divergence(p: np.ndarray, *, printed: bool) -> np.ndarray:
    """Eq. 19 of STT as it is printed, or the divergence from the uniform distribution that its text speaks of."""
    wrong = p.shape[-1]
    return np.log(1 / (wrong * p)).sum(-1) if printed else (p * np.log(wrong * p)).sum(-1)


def _second_divergence() -> list[Finding]:
    p = np.random.default_rng(SEED).dirichlet(np.ones(C - 1), DRAWS)
    ratio = second_divergence(p, printed=True) / first_divergence(p)
    truth = second_divergence(p, printed=False) / first_divergence(p)
    found = f"{ratio.mean():.0f} times the other divergence, whatever the probabilities"
    how = (
        f"Both sums on {DRAWS:,} random sets of probabilities over {C - 1} wrong classes: their ratio is C − 1 = "
        f"{C - 1} in all. That of the true divergences runs from {truth.min():.2f} to {truth.max():.2f}."
    )
    reason = "The weights were lost in typing, and the first sum was the pattern for the second; the code may be right."
    holds = bool(np.allclose(ratio, C - 1) and truth.std() > 0.01)
    return [
        Finding(name, paper, where, "the divergence of p' from u'", found, how, reason, holds)
        for name, paper, where in (
            ("stt-eq-19", "STT", "Eq. 19"),
            ("logo-eq-12", "LOGO-Former", "Eq. 12, second sum"),
        )
    ]


def _sign_of_the_loss() -> Finding:
    p = np.linspace(0.01, 0.99, 99)  # of the true class
    printed = np.log(p)
    return Finding(
        "stt-eq-17",
        "STT",
        "Eq. 17, first term",
        "log p_y as the cross entropy",
        f"smallest at p_y = {p[printed.argmin()]:.2f}, largest at {p[printed.argmax()]:.2f}",
        "The term for probabilities of the true class between 0 and 1. A loss must fall as they rise: −log p_y does.",
        "A minus was lost. The code must have it, for a network that minimises the printed term learns to be wrong.",
        bool((np.diff(printed) > 0).all() and (np.diff(-printed) < 0).all()),
    )


def _soft_label() -> Finding:
    q, u = np.eye(C)[0], np.full(C, 1 / C)
    total = float((q + SMOOTHING * u).sum())
    usual = float(((1 - SMOOTHING) * q + SMOOTHING * u).sum())
    return Finding(
        "stt-eq-14",
        "STT",
        "Eq. 14",
        "a soft label that is a distribution",
        f"it sums to {total:.2f} with λ = {SMOOTHING}",
        f"q + λu is summed over the classes. (1 − λ)q + λu, with which Eq. 16 goes on, sums to {usual:.2f}.",
        "The factor of q was left out in one line only.",
        bool(np.isclose(total, 1 + SMOOTHING) and np.isclose(usual, 1)),
    )


def _first_line() -> Finding:
    p = np.random.default_rng(SEED).dirichlet(np.ones(C), DRAWS)
    u = np.full(C, 1 / C)
    entropy, uniform = -np.log(p[:, 0]), -(u * np.log(p)).sum(1)
    first = -(1 - SMOOTHING) * entropy - SMOOTHING * uniform
    second = -(1 - SMOOTHING) * np.log(p[:, 0]) - SMOOTHING / C * np.log(p).sum(1)
    divergence = (u * np.log(u / p)).sum(1)
    third = -(1 - SMOOTHING) * np.log(p[:, 0]) + SMOOTHING * (divergence + np.log(C))
    return Finding(
        "stt-eq-16",
        "STT",
        "Eq. 16, first line",
        "equal to the second and third line",
        f"the second line times {np.median(first / second):.0f}",
        f"The three lines on {DRAWS:,} random predictions. The second and the third are the same.",
        "The first line takes the cross entropy without its own minus, in the manner of Eq. 17.",
        bool(np.allclose(first, -second) and np.allclose(second, third)),
    )


def windows(F: int, S: int) -> list[int]:
    """Tokens in each window that splits a clip of F frames and a square map of S places evenly."""
    side = round(S**0.5)
    frames, sides = ([n for n in range(1, whole + 1) if whole % n == 0] for whole in (F, side))
    return [f * h * w for f, h, w in product(frames, sides, sides)]


def _cheaper_than_divided() -> Finding:
    cheaper = {}
    for F, S in CLIPS:
        ours = [F * S * tokens + (F * S) ** 2 / tokens for tokens in windows(F, S)]
        cheaper[F, S] = sum(cost < S**2 * F + S * F**2 for cost in ours), len(ours)
    (none, all_), (some, others) = cheaper.values()
    sides = [round(S**0.5) for _, S in CLIPS]
    return Finding(
        "logo-eq-9",
        "LOGO-Former",
        "Eq. 9, first inequality",
        "local and global attention cost less than divided attention",
        f"with {none} of {all_} windows of {CLIPS[0][0]} frames and maps of {sides[0]} x {sides[0]}; with {some} of "
        f"{others} for maps of {sides[1]} x {sides[1]}",
        "Both sides of the inequality for every window that splits the clip. It needs a window with more tokens than "
        "the one, and fewer than the other, of frames and places.",
        "It was thought of for large maps and long clips, where most windows fulfil it.",
        none == 0 and 0 < some < others,
    )


def _one_matrix() -> Finding:
    rng = np.random.default_rng(SEED)
    W, b, x, h = rng.normal(size=(8, 8)), rng.normal(size=8), rng.normal(size=8), rng.normal(size=8)
    U = rng.normal(size=(8, 8))

    def moved(state: np.ndarray) -> float:
        """How far a gate moves if input and state change places."""
        gates = [1 / (1 + np.exp(-(W @ one + state @ other + b))) for one, other in ((x, h), (h, x))]
        return float(np.abs(gates[0] - gates[1]).max())

    return Finding(
        "staner-eqs-5-to-9",
        "STANER",
        "Eqs. 5, 6, 7 and 9",
        "gates of an LSTM, with one matrix for input and state",
        "input and state may change places, and no gate notices",
        f"A gate with random weights, once as printed and once with two matrices, where it moves by {moved(U):.1f}.",
        "W stands for two matrices, to save letters. The LSTM of every library has two.",
        moved(W) < 1e-12 < 0.01 < moved(U),
    )


def _global_pooling() -> Finding:
    """A map of one place in the middle of zeros: which weights of a 3 x 3 kernel meet it?"""
    padded = np.pad(np.ones((1, 1)), 1)
    matter = int((padded != 0).sum())
    return Finding(
        "staner-eq-1",
        "STANER",
        "Eq. 1 and Fig. 3",
        "global average pooling, then a kernel of 3 x 3 for the context",
        f"{matter} of the {padded.size} weights of the kernel meets anything but padding",
        "The global average leaves one place. With zeros around it, which a kernel of 3 x 3 needs, they are counted.",
        "The word global slipped in: an average of neighbours, of which the attention map needs many, fits the figure.",
        matter == 1,
    )


def _true_negatives() -> Finding:
    labels = np.repeat(np.arange(C), 10)
    always = np.zeros_like(labels)
    plain = float((always == labels).mean())
    each = [float(((always == c) == (labels == c)).mean()) for c in range(C)]
    return Finding(
        "staner-eq-16",
        "STANER",
        "Eq. 16",
        "(TP + TN) / (TP + TN + FP + FN) as the accuracy of seven classes",
        f"{100 * np.mean(each):.1f} % for a model that always says the same; plain accuracy is {100 * plain:.1f} %",
        f"Each of {C} equally frequent classes against the rest, counted clip by clip.",
        "The formula for two classes was quoted; the tables hold plain accuracy, as those of the methods beside it.",
        bool(np.isclose(np.mean(each), 1 - 2 * (1 - plain) / C) and np.mean(each) > 2 * plain),
    )
