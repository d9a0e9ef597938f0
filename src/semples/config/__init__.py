"""Settings of a run: one frozen dataclass per section, checked on creation; the defaults suit the built-in scenes.

``schema`` has all sections, ``loading`` reads them from YAML and the command line, and ``registry`` lists the parts
whose settings live next to their code: readers, mask generators and refinements. Nothing here imports torch.
"""

from __future__ import annotations

from semples.config.augmentation import AugmentationConfig, CamsConfig
from semples.config.data import DataConfig
from semples.config.mask_generator import BACKGROUND_WORDS, MaskGeneratorConfig
from semples.config.outputs import EvaluationConfig, PseudoMasksConfig, ReportConfig
from semples.config.refinement import RefinementConfig
from semples.config.schema import Config
from semples.config.training import (
    ClassifyConfig,
    GuidanceConfig,
    MatchConfig,
    OptimizerConfig,
    PromptsConfig,
    RefineConfig,
    SegmentConfig,
)
from semples.config.vision_language import VisionLanguageConfig

__all__ = [
    "BACKGROUND_WORDS",
    "AugmentationConfig",
    "CamsConfig",
    "ClassifyConfig",
    "Config",
    "DataConfig",
    "EvaluationConfig",
    "GuidanceConfig",
    "MaskGeneratorConfig",
    "MatchConfig",
    "OptimizerConfig",
    "PromptsConfig",
    "PseudoMasksConfig",
    "RefineConfig",
    "RefinementConfig",
    "ReportConfig",
    "SegmentConfig",
    "VisionLanguageConfig",
]
