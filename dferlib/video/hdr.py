"""HDR, as phones record it, in the colours of an ordinary screen; and which HDR has no colours without its own data.

swscale can do the same, but takes seconds before the first frame. ITU-R BT.2100 defines both curves, BT.2408 says that
white paper has 203 cd/m2, BT.2087 has the colours, and BT.1886 is the screen.
"""

import struct
from functools import lru_cache

import av
import numpy as np
from av.video.reformatter import ColorTrc

WHITE, PEAK = 203.0, 1000.0  # cd/m2: of white paper, and the brightest of the screen for which HLG is made
ROWS = 64  # at once, so that they stay near the processor
LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)
TO_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)  # from the colours of BT.2020


def is_hdr(frame: av.VideoFrame) -> bool:
    """Whether its values mean PQ or HLG."""
    return frame.color_trc in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)


def is_dolby_alone(metadata: bytes) -> bool:
    """Whether a frame is made for Dolby Vision alone, as in profile 5: its colours (IPT) are bent scene by scene.

    Profiles 7 and 8 put their data beside frames of PQ, HLG or an ordinary screen. FFmpeg tells the profiles apart in
    the same way (`ff_dovi_guess_profile_hevc`), for a stream need not say which it is.

    Args:
        metadata: FFmpeg's `AVDOVIMetadata`, which begins with the place of an `AVDOVIRpuDataHeader`.
    """
    (header,) = struct.unpack_from("N", metadata)
    profile, full_range = metadata[header + 4], metadata[header + 10]  # of the RPU (ETSI GS CCM 001), and its base
    return profile == 0 and full_range == 1


def to_screen(pixels: np.ndarray, curve: int) -> np.ndarray:
    """Colours of BT.2020 to those of an ordinary screen; what is brighter than white paper is white.

    Args:
        pixels: RGB uint16 `(H, W, 3)`, 65535 for a full signal.
        curve: FFmpeg's number of PQ or HLG.

    Returns:
        uint8 `(H, W, 3)`.
    """
    to_light, to_signal = _tables(curve)
    out = np.empty(pixels.shape, np.uint8)
    for start in range(0, len(pixels), ROWS):
        light = to_light[pixels[start : start + ROWS]]
        if curve == ColorTrc.ARIB_STD_B67:  # the scene's light; the screen adds contrast
            light *= PEAK / WHITE * (light @ LUMA)[..., None] ** 0.2
        shown = (light @ TO_709.T).clip(0, 1)
        out[start : start + ROWS] = to_signal[(65535 * shown + 0.5).astype(np.uint16)]
    return out


@lru_cache(maxsize=2)
def _tables(curve: int) -> tuple[np.ndarray, np.ndarray]:
    """The light of each signal, for PQ over white paper; and the signal of an ordinary screen for each light."""
    signal = np.arange(65536) / 65535
    if curve == ColorTrc.SMPTE2084:
        part = signal ** (1 / 78.84375)
        light = (np.maximum(part - 0.8359375, 0) / (18.8515625 - 18.6875 * part)) ** (1 / 0.1593017578125)
        light *= 10_000 / WHITE
    else:
        dark, bright = signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
        light = np.where(signal <= 0.5, dark, bright)
    return light.astype(np.float32), (255 * signal ** (1 / 2.4) + 0.5).astype(np.uint8)
