"""Exceptions whose text says what came, what was expected and what to do.

The command line prints a :class:`SemplesError` as one line and exits with its ``exit_status``:
2 for wrong usage or bad input, 1 for a failure of the run itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SemplesError(Exception):
    """A problem that a user can mend; its text holds the fix."""

    exit_status = 1


class ConfigError(SemplesError):
    """A setting that does not exist, has the wrong type, or is out of range."""

    exit_status = 2


class DataError(SemplesError):
    """An input file that is missing, unreadable or contradicts another."""

    exit_status = 2


class ModelError(SemplesError):
    """A checkpoint or model folder that is missing, damaged or of the wrong kind."""

    exit_status = 2


class RunError(SemplesError):
    """A run that cannot go on, for example a non-finite loss or a full disk."""


class ResultError(RunError):
    """What an earlier stage left in the run directory is missing, damaged, or was changed by hand."""

    exit_status = 2


class BusyError(SemplesError):
    """A run directory in which another run is at work."""

    exit_status = 2


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``' Did you mean "x"?'`` for the closest known word, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f' Did you mean "{close[0]}"?' if close else ""
