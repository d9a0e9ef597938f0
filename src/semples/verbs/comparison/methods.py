"""The table of compared methods: stages of the pipeline under some settings, and a few extra stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from semples.config import Config
from semples.config.loading import changed_config
from semples.data.scenes.settings import ScenesConfig
from semples.errors import ConfigError, ModelError
from semples.models.vision_language.background_words import usable_words
from semples.runtime.cam_files import write_cams
from semples.runtime.context import Run
from semples.stages.digest import GENERATOR, GUIDED
from semples.stages.guided import suppress_backgrounds
from semples.stages.pipeline import STAGES, Stage


def _manual(run: Run) -> None:
    """Run stage 3 with the true context word of each class in place of its learned prompt."""
    assert isinstance(run.config.data, ScenesConfig)
    contexts = [run.config.data.pairs[name] for name in run.dataset.catalogue.names]
    with torch.no_grad():
        features = run.models.vision_language.encode_classes(contexts, setting="data.pairs")
    suppress_backgrounds(run, "manual", features)


def _generic(run: Run) -> None:
    """Run stage 3 with one hand-written list of words for all classes, as in CLIMS (arXiv 2203.02668).

    The loss is the mean over the words, none of which the foreground may match.
    """
    with torch.no_grad():
        features = run.models.vision_language.encode_classes(_generic_words(run))
    suppress_backgrounds(run, "generic", features.expand(run.num_classes, -1, -1))


def _clip_es(run: Run) -> None:
    """Compute CAMs of the vision-language model itself against generic words, as in CLIP-ES, without training."""
    write_cams(run, "clip-es", run.models.build_generator())


def _generic_words(run: Run) -> list[str]:
    models, words = run.models, run.config.mask_generator.background_words
    return usable_words(models.vision_language, models.phrases, words, models.background_words_of_classes)


_GUIDED_ALONE = (*GENERATOR, *GUIDED, "refine", "cams")
CLIP_SETTINGS = {"mask_generator.name": "clip", "cams.scales": [1.0]}
"""Settings for the CAMs of the clip generator: scales above 1 harm it (``docs/log.md``)."""


MIXTURE_RATE = 0.1
"""Learning rate of mixtures: logits over words have to move further than vectors in the token space."""


@dataclass(frozen=True)
class Method:
    """One row of the comparison.

    Attributes:
        stage: The stage whose result is scored.
        until: The last stage of the pipeline that it needs, or None.
        extra: A stage outside the pipeline that runs after those, or None.
        settings: Settings that differ from the comparison's. The pipeline of such a row has a run directory of its
            own; an extra stage writes into the common one.
        on_scenes: Whether the row is compared on scenes unless methods are named.
        on_photographs: The same on all other data.
    """

    stage: str
    until: str | None = None
    extra: Stage | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    on_scenes: bool = True
    on_photographs: bool = True

    @property
    def is_separate(self) -> bool:
        """Whether the row has a run directory of its own."""
        return bool(self.settings) and self.extra is None

    @property
    def learns_prompts(self) -> bool:
        """Whether the row learns prompts."""
        return self.stage == "refine"

    def is_random(self, config: Config) -> bool:
        """Return whether the seed has an effect on the row, on the same images."""
        config = changed_config(config, self.settings)
        if config.mask_generator.generator_class().is_trainable:
            return True
        return self.learns_prompts and (config.prompts.kind != "picked" or config.prompts.views > 1)


def _dense(stage: str, **settings: Any) -> Method:
    """Return a row of generator dense, at a stage of the pipeline."""
    named = {key.replace("__", "."): value for key, value in settings.items()}
    return Method(stage, stage, settings={"mask_generator.name": "dense", **named}, on_scenes=False)


METHODS = {
    "classify": Method("classify", "classify"),
    "match": Method("match", "match"),
    "generic": Method(
        "generic", "classify", Stage("generic", _generic, _GUIDED_ALONE, ("classify",)), on_photographs=False
    ),
    "manual": Method(
        "manual", "classify", Stage("manual", _manual, _GUIDED_ALONE, ("classify",)), on_photographs=False
    ),
    "clip-es": Method("clip-es", None, Stage("clip-es", _clip_es, (*GENERATOR, *GUIDED, "cams")), CLIP_SETTINGS),
    "full": Method("refine", "refine"),
    "dense-none": _dense("classify", mask_generator__background_words=[], data__background_words={}),
    "dense-generic": _dense("classify"),
    "dense-picked": _dense("refine", prompts__kind="picked", prompts__regions="places"),
    "dense-mixtures": _dense(
        "refine", prompts__kind="mixtures", prompts__regions="places", prompts__learning_rate=MIXTURE_RATE
    ),
    "dense-vectors": _dense("refine", prompts__kind="vectors", prompts__regions="pictures"),
    "dense-vectors-places": _dense("refine", prompts__kind="vectors", prompts__regions="places"),
    "supervised-bound": Method(
        "supervised-bound", None, next(stage for stage in STAGES if stage.name == "supervised-bound")
    ),
}
"""Name on the command line -> method, in the order of the table (:data:`semples.rundir.labels.METHOD_LABELS`)."""


def default_methods(config: Config) -> list[str]:
    """Return the methods that are compared unless some are named; the bound on photographs only if it is asked for."""
    if isinstance(config.data, ScenesConfig):
        return [name for name, method in METHODS.items() if method.on_scenes]
    left_out = () if config.segment.supervised_bound else ("supervised-bound",)
    return [name for name, method in METHODS.items() if method.on_photographs and name not in left_out]


def why_left_out(name: str, run: Run) -> str | None:
    """Return why a method cannot run on the data and with the models of this run, or None if it can."""
    generator = run.config.mask_generator
    if name == "manual" and not isinstance(run.config.data, ScenesConfig):
        return "the contexts of these images are unknown"
    if name == "supervised-bound" and not all(
        any(sample.mask_path for sample in split) for split in (run.dataset.train, run.dataset.val)
    ):
        return "it needs training images and held-out images with ground-truth masks"
    if name == "dense-generic" and not (generator.background_words or run.models.background_words_of_classes):
        return "mask_generator.background_words is empty"
    if name not in ("generic", "clip-es"):
        return None
    if not run.models.trains_generator:
        return f"mask generator {generator.name} contrasts generic words itself, in stage classify"
    try:
        _generic_words(run)
        if name == "clip-es":
            run.models.vision_language.cut(torch.zeros(1, 3, 64, 64, device=run.device))
    except (ConfigError, ModelError) as error:
        return str(error)
    return None
