"""The command line: one file a group of commands, over the options that they share.

It knows every wing, and no wing knows it. A command reads its options, calls the library and prints what came out;
what it computes lives in the wings. Everything heavy is imported inside the command that needs it, so that `--help`
is quick. Whatever people get wrong is an InputError, and `main` makes it one line and an exit status.
"""

import io
import sys

import typer

from dferlib.cli import clips, evidence, training, video
from dferlib.errors import InputError

app = typer.Typer(
    help="Dynamic facial expression recognition, rebuilt from four papers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for group in (clips, training, video, evidence):
    app.add_typer(group.app)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 bad input (one line on stderr), 2 wrong usage, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files may have signs that a terminal does not know
            stream.reconfigure(errors="backslashreplace")
    try:
        app(arguments, prog_name="dferlib")
    except InputError as error:
        message = " ".join(str(error).split())
        print(f"dferlib: {message}", file=sys.stderr)
        raise SystemExit(1) from None
    except (MemoryError, RuntimeError) as error:
        kind, words = type(error).__name__, str(error)
        if not (kind in ("MemoryError", "OutOfMemoryError") or "can't allocate memory" in words):
            raise
        print(
            "dferlib: memory is full: take smaller batches or fewer jobs; `train` also has --set recompute=true",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
    except SystemExit as status:
        if status.code == 130:
            print("dferlib: interrupted", file=sys.stderr)
        raise
