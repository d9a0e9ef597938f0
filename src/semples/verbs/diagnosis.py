"""Checks what a run needs on this machine: device, packages, weights, data and disk."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import torch

from semples.config import Config
from semples.data.images import image_size
from semples.data.scenes.settings import ScenesConfig
from semples.data.validation import BadImages
from semples.errors import ConfigError, SemplesError
from semples.records import Dataset
from semples.rundir.layout import RunDirectory
from semples.runtime.environment import package_versions
from semples.runtime.setup import read_dataset
from semples.training.devices import is_on_cpu, require_device
from semples.verbs.findings import Finding
from semples.verbs.model_checks import check_models

_GIGABYTE = 2**30


def doctor(config: Config | None = None, out: Path | str = "runs") -> list[Finding]:
    """Check what a run with this config needs; nothing is downloaded, built or written.

    The network is used only if the config names a model of the hub that is not in its cache, for a few seconds.

    Args:
        config: Settings of the run; the demo's if None.
        out: Where the run would write.

    Returns:
        Findings in the order: machine, packages, extras, weights, data, disk.
    """
    config = config or Config()
    return [
        *_machine(config),
        Finding("packages", "ok", ", ".join(f"{name} {version}" for name, version in package_versions().items())),
        *_extras(),
        *check_models(config),
        *_data_and_disk(config, Path(out)),
    ]


def _machine(config: Config) -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}")
    yield _device(config.device)
    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    idle = threads < cores // 2
    advice = f"set OMP_NUM_THREADS={cores} to use more of them" if idle else ""
    yield Finding("threads", "note" if idle else "ok", f"{threads} for {cores} cores", advice)


def _device(wanted: str) -> Finding:
    try:
        require_device(wanted)
    except ConfigError as error:
        found, _, advice = str(error).partition(": ")
        return Finding("device", "problem", found, advice)
    if wanted.startswith("cuda") or (wanted == "auto" and not is_on_cpu(wanted)):
        properties = torch.cuda.get_device_properties(wanted if ":" in wanted else 0)
        bf16 = "with" if torch.cuda.is_bf16_supported() else "without"
        return Finding("device", "ok", f"{properties.name}, {properties.total_memory / _GIGABYTE:.0f} GB, {bf16} bf16")
    if is_on_cpu(wanted):
        advice = "full-size photographs need a GPU; the demo and small data sets do not"
        return Finding("device", "note", "cpu", advice)
    return Finding("device", "ok", wanted)


def _extras() -> Iterator[Finding]:
    """Look for the packages of the optional extras listed in this package's metadata."""
    for requirement in metadata.requires("semples") or ():
        match = re.match(r"""([\w.-]+).*extra == ['"](\w+)['"]""", requirement)
        if match is None or match[2] == "dev":
            continue
        package, extra = match.groups()
        try:
            yield Finding(f"extra {extra}", "ok", f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            yield Finding(f"extra {extra}", "note", f"{package} is not installed", f"pip install 'semples[{extra}]'")


def _data_and_disk(config: Config, out: Path) -> Iterator[Finding]:
    if isinstance(config.data, ScenesConfig):
        count, size = config.data.train_size, config.data.image_size
        yield Finding("data", "ok", f"{count} training and {config.data.val_size} held-out scenes, to be rendered")
        pixels = [(size * size, 2)] * count
    else:
        bad = BadImages()
        try:
            dataset = read_dataset(
                config, RunDirectory(out), bad.size_of if config.data.skip_bad_images else image_size
            )
        except SemplesError as error:
            yield Finding("data", "problem", str(error), "see docs/own-data.md")
            return
        yield _data(dataset)
        if bad.reasons:
            found = f"{len(bad.reasons)} would be skipped: {next(iter(bad.reasons.values()))}"
            yield Finding("bad images", "note", found, "download or save them again to include them")
        pixels = [(sample.size[0] * sample.size[1], len(sample.tags)) for sample in dataset.train]
    yield _disk(out, run_bytes(pixels, config.guidance.enabled))


def _data(dataset: Dataset) -> Finding:
    found = f"{len(dataset.train)} training and {len(dataset.val)} held-out images of {len(dataset.catalogue)} classes"
    if any(sample.mask_path for sample in (*dataset.train, *dataset.val)):
        return Finding("data", "ok", f"{found}, with masks to score against")
    return Finding("data", "ok", f"{found}, without masks: there will be no scores")


def run_bytes(images: Sequence[tuple[int, int]], guided: bool) -> int:
    """Estimate the bytes a run writes besides its models: CAMs (one byte per pixel, class and stage) and masks.

    Args:
        images: Pixels and number of classes of each training image.
        guided: Whether stages 1 to 3 run; all of them except stage 2 write CAMs.
    """
    stages = 3 if guided else 1
    return sum(pixels * (stages * classes + 1) for pixels, classes in images)


def _disk(out: Path, needed: int) -> Finding:
    folder = next(path for path in (out.absolute(), *out.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(folder).free
    need = f"about {needed / _GIGABYTE:.1f} GB" if needed > 0.1 * _GIGABYTE else "less than 0.1 GB"
    found = f"{free / _GIGABYTE:.1f} GB free in {folder}, {need} needed besides the models"
    if free < needed:
        return Finding("disk", "problem", found, "free some space, or write elsewhere with --out")
    return Finding("disk", "ok", found)
