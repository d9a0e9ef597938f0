"""The part of ``semples doctor`` that looks at models: bundled, in a local folder, or named as the hub has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from semples.config import Config
from semples.errors import ConfigError, SemplesError
from semples.models import segmentation
from semples.models.loading import BUNDLED_NAMES, resolve
from semples.models.vision_language import loading as vision_language
from semples.verbs.findings import Finding
from semples.verbs.hub import ask_hub, is_cached, offline_variable

_GIVE_ANOTHER = "set it to bundled, or give a local folder"


def check_models(config: Config) -> Iterator[Finding]:
    """Look for the models of a run: vision-language model, checkpoints of the mask generator, segmentation network.

    The hub is asked for names that are not in its cache, and for nothing else.
    """
    generator = config.generator
    try:
        needs_vision_language = config.guidance.enabled or generator.generator_class().needs_vision_language
        checkpoints = generator.checkpoints()
    except ConfigError as error:
        yield Finding("mask_generator.name", "problem", str(error), "correct mask_generator.name")
        needs_vision_language, checkpoints = config.guidance.enabled, ()
    if needs_vision_language:
        yield from _vision_language(config)
    for checkpoint in checkpoints:
        if checkpoint.bundled is not None:
            yield _checkpoint(checkpoint.setting, checkpoint.name, checkpoint.bundled)
            yield from _of_scenes(config, checkpoint.setting, checkpoint.name)
        elif not Path(checkpoint.name).exists():
            found = f"{checkpoint.name} does not exist"
            yield Finding(checkpoint.setting, "problem", found, f"correct {checkpoint.setting}")
    yield _segmenter(config.segmentation_model)
    yield from _of_scenes(config, "segment.model", config.segmentation_model)


def _vision_language(config: Config) -> Iterator[Finding]:
    setting, name = "vision_language.model", config.vision_language_model
    yield _checkpoint(setting, name, vision_language.BUNDLED)
    if name == "bundled/photos":
        found = "bundled/photos is small, knows everyday words only, and is for research only"
        yield Finding(setting, "note", found, "give a CLIP, SigLIP or ALIGN if you can download one")
    if name == "bundled/scenes" and not config.data.is_synthetic:
        found = "bundled/scenes knows only the built-in scenes, not your data"
        yield Finding(setting, "problem", found, "set it to bundled/photos, or give a CLIP, SigLIP or ALIGN")


def _of_scenes(config: Config, setting: str, name: str) -> Iterator[Finding]:
    if name == "bundled/scenes" and not config.data.is_synthetic:
        yield Finding(setting, "note", f"{name} was trained on the built-in scenes alone", _GIVE_ANOTHER)


def _segmenter(name: str) -> Finding:
    with suppress(SemplesError):
        if not segmentation.has_weights(name):
            return Finding(
                "segment.model", "ok", f"{name}, a config without weights: training starts from random weights"
            )
    return _checkpoint("segment.model", name, segmentation.BUNDLED)


def _checkpoint(setting: str, name: str, purpose: str) -> Finding:
    try:
        source = Path(resolve(name, purpose))
    except SemplesError as error:
        return Finding(setting, "problem", str(error), f"correct {setting}")
    if source.is_dir():
        kind = "bundled" if name in BUNDLED_NAMES else "local folder"
        return Finding(setting, "ok", f"{name}, {kind}, {_folder_bytes(source) / 2**20:.1f} MB")
    return _hub_name(setting, name)


def _hub_name(setting: str, name: str) -> Finding:
    if is_cached(name):
        return Finding(setting, "ok", f"{name}, hub name, in the hub's cache")
    found = f"{name}, hub name, not in the hub's cache"
    variable = offline_variable()
    if variable is not None:
        advice = f"unset {variable} once to download it, or {_GIVE_ANOTHER}"
        return Finding(setting, "problem", f"{found}, and {variable} is set", advice)
    answer = ask_hub(name)
    if answer == "has it":
        return Finding(setting, "note", found, "the run will download it once")
    if answer == "does not show it":
        found, advice = f"{found}, and the hub does not show it", "check its spelling, or log in (`hf auth login`)"
        return Finding(setting, "problem", found, advice)
    advice = f"connect this machine, or {_GIVE_ANOTHER}"
    return Finding(setting, "problem", f"{found}, and the hub cannot be reached", advice)


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
