"""Which equation of which paper a part of a model is, as the library's own source says it."""

from dataclasses import dataclass

from torch import nn

from dferlib.models import C3D, I3D, P3D, R3D18, STT, FormerDFER, LOGOFormer, MSSTNet, NRDFERNet, R2Plus1D18
from dferlib.models.logo_former import LOGOBlock
from dferlib.models.msstnet import TemporalBlock
from dferlib.models.staner import SGAER, STANER, TLER, Fusion, SpatialBranch, TemporalBranch
from dferlib.models.stt import STTBlock


@dataclass(frozen=True)
class Paper:
    """A paper that has been rebuilt.

    Attributes:
        cited: how a drawing names it.
        text: the name of the file with its text, without the suffix; "" of those that are not taught.
    """

    cited: str
    text: str = ""


_STT = Paper("Ma, Sun and Li 2022", "stt")
_LOGO = Paper("Ma, Sun and Li 2023", "logo-former")
_MSST = Paper("Wang et al. 2024", "msstnet")
_STANER = Paper("Li et al. 2023", "staner")


@dataclass(frozen=True)
class Cited:
    """Equations of a paper.

    Attributes:
        numbers: of the equations, in order.
        formula: what they say, without most of their indices; what follows an underscore is one.
    """

    numbers: tuple[int, ...] = ()
    formula: str = ""

    @property
    def label(self) -> str:
        """Such as "Eq. 3–7", or "" where the paper has no equation."""
        if not self.numbers:
            return ""
        return f"Eq. {self.numbers[0]}" + (f"–{self.numbers[-1]}" if len(self.numbers) > 1 else "")


_WEIGHTS = "s = Σ softmax(q · k / √D_h) v"
# of each class: its paper, and the equations of its parts; what is added behind a part has a + in front
EQUATIONS: dict[type[nn.Module], tuple[Paper, dict[str, Cited]]] = {
    STT: (
        _STT,
        {
            "space_position": Cited((1,), "f_2 = f_1 + e"),
            "time_position": Cited((2,), "z = f_3 + e"),
            "head": Cited((13,), "p = FC(z)"),
        },
    ),
    STTBlock: (
        _STT,
        {
            "spatial": Cited((3, 4, 5, 6, 7), f"{_WEIGHTS}, over places"),
            "+spatial": Cited((8,), "z′ = W s + z"),
            "temporal": Cited((9, 10), f"{_WEIGHTS}, over times"),
            "+temporal": Cited((11,), "z″ = W s′ + z′"),
            "+mlp": Cited((12,), "z = MLP(LN(z″)) + z″"),
        },
    ),
    LOGOFormer: (_LOGO, {"head": Cited((10,), "p = FC(X)")}),
    LOGOBlock: (
        _LOGO,
        {
            "+local_": Cited((1,), "Y = X + MSA(LN(X))"),
            "queries": Cited((3,), "Q = W LN(Y)"),
            "pooled": Cited((4, 5), "K, V = W LN(Pool(Y))"),
            "+global_": Cited((6,), "Y + softmax(Q Kᵀ / √D_h) V"),
            "+mlp": Cited((7,), "X = MHGA(Y) + MLP(LN(MHGA(Y)))"),
        },
    ),
    MSSTNet: (_MSST, {"embed": Cited((1,), "z = E x + e"), "head": Cited((9,), "p = FC(mean of z)")}),
    TemporalBlock: (
        _MSST,
        {
            "temporal": Cited((2, 3, 4, 5, 6), f"{_WEIGHTS}, over times"),
            "+temporal": Cited((7,), "z′ = W s + z"),
            "+mlp": Cited((8,), "z = MLP(LN(z′)) + z′"),
        },
    ),
    SpatialBranch: (
        _STANER,
        {"mask": Cited((1,), "M = σ(Conv(AvgPool(U)))"), "+mask": Cited((2,), "U′ = (1 + M) ⊗ U")},
    ),
    TemporalBranch: (
        _STANER,
        {
            "lstms": Cited((5, 6, 7, 8, 9, 10), "c = f ⊗ c + i ⊗ g,  h = o ⊗ tanh(c)"),
            "joined": Cited((11,), "F′ = [F_e : F_n : F_m]"),
        },
    ),
    Fusion: (
        _STANER,
        {
            "spatial": Cited((3,), "P_G = softmax(x)"),
            "temporal": Cited((12,), "P_L = softmax(x)"),
            "average": Cited((14,), "α P_G + (1 − α) P_L"),
        },
    ),
    SGAER: (_STANER, {}),
    TLER: (_STANER, {}),
    STANER: (_STANER, {}),
    FormerDFER: (Paper("Zhao and Liu 2021"), {}),
    NRDFERNet: (Paper("Li et al. 2022"), {}),
    C3D: (Paper("Tran et al. 2015"), {}),
    P3D: (Paper("Qiu, Yao and Mei 2017"), {}),
    I3D: (Paper("Carreira and Zisserman 2017"), {}),
    R3D18: (Paper("Hara et al. 2018"), {}),
    R2Plus1D18: (Paper("Tran et al. 2018"), {}),
}


def cite(kind: type[nn.Module], part: str) -> Cited:
    """The equations of a part; none where the paper has none."""
    return EQUATIONS[kind][1].get(part, Cited()) if kind in EQUATIONS else Cited()


def paper_of(kind: type[nn.Module]) -> Paper | None:
    """The paper that a class rebuilds."""
    return EQUATIONS[kind][0] if kind in EQUATIONS else None
