"""Stage 2: learn one background prompt per class from background regions that are embedded once.

Mask generator and vision-language model are frozen, so the background region of an image never changes: its feature is
computed once and cached, and an epoch over the cached features takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from semples.errors import ConfigError
from semples.method.losses import TEXT_SCORE, MatchScore, prompt_loss, suppress_loss
from semples.method.words import distant_words, word_contrast
from semples.models.prompt_bank import PromptBank, WordMixtures
from semples.models.vision_language.vocabulary import nearest_words
from semples.parallel.processes import is_main_process
from semples.rundir.words import LearnedWords, NearestWords, write_words
from semples.runtime.context import Run, training_options
from semples.runtime.regions import CachedRegions, embed_regions
from semples.runtime.vocabulary import word_features
from semples.stages.prompt_mending import FinalPrompts, mend_prompts
from semples.training.devices import set_seed
from semples.training.loop import StepResult, fit


@dataclass(frozen=True)
class PromptStep:
    """One training step of stage 2.

    Args:
        encode: Turns the output of the prompt bank into text features [K, D].
        score: Returns the match score of image and prompt, which may change between epochs.
        texts: Features [K, D] of the classes' texts.
        lambda_text: Weight of the term that pushes a prompt away from its class text.
        lambda_inside: Weight of the term that pushes a prompt away from the objects; 0 needs no foregrounds.
    """

    encode: Callable[[Tensor], Tensor]
    score: Callable[[], MatchScore]
    texts: Tensor
    lambda_text: float
    lambda_inside: float = 0.0

    def __call__(self, bank: torch.nn.Module, batch: Mapping[str, Tensor]) -> StepResult:
        """Return the losses of the prompts on a batch of regions.

        Args:
            bank: The prompts.
            batch: ``features`` [P, D] of backgrounds, ``classes`` [P], and ``foregrounds`` [P, D] if their term counts.
        """
        features, classes = batch["features"], batch["classes"]
        prompts = self.encode(bank())[classes]  # [P, D]
        texts, score = self.texts[classes], self.score()
        parts = prompt_loss(features, texts, prompts, score, self.lambda_text)
        if self.lambda_inside:
            parts |= suppress_loss(batch["foregrounds"], prompts, score, self.lambda_inside)
        figures = {
            "text_similarity": (texts * prompts).sum(-1).mean(),
            "clamped/push": TEXT_SCORE.clamped_share(texts, prompts),
            "clamped/pull": score.clamped_share(features, prompts),
        }
        return StepResult(parts, figures)


@dataclass(frozen=True)
class Vocabulary:
    """Candidate words, their text features [N, D], and which words the prompt of each class may use, [K, N], bool."""

    words: list[str]
    features: Tensor
    allowed: Tensor

    def nearest(self, prompts: Tensor, count: int) -> list[NearestWords]:
        """Return the words nearest to prompts [K, D]."""
        return [*nearest_words(prompts, self.words, self.features, count)]


def prompts(run: Run) -> None:
    """Learn the prompts, and mend those that became their class; write them, and the words nearest after each epoch."""
    settings, names = run.config.prompts, run.dataset.catalogue.names
    with_foreground = settings.kind == "picked" or settings.lambda_inside > 0
    regions = embed_regions(run, "match" if run.models.trains_generator else "classify", with_foreground)
    vocabulary = _vocabulary(run)
    set_seed(run.config.seed)
    vectors: Tensor | None = None
    if settings.kind == "picked":
        without = [name for index, name in enumerate(names) if index not in regions.classes]
        if without:
            run.log.message(
                f"prompts: {len(without)} of {len(names)} classes have no training image, and arbitrary words: "
                f"{', '.join(without)}"
            )
        learned = picked_prompts(regions, vocabulary, run.num_classes, settings.picked_words).to(run.device)
        history = [vocabulary.nearest(learned, settings.nearest_words)]
    elif settings.kind == "mixtures":
        mixtures = WordMixtures(run.num_classes, vocabulary.features, vocabulary.allowed).to(run.device)
        history = _learn(run, mixtures, lambda features: features, regions, vocabulary)
        learned = mixtures().detach()
    else:
        bank = _new_prompt_bank(run)
        encode = run.models.vision_language.encode_prompts
        history = _learn(run, bank, encode, regions, vocabulary)
        vectors = bank.vectors
        with torch.no_grad():
            learned = encode(vectors)
    texts, catalogue = run.models.class_features(), run.dataset.catalogue
    final = mend_prompts(learned, texts, regions, vocabulary.words, vocabulary.features, catalogue)
    run.models.save_prompts(final.features, vectors, final.mended, final.left_out)
    if is_main_process():
        write_words(run.directory.words, _described(names, history, final, vocabulary, settings.nearest_words))


def _described(
    names: Sequence[str],
    history: Sequence[Sequence[NearestWords]],
    final: FinalPrompts,
    vocabulary: Vocabulary,
    count: int,
) -> LearnedWords:
    """Join the words nearest to each prompt after every epoch; the last ones are those of the final prompts."""
    words = {name: [epoch[index] for epoch in history] for index, name in enumerate(names)}
    nearest = vocabulary.nearest(final.features, count)
    for index in (final.mended | final.left_out).nonzero().flatten().tolist():
        words[names[index]][-1] = nearest[index]
    mended = tuple(names[index] for index in final.mended.nonzero().flatten().tolist())
    return LearnedWords(range(1, len(history) + 1), words, mended)


def picked_prompts(regions: CachedRegions, vocabulary: Vocabulary, num_classes: int, count: int) -> Tensor:
    """Pick the words of each prompt without training: the highest :func:`semples.method.words.word_contrast`.

    Args:
        regions: Backgrounds and foregrounds.
        vocabulary: Candidate words.
        num_classes: K.
        count: Words of each prompt, or fewer if fewer are allowed.

    Returns:
        Features [K, D]: the mean of the words, L2-normalized.
    """
    assert regions.foregrounds is not None
    background, foreground = regions.features.mean(0), regions.foregrounds.mean(0)  # of all views, [P, D]
    words = vocabulary.features.cpu()
    contrast = word_contrast(background, foreground, regions.classes, words, num_classes)
    contrast = contrast.masked_fill(~vocabulary.allowed.cpu(), float("-inf"))
    chosen = contrast.topk(min(count, int(vocabulary.allowed.sum(1).min())), dim=1).indices  # [K, count]
    return F.normalize(words[chosen].mean(1), dim=1)


def _learn(
    run: Run,
    bank: torch.nn.Module,
    encode: Callable[[Tensor], Tensor],
    regions: CachedRegions,
    vocabulary: Vocabulary,
) -> list[list[NearestWords]]:
    """Train prompts in place; return the words nearest to each after every epoch."""
    settings = run.config.prompts
    words_by_epoch: list[list[NearestWords]] = []  # fit adds one entry per epoch
    initial_score, final_score = run.models.match_score, run.models.prompt_score

    def current_score() -> MatchScore:
        # A clamped cosine below 0 has no gradient: the model's own score first brings the prompts near.
        return initial_score if len(words_by_epoch) < settings.approach * settings.epochs else final_score

    @torch.no_grad()
    def words_of_prompts() -> list[NearestWords]:
        return vocabulary.nearest(encode(bank()), settings.nearest_words)

    order = torch.Generator().manual_seed(run.config.seed)
    step = PromptStep(encode, current_score, run.models.class_features(), settings.lambda_text, settings.lambda_inside)
    fit(
        "prompts",
        bank,
        step,
        [(list(bank.parameters()), 1.0)],
        DataLoader(regions, settings.batch_size, shuffle=True, generator=order),
        training_options(settings),
        run.accelerator,
        run.log,
        run.checkpoint("prompts"),
        after_epoch=words_of_prompts,
        history=words_by_epoch,
    )
    return words_by_epoch


def _new_prompt_bank(run: Run) -> PromptBank:
    settings, vision_language = run.config.prompts, run.models.vision_language
    generator = torch.Generator().manual_seed(run.config.seed)
    deviation = vision_language.word_deviation if settings.start == "words" else None
    width = vision_language.prompt_width
    return PromptBank(run.num_classes, settings.length, width, generator, deviation).to(run.device)


def _vocabulary(run: Run) -> Vocabulary:
    """Return the candidate words; no prompt may be made of the classes' own words, or of words too near to a class.

    Raises:
        ConfigError: Prompts are to be made of words, and no word is left.
    """
    words, features = word_features(run.models, run.given_words, run.log)
    phrases = (phrase for class_phrases in run.models.phrases for phrase in class_phrases)
    classes = {name.casefold() for name in (*run.dataset.catalogue.names, *phrases)}
    is_free = torch.tensor([word.casefold() not in classes for word in words], device=features.device)
    if run.config.prompts.kind != "vectors" and not is_free.any():
        raise ConfigError(
            f"prompts.words: {run.config.prompts.words} has no words but class names; add words for backgrounds"
        )
    allowed = is_free & distant_words(features, run.models.class_features(), is_free, run.config.prompts.distant_words)
    return Vocabulary(words, features, allowed.expand(run.num_classes, -1))
