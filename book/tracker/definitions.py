"""The functions that a Python file defines, by name. A chapter's run notes which of them it called."""

import ast
from collections.abc import Iterator

# clips in the cache folder were made by all of this folder, also by what is not called when they are read
WHOLE = "makefaces/"

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Every function of a module and every method of its classes; what they define inside belongs to them."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield f"{prefix}{child.name}", child
        elif isinstance(child, ast.ClassDef):
            yield from functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, (ast.stmt, ast.excepthandler)):  # under an `if` or a `try`
            yield from functions(child, prefix)
