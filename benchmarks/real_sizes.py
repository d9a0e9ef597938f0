"""Seconds and peak memory of stages 1, 2 and 3 and of multi-scale inference at real sizes, with random weights.

    python benchmarks/real_sizes.py

CLIP ViT-B/32 and WeakTr on DeiT-S, 224 px, 20 classes, a batch of 8 images with 12 positive pairs. Each use runs in its
own process: one warm-up, then repeats; memory is the peak of the process. The last line is one JSON object with median
seconds per step or, for inference (scales 1.0 and 1.2, flipped too), per image.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from provenance import provenance
from semples.inference.cams import tagged_cams
from semples.method.losses import MatchScore, prompt_loss
from semples.models.generators.weaktr.generator import WeakTrGenerator, assemble_weaktr
from semples.models.prompt_bank import PromptBank
from semples.models.vision_language.clip import ClipAdapter
from semples.models.vision_language.model import VisionLanguageModel
from semples.stages.guided import GuidedStep, with_pairs
from semples.training.devices import peak_memory_mb
from sizes import IMAGENET, deit_small

CLASSES, BATCH, SIDE, PROMPT_LENGTH, PROMPT_BATCH = 20, 8, 224, 30, 128
USES = ("match", "prompts", "refine", "inference")


def build_clip() -> VisionLanguageModel:
    """Build a CLIP ViT-B/32 with random weights and a tokenizer of single letters."""
    letters = [*map(chr, range(ord("a"), ord("z") + 1)), "."]
    names = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={name: i for i, name in enumerate(names)}, merges=[], model_max_length=77)
    return VisionLanguageModel(ClipAdapter(CLIPModel(CLIPConfig()), tokenizer), ClipAdapter.mean, ClipAdapter.std)


def build_weaktr_generator() -> WeakTrGenerator:
    """Build WeakTr on a DeiT-S with random weights, fully trained as in stage 0."""
    return assemble_weaktr(deit_small(), CLASSES, IMAGENET).train()


def build_generator() -> WeakTrGenerator:
    """Build the same with a frozen trunk, as in stages 1 and 3."""
    generator = build_weaktr_generator()
    generator.freeze_trunk()
    return generator


def make_labels() -> Tensor:
    """Return labels [8, 20] with 12 positive pairs: one class in each image, two in half of them."""
    labels = torch.zeros(BATCH, CLASSES)
    for image in range(BATCH):
        labels[image, image] = 1
        labels[image, image + BATCH] = float(image % 2)
    return labels


def build_step(use: str) -> Callable[[], Any]:
    """Build the timed work: a training step with its backward pass, or inference on one image."""
    if use == "inference":
        generator = build_generator().eval()
        all_classes = [range(CLASSES)]
        return lambda: tagged_cams(generator, torch.rand(1, 3, SIDE, SIDE), all_classes, CLASSES, [1.0, 1.2], flip=True)
    vision_language, score = build_clip(), MatchScore()
    with torch.no_grad():
        texts = vision_language.encode_classes([chr(ord("a") + k) for k in range(CLASSES)])
    if use == "prompts":
        return build_prompt_step(vision_language, score, texts)
    generator = build_generator()
    batch = with_pairs([{"pixels": torch.rand(3, SIDE, SIDE), "labels": labels} for labels in make_labels()])
    suppression = (texts.roll(1, 0), 0.05) if use == "refine" else ()
    step = GuidedStep(vision_language, score, texts, 2.4, generator.divide_by_peak, *suppression)
    return _training_step(lambda: step(generator, batch).parts, generator.head_parameters())


def build_prompt_step(vision_language: VisionLanguageModel, score: MatchScore, texts: Tensor) -> Callable[[], Any]:
    """Build a step of stage 2 on 128 cached background features."""
    bank = PromptBank(CLASSES, PROMPT_LENGTH, vision_language.prompt_width)
    classes = torch.arange(PROMPT_BATCH) % CLASSES
    backgrounds = torch.nn.functional.normalize(torch.rand(PROMPT_BATCH, texts.shape[1]), dim=-1)

    def parts() -> dict[str, Tensor]:
        encoded = vision_language.encode_prompts(bank())[classes]
        return prompt_loss(backgrounds, texts[classes], encoded, score, 0.02)

    return _training_step(parts, list(bank.parameters()))


def _training_step(parts: Callable[[], Any], parameters: list[torch.nn.Parameter]) -> Callable[[], Any]:
    optimizer = torch.optim.AdamW(parameters)

    def step() -> None:
        optimizer.zero_grad()
        torch.stack(list(parts().values())).sum().backward()
        optimizer.step()

    return step


def measure(use: str, threads: int, repeats: int) -> dict[str, Any]:
    """Measure one use in this process."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    step, seconds = build_step(use), []
    for _ in range(1 + repeats):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    timed = seconds[1:]
    return {
        "seconds": round(statistics.median(timed), 3),
        "range": [round(min(timed), 3), round(max(timed), 3)],
        "peak_mb": round(peak_memory_mb()),
    }


def main() -> None:
    """Measure all uses; print a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--measure", choices=USES, help="one use in this process, as JSON")
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure, args.threads, args.repeats)))
        return
    results = {}
    for use in USES:
        command = [sys.executable, __file__, "--measure", use, "--threads", str(args.threads)]
        answer = subprocess.run([*command, "--repeats", str(args.repeats)], check=True, capture_output=True, text=True)
        results[use] = json.loads(answer.stdout)
        print(f"{use:10} {results[use]['seconds']:8.3f} s {results[use]['peak_mb']:6} MB")
    setting = {**provenance(), "threads": args.threads, "repeats": args.repeats}
    print(json.dumps({**setting, "results": results}))


if __name__ == "__main__":
    main()
