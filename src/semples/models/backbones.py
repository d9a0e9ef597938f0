"""Any transformers backbone, wrapped to return a map of features."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from semples.errors import ModelError
from semples.models.layers.folding import fold_batch_norms
from semples.models.layers.normalize import Normalize
from semples.models.layers.patches import enlarge_to, resize_to_whole_patches
from semples.models.loading import image_statistics, load_pretrained, resolve

BUNDLED = "backbone"
"""Purpose in :data:`semples.models.loading.BUNDLED_MODELS`."""


class Backbone(nn.Module):
    """Wrap a transformers vision model: pixels [B, 3, H, W] in [0, 1] to features [B, C, h, w].

    Convolutional networks return their last feature map, vision transformers their patch tokens as a map.
    Batch normalization always uses its running statistics: pretrained statistics beat a small batch's.

    Args:
        model: The transformers model (its vision tower for CLIP and SigLIP).
        mean: Mean color of its preprocessing, RGB in [0, 1].
        std: Standard deviation of its preprocessing.
    """

    def __init__(self, model: Any, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)  # nearly twice as fast on CPUs
        self.normalize_pixels = Normalize(mean, std)
        is_hierarchical = hasattr(model.config, "depths") or model.config.model_type.startswith("mobilenet")
        self.patch_size: int | None = None if is_hierarchical else getattr(model.config, "patch_size", None)
        """Side of a patch in pixels; None for networks whose features are maps already."""
        self.smallest_side = 1
        """Side in pixels to which smaller images are stretched: the stride of the last stage."""
        with torch.no_grad():
            image = _black_image(self)
            features = self.eval()(image)
        self.channels = int(features.shape[1])
        self.smallest_side = image.shape[-1] // int(features.shape[-1])

    def train(self, mode: bool = True) -> Backbone:
        """Switch the training mode; batch normalization stays in evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute features [B, C, h, w] of pixels [B, 3, H, W] in [0, 1]; H and W need not be equal."""
        pixels = self.normalize_pixels(pixels).contiguous(memory_format=torch.channels_last)
        if self.patch_size is not None:
            pixels, grid = resize_to_whole_patches(pixels, self.patch_size)
            hidden = self.model(pixel_values=pixels, interpolate_pos_encoding=True).last_hidden_state
            return _as_map(hidden, *grid)
        features: Tensor = self.model(pixel_values=enlarge_to(pixels, self.smallest_side)).last_hidden_state
        return features


def _black_image(backbone: Backbone) -> Tensor:
    """Make an image of the smallest size that survives every stage of the backbone."""
    side = 2 * (backbone.patch_size or 32)
    return torch.zeros(1, 3, side, side)


def _as_map(hidden: Tensor, height: int, width: int) -> Tensor:
    """Reshape patch tokens [B, extra + h * w, C] to [B, C, h, w], dropping class and register tokens in front."""
    patches = hidden[:, hidden.shape[1] - height * width :]
    return patches.transpose(1, 2).reshape(len(patches), -1, height, width)


def load_backbone(name: str, output_stride: int | None = None, frozen: bool = False) -> Backbone:
    """Load a backbone by hub name, local folder, "bundled/scenes" or "bundled/photos".

    Args:
        name: Checkpoint of a ResNet, ConvNeXt, MobileNetV2, ViT, DeiT, CLIP, SigLIP, ...
        output_stride: Input pixels per feature pixel; None keeps the network's own. If it is smaller, the last stages
            keep their resolution and are dilated instead.
        frozen: Whether it will never be trained: then it has no gradients, and batch normalization is folded into the
            convolutions.

    Raises:
        ModelError: The checkpoint cannot be loaded, or cannot have that output stride.
    """
    source = resolve(name, BUNDLED)
    model = load_pretrained("AutoModel", source)
    if output_stride is not None and model.config.model_type.startswith("mobilenet"):
        model = load_pretrained("AutoModel", source, output_stride=output_stride)
    model = getattr(model, "vision_model", model)
    backbone = Backbone(model, *image_statistics(source))
    if output_stride is not None:
        _dilate_to(backbone, output_stride, name)
    if frozen:
        backbone.requires_grad_(False)
        fold_batch_norms(backbone, lambda: backbone.eval()(_black_image(backbone)))
    return backbone


def _dilate_to(backbone: Backbone, output_stride: int, name: str) -> None:
    """Remove strides from the last strided stages, and dilate the layers behind, until the stride is reached."""
    own = _measure_stride(backbone)
    if backbone.patch_size is not None or own <= output_stride:
        if own != output_stride:
            raise ModelError(
                f"mask_generator.output_stride: {name} cannot be changed from {own} to {output_stride}; "
                f"set it to {own} or null"
            )
        return
    stages = _strided_stages(backbone.model)
    for stage in reversed(stages):
        if own <= output_stride:
            break
        own //= 2
        _remove_stride(stage)
    dilation = 1
    for stage in stages:
        if getattr(stage, "semples_stride_removed", False):
            dilation *= 2
            _dilate(stage, dilation)
    if _measure_stride(backbone) != output_stride:
        raise ModelError(f"mask_generator.output_stride: {name} cannot be changed to {output_stride}; set it to null")


def _measure_stride(backbone: Backbone) -> int:
    """Measure how many input pixels one feature pixel spans."""
    side = 4 * math.lcm(32, backbone.patch_size or 1)
    with torch.no_grad():
        features = backbone.eval()(torch.zeros(1, 3, side, side))
    return side // int(features.shape[-1])


def _strided_stages(model: nn.Module) -> list[nn.Module]:
    """List the stages of a hierarchical network that halve the resolution, in order."""
    stages = getattr(getattr(model, "encoder", None), "stages", None)
    if stages is None:
        return []
    return [stage for stage in stages if any(_is_strided(m) for m in stage.modules())]


def _is_strided(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.stride[0] > 1


def _remove_stride(stage: nn.Module) -> None:
    for module in stage.modules():
        if isinstance(module, nn.Conv2d) and _is_strided(module):
            module.stride = (1, 1)
            if module.kernel_size[0] == 2:  # patch merging of ConvNeXt: keep the map's size
                module.padding = "same"
    stage.semples_stride_removed = True  # type: ignore[assignment]


def _dilate(stage: nn.Module, dilation: int) -> None:
    """Dilate the spatial convolutions of a stage that lost its stride.

    The first one still reads the grid of the stage before and gets half the dilation.
    """
    spatial = [m for m in stage.modules() if isinstance(m, nn.Conv2d) and m.kernel_size[0] > 1]
    for position, module in enumerate(spatial):
        factor = dilation // 2 if position == 0 else dilation
        module.dilation = (factor, factor)
        if module.padding != "same":
            reach = factor * (module.kernel_size[0] - 1) // 2
            module.padding = (reach, reach)
