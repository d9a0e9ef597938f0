"""All settings of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from semples.config.augmentation import AugmentationConfig, CamsConfig
from semples.config.data import DataConfig
from semples.config.mask_generator import MaskGeneratorConfig
from semples.config.outputs import EvaluationConfig, PseudoMasksConfig, ReportConfig
from semples.config.refinement import RefinementConfig
from semples.config.registry import (
    CRITERIA,
    GUIDED_CRITERION,
    PHOTO_CRITERION,
    REFINEMENTS,
    UNGUIDED_CRITERION,
    generator_config,
    reader_config,
    refinement_config,
)
from semples.config.training import (
    ClassifyConfig,
    GuidanceConfig,
    MatchConfig,
    PromptsConfig,
    RefineConfig,
    SegmentConfig,
)
from semples.config.vision_language import VisionLanguageConfig
from semples.errors import ConfigError


def _default_data() -> DataConfig:
    data: DataConfig = reader_config(DataConfig.reader)()
    return data


def _default_generator() -> MaskGeneratorConfig:
    generator: MaskGeneratorConfig = generator_config(MaskGeneratorConfig.name)()
    return generator


def _default_refinements() -> dict[str, RefinementConfig]:
    return {name: refinement_config(name)() for name in REFINEMENTS}


@dataclass(frozen=True)
class Config:
    """All settings of a run; sections ``data`` and ``mask_generator`` depend on the chosen reader and generator."""

    seed: int = 0
    """Seed of scenes, initial weights, order of images and augmentation, 0 to 2^63 - 1."""
    device: str = "auto"
    """Device: "cpu", "cuda", "cuda:1", "mps", or "auto": the first CUDA GPU if there is one, else the CPU."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of training and CAMs (bf16: mixed). "auto": bf16 on CUDA devices that support it, else fp32."""
    checkpoint_seconds: float = 30.0
    """Seconds between checkpoints of a training, 0 or more: about the most that a killed run repeats. 0: after every
    step."""
    published: bool = False
    """Whether to reproduce accidents of the published code (docs/method.md): masked images normalized for ImageNet, the
    token of a full stop inside words after each prompt, and weaktr's positions, leftover pixels and head channels."""
    data: DataConfig = field(default_factory=_default_data)
    vision_language: VisionLanguageConfig = field(default_factory=VisionLanguageConfig)
    mask_generator: MaskGeneratorConfig = field(default_factory=_default_generator)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    classify: ClassifyConfig = field(default_factory=ClassifyConfig)
    match: MatchConfig = field(default_factory=MatchConfig)
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)
    cams: CamsConfig = field(default_factory=CamsConfig)
    pseudo_masks: PseudoMasksConfig = field(default_factory=PseudoMasksConfig)
    refinements: Mapping[str, RefinementConfig] = field(default_factory=_default_refinements)
    """Refinement -> its settings; in YAML each is a section of its own."""
    segment: SegmentConfig = field(default_factory=SegmentConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    report: ReportConfig = field(default_factory=ReportConfig)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"seed: {self.seed} is out of range; expected 0 or more")
        if self.seed >= 2**63:
            raise ConfigError(f"seed: {self.seed} is out of range; expected less than 2^63")
        if self.checkpoint_seconds < 0:
            raise ConfigError(f"checkpoint_seconds: {self.checkpoint_seconds} is out of range; expected 0 or more")
        if CRITERIA[self.criterion].needs_prompts and not self.guidance.enabled:
            raise ConfigError(
                f"pseudo_masks.criterion: {self.criterion} needs guidance, but guidance.enabled is false; "
                "set the criterion to auto"
            )

    @property
    def criterion(self) -> str:
        """Name of the threshold criterion in :data:`semples.config.registry.CRITERIA`, "auto" resolved."""
        if self.pseudo_masks.criterion != "auto":
            return self.pseudo_masks.criterion
        if not self.guidance.enabled:
            return UNGUIDED_CRITERION
        return GUIDED_CRITERION if self.data.is_synthetic else PHOTO_CRITERION

    @property
    def vision_language_model(self) -> str:
        """Checkpoint of the vision-language model, "bundled" resolved for the reader's kind of images."""
        return self._resolved(self.vision_language.model)

    @property
    def segmentation_model(self) -> str:
        """Checkpoint of the segmentation network, "bundled" resolved."""
        return self._resolved(self.segment.model)

    @property
    def generator(self) -> MaskGeneratorConfig:
        """Settings of the mask generator, "bundled" resolved."""
        return self.mask_generator.with_bundled(self._resolved("bundled"))

    def _resolved(self, name: str) -> str:
        if name != "bundled":
            return name
        return "bundled/scenes" if self.data.is_synthetic else "bundled/photos"

    def refinement_steps(self) -> dict[str, RefinementConfig]:
        """Return the settings of the refinement steps of the pseudo masks by name, in order."""
        return {name: self.refinements[name] for name in self.pseudo_masks.refinement}

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain dicts, lists, strings and numbers, in sections as in YAML."""
        sections: dict[str, Any] = {}
        for name, value in asdict(self).items():
            sections |= value if name == "refinements" else {name: value}
        return sections
