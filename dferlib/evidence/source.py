"""What code says, without its comments, its docstrings and the way it is laid out."""

import ast
import hashlib
from collections.abc import Sequence
from pathlib import Path

# the files of this package that decide how a model is trained and evaluated
BEHAVIOUR = (
    *("*.py", "data/**/*.py", "models/**/*.py", "models/**/*.safetensors", "training/**/*.py"),
    *("evidence/probes.py", "evidence/probe_clips.npz"),
)


def meaning(path: Path) -> ast.Module:
    """The syntax tree of a Python file without strings that stand alone, as docstrings do."""
    tree = ast.parse(path.read_bytes(), path)
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            if isinstance(block := getattr(node, name, None), list):
                setattr(node, name, [part for part in block if not _is_text(part)])
    return tree


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def digest_of(patterns: Sequence[str], root: Path) -> str:
    """A digest of files: of code by its meaning, of others by their bytes.

    Args:
        patterns: which files.
        root: what the patterns begin at.
    """
    total = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in root.glob(pattern)}):
        total.update(path.relative_to(root).as_posix().encode())
        total.update(ast.dump(meaning(path)).encode() if path.suffix == ".py" else path.read_bytes())
    return total.hexdigest()
