"""Exports the trained segmentation network as an ONNX file, for runtimes without torch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semples.errors import ConfigError
from semples.files import replacing, write_json
from semples.models.segmentation import SegmentationNetwork, load_segmentation_network
from semples.rundir.layout import RunDirectory
from semples.rundir.manifest import require_done

_NEEDED = ("onnx", "onnxscript")


def export_onnx(run: Path) -> Path:
    """Write ``RUN/export/onnx/model.onnx`` and, beside it, ``labels.json``.

    Input ``pixels`` float32 [batch, 3, height, width], RGB in [0, 1], of any size; the network normalizes them.
    Output ``logits`` float32 [batch, K + 1, height, width]; channel 0 is background, argmax gives the mask.
    ``labels.json`` holds ``{"labels": [names, background first], "short_side": pixels}``: scale the short
    side of images to that length, as in training.

    Args:
        run: A run directory whose stage segment is done.

    Returns:
        Path of model.onnx.

    Raises:
        ConfigError: The packages of the extra "onnx" are missing.
        DataError: ``run`` is not such a run.
        ModelError: Its model cannot be opened.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(f"--format onnx needs {' and '.join(missing)}; run pip install 'semples[onnx]'")
    directory = RunDirectory(run)
    require_done(directory, "segment")
    network = load_segmentation_network(directory.model("segment"))
    folder = directory.onnx_export
    with replacing(folder / "model.onnx") as temporary:
        write_onnx(network, temporary)
    names = network.model.config.id2label
    labels = [names[index] for index in range(len(names))]
    write_json(folder / "labels.json", {"labels": labels, "short_side": network.short_side})
    return folder / "model.onnx"


def write_onnx(network: SegmentationNetwork, path: Path) -> None:
    """Write a network in evaluation mode with dynamic batch, height and width.

    Pooling and padding are replaced permanently, because the exporter would fix them to the size of its example.
    """
    for module in network.modules():
        if isinstance(module, nn.AdaptiveAvgPool2d):
            sides = module.output_size if isinstance(module.output_size, tuple) else (module.output_size,) * 2
            module.forward = partial(average_windows, size=sides)  # type: ignore[method-assign]
    if getattr(network.model.config, "tf_padding", False):  # MobileNetV2 branches on the size to pad
        network.model.config.tf_padding = False
        for module in network.modules():
            convolution = getattr(module, "convolution", None)
            if isinstance(convolution, nn.Conv2d):
                convolution.register_forward_pre_hook(pad_same)
    side = network.short_side
    example = torch.zeros(2, 3, side, side + 32)
    with _silent():
        torch.onnx.export(
            network,
            (example,),
            path,
            dynamo=True,
            external_data=False,
            verbose=False,
            input_names=["pixels"],
            output_names=["logits"],
            dynamic_shapes=({0: "batch", 2: "height", 3: "width"},),
        )


def pad_same(convolution: nn.Conv2d, inputs: tuple[Tensor]) -> Tensor:
    """Pad the input of a convolution like TensorFlow's "SAME", without branches on its size.

    The kernel must not be smaller than the stride.

    Args:
        convolution: The convolution, itself without padding.
        inputs: A tuple of its input [B, C, h, w], as passed to a forward pre-hook.
    """
    (features,) = inputs
    pads: list[int] = []
    for axis in (1, 0):  # F.pad wants the width first
        stride, dilation = convolution.stride[axis], convolution.dilation[axis]
        length = features.shape[2 + axis]
        total = convolution.kernel_size[axis] - ((length - 1) % stride + 1)
        pads += [total // 2 * dilation, (total - total // 2) * dilation]
    return F.pad(features, pads)


def average_windows(maps: Tensor, size: tuple[int | None, int | None]) -> Tensor:
    """Pool adaptively by averaging, as two matrix products.

    The exporter unrolls ``nn.AdaptiveAvgPool2d`` for the size of its example; this works for any size.

    Args:
        maps: Feature maps [B, C, h, w].
        size: Height and width of the result; None keeps that side.
    """
    rows, columns = (
        _windows(length, length if wanted is None else wanted, maps)
        for length, wanted in zip(maps.shape[-2:], size, strict=True)
    )
    return rows @ maps @ columns.T


def _windows(length: int, count: int, like: Tensor) -> Tensor:
    """Return weights [count, length]; row i averages cells floor(i length / count) to ceil((i + 1) length / count)."""
    window = torch.arange(count, device=like.device)[:, None]
    cell = torch.arange(length, device=like.device)[None, :]
    start, end = window * length // count, ((window + 1) * length + count - 1) // count
    inside = ((cell >= start) & (cell < end)).to(like.dtype)
    return inside / inside.sum(dim=1, keepdim=True)


@contextmanager
def _silent() -> Iterator[None]:
    """Hide the exporter's own warnings, which users cannot act on."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
