"""The models of a run: built or loaded on first use, and stored between stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from semples.config import Config, MaskGeneratorConfig
from semples.config.mask_generator import GeneratorParts
from semples.data.catalogues import as_phrases, words_of_classes
from semples.errors import ResultError
from semples.files import replacing
from semples.method.losses import MatchScore
from semples.models import segmentation
from semples.models.generators.base import MaskGenerator
from semples.models.loading import IMAGENET_MEAN, IMAGENET_STD, fingerprint, resolve
from semples.models.vision_language import loading as vision_language
from semples.models.vision_language.background_words import usable_words_of_class
from semples.models.vision_language.loading import load_vision_language_model
from semples.models.vision_language.model import VisionLanguageModel
from semples.parallel.processes import is_main_process
from semples.records import ClassCatalogue
from semples.rundir.layout import RunDirectory
from semples.runtime.class_phrases import usable_phrases


@dataclass(frozen=True)
class RunModels:
    """Models of a run.

    Attributes:
        directory: Where stages store what they trained.
        config: Settings of the run.
        catalogue: Classes of its data set.
        device: Where models live.
        report: Receives remarks for the user.
    """

    directory: RunDirectory
    config: Config
    catalogue: ClassCatalogue
    device: torch.device
    report: Callable[[str], None] = lambda _: None

    @cached_property
    def fingerprints(self) -> dict[str, list[tuple[str, str]]]:
        """Section of the settings that names checkpoints -> name and digest of each file of theirs."""
        sources = [
            ("mask_generator", each.name if each.bundled is None else resolve(each.name, each.bundled))
            for each in self._generator.checkpoints()
        ]
        sources.append(("segment", segmentation.resolve_segmenter(self.config.segmentation_model)))
        if self.config.guidance.enabled or self._generator.generator_class().needs_vision_language:
            name = resolve(self.config.vision_language_model, vision_language.BUNDLED)
            sources.append(("vision_language", name))
        fingerprints: dict[str, list[tuple[str, str]]] = {"mask_generator": []}
        for section, source in sources:
            fingerprints[section] = [*fingerprints.get(section, []), *fingerprint(source)]
        return fingerprints

    # Vision-language model

    @cached_property
    def vision_language(self) -> VisionLanguageModel:
        """The frozen vision-language model."""
        settings, published = self.config.vision_language, self.config.published
        model = load_vision_language_model(
            self.config.vision_language_model,
            None if settings.score == "auto" else settings.score,
            settings.template,
            settings.image_size,
            prompt_stop="bare" if published else "word",
            statistics=(IMAGENET_MEAN, IMAGENET_STD) if published else None,
            templates=settings.templates,
        )
        return model.to(self.device)

    @property
    def match_score(self) -> MatchScore:
        """Match score of image and text in stages 1 and 3."""
        model = self.vision_language
        return MatchScore(model.score_kind, model.scale, model.bias)

    @property
    def prompt_score(self) -> MatchScore:
        """Match score of image and prompt in stage 2."""
        kind = self.config.prompts.score
        return self.match_score if kind == "auto" else replace(self.match_score, kind=kind)

    @cached_property
    def phrases(self) -> tuple[tuple[str, ...], ...]:
        """Phrases of each class in its texts: its own, and the suggested ones that the vision-language model knows.

        With setting ``published`` nothing is suggested.

        Raises:
            ConfigError: The model does not know one of several phrases of a class.
        """
        suggestions = () if self.config.published else self.catalogue.suggestions
        phrases, left_out = usable_phrases(self.vision_language, self.catalogue, suggestions)
        if left_out:
            self.report(f"prompt names: the model does not know {', '.join(left_out)}; left out")
        return phrases

    @property
    def background_words_of_classes(self) -> tuple[str, ...]:
        """The user's own background words of all classes, without repeats.

        Raises:
            ConfigError: One is given for a class that does not exist.
        """
        words = self.config.data.background_words
        return tuple(words_of_classes("data.background_words", words, self.catalogue.names))

    @torch.no_grad()
    def background_features_of_classes(self) -> list[torch.Tensor]:
        """Return the features [N_c, D] of the user's own background words of each class; empty if no class has any.

        Words that the vision-language model does not know, and phrases of the class itself, are left out.
        """
        words = []
        for name, phrases in zip(self.catalogue.names, self.phrases, strict=True):
            given = as_phrases(self.config.data.background_words.get(name, ()))
            usable, left_out = usable_words_of_class(self.vision_language, phrases, given)
            if left_out:
                self.report(f"background words of {name}: {', '.join(left_out)} left out, unknown or the class itself")
            words.append(usable)
        if not any(words):
            return []
        features = self.vision_language.encode_classes([word for own in words for word in own])
        return list(features.split([len(own) for own in words]))

    def require_class_texts(self) -> None:
        """Check that the vision-language model knows the phrases of the classes and reads each class text to its end.

        Raises:
            ConfigError: It does not.
        """
        self.vision_language.require_room("data.prompt_names", self.phrases)

    @torch.no_grad()
    def class_features(self) -> torch.Tensor:
        """Return the features [K, D] of the class texts."""
        return self.vision_language.encode_classes(self.phrases)

    @torch.no_grad()
    def prompt_features(self) -> torch.Tensor:
        """Return the features [K, D] of the learned prompts, mended where they became their class.

        Raises:
            ResultError: Stage 2 has not finished, its file is damaged, or the prompts were learned with other settings.
        """
        settings, model = self.config.prompts, self.vision_language
        stored = load_tensors(self.directory.prompts, "prompts", self.device)
        if settings.kind == "vectors":
            shape = (len(self.catalogue), settings.length, model.prompt_width)
            vectors = self._checked_prompts(stored, "vectors", shape)
            if "features" not in stored:
                return model.encode_prompts(vectors)
        return self._checked_prompts(stored, "features", tuple(self.class_features().shape))

    def left_out_classes(self) -> torch.Tensor:
        """Return the classes that stage 3 leaves out, because their prompts became them: bool [K].

        Raises:
            ResultError: As in :meth:`prompt_features`.
        """
        stored = load_tensors(self.directory.prompts, "prompts", self.device)
        shape = (len(self.catalogue),)
        if "left_out" not in stored:  # as in most runs
            return torch.zeros(shape, dtype=torch.bool, device=self.device)
        return self._checked_prompts(stored, "left_out", shape, torch.uint8).bool()

    def save_prompts(
        self,
        features: torch.Tensor,
        vectors: torch.Tensor | None,
        mended: torch.Tensor,
        left_out: torch.Tensor,
    ) -> None:
        """Store the prompts.

        Args:
            features: Final features [K, D], which are stored unless vectors that were not mended have them too.
            vectors: Vectors [K, L, W] of kind "vectors", or None.
            mended: Which prompts were mended, bool [K].
            left_out: Classes that stage 3 leaves out, bool [K]; stored if there is one.
        """
        tensors = {} if vectors is None else {"vectors": vectors}
        if vectors is None or mended.any():
            tensors["features"] = features
        if left_out.any():
            tensors["left_out"] = left_out.to(torch.uint8)
        if is_main_process():
            save_tensors(self.directory.prompts, tensors)

    def _checked_prompts(
        self,
        stored: Mapping[str, torch.Tensor],
        name: str,
        shape: tuple[int, ...],
        dtype: torch.dtype | None = None,
    ) -> torch.Tensor:
        """Return a stored tensor of this shape and type (None: any floats)."""
        values = stored.get(name)
        fits = values is not None and (values.is_floating_point() if dtype is None else values.dtype == dtype)
        if values is None or values.shape != shape or not fits:
            found = "nothing" if values is None else f"{values.dtype} {list(values.shape)}"
            expected = f"{dtype or 'float'} {list(shape)}"
            raise _from_another_run(self.directory.prompts, "prompts", f"{name}: found {found}, expected {expected}")
        return values

    # Mask generator

    @property
    def trains_generator(self) -> bool:
        """Whether stages 0, 1 and 3 train the mask generator."""
        return bool(self._generator.generator_class().is_trainable)

    @property
    def affinity_steps(self) -> int:
        """Number of steps in which affinity spreads the CAMs: the setting, or else the generator's preference."""
        preferred: int = self._generator.generator_class().affinity_steps
        return preferred if self._generator.affinity_steps is None else self._generator.affinity_steps

    def build_generator(self, with_checkpoint: bool = False) -> MaskGenerator:
        """Build the mask generator with a new head.

        Args:
            with_checkpoint: Start from the checkpoint of the settings, if they name one.
        """
        parts = GeneratorParts(
            self.catalogue.prompt_names,
            lambda: self.vision_language,
            self.config.published,
            with_checkpoint,
            lambda: self.phrases,
            self.background_words_of_classes,
        )
        generator: MaskGenerator = self._generator.build(parts)
        return generator.to(self.device)

    @property
    def _generator(self) -> MaskGeneratorConfig:
        return self.config.generator

    def load_generator(self, stage: str) -> MaskGenerator:
        """Load the mask generator that a stage stored, ready for inference.

        Raises:
            ResultError: It is missing, damaged, or was trained with other settings.
        """
        generator, path = self.build_generator(), self.directory.mask_generator(stage)
        try:
            generator.load_state_dict(load_tensors(path, stage, self.device))
        except RuntimeError as error:  # missing or unknown names, or other shapes
            raise _from_another_run(path, stage, " ".join(str(error).split())[:200]) from error
        return generator.eval()

    def save_generator(self, stage: str, generator: MaskGenerator) -> None:
        """Store the mask generator of a stage."""
        if is_main_process():
            save_tensors(self.directory.mask_generator(stage), dict(generator.state_dict()))


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write a safetensors file atomically."""
    # Python writes the bytes, because its errors name their cause; those of safetensors do not.
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def load_tensors(path: Path, stage: str, device: torch.device) -> dict[str, torch.Tensor]:
    """Load the safetensors that a stage stored.

    Raises:
        ResultError: The file is missing or damaged.
    """
    try:
        return load_file(path, device=str(device))
    except FileNotFoundError as error:
        raise ResultError(f"{path}: missing; run stage {stage} first (--force {stage} recreates it)") from error
    except SafetensorError as error:
        raise ResultError(f"{path}: damaged ({error}); --force {stage} recreates it") from error


def _from_another_run(path: Path, stage: str, reason: str) -> ResultError:
    return ResultError(f"{path}: belongs to another run ({reason}); --force {stage} recreates it")
