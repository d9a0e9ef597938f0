"""``semples export``: the results of a run for other tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from semples.errors import ConfigError
from semples.verbs.mask_export import export_coco, export_voc
from semples.verbs.onnx_export import export_onnx


def export(run: Path | str, format: Literal["coco", "voc", "onnx"], with_images: bool = False) -> Path:
    """Export the pseudo masks of a run, or its segmentation network, for other tools into ``RUN/export/``.

    Args:
        run: A run directory.
        format: "coco" or "voc", the pseudo masks for CVAT, FiftyOne and others; "onnx", the network.
        with_images: Copy the images too (coco and voc).

    Returns:
        ``coco/annotations.json``, the folder ``voc``, or ``onnx/model.onnx``.

    Raises:
        ConfigError: The format does not exist, or ONNX is not installed.
        DataError: ``run`` is not a run directory, or the required stage is not done.
    """
    if format not in _EXPORTERS:
        raise ConfigError(f'format: "{format}" does not exist; expected one of {", ".join(_EXPORTERS)}')
    return _EXPORTERS[format](Path(run), with_images)


_EXPORTERS: dict[str, Callable[[Path, bool], Path]] = {
    "coco": export_coco,
    "voc": export_voc,
    "onnx": lambda run, _: export_onnx(run),
}
"""Format -> its exporter, which takes a run directory and whether to copy the images."""
