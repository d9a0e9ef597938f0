"""Write files atomically, so that an incomplete file is never taken for a complete one."""

from __future__ import annotations

import errno
import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from semples.errors import DataError, RunError

_FIXES = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT), "free some space, then run the same command again: finished work is kept"
    ),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable, or choose another --out"),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "move the file that is in the way, or choose another --out"),
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's error on a failed write into one that says what to do.

    Raises:
        RunError: ``path`` could not be written.
    """
    try:
        yield
    except OSError as error:
        fix = _FIXES.get(error.errno or 0, "fix the cause, then run the same command again: finished work is kept")
        raise RunError(f"{path}: cannot be written ({error.strerror or error}); {fix}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``, and move it to ``path`` when the block succeeds.

    Parent folders are created. If the block raises, the temporary file is removed and ``path`` keeps its content.

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


class Writer:
    """Encodes and writes files in a background thread, in the order given.

    ::

        with Writer() as writer:
            for path, mask in work():
                writer.add(write_mask, path, mask)

    The block ends when all files are written. An exception of a write is raised in the block, and nothing is written
    after it.

    Args:
        waiting: Largest number of pending writes, which bounds memory; beyond it ``add`` waits.
    """

    def __init__(self, waiting: int = 32) -> None:
        self._waiting = waiting
        self._pool = ThreadPoolExecutor(1, "writer")
        self._writes: deque[Future[None]] = deque()
        self._has_failed = False

    def add(self, write: Callable[..., object], *arguments: Any) -> None:
        """Call ``write(*arguments)`` in the background; the arguments must not change until then.

        Raises:
            BaseException: The exception of an earlier write.
        """
        self._writes.append(self._pool.submit(self._write, write, arguments))
        while len(self._writes) > self._waiting or self._writes[0].done():
            self._writes.popleft().result()
            if not self._writes:
                return

    def _write(self, write: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        if self._has_failed:
            return
        try:
            write(*arguments)
        except BaseException:
            self._has_failed = True
            raise

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()  # finishes the pending writes, even if the block has failed
        if error is None:
            for write in self._writes:
                write.result()


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files that killed processes left behind in a folder (:func:`replacing`)."""
    for path in directory.rglob(".*.tmp"):
        with writing(path):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, completely or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON with a stable layout (indented, keys in the given order)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: The file is not valid JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON ({error}): put a good copy back, or delete it") from error
