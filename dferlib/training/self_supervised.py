"""Pretraining without labels: a masked autoencoder learns from clips, of which it gets nothing but their frames.

It takes the same frames in the same number of steps whatever it fills in, so that the ways can be compared, and its
backbone has the form of the packaged one. So whatever is trained on it can be held against that, and against nothing.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn
from tqdm import trange

from dferlib.data.table import ClipSource
from dferlib.data.transforms import Augment, normalise
from dferlib.errors import InputError
from dferlib.models.backbones import FACE_MEAN, FACE_STD, SlimResNet
from dferlib.models.masked_autoencoder import MaskedAutoencoder, draw_masks, hidden_error
from dferlib.training.clips import Clips, load_into_memory
from dferlib.training.pretraining import HALF

RATE, DECAY, WARMUP = 2e-3, 0.05, 0.1
BATCH = 64  # pairs of frames
STATISTICS = 20  # batches of whole frames from which the batch statistics are taken


@dataclass(frozen=True)
class Pretrained:
    """What came out.

    Attributes:
        model: the autoencoder; its backbone is what was wanted.
        errors: the mean error of each hundredth of the steps, where 1 is that of a blank answer.
    """

    model: MaskedAutoencoder
    errors: list[float]


class Pairs:
    """Two frames of each of some clips, drawn at random, cropped, mirrored and lit alike.

    Args:
        source: the clips. Labels and truth are not looked at.
        side: of the frames in pixels.
        seed: of all draws.

    Raises:
        InputError: a clip has fewer than two frames.
    """

    def __init__(self, source: ClipSource, side: int, seed: int) -> None:
        if source.table.frames.min() < 2:
            raise InputError("a clip has fewer than two frames: nothing moves in it; leave such clips out")
        self.clips = Clips(load_into_memory(source), torch.device("cpu"))
        self.counts = source.table.frames
        self.chance, self.random = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        self.augment = Augment(side, saturation=0.3, generator=self.random)

    def draw(self, count: int) -> Tensor:
        """(B, 2, 3, S, S), normalised."""
        which = self.chance.integers(len(self.counts), size=count)
        first = self.chance.integers(self.counts[which])
        second = (first + self.chance.integers(1, self.counts[which])) % self.counts[which]
        pixels = self.augment(self.clips.take(which, np.stack([first, second], 1)))
        return normalise(pixels, FACE_MEAN, FACE_STD)


def pretrain(
    source: ClipSource, way: str, steps: int, *, seed: int = 0, side: int = 56, progress: bool = True
) -> Pretrained:
    """Train a masked autoencoder.

    Args:
        source: clips of two frames or more.
        way: what it fills in, one of `dferlib.models.masked_autoencoder.WAYS`.
        steps: of `BATCH` pairs of frames each.
        seed: of its weights, and of all draws.
        side: of the frames in pixels.
        progress: show a bar.
    """
    torch.manual_seed(seed)
    model, pairs = MaskedAutoencoder(way, side=side), Pairs(source, side, seed)
    model.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=WARMUP)
    found = []
    for _ in trange(steps, desc=way, unit="step", disable=not progress):
        frames, others = (part.contiguous(memory_format=torch.channels_last) for part in pairs.draw(BATCH).unbind(1))
        hidden = draw_masks(len(frames), side, random=pairs.random)
        with torch.autocast("cpu", torch.bfloat16, enabled=HALF):
            filled = model(frames, others, hidden)
        loss = hidden_error(filled, hidden)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        blank = filled.wanted.square().masked_select(hidden).mean()
        found.append(loss.item() / blank.item())
    see_whole_frames(model.backbone, pairs)
    return Pretrained(model, [float(np.mean(part)) for part in np.array_split(found, min(100, steps))])


def see_whole_frames(backbone: SlimResNet, pairs: Pairs) -> None:
    """Take the batch statistics from frames without masks, which is what the backbone will be shown."""
    frames = (pairs.draw(BATCH)[:, 0] for _ in range(STATISTICS))
    update_bn(frames, backbone)
    backbone.eval()


def explained(model: MaskedAutoencoder, source: ClipSource, batches: int = 8, seed: int = 0) -> float:
    """Which part of what is hidden a model explains, in clips that it has not learnt from: 1 is all, 0 nothing.

    Args:
        model: trained.
        source: the clips.
        batches: of `BATCH` pairs of frames each.
        seed: of frames and masks.
    """
    pairs, was = Pairs(source, model.side, seed), model.training
    wrong, total = 0.0, 0.0
    with torch.no_grad():
        model.eval()
        for _ in range(batches):
            frames, others = pairs.draw(BATCH).unbind(1)
            hidden = draw_masks(len(frames), model.side, random=pairs.random)
            filled = model(frames, others, hidden)
            wrong += hidden_error(filled, hidden).item()
            total += filled.wanted.square().masked_select(hidden).mean().item()
    model.train(was)
    return 1 - wrong / total
