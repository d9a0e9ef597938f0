"""The circumstances of a benchmark's figures."""

from __future__ import annotations

import platform
import subprocess

import torch
import transformers


def provenance() -> dict[str, str]:
    """Return commit, versions and kind of processor, for the JSON line."""
    result = subprocess.run(["git", "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True)
    return {
        "commit": result.stdout.strip(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": f"cpu ({platform.machine()})",
    }
