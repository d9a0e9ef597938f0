"""Train `assets/vision_language`: a tiny ALIGN, from captions of random scenes alone.

    python tools/train_vision_language.py --out src/semples/assets/vision_language --bf16

Every (image, text) pair of a batch is a yes-or-no question (sigmoid loss) with an exact answer: a text matches an image
when the image's caption states all facts of the text. The boundary between yes and no is at a fixed cosine, so that the
cosine alone is a match score, as it is for CLIP. Training takes 20 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import AlignConfig, AlignModel, PreTrainedTokenizerFast, SiglipImageProcessor

from corpus import CONTEXT, OBJECT, WORDS, Captioned, Query, matches, random_query, word_queries
from pretraining import balanced_accuracy, build_parser, optimize, read_scenes, save_model
from rendering import as_pixels, random_shift, resize

MAX_LENGTH = 40
SCENE_SIZE = 96
IMAGE_SIZE = 64
BOUNDARY = 0.4
"""Cosine at which a text matches an image with probability 1/2. Above 0, so that few cosines are negative."""


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build a tokenizer with one token for each word of the captions; texts are enclosed in [CLS] and [SEP]."""
    special = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
    vocabulary = {token: i for i, token in enumerate((*special, ".", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        model_max_length=MAX_LENGTH,
    )


def build_model(vocabulary: int) -> AlignModel:
    """Build an ALIGN of about 1 million parameters for 64-pixel images: EfficientNet of stride 8, two-layer BERT."""
    width = 144
    text = {
        "vocab_size": vocabulary,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": MAX_LENGTH,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "pad_token_id": 0,
    }
    image = {
        "image_size": IMAGE_SIZE,
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
        "in_channels": [32, 40, 80],
        "out_channels": [40, 80, width],
        "kernel_sizes": [3, 3, 3],
        "strides": [2, 2, 1],
        "num_block_repeats": [1, 3, 4],
        "expand_ratios": [2, 3, 3],
        "depthwise_padding": [],
        "hidden_dim": width,
        "batch_norm_momentum": 0.1,
        "drop_connect_rate": 0.0,
    }
    return AlignModel(
        AlignConfig(text_config=text, vision_config=image, projection_dim=width, temperature_init_value=0.1)
    )


def fade(pixels: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Blend smooth random parts of [B, 3, H, W] into mid-gray; strength [B] is the share of the pixels that fades."""
    size = pixels.shape[-1]
    noise = torch.rand(len(pixels), 1, 5, 5, generator=generator)
    noise = F.interpolate(noise, size=(size, size), mode="bicubic", align_corners=False)
    ranked = noise.flatten(1)[:, ::61].sort(dim=1).values
    cut = ranked.gather(1, (strength[:, None] * (ranked.shape[1] - 1)).long())
    kept = ((noise - cut[:, :, None, None]) * 25 + 0.5).clamp(0, 1)
    return torch.where(strength[:, None, None, None] > 0, 0.5 + (pixels - 0.5) * kept, pixels)


def fade_strength(captioned: Captioned, indices: NDArray[np.int64], generator: torch.Generator) -> Tensor:
    """Draw the share [B] to fade: up to 0.7 if the caption does not name an object, else up to 0.3; often 0."""
    empty = torch.from_numpy((captioned.placements[indices, :, OBJECT] < 0).all(1))
    chance, share = torch.rand(2, len(indices), generator=generator)
    return torch.where(chance < torch.where(empty, 0.7, 0.3), share * torch.where(empty, 0.7, 0.3), 0.0)


def encode_texts(model: AlignModel, tokenizer: PreTrainedTokenizerFast, queries: list[Query]) -> Tensor:
    """Return L2-normalized text features [T, D]."""
    batch = tokenizer([query.text for query in queries], padding=True, return_tensors="pt")
    output = model.get_text_features(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    return F.normalize(output.pooler_output.float(), dim=-1)


def encode_images(model: AlignModel, pixels: Tensor) -> Tensor:
    """Return L2-normalized image features [B, D] of pixels [B, 3, H, W] in [0, 1]."""
    pixels = (resize(pixels, IMAGE_SIZE) * 2 - 1).contiguous(memory_format=torch.channels_last)
    return F.normalize(model.get_image_features(pixel_values=pixels).pooler_output.float(), dim=-1)


def logits(model: AlignModel, images: Tensor, texts: Tensor) -> Tensor:
    """Return the logits [B, T] of the yes-or-no questions."""
    answers: Tensor = (images @ texts.T - BOUNDARY) / model.temperature
    return answers


@torch.no_grad()
def judge(model: AlignModel, tokenizer: PreTrainedTokenizerFast, held_out: Captioned) -> dict[str, float]:
    """Return the balanced accuracy of "a photo of WORD.", averaged over groups of words."""
    model.eval()
    queries = word_queries()
    parts = np.array_split(held_out.images, len(held_out.images) // 250)
    images = torch.cat([encode_images(model, as_pixels(part)) for part in parts])
    answers = (logits(model, images, encode_texts(model, tokenizer, queries)) > 0).numpy()
    model.train()
    per_word = balanced_accuracy(answers, matches(held_out, np.arange(len(held_out.images)), queries))
    objects = [i for i, query in enumerate(queries) if query.placements[0, OBJECT] >= 0]
    contexts = [i for i, query in enumerate(queries) if query.placements[0, CONTEXT] >= 0]
    return {
        "objects": float(per_word[objects].mean()),
        "contexts": float(per_word[contexts].mean()),
        "all words": float(per_word.mean()),
    }


def train(
    model: AlignModel,
    tokenizer: PreTrainedTokenizerFast,
    corpus: Captioned,
    held_out: Captioned,
    args: argparse.Namespace,
) -> None:
    """Train on questions about every word, and about some of the facts of each image."""
    rng, generator = np.random.default_rng(args.seed), torch.Generator().manual_seed(args.seed)
    words = word_queries()
    model.to(memory_format=torch.channels_last)

    def compute_loss(indices: NDArray[np.int64], _: float) -> Tensor:
        pixels = random_shift(corpus.images[indices], generator)
        pixels = fade(pixels, fade_strength(corpus, indices, generator), generator)
        queries = [*words, *(random_query(rng, corpus.placements[i]) for i in indices[: args.batch // 3])]
        truth = torch.from_numpy(matches(corpus, indices, queries)).float()
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            images, texts = encode_images(model, pixels), encode_texts(model, tokenizer, queries)
        answers = logits(model, images, texts)
        return F.binary_cross_entropy_with_logits(answers, truth, reduction="sum") / len(indices)

    def report_and_save() -> None:
        print(json.dumps(judge(model, tokenizer, held_out)), flush=True)
        save_model(model, SiglipImageProcessor, IMAGE_SIZE, args.out)
        tokenizer.save_pretrained(args.out)

    model.train()
    optimize(model.parameters(), compute_loss, report_and_save, args, rng, betas=(0.9, 0.98), warm_up=0.05)


def main() -> None:
    """Draw the scenes and train; print the held-out accuracy and save the model after every epoch."""
    parser = build_parser(__doc__, scenes=64_000, epochs=10, batch=128, lr=2e-3)
    parser.add_argument("--bf16", action="store_true", help="train in bfloat16, for processors that are faster in it")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    corpus, held_out = read_scenes(args, SCENE_SIZE)
    tokenizer = build_tokenizer()
    model = build_model(len(tokenizer))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(word_queries())} words that state a fact")
    train(model, tokenizer, corpus, held_out, args)


if __name__ == "__main__":
    main()
