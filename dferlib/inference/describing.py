"""What tells the people of a video apart: dlib's face network, see `dferlib.models.dlib_face`."""

import logging
from functools import lru_cache

import numpy as np
import torch

from dferlib.data.transforms import normalise
from dferlib.devices import threads
from dferlib.errors import InputError
from dferlib.models.dlib_face import DLIB_MEAN, DLIB_STD, DlibFaceResNet, load_dlib_weights
from dferlib.video.faces.identity import Describer, cut_chips
from dferlib.video.faces.landmarks import load_predictor

log = logging.getLogger("dferlib")


@lru_cache(maxsize=1)
def load_describer() -> Describer | None:
    """The network, ready to describe faces.

    Returns:
        A function of a frame, RGB uint8 `(H, W, 3)`, and its boxes `(K, 3)` that gives a descriptor `(K, 128)` of
        each face. None where dlib or the weights are not installed.
    """
    network = DlibFaceResNet().eval()
    try:
        load_dlib_weights(network)
        load_predictor(5)
    except InputError as error:
        log.info("people are told apart by their place alone: %s", error)
        return None

    @torch.inference_mode()
    def describe(frame: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        out = np.empty((len(boxes), 128))
        with threads(1):
            for k, chip in enumerate(cut_chips(frame, boxes)):
                pixels = torch.from_numpy(chip).permute(2, 0, 1)[None] / 255
                out[k] = network.embed(normalise(pixels, DLIB_MEAN, DLIB_STD))[0].numpy()
        return out

    return describe
