"""The workflows for GitHub: valid, and doing what the README and the Makefile say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))


def steps(name: str, job: str) -> list[dict]:
    return yaml.safe_load((FOLDER / name).read_text())["jobs"][job]["steps"]


def commands(name: str, job: str) -> list[str]:
    return [step["run"] for step in steps(name, job) if "run" in step]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_it_is_as_github_wants_it(path: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_workflow_that_is_wrong_is_found(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text((FOLDER / "book.yml").read_text().replace("runs-on", "run-on"))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(wrong)]
    assert subprocess.run(command, capture_output=True).returncode == 1


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_it_may_only_read_what_it_does_not_publish(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        allowed = {"pages": "write", "id-token": "write"} if name == "publish" else None
        assert job.get("permissions") == allowed, name
        assert job["timeout-minutes"] <= 90


def test_the_quick_tier_is_that_of_the_makefile_on_every_python_that_is_supported() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (tier,) = re.findall(r"^quick:.*\n\t\$\(PYTEST\) (.*)$", makefile, re.MULTILINE)
    assert commands("tests.yml", "quick")[-1].endswith(tier)
    job = yaml.safe_load((FOLDER / "tests.yml").read_text())["jobs"]["quick"]
    lowest, highest = re.search(r"for Python 3\.(\d+) to 3\.(\d+)", (ROOT / "requirements.txt").read_text()).groups()
    versions = [f"3.{minor}" for minor in range(int(lowest), int(highest) + 1)]
    assert job["strategy"]["matrix"]["python"] == versions
    assert {system.split("-")[0] for system in job["strategy"]["matrix"]["system"]} == {"ubuntu", "macos", "windows"}


def test_everything_else_is_what_the_readme_says() -> None:
    assert commands("tests.yml", "whole") == [".ci/run"]
    assert commands("book.yml", "build") == ["make book"]
    (uploaded,) = [s["with"]["path"] for s in steps("book.yml", "build") if "upload-pages" in s.get("uses", "")]
    assert f"{uploaded}/index.html" in (ROOT / "Makefile").read_text()
    kept = next(s["with"]["path"] for s in steps("book.yml", "build") if "actions/cache" in s.get("uses", ""))
    assert "_build/chapters" in kept.split()
