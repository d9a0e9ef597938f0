"""One bad input, and what it means that it ended right.

Right is: exit status 2; one line on standard error with the file or setting and what to do; no traceback; nothing that
the input holds was executed; no file outside of the output folder was made, changed or removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matching import mentions
from semples.cli import main

OUT = "out"
"""Folder of results, inside the folder of a case: the only place to be written to."""

SENTINEL = "executed"
"""Name of the folder that code inside an input would make."""

FIX = re.compile(
    r"; \S|expected|did you mean|--force [a-z]|needs --|"
    r"[:(] ?(add|correct|delete|download|give|go on|predict|put|run|set) ",
    re.IGNORECASE,
)
"""Where a line tells what to do, or what would have been right: behind a semicolon as a rule."""


@dataclass(frozen=True)
class Case:
    """A bad input.

    Attributes:
        kind: Heading in the summary.
        name: What is wrong.
        build: Makes the input in an empty folder, and returns the words of the command.
        says: What the line must name, whole and in any order: file, line, setting, value, what is right instead.
        status: Exit status; 0 where the right end is to go on without what is bad.
        is_slow: Whether `make test` never tries it: it trains or loads for a while, or is one of many alike.
        then: Looks at what an exit with status 0 left; returns what is wrong with it, or nothing.
    """

    kind: str
    name: str
    build: Callable[[Path], Sequence[str]]
    says: tuple[str | int, ...]
    status: int = 2
    is_slow: bool = False
    then: Callable[[Path], str] = lambda _: ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


def problems(case: Case, folder: Path) -> list[str]:
    """Try a case in an empty folder, and say what of its end is not right; its lines follow."""
    place = folder / "a" / "b"  # so that ../ and ../../ are still inside of what is watched
    place.mkdir(parents=True)
    words = case.build(place)
    before = _tree(folder, place / OUT)
    status, lines = run(words, place)
    after = _tree(folder, place / OUT)
    text = "\n".join(lines)
    found = [f'"{part}" is not named' for part in case.says if not re.search(mentions(part), text)]
    if status != case.status:
        found.append(f"exit status {status}, expected {case.status}")
    if len(lines) != (1 if case.status else 0):
        found.append(f"{len(lines)} lines on standard error")
    if case.status and not FIX.search(text):
        found.append("no word of what to do")
    if "Traceback" in text:
        found.append("a traceback")
    if any(path.name == SENTINEL for path in folder.rglob("*")):
        found.append("the input was executed")
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    found += [f"{path} was touched" for path in changed]
    if status == case.status == 0 and (wrong := case.then(place)):
        found.append(wrong)
    return [*found, text] if found else []


NOTE = "semples: note: "
"""Start of lines on settings without effect: many cases switch the reader of one config by hand."""


def run(words: Sequence[str], folder: Path) -> tuple[int, list[str]]:
    """Run a command inside a folder; return its exit status and its lines on standard error."""
    errors, start = io.StringIO(), Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            status = main(words)
    finally:
        os.chdir(start)
    lines = errors.getvalue().splitlines()
    return status, [line for line in lines if not line.startswith(NOTE)]


def _tree(folder: Path, but: Path | None = None) -> dict[str, str]:
    """Path -> what is there, for everything below a folder but what lies below another; links are not followed."""
    known = {}
    for directory, folders, files in os.walk(folder):
        here = Path(directory)
        folders[:] = [name for name in folders if but is None or here / name != but]
        for path in [here / name for name in (*folders, *files)]:
            if path.is_symlink():
                known[str(path)] = f"link to {path.readlink()}"
            else:
                known[str(path)] = "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
    return known
