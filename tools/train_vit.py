"""Train `assets/vit`: a tiny ViT that learns the features of the bundled image encoder, and the words of the captions.

    python tools/train_vit.py --out src/semples/assets/vit
    python tools/train_vit.py --out src/semples/assets/vit --start src/semples/assets/vit    # resumes from there

Its patch tokens are on the same grid as the feature map of the bundled ALIGN's image encoder (8 pixels), so that every
token has its own target: from yes-or-no questions, a ViT of this size learns hardly anything in this time. The targets
are the teacher's features, which contexts dominate, and the match of each feature with each word, in which all words
count the same. The class token predicts which objects and contexts the caption names. No mask is read.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import ViTConfig, ViTImageProcessor, ViTModel

from corpus import CONTEXT, OBJECT, Captioned
from pretraining import balanced_accuracy, build_parser, optimize, read_scenes, save_model
from rendering import as_pixels, random_shift, resize
from semples.data.scenes import CONTEXTS, OBJECTS
from semples.models.vision_language.loading import load_vision_language_model
from semples.models.vision_language.model import VisionLanguageModel

IMAGE_SIZE, SMALL_SIZE, PATCH_SIZE = 96, 64, 8
WORDS = (*OBJECTS, *CONTEXTS)


def build_vit() -> ViTModel:
    """Build a ViT of 1.0 million parameters for 96-pixel images, with sinusoidal initial position embeddings."""
    config = ViTConfig(
        image_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
        hidden_size=128,
        num_hidden_layers=6,
        num_attention_heads=4,
        intermediate_size=384,
    )
    vit = ViTModel(config, add_pooling_layer=False)
    with torch.no_grad():
        vit.embeddings.position_embeddings[0, 1:] = sinusoids(IMAGE_SIZE // PATCH_SIZE, config.hidden_size)
    return vit


def sinusoids(side: int, width: int) -> Tensor:
    """Return sines and cosines [side * side, width] of row and column, at wavelengths from 2 to 4 * side tokens."""
    frequencies = 2 * math.pi / torch.logspace(math.log2(2), math.log2(4 * side), width // 4, base=2)
    angles = torch.arange(side)[:, None] * frequencies
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)
    rows = waves[:, None].expand(-1, side, -1)
    return 0.2 * torch.cat([rows, rows.transpose(0, 1)], dim=2).flatten(0, 1)


class Student(nn.Module):
    """A ViT with two linear layers, from the class token to words and from patch tokens to the teacher's targets."""

    def __init__(self, vit: ViTModel, targets: int) -> None:
        super().__init__()
        self.vit = vit
        self.words = nn.Linear(vit.config.hidden_size, len(WORDS))
        self.targets = nn.Linear(vit.config.hidden_size, targets)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return word logits [B, words] and predicted targets [B, hw, channels] of pixels [B, 3, H, W] in [0, 1]."""
        hidden = self.vit(pixel_values=pixels * 2 - 1, interpolate_pos_encoding=True).last_hidden_state
        return self.words(hidden[:, 0]), self.targets(hidden[:, 1:])


class Teacher(nn.Module):
    """The bundled model's feature map and its match with each word, standardized over some scenes."""

    mean: Tensor
    std: Tensor
    texts: Tensor

    def __init__(self, model: VisionLanguageModel, scenes: Tensor) -> None:
        super().__init__()
        self.model = model
        with torch.no_grad():
            self.register_buffer("texts", model.encode_classes(list(WORDS)))
            tokens = self._tokens(scenes)
        self.register_buffer("mean", tokens.mean(dim=(0, 1)))
        self.register_buffer("std", tokens.std(dim=(0, 1)))

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """Return targets [B, hw, channels + words] of pixels [B, 3, H, W] in [0, 1]."""
        return (self._tokens(pixels) - self.mean) / self.std

    def _tokens(self, pixels: Tensor) -> Tensor:
        normalized = self.model.normalize_pixels(pixels)
        features: Tensor = self.model.model.vision_model(pixel_values=normalized).last_hidden_state
        tokens = features.flatten(2).transpose(1, 2)
        return torch.cat([tokens, F.normalize(tokens, dim=-1) @ self.texts.T], dim=-1)


def named_words(scenes: Captioned) -> NDArray[np.float32]:
    """Return which objects and contexts the captions name: [N, objects + contexts] in {0, 1}."""
    return np.concatenate([scenes.labels(OBJECT), scenes.labels(CONTEXT)], axis=1)


@torch.no_grad()
def judge(student: Student, teacher: Teacher, scenes: Captioned, size: int) -> dict[str, float]:
    """Return the class token's balanced accuracy, and the share of the teacher's variance that patch tokens explain."""
    student.eval()
    answers, unexplained = [], []
    for start in range(0, len(scenes.images), 100):
        pixels = resize(as_pixels(scenes.images[start : start + 100]), size)
        logits, predicted = student(pixels)
        answers.append(logits > 0)
        target = teacher(pixels)
        unexplained.append(F.mse_loss(predicted, target).item() / target.var().item())
    student.train()
    per_word = balanced_accuracy(torch.cat(answers).numpy(), named_words(scenes) > 0)
    return {
        "size": size,
        "objects": float(per_word[: len(OBJECTS)].mean()),
        "contexts": float(per_word[len(OBJECTS) :].mean()),
        "explained": 1 - float(np.mean(unexplained)),
    }


def train(student: Student, teacher: Teacher, corpus: Captioned, held_out: Captioned, args: argparse.Namespace) -> None:
    """Train on small images, on which the teacher is best and both are twice as fast, and some of full size."""
    generator = torch.Generator().manual_seed(args.seed)
    words = torch.from_numpy(named_words(corpus))
    checked = Captioned(held_out.images[:300], held_out.placements[:300], held_out.style[:300])

    def compute_loss(indices: NDArray[np.int64], _: float) -> Tensor:
        size = IMAGE_SIZE if torch.rand((), generator=generator) < args.full_size_share else SMALL_SIZE
        pixels = resize(random_shift(corpus.images[indices], generator), size)
        logits, predicted = student(pixels)
        word_loss = F.binary_cross_entropy_with_logits(logits, words[indices])
        errors = (predicted - teacher(pixels)).square().mean((0, 1))  # [channels + words]
        loss: Tensor = errors[: -len(WORDS)].mean() + errors[-len(WORDS) :].mean() + args.word_weight * word_loss
        return loss

    def report_and_save() -> None:
        print(json.dumps(judge(student, teacher, checked, IMAGE_SIZE)), flush=True)
        save_model(student.vit, ViTImageProcessor, IMAGE_SIZE, args.out)

    student.train()
    optimize(student.parameters(), compute_loss, report_and_save, args, np.random.default_rng(args.seed), warm_up=0.05)


def main() -> None:
    """Draw the scenes and train; print the held-out accuracy and save the model after every epoch."""
    parser = build_parser(__doc__, scenes=24_000, epochs=8, batch=32, lr=1.5e-3)
    parser.add_argument("--full-size-share", type=float, default=0.1, help="share of the steps at 96 pixels")
    parser.add_argument("--start", type=Path, help="folder of a model to resume from")
    parser.add_argument("--word-weight", type=float, default=5.0, help="weight of the loss of the class token")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    corpus, held_out = read_scenes(args, IMAGE_SIZE)
    model = load_vision_language_model("bundled")
    teacher = Teacher(model, resize(as_pixels(corpus.images[:200]), SMALL_SIZE))
    vit = ViTModel.from_pretrained(args.start, add_pooling_layer=False).float() if args.start else build_vit()
    student = Student(vit, len(teacher.mean))
    print(f"{sum(p.numel() for p in student.vit.parameters()):,} parameters")
    train(student, teacher, corpus, held_out, args)
    print(json.dumps([judge(student, teacher, held_out, size) for size in (SMALL_SIZE, IMAGE_SIZE)]))


if __name__ == "__main__":
    main()
