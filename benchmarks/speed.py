"""Time and memory of the package, compared with the straightforward form of the same computation (naive.py).

    python benchmarks/speed.py --sizes real --part all --classes 20

Parts: a training step of stages 1 (match) and 3 (refine), features of the backgrounds of 128 pairs (backgrounds: once
per run in the package, in every epoch in the naive form), an epoch of stage 2 over those pairs (prompts), and
multi-scale inference of 8 images, or of 2 large ones, batched as in the stages; "each" measures single optimizations.
The two forms start from equal weights and take turns in one process. A first turn warms up, and its results are
compared: losses, gradients and CAMs. Memory is the peak of each form in its own process, above the level with its
models loaded. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from naive import VisionLanguage, Weights, background_features, build_naive_generator, guided_loss, prompts_loss
from naive import multiscale_cams as naive_multiscale_cams
from optimizations import OPTIMIZATIONS, Results, Work
from provenance import provenance
from semples.inference.batches import size_batches
from semples.inference.cams import tagged_cams
from semples.method.losses import MatchScore
from semples.method.masks import masked_regions, positive_pairs, soft_masks
from semples.models.prompt_bank import PromptBank
from semples.records import Sample
from semples.runtime.regions import PROMPT_EPS, CachedRegions
from semples.stages.guided import GuidedStep, with_pairs
from semples.stages.prompt_learning import PromptStep
from semples.training.devices import make_accelerator
from sizes import Sizes, build_generator, build_vision_language, make_batch, smooth

PARTS = ("match", "refine", "backgrounds", "prompts", "inference")


def build(form: str, part: str, sizes: Sizes) -> Work:
    """Build one form of one part, with weights and data that depend only on the sizes."""
    if part in OPTIMIZATIONS:
        return OPTIMIZATIONS[part](sizes, form)
    part, _, photograph = part.partition(" ")
    if part == "inference":
        height, width = map(int, photograph.split("x"))
        return (naive_inference if form == "naive" else inference)(sizes, (height, width))
    builders = {
        ("match", "naive"): naive_guided,
        ("refine", "naive"): naive_guided,
        ("backgrounds", "naive"): naive_backgrounds,
        ("prompts", "naive"): naive_prompts,
        ("match", "package"): guided,
        ("refine", "package"): guided,
        ("backgrounds", "package"): backgrounds,
        ("prompts", "package"): prompts,
    }
    return builders[part, form](sizes, part)


def guided(sizes: Sizes, part: str) -> Work:
    """Build a training step of stage 1 or 3."""
    model, generator, images = build_vision_language(sizes), build_generator(sizes), make_batch(sizes)
    weights = Weights()
    batch = with_pairs([{key: values[i] for key, values in images.items()} for i in range(sizes.images)])
    with torch.no_grad():
        texts = model.encode_classes(list(sizes.names))
        suppressed = model.encode_prompts(start_vectors(sizes, model.prompt_width)) if part == "refine" else None
    step = GuidedStep(
        model, MatchScore(), texts, weights.background, generator.divide_by_peak, suppressed, weights.suppress
    )

    def loss() -> Tensor:
        return torch.stack(list(step(generator, batch).parts.values())).sum()

    return training_step(loss, generator.head_parameters(), sizes)


def naive_guided(sizes: Sizes, part: str) -> Work:
    """Build the straightforward form of the same."""
    model, generator, batch = VisionLanguage(sizes), build_naive_generator(sizes), make_batch(sizes)
    width = model.model.config.text_config.hidden_size
    vectors = start_vectors(sizes, width) if part == "refine" else None

    def loss() -> Tensor:
        model.model.zero_grad()
        return guided_loss(model, generator, sizes.names, batch, Weights(), vectors)

    return training_step(loss, generator.head_parameters())


def backgrounds(sizes: Sizes, _: str = "") -> Work:
    """Build the embedding of all background regions, which stage 2 does once."""
    model, generator, batch = build_vision_language(sizes), build_generator(sizes).eval(), prompts_batch(sizes)
    size = (sizes.side, sizes.side)

    @torch.no_grad()
    def work() -> Results:
        features = []
        for pixels, labels in zip(batch["pixels"].split(32), batch["labels"].split(32), strict=True):
            image_index, class_index = positive_pairs(labels)
            with autocast(sizes):
                cams = generator(pixels, labels).cams
                masks = soft_masks(cams, image_index, class_index, size, PROMPT_EPS, generator.divide_by_peak)
                regions = masked_regions(pixels, masks, image_index, model.fill)[1]
                features.append(model.encode_images(regions).float())
        return {"features": torch.cat(features)}

    return work


def naive_backgrounds(sizes: Sizes, _: str) -> Work:
    """Build the straightforward form of the same."""
    model, generator, batch = VisionLanguage(sizes), build_naive_generator(sizes), prompts_batch(sizes)

    @torch.no_grad()
    def work() -> Results:
        return {"features": torch.stack([feature for _, feature in background_features(model, generator, batch)])}

    return work


def prompts(sizes: Sizes, _: str) -> Work:
    """Build an epoch of stage 2 over cached features, which are computed here, once."""
    model, classes = build_vision_language(sizes), positive_pairs(prompts_batch(sizes)["labels"])[1]
    with torch.no_grad():
        texts = model.encode_classes(list(sizes.names))
    cached = CachedRegions(backgrounds(sizes)()["features"][None], classes, [str(i) for i in range(len(classes))])
    bank = PromptBank(sizes.classes, sizes.prompt_length, model.prompt_width)
    bank.vectors.data = start_vectors(sizes, model.prompt_width)
    step = PromptStep(model.encode_prompts, MatchScore, texts, Weights().text)
    loader = torch.utils.data.DataLoader(cached, batch_size=sizes.pairs)

    def loss() -> Tensor:
        (batch,) = loader
        return torch.stack(list(step(bank, batch).parts.values())).sum()

    return training_step(loss, list(bank.parameters()), sizes)


def naive_prompts(sizes: Sizes, _: str) -> Work:
    """Build the straightforward form of the same: every epoch computes and encodes every background."""
    model, generator, batch = VisionLanguage(sizes), build_naive_generator(sizes), prompts_batch(sizes)
    vectors = nn.Parameter(start_vectors(sizes, model.model.config.text_config.hidden_size))

    def loss() -> Tensor:
        model.model.zero_grad()
        return prompts_loss(model, generator, sizes.names, batch, Weights(), vectors)

    return training_step(loss, [vectors])


def inference(sizes: Sizes, size: tuple[int, int]) -> Work:
    """Build the computation of the CAMs of images of one size, batched as in the stages."""
    generator, images = build_generator(sizes).eval(), photographs(size)
    tags = inference_tags(sizes, len(images))
    samples = [Sample(str(i), Path("none"), size, tags[i]) for i in range(len(images))]

    def work() -> Results:
        cams: list[Tensor] = []
        for batch in size_batches(samples):
            with autocast(sizes):
                batch_tags = [tags[i] for i in batch]
                cams += tagged_cams(generator, images[batch], batch_tags, sizes.classes, sizes.scales, True)
        return {"cams": torch.cat(cams)}

    return work


def naive_inference(sizes: Sizes, size: tuple[int, int]) -> Work:
    """Build the straightforward form of the same."""
    generator, images = build_naive_generator(sizes), photographs(size)
    tags = inference_tags(sizes, len(images))

    def work() -> Results:
        cams = [naive_multiscale_cams(generator, image, sizes.scales) for image in images]
        return {"cams": torch.cat([maps[list(tagged)] for maps, tagged in zip(cams, tags, strict=True)])}

    return work


def start_vectors(sizes: Sizes, width: int) -> Tensor:
    """Return initial prompt vectors [K, L, W], at the scale of word embeddings."""
    draw = torch.Generator().manual_seed(4)
    return 0.02 * torch.randn(sizes.classes, sizes.prompt_length, width, generator=draw)


def prompts_batch(sizes: Sizes) -> dict[str, Tensor]:
    """Return images with as many pairs as a batch of stage 2: half of them have one class, half two."""
    draw = torch.Generator().manual_seed(5)
    images = -(-2 * sizes.pairs // 3)
    labels = torch.zeros(images, sizes.classes)
    image_index, class_index = torch.arange(sizes.pairs) % images, torch.arange(sizes.pairs) % sizes.classes
    labels[image_index, class_index] = 1
    return {"pixels": smooth(draw, images, (sizes.side, sizes.side)), "labels": labels}


def photographs(size: tuple[int, int]) -> Tensor:
    """Return images [B, 3, H, W] for inference."""
    return smooth(torch.Generator().manual_seed(6), 8 if size[0] < 300 else 2, size)


def inference_tags(sizes: Sizes, count: int) -> list[tuple[int, ...]]:
    """Return the classes of each image of inference, one or two."""
    return [tuple(sorted({i % sizes.classes, (3 * i + 1) % sizes.classes})[: 1 + i % 2]) for i in range(count)]


def autocast(sizes: Sizes | None) -> torch.autocast:
    """Return mixed precision if the sizes ask for it, else float32."""
    return torch.autocast("cpu", torch.bfloat16, enabled=sizes is not None and sizes.precision == "bf16")


def training_step(loss: Callable[[], Tensor], parameters: list[nn.Parameter], sizes: Sizes | None = None) -> Work:
    """Build a step of AdamW on a loss, in the precision of the sizes or else in float32."""
    optimizer = torch.optim.AdamW(parameters, lr=1e-6)

    def step() -> Results:
        optimizer.zero_grad()
        with autocast(sizes):
            value = loss()
        value.backward()
        gradient = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
        optimizer.step()
        return {"loss": value.detach(), "gradient": gradient}

    return step


def compare_times(
    part: str, sizes: Sizes, repeats: int, forms: tuple[str, ...], clock: Callable[[], float]
) -> dict[str, Any]:
    """Time the forms in turns, and compare the results of the first turn."""
    works = {form: build(form, part, sizes) for form in forms}
    first = {form: work() for form, work in works.items()}
    seconds: dict[str, list[float]] = {form: [] for form in forms}
    for _ in range(repeats):
        for form, work in works.items():
            started = clock()
            work()
            seconds[form].append(clock() - started)
    figures: dict[str, Any] = {form: spread(values) for form, values in seconds.items()}
    if "naive" in forms:
        pairs = list(zip(seconds["naive"], seconds["package"], strict=True))
        figures["times_faster"] = round(figures["naive"]["seconds"] / figures["package"]["seconds"], 2)
        figures["times_faster_range"] = [round(pick(n / p for n, p in pairs), 2) for pick in (min, max)]
        figures["largest_difference"] = {
            key: float((first["naive"][key] - value).abs().max() / first["naive"][key].abs().max().clamp(min=1e-12))
            for key, value in first["package"].items()
        }
    return figures


def spread(values: list[float]) -> dict[str, Any]:
    """Return the median and the range."""
    return {"seconds": round(statistics.median(values), 4), "range": [round(min(values), 4), round(max(values), 4)]}


def measure_memory(form: str, part: str, sizes: Sizes) -> float:
    """Return the peak memory of two turns of one form in this process, in megabytes above the level before."""
    work = build(form, part, sizes)
    before = resident_mb()
    reset_peak()  # forget the peak of loading
    for _ in range(2):
        work()
    return peak_mb() - before


def resident_mb() -> float:
    """Return the resident memory of this process now, in megabytes (Linux)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize() / 2**20


def reset_peak() -> None:
    """Clear the peak of the resident memory (Linux)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_mb() -> float:
    """Return the peak of the resident memory since it was last cleared, in megabytes (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM"))


def in_own_process(arguments: list[str], *measurement: str) -> Any:
    """Run this file in a new process for one measurement, and return the JSON of its last line."""
    command = [sys.executable, __file__, *arguments, *measurement]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(answer.splitlines()[-1])


def setting(args: argparse.Namespace) -> dict[str, Any]:
    """Return the circumstances of the figures, for the JSON line."""
    return {**provenance(), **{name: getattr(args, name) for name in SETTINGS}}


SETTINGS = (
    "sizes",
    "classes",
    "vision_language",
    "generator",
    "images",
    "pairs",
    "precision",
    "threads",
    "repeats",
    "clock",
)
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", choices=("bundled", "real"), default="bundled")
    parser.add_argument("--part", choices=(*PARTS, "all", "each"), default="all")
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--vision_language", choices=("b32", "b16"), default="b32", help="CLIP ViT-B of real sizes")
    parser.add_argument("--generator", choices=("weaktr", "cam"), default="weaktr", help="DeiT-S or ResNet-50")
    parser.add_argument("--images", type=int, default=8, help="images in a step of match and refine")
    parser.add_argument("--pairs", type=int, default=128, help="pairs in an epoch of prompts")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="of the package")
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="wall", help="processor: for a busy machine")
    parser.add_argument("--naive", action=argparse.BooleanOptionalAction, default=True, help="the naive form too")
    parser.add_argument("--time", help=argparse.SUPPRESS)
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure all parts; print a table and the JSON line."""
    args = parse()
    torch.set_num_threads(args.threads)
    args.precision = str(make_accelerator("cpu", args.precision).mixed_precision).replace("no", "fp32")
    sizes = Sizes(
        args.sizes, args.classes, args.vision_language, args.generator, args.images, args.pairs, args.precision
    )
    forms = ("naive", "package") if args.naive else ("package",)
    if args.time:
        print(json.dumps(compare_times(args.time, sizes, args.repeats, forms, CLOCKS[args.clock])))
        return
    if args.memory:
        print(json.dumps(measure_memory(args.memory[0], args.memory[1], sizes)))
        return
    results = {}
    for part in expanded(args.part, sizes):
        results[part] = figures = in_own_process(sys.argv[1:], "--time", part)
        for form in forms:
            figures[form]["peak_mb"] = round(in_own_process(sys.argv[1:], "--memory", form, part))
            print(f"{part:18} {form:8} {figures[form]['seconds']:9.3f} s {figures[form]['peak_mb']:6} MB", flush=True)
        if args.naive:
            figures["memory_share"] = round(figures["package"]["peak_mb"] / max(1, figures["naive"]["peak_mb"]), 2)
            difference = ", ".join(f"{key} {value:.1e}" for key, value in figures["largest_difference"].items())
            print(
                f"{part:18} {figures['times_faster']} times faster {figures['times_faster_range']}, "
                f"memory {figures['memory_share']}, difference {difference}",
                flush=True,
            )
    print(json.dumps({**setting(args), "results": results}))


def expanded(part: str, sizes: Sizes) -> list[str]:
    """Return the requested parts; inference is one part for each size of photograph."""
    wanted = PARTS if part == "all" else (part,)
    parts = [name for name in wanted if name != "inference"]
    if part == "each":
        parts = list(OPTIMIZATIONS)
    if "inference" in wanted:
        parts += [f"inference {height}x{width}" for height, width in sizes.photographs]
    return parts


if __name__ == "__main__":
    main()
