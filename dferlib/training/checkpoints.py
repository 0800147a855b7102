"""Trained models as files: the weights, and with them everything that is needed to build the model again."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from dferlib.devices import pick_device
from dferlib.emotions import EMOTIONS
from dferlib.errors import InputError
from dferlib.files import written_whole
from dferlib.models import ClipModel, create_model

log = logging.getLogger("dferlib")
KEY = "dferlib"  # the one entry of the file's metadata that this library writes and reads
STATE_FORMAT = "dferlib-state-1"
BESIDE = "beside."  # begins the names of tensors that are no weights


def save_model(
    model: ClipModel,
    path: Path | str,
    classes: Sequence[str] | None = None,
    weights: Mapping[str, torch.Tensor] | None = None,
    **metadata: Any,
) -> None:
    """Write a model as a safetensors file, whole or not at all.

    Args:
        model: made by `create_model`, compiled or not; its `config` goes into the file.
        path: where to; its folder is made if need be.
        classes: names of the classes; the model's own `classes` if it has them. Otherwise they are the seven of
            `EMOTIONS`, and a line of the log says so.
        weights: those to write, if not the ones that the model has now.
        metadata: what else to remember, as JSON can hold it (the epoch, say).

    Raises:
        InputError: the classes are not as many as the model's outputs, or one is there twice; the model is not as
            `create_model` made it, so that no file could build it again; or the file cannot be written.
    """
    model = getattr(model, "_orig_mod", model)  # what torch.compile has wrapped
    if not isinstance(model, ClipModel):
        raise InputError(f"a {type(model).__name__} cannot be saved: give a model that create_model made")
    given = getattr(model, "classes", EMOTIONS) if classes is None else classes
    names, wanted = (given,) if isinstance(given, str) else tuple(given), model.config["num_classes"]
    if len(names) != wanted:
        raise InputError(f"{len(names)} class names for a model of {wanted} classes: pass classes=...")
    if len(set(names)) < wanted:
        raise InputError(f"one class is named twice: {', '.join(names)}")
    _refuse_changed(model)
    if classes is None and not hasattr(model, "classes"):
        log.warning("%s: no classes were given, so its outputs are named, in this order, %s", path, ", ".join(names))
    about = {"version": version("dferlib"), "config": model.config, "classes": names, "metadata": metadata}
    # clone: safetensors wants plain memory, and channels-last or shared tensors are not
    tensors = {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in (model.state_dict() if weights is None else weights).items()
    }
    _write(Path(path), about, tensors)


def _refuse_changed(model: ClipModel) -> None:
    """Refuse a model that was given other layers since it was made: its file could never be loaded."""
    made = getattr(model, "shapes", None)
    if made is None:  # somebody's own class
        return
    now = {key: value.shape for key, value in model.state_dict().items()}
    if changed := sorted(key for key in made.keys() | now.keys() if made.get(key) != now.get(key)):
        raise InputError(
            f"the model is not as create_model made it, from the weight {changed[0]!r} on, and no file could build it "
            "again: say what is other when it is made, such as num_classes"
        )


def change_metadata(path: Path | str, **metadata: Any) -> None:
    """Write some of a checkpoint's `metadata` anew; the weights stay what they are.

    Raises:
        InputError: the file is missing, damaged, not a checkpoint of this library, or cannot be written.
    """
    add_beside(path, {}, **metadata)


def add_beside(path: Path | str, tensors: Mapping[str, torch.Tensor], **metadata: Any) -> None:
    """Put tensors that are no weights into a checkpoint, and some of its `metadata` anew; the weights stay.

    Raises:
        InputError: the file is missing, damaged, not a checkpoint of this library, or cannot be written.
    """
    about, found = _read(Path(path), lambda key: True)
    about = {**about, "metadata": {**about["metadata"], **metadata}}
    _write(Path(path), about, found | {BESIDE + key: value for key, value in tensors.items()})


def read_beside(path: Path | str) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint that are no weights.

    Raises:
        InputError: the file is missing, damaged or not a checkpoint of this library.
    """
    tensors = _read(Path(path), lambda key: key.startswith(BESIDE))[1]
    return {key.removeprefix(BESIDE): value for key, value in tensors.items()}


def read_metadata(path: Path | str) -> dict[str, Any]:
    """Read what a checkpoint says of itself, without its weights: `version`, `config`, `classes`, `metadata`.

    Raises:
        InputError: the file is missing, damaged or not a checkpoint of this library.
    """
    return _read(Path(path), lambda key: False)[0]


def load_model(path: Path | str, device: str | torch.device = "cpu", expect: str | None = None) -> ClipModel:
    """Build the model that a checkpoint holds, ready to evaluate.

    Args:
        path: a file that `save_model` wrote.
        device: where to put the model; "auto" is a GPU where there is one.
        expect: the name of the model that it must be.

    Returns:
        The model in evaluation mode, with the names of its classes as `model.classes`.

    Raises:
        InputError: the file is missing, damaged, not a checkpoint of this library, or of another model; or there is no
            such device.
    """
    device = device if isinstance(device, torch.device) or ":" in device else pick_device(device)
    about, tensors = _read(Path(path), _is_weight)
    config = about["config"]
    if expect is not None and config["name"] != expect:
        raise InputError(f"{path} holds the model {config['name']!r}, not {expect!r}: give a checkpoint of {expect!r}")
    try:
        model = create_model(config["name"], config["num_classes"], config["scale"], **config["overrides"])
        lacking, extra = model.load_state_dict(tensors, strict=False)
    except (RuntimeError, TypeError, KeyError, InputError) as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise InputError(f"{path} does not fit this dferlib's models ({first}): train it again") from error
    for kind, names in (("lacks", lacking), ("has an unknown", extra)):
        if names:
            raise InputError(f"{path} {kind} weight {names[0]!r} ({len(names)} in all): is it of another version?")
    model.classes = tuple(about["classes"])
    return model.to(device).eval()


def load_weights(model: ClipModel, path: Path | str) -> list[str]:
    """Fill a model with the weights of a checkpoint, to go on training with other data.

    Args:
        model: the same as the one in the file, but for the number of classes.
        path: a file that `save_model` wrote.

    Returns:
        The names of the weights that stay as they were: those of the head, where the classes are others.

    Raises:
        InputError: the file is missing, damaged, not a checkpoint of this library, or of another model.
    """
    about, tensors = _read(Path(path), _is_weight)
    own, theirs = model.config, about["config"]
    if own["name"] != theirs["name"]:
        raise InputError(f"{path} holds the model {theirs['name']!r}, not {own['name']!r}: give one of {own['name']!r}")
    classes = tuple(getattr(model, "classes", EMOTIONS))
    new = [] if tuple(about["classes"]) == classes else [key for key in tensors if key.startswith("head.")]
    wanted = model.state_dict()
    for key in wanted.keys() | tensors.keys():
        if key not in new and (key not in wanted or key not in tensors or wanted[key].shape != tensors[key].shape):
            raise InputError(f"{path} does not fit the weight {key!r} of this {own['name']}: was it made otherwise?")
    model.load_state_dict({key: wanted[key] if key in new else value for key, value in tensors.items()})
    return new


def save_state(path: Path, state: dict[str, Any], about: dict[str, Any]) -> None:
    """Write what a training needs to go on, whole or not at all.

    Args:
        path: where to.
        state: tensors, numbers and text, in lists and dictionaries.
        about: what the training is, in the same types; the state is for no other.

    Raises:
        InputError: the file cannot be written.
    """
    buffer = BytesIO()
    torch.save({"format": STATE_FORMAT, "about": about, "state": state}, buffer)
    with written_whole(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def load_state(path: Path, about: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Read what `save_state` wrote.

    Raises:
        InputError: the file cannot be read, is damaged, or belongs to a training that differs in `about`.
    """
    try:
        found = torch.load(path, map_location=device, weights_only=True)
    except (
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        UnpicklingError,
    ) as error:
        raise InputError(f"cannot read the state {path}: it is damaged; start anew without resume") from error
    if not isinstance(found, dict) or found.get("format") != STATE_FORMAT:
        raise InputError(f"{path} is no state of a training of this library: start anew without resume")
    for part, wanted in about.items():
        given = found["about"].get(part, {})
        for key in wanted.keys() | given.keys():
            if wanted.get(key) != given.get(key):
                raise InputError(
                    f"{path} belongs to another training: {part} {key} was {given.get(key)!r}, now {wanted.get(key)!r};"
                    " give it the same again, or start anew without resume"
                )
    return found["state"]


def _write(path: Path, about: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    with written_whole(path) as temporary:
        # not safetensors' own save_file: it makes a file that nobody else may read
        temporary.write_bytes(save(tensors, metadata={KEY: json.dumps(about)}))


def _is_weight(key: str) -> bool:
    return not key.startswith(BESIDE)


def _read(path: Path, wanted: Callable[[str], bool]) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """What a checkpoint says of itself, and those of its tensors whose names are wanted."""
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise InputError(f"the checkpoint {path} {what}: give the .safetensors file that `dferlib train` wrote")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys() if wanted(key)}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"cannot read the checkpoint {path}: damaged or not safetensors ({error})") from error
    try:
        about = json.loads(metadata[KEY])
        complete = {"name", "num_classes", "scale", "overrides"} <= set(about["config"]) and about["classes"]
    except (KeyError, TypeError, json.JSONDecodeError):
        complete = False
    if not complete:
        raise InputError(f"{path} is no dferlib checkpoint: it does not say which model it holds")
    return about, tensors
