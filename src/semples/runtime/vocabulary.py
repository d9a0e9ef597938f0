"""The words that learned prompts are read as: where they come from, and their text features, embedded once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from semples.errors import ConfigError
from semples.models.vision_language.vocabulary import candidate_words
from semples.parallel.processes import barrier, is_main_process
from semples.runtime.context import Run
from semples.runtime.models import save_tensors

BATCH = 256
"""Words embedded at once."""


def word_features(run: Run) -> tuple[list[str], Tensor]:
    """Return the candidate words and their features [N, D], each word inside the template.

    They are embedded once: the run directory keeps them in ``cache/``, under a digest of model, template and words.

    Raises:
        ConfigError: The vision-language model knows none of the user's words.
    """
    words = _words_of(run)
    path = run.directory.cached_words(_digest(run, words))
    if is_main_process() and not path.is_file():
        batches = [words[start : start + BATCH] for start in range(0, len(words), BATCH)]
        with torch.no_grad():
            features = [run.models.vision_language.encode_classes(batch) for batch in run.log.track(batches, "words")]
        save_tensors(path, {"features": torch.cat(features)})
    barrier()
    return words, load_file(path, device=str(run.device))["features"]


def _words_of(run: Run) -> list[str]:
    if run.given_words is None:
        return candidate_words(run.models.vision_language.tokenizer)
    words = [word for word in run.given_words if run.models.vision_language.knows(word)]
    if not words:
        raise ConfigError(
            f"prompts.words: the vision-language model knows no word of {run.config.prompts.words}: "
            "give words of its vocabulary, or null for all of them"
        )
    return words


def _digest(run: Run, words: Sequence[str]) -> str:
    settings = run.config.vision_language
    source: Any = run.models.fingerprints["vision_language"] or settings.model
    return hashlib.sha256(json.dumps([source, settings.template, words]).encode()).hexdigest()[:16]
