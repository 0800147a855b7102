import pytest
import torch
from torch import Tensor

from dferlib import InputError
from dferlib.models.metric_losses import CenterLoss, ECSTFLLoss


def make_batch(scale: float = 1.0, count: int = 9) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 5, generator=generator, dtype=torch.float64) * scale, torch.arange(count) % 4


def ecstfl_by_loops(features: list[list[float]], labels: list[int]) -> float:
    total, count = 0.0, len(labels)
    for i in range(count):
        near, far, alike, others = 0.0, 0.0, 0, 0
        for j in range(count):
            d = sum(abs(a - b) for a, b in zip(features[i], features[j], strict=True))
            if labels[i] == labels[j]:
                near, alike = near + d, alike + 1
            else:
                far, others = far + 1 / (d + 1e-6), others + 1
        total += near / alike * far / (others + 1)
    return total / count / count


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_ecstfl_equals_its_definition_written_as_loops(dtype, tolerance):
    features, labels = make_batch()
    found = ECSTFLLoss()(features.to(dtype), labels).item()
    assert found == pytest.approx(ecstfl_by_loops(features.tolist(), labels.tolist()), rel=tolerance)


def test_ecstfl_falls_when_classes_come_apart():
    features, labels = make_batch()
    apart = features + 100 * torch.nn.functional.one_hot(labels, 5)
    assert ECSTFLLoss()(apart, labels) < ECSTFLLoss()(features, labels) / 20


def test_ecstfl_of_one_class_and_of_one_clip_is_nothing():
    features, labels = make_batch()
    assert ECSTFLLoss()(features, torch.zeros_like(labels)) == 0
    assert ECSTFLLoss()(features[:1], labels[:1]) == 0


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_centers_and_their_loss_equal_the_paper_written_as_loops(dtype, tolerance):
    loss = CenterLoss(4, 5, rate=0.3).to(dtype)
    centers = [[0.0] * 5 for _ in range(4)]
    for step in range(3):
        features, labels = make_batch(1 + step)
        labels = labels.clamp(max=2)  # the last class never comes
        expected = 0.0
        moves = [[0.0] * 5 for _ in range(4)]
        for x, y in zip(features.tolist(), labels.tolist(), strict=True):
            expected += sum((a - c) ** 2 for a, c in zip(x, centers[y], strict=True)) / 2 / len(labels)
            moves[y] = [m + c - a for m, c, a in zip(moves[y], centers[y], x, strict=True)]
        for j in range(4):
            count = int((labels == j).sum())
            centers[j] = [c - 0.3 * m / (1 + count) for c, m in zip(centers[j], moves[j], strict=True)]
        assert loss(features.to(dtype), labels).item() == pytest.approx(expected, rel=tolerance)
        torch.testing.assert_close(loss.centers.double(), torch.tensor(centers).double(), rtol=1e-5, atol=1e-6)
    assert not loss.centers[3].any()


def test_centers_stay_in_evaluation_and_travel_in_the_state_dict():
    loss = CenterLoss(4, 5)
    features, labels = make_batch()
    loss(features.float(), labels)
    kept = loss.centers.clone()
    loss.eval()(features.float(), labels)
    assert torch.equal(loss.centers, kept)
    other = CenterLoss(4, 5)
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.centers, kept)
    assert not list(loss.parameters())


def test_gradients():
    features, labels = make_batch(count=6)
    center = CenterLoss(4, 5).double()
    center(*make_batch(2.0))
    for loss in (center.eval(), ECSTFLLoss()):
        assert torch.autograd.gradcheck(lambda x, loss=loss: loss(x, labels), features.clone().requires_grad_())


@pytest.mark.parametrize("loss", [CenterLoss(4, 5), ECSTFLLoss()], ids=["center", "ecstfl"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_large_features_and_equal_ones_stay_finite_in_any_precision(loss, dtype):
    for scale in (1e4, 0.0):
        features, labels = make_batch(scale)
        features = features.to(dtype).requires_grad_()
        value = loss(features, labels)
        value.backward()
        assert value.dtype == torch.float32
        assert torch.isfinite(value)
        assert torch.isfinite(features.grad).all()


def test_half_precision_is_computed_in_float32():
    features, labels = make_batch()
    half = features.half()
    for loss in (CenterLoss(4, 5).eval(), ECSTFLLoss()):
        assert loss(half, labels).item() == pytest.approx(loss(half.double(), labels).item(), rel=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y: CenterLoss(4, 5, rate=0.0), "rate is 0.0: it must be above 0"),
        (lambda x, y: CenterLoss(4, 6)(x, y), r"shape \(9, 5\): these centres take \(batch, 6\)"),
        (lambda x, y: CenterLoss(3, 5)(x, y), "label 3 is out of range: 3 classes have labels 0 to 2"),
        (lambda x, y: CenterLoss(4, 5)(x, y - 1), "label -1 is out of range"),
        (lambda x, y: ECSTFLLoss()(x, y[:-1]), r"labels \(8,\): give \(batch, dim\) and \(batch,\)"),
    ],
)
def test_wrong_input(call, message):
    with pytest.raises(InputError, match=message):
        call(*make_batch())
