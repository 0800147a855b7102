"""What the camera and the file do to the frames: smear, blur, few pixels, noise, tone, compression, lost frames.

The steps follow the light's way through a real chain. While the shutter is open the camera moves (smear) and the lens
is out of focus (blur). The sensor may have fewer pixels than the frame (shrink) and adds noise. The codec compresses
what the sensor gave, the player enlarges it again, and a frame that got lost on the way shows the one before it once
more. In between, the camera develops the frame: it sharpens, and has its own idea of contrast and colour. The noise is
that of the developed frame, since cameras sharpen edges and smooth grain.
"""

import io
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

GAMMA = 2.2  # of the frames' code: light is value ** GAMMA
READ_NOISE = 0.02  # the light, white being 1, at which shot noise is as strong as the noise of reading the sensor
DARK = 0.25  # darker values get the noise of this one: cameras smooth the dark, or dark faces would drown in noise
COARSE_AT = 0.08  # noise this strong is smoothed over its neighbours completely, as cameras do in the dark
CODES = 255  # the largest value of a byte
SHARPEN_WIDTH = 1 / 64  # of the side: the standard deviation of the blur that sharpening takes away
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # shares of red, green and blue in a grey value


@dataclass(frozen=True)
class CameraStrengths:
    """How much the camera may do. Lengths are shares of the frame's side, so that frames of any size look alike.

    Attributes:
        blur: range of the Gaussian blur's standard deviation.
        smear: length of the motion smear in a clip that shakes much; every clip and frame gets less or more of it.
        noise: range of the noise's standard deviation at mid grey, on the scale where white is 1.
        quality: range of the JPEG quality, 1 to 100, or None for no compression.
        shrink: range of how many times fewer pixels a side the sensor has than the frame.
        dropped: chance of each frame but the first to get lost.
        sharpen: range of how much of the difference from a blurred frame is added to it.
        contrast: range of the factor on the distance of each value from the clip's mean.
        gamma: range of the exponent of every value.
        saturation: range of the factor on the distance of each value from grey.
        grey: chance that the clip has no colour.
    """

    blur: tuple[float, float] = (0.0, 0.0)
    smear: float = 0.0
    noise: tuple[float, float] = (0.0, 0.0)
    quality: tuple[int, int] | None = None
    shrink: tuple[float, float] = (1.0, 1.0)
    dropped: float = 0.0
    sharpen: tuple[float, float] = (0.0, 0.0)
    contrast: tuple[float, float] = (1.0, 1.0)
    gamma: tuple[float, float] = (1.0, 1.0)
    saturation: tuple[float, float] = (1.0, 1.0)
    grey: float = 0.0


@dataclass(frozen=True)
class Camera:
    """What the camera does to one clip of F frames; the truth of it.

    Attributes:
        blur: standard deviation of the Gaussian blur in pixels.
        smear: (F, 2) the way right and down, in pixels, that the image moves while the shutter is open.
        noise: standard deviation at mid grey, on the scale where white is 1.
        quality: JPEG quality, 1 to 100, or None for no compression.
        shrink: how many times fewer pixels a side the sensor has than the frame.
        dropped: (F,) bool, frames that show the one before them.
        sharpen, contrast, gamma, saturation: see `CameraStrengths`; a saturation of 0 is a grey clip.
    """

    blur: float
    smear: np.ndarray
    noise: float
    quality: int | None
    shrink: float
    dropped: np.ndarray
    sharpen: float = 0.0
    contrast: float = 1.0
    gamma: float = 1.0
    saturation: float = 1.0

    @property
    def shown(self) -> np.ndarray:
        """(F,) the frame that each frame shows: itself, or the last one before it that did not get lost."""
        return np.maximum.accumulate(np.where(self.dropped, 0, np.arange(len(self.dropped))))


def sample_camera(strengths: CameraStrengths, frames: int, size: int, rng: np.random.Generator) -> Camera:
    """Draw a camera for a clip.

    Args:
        strengths: how much it may do.
        frames: F.
        size: side of the frames in pixels.
        rng: the source of every draw. The number of draws does not depend on the strengths.
    """
    blur, noise = rng.uniform(*strengths.blur), rng.uniform(*strengths.noise)
    shrink, best = rng.uniform(*strengths.shrink), rng.random()
    # a hand's shake: directions and lengths that flow into each other from frame to frame
    shake = rng.normal(size=(frames + 2, 2))
    shake = rng.random() * (shake[:-2] + 2 * shake[1:-1] + shake[2:]) / np.sqrt(6)
    lost = rng.random(frames) < strengths.dropped
    lost[0] = False
    quality = None
    if strengths.quality is not None:
        low, high = strengths.quality
        quality = round(low + best * (high - low))
    sharpen, contrast, gamma, saturation = (
        rng.uniform(*bounds)
        for bounds in (strengths.sharpen, strengths.contrast, strengths.gamma, strengths.saturation)
    )
    if rng.random() < strengths.grey:
        saturation = 0.0
    return Camera(
        blur=blur * size,
        smear=shake * strengths.smear * size,
        noise=noise,
        quality=quality,
        shrink=shrink,
        dropped=lost,
        sharpen=sharpen,
        contrast=contrast,
        gamma=gamma,
        saturation=saturation,
    )


def apply_camera(frames: Tensor, camera: Camera, rng: np.random.Generator) -> Tensor:
    """Change frames as `camera` would.

    Args:
        frames: (F, 3, S, S) float in [0, 1], sRGB, on any device.
        camera: what it does.
        rng: the source of the noise.

    Returns:
        (F, 3, S, S) uint8 on the CPU. The same `rng` gives the same bytes, on any number of threads.
    """
    size = frames.shape[-1]
    seen = _smeared(frames.detach().cpu().numpy(), camera.smear)
    if camera.blur >= 1 / 6:  # cut at three of its widths, a narrower kernel is one pixel
        for axis in (-1, -2):
            seen = gaussian_filter1d(seen, camera.blur, axis, mode="reflect", truncate=3)
    small = max(1, round(size / camera.shrink))
    if small < size:
        seen = F.interpolate(torch.from_numpy(seen), (small, small), mode="bilinear", antialias=True).numpy()
    seen = _noisy(_developed(seen, camera), camera.noise, rng)
    coded = (seen.clip(0, 1) * CODES).round().astype(np.uint8)
    if camera.quality is not None:
        coded = np.stack([_compressed(frame, camera.quality) for frame in coded])
    out = torch.from_numpy(coded)
    if small < size:
        large = F.interpolate(out.float(), (size, size), mode="bilinear", align_corners=False)
        out = large.round().to(torch.uint8)
    return out[torch.from_numpy(camera.shown)]


def _smeared(frames: np.ndarray, ways: np.ndarray) -> np.ndarray:
    """The mean of each frame while it moves along its straight way (F, 2)."""
    size, margin = frames.shape[-1], int(np.ceil(np.abs(ways).max() / 2))
    if margin == 0:
        return frames
    wide = np.pad(frames, ((0, 0), (0, 0), (margin, margin), (margin, margin)), "symmetric")
    out = np.zeros_like(frames)
    for frame, way in enumerate(ways):
        kernel = _line(way, margin)
        for y, x in np.argwhere(kernel > 0):
            out[frame] += kernel[y, x] * wide[frame, :, y : y + size, x : x + size]
    return out


def _line(way: np.ndarray, margin: int) -> np.ndarray:
    """(2 * margin + 1, 2 * margin + 1) weights of a line through the middle: points on it, shared among four pixels."""
    side = 2 * margin + 1
    steps = 2 * int(np.ceil(np.hypot(*way))) + 1
    at = margin + np.linspace(-0.5, 0.5, steps)[:, None] * way  # (steps, 2) x and y
    low = np.floor(at).astype(int).clip(0, side - 2)
    kernel = np.zeros((side, side), np.float32)
    for right in (0, 1):
        for down in (0, 1):
            part = 1 - np.abs(at - low - (right, down))
            np.add.at(kernel, (low[:, 1] + down, low[:, 0] + right), part[:, 0] * part[:, 1])
    return kernel / kernel.sum()


def _noisy(seen: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Add the sensor's noise.

    In light, the variance of shot noise is proportional to the light and that of read noise is constant. The code's
    curve is steep in the dark, so there the same noise shows more. The three colours get the same grain: cameras and
    codecs smooth the noise of colour away.
    """
    if sigma == 0:
        return seen
    value = np.arange(CODES + 1) / CODES
    curve = np.maximum(value, DARK)
    deviation = np.sqrt(curve**GAMMA + READ_NOISE) * curve ** (1 - GAMMA)
    strength = (deviation * sigma / np.interp(0.5, value, deviation)).astype(np.float32)
    codes = (seen.clip(0, 1) * CODES + 0.5).astype(np.uint8)
    return seen + strength[codes] * _grain((len(seen), 1, *seen.shape[2:]), min(1.0, sigma / COARSE_AT), rng)


def _grain(shape: tuple[int, ...], coarse: float, rng: np.random.Generator) -> np.ndarray:
    """Normal noise of variance 1: white, and with `coarse` up to 1 more and more alike from pixel to pixel."""
    *most, height, width = shape
    white = rng.standard_normal((*most, height + 2, width + 2), dtype=np.float32)
    rows = white[..., :-2, :] + white[..., 1:-1, :] + white[..., 2:, :]
    box = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    share = coarse / 9
    variance = (1 - coarse + share) ** 2 + 8 * share**2
    return (white[..., 1:-1, 1:-1] * np.float32(1 - coarse) + box * np.float32(share)) / np.float32(variance**0.5)


def _developed(seen: np.ndarray, camera: Camera) -> np.ndarray:
    """Change sharpness, tone and colour of frames (F, 3, S, S), as one camera does in all frames of a clip."""
    if camera.sharpen > 0:
        width = SHARPEN_WIDTH * seen.shape[-1]
        soft = gaussian_filter1d(gaussian_filter1d(seen, width, -1, truncate=3), width, -2, truncate=3)
        seen = seen + np.float32(camera.sharpen) * (seen - soft)
    if camera.gamma != 1:
        seen = seen.clip(0, 1) ** np.float32(camera.gamma)
    if camera.saturation != 1:
        grey = np.tensordot(LUMA, seen, (0, 1))[:, None]
        seen = grey + np.float32(camera.saturation) * (seen - grey)
    if camera.contrast != 1:
        middle = seen.mean()
        seen = middle + np.float32(camera.contrast) * (seen - middle)
    return seen


def _compressed(frame: np.ndarray, quality: int) -> np.ndarray:
    """A (3, H, W) uint8 frame after JPEG, with colour at half resolution as videos have it."""
    file = io.BytesIO()
    Image.fromarray(frame.transpose(1, 2, 0)).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(file)).transpose(2, 0, 1)
