"""What happens in a model when a clip goes through it: each part's calls in order, with what they take and give."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from dferlib.models import ClipModel
from dferlib.models.base import keep_modes

Axis = int | str
Shape = tuple[Axis, ...]  # ("B", 8, 16, 128)
PEAK = 0.6  # of the clip: there it differs most from its ends


def shape_of(tensor: Tensor) -> Shape:
    """The shape of a tensor of one clip; frames, or whatever else is stacked on the clips, get an axis of their own."""
    first, *rest = tensor.shape
    return ("B", *rest) if first == 1 else ("B", first, *rest)


@dataclass
class Call:
    """A call of a part.

    Attributes:
        name: of the part in the model, such as "blocks.0.spatial".
        module: the part.
        takes: the shapes of the tensors that it is given.
        gives: those of what it returns, once it has returned.
    """

    name: str
    module: nn.Module
    takes: list[Shape]
    gives: list[Shape] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many parameters the part has."""
        return sum(parameter.numel() for parameter in self.module.parameters())


class Trace:
    """All calls of one forward pass.

    Args:
        model: any model of the library. It is asked for one clip of the size that its `input_spec` states, in which the
            picture changes and changes back. Afterwards it is as before.
    """

    def __init__(self, model: ClipModel) -> None:
        self.model, self.calls = model, list[Call]()
        self.clip = _clip(model)
        hooks = [hook for name, module in model.named_modules() for hook in self._hooks(name, module)]
        try:
            with torch.no_grad(), keep_modes(model):
                model.eval()(self.clip)
        finally:
            for hook in hooks:
                hook.remove()

    def _hooks(self, name: str, module: nn.Module) -> Iterator[Any]:
        open_calls: list[Call] = []

        def before(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            call = Call(name, module, [shape_of(x) for x in inputs if isinstance(x, Tensor)])
            self.calls.append(call)
            open_calls.append(call)

        def after(_: nn.Module, inputs: tuple[Any, ...], outputs: Any) -> None:
            several = outputs if isinstance(outputs, tuple) else (outputs,)
            open_calls.pop().gives = [shape_of(x) for x in several if isinstance(x, Tensor)]

        return iter((module.register_forward_pre_hook(before), module.register_forward_hook(after)))

    def __getitem__(self, name: str) -> Call:
        """The first call of a part."""
        return next(call for call in self.calls if call.name == name)

    def __contains__(self, name: str) -> bool:
        return any(call.name == name for call in self.calls)

    def all_of(self, name: str) -> list[Call]:
        """All calls of a part, in order."""
        return [call for call in self.calls if call.name == name]

    def inside(self, name: str) -> list[Call]:
        """The calls of a part's own parts, in order. A list of parts, which is never called, is looked through."""
        head, found = f"{name}." if name else "", []
        called = {call.name for call in self.calls}
        for call in self.calls:
            above = call.name.removeprefix(head).split(".")[:-1] if call.name.startswith(head) else None
            if call.name and above is not None:
                parents = {head + ".".join(above[: k + 1]) for k in range(len(above))}
                found += [call] if not parents & called else []
        return found

    def takes(self, name: str) -> Shape:
        """What a part is given: the shape of its last argument."""
        return self[name].takes[-1]

    def gives(self, name: str) -> Shape:
        """What a part returns: the shape of the last of it, which comes behind a class token of its own."""
        return self[name].gives[0 if isinstance(self[name].module, nn.LSTM | nn.GRU) else -1]

    def count(self, *names: str) -> int:
        """How many parameters some parts have together; a name may also be that of a parameter."""
        own = dict(self.model.named_parameters())
        parts = [[own[name]] if name in own else self.model.get_submodule(name).parameters() for name in names]
        return sum(parameter.numel() for part in parts for parameter in part)


def _clip(model: ClipModel) -> Tensor:
    """A clip (1, F, 3, H, W) in which one picture turns into another and back, so that it has a peak."""
    spec = model.input_spec
    like = next(model.parameters())
    one, other = torch.randn(2, 3, spec.size, spec.size, generator=torch.Generator().manual_seed(0))
    times = torch.linspace(0, 1, spec.frames)
    risen = (1 - (times - PEAK).abs() / PEAK)[:, None, None, None]
    return (one + risen * other)[None].to(like.device, like.dtype)
