import math

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import entropy
from torch import Tensor

from dferlib import CompactLoss, CompactTerm, InputError
from dferlib.models.losses import check_labels


def make_batch(scale: float = 1.0, count: int = 9, classes: int = 7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(count, classes, generator=generator, dtype=torch.float64) * scale
    return logits, torch.arange(count) % classes


def by_loops(logits: Tensor, labels: Tensor, beta: float, form: str) -> float:
    """Equations 17 to 20, a clip and a class at a time, without any trick against overflow."""
    total = 0.0
    for row, y in zip(logits.tolist(), labels.tolist(), strict=True):
        C = len(row)
        cross_entropy = -math.log(math.exp(row[y]) / sum(math.exp(v) for v in row))
        others = [math.exp(v) for c, v in enumerate(row) if c != y]
        p = [v / sum(others) for v in others]
        first = sum(1 / (C - 1) * math.log(1 / ((C - 1) * v)) for v in p)
        if form == "kl":
            second = sum(v * math.log((C - 1) * v) for v in p)
        else:
            second = sum(math.log(1 / ((C - 1) * v)) for v in p)
        total += cross_entropy + beta / 2 * (first + second)
    return total / len(labels)


@pytest.mark.parametrize("form", ["kl", "printed"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_equals_the_equations_written_as_loops(form, dtype, tolerance):
    logits, labels = make_batch(3.0)
    found = CompactLoss(0.7, form)(logits.to(dtype), labels).item()
    assert found == pytest.approx(by_loops(logits, labels, 0.7, form), rel=tolerance, abs=tolerance)


def test_the_divergence_is_that_of_scipy_both_ways():
    logits, labels = make_batch(2.0, count=1)
    p = F.softmax(logits[0, 1:], 0).numpy()
    u = [1 / 6] * 6
    found = CompactLoss(2.0)(logits, labels) - F.cross_entropy(logits, labels)
    assert found.item() == pytest.approx(entropy(u, p) + entropy(p, u), rel=1e-10)


def test_the_printed_form_is_one_direction_counted_often():
    logits, labels = make_batch(2.0, count=1)
    p = F.softmax(logits[0, 1:], 0).numpy()
    found = CompactLoss(2.0, "printed")(logits, labels) - F.cross_entropy(logits, labels)
    assert found.item() == pytest.approx(7 * entropy([1 / 6] * 6, p), rel=1e-10)


@pytest.mark.parametrize("form", ["kl", "printed"])
def test_the_regulariser_of_logo_former_is_its_equation_12_written_as_loops(form):
    logits, labels = make_batch(2.0, classes=5)
    total = 0.0
    for row, y in zip(logits.tolist(), (labels % 5).tolist(), strict=True):
        others = [math.exp(v) for c, v in enumerate(row) if c != y]
        p = [v / sum(others) for v in others]  # Eq. 11
        first = sum(math.log(1 / (4 * v)) / 4 for v in p)
        total += first + (sum(v * math.log(4 * v) for v in p) if form == "kl" else 4 * first)
    found = CompactTerm(form)(logits, labels % 5)
    assert found.item() == pytest.approx(total / len(labels), rel=1e-10)
    both = CompactLoss(2.0, form)(logits, labels % 5) - F.cross_entropy(logits, labels % 5)
    assert both.item() == pytest.approx(found.item(), rel=1e-10)


@pytest.mark.parametrize("form", ["kl", "printed"])
def test_equal_wrong_classes_cost_nothing(form):
    logits, labels = torch.tensor([[2.0, -1, -1, -1]], dtype=torch.float64), torch.tensor([0])
    assert CompactLoss(5.0, form)(logits, labels).item() == pytest.approx(F.cross_entropy(logits, labels).item())


def test_beta_zero_is_cross_entropy():
    logits, labels = make_batch()
    assert CompactLoss(0.0)(logits, labels).item() == pytest.approx(F.cross_entropy(logits, labels).item())


@pytest.mark.parametrize("form", ["kl", "printed"])
def test_the_targets_logit_does_not_change_the_divergence(form):
    logits, labels = make_batch()
    other = logits.clone()
    other[torch.arange(len(labels)), labels] += 5
    part = [CompactLoss(1.0, form)(x, labels) - F.cross_entropy(x, labels) for x in (logits, other)]
    torch.testing.assert_close(*part)


@pytest.mark.parametrize("form", ["kl", "printed"])
def test_gradients(form):
    logits, labels = make_batch(count=3)
    assert torch.autograd.gradcheck(lambda x: CompactLoss(0.5, form)(x, labels), logits.requires_grad_())


@pytest.mark.parametrize("form", ["kl", "printed"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_large_logits_stay_finite_in_any_precision(form, dtype):
    labels = torch.tensor([0, 1, 2])
    logits = torch.full((3, 7), -1e4).to(dtype)
    logits[torch.arange(3), [0, 2, 4]] = 1e4  # right once, wrong twice
    logits.requires_grad_()
    loss = CompactLoss(0.2, form)(logits, labels)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    exact = CompactLoss(0.2, form)(logits.detach().double(), labels)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)


def test_half_precision_is_computed_in_float32():
    logits, labels = make_batch(3.0)
    half = logits.half()
    assert CompactLoss()(half, labels).dtype == torch.float32
    assert CompactLoss()(half, labels).item() == pytest.approx(CompactLoss()(half.double(), labels).item(), rel=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CompactLoss(form="reverse"), "unknown form 'reverse': choose one of kl, printed"),
        (lambda: CompactLoss(-0.1), "must not be negative"),
        (lambda: CompactLoss(float("nan")), "must not be negative"),
        (lambda: CompactLoss()(torch.zeros(2, 2), torch.tensor([0, 1])), "at least 3 classes"),
        (lambda: CompactLoss()(torch.zeros(2, 7), torch.tensor([0, 7])), "label 7"),
        (lambda: CompactLoss()(torch.zeros(2, 7), torch.tensor([0])), r"labels \(1,\): give \(batch, classes\)"),
        (lambda: CompactTerm()(torch.zeros(7), torch.tensor(0)), r"logits have shape \(7,\)"),
        (lambda: CompactTerm("reverse"), "unknown form 'reverse': choose one of kl, printed"),
        (lambda: CompactLoss()(torch.zeros(2, 7), torch.tensor([-1, 0])), "label -1"),
    ],
)
def test_wrong_input(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_labels_on_a_gpu_are_not_looked_at():
    check_labels(torch.zeros(3, dtype=torch.int64, device="meta"), 7)  # where there is nothing to see, either
    with pytest.raises(InputError, match="label 7 is out of range"):
        check_labels(torch.tensor([0, 7]), 7)
