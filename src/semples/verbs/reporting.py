"""``semples report``: the report of a run, written again."""

from __future__ import annotations

from pathlib import Path

from semples.html_report import write_report
from semples.rundir.dataset import require_run


def report(run: Path) -> Path:
    """Rebuild report.html of a run directory.

    Raises:
        DataError: That is no run directory.
    """
    require_run(run, "dataset.json")
    return write_report(run)
