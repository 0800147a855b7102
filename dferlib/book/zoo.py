"""Every model that has records: what it reaches, what it costs, and how to make that again."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

from dferlib.book.folders import project_folder
from dferlib.book.records import Rows
from dferlib.book.speeds import MIB, Speeds
from dferlib.evidence.complexity import pass_cost
from dferlib.evidence.energy import joules
from dferlib.evidence.results import Run
from dferlib.evidence.statistics import Interval
from dferlib.models import create_model

COSTS = {  # of one clip: by key the name, and the unit as it stands behind a number
    "macs": ("multiply-accumulates", "million"),
    "parameters": ("parameters", "million"),
    "memory": ("memory of a forward and a backward pass", "MiB"),
    "energy_least": ("energy estimate, if all stays near", "mJ"),
    "energy": ("energy estimate, if nothing stays near", "mJ"),
    "paper_macs": ("multiply-accumulates, paper scale", "billion"),
    "paper_ms": ("milliseconds of a forward pass, paper scale", "ms"),
    "paper_memory": ("memory of both passes, paper scale", "MiB"),
}
FROZEN, ALONG, NOTHING = "frozen", "along", "nothing"
STARTS = {
    FROZEN: "reads the maps of the frozen backbone",
    ALONG: "trains the backbone along",
    NOTHING: "began from nothing",
}
NAMES = {  # of the models, as readers know them
    "single_frame": "one frame",
    "frame_average": "frame average",
    "resnet18_lstm": "LSTM",
    "resnet18_gru": "GRU",
    "former_dfer": "Former-DFER",
    "nr_dfernet": "NR-DFERNet",
    "stt": "STT",
    "logo_former": "LOGO-Former",
    "msstnet": "MSSTNet",
    "sgaer": "SGAER",
    "tler": "TLER",
    "staner": "STANER",
    "inflated_resnet": "inflated ResNet",
    "vgg11_lstm": "VGG11 + LSTM",
    "vgg13_lstm": "VGG13 + LSTM",
    "c3d": "C3D",
    "p3d": "P3D",
    "i3d": "I3D",
    "r3d18": "R3D18",
    "r2plus1d18": "R(2+1)D18",
}
FROM_NOTHING = ("vgg11_lstm", "vgg13_lstm", "c3d", "p3d", "i3d", "r3d18", "r2plus1d18")  # no weights come with these
RECORDS = {  # of each model the study and the row whose records stand for it
    "single_frame": ("before_attention", "single_frame"),
    "frame_average": ("before_attention", "frame_average"),
    "resnet18_lstm": ("before_attention", "resnet18_lstm"),
    "resnet18_gru": ("before_attention", "resnet18_gru"),
    "former_dfer": ("before_attention", "former_dfer"),
    "nr_dfernet": ("before_attention", "nr_dfernet"),
    "stt": ("stt_table1", "stt"),
    "logo_former": ("logo_table2", "logo-former"),
    "msstnet": ("msstnet_table1", "8-frames-1-blocks"),
    "sgaer": ("staner_table1", "C3"),
    "tler": ("staner_table1", "C2"),
    "staner": ("staner_table1", "STANER"),
    "inflated_resnet": ("initialisation", "inflated_resnet-makefaces"),
    **{name: ("comparison", name) for name in FROM_NOTHING},
}
PRINTED = {  # how the papers call, in `reported.csv`, the models that they print results of
    "resnet18_lstm": "ResNet18+LSTM",
    "resnet18_gru": "ResNet18+GRU",
    "former_dfer": "Former-DFER",
    "nr_dfernet": "NR-DFERNet",
    "stt": "STT",
    "logo_former": "LOGO-Former",
    "msstnet": "MSSTNet (T=8)",
    "sgaer": "C3: SGAER only",
    "tler": "C2: TLER only",
    "staner": "STANER",
    "vgg11_lstm": "VGG11+LSTM",
    "vgg13_lstm": "VGG13+LSTM",
    "c3d": "C3D",
    "p3d": "P3D",
    "i3d": "I3D-RGB",
    "r3d18": "3D ResNet18",
    "r2plus1d18": "R(2+1)D18",
}


@dataclass(frozen=True)
class Entry:
    """What one model reaches and costs.

    Attributes:
        model: its name, as `create_model` knows it.
        uar: on the test clips, the mean over the seeds.
        costs: of one clip, by the keys of `COSTS`; nothing where nobody has measured.
        start: what its training began from, a key of `STARTS`.
        seeds: how many runs there are.
        record: the first of them, from the project's folder.
        weights: of the first run, from the project's folder; nothing where none are kept.
        command: what makes that run again.
        printed: what the papers print for this model on real clips, in words; nothing where none does.
        is_waiting: whether the study is still to be made again, on the faces that the library renders now.
    """

    model: str
    uar: Interval
    costs: dict[str, float | None] = field(repr=False)
    start: str
    seeds: int
    record: str
    weights: str
    command: str
    printed: str
    is_waiting: bool

    @property
    def name(self) -> str:
        """The model's, as readers know it."""
        return NAMES[self.model]


def waiting(root: Path | None = None) -> set[str]:
    """The studies whose records are still to be made again.

    Args:
        root: the folder of the studies; `results` of the project if not given.
    """
    return set(((root or project_folder("results")) / "waiting.txt").read_text().split())


def zoo(speeds: Speeds, root: Path | None = None) -> list[Entry]:
    """Every model that has records, from the highest UAR to the lowest.

    Costs at book scale are counted, of the models that the records are about. Those at paper scale are of `speeds`.

    Args:
        speeds: what `make bench` has measured.
        root: the folder of the studies; `results` of the project if not given.

    Raises:
        InputError: a study or one of the rows is not there, or a record's metrics do not follow from its logits.
    """
    root = root or project_folder("results")
    rows = {study: Rows(study, root=root) for study in dict(RECORDS.values())}
    late, found = waiting(root), []
    for model, (study, row) in RECORDS.items():
        kept = root / study / row / "best.safetensors"
        uar, runs = rows[study].uar(row), rows[study].runs[row]
        first = runs[min(runs)]
        found.append(
            Entry(
                model=model,
                uar=uar,
                costs=_costs(first, speeds),
                start=_start(first),
                seeds=len(runs),
                record=f"results/{study}/{first.path.name}",
                weights=f"results/{study}/{row}/{kept.name}" if kept.is_file() else "",
                command=f"dferlib study {study} --again {first.name}",
                printed=printed(model, root),
                is_waiting=study in late,
            )
        )
    return sorted(found, key=lambda entry: -entry.uar.value)


def printed(model: str, root: Path | None = None) -> str:
    """What the papers print for a model: its UAR, or accuracy where that is all they print, on each data set.

    Where a set has several values, of several papers or ways to take frames, it is told from the least to the most.

    Args:
        model: as `create_model` knows it.
        root: the folder with `reported.csv`; `results` of the project if not given.
    """
    found: dict[str, dict[str, set[str]]] = {"UAR": {}, "Acc": {}}
    with ((root or project_folder("results")) / "reported.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["method"] == PRINTED.get(model) and row["metric"] in found:
                found[row["metric"]].setdefault(row["dataset"], set()).add(row["value"])
    name, sets = ("UAR", found["UAR"]) if found["UAR"] else ("accuracy", found["Acc"])
    told = []
    for data, values in sets.items():
        ends = sorted(values, key=float)
        told.append(f"{' to '.join(dict.fromkeys((ends[0], ends[-1])))} on {data}")
    return f"{name} {', '.join(told)}" if told else ""


def _costs(run: Run, speeds: Speeds) -> dict[str, float | None]:
    """All costs of a run's model."""
    name = run.model["name"]
    model = create_model(name, scale=run.model["scale"], **run.model["overrides"])
    spec = model.input_spec
    passes = pass_cost(model, (1, spec.frames, 3, spec.size, spec.size))
    once = sum(p.nbytes for p in model.parameters()) + 4 * spec.frames * 3 * spec.size**2
    measured = speeds.row(name)
    return {
        "macs": passes.forward / 2e6,
        "parameters": sum(p.numel() for p in model.parameters()) / 1e6,
        "memory": passes.peak / MIB,
        "energy_least": 1000 * joules(passes.forward / 2, once),
        "energy": 1000 * joules(passes.forward / 2, passes.moved),
        "paper_macs": measured["operations"] / 2e9 if measured else None,
        "paper_ms": 1000 * measured["median"] if measured else None,
        "paper_memory": measured["peak"] / MIB if measured else None,
    }


def _start(run: Run) -> str:
    """What a run began from."""
    if run.model["name"] in FROM_NOTHING:
        return NOTHING
    return FROZEN if run.record["config"]["train"]["backbone_lr_scale"] == 0 else ALONG
