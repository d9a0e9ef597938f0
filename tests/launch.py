"""torchrun on this machine, for tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def start(words: Sequence[str | Path], processes: int = 2) -> subprocess.Popen[str]:
    """Start a program (``-m`` and a module, or a file) and its arguments in several processes of one thread each."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*launcher, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def finish(process: subprocess.Popen[str], seconds: float = 300) -> tuple[int, str, str]:
    """Wait for its end, and return status, output and errors."""
    try:
        output, error = process.communicate(timeout=seconds)
    finally:
        process.terminate()
    return process.returncode, output, error
