"""Who is compared: every model of dferlib at paper scale, and what a user would pick instead."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torchvision.models import video

from benchmarks.former_dfer import FormerDFER
from dferlib.models import create_model, list_models

FRAMES, SIZE, CLASSES = 16, 112, 7
DIM, DEPTH, HEADS, PATCH = 512, 4, 8, 14  # as STT has them; 8 x 8 patches a frame, 1,024 tokens a clip
PAPERS = ("stt", "logo_former", "msstnet", "staner")
TIMESFORMER, TIMESFORMER_HF = "TimeSformer, timesformer-pytorch", "TimeSformer, transformers"
ENCODER = "Former-DFER, torch.nn"
TV_R2PLUS1D, TV_R3D = "r2plus1d_18, torchvision", "r3d_18, torchvision"
# what the guarded ratios compare is measured even where there is no time for more
NEEDED = ("stt", "former_dfer", "logo_former", "r2plus1d18", "r3d18")
NEEDED += (ENCODER, TIMESFORMER, TIMESFORMER_HF, TV_R2PLUS1D, TV_R3D)


@dataclass(frozen=True)
class Contestant:
    """A model that is compared.

    Attributes:
        name: as tables show it.
        whose: the package that it comes from.
        make: builds it for clips of so many frames; what it builds takes (B, F, 3, size, size) and gives one tensor.
        size: side of the frames.
        grows: whether it is measured with other numbers of frames too.
    """

    name: str
    whose: str
    make: Callable[[int], nn.Module]
    size: int = SIZE
    grows: bool = False


class Fitted(nn.Module):
    """A model of another package that wants its clips, or gives its logits, in its own way."""

    def __init__(self, model: nn.Module, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.call = model, call

    def forward(self, clips: Tensor) -> Tensor:
        """(B, F, 3, H, W) to logits (B, C)."""
        return self.call(self.model, clips)


def channels_first(model: nn.Module, clips: Tensor) -> Tensor:
    """A call of torchvision's models, which want (B, 3, F, H, W)."""
    return model(clips.transpose(1, 2))


def timesformer(frames: int) -> nn.Module:
    from timesformer_pytorch import TimeSformer

    return TimeSformer(
        dim=DIM, image_size=SIZE, patch_size=PATCH, num_frames=frames, num_classes=CLASSES,
        depth=DEPTH, heads=HEADS, dim_head=DIM // HEADS,
    )  # fmt: skip


def timesformer_hf(frames: int) -> nn.Module:
    from transformers import TimesformerConfig, TimesformerForVideoClassification

    config = TimesformerConfig(
        image_size=SIZE, patch_size=PATCH, num_frames=frames, hidden_size=DIM, num_hidden_layers=DEPTH,
        num_attention_heads=HEADS, intermediate_size=4 * DIM, num_labels=CLASSES,
    )  # fmt: skip
    return Fitted(TimesformerForVideoClassification(config), lambda model, clips: model(clips).logits)


def own(name: str) -> Contestant:
    """A model of the library as its paper has it."""
    with torch.device("meta"):  # no weights, only to know what it takes
        spec = create_model(name, scale="paper").input_spec

    def make(frames: int) -> nn.Module:
        return create_model(name, scale="paper", **({} if frames == spec.frames else {"frames": frames}))

    return Contestant(name, "dferlib", make, spec.size, name in PAPERS)


def others() -> tuple[list[Contestant], list[str]]:
    """What others offer, and the packages among them that are not installed."""
    found, missing = [Contestant(ENCODER, "torch", FormerDFER)], []
    for name, package, module, make in (
        (TIMESFORMER, "timesformer-pytorch", "timesformer_pytorch", timesformer),
        (TIMESFORMER_HF, "transformers", "transformers", timesformer_hf),
    ):
        if find_spec(module):
            found.append(Contestant(name, package, make, grows=True))
        else:
            missing.append(package)
    # mvit_v1_b takes no other size
    for name, size in (("r2plus1d_18", SIZE), ("r3d_18", SIZE), ("swin3d_t", SIZE), ("mvit_v1_b", 224)):
        build = getattr(video, name)

        def make(_: int, build: Callable[..., nn.Module] = build) -> nn.Module:
            return Fitted(build(num_classes=CLASSES), channels_first)

        found.append(Contestant(f"{name}, torchvision", "torchvision", make, size))
    return found, missing


def everybody() -> tuple[list[Contestant], list[str]]:
    """All contestants, those first that the guarded ratios need, and the packages that are not installed."""
    peers, missing = others()
    all_of_them = [*(own(name) for name in list_models()), *peers]
    return sorted(all_of_them, key=lambda one: one.name not in NEEDED), missing
