"""The papers' recipes against what the papers print."""

import pytest
import torch

from dferlib import InputError, create_model, list_models
from dferlib.training.config import TrainConfig
from dferlib.training.objective import make_loss
from dferlib.training.optimiser import learning_rate_factor, make_optimizer
from dferlib.training.recipes import RECIPES, recipe

# learning rate, batch size, epochs; and the rate after so many epochs
PRINTED = {
    "stt": (0.01, 32, 100, {39: 1e-2, 40: 1e-3, 79: 1e-3, 80: 1e-4, 99: 1e-4}),
    "logo_former": (0.001, 32, 100, {0: 1e-3, 99: 1e-3}),
    "msstnet": (0.1, 32, 40, {19: 0.1, 20: 0.01, 34: 0.01, 35: 0.001}),
    "staner": (1e-4, 64, 150, {99: 1e-4, 100: 1e-5, 149: 1e-5}),
}


@pytest.mark.parametrize("name", PRINTED)
def test_a_recipe_is_what_the_paper_prints(name):
    config, (lr, batch, epochs, wanted) = RECIPES[name], PRINTED[name]
    assert (config.lr, config.batch_size, config.epochs) == (lr, batch, epochs)
    model = create_model(name, weights=None)
    optimizer = make_optimizer(model, config)
    assert isinstance(optimizer, torch.optim.AdamW if name == "staner" else torch.optim.SGD)
    assert {group["lr"] for group in optimizer.param_groups} == {lr}
    for epoch, expected in wanted.items():
        factor = learning_rate_factor(10 * epoch + 3, config, per_epoch=10)
        assert lr * factor == pytest.approx(expected)
    make_loss(config.loss, model)
    assert model.input_spec.frames % config.per_segment == 0
    assert (config.sam > 0) == (name == "logo_former")


def test_every_model_has_a_recipe_of_both_scales():
    for name in list_models():
        assert recipe(name) == TrainConfig()
        paper = recipe(name, "paper")
        assert paper.epochs >= 40 and paper.warmup == paper.clip_norm == 0 and paper.backbone_lr_scale == 1
    with pytest.raises(InputError, match="book, paper"):
        recipe("stt", "poster")
