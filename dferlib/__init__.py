"""dferlib: dynamic facial expression recognition, rebuilt from four papers.

Importing the package is fast: torch and everything that needs it is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from dferlib.errors import InputError

__version__ = "0.1.0"

EMOTIONS: tuple[str, ...] = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
"""The seven classes, in the order that every label, table and picture of this project uses."""

# where each name of the public interface lives; `__getattr__` imports it on first use
_HOME = {
    "create_model": "dferlib.models",
    "list_models": "dferlib.models",
    "attention_maps": "dferlib.models",
    "feature_maps": "dferlib.models",
    "load_model": "dferlib.checkpoints",
    "save_model": "dferlib.checkpoints",
    "MakeFaces": "dferlib.data.makefaces",
    "DFEW": "dferlib.data.benchmarks",
    "FERV39k": "dferlib.data.benchmarks",
    "AFEW": "dferlib.data.benchmarks",
    "MAFW": "dferlib.data.benchmarks",
    "CREMAD": "dferlib.data.benchmarks",
    "CKPlus": "dferlib.data.benchmarks",
    "OuluCASIA": "dferlib.data.benchmarks",
    "load_former_dfer_weights": "dferlib.models.former_dfer",
    "CompactLoss": "dferlib.losses",
    "CompactTerm": "dferlib.losses",
    "CenterLoss": "dferlib.metric_losses",
    "ECSTFLLoss": "dferlib.metric_losses",
    "TrainConfig": "dferlib.training",
    "train": "dferlib.training",
    "evaluate": "dferlib.training",
    "predict_video": "dferlib.predict",
    "predict_faces": "dferlib.predict",
    "write_film": "dferlib.annotate",
    "PackedClips": "dferlib.data.pack",
}

if TYPE_CHECKING:  # the same names for type checkers and editors
    from dferlib.annotate import write_film
    from dferlib.checkpoints import load_model, save_model
    from dferlib.data.benchmarks import AFEW, CREMAD, DFEW, MAFW, CKPlus, FERV39k, OuluCASIA
    from dferlib.data.makefaces import MakeFaces
    from dferlib.data.pack import PackedClips
    from dferlib.losses import CompactLoss, CompactTerm
    from dferlib.metric_losses import CenterLoss, ECSTFLLoss
    from dferlib.models import attention_maps, create_model, feature_maps, list_models
    from dferlib.models.former_dfer import load_former_dfer_weights
    from dferlib.predict import predict_faces, predict_video
    from dferlib.training import TrainConfig, evaluate, train

__all__ = ["EMOTIONS", "InputError", "__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'dferlib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
