"""How hard the clips are: one number for each thing that makes real clips hard."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Knobs:
    """What happens in the clips besides the expression, and how strong the expression is.

    Shares are of clips, from 0 to 1. The truth of every clip says what each of them came to.

    Attributes:
        intensity: range of the strength of an expression at its apex, 0 to 1.
        carry_over: share that begin in the remainder of another expression; the later one names the clip.
        movements: factor on the chances of short movements that mean nothing (brows, a twitch of the mouth).
        talking: share in which the person talks, whatever the class.
        turn: factor on how far heads are turned.
        sway: factor on how far they move within a clip.
        misaligned: spread of the crop's error in metres on the face.
        flicker: how much the light changes within a clip, 0 to 1.
        glasses: share in which the person wears glasses.
        hand: share in which a hand comes in front of the face.
        hair: share in which a lock of hair hangs in front of the face.
        blur: largest blur, as a share of the picture's side.
        noise: range of the sensor's noise, on the scale from 0 to 1.
        quality: range of the JPEG quality of the frames, 1 to 100; None leaves them as they are.
        shrink: largest factor by which the film's resolution is below the picture's.
        dropped: chance that a frame is lost and shows the one before it.
    """

    intensity: tuple[float, float] = (0.4, 0.95)
    carry_over: float = 0.0
    movements: float = 1.0
    talking: float = 0.6
    turn: float = 1.0
    sway: float = 1.0
    misaligned: float = 0.003
    flicker: float = 0.0
    glasses: float = 0.0
    hand: float = 0.0
    hair: float = 0.0
    blur: float = 0.0
    noise: tuple[float, float] = (0.003, 0.02)
    quality: tuple[int, int] | None = None
    shrink: float = 1.0
    dropped: float = 0.0


DIFFICULTIES = {
    "easy": Knobs(),
    "standard": Knobs(intensity=(0.35, 0.85), carry_over=0.3),
    "hard": Knobs(intensity=(0.2, 0.6), carry_over=0.5),
}
