"""The papers audited by their own data: what they print, computed again, as a list of findings.

`audit` has all of them. `checks` looks up and subtracts what texts and tables state, `recalls` does arithmetic with
per-class recalls and whole clips, `comparisons` looks at rows side by side, `equations` tries formulas on numbers,
`costs` counts, and `choosing` reads a rival's training logs. The data are the project's tables `reported.csv`,
`stated.csv` and `former_dfer_logs.csv`. A finding that does not follow from them any more says so, and a test fails.
"""

from pathlib import Path

from tqdm import tqdm

from dferlib.evidence.audit import checks, choosing, comparisons, costs, equations, recalls
from dferlib.evidence.audit.finding import Finding
from dferlib.evidence.audit.tables import Tables

__all__ = ["Finding", "Tables", "audit"]


def audit(folder: Path | str, progress: bool = False) -> list[Finding]:
    """All findings, computed again from the tables.

    Args:
        folder: where the tables are, `results` of the project.
        progress: show a bar; counting the costs takes a few seconds.

    Raises:
        InputError: a table is missing, or lacks a row that a finding is about.
    """
    tables = Tables(folder)
    parts = tqdm((checks, recalls, comparisons, choosing, equations, costs), "audit", disable=not progress, leave=False)
    return [finding for part in parts for finding in part.findings(tables)]
