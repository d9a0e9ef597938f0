"""Loading transformers checkpoints by hub name, local folder or "bundled", with errors that give advice."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from semples.errors import ModelError

BUNDLED_NAMES = ("bundled", "bundled/scenes", "bundled/photos")
"""Names of bundled models; in a run, the first one stands for the one that suits its images."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class BundledModels:
    """The bundled models for one purpose.

    Attributes:
        scenes: Folder, in the assets, of the model for the built-in scenes.
        photos: Folder of the model for photographs, or None if none is bundled.
        problem: What to say if there is none: setting, problem and fix.
    """

    scenes: str
    photos: str | None
    problem: str = ""


BUNDLED_MODELS: Mapping[str, BundledModels] = {
    "vision_language": BundledModels("vision_language", "photos/vision_language"),
    "backbone": BundledModels("vision_language", "photos/backbone"),
    "vit": BundledModels(
        "vit",
        None,
        "mask_generator.backbone: no ViT for photographs is bundled; name one, such as "
        "facebook/deit-small-patch16-224 or a local folder, or bundled/scenes for that of the built-in scenes",
    ),
    "segmentation": BundledModels("segmentation", "photos/backbone"),
}
"""Purpose -> the models that "bundled" stands for."""


def resolve(name: str, purpose: str) -> str:
    """Turn "bundled" into the folder of an asset, check that local folders exist, and leave hub names as they are.

    Args:
        name: "bundled" or "bundled/scenes" for the model of the built-in scenes, "bundled/photos" for the model of
            photographs, a local folder, or a hub name.
        purpose: Purpose of the model, a key of :data:`BUNDLED_MODELS`.

    Raises:
        ModelError: The name looks like a path, and there is no such folder, or it has no config.json; or no such model
            of photographs is bundled.
    """
    assets = resources.files("semples") / "assets"
    if name in ("bundled", "bundled/scenes"):
        return str(assets / BUNDLED_MODELS[purpose].scenes)
    if name == "bundled/photos":
        bundled = BUNDLED_MODELS[purpose]
        if bundled.photos is None:
            raise ModelError(bundled.problem)
        return str(assets / bundled.photos)
    if name.startswith("bundled/"):
        raise ModelError(f"{name}: there is no such bundled model; expected one of {', '.join(BUNDLED_NAMES)}")
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"{name}: has no config.json; give a model folder in transformers format")
        return str(path)
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise ModelError(f"{name}: there is no such model folder; give a folder in transformers format or a hub name")
    return name


def fingerprint(source: str) -> list[tuple[str, str]]:
    """List the names and SHA-256 digests of a model folder's files, so that new weights under an old name are noticed.

    A single file has one entry. A hub name has none: we only read the hub's cache, which is keyed by content.
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
        raise ModelError(f"cannot load {source}: {_first_line(error)}; {_advice(source)}") from error


def build_from_config(auto_class: str, source: str, **options: Any) -> Any:
    """Build a model with random weights through a transformers auto class, in float32.

    Args:
        auto_class: Name of the class, for example "AutoModel".
        source: A model's config: a JSON file, or a folder with a config.json.
        options: Values that override the config.

    Raises:
        ModelError: The config cannot be read, or belongs to another kind of model.
    """
    import transformers

    transformers.utils.logging.set_verbosity_error()
    try:
        config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False, **options)
        return getattr(transformers, auto_class).from_config(config, dtype=torch.float32, trust_remote_code=False)
    except Exception as error:  # transformers raises many types here
        raise ModelError(
            f"cannot build a model from the config {source}: {_first_line(error)}; correct it, or give another"
        ) from error


def load_tokenizer(source: str, vocabulary: int) -> Any:
    """Load a tokenizer and check that it belongs to a model with ``vocabulary`` token embeddings.

    Raises:
        ModelError: There is no tokenizer, or its vocabulary is that of another model.
    """
    import transformers

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as error:
        raise ModelError(f"cannot load the tokenizer of {source}: {_first_line(error)}; {_advice(source)}") from error
    if len(tokenizer) > vocabulary or len(tokenizer) < 0.5 * vocabulary:
        raise ModelError(
            f"{source}: the tokenizer has {len(tokenizer)} tokens, but the text encoder {vocabulary}; "
            "put the tokenizer files of the same checkpoint into the folder"
        )
    return tokenizer


def image_statistics(
    source: str, default: tuple[tuple[float, ...], tuple[float, ...]] = (IMAGENET_MEAN, IMAGENET_STD)
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Read mean and standard deviation (RGB, for pixels in [0, 1]) from preprocessor_config.json.

    A checkpoint without that file gets the default; backbones without one were trained with ImageNet's statistics.

    Raises:
        ModelError: The file is damaged, or holds other values.
    """
    config = _preprocessor_config(source)
    mean, std = config.get("image_mean", default[0]), config.get("image_std", default[1])
    if not (_is_color(mean) and _is_color(std) and min(std) > 0):
        raise ModelError(
            f"{source}: image_mean is {mean} and image_std {std}, expected three numbers each, the latter above 0; "
            "correct preprocessor_config.json"
        )
    return tuple(float(value) for value in mean), tuple(float(value) for value in std)


def _is_color(value: Any) -> bool:
    is_list = isinstance(value, (list, tuple)) and len(value) == 3
    return is_list and all(isinstance(number, (int, float)) and math.isfinite(number) for number in value)


def image_short_side(source: str) -> int:
    """Read from preprocessor_config.json the length in pixels that the short side of images is resized to.

    Raises:
        ModelError: The file is damaged, or holds another value.
    """
    size = _preprocessor_config(source).get("size", {})
    if isinstance(size, dict):
        size = size.get("shortest_edge") or min(size.values(), default=512)
    if not isinstance(size, int) or size < 1:
        raise ModelError(f"{source}: size is {size!r}, expected a number of pixels; correct preprocessor_config.json")
    return size


def _preprocessor_config(source: str) -> dict[str, Any]:
    folder = Path(source)
    if folder.is_file():  # nothing but a config
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
            f"cannot load the image preprocessing of {source}: {_first_line(error)}; {_advice(source)}"
        ) from error


def _read_preprocessor(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return dict(content.get("image_processor", content))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path}: the file is damaged ({error}); put back the checkpoint's own file") from error


def _advice(source: str) -> str:
    """Advise on a checkpoint that cannot be loaded."""
    if Path(source).is_dir():
        return "download that folder again, or give another"
    from transformers.utils.hub import is_offline_mode

    if is_offline_mode():
        return "HF_HUB_OFFLINE is set: give a local folder, or unset it once to download"
    return "give a local folder to work without the network"


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
