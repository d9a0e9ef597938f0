"""Loading, overriding and saving of settings: values, and the text of every error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from semples.config import DEFAULT_PAIRS, Config
from semples.config.loading import SETTING_KEYS, config_to_dict, config_to_yaml, load_config, save_config
from semples.errors import ConfigError


def error_of(file: Path | None = None, overrides: Mapping[str, Any] | Sequence[str] = ()) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(file, overrides)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    return tmp_path / "my.yaml"


def write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def test_nothing_given_is_the_defaults() -> None:
    assert load_config() == Config()


def test_keys_name_every_setting_once() -> None:
    sections = config_to_dict(Config())
    expected = {
        f"{section}.{name}" if isinstance(value, dict) else section
        for section, value in sections.items()
        for name in (value if isinstance(value, dict) else [""])
    }
    assert set(SETTING_KEYS) == expected
    assert len(SETTING_KEYS) == len(expected)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "data:\n"])
def test_empty_file_and_empty_section_set_nothing(settings_file: Path, text: str) -> None:
    assert load_config(write(settings_file, text)) == Config()


def test_file_sets_sections_and_overrides_win(settings_file: Path) -> None:
    write(settings_file, "seed: 3\ndata:\n  bias: 0.5\n  train_size: 20\n")
    config = load_config(settings_file, ["--data.bias", "0.25", "--match.epochs=2"])
    assert config.seed == 3
    assert config.data.bias == 0.25
    assert config.data.train_size == 20
    assert config.match.epochs == 2
    assert config.refine == Config().refine


def test_file_may_use_anchors_and_dotted_names(settings_file: Path) -> None:
    text = "match: &base\n  epochs: 7\nrefine:\n  <<: *base\n  lambda_suppress: 2\ndata.bias: 0.5\n"
    config = load_config(write(settings_file, text))
    assert (config.match.epochs, config.refine.epochs, config.refine.lambda_suppress) == (7, 7, 2.0)
    assert config.data.bias == 0.5


def test_overrides_by_name_by_section_and_by_word_agree() -> None:
    by_name = load_config(overrides={"data.bias": 0.5, "data.root": Path("photos")})
    by_section = load_config(overrides={"data": {"bias": 0.5, "root": "photos"}})
    by_word = load_config(overrides=["data.bias=0.5", "--data.root", "photos"])
    assert by_name == by_section == by_word
    assert by_word.data.root == "photos"


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["--seed", "7"], "seed", 7),
        (["--cams.flip", "false"], "cams.flip", False),
        (["--guidance.enabled=true"], "guidance.enabled", True),
        (["--classify.learning_rate=1e-3"], "classify.learning_rate", 0.001),
        (["--classify.learning_rate", "2"], "classify.learning_rate", 2.0),
        (["--cams.scales", "[1, 1.5]"], "cams.scales", [1.0, 1.5]),
        (["--data.classes=[cat, dog]"], "data.classes", ["cat", "dog"]),
        (["--data.val_split=null"], "data.val_split", None),
        (["--mask_generator.output_stride=null"], "mask_generator.output_stride", None),
        (["--data.train_split", "null"], "data.train_split", "null"),
        (["--data.root", "2012"], "data.root", "2012"),
        (["--data.root", "a=b"], "data.root", "a=b"),
        (["--data.labels=xml"], "data.labels", "xml"),
        (["--data.prompt_names.person=player"], "data.prompt_names", {"person": "player"}),
    ],
)
def test_words_are_read_as_their_setting_wants(words: list[str], key: str, value: object) -> None:
    found: Any = config_to_dict(load_config(overrides=words))
    for part in key.split("."):
        found = found[part]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--match.lambda_background", "-0.5"], "match.lambda_background is -0.5, expected 0 or more"),
        (["--refine.lambda_background", "-1"], "refine.lambda_background is -1.0, expected 0 or more"),
        (["--refine.lambda_suppress", "-1"], "refine.lambda_suppress is -1.0, expected 0 or more"),
        (["--prompts.lambda_text", "-1"], "prompts.lambda_text is -1.0, expected 0 or more"),
        (["--classify.backbone_rate", "-1"], "classify.backbone_rate is -1.0, expected 0 or more"),
        (["--segment.backbone_rate", "-1"], "segment.backbone_rate is -1.0, expected 0 or more"),
        (["--classify.weight_decay", "-1"], "classify.weight_decay is -1.0, expected 0 or more"),
        (["--data.workers", "-1"], "data.workers is -1, expected 0 or more"),
        (["--data.cache_mb", "-1"], "data.cache_mb is -1, expected 0 or more"),
        (["--seed", "-1"], "seed is -1, expected 0 or more"),
        (["--mask_generator.output_stride", "0"], "output_stride is 0, expected a number above 0"),
        (["--augmentation.randaugment_magnitude", "11"], "randaugment_magnitude is 11, expected a number from 0 to 10"),
        (["--augmentation.randaugment_operations=-1"], "randaugment_operations is -1, expected 0 or more"),
        (["--augmentation.color_jitter=1.5"], "color_jitter is 1.5, expected a number from 0 to 1"),
        (["--augmentation.random_erasing=2"], "random_erasing is 2.0, expected a number from 0 to 1"),
        (["--mask_generator.fusion_reduction", "0"], "mask_generator.fusion_reduction is 0, expected a number above 0"),
        (["--mask_generator.fusion_feat_reduction", "-1"], "fusion_feat_reduction is -1, expected a number above 0"),
        (["--mask_generator.checkpoint", "weaktr.pth"], "checkpoint is for weaktr, but mask_generator.name is cam"),
        (["--segment.largest_scale", "0.5"], r"largest_scale is 0.5, expected segment.smallest_scale \(0.8\) or more"),
        (["--segment.ema", "1"], r"segment.ema is 1.0, expected 0 \(off\) or a number below 1"),
        (["--segment.ema", "-0.1"], r"segment.ema is -0.1, expected 0 \(off\)"),
        (["--segment.color_jitter", "2"], "segment.color_jitter is 2.0, expected a number from 0 to 1"),
        (["--segment.scales", "[]"], r"segment.scales is \[\], expected at least one number above 0"),
        (["--segment.scales", "[1, 0]"], r"segment.scales is \[1.0, 0.0\], expected at least one number above 0"),
        (["--segment.schedule", "step"], 'segment.schedule is "step", expected one of "cosine", "poly"'),
        (["--segment.inference", "crops"], 'segment.inference is "crops", expected one of "whole", "slide"'),
        (["--data.reader", "voc", "--data.root="], "data.root is not set"),
    ],
)
def test_values_out_of_range_are_told_with_the_value(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(overrides=words)


def test_numbers_that_yaml_reads_as_text_are_numbers(settings_file: Path) -> None:
    assert yaml.safe_load("1e-3") == "1e-3"
    config = load_config(write(settings_file, "match:\n  learning_rate: 1e-3\n  weight_decay: 0\n"))
    assert config.match.learning_rate == 0.001
    assert isinstance(config.match.weight_decay, float)


def test_one_pair_changes_the_mapping_so_far(settings_file: Path) -> None:
    assert load_config(overrides=["--data.pairs.boat=sand"]).data.pairs == {**DEFAULT_PAIRS, "boat": "sand"}
    write(settings_file, "data:\n  pairs: {cat: wood, boat: water}\n")
    config = load_config(settings_file, ["--data.pairs.boat", "sand"])
    assert config.data.pairs == {"cat": "wood", "boat": "sand"}


def test_a_whole_mapping_replaces_and_a_later_pair_joins_it() -> None:
    words = ['--data.pairs={"cat": "sand"}']
    assert load_config(overrides=words).data.pairs == {"cat": "sand"}
    assert load_config(overrides=[*words, "--data.pairs.fish=snow"]).data.pairs == {
        "cat": "sand",
        "fish": "snow",
    }
    assert load_config(overrides={"data.pairs": {"cat": "sand"}}).data.pairs == {"cat": "sand"}


def test_class_names_may_hold_points() -> None:
    assert load_config(overrides=["--data.prompt_names.st. bernard=dog"]).data.prompt_names == {"st. bernard": "dog"}


def test_defaults_are_not_changed_by_overrides() -> None:
    load_config(overrides=["--data.pairs.boat=sand", "--data.prompt_names.a=b"])
    assert Config().data.pairs == DEFAULT_PAIRS
    assert Config().data.prompt_names == {}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--data.rot=x"], '--data.rot is not a setting of section "data". Did you mean "root"?'),
        (["data.rot=x"], 'data.rot is not a setting of section "data". Did you mean "root"?'),
        (["--dta.root=x"], '--dta.root is not a setting. Did you mean "data.root"?'),
        (["--bias=1"], '--bias is not a setting. Did you mean "data.bias"?'),
        (["--qqq=1"], "--qqq is not a setting, expected one of those that run --print_config lists"),
        (["--guidance.zzz=1"], '--guidance.zzz is not a setting of section "guidance". It has: enabled'),
        (["--guidance=1"], "--guidance is a section, expected one of its settings: enabled"),
        (["--data.bias=high"], '--data.bias is "high", expected a number'),
        (["--data.bias=.nan"], "--data.bias is nan, expected a number"),
        (["--data.bias=true"], "--data.bias is true, expected a number"),
        (["--data.bias=1" + 400 * "0"], f"--data.bias is 1{400 * '0'}, expected a number"),
        (["--seed=1.5"], "--seed is 1.5, expected a whole number"),
        (["--seed=true"], "--seed is true, expected a whole number"),
        (["--seed=null"], "--seed is null, expected a whole number"),
        (["--mask_generator.output_stride=1.5"],
         "--mask_generator.output_stride is 1.5, expected a whole number, or null"),
        (["--cams.flip=1"], "--cams.flip is 1, expected true or false"),
        (["--cams.scales=1.0"], "--cams.scales is 1.0, expected a list, each item a number"),
        (["--cams.scales=[a]"], "--cams.scales is ['a'], expected a list, each item a number"),
        (["--data.classes=[yes]"],
         "--data.classes is [True], expected a list, each item text in quotes, or null"),
        (["--data.pairs={boat"],
         '--data.pairs is "{boat", expected a mapping, each key and value text in quotes'),
        (["--data.reader=vco"], '--data.reader is "vco", expected one of "scenes", "voc", "coco", "folder", '
         'or an import path such as "my_reader.read"'),
        (["--seed"], "--seed has no value, expected --seed VALUE"),
        (["--cams.flip", "--seed=1"], "--cams.flip has no value, expected --cams.flip VALUE"),
        (["--seed=1", "2"], 'unexpected argument "2", expected --section.key VALUE'),
        (["=1"], 'unexpected argument "=1", expected --section.key VALUE'),
    ],
)  # fmt: skip
def test_text_of_errors_in_words(words: list[str], text: str) -> None:
    assert error_of(overrides=words) == text


@pytest.mark.parametrize(
    ("yaml_text", "text"),
    [
        ("seed: 1\ndata:\n  rot: x\n",
         ':3: data.rot is not a setting of section "data". Did you mean "root"?'),
        ("\nsed: 1\n", ':2: sed is not a setting. Did you mean "seed"?'),
        ("data:\n  bias: high\n", ':2: data.bias is "high", expected a number'),
        ("data:\n  bias: 7\n", ":2: data.bias is 7.0, expected a number from 0 to 1"),
        ("data:\n  train_split: 2012\n", ":2: data.train_split is 2012, expected text in quotes"),
        ("data: 5\n", ":1: data is 5, expected a section with settings in it"),
        ("data:\n  pairs: {1: water}\n",
         ":2: data.pairs is {1: 'water'}, expected a mapping, each key and value text in quotes"),
        ("seed: 1\nseed: 2\n", ":2: seed is given twice, first in line 1; keep one of them"),
        ("data:\n  pairs:\n    cat: sand\n    cat: snow\n",
         ":4: data.pairs.cat is given twice, first in line 3; keep one of them"),
        ("match: &m {epoch: 1}\nrefine:\n  <<: *m\n",
         ':1: match.epoch is not a setting of section "match". Did you mean "epochs"?; '
         'FILE: refine.epoch is not a setting of section "refine". Did you mean "epochs"?'),
        ("seed: 1\ndata: [1\n", ":3: not valid YAML: expected ',' or ']', but got '<stream end>'; correct that line"),
        ("[1, 2]\n", ' is not a mapping, expected settings such as "seed: 0"'),
    ],
)  # fmt: skip
def test_text_of_errors_in_a_file(settings_file: Path, yaml_text: str, text: str) -> None:
    expected = f"{settings_file}{text}".replace("FILE", str(settings_file))
    assert error_of(write(settings_file, yaml_text)) == expected


@pytest.mark.parametrize(
    ("yaml_text", "start"),
    [
        ("\nseed: !!python/name:os.system\n",
         ":2: not valid YAML: could not determine a constructor for the tag"),
        ("seed: \x00\n", ": not valid YAML: unacceptable character #x0000"),
        ("seed: 2000-13-41\n", ": not valid YAML: month must be in 1..12"),
    ],
)  # fmt: skip
def test_start_of_errors_of_yaml_itself(settings_file: Path, yaml_text: str, start: str) -> None:
    assert error_of(write(settings_file, yaml_text)).startswith(f"{settings_file}{start}")


def test_missing_file(settings_file: Path) -> None:
    expected = f"{settings_file} cannot be read (No such file or directory): give a YAML file of settings"
    assert error_of(settings_file) == expected


def test_file_that_is_not_text(settings_file: Path) -> None:
    settings_file.write_bytes(b"\xff\xfe\xfa")
    assert error_of(settings_file).startswith(f"{settings_file}: not valid YAML: 'utf-8' codec can't decode")


def test_all_problems_are_told_together(settings_file: Path) -> None:
    write(settings_file, "data:\n  bias: 7\n  image_size: -1\n")
    words = ["--data.rot=x", "--seed=q", "--classify.epochs=0"]
    assert error_of(settings_file, words).split("; ") == [
        '--data.rot is not a setting of section "data". Did you mean "root"?',
        '--seed is "q", expected a whole number',
        f"{settings_file}:2: data.bias is 7.0, expected a number from 0 to 1",
        f"{settings_file}:3: data.image_size is -1, expected a number above 0",
        "--classify.epochs is 0, expected a number above 0",
    ]


def test_one_mistake_is_not_told_twice() -> None:
    # Without its value, root would count as not set, and smallest_scale as above largest_scale.
    assert (
        error_of(overrides={"data.reader": "voc", "data.root": 5}) == "data.root is 5, expected text in quotes, or null"
    )
    words = ["--segment.smallest_scale=-1", "--segment.largest_scale=0.2"]
    assert error_of(overrides=words) == "--segment.smallest_scale is -1.0, expected a number above 0"


def test_settings_that_contradict_each_other() -> None:
    text = error_of(overrides=["--data.reader=voc"])
    assert text == "data.root is not set: give the folder of your images (reader voc)"


def test_yaml_round_trip(settings_file: Path) -> None:
    words = [
        "--seed=5",
        '--data.pairs={"żaba": "1e3", "b": "yes"}',
        "--match.learning_rate=6e-5",
        "--cams.scales=[1]",
    ]
    config = load_config(overrides=[*words, "--data.val_split=null", "--vision_language.template=a: {} #1"])
    assert load_config(write(settings_file, config_to_yaml(config))) == config
    assert load_config(overrides=config_to_dict(config)) == config


def test_saved_file_holds_the_environment_and_can_be_loaded(tmp_path: Path) -> None:
    config = replace(Config(), seed=9)
    path = tmp_path / "run" / "config.yaml"
    save_config(config, path, {"semples": "0.1.0", "device": "cpu"})
    saved = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert saved == {**config_to_dict(config), "environment": {"semples": "0.1.0", "device": "cpu"}}
    assert list(saved) == [*config_to_dict(config), "environment"]
    assert load_config(path) == config
