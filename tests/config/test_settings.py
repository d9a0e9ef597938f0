"""Loading, overriding and saving of settings: values, and what every error names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from matching import assert_mentions, refusal
from semples.config import Config
from semples.config.loading import config_to_yaml, load_config, save_config
from semples.config.resolver import setting_keys
from semples.data.scenes.settings import DEFAULT_PAIRS, ScenesConfig
from semples.errors import ConfigError


def scenes(config: Config) -> ScenesConfig:
    assert isinstance(config.data, ScenesConfig)
    return config.data


WEAKTR = ["--mask_generator.name=weaktr"]


def error_of(file: Path | None = None, overrides: Mapping[str, Any] | Sequence[str] = ()) -> str:
    return refusal(lambda: load_config(file, overrides), ConfigError)


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    return tmp_path / "my.yaml"


def write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def test_nothing_given_is_the_defaults() -> None:
    assert load_config() == Config()


def test_keys_name_every_setting_once() -> None:
    configs = [
        Config(),
        *(load_config(overrides={"data.reader": reader, "data.root": "x"}) for reader in ("voc", "coco", "folder")),
        *(load_config(overrides={"mask_generator.name": name}) for name in ("weaktr", "clip", "dense")),
    ]
    expected = {
        f"{section}.{name}" if isinstance(value, dict) else section
        for config in configs
        for section, value in config.to_dict().items()
        for name in (value if isinstance(value, dict) else [""])
    }
    assert set(setting_keys()) == expected
    assert len(setting_keys()) == len(expected)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "data:\n"])
def test_empty_file_and_empty_section_set_nothing(settings_file: Path, text: str) -> None:
    assert load_config(write(settings_file, text)) == Config()


def test_file_sets_sections_and_overrides_win(settings_file: Path) -> None:
    write(settings_file, "seed: 3\ndata:\n  bias: 0.5\n  train_size: 20\n")
    config = load_config(settings_file, ["--data.bias", "0.25", "--match.epochs=2"])
    assert config.seed == 3
    assert scenes(config).bias == 0.25
    assert scenes(config).train_size == 20
    assert config.match.epochs == 2
    assert config.refine == Config().refine


def test_file_may_use_anchors_and_dotted_names(settings_file: Path) -> None:
    text = "match: &base\n  epochs: 7\nrefine:\n  <<: *base\n  lambda_suppress: 2\ndata.bias: 0.5\n"
    config = load_config(write(settings_file, text))
    assert (config.match.epochs, config.refine.epochs, config.refine.lambda_suppress) == (7, 7, 2.0)
    assert scenes(config).bias == 0.5


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
        (["--data.reader=folder", "--data.root=x", "--data.classes=[cat, dog]"], "data.classes", ["cat", "dog"]),
        (["--data.reader=voc", "--data.root=x", "--data.val_split=null"], "data.val_split", None),
        (["--mask_generator.output_stride=null"], "mask_generator.output_stride", None),
        (["--data.reader=voc", "--data.root=x", "--data.train_split", "null"], "data.train_split", "null"),
        (["--data.root", "2012"], "data.root", "2012"),
        (["--data.root", "a=b"], "data.root", "a=b"),
        (["--data.reader=voc", "--data.root=x", "--data.labels=xml"], "data.labels", "xml"),
        (["--data.prompt_names.person=player"], "data.prompt_names", {"person": "player"}),
        (["--data.prompt_names.person", "[man, woman]"], "data.prompt_names", {"person": ["man", "woman"]}),
        (["--data.prompt_names.person", "[man"], "data.prompt_names", {"person": "[man"}),
        (["--data.prompt_names.person=7"], "data.prompt_names", {"person": "7"}),
        (["--data.prompt_names={a: b, c: [d, e]}"], "data.prompt_names", {"a": "b", "c": ["d", "e"]}),
        (["--data.background_words.boat", "[water, harbour]"], "data.background_words", {"boat": ["water", "harbour"]}),
        (['--vision_language.templates=["a {}."]'], "vision_language.templates", ["a {}."]),
    ],
)
def test_words_are_read_as_their_setting_wants(words: list[str], key: str, value: object) -> None:
    found: Any = load_config(overrides=words).to_dict()
    for part in key.split("."):
        found = found[part]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--match.lambda_background", "-0.5"], ("match.lambda_background", "-0.5", 0)),
        (["--refine.lambda_background", "-1"], ("refine.lambda_background", "-1.0", 0)),
        (["--refine.lambda_suppress", "-1"], ("refine.lambda_suppress", "-1.0", 0)),
        (["--prompts.lambda_text", "-1"], ("prompts.lambda_text", "-1.0", 0)),
        (["--classify.backbone_rate", "-1"], ("classify.backbone_rate", "-1.0", 0)),
        (["--segment.backbone_rate", "-1"], ("segment.backbone_rate", "-1.0", 0)),
        (["--classify.weight_decay", "-1"], ("classify.weight_decay", "-1.0", 0)),
        (["--data.workers", "-1"], ("data.workers", -1, 0)),
        (["--data.cache_mb", "-1"], ("data.cache_mb", -1, 0)),
        (["--seed", "-1"], ("seed", -1, 0)),
        (["--mask_generator.output_stride", "0"], ("mask_generator.output_stride", 0)),
        (["--augmentation.randaugment_magnitude", "11"], ("augmentation.randaugment_magnitude", 11, 0, 10)),
        (["--augmentation.randaugment_operations=-1"], ("augmentation.randaugment_operations", -1, 0)),
        (["--augmentation.color_jitter=1.5"], ("augmentation.color_jitter", 1.5, 0, 1)),
        (["--augmentation.random_erasing=2"], ("augmentation.random_erasing", "2.0", 0, 1)),
        ([*WEAKTR, "--mask_generator.fusion_reduction", "0"], ("mask_generator.fusion_reduction", 0)),
        ([*WEAKTR, "--mask_generator.fusion_feat_reduction", "-1"], ("mask_generator.fusion_feat_reduction", -1, 0)),
        (
            ["--mask_generator.checkpoint", "weaktr.pth"],
            ("mask_generator.checkpoint", "weaktr", "mask_generator.name", "cam"),
        ),
        (["--segment.largest_scale", "0.5"], ("segment.largest_scale", 0.5, "segment.smallest_scale", 0.8)),
        (["--segment.ema", "1"], ("segment.ema", "1.0", 0, 1)),
        (["--segment.ema", "-0.1"], ("segment.ema", -0.1, 0, 1)),
        (["--segment.color_jitter", "2"], ("segment.color_jitter", "2.0", 0, 1)),
        (["--segment.scales", "[]"], ("segment.scales", "[]", 0)),
        (["--segment.scales", "[1, 0]"], ("segment.scales", "[1.0, 0.0]", 0)),
        (["--segment.schedule", "step"], ("segment.schedule", "step", "cosine", "poly")),
        (["--segment.inference", "crops"], ("segment.inference", "crops", "whole", "slide")),
        (["--data.reader", "voc", "--data.root="], ("data.root",)),
    ],
)
def test_values_out_of_range_are_told_with_the_value(words: list[str], named: Sequence[object]) -> None:
    assert_mentions(error_of(overrides=words), *named)


def test_numbers_that_yaml_reads_as_text_are_numbers(settings_file: Path) -> None:
    assert yaml.safe_load("1e-3") == "1e-3"
    config = load_config(write(settings_file, "match:\n  learning_rate: 1e-3\n  weight_decay: 0\n"))
    assert config.match.learning_rate == 0.001
    assert isinstance(config.match.weight_decay, float)


def test_one_pair_changes_the_mapping_so_far(settings_file: Path) -> None:
    assert scenes(load_config(overrides=["--data.pairs.boat=sand"])).pairs == {**DEFAULT_PAIRS, "boat": "sand"}
    write(settings_file, "data:\n  pairs: {cat: wood, boat: water}\n")
    config = load_config(settings_file, ["--data.pairs.boat", "sand"])
    assert scenes(config).pairs == {"cat": "wood", "boat": "sand"}


def test_a_whole_mapping_replaces_and_a_later_pair_joins_it() -> None:
    words = ['--data.pairs={"cat": "sand"}']
    assert scenes(load_config(overrides=words)).pairs == {"cat": "sand"}
    assert scenes(load_config(overrides=[*words, "--data.pairs.fish=snow"])).pairs == {"cat": "sand", "fish": "snow"}
    assert scenes(load_config(overrides={"data.pairs": {"cat": "sand"}})).pairs == {"cat": "sand"}


def test_class_names_may_hold_points() -> None:
    assert load_config(overrides=["--data.prompt_names.st. bernard=dog"]).data.prompt_names == {"st. bernard": "dog"}


def test_defaults_are_not_changed_by_overrides() -> None:
    load_config(overrides=["--data.pairs.boat=sand", "--data.prompt_names.a=b"])
    assert scenes(Config()).pairs == DEFAULT_PAIRS
    assert Config().data.prompt_names == {}


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--data.rot=x"], ("--data.rot", "root")),
        (["data.rot=x"], ("data.rot", "root")),
        (["--dta.root=x"], ("--dta.root", "data.root")),
        (["--bias=1"], ("--bias", "data.bias")),
        (["--qqq=1"], ("--qqq", "--print_config")),
        (["--guidance.zzz=1"], ("--guidance.zzz", "enabled")),
        (["--guidance=1"], ("--guidance", "enabled")),
        (["--data.bias=high"], ("--data.bias", "high", "number")),
        (["--data.bias=.nan"], ("--data.bias", "nan", "number")),
        (["--data.bias=true"], ("--data.bias", "true", "number")),
        (["--data.bias=1" + 400 * "0"], ("--data.bias", 10**400, "number")),
        (["--seed=1.5"], ("--seed", 1.5, "whole number")),
        (["--seed=true"], ("--seed", "true", "whole number")),
        (["--seed=null"], ("--seed", "null", "whole number")),
        (["--mask_generator.output_stride=1.5"],
         ("--mask_generator.output_stride", 1.5, "whole number", "null")),
        (["--cams.flip=1"], ("--cams.flip", 1, "true", "false")),
        (["--cams.scales=1.0"], ("--cams.scales", "1.0", "list", "number")),
        (["--cams.scales=[a]"], ("--cams.scales", "['a']", "list", "number")),
        (["--data.classes=[yes]"],
         ("--data.classes", "[True]", "list", "text", "null")),
        (["--data.pairs={boat"],
         ("--data.pairs", "{boat", "mapping", "text")),
        (["--data.reader=vco"], ("--data.reader", "vco", "scenes", "voc", "coco", "folder", "import path")),
        (["--seed"], ("--seed",)),
        (["--cams.flip", "--seed=1"], ("--cams.flip",)),
        (["--seed=1", "2"], (2, "--section.key")),
        (["=1"], ("=1", "--section.key")),
    ],
)  # fmt: skip
def test_errors_in_words_name_setting_value_and_what_is_right(words: list[str], named: Sequence[object]) -> None:
    text = error_of(overrides=words)
    assert_mentions(text, *named)
    assert ".yaml" not in text


@pytest.mark.parametrize(
    ("yaml_text", "named"),
    [
        ("seed: 1\ndata:\n  rot: x\n",
         (3, "data.rot", "root")),
        ("\nsed: 1\n", (2, "sed", "seed")),
        ("data:\n  bias: high\n", (2, "data.bias", "high", "number")),
        ("data:\n  bias: 7\n", (2, "data.bias", "7.0", 0, 1)),
        ("data:\n  train_split: 2012\n", (2, "data.train_split", 2012, "text")),
        ("data: 5\n", (1, "data", 5, "section")),
        ("data:\n  pairs: {1: water}\n",
         (2, "data.pairs", "{1: 'water'}", "mapping", "text")),
        ("seed: 1\nseed: 2\n", (2, "seed", 1)),
        ("data:\n  pairs:\n    cat: sand\n    cat: snow\n",
         (4, "data.pairs.cat", 3)),
        ("match: &m {epoch: 1}\nrefine:\n  <<: *m\n",
         (1, "match.epoch", "epochs", "my.yaml", "refine.epoch", "epochs")),
        ("seed: 1\ndata: [1\n", (3, "YAML", "expected ',' or ']', but got '<stream end>'")),
        ("[1, 2]\n", ("settings", "seed: 0")),
    ],
)  # fmt: skip
def test_errors_in_a_file_name_line_setting_value_and_what_is_right(
    settings_file: Path, yaml_text: str, named: Sequence[object]
) -> None:
    text = error_of(write(settings_file, yaml_text))
    assert text.startswith(str(settings_file))
    assert_mentions(text, settings_file, *named)


@pytest.mark.parametrize(
    ("yaml_text", "named"),
    [
        ("\nseed: !!python/name:os.system\n",
         (2, "YAML", "could not determine a constructor for the tag")),
        ("seed: \x00\n", ("YAML", "unacceptable character #x0000")),
        ("seed: 2000-13-41\n", ("YAML", "month must be in 1..12")),
    ],
)  # fmt: skip
def test_errors_of_yaml_itself_are_passed_on(settings_file: Path, yaml_text: str, named: Sequence[object]) -> None:
    assert_mentions(error_of(write(settings_file, yaml_text)), settings_file, *named)


def test_missing_file(settings_file: Path) -> None:
    assert_mentions(error_of(settings_file), settings_file, "No such file or directory", "YAML")


def test_file_that_is_not_text(settings_file: Path) -> None:
    settings_file.write_bytes(b"\xff\xfe\xfa")
    assert_mentions(error_of(settings_file), settings_file, "YAML", "'utf-8' codec can't decode")


def test_all_problems_are_told_together(settings_file: Path) -> None:
    write(settings_file, "data:\n  bias: 7\n  image_size: -1\n")
    words = ["--data.rot=x", "--seed=q", "--classify.epochs=0"]
    text = error_of(settings_file, words)
    in_the_file = (settings_file, 2, "data.bias", "7.0", settings_file, 3, "data.image_size", -1)
    assert_mentions(text, "--data.rot", "root", "--seed", "q", *in_the_file, "--classify.epochs", 0)


def test_one_mistake_is_not_told_twice() -> None:
    # Without its value, root would count as not set, and smallest_scale as above largest_scale.
    text = error_of(overrides={"data.reader": "voc", "data.root": 5})
    assert_mentions(text, "data.root", 5, "text", "null")
    assert text.count("data.root") == 1
    text = error_of(overrides=["--segment.smallest_scale=-1", "--segment.largest_scale=0.2"])
    assert_mentions(text, "--segment.smallest_scale", "-1.0", 0)
    assert "largest_scale" not in text


def test_settings_that_contradict_each_other() -> None:
    assert_mentions(error_of(overrides=["--data.reader=voc"]), "data.root", "voc")


def test_yaml_round_trip(settings_file: Path) -> None:
    words = ["--seed=5", '--data.pairs={"żaba": "1e3", "b": "yes"}', "--match.learning_rate=6e-5", "--cams.scales=[1]"]
    config = load_config(overrides=[*words, "--prompts.words=null", "--vision_language.template=a: {} #1"])
    assert load_config(write(settings_file, config_to_yaml(config))) == config
    assert load_config(overrides=config.to_dict()) == config


def test_saved_file_holds_the_environment_and_can_be_loaded(tmp_path: Path) -> None:
    config = replace(Config(), seed=9)
    path = tmp_path / "run" / "config.yaml"
    save_config(config, path, {"semples": "0.1.0", "device": "cpu"})
    saved = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert saved == {**config.to_dict(), "environment": {"semples": "0.1.0", "device": "cpu"}}
    assert list(saved) == [*config.to_dict(), "environment"]
    assert load_config(path) == config
