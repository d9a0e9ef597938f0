"""Writing files so that a half-written one is never taken for a whole one."""

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


class Writer:
    """Encodes and writes files beside the computation, in one thread and in the order given.

    ::

        with Writer() as writer:
            for path, mask in work():
                writer.add(write_mask, path, mask)

    The block ends when all files are written. What a write raises ends the block, and nothing is written after it.

    Args:
        waiting: Most writes that may wait, so that memory stays bounded; more of them make ``add`` wait.
    """

    def __init__(self, waiting: int = 32) -> None:
        self._waiting = waiting
        self._pool = ThreadPoolExecutor(1, "writer")
        self._writes: deque[Future[None]] = deque()
        self._has_failed = False

    def add(self, write: Callable[..., object], *arguments: Any) -> None:
        """Call ``write(*arguments)`` soon; what they hold must not change any more.

        Raises:
            BaseException: What an earlier write raised.
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
        self._pool.shutdown()  # what was given is written, also where the block has failed
        if error is None:
            for write in self._writes:
                write.result()


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
