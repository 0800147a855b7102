"""Puts what chapters read into the wheel; whatever else setuptools must know is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = ("results", "benchmarks/results")
CONTENTS = "_toc.yml"  # the order of the chapters


def not_in_git(folder: str, names: list[str]) -> list[str]:
    """What .gitignore leaves out of these folders: weights that other runs of a study start from, and pictures."""
    return [name for name in names if name.endswith(".png") or ("-seed" in name and Path(folder, name).is_dir())]


class BuildWithRecords(build_py):
    """Builds the library with copies of these folders in `dferlib/shipped`, where `project_folder` finds them."""

    def run(self) -> None:
        """Called by setuptools."""
        super().run()
        if not self.editable_mode:  # there they lie beside the library
            for name in SHIPPED:
                place = Path(self.build_lib, "dferlib", "shipped", name)
                shutil.copytree(name, place, ignore=not_in_git, dirs_exist_ok=True)
            shutil.copy(CONTENTS, Path(self.build_lib, "dferlib", "shipped"))


setup(cmdclass={"build_py": BuildWithRecords})
