"""A step of a training leaves out tokens that the head does not read: the same gradient for fewer products."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dferlib import create_model, feature_maps
from dferlib.evidence.complexity import FUSED, pass_cost
from dferlib.models import ClipModel
from dferlib.training.activation_checkpointing import checkpoint_activations

CASES = {
    "stt": {"frames": 6},
    "stt, temporal": {"frames": 6, "spatial": False},
    "stt, spatial": {"frames": 6, "temporal": False},  # its head reads all tokens
    "stt, one block": {"frames": 6, "layers": 1},
    "logo_former": {},
    "logo_former, conv": {"pool": "conv"},
}
D, S, HIDDEN = 128, 16, 256  # at book scale


def make(case: str) -> ClipModel:
    torch.manual_seed(0)
    model = create_model(case.split(",")[0], weights=None, dropout=0.0, **CASES[case])
    for key, parameter in model.named_parameters():
        if not key.startswith("backbone"):
            nn.init.normal_(parameter, std=0.1)  # the usual small start would hide an error
    return model.double()


def make_maps(model: ClipModel) -> Tensor:
    return torch.randn(3, model.input_spec.frames, 128, 4, 4, dtype=torch.float64)


def gradients(model: ClipModel, maps: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits, and the gradient of their squares, of all weights behind the backbone."""
    model.zero_grad()
    logits = model.forward_from_maps(maps)
    logits.square().sum().backward()
    return logits.detach(), {key: p.grad.clone() for key, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("case", CASES)
def test_the_decision_and_its_gradient_are_those_of_all_tokens(case):
    model = make(case)
    maps = make_maps(model)
    expected, slopes = gradients(model.eval(), maps)  # who evaluates computes every token
    found, others = gradients(model.train(), maps)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert slopes.keys() == others.keys() and len(slopes) > 10
    for key, slope in slopes.items():
        torch.testing.assert_close(others[key], slope, rtol=1e-7, atol=1e-9, msg=key)
    with checkpoint_activations(model):
        again = gradients(model, maps)[1]
    for key, slope in others.items():
        torch.testing.assert_close(again[key], slope, rtol=0, atol=0, msg=key)


def products(model: ClipModel, maps: Tensor) -> int:
    """Multiply-accumulates of a forward pass."""
    with FlopCounterMode(display=False, custom_mapping=FUSED) as counter:
        model.forward_from_maps(maps)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("case", CASES)
def test_what_is_left_out_in_closed_form(case):
    model = make(case)
    F, maps = model.input_spec.frames, make_maps(model)
    for_one_token = 2 * D * D + 2 * D * HIDDEN  # its query, its output, its MLP
    if case.startswith("logo"):
        left_out = F * S * (for_one_token + 2 * 16 * D)  # it sees 16 pooled tokens
    else:
        left_out = F * S * (for_one_token + 2 * (F + 1) * D) if model.class_token is not None else 0
    everything = products(model.eval(), maps)
    assert products(model.train(), maps) == everything - len(maps) * left_out
    model.requires_grad_(False)  # torch's counter cannot follow what needs a gradient and has none
    with torch.no_grad():  # nobody learns: a cost that is looked up is that of all tokens
        assert products(model, maps) == everything


@pytest.mark.parametrize("name", ["stt", "logo_former"])
def test_a_prediction_costs_all_tokens_and_a_step_less_than_three_of_it(name):
    model = create_model(name, weights=None)
    spec = model.input_spec
    cost = pass_cost(model, (1, spec.frames, 3, spec.size, spec.size))
    backbone = pass_cost(model.backbone, (spec.frames, 3, spec.size, spec.size))
    head, step = cost.forward - backbone.forward, cost.both - backbone.both
    assert 0.6 * 3 * head < step < 0.85 * 3 * head


@pytest.mark.parametrize("name", ["stt", "logo_former"])
def test_who_looks_into_a_model_that_learns_sees_all_tokens(name):
    model = create_model(name, weights=None).train()
    spec = model.input_spec
    for before, after in feature_maps(model, torch.randn(2, spec.frames, 3, spec.size, spec.size)).values():
        assert after.shape == before.shape
