"""Create `assets/segmentation`: a UPerNet with the bundled ResNet as its backbone; every run trains a new head.

python tools/make_segmentation.py --out src/semples/assets/segmentation
"""

from __future__ import annotations

import argparse
from pathlib import Path

from transformers import (
    ResNetConfig,
    ResNetModel,
    SegformerImageProcessor,
    UperNetConfig,
    UperNetForSemanticSegmentation,
)

IMAGE_SIZE = 96


def main() -> None:
    """Save the config of the whole network and the weights of its backbone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", type=Path, default=Path("runs/backbone"))
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    config = ResNetConfig.from_pretrained(args.backbone, out_features=["stage1", "stage2", "stage3"])
    network = UperNetForSemanticSegmentation(
        UperNetConfig(backbone_config=config, hidden_size=64, pool_scales=[1, 2, 3], use_auxiliary_head=False)
    )
    weights = ResNetModel.from_pretrained(args.backbone).state_dict()
    network.save_pretrained(args.out, state_dict={f"backbone.{name}": value for name, value in weights.items()})
    half, size = [0.5, 0.5, 0.5], {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    SegformerImageProcessor(size=size, image_mean=half, image_std=half).save_pretrained(args.out)


if __name__ == "__main__":
    main()
