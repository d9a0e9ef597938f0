"""``cams/ID.safetensors`` and ``2-prompt-maps/ID.safetensors``: maps of the classes present in one image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from semples.files import replacing

DAMAGED_MAPS = (OSError, SafetensorError, KeyError, ValueError, TypeError)
"""Errors that :func:`read_maps` raises."""


def write_maps(path: Path, cams: NDArray[np.uint8], classes: NDArray[np.int64]) -> None:
    """Write the maps of an image.

    Args:
        path: The file.
        cams: Maps uint8 [P, H, W] at the image's own size, 255 for 1.
        classes: 0-based class of each map, int64 [P].
    """
    content = save({"cams": np.ascontiguousarray(cams), "classes": np.ascontiguousarray(classes)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def read_maps(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read the maps uint8 [P, H, W] of an image, 255 for 1, and their 0-based classes int64 [P].

    Raises:
        OSError: The file cannot be read.
        SafetensorError, KeyError, ValueError, TypeError: The file is damaged.
    """
    tensors: dict[str, NDArray[Any]] = load_file(path)
    cams, classes = tensors["cams"], tensors["classes"]
    if cams.dtype != np.uint8 or cams.ndim != 3 or 0 in cams.shape[1:]:
        raise ValueError(f"cams: found {cams.dtype} {list(cams.shape)}, expected uint8 [P, H, W]")
    if classes.dtype != np.int64 or classes.shape != cams.shape[:1]:
        raise ValueError(f"classes: found {classes.dtype} {list(classes.shape)}, expected int64 [{len(cams)}]")
    return cams, classes
