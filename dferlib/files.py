"""Where files go, and how they get there without ever being half written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dferlib.errors import InputError


def cache_dir() -> Path:
    """The folder for generated data: `$DFERLIB_CACHE` if set, otherwise the user's cache folder of the platform."""
    if given := os.environ.get("DFERLIB_CACHE"):
        return Path(given).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("dferlib")


def make_folder(folder: Path) -> Path:
    """Create `folder` with its parents and return it.

    Raises:
        InputError: it cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError as error:
        raise InputError(f"cannot create the folder {folder}: {error.strerror}; choose another one") from error
    if not writable:
        raise InputError(f"cannot write to the folder {folder}: no permission; choose another one")
    return folder


def spell(name: Path | str) -> str:
    r"""A name as text for a person: what cannot be printed, such as \n or a byte that is no UTF-8, is spelled out."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends well, remove it when it does not.

    A reader therefore sees either the old file, or the new one, or none: never a part of one.

    Raises:
        InputError: the folder cannot be written, or the disk is full.
    """
    make_folder(path.parent)
    # the suffix stays last because some writers (np.savez, matplotlib) choose the format by it
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another folder"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
