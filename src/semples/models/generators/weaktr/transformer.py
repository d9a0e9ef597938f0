"""A plain vision transformer with one class token per class, built from a pretrained ViT or DeiT."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semples.errors import ModelError
from semples.models.layers.patches import resize_to_whole_patches

PositionInterpolation = Literal["exact", "offset"]
Leftover = Literal["resize", "drop"]
OFFSET = 0.1
"""Patches that the published WeakTr adds to each side before it interpolates position embeddings."""


class ClassTokenTransformer(nn.Module):
    """Patch embedding, positions and layers of a transformers ViT or DeiT, with K class tokens in front.

    Every class token starts as the pretrained CLS token at the CLS position. DeiT's distillation token, the final layer
    norm and the pooler are dropped. Shapes: T = K + h * w tokens, D channels.

    Args:
        model: A transformers ``ViTModel`` or ``DeiTModel``.
        num_classes: K.
        interpolation: How position embeddings are resized to h x w patches: "exact" to that size; "offset", as in the
            published WeakTr, by the factors (h + 0.1) / rows and (w + 0.1) / columns, unless the image is square and
            has the pretrained number of patches.
        leftover: How sides are treated that are not a multiple of the patch: "resize" scales the image to the nearest
            multiple, so that the map covers all of it; "drop", as in the published WeakTr, cuts off the last rows and
            columns (stretching the map to the image's size then shifts it).

    Raises:
        ModelError: It is another kind of model.
    """

    def __init__(
        self,
        model: Any,
        num_classes: int,
        interpolation: PositionInterpolation = "exact",
        leftover: Leftover = "resize",
    ) -> None:
        super().__init__()
        kind = model.config.model_type
        if kind not in ("vit", "deit"):
            raise ModelError(
                f"mask_generator.backbone: this is a {kind} model, but weaktr needs a ViT or DeiT checkpoint; "
                "give another backbone, or set mask_generator.name to cam"
            )
        if not hasattr(model, "layers"):
            raise ModelError(
                f"transformers {version('transformers')}: its ViT has no attribute layers; install 5.24 or later"
            )
        self.interpolation, self.leftover = interpolation, leftover
        self.layers: nn.ModuleList = model.layers
        self.patch_embeddings = model.embeddings.patch_embeddings
        self.patch_size = _pair(model.config.patch_size)
        height, width = _pair(model.config.image_size)
        self.grid = (height // self.patch_size[0], width // self.patch_size[1])
        """Rows and columns of patches in pretraining, which the position embeddings belong to."""
        positions = model.embeddings.position_embeddings.detach()[0]  # [1 or 2 + h * w, D]
        self.class_tokens = nn.Parameter(model.embeddings.cls_token.detach()[0].repeat(num_classes, 1))
        self.class_positions = nn.Parameter(positions[:1].repeat(num_classes, 1))
        self.patch_positions = nn.Parameter(positions[-self.grid[0] * self.grid[1] :].clone())

    @property
    def attentions(self) -> list[Any]:
        """The attention module of each layer."""
        return [layer.attention for layer in self.layers]

    @property
    def heads(self) -> int:
        """Number of attention heads in a layer."""
        return int(self.attentions[0].num_attention_heads)

    @property
    def width(self) -> int:
        """Number of channels D."""
        return int(self.class_tokens.shape[1])

    def embed(self, pixels: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Turn normalized pixels [B, 3, H, W] into tokens [B, K + h * w, D], class tokens first, and the grid (h, w).

        Raises:
            ValueError: With leftover "drop", the image is smaller than a patch.
        """
        height, width = pixels.shape[-2:]
        pixels = self._fit_to_patches(pixels)
        grid = (pixels.shape[-2] // self.patch_size[0], pixels.shape[-1] // self.patch_size[1])
        patches = self.patch_embeddings(pixels) + self._positions(grid, is_square=height == width)
        classes = (self.class_tokens + self.class_positions).expand(len(pixels), -1, -1)
        return torch.cat([classes.to(patches.dtype), patches], dim=1), grid

    def _fit_to_patches(self, pixels: Tensor) -> Tensor:
        sides = tuple(zip(pixels.shape[-2:], self.patch_size, strict=True))
        if all(side % patch == 0 for side, patch in sides):
            return pixels
        if self.leftover == "resize":
            return resize_to_whole_patches(pixels, self.patch_size)[0]
        height, width = (side // patch * patch for side, patch in sides)
        if not height or not width:
            raise ValueError(
                f"pixels: an image of {tuple(pixels.shape[-2:])} pixels is smaller than a patch of {self.patch_size}; "
                "enlarge it, or use leftover resize"
            )
        return pixels[..., :height, :width]

    def _positions(self, grid: tuple[int, int], is_square: bool) -> Tensor:
        """Resize the position embeddings [h * w, D] to a grid of patches."""
        if grid == self.grid and (self.interpolation == "exact" or is_square):
            return self.patch_positions
        stored = self.patch_positions.unflatten(0, self.grid).permute(2, 0, 1)[None]  # [1, D, rows, columns]
        if self.interpolation == "exact":
            resized = F.interpolate(stored, grid, mode="bicubic", align_corners=False)
        else:
            factors = [(new + OFFSET) / old for new, old in zip(grid, self.grid, strict=True)]
            resized = F.interpolate(stored, scale_factor=factors, mode="bicubic", align_corners=False)
        return resized[0].flatten(1).T


def run_layer(layer: Any, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Run one pre-norm layer of a transformers ViT or DeiT.

    Returns:
        Three tensors [B, T, D]: the attention's input after the layer norm, its output before the residual sum, and the
        layer's output.
    """
    normed = layer.layernorm_before(hidden)
    output, _ = layer.attention(normed)
    hidden = hidden + layer.dropout(output)
    return normed, output, hidden + layer.dropout(layer.mlp(layer.layernorm_after(hidden)))


def _pair(size: int | Iterable[int]) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    height, width = size
    return height, width
