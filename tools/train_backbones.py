"""Make the other bundled models from object labels alone: `assets/backbone` and `assets/vit`.

    python tools/train_backbones.py resnet --out src/semples/assets/backbone
    python tools/train_backbones.py vit --out src/semples/assets/vit --tower src/semples/assets/vision_language

The ViT starts from the image tower of the bundled vision-language model, in ViT layout with a class token.
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
from transformers import (
    ResNetConfig,
    ResNetModel,
    SegformerImageProcessor,
    SiglipModel,
    ViTConfig,
    ViTModel,
)

from corpus import Captioned
from rendering import random_shift, read_or_draw
from semples.data.scenes import OBJECTS

IMAGE_SIZE = 96


def build_resnet(_: argparse.Namespace) -> Any:
    """A ResNet of 1.3 million parameters with strides 4, 8, 16."""
    return ResNetModel(
        ResNetConfig(embedding_size=32, hidden_sizes=[48, 96, 160], depths=[2, 2, 2], layer_type="basic")
    )


def build_vit(args: argparse.Namespace) -> Any:
    """The image tower of the vision-language model as a ViT with a class token."""
    tower = SiglipModel.from_pretrained(args.tower, dtype=torch.float32).vision_model
    given = tower.config
    model = ViTModel(
        ViTConfig(
            hidden_size=given.hidden_size,
            intermediate_size=given.intermediate_size,
            num_hidden_layers=given.num_hidden_layers,
            num_attention_heads=given.num_attention_heads,
            hidden_act=given.hidden_act,
            layer_norm_eps=given.layer_norm_eps,
            image_size=given.image_size,
            patch_size=given.patch_size,
        ),
        add_pooling_layer=False,
    )
    with torch.no_grad():
        model.embeddings.patch_embeddings.projection.load_state_dict(tower.embeddings.patch_embedding.state_dict())
        model.embeddings.position_embeddings[0, 1:] = tower.embeddings.position_embedding.weight
        for ours, theirs in zip(_layers(model), tower.encoder.layers, strict=True):
            _copy_layer(ours, theirs)
        model.layernorm.load_state_dict(tower.post_layernorm.state_dict())
    return model


def _layers(model: Any) -> Any:
    return model.layers if hasattr(model, "layers") else model.encoder.layer


def _copy_layer(ours: Any, theirs: Any) -> None:
    """Copy one pre-norm transformer layer by the roles of its modules."""
    names = [name for name, module in ours.named_modules() if isinstance(module, torch.nn.Linear)]
    for name in names:
        role = next(role for role, words in _ROLES.items() if any(word in name for word in words))
        source = theirs.mlp if role in ("fc1", "fc2") else theirs.self_attn
        ours.get_submodule(name).load_state_dict(getattr(source, role).state_dict())
    ours.layernorm_before.load_state_dict(theirs.layer_norm1.state_dict())
    ours.layernorm_after.load_state_dict(theirs.layer_norm2.state_dict())


_ROLES = {
    "q_proj": ("query", "q_proj"),
    "k_proj": ("key", "k_proj"),
    "v_proj": ("value", "v_proj"),
    "fc1": ("intermediate", "fc1"),
    "out_proj": ("attention.output", "out_proj", "o_proj"),
    "fc2": ("output", "fc2"),
}

BUILDERS = {"resnet": build_resnet, "vit": build_vit}


class Classifier(torch.nn.Module):
    """A backbone, global pooling (the class token for a ViT) and one linear layer."""

    def __init__(self, model: Any, width: int) -> None:
        super().__init__()
        self.model = model
        self.head = torch.nn.Linear(width, len(OBJECTS))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        hidden = self.model(pixel_values=pixels * 2 - 1).last_hidden_state
        pooled = hidden[:, 0] if hidden.dim() == 3 else hidden.mean(dim=(2, 3))
        return torch.as_tensor(self.head(pooled))


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
    parser.add_argument("--tower", type=Path, default=Path("src/semples/assets/vision_language"))
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
    body = BUILDERS[args.kind](args)
    hidden = body(pixel_values=torch.zeros(2, 3, IMAGE_SIZE, IMAGE_SIZE)).last_hidden_state
    model = Classifier(body, hidden.shape[-1] if hidden.dim() == 3 else hidden.shape[1])
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
