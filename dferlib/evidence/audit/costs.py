"""Printed costs against counted ones. The papers call multiply-accumulates FLOPs."""

from dferlib.evidence.audit.finding import Finding
from dferlib.evidence.audit.tables import Tables
from dferlib.evidence.complexity import complexity
from dferlib.evidence.readings import former_dfer_readings, nearest, transformer_readings
from dferlib.models import create_model
from dferlib.models.attention import TemporalAttention

LENGTHS = (4, 8, 12, 16)  # frames of MSSTNet's rows
MSSTNET = {"blocks": 3 * 2, "places": 16, "dim": 768, "heads": 8}  # its Section 3: three T-Formers of two blocks
TWICE = {"size": 112, "frames": 16, "norms": 2, "unit": 1}  # the way to count that gives the backbone's printed cost


def findings(tables: Tables) -> list[Finding]:
    """What no count gives, and what a count leaves out."""
    return [_per_frame(tables), _recurrent(tables), _former_dfer(tables), _together(tables)]


def _printed(tables: Tables, paper: str, method: str) -> float:
    return tables.value(paper=paper, metric="GFLOPs", method=method)


def _counted(name: str) -> float:
    """The cost of a model at its paper's size; values that are normalised count twice."""
    found = complexity(create_model(name, scale="paper"))
    return found.gmac + 2 * found.normed


def products_over_time(frames: int) -> float:
    """GMAC of MSSTNet's products of queries with keys and of weights with values, without any projection."""
    blocks, places, dim, heads = MSSTNET.values()
    projections = 4 * frames * places * dim**2
    return blocks * (TemporalAttention(dim, heads).cost(frames, places, dim) - projections) / 1e9


def _per_frame(tables: Tables) -> Finding:
    printed = {T: _printed(tables, "MSSTNet", f"MSSTNet (T={T})") for T in LENGTHS}
    # what a frame may cost beside these products, so that every figure is as printed after rounding
    low = max((printed[T] - 0.005 - products_over_time(T)) / T for T in LENGTHS)
    high = min((printed[T] + 0.005 - products_over_time(T)) / T for T in LENGTHS)
    first, last = LENGTHS[0], LENGTHS[-1]
    grown = printed[first] * last / first + products_over_time(last) - products_over_time(first) * last / first
    return Finding(
        "msstnet-per-frame",
        "MSSTNet",
        "Table 3, FLOPs",
        f"{', '.join(f'{printed[T]:.2f}' for T in LENGTHS)} G: {printed[first] / first:.4f} a frame, at any length",
        f"with attention over time {last} frames cost {grown:.2f} G, if {first} cost {printed[first]:.2f}",
        "The products inside the attention grow with the square of the number of frames, in closed form "
        f"{products_over_time(first):.3f} and {products_over_time(last):.3f} G. No cost a frame gives all figures.",
        "The tool looked at layers and overlooked products between tokens, as many do.",
        low > high and len({round(printed[T] / T, 6) for T in LENGTHS}) == 1,
    )


def _recurrent(tables: Tables) -> Finding:
    printed = {name: _printed(tables, "MSSTNet", name) for name in ("ResNet18+LSTM", "ResNet18+GRU")}
    lstm, gru, alone = map(_counted, ("resnet18_lstm", "resnet18_gru", "frame_average"))
    one, other = printed.values()
    return Finding(
        "two-costs-of-the-backbone",
        "MSSTNet",
        "Table 3, FLOPs of ResNet18+LSTM and ResNet18+GRU",
        f"{one:.2f} and {other:.2f} G",
        f"{lstm:.2f} and {gru:.2f} G; {alone:.2f} is ResNet18 alone",
        "The models of this library, counted; an LSTM has four products where a GRU has three, so that they cannot "
        "cost the same.",
        "The figure is handed down from earlier tables, and the recurrent layer is small beside the backbone.",
        one == other == round(alone, 2) and lstm > gru > alone + 0.01,
    )


def _former_dfer(tables: Tables) -> Finding:
    printed = tables.value(metric="GFLOPs", method="Former-DFER")
    papers = tables.rows(metric="GFLOPs", method="Former-DFER")["paper"].unique()
    counted = _counted("former_dfer")
    readings = [r for r in former_dfer_readings() if all(r.choices[key] == value for key, value in TWICE.items())]
    near = nearest(readings, printed, 1)[0]
    spatial, temporal = near.choices["S-Former blocks"], near.choices["T-Former blocks"]
    return Finding(
        "former-dfer-cost",
        ", ".join(papers),
        "FLOPs of Former-DFER",
        f"{printed:.2f} G",
        f"{counted:.2f} G",
        "Counted on the model as its public code has it, in the way that gives the printed cost of its backbone. "
        f"{near.gmac:.2f} G would be {spatial} spatial blocks and {temporal} temporal one.",
        "The figure is that of another depth, or of code before it was published.",
        abs(counted - printed) > 0.5 and abs(near.gmac - printed) < 0.01,
    )


def _together(tables: Tables) -> Finding:
    """The two costs of LOGO-Former's Table 2, read so that the models share all but their attention."""
    own, base = (_printed(tables, "LOGO-Former", name) for name in ("LOGO-Former", "Baseline"))
    mine, theirs = transformer_readings("LOGO-Former"), transformer_readings("Baseline")
    shared = [key for key in theirs[0].choices if key != "blocks"]
    partners: dict[tuple[object, ...], list[float]] = {}
    for reading in theirs:
        partners.setdefault(tuple(reading.choices[key] for key in shared), []).append(reading.gmac)
    off = min(
        max(abs(reading.gmac / own - 1), abs(other / base - 1))
        for reading in mine
        for other in partners[tuple(reading.choices[key] for key in shared)]
    )
    return Finding(
        "logo-two-costs",
        "LOGO-Former",
        "Table 2, FLOPs",
        f"{own:.2f} and {base:.2f} G, for models that differ in their attention",
        f"no reading gives both; in the best one of them is off by {100 * off:.0f} %",
        f"{len(mine):,} ways to build and count the one and {len(theirs):,} for the other, in closed form. Backbone "
        "and projections, which both have, leave too little for such a difference.",
        "The two may have been counted at different sizes, or with tools that see different layers.",
        off > 0.1,
    )
