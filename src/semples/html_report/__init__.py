"""Turns a run directory into one self-contained HTML file."""

from __future__ import annotations

from semples.html_report.build import write_report

__all__ = ["write_report"]
