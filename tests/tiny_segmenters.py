"""Segmentation networks of random weights, one for each way of building them in transformers."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    ConvNextConfig,
    DPTConfig,
    MobileNetV2Config,
    MobileNetV2ForSemanticSegmentation,
    ResNetConfig,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SwinConfig,
    UperNetConfig,
    UperNetForSemanticSegmentation,
)

from semples.models.segmentation import SegmentationNetwork
from tiny import MEAN, STD

SEGMENTERS: dict[str, Any] = {
    "upernet": lambda labels: UperNetForSemanticSegmentation(
        UperNetConfig(
            backbone_config=ResNetConfig(
                embedding_size=8,
                hidden_sizes=[8, 12],
                depths=[1, 1],
                layer_type="basic",
                out_features=["stage1", "stage2"],
            ),
            hidden_size=8,
            pool_scales=[1, 3],
            use_auxiliary_head=False,
            **labels,
        )
    ),
    "mobilenet_v2": lambda labels: MobileNetV2ForSemanticSegmentation(
        MobileNetV2Config(depth_multiplier=0.25, output_stride=16, **labels)
    ),
    "segformer": lambda labels: SegformerForSemanticSegmentation(
        SegformerConfig(depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 16, 16], decoder_hidden_size=16, **labels)
    ),
}
"""Kind -> how to make it with random weights for the labels of its config."""

_TOWER = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 16}
CONFIGS: dict[str, Any] = {
    "segformer": lambda: SegformerConfig(depths=[1] * 4, hidden_sizes=[8, 8, 16, 16], decoder_hidden_size=16),
    "upernet_convnext": lambda: UperNetConfig(
        backbone_config=ConvNextConfig(
            hidden_sizes=[8, 8, 12, 16], depths=[1] * 4, out_features=[f"stage{i}" for i in range(1, 5)]
        ),
        hidden_size=8,
    ),
    "upernet_swin": lambda: UperNetConfig(
        backbone_config=SwinConfig(
            embed_dim=8,
            depths=[1] * 4,
            num_heads=[1, 1, 2, 2],
            window_size=4,
            out_features=[f"stage{i}" for i in range(1, 5)],
        ),
        hidden_size=8,
    ),
    "dpt": lambda: DPTConfig(
        **_TOWER,
        image_size=32,
        patch_size=8,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
    ),
}
"""Kind -> the config of a small one, for networks that start from a config alone."""


def make_segmenter(kind: str, names: tuple[str, ...] = ("boat", "cat"), short_side: int = 48) -> SegmentationNetwork:
    """A segmentation network of random weights whose logits differ from place to place."""
    torch.manual_seed(0)
    labels = dict(enumerate(("background", *names)))
    model = SEGMENTERS[kind]({"id2label": labels, "label2id": {name: value for value, name in labels.items()}})
    network = SegmentationNetwork(model, MEAN, STD, short_side)
    for module in model.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.kaiming_normal_(module.weight)
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # statistics of the one batch below
    with torch.no_grad():
        logits = network.train()(torch.rand(4, 3, 64, 64))
    convolutions = [module for module in model.modules() if isinstance(module, torch.nn.Conv2d)]
    head = next(module for module in reversed(convolutions) if module.out_channels == len(labels))
    assert head.bias is not None
    head.bias.data -= logits.mean((0, 2, 3))
    return network.eval()
