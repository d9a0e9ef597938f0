"""Make the ResNet inside `assets/segmentation` from object labels alone.

    python tools/train_backbones.py resnet --out runs/backbone

`tools/make_segmentation.py` puts it into the bundled segmentation network.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import ResNetConfig, ResNetModel, SegformerImageProcessor

from corpus import Captioned
from rendering import random_shift, read_or_draw
from semples.data.scenes import OBJECTS

IMAGE_SIZE = 96


def build_resnet() -> Any:
    """A ResNet of 1.3 million parameters with strides 4, 8, 16."""
    return ResNetModel(
        ResNetConfig(embedding_size=32, hidden_sizes=[48, 96, 160], depths=[2, 2, 2], layer_type="basic")
    )


BUILDERS = {"resnet": build_resnet}


class Classifier(torch.nn.Module):
    """A backbone, global average pooling and one linear layer."""

    def __init__(self, model: Any, width: int) -> None:
        super().__init__()
        self.model = model
        self.head = torch.nn.Linear(width, len(OBJECTS))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        hidden = self.model(pixel_values=pixels * 2 - 1).last_hidden_state
        return torch.as_tensor(self.head(hidden.mean(dim=(2, 3))))


def train(model: Classifier, corpus: Captioned, args: argparse.Namespace) -> None:
    """Train on image-level object labels with AdamW, warm-up and cosine."""
    rng, generator = np.random.default_rng(args.seed), torch.Generator().manual_seed(args.seed)
    labels = torch.from_numpy(corpus.objects())
    per_epoch = len(labels) // args.batch
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, args.lr, total_steps=args.epochs * per_epoch, pct_start=0.1
    )
    started = time.time()
    for epoch in range(args.epochs):
        model.train()
        running = 0.0
        for indices in np.array_split(rng.permutation(len(labels))[: per_epoch * args.batch], per_epoch):
            pixels = random_shift(torch.from_numpy(corpus.images[indices]), generator)
            loss = F.binary_cross_entropy_with_logits(model(pixels), labels[indices])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            running += loss.item() / per_epoch
        print(f"epoch {epoch + 1}/{args.epochs} loss {running:.4f} {time.time() - started:.0f} s", flush=True)


@torch.no_grad()
def balanced_accuracy(model: Classifier, held_out: Captioned) -> float:
    """Mean of sensitivity and specificity over the objects."""
    model.eval()
    pixels = torch.from_numpy(held_out.images).permute(0, 3, 1, 2)
    said = torch.cat([model(part.float() / 255) > 0 for part in pixels.split(250)]).numpy()
    truth = held_out.objects() > 0
    return float(((said & truth).sum(0) / truth.sum(0) / 2 + (~said & ~truth).sum(0) / (~truth).sum(0) / 2).mean())


def main() -> None:
    """Train one backbone, print held-out accuracy, save it as float16."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=sorted(BUILDERS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=32_000)
    parser.add_argument("--cache", type=Path, default=Path("runs/corpus"))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    corpus = read_or_draw(args.cache, args.scenes, IMAGE_SIZE, first_seed=0)
    held_out = read_or_draw(args.cache, 2_000, IMAGE_SIZE, first_seed=10_000_000)
    body = BUILDERS[args.kind]()
    model = Classifier(body, body.config.hidden_sizes[-1])
    print(f"{sum(p.numel() for p in body.parameters()):,} parameters")
    train(model, corpus, args)
    state = {name: value.half() if value.is_floating_point() else value for name, value in body.state_dict().items()}
    body.save_pretrained(args.out, state_dict=state)
    half = [0.5, 0.5, 0.5]
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    SegformerImageProcessor(size=size, image_mean=half, image_std=half).save_pretrained(args.out)
    print(json.dumps({"objects": balanced_accuracy(model, held_out)}))


if __name__ == "__main__":
    main()
