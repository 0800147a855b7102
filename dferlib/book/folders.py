"""Where the folders of the project are that chapters read, wherever a chapter is run."""

from pathlib import Path

from dferlib.errors import InputError

LIBRARY = Path(__file__).resolve().parents[1]


def project_folder(name: str) -> Path:
    """A folder of the project that this library belongs to.

    A wheel carries the folders that chapters read, see `setup.py`. In a clone they lie beside the library.

    Args:
        name: "results", or "benchmarks/results".

    Raises:
        InputError: it is neither here nor there.
    """
    for place in (LIBRARY / "shipped", LIBRARY.parent):  # beside an installed library may lie the results of another
        if (place / name).is_dir():
            return place / name
    raise InputError(f"{LIBRARY} came without the project's folder {name}: install dferlib from a clone or its wheel")
