"""Every recipe in configs/ loads, and names no setting that does not exist."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from alternatives import write_alternative
from conftest import REPOSITORY
from semples.config.loading import config_to_yaml, load_config


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_it_loads_and_survives_a_round_trip(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    written = tmp_path / "again.yaml"
    written.write_text(config_to_yaml(config))
    assert load_config(written) == config


@pytest.mark.parametrize("name", ["folder", "photos", "scenes"])
def test_it_needs_no_model_but_the_bundled_ones(name: str) -> None:
    config = load_config(REPOSITORY / "configs" / f"{name}.yaml")
    named = {config.vision_language_model, config.segmentation_model}
    named |= {checkpoint.name for checkpoint in config.generator.checkpoints()}
    assert named == {"bundled/scenes" if name == "scenes" else "bundled/photos"}


@pytest.mark.filterwarnings("error::semples.errors.SettingWarning")
def test_the_commented_generator_of_the_folder_recipe_loads(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "configs" / "folder.yaml", tmp_path)
    config = load_config(write_alternative(tmp_path / "folder.yaml"))
    assert (config.mask_generator.name, config.generator.checkpoints()[0].name) == ("cam", "bundled/photos")
    assert config.refine.lambda_suppress == 0.5


PUBLISHED = {
    "voc2012": {"match": (60, 64, 5.12e-4), "prompts": (60, 128, 0.1), "refine": (60, 64, 5.12e-4)},
    "coco2014": {"match": (60, 32, 5.12e-6), "prompts": (60, 128, 0.01), "refine": (60, 24, 5.12e-6)},
}
"""Epochs, batch size and rate as printed in the paper's appendix; the effective rate is rate * batch / 512."""
WEIGHTS = {"voc2012": (2.4, 0.02, 0.05), "coco2014": (0.75, 0.01, 0.2)}
"""lambda_b, lambda_t and lambda_r."""


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_papers_recipes_hold_its_values(name: str) -> None:
    config = load_config(REPOSITORY / "configs" / f"{name}.yaml")
    for stage, (epochs, batch, rate) in PUBLISHED[name].items():
        settings = getattr(config, stage)
        assert (settings.epochs, settings.batch_size, settings.weight_decay) == (epochs, batch, 0.03)
        assert settings.learning_rate == pytest.approx(rate * batch / 512)
        assert settings.warmup == 0
    assert (config.match.lambda_background, config.prompts.lambda_text, config.refine.lambda_suppress) == WEIGHTS[name]
    assert config.refine.lambda_background == config.match.lambda_background
    assert (config.prompts.length, config.prompts.start, config.prompts.approach) == (30, "uniform", 0)
    augmentation = config.augmentation
    assert (augmentation.randaugment_operations, augmentation.randaugment_magnitude) == (2, 9)
    assert (augmentation.color_jitter, augmentation.random_erasing) == (0.4, 0.25)
