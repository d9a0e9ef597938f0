"""The words of a tokenizer, and the words nearest to learned prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

LARGE_VOCABULARY = 1000
"""Vocabularies with more words drop words of one or two letters, which are mostly fragments."""
MOST_WORDS = 30_000
"""Larger vocabularies are cut to their first words, because tokenizers number frequent words first."""
WORD_END = "</w>"
"""Mark of tokens that end a word in CLIP's vocabulary."""
WORD_STARTS = ("▁", "Ġ")
"""Marks of tokens that start a word in SentencePiece and in byte-level BPE."""


def candidate_words(tokenizer: Any) -> list[str]:
    """List the whole words of a tokenizer's vocabulary in the order of their ids, lower case, ASCII letters only.

    Whole words are marked by ``</w>`` at the end (CLIP), by ``▁`` in front (SentencePiece) or by ``Ġ`` in front
    (byte-level BPE). WordPiece marks all other tokens, and a vocabulary of words marks nothing: there, every token of
    letters is a word.
    """
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    words = [word.lower() for word in _without_marks(tokens) if word.isascii() and word.isalpha()]
    unique = list(dict.fromkeys(words))
    if len(unique) > LARGE_VOCABULARY:
        unique = [word for word in unique if len(word) > 2]
    return unique[:MOST_WORDS]


def _without_marks(tokens: Sequence[str]) -> list[str]:
    """Strip the mark of whole words and drop tokens without it, if the vocabulary has such a mark."""
    if any(token.endswith(WORD_END) for token in tokens):
        return [token.removesuffix(WORD_END) for token in tokens if token.endswith(WORD_END)]
    for mark in WORD_STARTS:
        if any(token.startswith(mark) for token in tokens):
            return [token.removeprefix(mark) for token in tokens if token.startswith(mark)]
    return list(tokens)


def nearest_words(prompts: Tensor, words: Sequence[str], features: Tensor, count: int) -> list[list[tuple[str, float]]]:
    """Find the words whose text features [N, D] are nearest to each prompt feature [K, D], best first.

    Returns:
        For each prompt up to ``count`` pairs of word and cosine, rounded to four digits.
    """
    cosines, indices = (prompts @ features.T).topk(min(count, len(words)), dim=1)
    return [
        [(words[i], round(float(c), 4)) for i, c in zip(row, values, strict=True)]
        for row, values in zip(indices.tolist(), cosines.tolist(), strict=True)
    ]
