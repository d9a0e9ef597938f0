"""The segmentation network of stage 5: any transformers semantic segmentation model."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from semples.errors import ModelError
from semples.models.layers.batch_norm import allow_single_values
from semples.models.layers.normalize import Normalize
from semples.models.layers.patches import resize_to_whole_patches
from semples.models.loading import (
    build_from_config,
    image_short_side,
    image_statistics,
    load_pretrained,
    resolve,
)

BUNDLED = "segmentation"
"""Purpose in :data:`semples.models.loading.BUNDLED_MODELS`."""
INFERENCE_FILE = "inference.json"
"""File beside the saved model: at which scales it predicts, and whether in sliding windows."""

_AUTO_CLASS = "AutoModelForSemanticSegmentation"
_WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack"}


@dataclass(frozen=True)
class Inference:
    """How a network predicts.

    Attributes:
        scales: Scales whose predictions are averaged; 1 is the scale of training.
        slides: Whether it predicts square windows of the training size instead of whole images.
    """

    scales: tuple[float, ...] = (1.0,)
    slides: bool = False


ONCE = Inference()
"""Predict whole images at the scale of training."""


class SegmentationNetwork(nn.Module):
    """Pixels [B, 3, H, W] in [0, 1] to logits [B, K + 1, H, W]; channel 0 is background.

    Args:
        model: A transformers ``...ForSemanticSegmentation``.
        mean: Mean color of its preprocessing, RGB in [0, 1].
        std: Standard deviation of its preprocessing.
        short_side: Length in pixels of the images' short side in training, which it should also have in use.
        new_modules: Names of its modules without pretrained weights; None means all. Only there does batch
            normalization update its statistics.
        inference: How it predicts.
    """

    def __init__(
        self,
        model: Any,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        short_side: int,
        new_modules: frozenset[str] | None = None,
        inference: Inference = ONCE,
    ) -> None:
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)
        if model.config.model_type == "dpt":
            _pass_on_patch_grid(model)
        self.short_side = short_side
        self.new_modules = new_modules
        self.inference = inference
        self.normalize_pixels = Normalize(mean, std)

    def train(self, mode: bool = True) -> SegmentationNetwork:
        """Switch the training mode; pretrained batch normalization stays in evaluation mode."""
        super().train(mode)
        for name, module in self.model.named_modules():
            if isinstance(module, _BatchNorm) and self.new_modules is not None and name not in self.new_modules:
                module.eval()
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute logits [B, K + 1, H, W] at the size of the pixels."""
        size = pixels.shape[-2:]
        # Without antialiasing, as the networks of earlier runs were trained.
        fitting, _ = resize_to_whole_patches(
            self.normalize_pixels(pixels), _patch_side(self.model.config), antialias=False
        )
        logits = self.model(pixel_values=fitting.contiguous(memory_format=torch.channels_last)).logits
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)

    def parameter_groups(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Split the parameters into pretrained and new ones."""
        pretrained: list[nn.Parameter] = []
        new: list[nn.Parameter] = []
        for name, parameter in self.model.named_parameters():
            is_new = self.new_modules is None or name.rpartition(".")[0] in self.new_modules
            (new if is_new else pretrained).append(parameter)
        return pretrained, new

    def save(self, folder: Path) -> None:
        """Write a folder that ``from_pretrained`` and the image-segmentation pipeline open."""
        from transformers import SegformerImageProcessor

        self.model.save_pretrained(folder)
        processor = SegformerImageProcessor(
            size={"shortest_edge": self.short_side},
            image_mean=self.normalize_pixels.mean.flatten().tolist(),
            image_std=self.normalize_pixels.std.flatten().tolist(),
        )
        processor.save_pretrained(folder)
        content = {"scales": list(self.inference.scales), "slide": self.inference.slides}
        (folder / INFERENCE_FILE).write_text(json.dumps(content), encoding="utf-8")


def _patch_side(config: Any) -> int:
    """Return the side of a transformer's patches, or 1 for models that need no whole patches."""
    side = getattr(config, "patch_size", 1)
    return side if isinstance(side, int) else 1  # models with a list divide the image themselves


def _pass_on_patch_grid(model: Any) -> None:
    """Let a DPT take images that are not square: without the grid of patches, its neck assumes a square."""
    patch = _patch_side(model.config)
    grid: dict[str, int] = {}

    def record_grid(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        height, width = inputs[0].shape[-2:]
        grid.update(patch_height=height // patch, patch_width=width // patch)

    def add_grid(
        _: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return inputs, {**named, **grid}

    model.dpt.register_forward_pre_hook(record_grid)
    model.neck.register_forward_pre_hook(add_grid, with_kwargs=True)


def resolve_segmenter(name: str) -> str:
    """Turn a name into a folder, a JSON file or a hub name, as :func:`semples.models.loading.resolve` does.

    Raises:
        ModelError: The name looks like a path, and nothing is there.
    """
    path = Path(name).expanduser()
    return str(path) if path.suffix == ".json" and path.is_file() else resolve(name, BUNDLED)


def has_weights(name: str) -> bool:
    """Tell whether a checkpoint has weights: a JSON file or a folder with nothing but a config has none."""
    source = Path(resolve_segmenter(name))
    if not source.is_dir():
        return not source.is_file()
    return any(_WEIGHTS.intersection(path.suffixes) for path in source.iterdir())


def build_segmentation_network(
    name: str, class_names: tuple[str, ...], short_side: int, inference: Inference = ONCE
) -> SegmentationNetwork:
    """Build a network for background and the given classes, with pretrained weights where the checkpoint has them.

    Args:
        name: "bundled/scenes", "bundled/photos", a hub name, or a local folder of a segmentation model or of a
            backbone that has one. A JSON file, or a folder without weights, is the config of a segmentation model with
            random weights.
        class_names: Names of the K classes, without background.
        short_side: Length in pixels of the images' short side in training.
        inference: How it predicts.

    Raises:
        ModelError: The checkpoint cannot be loaded.
    """
    model, new_modules = _load_or_build(name, class_names)
    allow_single_values(model)
    statistics = image_statistics(resolve_segmenter(name))
    return SegmentationNetwork(model, *statistics, short_side, new_modules, inference)


def _load_or_build(name: str, class_names: tuple[str, ...]) -> tuple[Any, frozenset[str] | None]:
    """Return a transformers model for background and the classes, and the names of its new modules (None: all)."""
    source = resolve_segmenter(name)
    labels = dict(enumerate(("background", *class_names)))
    options: dict[str, Any] = {
        "num_labels": len(labels),
        "id2label": labels,
        "label2id": {label: index for index, label in labels.items()},
    }
    if not has_weights(name):
        return build_from_config(_AUTO_CLASS, source, **options), None
    model, info = load_pretrained(
        _AUTO_CLASS,
        source,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **options,
    )
    missing = {*info["missing_keys"], *(entry[0] for entry in info["mismatched_keys"])}
    return model, frozenset(key.rpartition(".")[0] for key in missing)


def is_model_folder(folder: Path) -> bool:
    """Return whether a folder holds a saved network."""
    return (folder / "config.json").is_file()


def load_segmentation_network(folder: Path) -> SegmentationNetwork:
    """Open a folder that :meth:`SegmentationNetwork.save` wrote, ready for inference.

    Raises:
        ModelError: The folder is missing or holds no segmentation model.
    """
    if not is_model_folder(folder):
        raise ModelError(f"{folder}: no segmentation network; give a folder that save_pretrained wrote")
    source = str(folder)
    model = load_pretrained(_AUTO_CLASS, source)
    statistics, short_side = image_statistics(source), image_short_side(source)
    return SegmentationNetwork(model, *statistics, short_side, inference=_read_inference(folder)).eval()


def _read_inference(folder: Path) -> Inference:
    """Read how a saved network predicts; a folder without the file predicts whole images at one scale."""
    path = folder / INFERENCE_FILE
    if not path.is_file():
        return ONCE
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        scales = tuple(float(scale) for scale in content["scales"])
        if not scales or not all(0 < scale < math.inf for scale in scales) or not isinstance(content["slide"], bool):
            raise ValueError
        return Inference(scales, content["slide"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path}: {text[:80]!r} does not say how to predict, expected for example "
            '{"scales": [1.0, 1.5], "slide": false}; correct it, or delete it to predict at scale 1'
        ) from error
