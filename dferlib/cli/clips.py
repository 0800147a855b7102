"""Commands that make, check and pack clips."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand

from dferlib.cli.options import SPLITS, Dask, DataSeed, Difficulty, Layout, Links, Root, Size
from dferlib.errors import InputError

app = typer.Typer()
DataSet = Annotated[str, typer.Argument(help="The name of the data set.")]


class NamesDataSets(TyperCommand):
    """A command whose help names all data sets, which are imported only then."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Name them where the name is asked for."""
        from dferlib.data.sets import BENCHMARKS

        for argument in self.params:
            if isinstance(argument, TyperArgument) and argument.name == "name":
                argument.help = f"One of {', '.join(BENCHMARKS)}."
        super().format_help(ctx, formatter)


@app.command(epilog="Example: dferlib makefaces --size book --difficulty hard --workers 2")
def makefaces(
    size: Size = "book",
    seed: DataSeed = 0,
    difficulty: Difficulty = "standard",
    task: Annotated[str, typer.Option(help="The classes: emotions, onset, direction, order ...")] = "emotions",
    prior: Annotated[str, typer.Option(help="How frequent the classes are: balanced or dfew.")] = "balanced",
    split: Annotated[list[str] | None, typer.Option(help="train, val or test; may be given twice. All if not.")] = None,
    root: Root = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that render; one a core if not given.")] = None,
    dask: Dask = None,
) -> None:
    """Make the synthetic clips that are missing, and say how fast."""
    from dferlib.devices import cluster
    from dferlib.errors import choose
    from dferlib.makefaces import DIFFICULTIES, Version, generate

    knobs = DIFFICULTIES[choose("difficulty", difficulty, DIFFICULTIES)]
    version = Version(size, seed, task, prior, knobs)
    with cluster(dask) as (executor, places):
        generate(version, root, tuple(split or SPLITS), workers or places, True, executor)


@app.command("check-data", cls=NamesDataSets, epilog="Example: dferlib check-data DFEW ~/data/DFEW")
def check_data(
    name: DataSet,
    root: Annotated[Path, typer.Argument(help="The folder of the data set.")],
    layout: Layout = None,
    follow_links: Links = None,
    every_frame: Annotated[bool, typer.Option("--every-frame", help="Decode every image: much slower.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="List every problem, not 20 of each kind.")] = False,
) -> None:
    """Say what is in the folder of a public data set, and what is missing, damaged or not as published.

    Exit status 1 if anything is wrong.
    """
    from dferlib.data.check import check_data as check

    report = check(name, root, layout, every_frame, links=follow_links or ())
    print("\n".join(report.facts))
    if report.problems:
        print("\n".join(report.lines(None if everything else 20)), file=sys.stderr)
        count = len(report.problems)
        raise InputError(f"{count} thing{'s are' if count > 1 else ' is'} wrong with {root}: they are listed above")
    print("nothing is wrong")


@app.command(cls=NamesDataSets, epilog="Example: dferlib pack MAFW ~/data/MAFW packed/mafw --size 128 --align")
def pack(
    name: DataSet,
    root: Annotated[Path, typer.Argument(help="The folder of the data set.")],
    out: Annotated[Path, typer.Argument(help="The folder of the packed store.")],
    size: Annotated[int, typer.Option(help="Side of the frames in pixels: 8/7 of what the model takes.")] = 128,
    align: Annotated[bool, typer.Option("--align", help="Find the face, turn it upright and cut it out.")] = False,
    layout: Layout = None,
    follow_links: Links = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a core if not given.")] = None,
    dask: Dask = None,
) -> None:
    """Turn a public data set into a packed store, from which training reads at once; go on if it was stopped.

    What cannot be read is left out and listed in skipped.txt. Train with `dferlib train MODEL --data OUT --fold 1`.
    The workers of a dask cluster must see the data set at the same path; the store is written here.
    """
    from dferlib.data.pack import pack as run
    from dferlib.data.packed import SKIPPED
    from dferlib.devices import cluster

    with cluster(dask) as (executor, places):
        packed = run(name, root, out, size, align, layout, workers or places, True, executor, follow_links or ())
    folds = packed.about["folds"]
    print(f"{len(packed)} clips of {packed.name} in {out}, fold{'s' if len(folds) > 1 else ''} {folds[0]}", end="")
    print(f" to {folds[-1]}" if len(folds) > 1 else "")
    if packed.lacks:
        print(f"INCOMPLETE, and each record made from it will say so: {packed.lacks}", file=sys.stderr)
    if packed.skipped:
        print(f"{len(packed.skipped)} things are wrong with it: {out / SKIPPED} lists them", file=sys.stderr)
