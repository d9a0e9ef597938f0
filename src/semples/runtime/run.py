"""What every stage is given: the run directory, the settings, the data set and the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from semples.config import Config, OptimizerConfig
from semples.data.crops import ImageCache
from semples.errors import ConfigError, DataError, ModelError, ResultError, did_you_mean
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
from semples.parallel.processes import is_first, world
from semples.records import Dataset
from semples.training.checkpoints import Checkpoint
from semples.training.loop import Fitting
from semples.training.progress import TrainingLog

FOLDERS = {
    "classify": "0-classify",
    "match": "1-match",
    "prompts": "2-prompts",
    "prompt-maps": "2-prompt-maps",
    "refine": "3-refine",
    "pseudo-masks": "4-pseudo-masks",
    "segment": "5-segment",
    "supervised-bound": "5-supervised-bound",
    "evaluate": "6-evaluate",
    "manual": "compare-manual",
    "generic": "compare-generic",
    "clip-es": "compare-clip-es",
}
"""Stage name -> its folder in the run directory."""

GENERATOR_FILE = "mask_generator.safetensors"
PROMPTS_FILE = "prompts.safetensors"
CHECKPOINT_FILE = "checkpoint.pt"


@dataclass(frozen=True)
class Run:
    """One run: where it writes, what it was asked for, and what it works on."""

    directory: Path
    config: Config
    dataset: Dataset
    accelerator: Accelerator
    log: TrainingLog

    def folder(self, stage: str) -> Path:
        """Folder of a stage in the run directory."""
        return self.directory / FOLDERS[stage]

    @property
    def device(self) -> torch.device:
        """Where models and batches live."""
        device = torch.device(self.accelerator.device)
        return torch.device("cpu") if device.type == "cpu" else device  # of several processes "cpu:0"

    @property
    def num_classes(self) -> int:
        """Number of object classes K."""
        return len(self.dataset.catalogue)

    @cached_property
    def averaged_labels(self) -> list[int] | None:
        """Labels over which evaluation.classes takes the means; None for all.

        Raises:
            ConfigError: One of them is no class of the data set.
        """
        chosen = self.config.evaluation.classes
        if chosen is None:
            return None
        names = ("background", *self.dataset.catalogue.names)
        unknown = [name for name in chosen if name not in names]
        if unknown:
            raise ConfigError(
                f"evaluation.classes: {unknown[0]} is no class of the data, expected background or any of "
                f"{', '.join(names[1:])}.{did_you_mean(unknown[0], names)}"
            )
        return sorted({names.index(name) for name in chosen})

    @cached_property
    def train_images(self) -> ImageCache:
        """Decoded training images, shared by all stages."""
        return ImageCache(self.dataset.train, self.config.data.cache_mb)

    @cached_property
    def models(self) -> dict[str, list[tuple[str, str]]]:
        """Section of the config that names a checkpoint -> fingerprint of its folder."""
        generator = self.config.mask_generator
        named = {
            "mask_generator": resolve(generator.backbone, bundled_backbone(generator.name)),
            "segment": segmentation.resolve_segmenter(self.config.segment.model),
        }
        if self.config.guidance.enabled or not self.trains_generator:
            named["vision_language"] = resolve(self.config.vision_language.model, vision_language.BUNDLED)
        prints = {section: fingerprint(source) for section, source in named.items()}
        if generator.checkpoint is not None:
            prints["mask_generator"] += fingerprint(generator.checkpoint)
        return prints

    @cached_property
    def given_words(self) -> list[str] | None:
        """The user's words to read prompts as, or None.

        Raises:
            ConfigError: Their file cannot be read, or holds no word.
        """
        path = self.config.prompts.words
        return None if path is None else _read_words(Path(path).expanduser())

    @cached_property
    def vision_language(self) -> VisionLanguageModel:
        """The frozen vision-language model, loaded when first needed."""
        settings = self.config.vision_language
        score = None if settings.score == "auto" else settings.score
        statistics = (IMAGENET_MEAN, IMAGENET_STD) if settings.normalization == "imagenet" else None
        model = load_vision_language_model(
            settings.model, score, settings.template, settings.image_size, settings.prompt_stop, statistics
        )
        return model.to(self.device)

    @property
    def match_score(self) -> MatchScore:
        """How the vision-language model matches image and text in stages 1 and 3."""
        model = self.vision_language
        return MatchScore(model.score_kind, model.scale, model.bias)

    @property
    def prompt_score(self) -> MatchScore:
        """How it matches image and prompt in stage 2."""
        kind = self.config.prompts.score
        return self.match_score if kind == "auto" else replace(self.match_score, kind=kind)

    @property
    def trains_generator(self) -> bool:
        """Whether stages 0, 1 and 3 train the mask generator."""
        return mask_generator_class(self.config.mask_generator.name).is_trainable

    @property
    def affinity_steps(self) -> int:
        """How often CAMs are spread by affinity: as the config says, or else as the generator wants."""
        settings = self.config.mask_generator
        own = mask_generator_class(settings.name).affinity_steps
        return own if settings.affinity_steps is None else settings.affinity_steps

    @property
    def arithmetic(self) -> dict[str, str | int]:
        """What the last bits of a result depend on besides settings: the processes, on processors also the threads."""
        known: dict[str, str | int] = {
            "device": self.device.type,
            "precision": str(self.accelerator.mixed_precision),
        }
        if world() > 1:
            known["processes"] = world()
        return {**known, "threads": torch.get_num_threads()} if self.device.type == "cpu" else known

    def checkpoint(self, stage: str) -> Checkpoint:
        """Where the training of a stage keeps its state; the pipeline removes it when the stage is done."""
        return Checkpoint(self.folder(stage) / CHECKPOINT_FILE, self.config.checkpoint_seconds)

    def build_generator(self, checkpoint: str | None = None) -> MaskGenerator:
        """Build the mask generator as it is before stage 0, with a new head or from a WeakTr checkpoint."""
        settings = self.config.mask_generator
        if settings.name == "clip":
            names = self.dataset.catalogue.prompt_names
            return ClipGenerator(self.vision_language, names, settings.background_words).to(self.device)
        return build_mask_generator(
            settings.name,
            self.num_classes,
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
        """Load the mask generator that a stage left, on the device and ready for inference."""
        generator = self.build_generator()
        tensors = self.finished_tensors(stage, GENERATOR_FILE)
        try:
            generator.load_state_dict(tensors)
        except RuntimeError as error:  # missing or unknown names, or other shapes
            reason = " ".join(str(error).split())[:200]
            raise self._foreign(stage, GENERATOR_FILE, reason) from error
        return generator.eval()

    def load_prompts(self) -> torch.Tensor:
        """Load the prompt vectors [K, L, W] that stage 2 left, on the device.

        Raises:
            ResultError: They are not there, damaged, or those of other settings.
        """
        tensors = self.finished_tensors("prompts", PROMPTS_FILE)
        expected = [self.num_classes, self.config.prompts.length, self.vision_language.prompt_width]
        vectors = tensors.get("vectors")
        if vectors is None or list(vectors.shape) != expected or not vectors.is_floating_point():
            came = "nothing" if vectors is None else f"{vectors.dtype} {list(vectors.shape)}"
            raise self._foreign("prompts", PROMPTS_FILE, f"vectors: came {came}, expected float {expected}")
        return vectors

    def _foreign(self, stage: str, name: str, reason: str) -> ResultError:
        path = self.folder(stage) / name
        return ResultError(f"{path} is not that of this run ({reason}): --force {stage} makes it again")

    def save_generator(self, stage: str, generator: MaskGenerator) -> None:
        """Write the mask generator of a stage."""
        if is_first():
            save_tensors(self.folder(stage) / GENERATOR_FILE, dict(generator.state_dict()))

    def finished_file(self, stage: str, name: str) -> Path:
        """Path of a file that a stage left.

        Raises:
            ResultError: It is not there.
        """
        path = self.folder(stage) / name
        if not path.is_file():
            raise ResultError(f"{path} is not there: run stage {stage} first (--force {stage} makes it again)")
        return path

    def finished_tensors(self, stage: str, name: str) -> dict[str, torch.Tensor]:
        """Tensors of a safetensors file that a stage left, on the device.

        Raises:
            ResultError: It is not there, or damaged.
        """
        path = self.finished_file(stage, name)
        try:
            return load_file(path, device=str(self.device))
        except SafetensorError as error:
            raise ResultError(f"{path} is damaged ({error}): --force {stage} makes it again") from error


@contextmanager
def result_of(stage: str) -> Iterator[None]:
    """Say which stage makes a result again that turns out to be missing or damaged.

    Raises:
        ResultError: In place of a DataError or ModelError.
    """
    try:
        yield
    except (DataError, ModelError) as error:
        raise ResultError(f"{error} (--force {stage} makes it again)") from error


def _read_words(path: Path) -> list[str]:
    """Read a list of words, one per line; empty lines are passed over, and a repeated word counts once.

    Raises:
        ConfigError: The file cannot be read, or holds no word.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"prompts.words: {path} cannot be read ({error}): give a text file, one word per line") from (
            error
        )
    words = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not words:
        raise ConfigError(f"prompts.words: {path} holds no word: give a text file, one word per line")
    return words


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write safetensors as a whole or not at all."""
    # Written by Python itself, whose errors name their cause.
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def fitting(settings: OptimizerConfig) -> Fitting:
    """What the training loop needs of a stage's settings."""
    return Fitting(
        settings.epochs,
        settings.learning_rate,
        settings.weight_decay,
        settings.warmup,
        settings._section,
        accumulation=settings.accumulation,
    )
