"""The yardstick for learned prompts: which words are right for each class."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from semples.config import Config
from semples.config.values import shown
from semples.data.scenes.settings import ScenesConfig
from semples.errors import ConfigError, DataError, did_you_mean
from semples.files import read_json
from semples.models.vision_language.vocabulary import nearest_words
from semples.rundir.words import read_words
from semples.runtime.context import Run


@dataclass(frozen=True)
class Yardstick:
    """A prompt is right if the word nearest to it is one of its class's right words.

    Attributes:
        right: Class -> its right words.
        vocabulary: Nouns among which the nearest is searched; None for the words that describe the run's prompts.
    """

    right: Mapping[str, Collection[str]]
    vocabulary: tuple[str, ...] | None = None

    def nearest(self, run: Run) -> dict[str, str]:
        """Return the word nearest to the learned prompt of each class that the yardstick and the images have.

        Raises:
            ConfigError: The vision-language model knows none of the nouns.
        """
        if self.vocabulary is None:
            return {name: words[0] for name, words in learned_words(run).items() if name in self.right}
        model, names = run.models.vision_language, run.dataset.catalogue.names
        nouns = [noun for noun in self.vocabulary if model.knows(noun)]
        if not nouns:
            raise ConfigError(
                f"contexts: the vision-language model knows none of the {len(self.vocabulary)} nouns of the "
                "vocabulary; give nouns that it knows"
            )
        with torch.no_grad():
            found = nearest_words(run.models.prompt_features(), nouns, model.encode_words(nouns), 1)
        judged = {names[tag] for sample in run.dataset.train for tag in sample.tags} & set(self.right)
        return {name: nearest[0][0] for name, nearest in zip(names, found, strict=True) if name in judged}

    def count(self, nearest: Mapping[str, str]) -> int:
        """Count the classes whose nearest word is right."""
        return sum(word in self.right[name] for name, word in nearest.items())

    def require_classes(self, names: Collection[str]) -> None:
        """Check that the classes of the yardstick are classes of the data set.

        Raises:
            ConfigError: One is not.
        """
        for name in self.right:
            if name not in names:
                raise ConfigError(
                    f'contexts: "{name}" is not a class of the data set; expected any of {", ".join(names)}'
                    f"{did_you_mean(name, names)}"
                )


def learned_words(run: Run) -> dict[str, list[str]]:
    """Return the words nearest to the learned prompt of each class, nearest first."""
    words = read_words(run.directory.words)
    return {name: [word for word, _ in words.last(name)] for name in words.words}


def paired_contexts(config: Config) -> Yardstick | None:
    """Return the contexts that scenes are drawn with as a yardstick; None for other data, whose contexts are unknown.

    A prompt is right if its word is exactly the context.
    """
    if not isinstance(config.data, ScenesConfig):
        return None
    return Yardstick({name: (context,) for name, context in config.data.pairs.items()})


def read_yardstick(path: Path) -> Yardstick:
    """Read a JSON file with ``vocabulary``, a list of all candidate nouns, and ``contexts``: class -> its right nouns.

    Other keys have no effect.

    Raises:
        ConfigError: The file cannot be read, has another structure, or a right noun is not a candidate.
    """
    try:
        content = read_json(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a JSON file of right nouns") from error
    except DataError as error:
        raise ConfigError(f"{path}: not valid JSON ({error.__cause__}); correct it") from error
    parts = content if isinstance(content, dict) else {}
    vocabulary, contexts = parts.get("vocabulary", []), parts.get("contexts")
    if not (_is_list_of_words(vocabulary) and isinstance(contexts, dict) and contexts):
        raise ConfigError(
            f'{path}: not a list of nouns and those of each class; expected {{"vocabulary": ["sea", ...], "contexts": '
            '{"boat": ["sea", ...], ...}}'
        )
    for name, nouns in contexts.items():
        if not _is_list_of_words(nouns):
            raise ConfigError(f"{path}: contexts: {name}: {shown(nouns)} is not a list of nouns; give at least one")
        for noun in nouns:
            if noun not in vocabulary:
                raise ConfigError(
                    f'{path}: contexts: {name}: "{noun}" is not in the vocabulary; add it there'
                    f"{did_you_mean(noun, vocabulary)}"
                )
    return Yardstick({name: tuple(nouns) for name, nouns in contexts.items()}, tuple(dict.fromkeys(vocabulary)))


def _is_list_of_words(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(word, str) and word for word in value)
