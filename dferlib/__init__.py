"""dferlib: dynamic facial expression recognition, rebuilt from four papers.

Importing the package is fast: torch and everything that needs it is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from dferlib.emotions import EMOTIONS
from dferlib.errors import InputError

__version__ = "0.1.0"

# where each name of the public interface lives; `__getattr__` imports it on first use
_HOME = {
    "create_model": "dferlib.models",
    "list_models": "dferlib.models",
    "attention_maps": "dferlib.models",
    "feature_maps": "dferlib.models",
    "load_model": "dferlib.training.checkpoints",
    "save_model": "dferlib.training.checkpoints",
    "MakeFaces": "dferlib.makefaces",
    "DFEW": "dferlib.data.sets",
    "FERV39k": "dferlib.data.sets",
    "AFEW": "dferlib.data.sets",
    "MAFW": "dferlib.data.sets",
    "CREMAD": "dferlib.data.sets",
    "CKPlus": "dferlib.data.sets",
    "OuluCASIA": "dferlib.data.sets",
    "load_former_dfer_weights": "dferlib.models.former_dfer_weights",
    "CompactLoss": "dferlib.models.losses",
    "CompactTerm": "dferlib.models.losses",
    "CenterLoss": "dferlib.models.metric_losses",
    "ECSTFLLoss": "dferlib.models.metric_losses",
    "TrainConfig": "dferlib.training.config",
    "train": "dferlib.training.loop",
    "evaluate": "dferlib.training.evaluation",
    "predict_video": "dferlib.inference.predictor",
    "predict_faces": "dferlib.inference.predictor",
    "annotate_video": "dferlib.inference.annotating",
    "export_onnx": "dferlib.inference.export",
    "PackedClips": "dferlib.data.packed",
    "match_classes": "dferlib.data.classes",
}

if TYPE_CHECKING:  # the same names for type checkers and editors
    from dferlib.data.classes import match_classes
    from dferlib.data.packed import PackedClips
    from dferlib.data.sets import AFEW, CREMAD, DFEW, MAFW, CKPlus, FERV39k, OuluCASIA
    from dferlib.inference.annotating import annotate_video
    from dferlib.inference.export import export_onnx
    from dferlib.inference.predictor import predict_faces, predict_video
    from dferlib.makefaces import MakeFaces
    from dferlib.models import attention_maps, create_model, feature_maps, list_models
    from dferlib.models.former_dfer_weights import load_former_dfer_weights
    from dferlib.models.losses import CompactLoss, CompactTerm
    from dferlib.models.metric_losses import CenterLoss, ECSTFLLoss
    from dferlib.training.checkpoints import load_model, save_model
    from dferlib.training.config import TrainConfig
    from dferlib.training.evaluation import evaluate
    from dferlib.training.loop import train

__all__ = ["EMOTIONS", "InputError", "__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'dferlib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
