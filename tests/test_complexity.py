"""Memory of a training step: what is counted without tensors is what real ones take."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from dferlib import TrainConfig, create_model
from dferlib.evidence.complexity import training_memory

CONFIG = TrainConfig(batch_size=64, optimizer="sgd")


def saved_bytes(model, count):
    """What a real forward pass keeps for the backward pass, and the batch: each storage once, weights left out."""
    spec, kept = model.input_spec, {}
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    clips = torch.rand(count, spec.frames, 3, spec.size, spec.size)
    labels = torch.zeros(count, dtype=torch.int64)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = cross_entropy(model.train()(clips), labels)
    for tensor in (clips, labels):
        keep(tensor)
    assert loss.isfinite()
    return sum(count for where, count in kept.items() if where not in own)


def test_activations_are_what_a_real_forward_pass_keeps(tiny_model):
    model = tiny_model()
    found = training_memory(model, CONFIG)
    assert found.activations == pytest.approx(saved_bytes(model, 64), rel=0.01)


def test_weights_gradients_and_states_follow_from_the_number_of_parameters(tiny_model):
    model = tiny_model()
    learnt = sum(p.numel() for p in model.parameters())
    backbone = sum(p.numel() for p in model.backbone.parameters())
    buffers = sum(buffer.nbytes for buffer in model.buffers())
    sgd, adam = training_memory(model, CONFIG), training_memory(model, replace(CONFIG, optimizer="adamw"))
    frozen = training_memory(model, replace(CONFIG, backbone_lr_scale=0.0))
    assert sgd.weights == adam.weights == 4 * learnt + buffers
    assert sgd.gradients == sgd.states == 4 * learnt
    assert adam.states == 2 * 4 * learnt + 4 * len(list(model.parameters()))  # two moments, and a count for each
    assert frozen.gradients == frozen.states == 4 * (learnt - backbone)
    assert frozen.activations < sgd.activations
    for one in (sgd, adam, frozen):  # at the end of the forward pass everything is there at once
        assert one.peak >= one.weights + one.gradients + one.states + one.activations


def test_half_precision_and_activation_checkpointing_save_memory_and_leave_the_model_alone():
    model = create_model("stt", layers=1).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    plain = training_memory(model, CONFIG)
    half = training_memory(model, replace(CONFIG, precision="bf16-mixed"))
    checkpointed = training_memory(model, replace(CONFIG, recompute=True))
    assert 0.4 < half.activations / plain.activations < 0.8
    assert checkpointed.activations < 0.3 * plain.activations and checkpointed.peak < plain.peak
    assert {half.weights, checkpointed.weights} == {plain.weights} and {half.states, checkpointed.states} == {
        plain.states
    }
    assert not model.training and all(p.grad is None for p in model.parameters())
    for name, value in model.state_dict().items():
        assert type(value) is torch.Tensor and torch.equal(value, before[name])
