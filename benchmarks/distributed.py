"""Loss curves of every stage: one process, several processes, and one process that computes batches in parts.

    python benchmarks/distributed.py

Small built-in scenes on the CPU (gloo), one thread per process, the same global batches in all three. The last line is
one JSON object: for each stage the mean loss of each epoch, and its largest difference from one process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from provenance import provenance

TRAININGS = ("classify", "match", "prompts", "refine", "segment")
SETTINGS = {
    "device": "cpu",
    "data.val_size": 4,
    "data.image_size": 64,
    "data.pairs": '{"boat": "water", "ball": "grass", "train": "rails"}',
    "mask_generator.image_size": 64,
    "segment.image_size": 64,
    "cams.scales": "[1.0]",
}


def run(out: Path, processes: int, accumulation: int, args: argparse.Namespace) -> dict[str, list[float]]:
    """Run the pipeline up to stage 5; return the losses by stage."""
    settings = {**SETTINGS, "data.train_size": args.images}
    for stage in TRAININGS:
        settings |= {f"{stage}.epochs": args.epochs, f"{stage}.batch_size": args.batch}
        settings[f"{stage}.accumulation"] = accumulation
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    words = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    command = [sys.executable, "-m", *(launcher if processes > 1 else ()), "semples"]
    with (out.parent / "empty.yaml").open("w") as config:
        config.write("")
    arguments = ["run", "--config", str(out.parent / "empty.yaml"), "--out", str(out), "--until", "segment", "--quiet"]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, *arguments, *words], check=True, env=one_thread, stdout=subprocess.DEVNULL)
    losses: dict[str, list[float]] = {}
    for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        losses.setdefault(json.loads(line)["stage"], []).append(json.loads(line)["loss"])
    return losses


def show(stage: str, curves: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """Print the curves of a stage side by side; return them with their largest differences from the first."""
    first = next(iter(curves.values()))[stage]
    print(f"{stage:10} epoch  " + "  ".join(f"{name:>12}" for name in curves))
    for epoch in range(len(first)):
        print(f"{'':10} {epoch + 1:5}  " + "  ".join(f"{losses[stage][epoch]:12.8f}" for losses in curves.values()))
    differences = {
        name: max(abs(a - b) for a, b in zip(losses[stage], first, strict=True)) for name, losses in curves.items()
    }
    print(f"{'':10} apart  " + "  ".join(f"{value:12.1e}" for value in differences.values()))
    return {"losses": {name: losses[stage] for name, losses in curves.items()}, "largest_difference": differences}


def main() -> None:
    """Run all three; print the curves and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=4)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kinds = {"1 process": (1, 1), f"{args.processes} processes": (args.processes, 1), "2 parts": (1, 2)}
        curves = {name: run(Path(folder) / name.replace(" ", "-"), *kind, args) for name, kind in kinds.items()}
    results = {stage: show(stage, curves) for stage in TRAININGS}
    setting = {**provenance(), "backend": "gloo", **vars(args)}
    print(json.dumps({**setting, "results": results}))


if __name__ == "__main__":
    main()
