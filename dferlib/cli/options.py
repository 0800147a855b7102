"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

SPLITS = ("train", "val", "test")

Size = Annotated[str, typer.Option(help="How much data: mini (seconds to make), book or paper.")]
Difficulty = Annotated[str, typer.Option(help="How hard the clips are: easy, standard or hard.")]
Scale = Annotated[str, typer.Option(help="book (a laptop trains it in minutes) or paper (as published).")]
DataSeed = Annotated[int, typer.Option(min=0, help="Seed of the clips.")]
Root = Annotated[Path | None, typer.Option(help="Folder of the clips; the user's cache folder if not given.")]
Data = Annotated[
    str, typer.Option(help="MakeFaces; with --root a public data set, such as DFEW; or a folder that `pack` wrote.")
]
Fold = Annotated[int | None, typer.Option(min=1, help="Which fold; of MakeFaces, its own split if not given.")]
Layout = Annotated[str | None, typer.Option(help="Which layout, where the folder of a public data set holds several.")]
Links = Annotated[
    list[Path] | None,
    typer.Option(
        "--follow-links", metavar="FOLDER", help="Follow symbolic links that lead into it; may be given often."
    ),
]
Map = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=NAME",
        help="A class of the data, and that of the model that it counts as; NAME= leaves it out. May be given often.",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Dask = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Let the workers of this dask scheduler do it, such as tcp://10.0.0.1:8786."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting of TrainConfig; may be given often."),
]
