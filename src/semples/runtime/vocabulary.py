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
from semples.parallel.processes import barrier, is_main_process
from semples.runtime.models import save_tensors
from semples.runtime.run import Run

BATCH = 256
"""Words embedded at once."""
LARGE_VOCABULARY = 1000
"""Above so many words a vocabulary is one of a language, whose words of one or two letters are mostly fragments."""
MOST_WORDS = 30_000
"""Of larger vocabularies the first words are taken: tokenizers number frequent ones first."""


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


def candidate_words(tokenizer: Any) -> list[str]:
    """Whole words of a tokenizer's vocabulary, in the order of their ids, lower case, ASCII letters only.

    Whole words are marked by ``</w>`` at the end (CLIP), by ``▁`` in front (SentencePiece) or by ``Ġ`` in front
    (byte-level BPE); in WordPiece, which marks the other tokens, and in a vocabulary of words all that are left are.
    """
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    words = [word.lower() for word in _unmarked(tokens) if word.isascii() and word.isalpha()]
    unique = list(dict.fromkeys(words))
    if len(unique) > LARGE_VOCABULARY:
        unique = [word for word in unique if len(word) > 2]
    return unique[:MOST_WORDS]


def _unmarked(tokens: Sequence[str]) -> list[str]:
    """Take off the mark of whole words, and leave out tokens without it, where the vocabulary uses one."""
    if any(token.endswith("</w>") for token in tokens):
        return [token.removesuffix("</w>") for token in tokens if token.endswith("</w>")]
    for mark in ("▁", "Ġ"):
        if any(token.startswith(mark) for token in tokens):
            return [token.removeprefix(mark) for token in tokens if token.startswith(mark)]
    return list(tokens)


def nearest_words(prompts: Tensor, words: Sequence[str], features: Tensor, count: int) -> list[list[tuple[str, float]]]:
    """Words whose text features [N, D] are nearest to each prompt feature [K, D], with cosines, best first."""
    cosines, indices = (prompts @ features.T).topk(min(count, len(words)), dim=1)
    return [
        [(words[i], round(float(c), 4)) for i, c in zip(row, values, strict=True)]
        for row, values in zip(indices.tolist(), cosines.tolist(), strict=True)
    ]
