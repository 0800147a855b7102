"""Dropout against its definition: who is dropped, how often, by what the others are multiplied, and the gradient."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from dferlib.models.dropout import Dropout

COUNT = 400_003  # odd, so that the last random number is for fewer than four values


def drop(p: float, x: Tensor, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return Dropout(p)(x)


def scale_of(p: float) -> float:
    """The inverse of the probability that a value is kept, which is the nearest multiple of 2^-16, and never 0."""
    return 2**16 / max(1, round(2**16 * (1 - p)))


@pytest.mark.parametrize("p", [1e-4, 0.1, 0.5, 0.9, 0.999])
def test_as_many_are_dropped_as_the_binomial_distribution_has_it(p):
    kept = sum(int((drop(p, torch.ones(COUNT), seed) != 0).sum()) for seed in range(3))
    deviation = math.sqrt(3 * COUNT * p * (1 - p))
    assert abs(kept - 3 * COUNT * (1 - p)) < 5 * deviation + 3 * COUNT * 2**-17


@pytest.mark.parametrize("place", range(4))
def test_each_of_the_four_values_of_a_random_number_is_dropped_alike(place):
    dropped = (drop(0.1, torch.ones(4 * COUNT)) == 0)[place::4].double()
    assert abs(float(dropped.mean()) - 0.1) < 5 * math.sqrt(0.1 * 0.9 / COUNT)


@pytest.mark.parametrize("apart", [1, 2, 3, 4, 5, 8, 128])
def test_neighbours_are_dropped_independently(apart):
    dropped = (drop(0.1, torch.ones(COUNT)) == 0).double() - 0.1
    correlation = float((dropped[apart:] * dropped[:-apart]).mean()) / (0.1 * 0.9)
    assert abs(correlation) < 5 / math.sqrt(COUNT)


def test_two_masks_in_a_row_have_nothing_in_common():
    torch.manual_seed(0)
    one, other = ((Dropout(0.1)(torch.ones(COUNT)) == 0).double() - 0.1 for _ in range(2))
    assert abs(float((one * other).mean())) / (0.1 * 0.9) < 5 / math.sqrt(COUNT)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("p", [1e-6, 0.1, 0.3, 1 - 1e-6])
def test_what_is_kept_is_multiplied_by_the_inverse_of_the_probability_exactly(dtype, p):
    x = torch.randn(10, 1001, dtype=dtype)
    found = drop(p, x)
    assert found.dtype == dtype and found.shape == x.shape
    kept = found != 0
    exact = x.double() * scale_of(p)
    rounded = torch.finfo(dtype).eps * (0.51 if dtype.itemsize == 2 else 1.01)  # half precision is rounded only once
    where = kept & exact.isfinite() & (exact.abs() < torch.finfo(dtype).max)
    assert bool(((found.double() - exact).abs() <= rounded * exact.abs())[where].all())


def test_the_mean_stays_in_bfloat16_too():
    found = drop(0.1, torch.ones(COUNT, dtype=torch.bfloat16))
    values = found.double().unique().tolist()
    assert values[0] == 0 and values[1] == pytest.approx(scale_of(0.1), rel=2**-8) and len(values) == 2


@pytest.mark.parametrize("shape", [(), (1,), (3,), (4,), (5, 7), (2, 3, 5, 1), (0, 4)])
def test_any_shape(shape):
    x = torch.rand(shape) + 1
    found = drop(0.5, x)
    assert found.shape == x.shape
    assert bool(((found == 0) | ((found - 2 * x).abs() < 1e-6)).all())


def test_a_value_has_its_mask_wherever_it_lies_in_memory():
    x = torch.rand(6, 8, 10) + 1
    torch.testing.assert_close(drop(0.3, x.transpose(0, 2).contiguous().transpose(0, 2)), drop(0.3, x), rtol=0, atol=0)


def test_the_same_seed_drops_the_same_with_any_number_of_threads():
    threads, x = torch.get_num_threads(), torch.rand(500, 1001)
    try:
        found = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(drop(0.1, x, seed=7))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, found[0]) for one in found)
    assert not torch.equal(drop(0.1, x, seed=8), found[0])


def test_the_gradient_is_that_of_a_product_with_the_mask():
    x = torch.randn(9, 13, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(9, 13, dtype=torch.float64)
    found = drop(0.3, x)
    mask = (found != 0).double() * scale_of(0.3)
    (found * weights).sum().backward()
    torch.testing.assert_close(x.grad, mask * weights, rtol=1e-15, atol=0)
    assert torch.autograd.gradcheck(lambda y: drop(0.3, y), x)


@pytest.mark.parametrize("p", [0.0, 0.1, 1.0])
def test_in_evaluation_and_without_dropout_nothing_happens_and_nothing_is_drawn(p):
    x = torch.randn(50, requires_grad=True)
    before = torch.get_rng_state()
    assert Dropout(p).eval()(x) is x and (p > 0 or Dropout(p)(x) is x)
    assert torch.equal(torch.get_rng_state(), before)
    if p == 1:
        assert not Dropout(p)(x).any()


def test_it_has_no_state_and_stands_where_that_of_torch_stood():
    assert isinstance(Dropout(0.1), nn.Dropout) and not Dropout(0.1).state_dict()
    assert copy.deepcopy(Dropout(0.25)).p == 0.25
    with pytest.raises(ValueError):
        Dropout(1.5)


def test_it_compiles_in_one_piece_and_still_drops():
    compiled = torch.compile(Dropout(0.5), backend="eager", fullgraph=True)
    x = torch.ones(1000)
    found = compiled(x)
    assert set(found.unique().tolist()) == {0.0, 2.0} and 400 < int((found == 0).sum()) < 600


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_it_is_that_of_torch():
    x = torch.rand(1000, device="cuda")
    torch.manual_seed(0)
    expected = nn.functional.dropout(x, 0.1)
    assert torch.equal(drop(0.1, x), expected)
