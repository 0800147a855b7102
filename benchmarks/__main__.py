"""Speed and memory of every model at paper scale, side by side with what a user would pick instead.

python -m benchmarks                  (14 minutes; `make bench` installs the other packages first)
python -m benchmarks --minutes 3      (a part of it)
python -m benchmarks --accept         (measures nothing: later runs are held against the ratios of the last one)

Prints tables, and writes benchmarks/results/MACHINE.json, which chapter 12 reads, and a chart beside it. The exit
status is 1 if a ratio has become worse than what was accepted on this machine.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from tqdm import tqdm

from benchmarks import guard, report
from benchmarks.comparison import Comparison, Entry, clips_for, groups, pair_of
from benchmarks.contestants import FRAMES, Contestant, everybody
from benchmarks.growth import grow
from benchmarks.machine import BUSY, Others, describe, machine_name
from benchmarks.paths import measure_paths
from dferlib.book.speeds import Speeds
from dferlib.devices import pick_device
from dferlib.errors import InputError
from dferlib.evidence.parts import copy_seconds, parts
from dferlib.evidence.speed import Product, take_turns
from dferlib.files import written_whole

RESULTS = Path(__file__).with_name("results")
FORMAT = 1
ACCEPT = "python -m benchmarks --accept"
PATHS_SHARE, GROWTH_SHARE, PARTS_SHARE = 0.03, 0.04, 0.04  # of all the time
SHOWN = 8  # lines about what was left out


def measure(device: torch.device, minutes: float) -> dict[str, Any]:
    """Everything, in about so many minutes: the record that is written."""
    begin, others = perf_counter(), Others()
    contestants, missing = everybody()
    comparison = Comparison(device)
    comparison.left_out += [{"what": package, "why": "it is not installed"} for package in missing]
    own = [one for one in contestants if one.whose == "dferlib"]
    in_turns: dict[str, tuple[float, Callable[[float], Any]]] = {
        name: (share, partial(comparison.run, name, entries)) for name, (share, entries) in groups(contestants).items()
    }
    stages = {
        "one clip": in_turns.pop("one clip"),
        "paths": (PATHS_SHARE, measure_paths),
        "attention": (GROWTH_SHARE, partial(grow, device)),
        "parts": (PARTS_SHARE, partial(measure_parts, own, comparison)),
        **in_turns,  # last, because these leave out what there is no time for
    }
    found, shares = {}, sum(share for share, _ in stages.values())
    for name, (share, work) in stages.items():  # what one does not need is left to the others
        seconds = max(0.0, 60 * minutes - (perf_counter() - begin)) * share / shares
        print(f"{name}: {seconds:.0f} s", flush=True)
        found[name] = work(seconds)
        shares -= share
    copies = {str(moved): moved / took for moved, took in copy_seconds(device).items()}
    return {
        **{"format": FORMAT, "machine": describe(device), "precision": str(comparison.half).removeprefix("torch.")},
        **{"minutes": (perf_counter() - begin) / 60, "load": others.load, "others": others.share()},
        **{"rates": {"product": comparison.rate, "copies": copies}},
        **{"rows": comparison.rows, "left_out": comparison.left_out},
        **{name: found[name] for name in ("paths", "attention", "parts")},
    }


def measure_parts(contestants: list[Contestant], comparison: Comparison, seconds: float) -> dict[str, Any]:
    """Where the time of each model goes, each part against what the machine does at its best."""
    device, begin = comparison.device, perf_counter()
    product, copies = Product(device), copy_seconds(device)
    found: dict[str, Any] = {}
    for one in tqdm(contestants, unit="model", leave=False):
        if perf_counter() - begin > seconds:
            comparison.left_out.append({"what": f"{one.name}, parts", "why": "no time"})
            continue
        best = take_turns({"": product}, 0, comparison.measure)[""].median
        net, _ = pair_of(one, FRAMES, device)
        clips = clips_for(Entry(one, "forward")).to(device)
        found[one.name] = {
            kind: {
                **asdict(part),
                "share_of_products": part.operations * best / product.operations / part.seconds or None,
                "share_of_copies": part.copying / part.seconds,
            }
            for kind, part in parts(net, clips, copies).items()
        }
    return found


def show(record: dict[str, Any]) -> None:
    """Print a record."""
    speeds = Speeds(record)
    print(f"\n{speeds} It took {record['minutes']:.1f} minutes.")
    for text in report.tables(speeds):
        print(f"\n{text}")
    out = [f"{one['what']}: {one['why']}" for one in record["left_out"]]
    if out:
        more = [f"and {len(out) - SHOWN} more, which the file names"] if len(out) > SHOWN else []
        print("\nLeft out:", *out[:SHOWN], *more, sep="\n  ")


def judge(record: dict[str, Any]) -> int:
    """Print the ratios; 1 if one has become worse."""
    machine = record["machine"]["name"]
    accepted = guard.load_accepted(machine)
    found = guard.ratios(record, accepted)
    print("", *report.verdicts(found), sep="\n")
    if record["others"] > BUSY:
        print(f"others had {100 * record['others']:.0f} % of the processor meanwhile: the times say little")
    if not accepted:
        print(f"nothing has been accepted on {machine} yet: {ACCEPT} does it")
    worse = [one.name for one in found if one.verdict == "WORSE"]
    if worse:
        print(f"slower than accepted: {'; '.join(worse)}. Find out why; or, if it must be so, {ACCEPT}")
    return 1 if worse else 0


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, print and judge; or accept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=14.0, help="how long all of it may take; 14 if not given")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--accept", action="store_true", help="accept the ratios of the last run on this machine")
    given = parser.parse_args(arguments)
    try:
        device = pick_device(given.device)
        path = RESULTS / f"{machine_name(device)}.json"
        if given.accept:
            if not path.exists():
                raise InputError(f"there is no {path.name} in {RESULTS}: measure first, python -m benchmarks")
            guard.accept(json.loads(path.read_text()))
            print(f"accepted, and written to {guard.ACCEPTED}")
            return 0
        record = measure(device, given.minutes)
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps(rounded(record), indent=1) + "\n")
    except InputError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    show(record)
    print(f"\nwritten to {path}")
    report.draw(Speeds(record), path.with_suffix(".png"))
    return judge(record)


def rounded(value: Any) -> Any:
    """Numbers to five digits, so that the file can be read."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value


if __name__ == "__main__":
    raise SystemExit(main())
