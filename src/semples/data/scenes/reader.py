"""Renders the built-in scenes to disk and reads them as a data set."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from semples.data.catalogues import Phrases, catalogue_from_names
from semples.data.images import write_image, write_mask
from semples.data.scenes.compose import Appearance, Placement, Scene, draw_scene
from semples.data.scenes.contexts import CONTEXTS
from semples.data.scenes.objects import OBJECTS
from semples.data.tags import read_tags_csv, tag_indices
from semples.errors import ConfigError, DataError, did_you_mean
from semples.files import read_json, write_json, write_text
from semples.records import ClassCatalogue, Dataset, Sample

RENDERER_VERSION = 1
"""Part of the settings digest; increase it when the same settings draw different pixels."""

_SPLITS = ("train", "val")
_SINGLE_OBJECT_SHARE = 0.6


@dataclass(frozen=True)
class SceneSettings:
    """Settings that determine a rendered data set.

    Attributes:
        pairs: Object -> the context it is biased toward; its keys are the classes, in order. At least two.
        bias: Probability (0 to 1) that an object is in its own context.
        image_size: Side of the square images in pixels, 32 to 512.
        train_size: Number of training images.
        val_size: Number of held-out images.
        seed: Seed of all random choices, at least 0.

    Raises:
        ConfigError: A value is out of range, or an object or context is unknown.
    """

    pairs: Mapping[str, str]
    bias: float
    image_size: int
    train_size: int
    val_size: int
    seed: int

    def __post_init__(self) -> None:
        if len(self.pairs) < 2:
            raise ConfigError(
                f"data.pairs: found {len(self.pairs)} entries, expected at least 2; add one such as boat: water"
            )
        for thing, context in self.pairs.items():
            _check_word("object", thing, OBJECTS)
            _check_word("context", context, CONTEXTS)
        _check_range("data.bias", self.bias, 0, 1)
        _check_range("data.image_size", self.image_size, 32, 512)
        _check_range("data.train_size", self.train_size, 1, 99_999)
        _check_range("data.val_size", self.val_size, 1, 99_999)
        _check_range("seed", self.seed, 0, 2**63 - 1)

    def digest(self) -> str:
        """Return a hexadecimal digest of all settings, the order of the pairs included."""
        values = {**vars(self), "pairs": list(self.pairs.items()), "renderer": RENDERER_VERSION}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _check_word(kind: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        raise ConfigError(
            f'data.pairs: the {kind} "{word}" does not exist; expected one of {", ".join(known)}'
            + did_you_mean(word, known)
        )


def _check_range(name: str, value: float, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name}: {value} is out of range; expected {low} to {high}")


def sample_placements(rng: np.random.Generator, pairs: Mapping[str, str], bias: float) -> tuple[Placement, ...]:
    """Draw one object (60 %) or two of different classes (40 %), each with a context.

    Args:
        rng: Source of the random choices.
        pairs: Object -> its own context; objects are drawn uniformly from its keys.
        bias: Probability of an object's own context; otherwise another of CONTEXTS is drawn uniformly.
    """
    count = 1 if rng.random() < _SINGLE_OBJECT_SHARE else 2
    chosen = rng.choice(len(pairs), size=count, replace=False)
    objects = [tuple(pairs)[index] for index in chosen]
    return tuple(Placement(thing, _sample_context(rng, pairs[thing], bias)) for thing in objects)


def _sample_context(rng: np.random.Generator, own: str, bias: float) -> str:
    if rng.random() < bias:
        return own
    others = [context for context in CONTEXTS if context != own]
    return others[rng.integers(len(others))]


def read_scenes(root: Path, settings: SceneSettings, prompt_names: Phrases | None = None) -> Dataset:
    """Return the data set of these settings, rendering it into ``root`` unless it exists there already.

    Files: ``images/ID.png``, ``masks/ID.png`` (palette, 0 background, k + 1 for class k), ``tags.csv``
    (``image,tags`` with ``|``) and, last, ``scenes.json``. Every image has its own random stream, so that
    a larger split starts with the images of a smaller one. Missing masks do not cause a new rendering.

    Raises:
        DataError: ``tags.csv`` was changed and no longer matches the images.
        ConfigError: A prompt name belongs to no class.
    """
    if not _is_rendered(root, settings):
        _render(root, settings)
    catalogue = catalogue_from_names(tuple(settings.pairs), prompt_names)
    tags = _tags(root, settings, catalogue)
    samples = [_sample(root, name, settings.image_size, tags[name]) for name in _names(settings)]
    return Dataset(catalogue, tuple(samples[: settings.train_size]), tuple(samples[settings.train_size :]))


def _names(settings: SceneSettings) -> Iterator[str]:
    for split, size in zip(_SPLITS, (settings.train_size, settings.val_size), strict=True):
        for index in range(1, size + 1):
            yield f"{split}-{index:05d}"


def _sample(root: Path, name: str, size: int, tags: tuple[int, ...]) -> Sample:
    mask = root / "masks" / f"{name}.png"
    return Sample(name, root / "images" / f"{name}.png", (size, size), tags, mask if mask.exists() else None)


def _is_rendered(root: Path, settings: SceneSettings) -> bool:
    record = root / "scenes.json"
    if not (record.exists() and (root / "tags.csv").exists()):
        return False
    if read_json(record)["settings_digest"] != settings.digest():
        return False
    return all((root / "images" / f"{name}.png").exists() for name in _names(settings))


def _render(root: Path, settings: SceneSettings) -> None:
    # If this rendering is interrupted, an old record must not vouch for a mixture of old and new images.
    (root / "scenes.json").unlink(missing_ok=True)
    classes = list(settings.pairs)
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["image", "tags"])
    described: dict[str, list[str]] = {}
    for name in _names(settings):
        placements, scene = _draw(name, settings)
        visible = np.unique(_write_images(root, name, scene, placements, classes))
        rows.writerow([f"images/{name}.png", "|".join(classes[value - 1] for value in visible if value)])
        described[name] = [_describe(*pair) for pair in zip(placements, scene.appearances, strict=True)]
    write_text(root / "tags.csv", table.getvalue())
    write_json(root / "scenes.json", {"settings_digest": settings.digest(), "scenes": described})


def _draw(name: str, settings: SceneSettings) -> tuple[tuple[Placement, ...], Scene]:
    split, index = name.split("-")
    rng = np.random.default_rng(np.random.SeedSequence([settings.seed, _SPLITS.index(split), int(index)]))
    placements = sample_placements(rng, settings.pairs, settings.bias)
    return placements, draw_scene(rng, settings.image_size, placements)


def _describe(placement: Placement, appearance: Appearance | None) -> str:
    words = (appearance.size, appearance.color, appearance.pattern) if appearance else ()
    words = (*words, placement.object, "in", placement.context)
    return " ".join(word for word in words if word)


def _write_images(
    root: Path, name: str, scene: Scene, placements: tuple[Placement, ...], classes: list[str]
) -> npt.NDArray[np.uint8]:
    """Write the image and its class mask; return the class mask."""
    table = np.zeros(256, dtype=np.uint8)
    for value, placement in enumerate(placements, start=1):
        table[value] = classes.index(str(placement.object)) + 1
    class_mask: npt.NDArray[np.uint8] = table[scene.mask]
    write_image(root / "images" / f"{name}.png", scene.image)
    write_mask(root / "masks" / f"{name}.png", class_mask)
    return class_mask


def _tags(root: Path, settings: SceneSettings, catalogue: ClassCatalogue) -> dict[str, tuple[int, ...]]:
    """Return image id -> class indices from ``tags.csv``, the only source of labels."""
    path = root / "tags.csv"
    words = read_tags_csv(path)
    tags = {}
    for name in _names(settings):
        image = f"images/{name}.png"
        if image not in words:
            raise DataError(f"{path}: image {image} has no line; delete the file to render the scenes again")
        tags[name] = tag_indices(words[image], catalogue, f"{path}, image {image}")
    return tags
