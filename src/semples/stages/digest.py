"""Digests of stages: a result with the same digest need not be computed again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import reduce
from operator import getitem
from typing import Any

from semples.records import Sample
from semples.runtime.context import Run

GENERATOR = ("seed", "data", "mask_generator", "published")
"""Settings that the training of a mask generator depends on in every stage."""

GUIDED = ("vision_language", "augmentation")
"""Settings that stages 1 and 3 depend on in addition."""

WITHOUT_EFFECT = ("root", "cache_mb", "workers", "skip_bad_images")
"""Settings of section ``data`` that do not change a result as long as the images are the same."""


def stage_digest(
    run: Run, settings: Sequence[str], needs: Sequence[str], reads_masks: bool, digest_of: Callable[[str], str | None]
) -> str:
    """Return the SHA-256 digest, in hex, of everything that a stage's result depends on.

    Args:
        run: The run.
        settings: Sections of the settings, or single settings by their dotted name.
        needs: Stages whose results it reads.
        reads_masks: Whether it reads ground truth.
        digest_of: Returns the digest of another stage's result.
    """
    config = run.config.to_dict()
    config["data"] = {key: value for key, value in config["data"].items() if key not in WITHOUT_EFFECT}
    if "mask_generator" in settings and not run.models.trains_generator:
        settings = (*settings, *GUIDED)  # an untrained generator is built from the vision-language model
        if "prompts" not in settings:  # nothing else is random: runs with other seeds can share the result
            settings = tuple(name for name in settings if name != "seed")
    fingerprints = run.models.fingerprints
    samples = (*run.dataset.train, *run.dataset.val)
    inputs = {
        "settings": {name: reduce(getitem, name.split("."), config) for name in settings},
        "models": {section: fingerprints[section] for section in settings if section in fingerprints},
        "words": run.given_words if "prompts" in settings else None,
        "guided": run.config.guidance.enabled,
        "arithmetic": run.arithmetic,
        "classes": asdict(run.dataset.catalogue),
        "images": [_file_version(sample, reads_masks) for sample in samples],
        "needs": {name: digest_of(name) for name in needs},
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()


def _file_version(sample: Sample, with_mask: bool) -> list[Any]:
    """Identify the version of a sample by the size and time of its files; hashing their content would take too long."""
    image = sample.path.stat()
    version: list[Any] = [sample.id, list(sample.tags), image.st_size, image.st_mtime_ns]
    if with_mask:
        mask = sample.mask_path.stat() if sample.mask_path else None
        version.append([mask.st_size, mask.st_mtime_ns] if mask else None)
    return version
