"""Exceptions whose text says what is wrong, what was expected, and how to fix it.

The command line prints a :class:`SemplesError` as one line and exits with its ``exit_status``:
2 for wrong usage or bad input, 1 for a failure of the run itself.

All texts have one grammar, ``PLACE: problem; fix``::

    tags.csv:7: "bota" is not a class; did you mean "boat"?
    runs/photos/manifest.json: cannot be written (Read-only file system); make it writable, or choose another --out

PLACE is the file (with its line, if it has any), the setting or the option; it is left out if there is none. The
problem names the value, in double quotes if it is text. The fix is an action, a command, or the values expected.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SemplesError(Exception):
    """A problem that the user can fix; its text says how."""

    exit_status = 1


class ConfigError(SemplesError):
    """A setting that does not exist, has the wrong type, or is out of range."""

    exit_status = 2


class SettingWarning(UserWarning):
    """A setting that is accepted but has another name by now, or no effect."""


class DataError(SemplesError):
    """An input file that is missing, unreadable, or contradicts another."""

    exit_status = 2


class ModelError(SemplesError):
    """A checkpoint or model folder that is missing, damaged, or of the wrong kind."""

    exit_status = 2


class RunError(SemplesError):
    """A run that cannot continue, for example because of a non-finite loss or a full disk."""


class ResultError(RunError):
    """A result of an earlier stage that is missing, damaged, or was changed by hand."""

    exit_status = 2


class BusyError(SemplesError):
    """A run directory that another run is using."""

    exit_status = 2


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``'; did you mean "x"?'`` for the known word closest to a wrong one, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f'; did you mean "{close[0]}"?' if close else ""
