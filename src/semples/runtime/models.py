"""The models of a run: built or loaded when they are first needed, and stored between stages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from semples.config import Config
from semples.errors import ResultError
from semples.files import replacing
from semples.method.losses import MatchScore
from semples.models import segmentation
from semples.models.generators.base import MaskGenerator
from semples.models.generators.clip import ClipGenerator
from semples.models.generators.registry import build_mask_generator, bundled_backbone, mask_generator_class
from semples.models.generators.weaktr.generator import WeakTrOptions
from semples.models.loading import IMAGENET_MEAN, IMAGENET_STD, fingerprint, resolve
from semples.models.vision_language import loading as vision_language
from semples.models.vision_language.loading import load_vision_language_model
from semples.models.vision_language.model import VisionLanguageModel
from semples.parallel.processes import is_main_process
from semples.records import ClassCatalogue
from semples.rundir.layout import RunDirectory


@dataclass(frozen=True)
class RunModels:
    """Models of a run.

    Attributes:
        directory: Where stages store what they trained.
        config: Settings of the run.
        catalogue: Classes of its data set.
        device: Where models live.
    """

    directory: RunDirectory
    config: Config
    catalogue: ClassCatalogue
    device: torch.device

    @cached_property
    def fingerprints(self) -> dict[str, list[tuple[str, str]]]:
        """Section of the settings that names a checkpoint -> names and digests of its files."""
        generator = self.config.mask_generator
        named = {
            "mask_generator": resolve(generator.backbone, bundled_backbone(generator.name)),
            "segment": segmentation.resolve_segmenter(self.config.segment.model),
        }
        if self.config.guidance.enabled or not self.trains_generator:
            named["vision_language"] = resolve(self.config.vision_language.model, vision_language.BUNDLED)
        fingerprints = {section: fingerprint(source) for section, source in named.items()}
        if generator.checkpoint is not None:
            fingerprints["mask_generator"] += fingerprint(generator.checkpoint)
        return fingerprints

    # Vision-language model

    @cached_property
    def vision_language(self) -> VisionLanguageModel:
        """The frozen vision-language model."""
        settings = self.config.vision_language
        score = None if settings.score == "auto" else settings.score
        statistics = (IMAGENET_MEAN, IMAGENET_STD) if settings.normalization == "imagenet" else None
        model = load_vision_language_model(
            settings.model, score, settings.template, settings.image_size, settings.prompt_stop, statistics
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

    @torch.no_grad()
    def class_features(self) -> torch.Tensor:
        """Return the features [K, D] of the class texts."""
        return self.vision_language.encode_classes(list(self.catalogue.prompt_names))

    @torch.no_grad()
    def prompt_features(self) -> torch.Tensor:
        """Return the features [K, D] of the learned prompts.

        Raises:
            ResultError: Stage 2 is not done, or its file is damaged.
        """
        return self.vision_language.encode_prompts(self.load_prompts())

    def load_prompts(self) -> torch.Tensor:
        """Load the prompt vectors [K, L, W] that stage 2 learned.

        Raises:
            ResultError: They are missing, damaged, or from other settings.
        """
        path = self.directory.prompts
        vectors = load_tensors(path, "prompts", self.device).get("vectors")
        expected = [len(self.catalogue), self.config.prompts.length, self.vision_language.prompt_width]
        if vectors is None or list(vectors.shape) != expected or not vectors.is_floating_point():
            found = "nothing" if vectors is None else f"{vectors.dtype} {list(vectors.shape)}"
            raise _from_another_run(path, "prompts", f"vectors: found {found}, expected float {expected}")
        return vectors

    def save_prompts(self, vectors: torch.Tensor) -> None:
        """Store the prompt vectors [K, L, W]."""
        if is_main_process():
            save_tensors(self.directory.prompts, {"vectors": vectors})

    # Mask generator

    @property
    def trains_generator(self) -> bool:
        """Whether stages 0, 1 and 3 train the mask generator."""
        return mask_generator_class(self.config.mask_generator.name).is_trainable

    @property
    def affinity_steps(self) -> int:
        """How often affinity spreads the CAMs: as the settings say, else as the generator prefers."""
        settings = self.config.mask_generator
        preferred = mask_generator_class(settings.name).affinity_steps
        return preferred if settings.affinity_steps is None else settings.affinity_steps

    def build_generator(self, checkpoint: str | None = None) -> MaskGenerator:
        """Build the mask generator as it is before stage 0: with a new head, or from a WeakTr checkpoint."""
        settings = self.config.mask_generator
        if settings.name == "clip":
            names = self.catalogue.prompt_names
            return ClipGenerator(self.vision_language, names, settings.background_words).to(self.device)
        return build_mask_generator(
            settings.name,
            len(self.catalogue),
            backbone=settings.backbone,
            output_stride=settings.output_stride,
            kernel_size=settings.kernel_size,
            frozen=settings.freeze_backbone,
            weaktr=WeakTrOptions(
                pool=settings.fusion_pool,
                reduction=settings.fusion_reduction,
                feat_reduction=settings.fusion_feat_reduction,
                head_channels=settings.head_channels,
                interpolation=settings.position_interpolation,
                leftover=settings.leftover,
            ),
            checkpoint=checkpoint,
        ).to(self.device)

    def load_generator(self, stage: str) -> MaskGenerator:
        """Load the mask generator that a stage stored, ready for inference.

        Raises:
            ResultError: It is missing, damaged, or from other settings.
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
    """Write safetensors, as a whole or not at all."""
    # Written by Python itself, whose errors name their cause.
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
