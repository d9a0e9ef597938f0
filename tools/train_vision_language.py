"""Make `assets/vision_language`: a tiny SigLIP trained from captions of random scenes alone.

    python tools/train_vision_language.py --out src/semples/assets/vision_language

Every (image, text) pair of a batch is a yes-or-no question (sigmoid loss), and the answer is exact:
a text matches an image when the image's caption states all that the text states. The image tower also
learns to repeat the feature map of the bundled backbone. One round on two cores takes 10 to 25 minutes; the bundled
model took four, each going on from the last with --init.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedTokenizerFast, ResNetModel, SiglipConfig, SiglipImageProcessor, SiglipModel

from corpus import CONTEXT, OBJECT, WORDS, Captioned, Query, matches, random_query, word_queries
from rendering import random_shift, read_or_draw

MAX_LENGTH = 36
IMAGE_SIZE = 96


def build_tokenizer() -> PreTrainedTokenizerFast:
    """One token for each word of the captions; texts end with </s> and are padded to MAX_LENGTH."""
    vocabulary = {token: i for i, token in enumerate(("<pad>", "</s>", "<unk>", ".", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=MAX_LENGTH,
    )


def build_model(vocabulary: int) -> SiglipModel:
    """A SigLIP of about 1.2 million parameters for 96-pixel images."""
    width, heads = 128, 4
    shared = {"hidden_size": width, "intermediate_size": 320, "num_attention_heads": heads}
    config = SiglipConfig(
        text_config={
            **shared,
            "vocab_size": vocabulary,
            "num_hidden_layers": 2,
            "max_position_embeddings": MAX_LENGTH,
            "projection_size": width,
            "pad_token_id": 0,
            "bos_token_id": None,
            "eos_token_id": 1,
        },
        vision_config={**shared, "num_hidden_layers": 5, "image_size": IMAGE_SIZE, "patch_size": 12},
    )
    model = SiglipModel(config)
    torch.nn.init.constant_(model.logit_scale, math.log(10.0))
    torch.nn.init.constant_(model.logit_bias, -4.0)
    return model


def continued(folder: Path, tokenizer: PreTrainedTokenizerFast) -> SiglipModel:
    """A model trained earlier, with the words that the tokenizer knows now."""
    earlier = SiglipModel.from_pretrained(folder, dtype=torch.float32)
    known = PreTrainedTokenizerFast.from_pretrained(folder).get_vocab()
    model = build_model(len(tokenizer))
    state = earlier.state_dict()
    key = "text_model.embeddings.token_embedding.weight"
    rows = [known[word] for word in sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)]
    state[key] = state[key][rows]
    model.load_state_dict(state)
    return model


def fade(pixels: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Blend smooth random parts of [B, 3, H, W] into mid-grey; strength [B] is the share that fades."""
    size = pixels.shape[-1]
    noise = torch.rand(len(pixels), 1, 5, 5, generator=generator)
    noise = F.interpolate(noise, size=(size, size), mode="bicubic", align_corners=False)
    ranked = noise.flatten(1)[:, ::61].sort(dim=1).values
    cut = ranked.gather(1, (strength[:, None] * (ranked.shape[1] - 1)).long())
    kept = ((noise - cut[:, :, None, None]) * 25 + 0.5).clamp(0, 1)
    return torch.where(strength[:, None, None, None] > 0, 0.5 + (pixels - 0.5) * kept, pixels)


def fade_strength(captioned: Captioned, indices: np.ndarray, generator: torch.Generator) -> Tensor:
    """Share to fade: up to 0.7 where the caption names no object, up to 0.3 where it does, often none."""
    empty = torch.from_numpy((captioned.placements[indices, :, OBJECT] < 0).all(1))
    chance, share = torch.rand(2, len(indices), generator=generator)
    return torch.where(chance < torch.where(empty, 0.7, 0.3), share * torch.where(empty, 0.7, 0.3), 0.0)


def encode_texts(model: SiglipModel, tokenizer: PreTrainedTokenizerFast, queries: list[Query]) -> Tensor:
    """L2-normalised text features [T, D]."""
    batch = tokenizer([q.text for q in queries], padding="max_length", max_length=MAX_LENGTH, return_tensors="pt")
    return F.normalize(model.get_text_features(input_ids=batch["input_ids"]).pooler_output, dim=-1)


def encode_images(model: SiglipModel, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """L2-normalised image features [B, D] and patch tokens [B, T, W] of pixels in [0, 1]."""
    output = model.get_image_features(pixel_values=pixels * 2 - 1)
    return F.normalize(output.pooler_output, dim=-1), output.last_hidden_state


def distillation_loss(tokens: Tensor, project: torch.nn.Module, teacher: torch.nn.Module, pixels: Tensor) -> Tensor:
    """One minus the mean cosine of projected patch tokens [B, T, D] and the teacher's standardised features there.

    A small transformer finds small objects slowly from yes-or-no questions about whole images; the feature map of
    the bundled convolutional backbone (trained from object labels) tells it where to look.
    """
    side = math.isqrt(tokens.shape[1])
    with torch.no_grad():
        target = teacher(pixel_values=pixels * 2 - 1).last_hidden_state
        target = F.interpolate(target, size=(side, side), mode="bilinear", align_corners=False)
        target = F.batch_norm(target, None, None, training=True)
    answer = project(tokens).transpose(1, 2).unflatten(2, (side, side))
    return 1 - F.cosine_similarity(answer, target, dim=1).mean()


def logits(model: SiglipModel, images: Tensor, texts: Tensor) -> Tensor:
    """Logits [B, T] of the yes-or-no questions."""
    answers: Tensor = images @ texts.T * model.logit_scale.exp() + model.logit_bias
    return answers


@torch.no_grad()
def balanced_accuracy(model: SiglipModel, tokenizer: PreTrainedTokenizerFast, held_out: Captioned) -> dict[str, float]:
    """Mean of sensitivity and specificity for "a photo of WORD.", averaged over groups of words."""
    model.eval()
    queries = word_queries()
    pixels = torch.from_numpy(held_out.images).permute(0, 3, 1, 2)
    images = torch.cat([encode_images(model, part.float() / 255)[0] for part in pixels.split(250)])
    said_yes = (logits(model, images, encode_texts(model, tokenizer, queries)) > 0).numpy()
    truth = matches(held_out, np.arange(len(held_out.images)), queries)
    per_word = (said_yes & truth).sum(0) / truth.sum(0) / 2 + (~said_yes & ~truth).sum(0) / (~truth).sum(0) / 2
    objects = [i for i, query in enumerate(queries) if query.placements[0, OBJECT] >= 0]
    contexts = [i for i, query in enumerate(queries) if query.placements[0, CONTEXT] >= 0]
    return {
        "objects": float(per_word[objects].mean()),
        "contexts": float(per_word[contexts].mean()),
        "all words": float(per_word.mean()),
    }


def train(
    model: SiglipModel,
    tokenizer: PreTrainedTokenizerFast,
    corpus: Captioned,
    held_out: Captioned,
    args: argparse.Namespace,
) -> None:
    """Train with AdamW, warm-up and cosine; print one line for every thousandth part."""
    rng, generator = np.random.default_rng(args.seed), torch.Generator().manual_seed(args.seed)
    words = word_queries()
    teacher = ResNetModel.from_pretrained(args.teacher, dtype=torch.float32).eval()
    project = torch.nn.Linear(model.config.vision_config.hidden_size, teacher.config.hidden_sizes[-1])
    trained = [*model.parameters(), *project.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=args.lr, betas=(0.9, 0.98), weight_decay=0.05)
    steps = args.epochs * (len(corpus.images) // args.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=steps, pct_start=0.05)
    started, running = time.time(), 0.0
    model.train()
    for step in range(steps):
        if step % (len(corpus.images) // args.batch) == 0:
            order = rng.permutation(len(corpus.images))
        at = (step % (len(corpus.images) // args.batch)) * args.batch
        indices = order[at : at + args.batch]
        pixels = random_shift(torch.from_numpy(corpus.images[indices]), generator)
        pixels = fade(pixels, fade_strength(corpus, indices, generator), generator)
        queries = [*words, *(random_query(rng, corpus.placements[i]) for i in indices[: args.batch // 2])]
        truth = torch.from_numpy(matches(corpus, indices, queries)).float()
        images, tokens = encode_images(model, pixels)
        answers = logits(model, images, encode_texts(model, tokenizer, queries))
        loss = F.binary_cross_entropy_with_logits(answers, truth, reduction="sum") / len(indices)
        loss = loss + args.distillation * distillation_loss(tokens, project, teacher, pixels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        running = loss.item() if step == 0 else 0.98 * running + 0.02 * loss.item()
        if step % 100 == 99:
            print(f"step {step + 1}/{steps} loss {running:.3f} {time.time() - started:.0f} s", flush=True)
        if step % 1000 == 999:
            print(balanced_accuracy(model, tokenizer, held_out), flush=True)
            model.train()
            save(model, tokenizer, args.out)


def save(model: SiglipModel, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write the transformers folder, weights as float16."""
    state = {name: value.half() for name, value in model.state_dict().items()}
    model.save_pretrained(out, state_dict=state)
    tokenizer.save_pretrained(out)
    half = [0.5, 0.5, 0.5]
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    SiglipImageProcessor(size=size, image_mean=half, image_std=half, resample=2).save_pretrained(out)


def main() -> None:
    """Draw the corpus, train, print held-out accuracy, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--init", type=Path, help="go on from this folder instead of random weights")
    parser.add_argument("--teacher", type=Path, default=Path("src/semples/assets/backbone"))
    parser.add_argument("--distillation", type=float, default=20.0)
    parser.add_argument("--scenes", type=int, default=32_000)
    parser.add_argument("--cache", type=Path, default=Path("runs/corpus"))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    corpus = read_or_draw(args.cache, args.scenes, IMAGE_SIZE, first_seed=0)
    held_out = read_or_draw(args.cache, 2_000, IMAGE_SIZE, first_seed=10_000_000)
    tokenizer = build_tokenizer()
    model = build_model(len(tokenizer))
    if args.init is not None:
        model = continued(args.init, tokenizer)
    print(
        f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(word_queries())} words that state something"
    )
    train(model, tokenizer, corpus, held_out, args)
    save(model, tokenizer, args.out)
    print(json.dumps(balanced_accuracy(model, tokenizer, held_out)))


if __name__ == "__main__":
    main()
