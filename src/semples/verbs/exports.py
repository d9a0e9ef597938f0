"""``semples export``: what a run learned, for other tools."""

from __future__ import annotations

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
    run = Path(run)
    if format == "coco":
        return export_coco(run, with_images)
    if format == "voc":
        return export_voc(run, with_images)
    if format == "onnx":
        return export_onnx(run)
    raise ConfigError(f'there is no format "{format}", expected coco, voc or onnx')
