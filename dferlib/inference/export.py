"""A trained model as an ONNX file, which runs where there is no torch and no dferlib."""

import json
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from dferlib.errors import InputError
from dferlib.files import make_folder, written_whole
from dferlib.models import ClipModel, InputSpec
from dferlib.training.checkpoints import load_model

NEEDED = ("onnxscript", "onnxruntime")  # torch's exporter imports the first
TOLERANCE = 1e-4  # over the largest logit, or over 1 if all are smaller
TRACED, TRIED = 2, (1, 5)  # clips at a time


def export_onnx(checkpoint: Path | str, path: Path | str, *, progress: bool = False) -> float:
    """Write the model of a checkpoint as an ONNX file, once it is known to say the same.

    Its input `clips` is float32 (B, F, 3, H, W) for any B, normalised as the model's `input_spec` says, its output
    `logits` (B, classes). The metadata of the file have `classes`, `mean` and `std`, lists in JSON.

    Args:
        checkpoint: a file that `save_model` or `dferlib train` wrote.
        path: the file to write; one that is there is replaced.
        progress: say that it takes a while.

    Returns:
        How far the logits of onnxruntime are from those of torch at most, over the largest logit or over 1.

    Raises:
        InputError: a package is not installed, the checkpoint cannot be read, the file cannot be written, or the
            logits are farther away than `TOLERANCE`; then nothing is written.
    """
    if lacking := [name for name in NEEDED if find_spec(name) is None]:
        raise InputError(f'exporting needs {" and ".join(lacking)}, not installed: pip install "dferlib[onnx]"')
    model, path = load_model(checkpoint), Path(path)
    if path.is_dir():  # told before the minute that tracing takes
        raise InputError(f"{path} is a folder: give the file to write")
    make_folder(path.parent)
    if progress:
        print(f"tracing {checkpoint}: this takes half a minute", file=sys.stderr, flush=True)
    spec = model.input_spec
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch says of its own code and of recurrent layers
        program = torch.onnx.export(
            model,
            (random_clips(TRACED, spec),),
            input_names=["clips"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None  # only the old exporter gives none
    about = {"classes": model.classes, "mean": spec.mean, "std": spec.std}
    program.model.metadata_props.update({name: json.dumps(value) for name, value in about.items()})
    with written_whole(path) as temporary:
        program.save(temporary, external_data=False)
        difference = max(_difference(model, temporary, random_clips(count, spec)) for count in TRIED)
        if not difference <= TOLERANCE:
            raise InputError(
                f"{path} was not written: its logits were {difference:.1e} away from torch's; "
                "use other versions of torch and onnxruntime, or the checkpoint itself"
            )
    return difference


def random_clips(count: int, spec: InputSpec) -> Tensor:
    """Clips of noise (count, F, 3, H, W), as a model takes them; for each count always the same."""
    noise = torch.Generator().manual_seed(count)
    return torch.randn(count, spec.frames, 3, spec.size, spec.size, generator=noise)


@torch.no_grad()
def _difference(model: ClipModel, path: Path, clips: Tensor) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"clips": clips.numpy()})
    logits = model(clips)
    return float((torch.from_numpy(found) - logits).abs().max() / logits.abs().max().clamp(min=1))
