"""The command line: `python -m dferlib.makefaces.baking WHEEL FOLDER`."""

import sys
from pathlib import Path

import numpy as np

from dferlib.errors import InputError
from dferlib.files import make_folder, written_whole
from dferlib.makefaces.baking.atlas import bake_atlas
from dferlib.makefaces.baking.head import bake_head
from dferlib.makefaces.baking.source import Source


def main(arguments: list[str]) -> int:
    """Write `head.npz` and `atlas.npz`; return the exit status."""
    if len(arguments) != 2:
        print("usage: python -m dferlib.makefaces.baking WHEEL FOLDER", file=sys.stderr)
        return 2
    try:
        source, folder = Source(Path(arguments[0])), make_folder(Path(arguments[1]))
        head = bake_head(source)
        for name, arrays in (("head", head), ("atlas", bake_atlas(source, head))):
            with written_whole(folder / f"{name}.npz") as path:
                np.savez_compressed(path, allow_pickle=False, **arrays)
            print(f"{name}.npz: " + ", ".join(f"{key} {array.shape}" for key, array in arrays.items()))
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
