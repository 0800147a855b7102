"""What holds the project together: commands, dependencies, citations, licences."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import dferlib

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGES = sorted((ROOT / "book").glob("*.md")) + sorted((ROOT / "notebooks").glob("*.ipynb"))


def requirements(lines: list[str]) -> dict[str, Requirement]:
    found = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    return {canonicalize_name(item.name): item for item in found}


WANTED = requirements((ROOT / "requirements.txt").read_text().splitlines())
PINNED = requirements((ROOT / "constraints.txt").read_text().splitlines())
EXTRAS = dict(PROJECT["optional-dependencies"])
COMPARED = requirements(EXTRAS.pop("bench"))  # `make bench` installs these, on top of .venv
DECLARED = requirements([*PROJECT["dependencies"], *chain.from_iterable(EXTRAS.values())])


def imports(code: str) -> set[str]:
    """Top-level names of the modules that a piece of code imports."""
    nodes = list(ast.walk(ast.parse(code)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.split(".")[0] for name in names}


def python_in(path: Path) -> str:
    """The code of a module, or of the code cells of a notebook without its magic lines."""
    if path.suffix == ".py":
        return path.read_text()
    cells = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    return "\n".join(line for cell in cells for line in cell.splitlines() if not line.lstrip().startswith(("%", "!")))


def undeclared(files: list[Path], declared: set[str]) -> set[str]:
    own = {
        "dferlib",
        "benchmarks",
        "composing",
        "execution",
        "printing",
        "since",
        "tracker",
        "slides",
        "troubles",
        "__main__",
        *(path.stem for path in files),
    }
    used = set().union(*(imports(python_in(path)) for path in files)) - set(sys.stdlib_module_names) - own
    providers = {"dlib": ["dlib-bin"], **packages_distributions()}  # dlib-bin does not say that dlib is in it
    # what is compared with is not installed here, and is imported by the name that it is installed by
    return {name for name in used if not {canonicalize_name(item) for item in providers.get(name, [name])} & declared}


@pytest.mark.slow
def test_imports_of_the_library_are_declared() -> None:
    assert not undeclared(sorted((ROOT / "dferlib").rglob("*.py")), set(DECLARED))


@pytest.mark.slow
def test_imports_outside_the_library_are_declared() -> None:
    files = [path for folder in ("tests", "benchmarks", "notebooks") for path in (ROOT / folder).glob("*.*")]
    files = [path for path in files if path.suffix in (".py", ".ipynb")]
    assert len(files) > 5
    assert not undeclared(files, set(WANTED) | set(COMPARED))


def test_requirements_agree_with_pyproject() -> None:
    ranges = {name: str(item.specifier) for name, item in DECLARED.items()}
    assert {name: str(WANTED[name].specifier) for name in ranges if name in WANTED} == ranges


def test_constraints_pin_every_requirement() -> None:
    assert not (set(WANTED) | set(COMPARED)) - set(PINNED)
    assert not [str(item) for item in PINNED.values() if not re.fullmatch(r"==[\w.]+", str(item.specifier))]
    versions = {name: str(PINNED[name].specifier).removeprefix("==") for name in WANTED}
    assert not [name for name, version in versions.items() if not WANTED[name].specifier.contains(version)]


def test_constraints_name_no_place() -> None:
    """A pin from a file or a server would work on one machine only."""
    assert not [str(item) for item in PINNED.values() if item.url]


def test_torch_and_torchvision_are_a_pair() -> None:
    torch, vision = (str(PINNED[name].specifier)[2:].split(".") for name in ("torch", "torchvision"))
    assert int(vision[1]) == int(torch[1]) + 15


def test_readme_names_real_commands() -> None:
    from typer.main import get_command

    from dferlib.cli import app

    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", README, re.DOTALL))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))
    assert {"book", "test"} <= asked <= targets
    commands = set(get_command(app).commands)
    named = set(re.findall(r"^dferlib ([a-z-]+)", blocks, re.MULTILINE))
    assert named
    assert named <= commands
    assert set(re.findall(r"\bdferlib\.(\w+)", README)) <= set(dir(dferlib))


def test_citations_have_entries() -> None:
    entries = re.findall(r"^@\w+\{([^,]+),", (ROOT / "book" / "references.bib").read_text(), re.MULTILINE)
    assert len(entries) == len(set(entries))
    roles = [role for page in PAGES for role in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", page.read_text())]
    cited = {key.strip() for role in roles for key in role.split(",")}
    assert cited
    assert cited <= set(entries)


def test_the_citation_file_is_as_it_must_be() -> None:
    """What the schema of version 1.2.0 asks for, and what changes with a release."""
    about = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert about["cff-version"] == "1.2.0"
    assert about["title"] and about["message"]
    assert [author["name"] for author in about["authors"]] == re.findall(
        r"\(c\) \d+ (.+)", (ROOT / "LICENSE").read_text()
    )
    assert about["version"] == dferlib.__version__
    assert about["license"] == PROJECT["license"]
    released = f"## [{about['version']}] - {about['date-released']}"
    assert released in (ROOT / "CHANGELOG.md").read_text().splitlines()


def test_hooks_come_from_here_and_need_no_download() -> None:
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = [hook for repository in repositories for hook in repository["hooks"]]
    assert {repository["repo"] for repository in repositories} == {"local"}
    assert {hook["language"] for hook in hooks} == {"system"}
    tools = {hook["entry"].split()[0] for hook in hooks}
    assert all(tool.startswith(".venv/bin/") for tool in tools)
    assert {"ruff", "mypy", "lint-imports"} == {tool.rpartition("/")[2] for tool in tools} - {"python"}


def test_commands_in_contributing_are_real() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"lint", "quick", "test", "thorough"} <= set(re.findall(r"`make ([a-z]+)", text)) <= targets


def test_table_of_contents_lists_every_page_once() -> None:
    listed = re.findall(r"^(?:root:| +- file:) (\S+)$", (ROOT / "_toc.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(page.relative_to(ROOT).with_suffix("").as_posix() for page in PAGES)


@pytest.mark.parametrize("path", ["LICENSE", "book/_static/mathjax/LICENSE", "dferlib/makefaces/assets/README.md"])
def test_licences_are_present(path: str) -> None:
    assert re.search(r"MIT License|Apache License|CC0", (ROOT / path).read_text())


def test_no_path_of_one_machine_is_tracked() -> None:
    """A path that begins in somebody's home or mount works nowhere else."""
    home = re.compile(rb"(?<![\w.~$}/-])/(?:home|root|Users|mnt|work)/\w")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    files = [ROOT / name.decode() for name in tracked.split(b"\0") if name]
    text = [path for path in files if path.is_file() and b"\0" not in path.read_bytes()[:8000]]
    assert len(text) > 20
    assert not [str(path.relative_to(ROOT)) for path in text if home.search(path.read_bytes())]
