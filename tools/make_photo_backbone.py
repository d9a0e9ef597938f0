"""Create `assets/photos/backbone`: an ImageNet MobileNetV2 without its classifier, from a transformers folder.

python tools/make_photo_backbone.py --source MOBILENET_FOLDER --out src/semples/assets/photos/backbone

1 x 1 convolutions are stored in float16, everything else in float32: the few weights of the 3 x 3 convolutions are
large and cancel each other, so that rounding them moves the features.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

CLASSIFIER = "classifier."
DROPPED = {
    "id2label",
    "label2id",
    "problem_type",
    "chunk_size_feed_forward",
    "is_encoder_decoder",
    "return_dict",
    "output_hidden_states",
    "output_attentions",
}
"""Entries of config.json that say nothing about a backbone."""


def stored(value: Tensor) -> Tensor:
    """Return a tensor as it is stored: 1 x 1 convolutions in float16, other numbers in float32, counters unchanged."""
    if not value.is_floating_point():
        return value
    is_pointwise = value.dim() == 4 and value.shape[2:] == (1, 1)
    return value.to(torch.float16 if is_pointwise else torch.float32).contiguous()


def backbone_config(config: dict[str, object]) -> dict[str, object]:
    """Return the config of the backbone alone: without class names, and named for the bare network."""
    kept = {key: value for key, value in config.items() if key not in DROPPED}
    return {**kept, "architectures": ["MobileNetV2Model"], "dtype": "float32"}


def main() -> None:
    """Write config, weights, preprocessing and license."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    weights = load_file(args.source / "model.safetensors")
    kept = {name: stored(value) for name, value in weights.items() if not name.startswith(CLASSIFIER)}
    save_file(kept, args.out / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((args.source / "config.json").read_text(encoding="utf-8"))
    (args.out / "config.json").write_text(json.dumps(backbone_config(config), indent=2, sort_keys=True) + "\n")
    for name in ("preprocessor_config.json", "LICENSE"):
        shutil.copyfile(args.source / name, args.out / name)


if __name__ == "__main__":
    main()
