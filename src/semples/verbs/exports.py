"""``semples export``: what a run learned, for other tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from semples.errors import ConfigError
from semples.verbs.mask_export import export_coco, export_voc
from semples.verbs.onnx_export import export_onnx


def export(run: Path | str, format: Literal["coco", "voc", "onnx"], with_images: bool = False) -> Path:
    """Write the pseudo masks of a run for other tools, or its segmentation network, below ``RUN/export/``.

    Args:
        run: A run directory.
        format: "coco" or "voc", the pseudo masks for CVAT, FiftyOne and others; "onnx", the network.
        with_images: Copy the images too (coco and voc).

    Returns:
        ``coco/annotations.json``, the folder ``voc``, or ``onnx/model.onnx``.

    Raises:
        ConfigError: There is no such format, or ONNX is not installed.
        DataError: That is no run directory, or the stage whose result is wanted is not done.
    """
    if format not in _EXPORTERS:
        raise ConfigError(f'format: "{format}" does not exist, expected one of {", ".join(_EXPORTERS)}')
    return _EXPORTERS[format](Path(run), with_images)


_EXPORTERS: dict[str, Callable[[Path, bool], Path]] = {
    "coco": export_coco,
    "voc": export_voc,
    "onnx": lambda run, _: export_onnx(run),
}
"""Format -> its exporter, which takes a run directory and whether to copy the images."""
