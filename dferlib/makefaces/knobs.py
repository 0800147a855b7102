"""How hard the clips are: one number for each thing that makes real clips hard."""

from dataclasses import dataclass

from dferlib.makefaces.camera import CameraStrengths

FAINT_NOISE = CameraStrengths(noise=(0.003, 0.02))


@dataclass(frozen=True)
class Knobs:
    """What happens in the clips besides the expression, and how strong the expression is.

    Shares are of clips, from 0 to 1. At most one thing is in front of a face, so the shares of glasses, sunglasses,
    hands and hair add up to 1 at most. The truth of every clip says what each knob came to.

    Attributes:
        intensity: range of the strength of an expression at its apex, 0 to 1.
        carry_over: share that begin in the remainder of another expression; the later one names the clip.
        movements: factor on the chances of short movements that mean nothing (brows, a twitch of the mouth).
        talking: share in which the person talks, whatever the class.
        turn: factor on how far heads are turned.
        sway: factor on how far they move within a clip.
        held: share of the expressions that are there before the clip begins and stay until it ends.
        hanging: share in which the head is lowered and tilted, whatever the class.
        misaligned: spread of the crop's error in metres on the face.
        flicker: how much the light changes within a clip, 0 to 1.
        glasses: share in which the person wears glasses.
        sunglasses: share in which they are dark.
        hand: share in which a hand comes in front of the face.
        hair: share in which hair falls in front of the face, where the person has enough of it.
        camera: what the camera and the file do: blur, smear, noise, compression, few pixels, lost frames.
    """

    intensity: tuple[float, float] = (0.4, 0.95)
    carry_over: float = 0.0
    movements: float = 1.0
    talking: float = 0.6
    turn: float = 1.0
    sway: float = 1.0
    held: float = 0.0
    hanging: float = 0.0
    misaligned: float = 0.003
    flicker: float = 0.0
    glasses: float = 0.0
    sunglasses: float = 0.0
    hand: float = 0.0
    hair: float = 0.0
    camera: CameraStrengths = FAINT_NOISE


DIFFICULTIES = {
    "easy": Knobs(intensity=(0.6, 1.0), movements=0.5, talking=0.4, turn=0.8, sway=0.8),
    "standard": Knobs(
        intensity=(0.35, 0.9),
        carry_over=0.3,
        held=0.12,
        hanging=0.06,
        sway=1.25,
        flicker=0.25,
        glasses=0.2,
        sunglasses=0.02,
        hand=0.06,
        hair=0.05,
        camera=CameraStrengths(
            blur=(0, 0.003),
            smear=0.01,
            noise=(0.003, 0.02),
            quality=(50, 95),
            shrink=(1, 1.1),
            dropped=0.03,
            sharpen=(0.4, 1.8),
            contrast=(0.7, 1.15),
            gamma=(0.85, 1.2),
            saturation=(0.65, 1.4),
            grey=0.08,
        ),
    ),
    "hard": Knobs(
        intensity=(0.32, 0.72),
        carry_over=0.4,
        movements=1.25,
        talking=0.7,
        turn=1.25,
        sway=1.4,
        held=0.12,
        hanging=0.18,
        misaligned=0.004,
        flicker=0.4,
        glasses=0.25,
        sunglasses=0.04,
        hand=0.15,
        hair=0.14,
        camera=CameraStrengths(
            blur=(0.002, 0.011),
            smear=0.015,
            noise=(0.008, 0.03),
            quality=(25, 70),
            shrink=(1, 1.5),
            dropped=0.08,
            sharpen=(0.0, 2.0),
            contrast=(0.65, 1.4),
            gamma=(0.75, 1.4),
            saturation=(0.3, 1.3),
            grey=0.12,
        ),
    ),
}
