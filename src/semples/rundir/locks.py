"""The lock that admits one command at a time to a run directory."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from semples.errors import BusyError
from semples.files import remove_leftovers, writing
from semples.rundir.layout import RunDirectory

_held: set[int] = set()


def _close_in_child() -> None:
    """Close inherited lock files in worker processes, which may outlive a killed run for a moment."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Create a run directory, lock it, and remove the half-written files of a killed run.

    Only the lock matters, not the file: the OS releases it however the process ends.

    Raises:
        BusyError: Another process is using the directory.
        RunError: The directory is not writable.
    """
    path = RunDirectory(directory).lock
    with writing(path):
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    _held.add(descriptor)
    try:
        _lock(descriptor, directory)
        with writing(path):
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        remove_leftovers(directory)
        yield
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            return  # the file system does not support locks, as on some clusters
        holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
        raise BusyError(f"{directory}: in use by {holder}; wait for it, stop it, or give another --out") from error
