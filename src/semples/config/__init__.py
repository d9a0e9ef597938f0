"""Settings of a run: one frozen dataclass per section, checked on creation, all defaults those of the demo.

``load`` and the command line live in :mod:`semples.config.loading`; here is what can be set, and nothing of torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from semples.config.generators import BACKGROUND_WORDS, AugmentationConfig, CamsConfig, MaskGeneratorConfig
from semples.config.inputs import DEFAULT_PAIRS, DataConfig, VisionLanguageConfig
from semples.config.registry import CRITERIA, GUIDED_CRITERION, UNGUIDED_CRITERION
from semples.config.results import (
    DenseCrfConfig,
    EvaluationConfig,
    PixelAdaptiveConfig,
    PseudoMasksConfig,
    RefinementName,
    ReportConfig,
)
from semples.config.stages import (
    ClassifyConfig,
    GuidanceConfig,
    MatchConfig,
    OptimizerConfig,
    PromptsConfig,
    RefineConfig,
    SegmentConfig,
)
from semples.errors import ConfigError

__all__ = [
    "BACKGROUND_WORDS",
    "DEFAULT_PAIRS",
    "AugmentationConfig",
    "CamsConfig",
    "ClassifyConfig",
    "Config",
    "DataConfig",
    "DenseCrfConfig",
    "EvaluationConfig",
    "GuidanceConfig",
    "MaskGeneratorConfig",
    "MatchConfig",
    "OptimizerConfig",
    "PixelAdaptiveConfig",
    "PromptsConfig",
    "PseudoMasksConfig",
    "RefineConfig",
    "RefinementName",
    "ReportConfig",
    "SegmentConfig",
    "VisionLanguageConfig",
]


@dataclass(frozen=True)
class Config:
    """All settings of a run."""

    seed: int = 0
    """Seed of scenes, weights, order and augmentation."""
    device: str = "auto"
    """"auto", "cpu", "cuda", "cuda:1", "mps"."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Mixed precision of training and CAMs; auto: bf16 on CUDA devices that have it, else fp32."""
    checkpoint_seconds: float = 30.0
    """A killed run repeats at most about this many seconds of training; 0 keeps a checkpoint after every step."""
    data: DataConfig = field(default_factory=DataConfig)
    vision_language: VisionLanguageConfig = field(default_factory=VisionLanguageConfig)
    mask_generator: MaskGeneratorConfig = field(default_factory=MaskGeneratorConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    classify: ClassifyConfig = field(default_factory=ClassifyConfig)
    match: MatchConfig = field(default_factory=MatchConfig)
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)
    cams: CamsConfig = field(default_factory=CamsConfig)
    pseudo_masks: PseudoMasksConfig = field(default_factory=PseudoMasksConfig)
    pixel_adaptive: PixelAdaptiveConfig = field(default_factory=PixelAdaptiveConfig)
    dense_crf: DenseCrfConfig = field(default_factory=DenseCrfConfig)
    segment: SegmentConfig = field(default_factory=SegmentConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    report: ReportConfig = field(default_factory=ReportConfig)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}, expected 0 or more")
        if self.seed >= 2**63:
            raise ConfigError(f"seed is {self.seed}, expected less than 2^63")
        if self.checkpoint_seconds < 0:
            raise ConfigError(f"checkpoint_seconds is {self.checkpoint_seconds}, expected 0 or more")
        if CRITERIA[self.criterion].needs_prompts and not self.guidance.enabled:
            raise ConfigError(
                f"pseudo_masks.criterion is {self.criterion}, but guidance.enabled is false: set it to auto"
            )

    @property
    def criterion(self) -> str:
        """Name of the threshold criterion in :data:`semples.config.registry.CRITERIA`, "auto" resolved."""
        if self.pseudo_masks.criterion == "auto":
            return GUIDED_CRITERION if self.guidance.enabled else UNGUIDED_CRITERION
        return self.pseudo_masks.criterion
