"""A figure that answers: which frame of a clip SGAER sees, or how its answers of all frames become one, beside TLER."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dferlib.book.controls import choice, said, slider, table
from dferlib.book.explorers import Interactive, explorer
from dferlib.book.panels import CYCLE
from dferlib.book.sprites import COLUMNS, as_bytes, sheet, webp
from dferlib.data.table import ClipSource
from dferlib.data.transforms import prepare
from dferlib.emotions import COLOURS, EMOTIONS
from dferlib.errors import InputError
from dferlib.models.staner import STANER
from dferlib.training.metrics import uar

WAYS = {  # by key what stands for SGAER, beside any one frame
    "rule": "the rule's frame",
    "apex": "the apex (truth)",
    "mean": "mean of frames",
    "max": "highest of frames",
    "vote": "vote of frames",
}
ALPHAS = np.arange(21) / 20
QUALITY, AT_ONCE = 72, 64


@dataclass(frozen=True)
class Decisions:
    """What the two branches of STANER say of N clips.

    Attributes:
        frames: P_G of every frame, (N, F, C).
        whole: P_L, (N, C).
        rule: the frame that the rule takes, from 0, (N,).
        apex: the frame that shows most of the expression, from 0, (N,).
        labels: the true classes, (N,).
    """

    frames: np.ndarray
    whole: np.ndarray
    rule: np.ndarray
    apex: np.ndarray
    labels: np.ndarray

    def spatial(self, way: str) -> np.ndarray:
        """What SGAER says of each clip by one of `WAYS`, or of the frame whose number `way` is: (N, C), each sum 1."""
        all_clips = np.arange(len(self.labels))
        if way in ("rule", "apex"):
            return self.frames[all_clips, self.rule if way == "rule" else self.apex]
        if way == "mean":
            return self.frames.mean(1)
        if way == "max":
            highest = self.frames.max(1)
            return highest / highest.sum(1, keepdims=True)
        if way == "vote":
            return np.eye(self.frames.shape[2])[self.frames.argmax(2)].mean(1)
        return self.frames[:, int(way)]

    def uar(self, way: str, alpha: float) -> float:
        """UAR of the fused answers, 0 to 1: Eq. 14 of STANER with one of `WAYS`, or a frame, in the place of P_G."""
        fused = alpha * self.spatial(way) + (1 - alpha) * self.whole
        return uar(self.labels, fused.argmax(1), fused.shape[1])


@torch.inference_mode()
def every_frame(model: STANER, source: ClipSource, frames: Sequence[int] | np.ndarray) -> np.ndarray:
    """P_G of every frame: what SGAER says if it is shown this one, (N, F, C).

    Args:
        model: trained.
        source: N clips.
        frames: the F frames of each that are looked at.
    """
    found = []
    for start in range(0, len(source), AT_ONCE):
        some = range(start, min(start + AT_ONCE, len(source)))
        clips = prepare(
            torch.from_numpy(np.stack([source.read(i, np.asarray(frames)) for i in some])), model.input_spec
        )
        features = model.spatial(model.backbone.face(clips.flatten(0, 1)))
        found.append(model.head.spatial(features).softmax(1).unflatten(0, clips.shape[:2]))
    return torch.cat(found).numpy().astype(float)


def fusion_explorer(
    decisions: Decisions,
    clips: Mapping[int, np.ndarray],
    alpha: float = 0.5,
    classes: Sequence[str] = EMOTIONS,
    *,
    alt: str,
) -> Interactive:
    """Some clips: pick the frame that SGAER sees, or how its answers of all frames are fused, and TLER's weight.

    Beside the answers for the clip stands the UAR over all clips, had each been decided in the same way.

    Args:
        decisions: of all clips.
        clips: by the number of a clip among them, its frames (F, 3, S, S) uint8.
        alpha: weight of SGAER at the beginning, 0 to 1 in steps of 0.05.
        classes: names of the C classes.
        alt: what it shows, for those who do not see it.

    Raises:
        InputError: there are no clips, or they do not have the frames or classes that the decisions have.
    """
    count = decisions.frames.shape[1]
    if not clips or any(len(clip) != count for clip in clips.values()) or len(classes) != decisions.frames.shape[2]:
        raise InputError(f"give clips of {count} frames each, and the names of {decisions.frames.shape[2]} classes")
    ways = [*map(str, range(count)), *WAYS]
    data = {
        "classes": list(classes),
        "colours": [COLOURS.get(name, CYCLE[k % len(CYCLE)]) for k, name in enumerate(classes)],
        "ways": WAYS,
        "columns": min(COLUMNS, count),
        "rows": -(-count // COLUMNS),
        "clips": [_told(decisions, index) for index in clips],
        "count": len(decisions.labels),
        "uars": {way: [round(decisions.uar(way, a), 5) for a in ALPHAS] for way in ways},
    }
    return explorer(_body(decisions, clips, alpha, classes), data, "fusing", alt=alt)


def _told(decisions: Decisions, index: int) -> dict[str, object]:
    """What the script needs of one clip."""
    return {
        "frames": decisions.frames[index].round(4).tolist(),
        "whole": decisions.whole[index].round(4).tolist(),
        "rule": int(decisions.rule[index]),
        "apex": int(decisions.apex[index]),
        "label": int(decisions.labels[index]),
    }


def _body(decisions: Decisions, clips: Mapping[int, np.ndarray], alpha: float, classes: Sequence[str]) -> str:
    """All of it but style and script."""
    names = [classes[decisions.labels[index]] for index in clips]
    pictures = "".join(
        f'<img class="fim-still fim-sheet dark-light" src="{webp(sheet(as_bytes(clip)), QUALITY)}" '
        f'alt="All {len(clip)} frames of a clip of {name}">'
        for name, clip in zip(names, clips.values(), strict=True)
    )
    listed = [(str(k), name) for k, name in enumerate(names)]
    return (
        f'{pictures}<div class="fim-live fim-sides"><div>{choice("clip", "Clip of", listed)}</div>'
        f"<div>{slider('alpha', 'SGAER α', alpha, (0, 1), 0.05)}</div></div>"
        '<div class="fim-live fim-frames" role="radiogroup" aria-label="The frame that SGAER sees"></div>'
        '<div class="fim-live fim-sides fim-halves"><div class="fim-ways" role="radiogroup" '
        'aria-label="What stands for SGAER"></div><div class="fim-decisions"></div></div>'
        f"{said()}{_still(decisions)}"
    )


def _still(decisions: Decisions) -> str:
    """UAR of each way with some weights, where scripts are off."""
    ways = {str(k): f"frame {k + 1}" for k in range(decisions.frames.shape[1])} | WAYS
    rows = [[name, *(f"{100 * decisions.uar(way, alpha):.1f}" for alpha in (1, 0.5, 0))] for way, name in ways.items()]
    title = f"UAR in % over {len(decisions.labels):,} clips, by what stands for SGAER"
    return table(title, ("what SGAER says", "SGAER alone", "both, α = 0.5", "TLER alone"), rows)
