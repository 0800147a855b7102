"""A reader for weights that the public code of Former-DFER saved; nothing in such a file is run."""

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dferlib.emotions import EMOTIONS
from dferlib.errors import InputError
from dferlib.models import create_model
from dferlib.models.base import ClipModel

# our names, part by part, and what they are called in the public code
_NAMES = (
    (r"^head\.", "fc."),
    (r"^backbone\.0\.0\.", "s_former.conv1."),
    (r"^backbone\.0\.1\.", "s_former.bn1."),
    (r"^backbone\.", "s_former.layer"),
    (r"^s_former\.position$", "s_former.pos_embedding"),
    (r"^s_former\.blocks\.", "s_former.spatial_transformer.layers."),
    (r"^class_token$", "t_former.cls_token"),
    (r"^position$", "t_former.pos_embedding"),
    (r"^blocks\.", "t_former.spatial_transformer.layers."),  # so it is called there
    (r"\.norm_attention\.", ".0.fn.norm."),
    (r"\.attention\.qkv\.", ".0.fn.fn.to_qkv."),
    (r"\.attention\.project\.", ".0.fn.fn.to_out.0."),
    (r"\.norm_mlp\.", ".1.fn.norm."),
    (r"\.mlp\.", ".1.fn.fn.net."),
)


def load_former_dfer_weights(path: Path | str) -> ClipModel:
    """Build Former-DFER with weights that its public code saved.

    Args:
        path: a state dict, or a checkpoint with one as `state_dict`, from one or several GPUs. It is read without
            running any code in it: of everything but tensors, such as the curve of the training, nothing is made.

    Returns:
        The model at paper scale in evaluation mode. With seven classes they are named as in `dferlib.EMOTIONS`, whose
        order is that of DFEW.

    Raises:
        InputError: the file is missing, damaged or holds something else; the message lists what is lacking and what
            is left over.
    """
    given = _read(Path(path))
    fc = given.get("fc.weight")
    with torch.device("meta"):  # names and shapes; the numbers come from the file
        model = create_model("former_dfer", len(fc) if fc is not None and len(fc) > 1 else 7, "paper")
    own = model.state_dict()
    names = {_public(key): key for key in own}
    lacking, left = sorted(names.keys() - given.keys()), sorted(given.keys() - names.keys())
    misfit = sorted(name for name in names.keys() & given.keys() if given[name].shape != own[names[name]].shape)
    found = [(what, keys) for what, keys in (("lacks", lacking), ("has left over", left), ("misfits", misfit)) if keys]
    if found:
        listed = "; ".join(f"{what} {', '.join(keys[:5])}{_more(len(keys) - 5)}" for what, keys in found)
        raise InputError(f"{path} is no state dict of Former-DFER: it {listed}")
    model.load_state_dict({names[name]: given[name] for name in names}, assign=True)
    model.backbone.to(memory_format=torch.channels_last)
    if model.config["num_classes"] == len(EMOTIONS):
        model.classes = EMOTIONS
    return model.eval()


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def _public(name: str) -> str:
    for ours, theirs in _NAMES:
        name = re.sub(ours, theirs, name)
    return name


class _Nothing:
    """What a checkpoint holds beside tensors: made without looking at it, and never used."""

    def __new__(cls, *_: Any) -> "_Nothing":
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


# the public code saves a record of losses and accuracies with the weights, an object of its own around numpy arrays
_NO_TENSORS = [(_Nothing, "__main__.RecorderMeter"), (_Nothing, "numpy.ndarray"), (_Nothing, "numpy.dtype")]
_NO_TENSORS += [(_Nothing, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")]


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict by their public names."""
    if not path.is_file():
        raise InputError(f"there is no file {path}: give the .pth file that Former-DFER's code wrote")
    try:
        with torch.serialization.safe_globals(_NO_TENSORS):  # type: ignore[arg-type]
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"cannot read {path}: damaged, or it holds more than weights ({first})") from error
    if isinstance(state, dict):
        state = state.get("state_dict", state)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} holds no state dict: give the .pth file that Former-DFER's code wrote")
    return {str(key).removeprefix("module."): value for key, value in state.items()}  # of several GPUs
