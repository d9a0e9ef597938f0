"""Devices, precision, seeds and memory of one process."""

from __future__ import annotations

import resource
import sys

import numpy as np
import torch
from accelerate import Accelerator

from semples.errors import ConfigError

_ONE_DEVICE = "a process has one device and one precision; start another process for another"


def make_accelerator(device: str, precision: str) -> Accelerator:
    """Resolve "auto" settings: the first CUDA GPU if there is one, and bf16 where the GPU supports it.

    Args:
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", "fp32" or "bf16".

    Raises:
        ConfigError: This machine has no such device, or this process already uses another device or precision.
    """
    require_device(device)
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)
    on_cpu = is_on_cpu(device)
    if precision == "auto":
        has_bf16 = not on_cpu and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        precision = "bf16" if has_bf16 else "fp32"
    try:
        accelerator = Accelerator(cpu=on_cpu, mixed_precision="no" if precision == "fp32" else precision)
    except ValueError as error:  # accelerate keeps one state for the whole process
        raise ConfigError(f"device {device} with precision {precision}: {_ONE_DEVICE}") from error
    if on_cpu != (accelerator.device.type == "cpu"):
        raise ConfigError(f"device {device}, where {accelerator.device} is in use: {_ONE_DEVICE}")
    return accelerator


def is_on_cpu(device: str) -> bool:
    """Whether a device setting selects the CPU."""
    return device == "cpu" or (device == "auto" and not torch.cuda.is_available())


def require_device(device: str) -> None:
    """Raise ConfigError if this machine has no such device."""
    kind, _, number = device.partition(":")
    available = {"auto": 1, "cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if not (number.isdecimal() or device == kind) or int(number or 0) >= available.get(kind, 0):
        known = ", ".join(name for name, count in available.items() if count)
        raise ConfigError(f'device is "{device}", which is not there: set device to one of {known}')


def set_seed(seed: int) -> None:
    """Seed torch and numpy; each stage calls this with its own seed, so that it can run alone."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, in megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
