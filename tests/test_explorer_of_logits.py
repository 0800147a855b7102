"""Logits to drag: the losses, gradients and steps that a reader sees are those of torch."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from reader import Open, drag, fields, number, press
from test_player import Shown, shown  # noqa: F401
from test_site import browser  # noqa: F401

from dferlib import EMOTIONS
from dferlib.book.logits import NAMES, four_losses, logits_and_losses, pushes
from dferlib.book.powering import power_explorer
from dferlib.errors import InputError
from dferlib.models.losses import CompactLoss
from dferlib.training.objective import SMOOTHING

site = pytest.mark.site
C = len(EMOTIONS)
BEGIN = (0.0, 2.0, 0.0, 0.0, 0.0, 0.0, -2.0)


def by_torch(name: str, logits: np.ndarray, target: int, beta: float) -> tuple[float, np.ndarray]:
    """Value and gradient of one loss on the logits (C,) of one clip."""
    z, label = torch.tensor(logits, dtype=torch.float64)[None].requires_grad_(), torch.tensor([target])
    if name in ("kl", "printed"):
        value = CompactLoss(beta, name)(z, label)
    else:
        value = F.cross_entropy(z, label, label_smoothing=SMOOTHING if name == "label_smoothing" else 0.0)
    (gradient,) = torch.autograd.grad(value, z)
    return value.item(), gradient[0].numpy()


def stepped(name: str, logits: np.ndarray, target: int, beta: float, steps: int) -> np.ndarray:
    """The logits (C,) after steps of torch's gradient descent."""
    z = torch.tensor(logits, dtype=torch.float64)[None].requires_grad_()
    descent, loss = torch.optim.SGD([z], lr=1.0), four_losses(beta)[name]
    for _ in range(steps):
        descent.zero_grad()
        loss(z, torch.tensor([target])).backward()
        descent.step()
    return z.detach()[0].numpy()


def test_the_still_table_has_the_gradients_of_torch() -> None:
    for name, (value, gradient) in pushes(BEGIN, 3, 0.7).items():
        expected = by_torch(name, np.array(BEGIN), 3, 0.7)
        assert value == pytest.approx(expected[0], abs=1e-12)
        assert gradient == pytest.approx(expected[1], abs=1e-12)


@pytest.mark.parametrize(
    "wrong, said",
    [
        (lambda: logits_and_losses(BEGIN[:6], alt="x"), "for each class"),
        (lambda: logits_and_losses((0, 1), classes=("a", "b"), alt="x"), "at least 3"),
        (lambda: logits_and_losses((7.0, *BEGIN[1:]), alt="x"), "from -6 to 6"),
        (lambda: logits_and_losses(BEGIN, 7, alt="x"), "class 7 of 7"),
        (lambda: logits_and_losses(BEGIN, beta=3, alt="x"), "from 0 to 2"),
    ],
)
def test_logits_that_do_not_fit_are_told(wrong: Callable[[], object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        wrong()


@site
def test_the_script_has_the_losses_gradients_and_steps_of_torch(shown: Open) -> None:  # noqa: F811
    one = shown(logits_and_losses(BEGIN, alt="Seven logits").html)
    rng = np.random.default_rng(3)
    for trial, scale in enumerate((0.0, 0.5, 2, 6, 60)):
        logits, target, beta = scale * rng.standard_normal(C), trial, 0.4 * trial
        for name in NAMES:
            call = "all => document.querySelector('.fim').fim.loss(...all)"
            found = one.page.evaluate(call, [name, logits.tolist(), target, beta, SMOOTHING])
            value, gradient = by_torch(name, logits, target, beta)
            assert found["value"] == pytest.approx(value, rel=1e-12, abs=1e-12)
            assert found["gradient"] == pytest.approx(gradient, abs=1e-12)
            call = "all => document.querySelector('.fim').fim.descend(...all)"
            found = one.page.evaluate(call, [name, logits.tolist(), target, beta, SMOOTHING, 1, 10])
            assert found == pytest.approx(stepped(name, logits, target, beta, 10), abs=1e-10)


def shows_what_torch_says(one: Shown, steps: int) -> None:
    """Rows, sentence and the four drawings belong to the sliders and the number of steps."""
    values = fields(one)
    logits, beta = np.array([values[f"logit{c}"] for c in range(C)]), values["beta"]
    target, name = (one.page.locator(f"[data-key={key}]").input_value() for key in ("target", "loss"))
    true = int(target)
    value, gradient = by_torch(name, logits, true, beta)
    parts = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    rows = one.page.locator(".fim-logit:has(input)")
    for c in range(C):
        part, push = rows.nth(c).locator(".fim-number").all_inner_texts()
        assert number(part) == pytest.approx(100 * parts[c], abs=0.051)
        assert number(push) == pytest.approx(gradient[c], abs=0.00051)
        assert push[-1] == ("·" if abs(gradient[c]) < 5e-4 else "↑" if gradient[c] < 0 else "↓")
    drawn = rows.locator("i").evaluate_all(
        """all => all.map(one => {
            const [bar, style] = [one.getBoundingClientRect().width, getComputedStyle(one, "::after")];
            const [left, width] = [style.left, style.width].map(parseFloat);
            return [left / bar - 0.5, (left + width) / bar - 0.5, style.backgroundColor];
        })"""
    )
    ends = np.array([[first, last] for first, last, _ in drawn])
    largest = np.abs(gradient).max()
    assert np.abs(ends).max() <= 0.501
    expected = np.stack([gradient.clip(max=0), gradient.clip(min=0)], axis=1) / largest
    assert ends / np.abs(ends).max() == pytest.approx(expected, abs=0.02)
    assert len({colour for _, _, colour in drawn}) == 2
    said = one.page.locator(".fim-said").inner_text()
    assert said.lower().startswith(NAMES[name])
    assert number(said.split(" is ")[1]) == pytest.approx(value, abs=0.00051)
    assert f"{EMOTIONS[true]} is true" in said
    for key, box in zip(NAMES, one.page.locator(".fim-rests > div").all(), strict=True):
        there = stepped(key, logits, true, beta, steps)
        wrong = np.delete(there, true)
        sure, apart, push = map(number, box.locator("dd").all_inner_texts())
        assert sure == pytest.approx(100 * np.exp(there[true]) / np.exp(there).sum(), abs=0.051)
        assert apart == pytest.approx(np.ptp(wrong), abs=0.0051)
        assert push == pytest.approx(np.abs(by_torch(key, there, true, beta)[1]).max(), abs=0.000051)
        heights = box.locator("rect").evaluate_all("all => all.map(one => one.height.baseVal.value)")
        assert np.array(heights) / max(heights) == pytest.approx(np.abs(there) / np.abs(there).max(), abs=1e-5)


@site
def test_logits_are_dragged_and_four_losses_push_them(shown: Open) -> None:  # noqa: F811
    one = shown(logits_and_losses(BEGIN, alt="Seven logits").html)
    shows_what_torch_says(one, 0)
    drag(one, "logit4", 1.0)
    press(one, "logit0", "ArrowRight", "ArrowRight", "ArrowRight")
    assert (fields(one)["logit4"], fields(one)["logit0"]) == (6, 1.5)
    shows_what_torch_says(one, 0)
    for name in NAMES:
        one.page.locator("[data-key=loss]").select_option(name)
        assert one.page.locator("[data-key=beta]").is_enabled() == (name in ("kl", "printed"))
        shows_what_torch_says(one, 0)
    press(one, "beta", "End")
    one.page.locator("[data-key=target]").select_option("5")
    shows_what_torch_says(one, 0)
    one.page.get_by_role("button", name="Ten steps").click()
    shows_what_torch_says(one, 10)
    one.page.get_by_role("button", name="Ten steps").press("Enter")
    assert one.page.locator(".fim-steps > span").inner_text() == "after 20 steps"
    shows_what_torch_says(one, 20)
    one.page.get_by_role("button", name="Back to the sliders").click()
    shows_what_torch_says(one, 0)
    one.page.get_by_role("button", name="Ten steps").click()
    press(one, "logit1", "Home")
    shows_what_torch_says(one, 0)
    assert not one.wrong


@site
def test_only_label_smoothing_rests_below_certainty(shown: Open) -> None:  # noqa: F811
    one = shown(logits_and_losses(BEGIN, alt="Seven logits").html)
    for _ in range(3):
        one.page.get_by_role("button", name="A thousand steps").click()
    assert one.page.locator(".fim-steps > span").inner_text() == "after 3,000 steps"
    found = {
        key: [number(text) for text in box.locator("dd").all_inner_texts()]
        for key, box in zip(NAMES, one.page.locator(".fim-rests > div").all(), strict=True)
    }
    assert found["label_smoothing"] == [pytest.approx(100 * (1 - SMOOTHING + SMOOTHING / C), abs=0.051), 0, 0]
    assert min(found[key][0] for key in ("cross_entropy", "kl", "printed")) > 99.9
    assert found["kl"][1] < 0.005 < found["cross_entropy"][1]
    assert found["printed"][1] < 0.005


@site
def test_without_scripts_all_four_gradients_stand_in_a_table(shown: Open) -> None:  # noqa: F811
    one = shown(logits_and_losses(BEGIN, alt="Seven logits").html, scripts=False)
    rows = one.page.locator(".fim-still tbody tr")
    seen = np.array([[number(x) for x in rows.nth(c).locator("td").all_inner_texts()] for c in range(C)])
    expected = np.stack([by_torch(name, np.array(BEGIN), 0, 0.2)[1] for name in NAMES], axis=1)
    assert seen == pytest.approx(np.column_stack([BEGIN, expected]), abs=0.00051)


@site
def test_another_figure_on_the_page_does_not_change_its_look(shown: Open) -> None:  # noqa: F811
    """Both bring the style of all figures with them, and the later one stands behind what is this one's own."""
    own = logits_and_losses(BEGIN, 0, alt="Logits").html
    widths = "all => all.map(one => one.getBoundingClientRect().width)"
    alone, followed = (
        shown(own, *others).page.locator(".fim-logits :is(span, select, i)").evaluate_all(widths)
        for others in ([], [power_explorer(1.0, 1.0, 5, alt="Power").html])
    )
    assert alone == followed
