"""Who a face belongs to: sex, age, ancestry, shape, skin, hair, eyes, beard and make-up, drawn from a seed."""

from dataclasses import dataclass

import numpy as np

from dferlib.makefaces.proportions import draw_shape

ANCESTRIES = ("african", "asian", "caucasian")

# colours are linear RGB reflectances
SKIN_TONES = np.array(
    [
        [0.87, 0.66, 0.55],
        [0.78, 0.55, 0.42],
        [0.62, 0.40, 0.27],
        [0.42, 0.25, 0.155],
        [0.24, 0.135, 0.085],
        [0.13, 0.072, 0.048],
    ]
)
SKIN_TONES = SKIN_TONES**1.25  # from light to dark
# black, dark brown, brown, light brown, blond, red; then what grey hair turns to
HAIR_COLOURS = np.array(
    [
        [0.022, 0.017, 0.014],
        [0.060, 0.034, 0.020],
        [0.130, 0.072, 0.038],
        [0.250, 0.160, 0.085],
        [0.480, 0.330, 0.170],
        [0.270, 0.095, 0.035],
    ]
)
GREY = np.array([0.43, 0.365, 0.29])
EYE_COLOURS = np.array(
    [[0.10, 0.05, 0.025], [0.18, 0.10, 0.04], [0.20, 0.22, 0.10], [0.15, 0.27, 0.36], [0.30, 0.34, 0.36]]
)
LIPSTICKS = np.array([[0.55, 0.06, 0.08], [0.5, 0.12, 0.16], [0.42, 0.05, 0.14]])


@dataclass(frozen=True)
class Identity:
    """A person. Fractions run from 0 to 1."""

    seed: int  # of the fine texture: freckles, hairs of the brow, blotches
    female: float
    age: float  # the mesh's axis: 2/3 is a young adult, 1 is old
    ancestry: np.ndarray  # (3,) shares of ANCESTRIES, summing to one
    weight: float
    shape: np.ndarray  # (K,) weights of the head's shape offsets
    brow_lifts: np.ndarray  # (2, 3) metres: how much higher the left and the right brow grow, see `draw_shape`
    skin_tone: float  # 0 lightest, 1 darkest
    undertone: float  # -1 rosy to 1 golden
    hair_colour: np.ndarray
    eye_colour: np.ndarray
    hairstyle: str  # "bald", "buzz", "short", "long"
    hair_thickness: float  # metres
    hairline: float  # metres up or down; far down is a fringe
    hair_length: float  # of long hair: 1 to below the shoulders, 0.4 to the chin
    hair_wave: float  # of long hair: 0 straight
    brow_colour: np.ndarray
    beard: float
    moustache: bool
    brow_density: float
    brow_width: float
    lash_density: float
    folding: float  # how deep expressions fold the skin
    lipstick: float
    lip_colour: np.ndarray
    lip_tone: float
    freckles: bool
    eye_shadow: np.ndarray | None  # (4,) strength and colour
    clothes: np.ndarray

    @property
    def male(self) -> bool:
        """Whether the face is rather a man's than a woman's."""
        return self.female < 0.5

    @property
    def old(self) -> float:
        """0 for a young adult, 1 for the oldest."""
        return max(0.0, (self.age - 0.66) * 3)

    @property
    def skin(self) -> np.ndarray:
        """(3,) the reflectance of the skin."""
        x = self.skin_tone * (len(SKIN_TONES) - 1)
        low = min(int(x), len(SKIN_TONES) - 2)
        tone = SKIN_TONES[low] * (1 - (x - low)) + SKIN_TONES[low + 1] * (x - low)
        return tone * (1 + self.undertone * np.array([-0.02, 0.04, -0.07]))

    def summary(self) -> dict[str, float | str]:
        """What a table says of this person."""
        return {
            "female": round(self.female, 4),
            "age": round(self.age, 4),
            **{name: round(float(share), 4) for name, share in zip(ANCESTRIES, self.ancestry, strict=True)},
            "skin_tone": round(self.skin_tone, 4),
            "hairstyle": self.hairstyle,
            "beard": self.beard,
        }


def _hair_colours(tone: float, old: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(3,) the colour of the hair and (3,) of the brows, which grey later and are seldom fair."""
    chances = [0.32, 0.26, 0.16, 0.10, 0.10, 0.06] if tone < 0.45 else [0.82, 0.18, 0, 0, 0, 0]
    hair = HAIR_COLOURS[rng.choice(6, p=chances)] * rng.uniform(0.8, 1.25)
    grey = float(np.clip(rng.normal(1.3 * old - 0.45, 0.25), 0, 1)) if old > 0.3 else 0.0
    brows = hair * (0.4 if hair[0] < 0.3 else 0.28)
    return hair + (GREY * rng.uniform(0.6, 1.3) - hair) * grey, brows + (0.5 * GREY - brows) * 0.4 * grey


def sample_identity(rng: np.random.Generator, shape_names: tuple[str, ...]) -> Identity:
    """Draw a person.

    Args:
        rng: the source of every draw.
        shape_names: the head's shape offsets, in order (`Head.shape_names`).
    """
    female = 0.5 + 0.5 * np.sign(lean := rng.uniform(-1, 1)) * abs(lean) ** 0.35  # mostly clearly one or the other
    age, weight = 0.57 + 0.43 * rng.beta(1.1, 1.9), float(np.clip(rng.normal(0.5, 0.2), 0, 1))
    ancestry = rng.dirichlet([0.55] * 3)
    shape, brow_lifts = draw_shape(shape_names, female, age, weight, ancestry, rng)
    male, old = female < 0.5, max(0.0, (age - 0.66) * 3)
    tone = float(np.clip(ancestry @ np.array([0.80, 0.34, 0.20]) + rng.normal(0, 0.12), 0.02, 1))
    hair, brows = _hair_colours(tone, old, rng)
    eyes = EYE_COLOURS[rng.choice(5, p=[0.45, 0.25, 0.1, 0.12, 0.08]) if tone < 0.4 else rng.choice(2, p=[0.8, 0.2])]
    styles, chances = ("short", "bald", "buzz", "long"), (0.62, 0.12, 0.20, 0.06) if male else (0.22, 0.0, 0.03, 0.75)
    fringe = rng.random() < (0.12 if male else 0.28)
    beard = float(rng.choice([0, 0.25, 0.55, 0.95], p=[0.45, 0.22, 0.15, 0.18])) if male and age > 0.6 else 0.0
    shadowed = not male and rng.random() < 0.4
    return Identity(
        seed=int(rng.integers(1 << 31)),
        female=float(female),
        age=float(age),
        ancestry=ancestry,
        weight=weight,
        shape=shape,
        brow_lifts=brow_lifts,
        skin_tone=tone,
        undertone=float(np.clip(rng.normal(0, 0.5), -1, 1)),
        hair_colour=hair,
        brow_colour=brows,
        eye_colour=eyes * rng.uniform(0.7, 1.3),
        hairstyle=str(rng.choice(styles, p=chances)),
        hair_thickness=rng.uniform(0.004, 0.02),
        hairline=rng.uniform(-0.034, -0.024) if fringe else rng.uniform(-0.022, 0.002),
        hair_length=rng.uniform(0.4, 1.0),
        hair_wave=rng.uniform(0, 1),
        beard=beard,
        moustache=bool(rng.random() < (0.85 if beard > 0.5 else 0.5)),
        brow_density=rng.uniform(0.85, 1.15),
        brow_width=rng.uniform(0.75, 1.35) if male else rng.uniform(0.5, 1.0),
        folding=rng.uniform(0.3, 1.3),
        lash_density=rng.uniform(0.65, 1.0) if male else rng.uniform(0.75, 1.0),
        lipstick=rng.uniform(0.2, 0.7) if not male and rng.random() < 0.45 else 0.0,
        lip_colour=LIPSTICKS[rng.integers(3)] * (1 - 0.6 * tone),
        lip_tone=rng.uniform(0.6, 1.2),
        freckles=bool(tone < 0.35 and rng.random() < 0.2),
        eye_shadow=np.append(rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7, 3)) if shadowed else None,
        clothes=rng.uniform(0.03, 0.6, 3) * rng.uniform(0.4, 1),
    )
