"""What a model costs: parameters, operations, memory. All of it is counted, and nothing is computed.

Models run on tensors that have a shape and no content (torch's FakeTensorMode), as if on a CPU.
"""

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import finalize

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakIdKeyDictionary

from dferlib.models import ClipModel
from dferlib.training.activation_checkpointing import checkpoint_activations
from dferlib.training.config import TrainConfig
from dferlib.training.optimiser import make_optimizer

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Complexity:
    """The cost of one clip.

    Attributes:
        parameters: how many numbers are learnt.
        gmac: multiply-accumulates of convolutions, matrix products and attention, in units of 1e9. The papers print
            this under the name FLOPs. Norms, activations, pooling and additions are not in it, as is usual.
        normed: values that pass batch or layer normalisation, in units of 1e9; some tools count two for each.
    """

    parameters: int
    gmac: float
    normed: float


def complexity(model: ClipModel) -> Complexity:
    """Count what a model costs for one clip of its `input_spec`.

    torch counts floating-point operations, two to a multiply-accumulate; so its figure is halved.
    """
    spec, normed = model.input_spec, list[int]()
    with _counting(model) as (hollow, counter):
        for module in hollow.modules():
            if isinstance(module, _BatchNorm | nn.LayerNorm):
                module.register_forward_hook(lambda _, inputs, output: normed.append(output.numel()))
        _predict(hollow, (1, spec.frames, 3, spec.size, spec.size))
    parameters = sum(p.numel() for p in model.parameters())
    return Complexity(parameters, counter.get_total_flops() / 2e9, sum(normed) / 1e9)


@dataclass(frozen=True)
class PassCost:
    """The cost of a forward and a backward pass over some clips.

    Attributes:
        forward: floating-point operations of the forward pass, two to a multiply-accumulate.
        both: those of both passes in training, which may leave out what the head does not read.
        peak: the most bytes that are held at any moment: weights, clips, activations and gradients.
        moved: the bytes that the operations of the forward pass read and write, each one its own, as if nothing stayed
            near between two of them. Views move nothing, and dropout is off.
    """

    forward: int
    both: int
    peak: int
    moved: int


def pass_cost(model: nn.Module, shape: Sequence[int]) -> PassCost:
    """Count a forward and a backward pass in training. What is counted is what `Complexity` and `Memory` count.

    Args:
        model: any module that turns clips into one tensor.
        shape: of the clips.
    """
    with _counting(model) as (hollow, counter), _Living([*hollow.parameters(), *hollow.buffers()]) as living:
        with _without_dropout(hollow), _Moving() as moving:
            _predict(hollow, shape)
        forward = counter.get_total_flops()
        hollow(torch.empty(*shape)).sum().backward()
    return PassCost(forward, counter.get_total_flops() - forward, living.peak, moving.bytes)


def _predict(hollow: nn.Module, shape: Sequence[int]) -> None:
    """A forward pass for its answer alone: a step of a training may leave out what the head does not read."""
    learnt = [p for p in hollow.parameters() if p.requires_grad]
    for p in learnt:  # torch's counter cannot follow what needs a gradient and has none
        p.requires_grad_(False)
    with torch.no_grad():
        hollow(torch.empty(*shape))
    for p in learnt:
        p.requires_grad_(True)


@contextmanager
def _without_dropout(model: nn.Module) -> Iterator[None]:
    """Dropout leaves values as they are, as it does where only the answer is wanted."""
    own = [module for module in model.modules() if isinstance(module, _DropoutNd) and module.training]
    for module in own:
        module.eval()
    yield
    for module in own:
        module.train()


def attention_operations(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    """Floating-point operations of softmax(q k^T) v for tensors of these shapes (B, N_h, N or M, D_h)."""
    return 2 * math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _attention_backward_operations(_: Any, *shapes: Any, **__: Any) -> int:
    """What the backward pass needs: two products for each one of the forward pass."""
    return 2 * attention_operations(*shapes)


# what torch's counter does not know
FUSED: dict[Any, Any] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_operations,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_operations,
}


@contextmanager
def _counting(model: nn.Module) -> Iterator[tuple[nn.Module, FlopCounterMode]]:
    """A copy of a model without content, as it trains, and the counter of what it does in the block."""
    mode = _Mode(allow_non_fake_inputs=True)
    hollow = _hollow(model, mode).train()  # in evaluation it would look at its clips, and they have no content
    # nothing is counted inside the fused kernel of a recurrent layer; switching it off may warn of settings that
    # nobody touched
    with (
        warnings.catch_warnings(action="ignore", category=UserWarning),
        mode,
        torch.backends.mkldnn.flags(enabled=False, allow_tf32=False),
        FlopCounterMode(display=False, custom_mapping=FUSED) as counter,
    ):
        yield hollow, counter


@dataclass(frozen=True)
class Memory:
    """What a training step holds in memory, in bytes.

    Attributes:
        weights: parameters and batch statistics.
        gradients: one for each parameter.
        states: what the optimiser remembers.
        activations: the batch, and what the forward pass leaves for the backward pass.
        peak: the most of everything together, at any moment of a step.
    """

    weights: int
    gradients: int
    states: int
    activations: int
    peak: int


def training_memory(model: ClipModel, config: TrainConfig) -> Memory:
    """Count what a training step would hold in memory, without holding it.

    The bytes that are alive are counted after every operation of the second of two steps. The loss is cross entropy.
    What happens inside an operation, such as the workspace of a convolution, is not seen, nor what an allocator rounds
    up or keeps. Sharpness-aware minimisation would add one copy of the weights.

    Args:
        model: made by `create_model`; it is left as it was.
        config: how it is trained: batch size, optimiser, precision ("32-true" or "bf16-mixed"), recompute, and whether
            the backbone is frozen; where it is, its maps are not taken from memory.
    """
    mode, spec = _Mode(allow_non_fake_inputs=True), model.input_spec
    model = _hollow(model, mode).train()
    if config.backbone_lr_scale == 0:
        model.backbone.requires_grad_(False)
    optimizer, half = make_optimizer(model, config), config.precision == "bf16-mixed"
    checkpointing = checkpoint_activations(model) if config.recompute else nullcontext()
    living = _Living([*model.parameters(), *model.buffers()])
    # copying a tensor without content warns, and nothing reads the copy
    with warnings.catch_warnings(action="ignore", category=UserWarning), mode, living, checkpointing:
        weights = living.now
        for _ in range(2):  # the second one has the gradients and states of the first
            before = living.now
            clips = torch.empty(config.batch_size, spec.frames, 3, spec.size, spec.size)
            labels = torch.zeros(config.batch_size, dtype=torch.int64)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                loss = nn.functional.cross_entropy(model(clips).float(), labels)
            activations = living.now - before
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            del loss, clips, labels
    gradients = sum(p.grad.nbytes for p in model.parameters() if p.grad is not None)
    states = sum(one.nbytes for one in tree_leaves([*optimizer.state.values()]) if isinstance(one, Tensor))
    return Memory(weights, gradients, states, activations, living.peak)


def _hollow(model: Model, mode: FakeTensorMode) -> Model:
    """The same model with weights that have no content."""
    model = deepcopy(model)
    for module in model.modules():
        for weights in (module._parameters, module._buffers):
            for name, value in weights.items():
                if value is not None:
                    weights[name] = mode.from_tensor(value)  # type: ignore[assignment]
    return model


class _Mode(FakeTensorMode):
    """Belongs to all its tensors. Activation checkpointing copies buffers, and torch would copy the mode along, weak
    references and all, which ends the process now and then.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Mode":
        return self


class _Living(TorchDispatchMode):
    """Counts the bytes of some tensors and of those that operations make while they are alive, and their peak."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known = WeakIdKeyDictionary()
        self._add(tensors)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **kwargs or {})
        self._add(tensor for tensor in tree_leaves(out) if isinstance(tensor, Tensor))
        return out

    def _add(self, tensors: Iterable[Tensor]) -> None:
        for storage in (tensor.untyped_storage() for tensor in tensors):
            if storage not in self.known:  # a view shares it
                self.known[storage] = None
                self.now += storage.nbytes()
                finalize(storage, self._freed, storage.nbytes())
        self.peak = max(self.peak, self.now)

    def _freed(self, count: int) -> None:
        self.now -= count


class _Moving(TorchDispatchMode):
    """Counts the bytes that operations read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **kwargs or {})
        read, written = ([one for one in tree_leaves(it) if isinstance(one, Tensor)] for it in ((args, kwargs), out))
        known = {one.untyped_storage()._cdata for one in read}
        is_view = all(one.untyped_storage()._cdata in known for one in written) and not func._schema.is_mutable
        if read and written and not is_view:
            self.bytes += sum(min(one.nbytes, one.untyped_storage().nbytes()) for one in (*read, *written))
        return out
