"""The drawings of all other models: recurrent ones, volumes, frames alone; and of any model that is not known."""

from collections.abc import Sequence
from typing import Any

from torch import nn
from torchvision.models.resnet import BasicBlock as ImageBlock  # type: ignore[import-untyped]
from torchvision.models.video.resnet import BasicBlock as VideoBlock  # type: ignore[import-untyped]

from dferlib.book.drawings.common import (
    Columns,
    Panel,
    backbone_name,
    backbone_step,
    clip_step,
    head_steps,
    logits_step,
)
from dferlib.book.drawings.elements import LANE, Arrow, Branches, Element, Plus, Residual, Step
from dferlib.book.drawings.pictures import chain
from dferlib.book.drawings.steps import MAPS, VOLUME, Unit, blocks_of, column, fitting, units
from dferlib.book.drawings.trace import Call, Trace
from dferlib.book.drawings.words import BOTH, PLAIN, TIME, TOKEN, times
from dferlib.models import C3D, ClipModel, SingleFrame
from dferlib.models.backbones import BasicBlock
from dferlib.models.i3d import Mixed
from dferlib.models.p3d import P3DBlock
from dferlib.models.volumes import VolumeModel


def frames_alone(trace: Trace) -> Columns:
    """The single frame and the frame average."""
    model, frames = trace.model, trace.model.input_spec.frames
    single = isinstance(model, SingleFrame)
    parts = clip_step(trace, chosen=frames // 2 if single else None)
    detail = "every frame by itself"
    if single:
        parts += [Step("Middle frame", f"frame {frames // 2} of 0 to {frames - 1}; the others are not seen", PLAIN)]
        parts += [Arrow(trace.takes("backbone"), "B RGB H₀ W₀")]
        detail = "sees one frame"
    parts += backbone_step(trace, detail=detail)
    parts += [Step("Mean", "over all places" if single else "over all frames and places", PLAIN), *head_steps(trace)]
    title = "Single frame" if single else "Frame average"
    return [[Panel(title, "", parts)], [inside_backbone(trace)]]


def inside_backbone(trace: Trace) -> Panel:
    """The layers of a backbone that reads frames."""
    shape = trace.takes("backbone")
    axes = fitting(shape, "B F RGB H₀ W₀", trace.model.input_spec.frames)
    return Panel("Inside the backbone", "", [Arrow(shape, axes), *column(trace, "backbone", MAPS)])


def recurrent(trace: Trace) -> Columns:
    """ResNet18 or VGG, then an LSTM or a GRU."""
    model: Any = trace.model
    layer, frames = model.recurrent, model.input_spec.frames
    kind = type(layer).__name__
    parts = [
        *clip_step(trace), *backbone_step(trace),
        Step("Mean", "over the places of each frame", PLAIN), Arrow(trace.takes("recurrent"), "B F C₀"),
        Step(kind, f"reads the frames in order, {layer.hidden_size} channels", TIME, count=trace.count("recurrent"),
             picture=chain(frames)),
        Arrow(trace.gives("recurrent"), "B F D"),
        Step("Last output", "the others are left behind", PLAIN), *head_steps(trace),
    ]  # fmt: skip
    network = backbone_name(model.backbone).partition(",")[0]
    title = f"{network} and {kind}" if network != "VGG" else f"{type(model).__name__[:5]} and {kind}"
    return [[Panel(title, "", parts)], [inside_backbone(trace)]]


TITLES = {
    "R3D18": "3D ResNet18",
    "R2Plus1D18": "R(2+1)D18",
    "InflatedResNet": "Inflated ResNet",
}


def volume(trace: Trace) -> Columns:
    """A network over space and time at once."""
    model = trace.model
    parts = [*clip_step(trace), *column(trace, "backbone", VOLUME)]
    if isinstance(model, C3D):
        wide = [call for call in trace.inside("wide") if isinstance(call.module, nn.Linear)]
        parts += [Step("In a row", "all numbers of the maps", PLAIN), Arrow(wide[0].takes[0], "B n")]
        for call in wide:
            words = "ReLU, dropout" if model.wide[2].p else "ReLU"
            parts += [Step("Linear layer", words, TOKEN, count=call.count), Arrow(call.gives[0], "B D")]
        parts += [Step("Linear layer", "", TOKEN, count=trace.count("head")), Arrow(trace.gives(""), "B C")]
        parts += [logits_step(trace.gives("")[-1])]
    else:
        parts += [Step("Mean", "over time and places", PLAIN), *head_steps(trace)]
    title = TITLES.get(type(model).__name__, type(model).__name__)
    return [[Panel(title, "", parts)], _blocks(trace)]


def _blocks(trace: Trace) -> list[Panel]:
    """One of a network's blocks, looked into; of P3D one of each kind."""
    for kind, draw in BLOCKS.items():
        calls = blocks_of(trace, kind)
        kinds = {getattr(call.module, "kind", ""): call for call in reversed(calls)}
        if calls:
            return [draw(trace, kinds[name]) for name in sorted(kinds) if name != "2D"]
    return []


def _stack(layers: Sequence[Unit]) -> list[Element]:
    """Layers under each other, without shapes between them."""
    pieces: list[Element] = []
    for unit in layers:
        pieces += [unit.step(), Arrow()]
    return pieces[:-1]


def _residual_block(trace: Trace, call: Call) -> Panel:
    """Two convolutions and a shortcut."""
    inner = [part for part in trace.inside(call.name) if not part.name.endswith(("shortcut", "downsample"))]
    steps = _stack(units(trace, call.name, inner[:-1]))  # the last ReLU comes after the sum
    return Panel("Inside a residual block", "", _with_shortcut(trace, call, steps))


def _with_shortcut(trace: Trace, call: Call, steps: list[Element]) -> list[Element]:
    """A block around whose layers leads a shortcut, with a ReLU at its end."""
    before, after = call.takes[0], call.gives[0]
    axes = [fitting(shape, VOLUME if isinstance(trace.model, VolumeModel) else MAPS, trace.model.input_spec.frames)
            for shape in (before, after)]  # fmt: skip
    through = f"added to the input's {times([1] * (len(before) - 2))} convolution"
    nested = any(isinstance(step, Residual) for step in steps)
    word = through if before != after else "added to the input"
    around = Residual(steps, word, lane=14 if nested else LANE)
    return [Arrow(before, axes[0]), around, Arrow(), Step("ReLU"), Arrow(after, axes[1])]


def _mixed(trace: Trace, call: Call) -> Panel:
    """The four branches of I3D's mixed layer."""
    frames = trace.model.input_spec.frames
    flows = []
    for k in range(4):
        steps = [unit.step() for unit in units(trace, f"{call.name}.branches.{k}")]
        for step in steps:  # four in a row leave no room for more
            kind, size = step.name.split(" ", 1)
            size = size.replace("\u00a0", "")
            step.name, step.details = (size, "") if kind == "Convolution" else ("Pool", size)
        flows.append([piece for step in steps for piece in (step, Arrow())][:-1])
    before, after = (Arrow(shape, fitting(shape, VOLUME, frames)) for shape in (call.takes[0], call.gives[0]))
    join = Step("Side by side", "along the channels")
    said = "Boxes with a size are convolutions with batch norm and ReLU."
    return Panel("Inside a mixed layer", said, [before, Branches(flows, join, gap=6), after])


def _p3d(trace: Trace, call: Call) -> Panel:
    """A bottleneck of P3D."""
    block = call.module
    assert isinstance(block, P3DBlock)
    first, space, expand = (units(trace, f"{call.name}.{part}")[0].step() for part in ("reduce", "space", "expand"))
    time = units(trace, f"{call.name}.time")[0].step()
    ways: dict[str, list[Element]] = {
        "A": [Arrow(), space, Arrow(), time],
        "B": [Branches([[space], [time]], Plus("added", above=True))],
        "C": [Arrow(), space, Arrow(), Residual([time], "added", lane=5)],
    }
    steps = [first, *ways[block.kind], Arrow(), expand]
    return Panel(f"Inside block {block.kind}", "", _with_shortcut(trace, call, steps))


BLOCKS = {VideoBlock: _residual_block, Mixed: _mixed, P3DBlock: _p3d, BasicBlock: _residual_block,
          ImageBlock: _residual_block}  # fmt: skip


def any_model(trace: Trace) -> Columns:
    """A model that this folder knows nothing of: its backbone, whatever joins the frames, its head."""
    model: ClipModel = trace.model
    parts = clip_step(trace)
    parts += column(trace, "backbone", VOLUME) if isinstance(model, VolumeModel) else backbone_step(trace)
    parts += [Step("Features of the clip", type(model).__name__, BOTH), *head_steps(trace)]
    return [[Panel(type(model).__name__, "", parts)], [inside_backbone(trace)]]
