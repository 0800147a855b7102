"""What the drawings of several models share: the clip at the top, the backbone, blocks, the head at the bottom."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from dferlib.book.drawings.elements import NONE, Arrow, Element, Flow, Residual, Step
from dferlib.book.drawings.pictures import faces
from dferlib.book.drawings.sources import Cited, cite
from dferlib.book.drawings.steps import MAPS, fitting
from dferlib.book.drawings.trace import Trace
from dferlib.book.drawings.words import ATTENTIONS, BACKBONES, FRAME, PLAIN, TOKEN
from dferlib.models.backbones import VGG

TOKENS = "B F S D"


@dataclass
class Panel:
    """A part of a drawing with a title; on a phone panels stand under each other."""

    title: str
    subtitle: str
    parts: Sequence[Element]

    def flow(self) -> Flow:
        """All of it."""
        return Flow(self.parts)


Columns = list[list[Panel]]


def clip_step(trace: Trace, chosen: int | None = None, detail: str = "") -> list[Element]:
    """The clip and the arrow that leads out of it."""
    spec = trace.model.input_spec
    words = f"{spec.frames} frames of {spec.size} × {spec.size} pixels"
    step = Step("Clip", words + detail, PLAIN, picture=faces(spec.frames, chosen))
    return [step, Arrow(("B", spec.frames, 3, spec.size, spec.size), "B F RGB H₀ W₀")]


def backbone_name(network: nn.Module) -> str:
    """What a backbone is called."""
    for kind, name in BACKBONES.items():
        if isinstance(network, kind):
            depth = sum(isinstance(layer, nn.Conv2d) for layer in network.modules())
            return f"{name}, {depth} convolutions" if kind is VGG else name
    return "Backbone"


def backbone_step(trace: Trace, name: str = "backbone", detail: str = "every frame by itself") -> list[Element]:
    """The backbone as one box, and the maps behind it."""
    call = trace[name]
    arrow = Arrow(call.gives[0], fitting(call.gives[0], MAPS, trace.model.input_spec.frames))
    return [Step(backbone_name(call.module), detail, FRAME, count=call.count), arrow]


def head_steps(trace: Trace, features: str = "B D") -> list[Element]:
    """The features, the linear layer at the end, and the logits; one after the other."""
    model = trace.model
    name = next(name for name in ("head.1", "head") if isinstance(_part(model, name), nn.Linear))
    dropout = "after dropout" if name == "head.1" and model.head[0].p else ""  # type: ignore[index]
    step = Step("Linear layer", dropout, TOKEN, cite(type(model), "head"), trace.count("head"))
    return [Arrow(trace.takes(name), features), step, Arrow(trace.gives(name), "B C"), logits_step(trace.gives("")[-1])]


def logits_step(classes: Any, what: str = "") -> Step:
    """The end."""
    return Step("Logits", f"{what}one for each of {classes} classes", PLAIN)


def _part(model: nn.Module, name: str) -> nn.Module | None:
    return dict(model.named_modules()).get(name)


def norm_step(trace: Trace, name: str) -> Step:
    """A layer normalisation."""
    return Step("LayerNorm", count=trace.count(name))


def attention_step(trace: Trace, name: str, *, keys: str, cited: Cited = NONE) -> Step:
    """An attention as a box: what it is called, its heads, what a token sees."""
    module = trace.model.get_submodule(name)
    called, _, look = next(words for kind, words in ATTENTIONS.items() if isinstance(module, kind))
    heads: int = module.heads  # type: ignore[assignment]
    return Step(called, f"{heads} heads; {keys}", look, cited, trace.count(name))


def mlp_step(trace: Trace, name: str) -> Step:
    """The two linear layers of a block."""
    wide = trace.gives(f"{name}.0")[-1]
    return Step("MLP", f"each token alone; {wide} channels, GELU", TOKEN, count=trace.count(name))


def shortcut(parts: Sequence[Element], cited: Cited = NONE) -> Residual:
    """Some steps with a shortcut around them."""
    return Residual(parts, "added to the input", cited)
