"""Loading transformers checkpoints by hub name, local folder or "bundled", with errors that say what to do."""

from __future__ import annotations

import hashlib
import json
import math
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from semples.errors import ModelError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def resolve(name: str, bundled: str) -> str:
    """Turn "bundled" into the folder of that asset, check that local folders exist, and pass hub names on.

    Raises:
        ModelError: The name looks like a path, and there is no such folder.
    """
    if name == "bundled":
        return str(resources.files("semples") / "assets" / bundled)
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"{name} has no config.json: expected a model folder in transformers format")
        return str(path)
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise ModelError(f"model folder {name} is not there: give a folder in transformers format or a hub name")
    return name


def fingerprint(source: str) -> list[tuple[str, str]]:
    """Names and SHA-256 of the files of a model folder, so that new weights under an old name are noticed.

    A single file has its own. A hub name has none: the hub's cache is read-only to us and keyed by content.
    """
    folder = Path(source)
    if folder.is_file():
        return [(folder.name, hashlib.sha256(folder.read_bytes()).hexdigest())]
    if not folder.is_dir():
        return []
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors", ".txt", ".model"))
    return [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]


def load_pretrained(auto_class: str, source: str, **options: Any) -> Any:
    """Load a model through a transformers auto class, in float32 and from safetensors only.

    Args:
        auto_class: Name of the class, for example "AutoModel".
        source: Folder or hub name, as :func:`resolve` returns it.
        options: Passed on to ``from_pretrained``.

    Raises:
        ModelError: The checkpoint cannot be found or read, or does not fit its own config.
    """
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        return getattr(transformers, auto_class).from_pretrained(
            source, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, **options
        )
    except Exception as error:  # transformers, safetensors and the hub raise dozens of types here
        raise ModelError(f"cannot load {source}: {_first_line(error)}{_way_out(source)}") from error


def build_from_config(auto_class: str, source: str, **options: Any) -> Any:
    """Build a model of random weights through a transformers auto class, in float32.

    Args:
        auto_class: Name of the class, for example "AutoModel".
        source: A model's config: a JSON file, or a folder with a config.json.
        options: Values that replace those of the config.

    Raises:
        ModelError: The config cannot be read, or is not that of such a model.
    """
    import transformers

    transformers.utils.logging.set_verbosity_error()
    try:
        config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False, **options)
        return getattr(transformers, auto_class).from_config(config, dtype=torch.float32, trust_remote_code=False)
    except Exception as error:  # transformers raises many types here
        raise ModelError(f"cannot build a model from the config {source}: {_first_line(error)}") from error


def load_tokenizer(source: str, vocabulary: int) -> Any:
    """Load a tokenizer and check that it belongs to a model with ``vocabulary`` token embeddings.

    Raises:
        ModelError: No tokenizer, or one with another vocabulary.
    """
    import transformers

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as error:
        raise ModelError(f"cannot load the tokenizer of {source}: {_first_line(error)}{_way_out(source)}") from error
    if len(tokenizer) > vocabulary or len(tokenizer) < 0.5 * vocabulary:
        raise ModelError(
            f"the tokenizer of {source} has {len(tokenizer)} tokens, but its text encoder {vocabulary}: "
            "put the tokenizer files of that very checkpoint beside the model"
        )
    return tokenizer


def image_statistics(
    source: str, default: tuple[tuple[float, ...], tuple[float, ...]] = (IMAGENET_MEAN, IMAGENET_STD)
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation (RGB, in units of [0, 1] pixels) from preprocessor_config.json.

    A checkpoint without that file gets the default: ImageNet's is what backbones without one were trained with.

    Raises:
        ModelError: The file is damaged, or holds something else.
    """
    config = _preprocessor_config(source)
    mean, std = config.get("image_mean", default[0]), config.get("image_std", default[1])
    if not (_is_colour(mean) and _is_colour(std) and min(std) > 0):
        raise ModelError(
            f"{source}: image_mean is {mean} and image_std {std}, expected three numbers each, the latter above 0: "
            "correct preprocessor_config.json"
        )
    return tuple(float(value) for value in mean), tuple(float(value) for value in std)


def _is_colour(value: Any) -> bool:
    is_list = isinstance(value, (list, tuple)) and len(value) == 3
    return is_list and all(isinstance(number, (int, float)) and math.isfinite(number) for number in value)


def image_short_side(source: str) -> int:
    """Length in pixels that preprocessor_config.json resizes the short side of images to."""
    size = _preprocessor_config(source).get("size", {})
    if isinstance(size, dict):
        size = size.get("shortest_edge") or min(size.values(), default=512)
    if not isinstance(size, int) or size < 1:
        raise ModelError(f"{source}: size is {size!r}, expected pixels: correct preprocessor_config.json")
    return size


def _preprocessor_config(source: str) -> dict[str, Any]:
    folder = Path(source)
    if folder.is_file():  # a config and nothing else
        return {}
    if folder.is_dir():
        paths = [folder / "preprocessor_config.json", folder / "processor_config.json"]
        found = next((path for path in paths if path.is_file()), None)
        return _read_preprocessor(found) if found else {}
    import transformers

    try:
        return dict(transformers.AutoImageProcessor.from_pretrained(source, trust_remote_code=False).to_dict())
    except Exception as error:
        raise ModelError(
            f"cannot load the image preprocessing of {source}: {_first_line(error)}{_way_out(source)}"
        ) from error


def _read_preprocessor(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return dict(content.get("image_processor", content))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} is damaged ({error}): put that of the checkpoint back") from error


def _way_out(source: str) -> str:
    """What to do about a checkpoint that cannot be had."""
    if Path(source).is_dir():
        return " (download that folder again, or give another)"
    from transformers.utils.hub import is_offline_mode

    if is_offline_mode():
        return " (HF_HUB_OFFLINE is set: give a local folder, or unset it once to download)"
    return " (give a local folder to do without the network)"


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
