"""Writing files so that a half-written one is never taken for a whole one."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from semples.errors import DataError, RunError

_FIXES = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT), "free some space; the same command continues, nothing finished is lost"
    ),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS), "make it writable, or give another --out that you may write to"
    ),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "a file is in the way: move it, or give another --out"),
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says about a failed write into a line that says what to do.

    Raises:
        RunError: ``path`` could not be written.
    """
    try:
        yield
    except OSError as error:
        fix = _FIXES.get(error.errno or 0, "mend that; the same command continues")
        raise RunError(f"{path} cannot be written ({error.strerror or error}): {fix}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and rename it over ``path`` when the block ends well.

    Parent folders are made. When the block raises, the temporary file is removed and ``path`` is left as it was.

    Raises:
        RunError: ``path`` could not be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files that :func:`replacing` left in a folder when its process was killed."""
    for path in directory.rglob(".*.tmp"):
        with writing(path):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text as a whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON with a stable layout (indented, keys in the order given)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: It is none.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON ({error}): put a good copy back, or delete it") from error
