"""Convolutions and pools over space and time, the same numbers as torch's, by ways that are faster on a CPU.

torch's three-dimensional kernels are made for several large volumes and windows of 3 x 3 x 3. One clip, a window over
time alone and every pool fall to loops that reach a fifth of what the processor can do. Its two-dimensional kernels
have no such gaps, and a clip is a stack of frames. With the channels last in memory none of the views below copies.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def by_frames(net: nn.Module) -> nn.Module:
    """Have all convolutions and max-pools of a network work frame by frame; it keeps its weights and its names."""
    for module in net.modules():
        # those that torchvision's blocks have made, too, without drawing other weights
        if isinstance(module, nn.Conv3d) and not isinstance(module, VolumeConv):
            module.__class__ = VolumeConv
        elif isinstance(module, nn.MaxPool3d):
            module.__class__ = VolumePool
    return net


def _plainly(x: Tensor) -> bool:
    """Whether torch's own kernel is the one to take: on a GPU, in what is compiled or exported, and without oneDNN."""
    return x.device.type != "cpu" or torch.compiler.is_compiling() or not torch.backends.mkldnn.enabled


class VolumeConv(nn.Conv3d):
    """`torch.nn.Conv3d` with zero padding, frame by frame."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F, H, W) to (B, outputs, f, h, w)."""
        frames, *window = self.kernel_size
        stride, padding = self.stride, tuple(map(int, self.padding))
        if _plainly(x):
            return super().forward(x)
        row = window == [1, 1] and frames > 1 and stride[1:] == (1, 1) and padding[1:] == (0, 0)
        if row:  # over time alone: the places stand in a row
            rows = functional.conv2d(x.flatten(3), self.weight[..., 0], self.bias, (stride[0], 1), (padding[0], 0))
            return rows.unflatten(3, x.shape[3:])
        if frames == 1 and window != [1, 1] and padding[0] == 0:  # over space alone: the frames stand in a row
            stack = x[:, :, :: stride[0]].transpose(1, 2)
            y = functional.conv2d(stack.flatten(0, 1), self.weight[:, :, 0], self.bias, stride[1:], padding[1:])
            return y.unflatten(0, stack.shape[:2]).transpose(1, 2)
        alone = frames > 1 and len(x) == 1 and 2 * padding[0] < frames
        return self._add_frames(x[0])[None] if alone else super().forward(x)

    def _add_frames(self, x: Tensor) -> Tensor:
        """One clip (C, F, H, W): a window over k frames is k windows over space, added up, and zeros are left out."""
        reach, stride, before, length = self.kernel_size[0], self.stride[0], int(self.padding[0]), x.shape[1]
        count = (length + 2 * before - reach) // stride + 1

        def part(k: int, first: int, last: int, bias: Tensor | None = None) -> Tensor:
            """What the k-th frame of their windows adds to the outputs from `first` to `last`."""
            begin, end = stride * first + k - before, stride * last + k - before + 1
            stack = x[:, begin:end:stride].transpose(0, 1)
            return functional.conv2d(stack, self.weight[:, :, k], bias, self.stride[1:], self.padding[1:])

        total = part(before, 0, count - 1, self.bias)  # the one that no output lacks
        for k in (k for k in range(reach) if k != before):
            first, last = max(0, -((k - before) // stride)), min(count - 1, (length - 1 + before - k) // stride)
            if first <= last:
                total[first : last + 1] += part(k, first, last)
        return total.transpose(0, 1)


class VolumePool(nn.MaxPool3d):
    """`torch.nn.MaxPool3d`: the greatest in each frame, then over the frames."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F, H, W) to (B, C, f, h, w)."""
        if _plainly(x):
            return super().forward(x)
        kernel, stride, padding = (_triple(value) for value in (self.kernel_size, self.stride, self.padding))
        if kernel[1:] != (1, 1) or stride[1:] != (1, 1):
            frames = x.transpose(1, 2)
            pooled = functional.max_pool2d(
                frames.flatten(0, 1), kernel[1:], stride[1:], padding[1:], ceil_mode=self.ceil_mode
            )
            x = pooled.unflatten(0, frames.shape[:2]).transpose(1, 2)
        if kernel[0] > 1 or stride[0] > 1:
            along = (kernel[0], 1), (stride[0], 1), (padding[0], 0)
            x = functional.max_pool2d(x.flatten(3), *along, ceil_mode=self.ceil_mode).unflatten(3, x.shape[3:])
        return x


def _triple(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value,) * 3 if isinstance(value, int) else tuple(value)
