"""The drawings of STANER and its two branches: the chosen frame; three regions through time."""

from typing import Any

from torch import nn

from dferlib.book.drawings.common import Columns, Panel, clip_step, head_steps, logits_step
from dferlib.book.drawings.elements import Arrow, Element, Residual, Step
from dferlib.book.drawings.pictures import chain, regions
from dferlib.book.drawings.sources import cite
from dferlib.book.drawings.steps import units
from dferlib.book.drawings.trace import Trace
from dferlib.book.drawings.words import BOTH, FRAME, PLAIN, TIME, TOKEN
from dferlib.models.staner import REGIONS, Fusion, SpatialBranch, TemporalBranch, peak_numbers

RULES = {
    "change": "the frame that differs most from the first and the last",
    "last": "the last frame",
    "middle": "the frame in the middle",
}


def _convolutions(network: nn.Module) -> str:
    count = sum(isinstance(layer, nn.Conv2d) for layer in network.modules())
    return f"{count} convolutions, on grey frames"


def _spatial(trace: Trace, front: str, branch: str) -> list[Element]:
    """From the clip to what SGAER knows of its chosen frame."""
    model: Any = trace.model
    peak = int(peak_numbers(trace.clip, model.peak)[0])
    network, part = model.get_submodule(front), model.get_submodule(branch)
    assert isinstance(part, SpatialBranch)
    parts = [
        *clip_step(trace, chosen=peak),
        Step("Peak frame", RULES[model.peak], PLAIN),
        Arrow(trace.takes(front), "B RGB H₀ W₀"),
        Step("Front", _convolutions(network), FRAME, count=trace.count(front)),
        Arrow(trace.gives(front), "B C₀ H W", "U"),
    ]  # fmt: skip
    if part.mask is not None:
        mask = [unit.step() for unit in units(trace, f"{branch}.mask")]
        inside = [piece for step in mask for piece in (step, Arrow())][:-1]
        mask[-1].cited = cite(SpatialBranch, "mask")
        weighed = Residual(inside, cited=cite(SpatialBranch, "+mask"), sign="×")
        parts += [weighed, Arrow(trace.takes(f"{branch}.end"), "B C₀ H W")]
    return [
        *parts,
        Step("End convolution", "3 × 3, batch norm, ReLU", FRAME, count=trace.count(f"{branch}.end")),
        Arrow(trace.gives(f"{branch}.end"), "B D H W"),
        Step("Mean", "over the places", PLAIN),
    ]


def _temporal(trace: Trace, front: str, branch: str) -> list[Element]:
    """From the clip to what TLER knows of eyes, nose and mouth through time."""
    model: Any = trace.model
    cut, part = model.get_submodule(front), model.get_submodule(branch)
    assert isinstance(part, TemporalBranch)
    size, frames, names = model.input_spec.size, model.input_spec.frames, list(REGIONS)
    maps = trace.gives(front)
    vector = trace.takes(f"{branch}.lstms.0")
    return [
        *clip_step(trace),
        Step("Three regions", "fixed boxes in every frame", PLAIN, picture=regions(cut.boxes, size, names)),
        Arrow(trace.takes(f"{front}.fronts.0"), "B F RGB h w", names[0]),
        Step("Front", f"one for each region: {_convolutions(cut.fronts[0])}; then a mean to 2 × 2", FRAME,
             count=trace.count(f"{front}.fronts.0"), copies=len(names)),
        Arrow(("B", frames, *maps[-4:]), "B F R C₀ h w", "R regions"),
        Step("LSTM", f"one for each region, {part.lstms[0].hidden_size} channels", TIME, cite(TemporalBranch, "lstms"),
             trace.count(f"{branch}.lstms.0"), copies=len(names), picture=chain(frames)),
        Arrow(trace.gives(f"{branch}.lstms.0"), "B F D", "each"),
        Step("Side by side", "the three along the channels", PLAIN, cite(TemporalBranch, "joined")),
        Arrow((*vector[:2], part.end.in_channels), "B F D"),
        Step("End convolution", f"{part.end.kernel_size[0]} frames, ReLU", TIME, count=trace.count(f"{branch}.end")),
        Arrow(trace.gives(f"{branch}.end"), "B D F"),
        Step("Mean", "over the frames", PLAIN),
    ]  # fmt: skip


def sgaer(trace: Trace) -> Columns:
    """SGAER alone."""
    parts = [*_spatial(trace, "backbone", "branch"), *head_steps(trace)]
    return [[Panel("SGAER", "Spatial: one frame, and which of its places matter.", parts)], []]


def tler(trace: Trace) -> Columns:
    """TLER alone."""
    parts = [*_temporal(trace, "backbone", "branch"), *head_steps(trace)]
    return [[Panel("TLER", "Temporal: eyes, nose and mouth through the clip.", parts)], []]


def staner(trace: Trace) -> Columns:
    """Both branches, and the average of what they decide."""
    model: Any = trace.model
    spatial, temporal = _spatial(trace, "backbone.face", "spatial"), _temporal(trace, "backbone.regions", "temporal")
    ends = []
    for name in ("spatial", "temporal"):
        step = Step("Linear layer, softmax", "after dropout", TOKEN, cite(Fusion, name), trace.count(f"head.{name}"))
        ends.append(
            [
                Arrow(trace.takes(f"head.{name}"), "B D"),
                step,
                Arrow(trace.gives(f"head.{name}"), "B C", "to the average"),
            ]
        )
    alpha = model.head.alpha
    average = [
        Arrow(trace.gives("head.spatial"), "B C", "from both branches"),
        Step("Average of the probabilities", f"α = {alpha:g}", BOTH, cite(Fusion, "average")),
        Arrow(trace.gives(""), "B C"),
        logits_step(trace.gives("")[-1], "its logarithm, "),
    ]  # fmt: skip
    return [
        [Panel("STANER's spatial branch, SGAER", "", [*spatial, *ends[0]])],
        [
            Panel("STANER's temporal branch, TLER", "Eyes, nose and mouth through the clip.", [*temporal, *ends[1]]),
        ],
        [Panel("Both together", "", average)],
    ]
