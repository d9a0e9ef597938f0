"""The environment of a run: versions of packages, commit of the source, device."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("semples", "torch", "transformers", "accelerate", "kornia", "numpy", "pillow")
"""Packages whose versions can change a result."""


def package_versions() -> dict[str, str]:
    """Return the version of each of :data:`PACKAGES`."""
    return {name: metadata.version(name) for name in PACKAGES}


def environment(device: str) -> dict[str, Any]:
    """Return versions, commit and device, as ``config.yaml`` records them."""
    return {
        "python": platform.python_version(),
        "versions": package_versions(),
        "commit": source_commit(),
        "device": device,
    }


def source_commit() -> str | None:
    """Return the commit of the source tree that this package was imported from, or None outside a repository."""
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
