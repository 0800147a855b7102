"""Optimisers, schedules, sharpness-aware minimisation, averages and losses, against their definitions in the plain."""

import copy
import math
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dferlib import InputError, create_model
from dferlib.data.table import ArraySource, ClipTable
from dferlib.models.metric_losses import CenterLoss, ECSTFLLoss
from dferlib.training.activation_checkpointing import checkpoint_activations
from dferlib.training.config import TrainConfig
from dferlib.training.loader import Loader
from dferlib.training.loop import train
from dferlib.training.objective import CrossEntropy, Objective, make_loss
from dferlib.training.optimiser import learning_rate_factor, make_optimizer
from dferlib.training.sharpness import ascend, freeze_statistics


def quick(**changes):
    return TrainConfig(**{"epochs": 2, "batch_size": 8, "lr": 1e-2, "device": "cpu", **changes})


def weights(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


def close(one, other, **tolerance):
    for key in one:
        torch.testing.assert_close(one[key], other[key], msg=key, **tolerance)


def no_dropout(model):
    model.drop.p = 0.0
    return model


# what the papers print: the rate in each epoch, counted from 1
PUBLISHED = {
    "stt": (0.01, (40, 80), {1: 1e-2, 40: 1e-2, 41: 1e-3, 80: 1e-3, 81: 1e-4, 100: 1e-4}),
    "msstnet": (0.1, (20, 35), {1: 0.1, 20: 0.1, 21: 1e-2, 35: 1e-2, 36: 1e-3, 40: 1e-3}),
    "staner": (1e-4, (100,), {1: 1e-4, 100: 1e-4, 101: 1e-5, 150: 1e-5}),
}


@pytest.mark.parametrize("paper", PUBLISHED)
def test_step_schedules_are_those_that_the_papers_print(paper):
    lr, milestones, wanted = PUBLISHED[paper]
    per_epoch = 7
    config = TrainConfig(epochs=max(wanted), lr=lr, warmup=0.0, schedule="steps", milestones=milestones)
    for epoch, expected in wanted.items():
        for step in range((epoch - 1) * per_epoch, epoch * per_epoch):
            found = lr * learning_rate_factor(step, config, per_epoch)
            assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
@given(st.integers(2, 500), st.floats(0, 0.9))
def test_the_cosine_rises_in_the_warm_up_and_falls_to_nothing(steps, warmup):
    config = TrainConfig(epochs=steps, warmup=warmup)
    found = [learning_rate_factor(step, config, per_epoch=1) for step in range(steps)]
    risen = math.ceil(warmup * steps)
    assert all(0 < value <= 1 for value in found)
    assert all(later < earlier for earlier, later in zip(found[risen:], found[risen + 1 :], strict=False))
    middle = steps // 2
    if risen <= middle:
        assert found[middle] == pytest.approx((1 + math.cos(math.pi * middle / steps)) / 2)
    assert found[0] == pytest.approx(min(1, 1 / max(1, warmup * steps)))


def one_batch(source, config, model):
    """The only batch of a training that takes one step."""
    return next(Loader(source, model, config=config, device=torch.device("cpu")).epoch(1))


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_a_step_of_sgd_is_the_formula(tiny_model, tiny_source, weight_decay):
    model, source = no_dropout(tiny_model()), tiny_source(8)
    config = quick(
        epochs=1, optimizer="sgd", schedule="steps", warmup=0.0, clip_norm=0, backbone_lr_scale=1.0,
        weight_decay=weight_decay,
    )  # fmt: skip
    plain = copy.deepcopy(model).train()
    batch = one_batch(source, config, model)
    F.cross_entropy(plain(batch.inputs), batch.labels).backward()
    train(model, source, source, config, progress=False)
    for (name, before), after in zip(plain.named_parameters(), model.parameters(), strict=True):
        expected = before - 0.01 * (before.grad + weight_decay * before)
        torch.testing.assert_close(after, expected, msg=name, atol=1e-6, rtol=1e-5)


def test_the_second_step_of_sgd_has_momentum(tiny_model, tiny_source):
    source, moves = tiny_source(8), []
    config = quick(epochs=2, optimizer="sgd", schedule="steps", warmup=0.0, clip_norm=0, weight_decay=0)
    model = no_dropout(tiny_model())
    loader, before = Loader(source, model, config=config, device=torch.device("cpu")), weights(model)
    plain, velocity = copy.deepcopy(model).train(), {}
    for epoch in (1, 2):
        batch = next(loader.epoch(epoch))
        plain.zero_grad()
        F.cross_entropy(plain(batch.inputs), batch.labels).backward()
        with torch.no_grad():
            for name, p in plain.named_parameters():
                velocity[name] = 0.9 * velocity.get(name, 0) + p.grad
                p -= (0.005 if name.startswith("backbone") else 0.01) * velocity[name]
        moves.append(weights(plain))
    train(model, source, source, config, progress=False)
    assert any(same(weights(model), moved) for moved in moves)  # the better of the two epochs is kept
    assert not same(weights(model), before)


def same(one, other):
    return all(torch.allclose(one[key], other[key], atol=1e-5) for key in one if "num_batches" not in key)


def test_a_gradient_is_clipped_to_the_norm_and_with_zero_not_at_all(tiny_model, tiny_source):
    moved = {}
    for norm in (1e-3, 0.0, 1e9):
        model = no_dropout(tiny_model())
        before = weights(model)
        config = quick(
            epochs=1, optimizer="sgd", lr=1.0, warmup=0, weight_decay=0, backbone_lr_scale=1.0, clip_norm=norm
        )
        train(model, tiny_source(8), tiny_source(8), config, progress=False)
        names = dict(model.named_parameters())
        moved[norm] = math.sqrt(sum(float((p.detach() - before[name]).square().sum()) for name, p in names.items()))
    assert moved[1e-3] == pytest.approx(1e-3, rel=1e-3)
    assert moved[0.0] == moved[1e9] > 0.01


def test_the_ascent_is_a_step_of_length_rho_along_the_gradient_and_comes_back_to_the_bit():
    torch.manual_seed(0)
    p, q, still = nn.Parameter(torch.randn(5)), nn.Parameter(torch.randn(2, 3)), nn.Parameter(torch.randn(2))
    (p.square().sum() + q.pow(3).sum()).backward()
    before = [x.detach().clone() for x in (p, q, still)]
    slope = torch.cat([2 * before[0], 3 * before[1].square().flatten()])
    with ascend([p, q, still], rho=0.05):
        step = torch.cat([p.detach() - before[0], (q.detach() - before[1]).flatten()])
        torch.testing.assert_close(step, 0.05 * slope / slope.norm(), atol=1e-6, rtol=1e-4)
        assert torch.equal(still, before[2])
    for now, then in zip((p, q, still), before, strict=True):
        assert torch.equal(now, then)


def test_sharpness_aware_minimisation_is_its_paper_and_moves_the_batch_statistics_once(tiny_model, tiny_source):
    source, rho = tiny_source(8), 0.5
    config = quick(
        epochs=1, optimizer="sgd", schedule="steps", warmup=0.0, clip_norm=0, weight_decay=0, backbone_lr_scale=1.0,
        sam=rho,
    )  # fmt: skip
    model = no_dropout(tiny_model())
    plain = copy.deepcopy(model).train()
    batch = one_batch(source, config, model)

    def slope(net):
        net.zero_grad()
        F.cross_entropy(net(batch.inputs), batch.labels).backward()
        return [p.grad.clone() for p in net.parameters()]

    first = slope(plain)
    statistics = {key: value.clone() for key, value in plain.named_buffers()}
    norm = math.sqrt(sum(float(g.square().sum()) for g in first))
    away = copy.deepcopy(plain)
    with torch.no_grad():
        for p, g in zip(away.parameters(), first, strict=True):
            p += rho * g / norm
    second = slope(away)
    train(model, source, source, config, progress=False)
    for (name, p), g, after in zip(plain.named_parameters(), second, model.parameters(), strict=True):
        torch.testing.assert_close(after, p - 0.01 * g, msg=name, atol=1e-6, rtol=1e-4)
    for key, value in model.named_buffers():
        torch.testing.assert_close(value, statistics[key], msg=key)
    assert int(model.backbone[1].num_batches_tracked) == 1


def test_a_pass_without_trace_still_normalises_by_the_batch(tiny_model):
    model = tiny_model().train()
    center = make_loss("center", model)
    objective, before = Objective(model, center), weights(model)
    clips, labels = torch.randn(4, 4, 3, 14, 14), torch.arange(4)
    model.drop.p = 0.0
    wanted, first = objective(clips, labels)  # moves the statistics and the centres
    centres = center.loss.centers.clone()
    assert not torch.equal(model.backbone[1].running_mean, before["backbone.1.running_mean"]) and centres.any()
    moved = weights(model)
    with freeze_statistics(objective):
        found, logits = objective(clips, labels)
    close(weights(model), moved, atol=0, rtol=0)
    assert torch.equal(center.loss.centers, centres) and model.training and center.training
    torch.testing.assert_close(logits, first)  # not by the running statistics
    assert found != wanted  # since the centres had moved


@pytest.mark.slow
@pytest.mark.parametrize("name, part", [("stt", 0.5), ("logo_former", 0.5), ("msstnet", 0.75)])  # of the memory
def test_activations_that_are_computed_again_change_nothing_but_memory(name, part):
    torch.manual_seed(0)
    plain = create_model(name, weights=None, layers=3) if name != "msstnet" else create_model(name, weights=None)
    spec = plain.input_spec
    checkpointed, clips = copy.deepcopy(plain), torch.randn(3, spec.frames, 3, spec.size, spec.size)
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    def step(model: nn.Module) -> None:
        model.train()
        torch.manual_seed(1)  # of dropout
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: kept.__setitem__(t.data_ptr(), t.nbytes) or t, lambda t: t
        ):
            loss = F.cross_entropy(model(clips), torch.arange(3))
        loss.backward()

    step(plain)
    most = sum(kept.values())
    kept.clear()
    with checkpoint_activations(checkpointed):
        step(checkpointed)
    assert sum(kept.values()) < part * most
    for (key, p), q in zip(plain.named_parameters(), checkpointed.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad), key
    close(weights(checkpointed), weights(plain), atol=0, rtol=0)  # batch statistics among them, moved once
    assert not any("forward" in vars(module) for module in checkpointed.modules())


def test_the_average_follows_the_weights_and_is_what_is_kept(tiny_model, tiny_source):
    source, decay = tiny_source(16), 0.7
    config = quick(epochs=1, optimizer="sgd", schedule="steps", warmup=0, clip_norm=0, ema=decay, weight_decay=0)
    model = no_dropout(tiny_model())
    plain = copy.deepcopy(model).train()
    groups = [{"params": plain.backbone.parameters(), "lr": 0.005}, {"params": plain.head.parameters(), "lr": 0.01}]
    sgd, passed = torch.optim.SGD(groups, momentum=0.9), []
    for batch in Loader(source, model, config=config, device=torch.device("cpu")).epoch(1):
        sgd.zero_grad()
        F.cross_entropy(plain(batch.inputs), batch.labels).backward()
        sgd.step()
        passed.append(weights(plain))
    train(model, source, source, config, progress=False)
    assert len(passed) == 2
    for key, value in model.state_dict().items():
        if "num_batches" not in key:  # the running statistics of batches are averaged too
            expected = decay * passed[0][key] + (1 - decay) * passed[1][key]
            torch.testing.assert_close(value, expected, msg=key, atol=1e-6, rtol=1e-4)


def uneven(tiny_source):
    """Six clips of class 0, one of each of the others."""
    whole = tiny_source(49)
    labels = whole.table.labels
    which = np.concatenate(
        [np.flatnonzero(labels == 0)[:6], [int(np.flatnonzero(labels == k)[0]) for k in range(1, 7)]]
    )
    return ArraySource(ClipTable(whole.table.rows.iloc[which], whole.classes), [whole.clips[k] for k in which])


def test_balanced_sampling_draws_every_class_alike(tiny_model, tiny_source):
    source = uneven(tiny_source)
    loader = Loader(source, tiny_model(), config=quick(balance="sampling"), device=torch.device("cpu"))
    orders = [loader.order(epoch) for epoch in range(1, 201)]
    assert all(len(order) == 12 for order in orders)
    counts = np.bincount(source.table.labels[np.concatenate(orders)], minlength=7)
    # 2400 draws, 343 expected of each class, with a deviation of 17
    assert np.abs(counts - 2400 / 7).max() < 5 * 17.2
    plain = Loader(source, tiny_model(), config=quick(), device=torch.device("cpu"))
    assert sorted(plain.order(3)) == list(range(12)) and plain.order(3).tolist() != plain.order(4).tolist()


def test_class_weights_make_every_class_count_alike(tiny_model, tiny_source):
    source = uneven(tiny_source)
    model = no_dropout(tiny_model())
    config = quick(
        epochs=1, batch_size=12, optimizer="sgd", schedule="steps", warmup=0, clip_norm=0, weight_decay=0,
        balance="weights", backbone_lr_scale=1.0,
    )  # fmt: skip
    plain = copy.deepcopy(model).train()
    batch = one_batch(source, config, model)
    each = F.cross_entropy(plain(batch.inputs), batch.labels, reduction="none")
    sum(each[batch.labels == k].mean() for k in range(7)).div(7).backward()
    train(model, source, source, config, progress=False)
    for (name, p), after in zip(plain.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(after, p - 0.01 * p.grad, msg=name, atol=1e-6, rtol=1e-4)


def test_losses_with_features_are_their_sums(tiny_model):
    torch.manual_seed(0)
    model = tiny_model().eval()
    clips, labels = torch.randn(6, 4, 3, 14, 14), torch.tensor([0, 0, 1, 1, 2, 2])
    features = model.forward_features(clips)
    entropy = F.cross_entropy(model.head(features), labels)
    wanted = {
        "center": entropy + 0.003 * CenterLoss(7, 8).eval()(features, labels),
        "ec_stfl": entropy + 10 * ECSTFLLoss()(features, labels),
        "label_smoothing": F.cross_entropy(model.head(features), labels, label_smoothing=0.1),
        "cross_entropy": entropy,
    }
    for name, expected in wanted.items():
        loss, logits = Objective(model, make_loss(name, model).eval())(clips, labels)
        torch.testing.assert_close(loss, expected, msg=name)
        torch.testing.assert_close(logits, model.head(features))
    maps = model.feature_maps(clips)
    from_maps = Objective(model, make_loss("ec_stfl", model), from_maps=True)(maps, labels)[0]
    torch.testing.assert_close(from_maps, wanted["ec_stfl"])


@given(st.integers(1, 20), st.floats(0, 0.5))
def test_weighted_cross_entropy_is_the_mean_of_what_torch_gives_for_each_clip(count, smoothing):
    torch.manual_seed(count)
    logits, labels, weight = torch.randn(count, 4), torch.randint(4, (count,)), torch.rand(4)
    found = CrossEntropy(weight, smoothing)(torch.zeros(count, 1), logits, labels)
    p, total = logits.log_softmax(1), 0.0
    for k in range(count):
        total -= (1 - smoothing) * weight[labels[k]] * p[k, labels[k]] + smoothing / 4 * (weight * p[k]).sum()
    torch.testing.assert_close(found, total / count)


def test_the_joint_loss_is_that_of_the_model_and_others_have_none(tiny_model):
    torch.manual_seed(0)
    staner = create_model("staner", weights=None).eval()
    clips = torch.randn(2, staner.input_spec.frames, 3, staner.input_spec.size, staner.input_spec.size)
    labels = torch.tensor([3, 5])
    loss, logits = Objective(staner, make_loss("joint", staner))(clips, labels)
    torch.testing.assert_close(loss, staner.joint_loss(clips, labels))
    torch.testing.assert_close(logits, staner(clips))
    with pytest.raises(InputError, match="'tiny' has no joint loss"):
        make_loss("joint", tiny_model())


@pytest.mark.slow
def test_half_precision_learns(tiny_model, tiny_source):
    clips = tiny_source(16)
    history = train(tiny_model(), clips, clips, quick(epochs=30, lr=3e-2, precision="bf16-mixed"), progress=False)
    assert history.best.val_uar > 0.8


def test_sixteen_bits_need_a_gpu(tiny_model, tiny_source):
    clips = tiny_source(7)
    with pytest.raises(InputError, match="16-mixed needs a GPU"):
        train(tiny_model(), clips, clips, quick(precision="16-mixed"), progress=False)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_training_is_the_same(tiny_model, tiny_source):
    source, found = tiny_source(22), []
    for compiled in (False, True):
        model = no_dropout(tiny_model())
        config = quick(optimizer="sgd", sam=0.05, compile=compiled)
        history = train(model, source, source, config, progress=False)
        found.append((weights(model), [epoch.train_loss for epoch in history.epochs]))
    close(found[0][0], found[1][0], atol=1e-4, rtol=1e-3)
    assert found[0][1] == pytest.approx(found[1][1], abs=1e-4)


def test_steps_of_adamw_are_its_paper_and_the_same_with_any_number_of_threads(tiny_model):
    """Loshchilov and Hutter, 2019, Algorithm 2, with betas of 0.9 and 0.999."""
    found, threads = [], torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            model, chance = tiny_model(), torch.Generator().manual_seed(3)
            model.extra = nn.Parameter(torch.linspace(-1, 1, 100_003))  # enough to be shared
            optimizer = make_optimizer(model, quick(lr=1e-2, backbone_lr_scale=0.5, weight_decay=0.1))
            before = {key: p.detach().double() for key, p in model.named_parameters()}
            mean, square = ({key: torch.zeros_like(p) for key, p in before.items()} for _ in range(2))
            for t in range(1, 4):
                for key, p in model.named_parameters():
                    p.grad = torch.randn(p.shape, generator=chance)
                    g = p.grad.double()
                    mean[key], square[key] = 0.9 * mean[key] + 0.1 * g, 0.999 * square[key] + 0.001 * g * g
                    lr = 0.005 if key.startswith("backbone") else 0.01
                    step = (mean[key] / (1 - 0.9**t)) / ((square[key] / (1 - 0.999**t)).sqrt() + 1e-8)
                    before[key] = before[key] - lr * 0.1 * before[key] - lr * step
                optimizer.step()
            for key, p in model.named_parameters():
                torch.testing.assert_close(p.detach().double(), before[key], msg=key, rtol=1e-5, atol=1e-6)
            found.append(weights(model))
    finally:
        torch.set_num_threads(threads)
    close(found[1], found[0], rtol=0, atol=0)
    close(found[2], found[0], rtol=0, atol=0)
