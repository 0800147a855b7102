"""What is compared: the rows of each study, and the question that they answer together.

Rows share their seeds, so that differences can be taken seed by seed. Each chooses its learning rate, on the validation
split: a baseline with a rate that suits another model proves nothing. It begins with a few values, and goes on along
`LADDER` while the best one is at an end of those that were tried. At book scale the backbones are frozen: their maps
are computed once, so that a run takes seconds, and the rows differ in what comes after. At paper scale each model is
trained as its paper says.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from dferlib.makefaces.knobs import DIFFICULTIES
from dferlib.makefaces.performance import DYNAMICS
from dferlib.models import SCALES
from dferlib.models.logo_former import VARIANTS as LOGO_VARIANTS
from dferlib.models.staner import VARIANTS as STANER_VARIANTS
from dferlib.training.config import BALANCES, SELECTS, TrainConfig
from dferlib.training.objective import LOSSES
from dferlib.training.recipes import RECIPES, recipe

LADDER = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
RATES = (1e-2, 3e-2, 1e-1)  # for linear and recurrent heads
SLOW_RATES = (1e-3, 3e-3)  # for heads of several blocks of attention
LONG_RATES = (3e-4, 1e-3, 3e-3)  # for whole networks that begin from nothing
SLOWER_RATES = (1e-4, 3e-4)  # for a C3D from nothing: at 1e-3 it leaves chance or does not, as its seed will have it
PAPER_RATES = (1e-3, 1e-2, 1e-1)  # for SGD, where no paper says which
FEW = {"stt": SLOW_RATES, "resnet18_gru": RATES, "single_frame": RATES}  # where data are compared, not models
FROZEN = TrainConfig(backbone_lr_scale=0.0)
FOUR_TIMES = replace(FROZEN, epochs=32)  # what only time can tell takes longer
TWICE = replace(FROZEN, epochs=16)  # after 8 epochs MSSTNet is still learning, and so is STANER
WHOLE = TrainConfig(backbone_lr_scale=0.5)
WHOLE_TWICE = replace(WHOLE, epochs=16)
SCRATCH = TrainConfig(backbone_lr_scale=1.0)
LONG = replace(SCRATCH, epochs=32)  # after 8 epochs from nothing the 3D ResNet18 is still at chance
FROM_NOTHING = ("r3d18", "p3d", "vgg11_lstm", "i3d", "vgg13_lstm", "r2plus1d18")  # no weights are shipped
FIVE, TEN = tuple(range(5)), tuple(range(10))
# what a backbone starts from, and how it is then trained: from nothing, faces of MakeFaces, three million photographs
STARTS: dict[str, tuple[dict[str, Any], TrainConfig]] = {
    "scratch": ({"weights": None}, SCRATCH),
    "makefaces": ({}, WHOLE),
    "makefaces_frozen": ({}, FROZEN),
    "dlib_frozen": ({"backbone": "dlib_face", "weights": "dlib", "size": 150}, FROZEN),
}


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        model: name of the model.
        overrides: how it differs from its default.
        config: how it is trained at book scale.
        data: which clips, as arguments of `MakeFaces`; its defaults where nothing is said. `people` takes the clips of
            so many people from the training split, not all. Several difficulties take everybody's clips of each.
        rates: the learning rates to begin the choice with at book scale; one alone is taken as it is.
        settings: what of the training the row is about; it holds at every scale.
        recipe: whose recipe it has at paper scale; the model's own if not given.
        start: the row whose weights it starts from, seed by seed; those of `create_model` if not given.
    """

    model: str
    overrides: dict[str, Any] = field(default_factory=dict)
    config: TrainConfig = FROZEN
    data: dict[str, Any] = field(default_factory=dict)
    rates: tuple[float, ...] = RATES
    settings: dict[str, Any] = field(default_factory=dict)
    recipe: str = ""
    start: str = ""

    def at(self, scale: str, device: str = "auto") -> "Row":
        """The row as it is trained at a scale: with everything in `config`, and the rates of that scale.

        A paper's own model takes the paper's learning rate; the others choose one of `PAPER_RATES`.

        Raises:
            InputError: unknown scale or device.
        """
        whose = self.recipe or self.model
        printed, rates = recipe(whose, scale), self.rates
        if scale == "book":
            printed = self.config
        else:
            rates = (printed.lr,) if whose in RECIPES else PAPER_RATES
        return replace(self, config=replace(printed, **self.settings, device=device), rates=rates)


@dataclass(frozen=True)
class Study:
    """A question, and the rows that answer it.

    Attributes:
        question: in one sentence.
        rows: by name; the names become those of the records.
        seeds: of the runs.
        scales: at which it can be run.
    """

    question: str
    rows: dict[str, Row]
    seeds: tuple[int, ...] = (0, 1, 2)
    scales: tuple[str, ...] = SCALES


# as AFEW is to DFEW: other people, fewer of them, harder clips. As many steps as on all of the 252 people, not fewer
SMALL = Row("stt", config=replace(FROZEN, epochs=48), data={"seed": 1, "difficulty": "hard", "people": 42})

STUDIES = {
    "stt_table1": Study(
        "What do STT's two attentions bring, and does the order of the paper's Table 1 show?",
        {
            "lstm": Row("resnet18_lstm"),
            "spatial": Row("stt", {"temporal": False}, rates=SLOW_RATES),
            "temporal": Row("stt", {"spatial": False}, rates=SLOW_RATES),
            "stt": Row("stt", rates=SLOW_RATES),
            "no_attention": Row("stt", {"spatial": False, "temporal": False}, rates=SLOW_RATES),
            "single_frame": Row("single_frame"),
        },
        FIVE,
    ),
    "stt_table2": Study(
        "Is the compact loss better than cross entropy and label smoothing (STT, Table 2), or than losses on features?",
        {loss: Row("stt", settings={"loss": loss}, rates=SLOW_RATES) for loss in LOSSES if loss != "joint"},
        TEN,
    ),
    "stt_fig6": Study(
        "How many blocks does STT need (STT, Fig. 6)?",
        {f"{layers}-layers": Row("stt", {"layers": layers}, rates=SLOW_RATES) for layers in (1, 2, 3, 4)},
        FIVE,
    ),
    "before_attention": Study(
        "How far do models without attention come, from one frame to networks of three dimensions?",
        {
            **{name: Row(name) for name in ("single_frame", "frame_average", "resnet18_lstm", "resnet18_gru")},
            "former_dfer": Row("former_dfer", rates=SLOW_RATES),
            "nr_dfernet": Row("nr_dfernet", rates=SLOW_RATES),
            "r3d18": Row("r3d18", config=SCRATCH, rates=SLOW_RATES),  # there is nothing that it could start from
        },
        FIVE,
    ),
    "comparison": Study(
        "How do the models compare that the papers set beside each other (STT, Table 3; LOGO-Former, Table 1; MSSTNet, "
        "Tables 2 and 3)?",
        {
            **{name: Row(name, config=LONG, rates=LONG_RATES) for name in FROM_NOTHING},
            "c3d": Row("c3d", config=LONG, rates=SLOWER_RATES),
            "r3d18-center": Row("r3d18", config=LONG, rates=LONG_RATES, settings={"loss": "center"}),
            "r3d18-ec_stfl": Row("r3d18", config=LONG, rates=LONG_RATES, settings={"loss": "ec_stfl"}),
            "resnet18_lstm": Row("resnet18_lstm"),
            "resnet18_gru": Row("resnet18_gru"),
            "former_dfer": Row("former_dfer", rates=SLOW_RATES),
            "nr_dfernet": Row("nr_dfernet", rates=SLOW_RATES),
            "stt": Row("stt", rates=SLOW_RATES, settings={"loss": "compact"}),
            "logo_former": Row("logo_former", rates=SLOW_RATES, settings={"loss": "compact"}),
            "msstnet": Row("msstnet", {"frames": 8, "blocks": 1}, TWICE, rates=SLOW_RATES),
            "staner": Row("staner", config=WHOLE_TWICE, rates=SLOW_RATES, settings={"loss": "joint"}),
        },
        FIVE,
    ),
    "sampling": Study(
        "How many frames of a clip are needed, and spread how?",
        {
            "2x1": Row("former_dfer", {"frames": 2}, rates=SLOW_RATES),
            "4x1": Row("former_dfer", {"frames": 4}, rates=SLOW_RATES),
            "8x1": Row("former_dfer", rates=SLOW_RATES),
            "12x1": Row("former_dfer", {"frames": 12}, rates=SLOW_RATES),
            "4x2": Row("former_dfer", settings={"per_segment": 2}, rates=SLOW_RATES),
            "2x4": Row("former_dfer", settings={"per_segment": 4}, rates=SLOW_RATES),
            "1x8": Row("former_dfer", settings={"per_segment": 8}, rates=SLOW_RATES),
        },
        FIVE,
        scales=("book",),
    ),
    "uneven": Study(
        "What do classes as uneven as DFEW's do to UAR and WAR, and what helps?",
        {
            balance: Row("former_dfer", settings={"balance": balance}, data={"prior": "dfew"}, rates=SLOW_RATES)
            for balance in BALANCES
        },
        FIVE,
    ),
    "choosing": Study(
        "How much does choosing the epoch on the test clips add to the numbers?",
        {select: Row("former_dfer", settings={"select": select}, rates=SLOW_RATES) for select in SELECTS},
        FIVE,
    ),
    "logo_table2": Study(
        "What do local attention and the regulariser bring to LOGO-Former (Table 2)?",
        {
            name.lower().replace(" ", "_").replace("/", ""): Row(
                model, overrides, rates=SLOW_RATES, settings={"loss": loss}, recipe="logo_former"
            )
            for name, (model, overrides, loss) in LOGO_VARIANTS.items()
        }
        # its section 2.2 pools by a convolution, and names the average as an example
        | {
            "convolution": Row(
                "logo_former", {"pool": "conv"}, rates=SLOW_RATES, settings={"loss": "compact"}, recipe="logo_former"
            ),
            # at the rate that all other rows have chosen, where this one chose a lower: what of the gap is the rate
            "logo-former_same_rate": Row(
                "logo_former", rates=(1e-3,), settings={"loss": "compact"}, recipe="logo_former"
            ),
        },
        FIVE,
    ),
    "msstnet_table1": Study(
        "How many scales, blocks and frames does MSSTNet need (Table 1)?",
        {
            **{
                f"stages-{'-'.join(map(str, stages))}": Row(
                    "msstnet", {"frames": 4, "stages": stages}, TWICE, rates=SLOW_RATES
                )
                for stages in ((4,), (3, 4), (1, 2, 3, 4))
            },
            **{
                f"{frames}-frames-{blocks}-blocks": Row(
                    "msstnet", {"frames": frames, "blocks": blocks}, TWICE, rates=SLOW_RATES
                )
                for frames, blocks in ((4, 1), (4, 2), (4, 3), (8, 1), (12, 1))
            },
        },
        FIVE,
    ),
    "staner_table1": Study(
        "What do STANER's branches, its attention and the fusion bring (Table 1)?",
        {
            **{
                name: Row(
                    model,
                    overrides,
                    WHOLE_TWICE,  # its front ends are the first blocks of the backbone; frozen they hold little
                    rates=SLOW_RATES,
                    settings={"loss": "joint" if model == "staner" else "cross_entropy"},
                    recipe="staner",
                )
                for name, (model, overrides) in STANER_VARIANTS.items()
            },
            # the same network, trained on its average decision alone
            "STANER-average": Row("staner", config=WHOLE_TWICE, rates=SLOW_RATES, settings={"loss": "cross_entropy"}),
            # the rule for the peak against the frame in the middle, which the single frame has
            "C3-middle": Row("sgaer", {"peak": "middle"}, WHOLE_TWICE, rates=SLOW_RATES, recipe="staner"),
        },
        FIVE,
    ),
    "stt_table4": Study(
        "What does a model bring to a small, hard set that has learnt from a large one before (STT, Table 4)?",
        {
            f"{name}-{way}": replace(row, model=model, rates=rates)
            for name, (model, rates) in {"stt": ("stt", SLOW_RATES), "lstm": ("resnet18_lstm", RATES)}.items()
            for way, row in {
                "small": SMALL,
                "finetuned": replace(SMALL, start=f"{name}-large"),
                "large": Row(model),
            }.items()
        },
        FIVE,
    ),
    "initialisation": Study(
        "What does each start of the backbone bring?",
        {
            **{
                f"{model}-{start}": Row(model, overrides, config, rates=rates)
                for model, rates in {"single_frame": RATES, "resnet18_lstm": RATES, "stt": SLOW_RATES}.items()
                for start, (overrides, config) in STARTS.items()
            },
            # a network of three dimensions that can start from faces: frozen it would be nearly the frame average
            **{
                f"inflated_resnet-{start}": Row("inflated_resnet", *STARTS[start], rates=SLOW_RATES)
                for start in ("scratch", "makefaces")
            },
            "inflated_resnet-makefaces_centre": Row("inflated_resnet", {"begin": "centre"}, WHOLE, rates=SLOW_RATES),
        },
        scales=("book",),
    ),
    "dynamics": Study(
        "Can models tell classes apart that differ in nothing but the order of their frames?",
        {
            **{
                f"{model}-{task}": Row(
                    model, config=FOUR_TIMES, data={"task": task}, rates=rates, start=f"{model}-emotions"
                )
                for model, rates in FEW.items()
                for task in DYNAMICS
            },
            # from nothing but the backbone STT stays at chance for hundreds of steps
            "stt-order-alone": Row("stt", config=FOUR_TIMES, data={"task": "order"}, rates=SLOW_RATES),
            **{f"{model}-emotions": Row(model, rates=rates) for model, rates in FEW.items()},
        },
    ),
    # what people show to a model is of any kind; these are the weights that are meant for use
    "everyday": Study(
        "Is a model that has learnt from clips of every difficulty better on photographs of people?",
        {
            name: Row(model, data=data, rates=(1e-3,))  # the recipe's; the best is a matter of luck
            for model in ("stt", "logo_former")
            for name, data in ((model, {"difficulty": list(DIFFICULTIES)}), (f"{model}-standard", {}))
        },
        scales=("book",),
    ),
    "makefaces_difficulty": Study(
        "How hard are the three levels of MakeFaces, for a clip and for its middle frame?",
        {
            f"{model}-{level}": Row(model, data={} if level == "standard" else {"difficulty": level}, rates=rates)
            for model, rates in FEW.items()
            for level in DIFFICULTIES
        },
        seeds=(0, 1),
    ),
}
