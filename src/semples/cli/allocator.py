"""How the C library deals with freed memory (glibc; nothing elsewhere)."""

from __future__ import annotations

import ctypes
import os

# Parameters of mallopt(3), by the environment variables that win over them.
_PARAMETERS = {"MALLOC_TRIM_THRESHOLD_": -1, "MALLOC_MMAP_THRESHOLD_": -3}
_LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Keep freed blocks of up to 2 GiB for the next request, for the whole process.

    A training step frees and takes the same large tensors again and again. glibc gives them back to the system, which
    clears every page that it hands out: a sixth of the time of a step of stage 5 on a processor.

    Returns:
        Whether anything changed: not without glibc, and not for what a ``MALLOC_..._`` environment variable sets.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return False
    wanted = [number for variable, number in _PARAMETERS.items() if variable not in os.environ]
    done = [mallopt(number, _LARGEST) == 1 for number in wanted]
    return any(done)
