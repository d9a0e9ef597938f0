"""``semples report``: rebuilds the report of a run."""

from __future__ import annotations

from pathlib import Path

from semples.html_report import write_report
from semples.rundir.layout import RunDirectory


def report(run: Path | str) -> Path:
    """Rebuild report.html of a run directory.

    Raises:
        DataError: ``run`` is not a run directory.
    """
    directory = RunDirectory(Path(run))
    directory.require(directory.dataset)
    return write_report(directory.path)
