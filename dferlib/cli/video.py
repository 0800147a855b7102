"""Commands that put a trained model to use: on a video, or where there is no torch."""

import os
from pathlib import Path
from typing import Annotated

import typer

from dferlib.cli.options import Device

app = typer.Typer()


@app.command(epilog="Example: dferlib predict clip.mp4 --checkpoint runs/stt-0/best.safetensors --out timelines")
def predict(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Video files that show a face.")],
    checkpoint: Annotated[Path, typer.Option(help="A file that `dferlib train` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for the timelines: picture, CSV and JSON.")] = Path(),
    faces: Annotated[int, typer.Option(min=1, help="How many faces of a video to follow, the most visible.")] = 1,
    annotate: Annotated[
        bool, typer.Option("--annotate", help="Also write the video with boxes and probabilities.")
    ] = False,
    heat: Annotated[bool, typer.Option("--heat", help="Also draw where the model looks (Grad-CAM); slower.")] = False,
    cropped: Annotated[
        bool, typer.Option("--cropped", help="The middle of the frame is the face already; needs no dlib.")
    ] = False,
    rest: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="FROM TO", help="Seconds in which the face is at rest: the zero line of the answers."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Find the face in a video and print how probable each class is over time; write a picture of it."""
    # threads of torch that wait for each other sleep, or they would keep others from the processor
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from dferlib.inference.writing import write_timelines

    write_timelines(
        videos, checkpoint, out, device=device, most=faces, cropped=cropped, annotate=annotate, heat=heat, rest=rest
    )


@app.command(epilog="Example: dferlib export runs/stt-0/best.safetensors --onnx stt.onnx")
def export(
    checkpoint: Annotated[Path, typer.Argument(help="A file that `dferlib train` wrote.")],
    onnx: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")],
) -> None:
    """Write a model as an ONNX file, which runs without torch and without dferlib.

    It takes any number of clips at a time. Before it is written, onnxruntime must give the same logits as torch, to
    one part in ten thousand.
    """
    from dferlib.inference.export import export_onnx

    difference = export_onnx(checkpoint, onnx, progress=True)
    print(f"{onnx}: its logits are {difference:.0e} of the largest away from torch's, or less")
