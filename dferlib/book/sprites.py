"""Clips as compressed pictures that a page holds inside itself."""

import base64
import io

import numpy as np
from PIL import Image

COLUMNS = 12  # frames side by side
METHOD = 6  # how hard to look for a small file, 0 to 6
HEAT_SIDE = 64  # pixels: heat is smooth


def as_bytes(frames: np.ndarray) -> np.ndarray:
    """(F, S, S, 3) uint8 of (F, 3, S, S) uint8 or float in [0, 1]."""
    frames = np.asarray(frames)
    if frames.dtype != np.uint8:
        frames = (frames.clip(0, 1) * 255).round().astype(np.uint8)
    return frames.transpose(0, 2, 3, 1)


def sheet(pictures: np.ndarray) -> np.ndarray:
    """Pictures (F, H, W, C) in rows of at most `COLUMNS`, as one (rows * H, columns * W, C)."""
    count, height, width, channels = pictures.shape
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    filled = np.zeros((rows * columns, height, width, channels), np.uint8)
    filled[:count] = pictures
    grid = filled.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width, channels)


def webp(picture: np.ndarray, quality: int) -> str:
    """A picture (H, W, 3) uint8 as a data address."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "WEBP", quality=quality, method=METHOD)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def grey(heat: np.ndarray) -> np.ndarray:
    """Heat (F, h, w), 0 to 1, as small grey pictures (F, h, w, 3) uint8: the page gives them their colours."""
    whole = (np.asarray(heat, np.float32).clip(0, 1) * 255).round().astype(np.uint8)
    size = (min(HEAT_SIDE, whole.shape[2]), min(HEAT_SIDE, whole.shape[1]))
    small = np.stack([np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BOX)) for one in whole])
    return small[..., None].repeat(3, -1)
