"""Peak memory and time of WeakTr's attention fusion, compared with the plain form that stacks all attention maps.

    python benchmarks/weaktr_memory.py

DeiT-S size (12 layers, 6 heads, width 384, patch 16), random weights, 20 classes, batch 8, one thread. Uses: a forward
pass without gradients, a training step with a frozen trunk (stages 1 and 3), and with --full a training step of all
parameters (stage 0), which takes longer. The plain form keeps the maps that the attention layers compute, stacks them
and sums the gated stack. Each form runs in its own process: one warm-up, then repeats; memory is the peak above the
level before the first step. The last line is one JSON object with medians.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from provenance import provenance
from semples.models.generators.weaktr.generator import WeakTrGenerator, assemble_weaktr
from sizes import IMAGENET, deit_small

FORMS, USES = ("lean", "plain"), ("inference", "frozen step", "full step")


def build(form: str) -> WeakTrGenerator:
    """Build the generator; for the plain form, with layers that return their attention maps."""
    torch.manual_seed(0)
    generator = assemble_weaktr(deit_small(), 20, IMAGENET)
    if form == "plain":
        generator.trunk.attentions[0].config._attn_implementation = "eager"  # one config, shared by all layers
    generator(torch.rand(1, 3, 32, 32))
    return generator.eval()


def run(form: str, generator: WeakTrGenerator, pixels: Tensor, use: str) -> Tensor:
    """Run one pass or step; return the fine CAMs."""
    with torch.set_grad_enabled(use != "inference"):
        output = generator(pixels) if form == "lean" else plain_forward(generator, pixels)
        if use != "inference":
            generator.zero_grad()
            sum((logits**2).sum() for logits in output.logits.values()).backward()
    cams: Tensor = output.cams.detach()
    return cams


def plain_forward(generator: WeakTrGenerator, pixels: Tensor) -> Any:
    """Run a forward pass that stacks the attention maps of all layers instead of using the lean sum."""
    maps: list[Tensor] = []
    hooks = [a.register_forward_hook(lambda _, __, result: maps.append(result[1])) for a in generator.trunk.attentions]

    def stacked_sum(_: list[Any], __: list[Tensor], gates: Tensor) -> Tensor:
        stacked = torch.stack(maps, dim=2).flatten(1, 2)  # [B, N, T, T], head by head
        return (stacked * gates[..., None, None]).sum(1) / gates.shape[1]

    try:
        with patch("semples.models.generators.weaktr.generator.gated_attention_sum", stacked_sum):
            return generator(pixels)
    finally:
        for hook in hooks:
            hook.remove()


def peak_mb() -> float:
    """Return the largest resident memory of this process so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident_mb() -> float:
    """Return the resident memory of this process now, in megabytes (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def measure(form: str, use: str, image_size: int, batch: int, repeats: int) -> dict[str, Any]:
    """Measure one form in this process."""
    torch.set_num_threads(1)
    generator, pixels = build(form), torch.rand(batch, 3, image_size, image_size)
    if use == "frozen step":
        generator.freeze_trunk()
    before, seconds = resident_mb(), []
    for _ in range(1 + repeats):
        started = time.perf_counter()
        run(form, generator, pixels, use)
        seconds.append(time.perf_counter() - started)
    timed = seconds[1:]
    spread = [round(min(timed), 3), round(max(timed), 3)]
    return {"peak_mb": round(peak_mb() - before), "seconds": round(statistics.median(timed), 3), "range": spread}


def in_own_process(form: str, use: str, args: argparse.Namespace) -> dict[str, Any]:
    """Run :func:`measure` in a new process."""
    sizes = ["--image_size", str(args.image_size), "--batch", str(args.batch), "--repeats", str(args.repeats)]
    command = [sys.executable, __file__, "--measure", form, use, *sizes]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, Any] = json.loads(answer)
    return result


def largest_difference(image_size: int) -> float:
    """Return the largest difference of the two forms' CAMs on one image, as a share of the largest CAM."""
    pixels = torch.rand(1, 3, image_size, image_size)
    lean, plain = (run(form, build(form), pixels, "inference") for form in FORMS)
    return float((lean - plain).abs().max() / lean.abs().max())


def main() -> None:
    """Measure all uses; print a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--full", action="store_true", help="measure stage 0 too")
    parser.add_argument("--measure", nargs=2, metavar=("FORM", "USE"), help="one form in this process, as JSON")
    args = parser.parse_args()
    if args.measure:
        form, use = args.measure
        print(json.dumps(measure(form, use, args.image_size, args.batch, args.repeats)))
        return
    torch.set_num_threads(1)
    difference = largest_difference(args.image_size)
    print(f"largest difference of the CAMs: {difference:.1e} of the largest")
    results: dict[str, Any] = {}
    for use in USES if args.full else USES[:2]:
        results[use] = {form: in_own_process(form, use, args) for form in FORMS}
        for form, result in results[use].items():
            print(f"{use:12} {form:6} {result['peak_mb']:5} MB {result['seconds']:7.3f} s")
    setting = {"image_size": args.image_size, "batch": args.batch, "repeats": args.repeats, "threads": 1}
    print(json.dumps({**provenance(), **setting, "difference": difference, "results": results}))


if __name__ == "__main__":
    main()
