"""How the four papers train their models, as far as they say it.

Where they are silent, this is what was chosen: momentum 0.9 with SGD; a weight decay of 1e-4 with SGD and none with the
optimiser of STANER, which is Adam; sharpness-aware minimisation looks 0.05 far, as its own paper proposes; MSSTNet has
batches of 32 clips; LOGO-Former, which names no other schedule, stays at its learning rate. No paper has a warm-up or
clips gradients, and the backbone learns at the rate of the rest.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from dferlib.errors import InputError, choose
from dferlib.models import SCALES
from dferlib.training.config import TrainConfig

_PLAIN = TrainConfig(backbone_lr_scale=1.0, warmup=0.0, clip_norm=0.0, schedule="steps", weight_decay=0.0)
_SGD = replace(_PLAIN, optimizer="sgd", weight_decay=1e-4, batch_size=32)

RECIPES = {
    "stt": replace(_SGD, lr=0.01, epochs=100, milestones=(40, 80), loss="compact", per_segment=2),
    "logo_former": replace(_SGD, lr=0.001, epochs=100, sam=0.05, loss="compact"),
    "msstnet": replace(_SGD, lr=0.1, epochs=40, milestones=(20, 35)),
    "staner": replace(_PLAIN, lr=1e-4, epochs=150, milestones=(100,), batch_size=64, loss="joint"),
}


def recipe(model: str, scale: str = "book") -> TrainConfig:
    """How a model is trained at a scale, to be changed with `dataclasses.replace`.

    Args:
        model: its name.
        scale: "book" is the same for all models; "paper" is the paper's own for the models of the four papers, and
            that of STT with cross entropy for all others, which are baselines there.

    Raises:
        InputError: unknown scale.
    """
    if choose("scale", scale, SCALES) == "book":
        return TrainConfig()
    return RECIPES.get(model, replace(RECIPES["stt"], loss="cross_entropy", per_segment=1))


def apply_settings(config: TrainConfig, settings: Sequence[str], **given: Any) -> TrainConfig:
    """Change some settings of a recipe.

    Args:
        config: the recipe.
        settings: as written on a command line: "ema=0.99", "milestones=20,35", "compile=true".
        given: others, as values.

    Raises:
        InputError: an unknown name, or a value that it cannot have.
    """
    kinds = {field.name: type(getattr(config, field.name)) for field in fields(config)}
    for setting in settings:
        name, _, text = setting.partition("=")
        kind = kinds[choose("setting", name, kinds)]
        try:
            if kind is bool:
                given[name] = {"true": True, "false": False}[text]
            else:
                given[name] = [int(part) for part in text.split(",") if part] if kind is list else kind(text)
        except (ValueError, KeyError) as error:
            what = {bool: "true or false", list: "numbers with commas between"}.get(kind, f"{kind.__name__}")
            raise InputError(f"--set {setting}: {name} takes {what}") from error
    return replace(config, **given)
