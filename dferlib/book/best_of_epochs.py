"""A figure that answers: what choosing the epoch on the test clips adds, by the formula and in a simulation."""

from collections.abc import Sequence

import numpy as np

from dferlib.book.controls import button, said, slider, table
from dferlib.book.explorers import Interactive, explorer
from dferlib.errors import InputError

MOST = 150  # epochs
CLIPS = (100, 5000)
CORRELATED = 0.99  # at most
TRAININGS = 400  # that are drawn
SEED = 1


def best_of_epochs(result: float, clips: int, epochs: int, correlation: float, *, alt: str) -> Interactive:
    """Test clips, epochs and their correlation to drag: how much too high the best test epoch is.

    The curve is the formula, sigma sqrt(1 - rho) m_E with m_E of `expected_maximum` and the noise sigma of a share of
    right answers. Beside it are trainings that do not improve any more, drawn with a seed; a button draws others.

    Args:
        result: the true share of right answers, between 0 and 1.
        clips: test clips at the beginning, from 100 to 5000.
        epochs: E at the beginning, from 1 to 150.
        correlation: rho of two epochs at the beginning, from 0 to 0.99; `dferlib.evidence.epochs.jitter` measures it.
        alt: what it shows, for those who do not see it.

    Raises:
        InputError: a value is out of its range.
    """
    inside = (0 < result < 1, CLIPS[0] <= clips <= CLIPS[1], 1 <= epochs <= MOST, 0 <= correlation <= CORRELATED)
    if not all(inside):
        raise InputError(
            f"{result} of {clips} clips, {epochs} epochs, correlation {correlation}: give a result between 0 and 1,"
            f" {CLIPS[0]} to {CLIPS[1]} clips, 1 to {MOST} epochs, a correlation from 0 to {CORRELATED}"
        )
    data = {
        "result": result,
        "trainings": TRAININGS,
        "seed": SEED,
        "maximum": [_largest(count) for count in range(1, MOST + 1)],
    }
    return explorer(_body(result, clips, epochs, correlation), data, "best_of_epochs", alt=alt)


def gain(result: float, clips: int, epochs: int, correlation: float) -> float:
    """How much too high the best test epoch is on average, in points.

    Args:
        result: the true share of right answers.
        clips: in the test set.
        epochs: to choose from.
        correlation: of the noise of two epochs.
    """
    sigma = np.sqrt(result * (1 - result) / clips)
    return float(100 * sigma * np.sqrt(1 - correlation) * _largest(epochs))


def _largest(count: int) -> float:
    from dferlib.evidence.statistics import expected_maximum  # it brings torch, which no other figure needs

    return expected_maximum(count)


def _body(result: float, clips: int, epochs: int, correlation: float) -> str:
    """All of it but style and script. The script draws both sides."""
    sliders = (
        slider("clips", "test clips", clips, CLIPS, 20)
        + slider("epochs", "epochs", epochs, (1, MOST), 1)
        + slider("correlation", "correlation", correlation, (0, CORRELATED), 0.01)
    )
    return (
        f'<div class="fim-live">{sliders}<div class="fim-sides fim-charts"><div class="fim-formula"></div>'
        f'<div class="fim-course"></div></div>{button("again", "Draw again")}</div>{said()}'
        f"{_still(result, clips, (1, 5, 20, 50, 100, MOST), sorted({0.0, 0.5, 0.8, 0.95, correlation}))}"
    )


def _still(result: float, clips: int, epochs: Sequence[int], correlations: Sequence[float]) -> str:
    """The formula at some places, where scripts are off."""
    rows = [[str(count), *(f"{gain(result, clips, count, rho):.2f}" for rho in correlations)] for count in epochs]
    head = ["best of so many epochs", *(f"correlation {rho:g}" for rho in correlations)]
    return table(f"How many points the best test epoch is too high, with {clips:,} test clips", head, rows)
