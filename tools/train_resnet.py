"""Train the ResNet of `assets/segmentation` from object names alone.

    python tools/train_resnet.py --out runs/backbone

`tools/make_segmentation.py` builds the bundled segmentation network from it.
Training takes 6 to 15 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetModel, SegformerImageProcessor

from corpus import OBJECT, Captioned
from pretraining import balanced_accuracy, build_parser, optimize, read_scenes, save_model
from rendering import as_pixels, random_shift
from semples.data.scenes import OBJECTS

IMAGE_SIZE = 96


class Classifier(nn.Module):
    """A ResNet of 1.2 million parameters with strides 4, 8, 16, global average pooling and one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        config = ResNetConfig(embedding_size=32, hidden_sizes=[48, 96, 160], depths=[2, 2, 2], layer_type="basic")
        self.resnet = ResNetModel(config)
        self.head = nn.Linear(config.hidden_sizes[-1], len(OBJECTS))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits [B, objects] of pixels [B, 3, H, W] in [0, 1]."""
        hidden = self.resnet(pixel_values=pixels * 2 - 1).last_hidden_state
        return torch.as_tensor(self.head(hidden.mean(dim=(2, 3))))


@torch.no_grad()
def judge(model: Classifier, held_out: Captioned) -> dict[str, float]:
    """Return the balanced accuracy of "is OBJECT in this picture?", averaged over the objects."""
    model.eval()
    parts = np.array_split(held_out.images, len(held_out.images) // 250)
    answers = torch.cat([model(as_pixels(part)) > 0 for part in parts]).numpy()
    model.train()
    return {"objects": float(balanced_accuracy(answers, held_out.labels(OBJECT) > 0).mean())}


def train(model: Classifier, corpus: Captioned, held_out: Captioned, args: argparse.Namespace) -> None:
    """Train on the objects that the captions name."""
    generator = torch.Generator().manual_seed(args.seed)
    labels = torch.from_numpy(corpus.labels(OBJECT))

    def compute_loss(indices: NDArray[np.int64], _: float) -> Tensor:
        pixels = random_shift(corpus.images[indices], generator)
        return F.binary_cross_entropy_with_logits(model(pixels), labels[indices])

    def report_and_save() -> None:
        print(json.dumps(judge(model, held_out)), flush=True)
        save_model(model.resnet, SegformerImageProcessor, IMAGE_SIZE, args.out)

    optimize(model.parameters(), compute_loss, report_and_save, args, np.random.default_rng(args.seed))


def main() -> None:
    """Draw the scenes and train; print the held-out accuracy and save the model after every epoch."""
    args = build_parser(__doc__, scenes=32_000, epochs=4, batch=64, lr=1e-3).parse_args()
    torch.manual_seed(args.seed)
    corpus, held_out = read_scenes(args, IMAGE_SIZE)
    model = Classifier()
    print(f"{sum(p.numel() for p in model.resnet.parameters()):,} parameters")
    train(model, corpus, held_out, args)


if __name__ == "__main__":
    main()
