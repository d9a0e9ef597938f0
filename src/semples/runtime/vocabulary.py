"""The candidate words that describe learned prompts, and their text features, which are embedded once."""

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
from semples.runtime.models import RunModels, save_tensors
from semples.training.progress import TrainingLog

BATCH = 256
"""Words embedded in one pass."""


def word_features(models: RunModels, given_words: Sequence[str] | None, log: TrainingLog) -> tuple[list[str], Tensor]:
    """Return the candidate words and their features [N, D], each word inside the template.

    The main process embeds them once and keeps them in ``cache/`` of the run directory, under a digest of model,
    template and words.

    Args:
        models: Models of the run.
        given_words: The user's own words; None for the whole words of the tokenizer.
        log: Shows the progress.

    Raises:
        ConfigError: The vision-language model knows none of the user's words.
    """
    words = _candidates(models, given_words)
    path = models.directory.cached_words(_digest(models, words))
    if is_main_process() and not path.is_file():
        batches = [words[start : start + BATCH] for start in range(0, len(words), BATCH)]
        with torch.no_grad():
            features = [models.vision_language.encode_words(batch) for batch in log.track(batches, "words")]
        save_tensors(path, {"features": torch.cat(features)})
    barrier()  # the file is complete before any process reads it
    return words, load_file(path, device=str(models.device))["features"]


def _candidates(models: RunModels, given_words: Sequence[str] | None) -> list[str]:
    """Return the given words that the vision-language model knows, or else its whole vocabulary."""
    if given_words is None:
        return candidate_words(models.vision_language.tokenizer)
    words = [word for word in given_words if models.vision_language.knows(word)]
    if not words:
        raise ConfigError(
            f"prompts.words: the vision-language model knows none of the words in {models.config.prompts.words}; "
            "give words of its vocabulary, or null for all of them"
        )
    return words


def _digest(models: RunModels, words: Sequence[str]) -> str:
    settings = models.config.vision_language
    source: Any = models.fingerprints["vision_language"] or settings.model
    return hashlib.sha256(json.dumps([source, settings.template, words]).encode()).hexdigest()[:16]
