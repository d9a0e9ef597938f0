"""Settings that depend on a choice: readers, generators and refinements with their own, old names, ``published``."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import semples
from matching import assert_mentions, mentions, refusal
from run_files import TINY
from semples.cli import main
from semples.config import Config
from semples.config.loading import changed_config, config_to_yaml, default_settings, load_config
from semples.data.custom import read_own
from semples.errors import ConfigError, SettingWarning

MODULE = """
from torch import nn
from torch.nn import functional as F
from semples.models.mask_generators import MaskGenerator, MaskGeneratorOutput
from semples.records import ClassCatalogue, Dataset, Sample


class HiddenGenerator(MaskGenerator):
    def __init__(self, num_classes, backbone, output_stride, kernel_size, hidden: int, scale: float = 1.0):
        super().__init__()
        self.hidden = hidden
        self.head = nn.Sequential(nn.Conv2d(3, hidden, 4, 4), nn.ReLU(), nn.Conv2d(hidden, num_classes, 1))

    def forward(self, pixels, labels=None):
        maps = self.head(pixels)
        return MaskGeneratorOutput(cams=F.relu(maps), logits={"cam": maps.mean(dim=(2, 3))})

    def trunk_parameters(self):
        return []

    def head_parameters(self):
        return list(self.head.parameters())

    def freeze_trunk(self):
        pass


def read(root, suffix: str = ".png", first=None):
    paths = sorted(root.glob("*" + suffix))
    samples = tuple(Sample(path.stem, path, (4, 6), (0,)) for path in paths)
    return Dataset(ClassCatalogue(("cat",), ("cat",)), samples, ())
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a user's module with a generator and a reader that have options."""
    (tmp_path / "my_parts.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_parts", raising=False)
    return "my_parts"


def warned(settings: Any) -> tuple[Config, list[str]]:
    """Load settings; return the config and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        config = load_config(overrides=settings)
    assert all(issubclass(each.category, SettingWarning) for each in caught)
    return config, [str(each.message) for each in caught]


@pytest.mark.parametrize(
    ("setting", "value"), [("data.val_fraction", "-0.1"), ("mask_generator.fusion_reduction", "0")]
)
def test_a_setting_of_another_part_is_checked_all_the_same(setting: str, value: str) -> None:
    with pytest.raises(ConfigError, match=mentions(f"--{setting}", value)):
        load_config(overrides=[f"--{setting}={value}"])


def test_a_section_shows_the_settings_of_the_chosen_part_alone() -> None:
    scenes, voc = (load_config(overrides=words).to_dict() for words in ([], ["--data.reader=voc", "--data.root=x"]))
    assert {"pairs", "bias"} <= scenes["data"].keys()
    assert "train_split" not in scenes["data"]
    assert {"train_split", "labels"} <= voc["data"].keys()
    assert "pairs" not in voc["data"]
    weaktr = load_config(overrides={"mask_generator.name": "weaktr"}).to_dict()["mask_generator"]
    clip = load_config(overrides={"mask_generator.name": "clip"}).to_dict()["mask_generator"]
    dense = load_config(overrides={"mask_generator.name": "dense"}).to_dict()["mask_generator"]
    assert dense.keys() - clip.keys() == {
        "attention",
        "competing_prompts",
        "keep_background_words",
        "softmax_scale",
        "window",
    }
    assert "fusion_pool" in weaktr
    assert "output_stride" not in weaktr
    assert "backbone" not in clip


def test_the_order_of_choice_and_setting_does_not_matter() -> None:
    words = ["--mask_generator.fusion_pool=average", "--mask_generator.name=weaktr"]
    assert load_config(overrides=words) == load_config(overrides=words[::-1])


def test_a_setting_of_another_part_is_told_and_has_no_effect() -> None:
    config, (note,) = warned(["--mask_generator.fusion_reduction=4"])
    assert_mentions(note, "--mask_generator.fusion_reduction", "weaktr", "mask_generator.name", "cam")
    assert config == Config()
    assert warned(["--mask_generator.fusion_reduction=8"]) == (Config(), [])  # its default says nothing
    _, (note,) = warned(["--data.val_size=4", "--data.reader=voc", "--data.root=x"])  # chosen later
    assert_mentions(note, "--data.val_size", "scenes", "data.reader", "voc")


def test_a_file_named_for_another_part_is_an_error() -> None:
    text = refusal(lambda: load_config(overrides=["--data.classes=[cat]"]), ConfigError)
    assert_mentions(text, "--data.classes", "folder", "data.reader", "scenes")


def test_the_command_line_shows_notes_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--print_config", "--mask_generator.fusion_reduction=4"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert_mentions(line, "semples: note: ", "--mask_generator.fusion_reduction")


def test_an_old_name_is_taken_and_the_new_one_told() -> None:
    config, (note,) = warned(["--pixel_adaptive.colour_scale=0.3"])
    assert config.to_dict()["pixel_adaptive"]["color_scale"] == 0.3
    assert_mentions(note, "--pixel_adaptive.colour_scale", "color_scale")


OLD = {
    "vision_language.prompt_stop": "bare",
    "vision_language.normalization": "imagenet",
    "mask_generator.head_channels": "strided",
    "mask_generator.position_interpolation": "offset",
    "mask_generator.leftover": "drop",
}


def test_the_old_choices_of_the_published_code_are_one_switch() -> None:
    config, (note,) = warned({"mask_generator.name": "weaktr", **OLD})
    assert config.published
    assert_mentions(note, "published")
    clean = {"vision_language.prompt_stop": "word", "mask_generator.leftover": "resize"}
    assert warned({"mask_generator.name": "weaktr", **clean}) == (
        load_config(overrides={"mask_generator.name": "weaktr"}),
        [],
    )


def test_old_choices_that_contradict_each_other_are_refused() -> None:
    mixed = {**OLD, "mask_generator.leftover": "resize"}
    assert_mentions(refusal(lambda: load_config(overrides=mixed), ConfigError), "leftover", "resize", "published")
    odd = {"mask_generator.leftover": "dorp"}
    assert_mentions(refusal(lambda: load_config(overrides=odd), ConfigError), "leftover", "dorp", "resize", "drop")


def test_published_reaches_the_models() -> None:
    parts = {"mask_generator.name": "weaktr", "published": True}
    from semples.config.mask_generator import GeneratorParts

    generator = load_config(overrides=parts).mask_generator.build(GeneratorParts(("cat",), None, published=True))
    assert generator.fusion.channels == "strided"
    assert (generator.trunk.interpolation, generator.trunk.leftover) == ("offset", "drop")


def test_a_changed_config_may_have_another_part() -> None:
    config = load_config(overrides={"mask_generator.output_stride": 16, "mask_generator.image_size": 64})
    changed = changed_config(config, {"mask_generator.name": "clip", "cams.scales": [1.0]})
    assert (changed.mask_generator.name, changed.mask_generator.image_size) == ("clip", 64)
    assert changed.data == config.data


def test_defaults_are_those_of_the_chosen_parts() -> None:
    assert "train_split" in default_settings({"data": {"reader": "voc"}})["data"]
    assert default_settings({"data": {"reader": "no such reader"}}) == Config().to_dict()


def test_options_of_a_users_generator(module: str, tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(f"mask_generator:\n  name: {module}.HiddenGenerator\n  options: {{hidden: 8, scale: 2}}\n")
    config = load_config(file)
    assert config.to_dict()["mask_generator"]["options"] == {"hidden": 8, "scale": 2}
    again = tmp_path / "again.yaml"
    again.write_text(config_to_yaml(config))
    assert load_config(again) == config
    run = semples.run(load_config(file, TINY), tmp_path / "run", until="classify", quiet=True)
    assert (run / "0-classify" / "cams").is_dir()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("{hiden: 8}", (3, "mask_generator.options.hiden", "hidden")),
        ("{hidden: many}", (3, "mask_generator.options.hidden", "many", "whole number")),
        ("{scale: 2}", (3, "mask_generator.options.hidden", "HiddenGenerator")),
        ("{hidden: 8, backbone: x}", (3, "mask_generator.options.backbone")),
        ("8", (3, "mask_generator.options", 8, "mapping")),
    ],
)
def test_wrong_options_name_line_option_and_what_is_right(
    options: str, named: tuple[object, ...], module: str, tmp_path: Path
) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(f"mask_generator:\n  name: {module}.HiddenGenerator\n  options: {options}\n")
    assert_mentions(refusal(lambda: load_config(file), ConfigError), "my.yaml", *named)


def test_options_on_the_command_line(module: str) -> None:
    words = [f"--mask_generator.name={module}.HiddenGenerator", "--mask_generator.options.hidden=16"]
    assert load_config(overrides=words).to_dict()["mask_generator"]["options"] == {"hidden": 16}
    wrong = [*words, "--mask_generator.options.hiden=3"]
    text = refusal(lambda: load_config(overrides=wrong), ConfigError)
    assert_mentions(text, "--mask_generator.options.hiden", "hidden")


def test_options_that_are_missing_are_told_before_anything_runs(module: str, tmp_path: Path) -> None:
    config = load_config(overrides={**TINY, "mask_generator.name": f"{module}.HiddenGenerator"})
    text = refusal(lambda: semples.run(config, tmp_path / "run", quiet=True), ConfigError)
    assert_mentions(text, "mask_generator.options.hidden")


def test_options_of_a_users_reader(module: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    read = f"{module}.read"
    config = load_config(overrides={"data": {"reader": read, "root": str(tmp_path), "options": {"suffix": ".jpg"}}})
    dataset = config.data.read(tmp_path, 0, lambda _: (4, 6))
    assert [sample.id for sample in dataset.train] == ["a"]
    words = [f"--data.reader={read}", f"--data.root={tmp_path}", "--data.options.sufix=.jpg"]
    text = refusal(lambda: load_config(overrides=words), ConfigError)
    assert_mentions(text, "--data.options.sufix", "suffix")
    text = refusal(lambda: read_own(read, tmp_path, options={"suffix": 3}), ConfigError)
    assert_mentions(text, "data.options.suffix", 3, "text")
