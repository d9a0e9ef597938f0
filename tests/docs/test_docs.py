"""What the documentation promises is run."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from documented_commands import PAGES, fenced
from PIL import Image
from safetensors.torch import load_file

import semples
import tiny
from conftest import REPOSITORY
from matching import mentions
from run_files import TINY, statuses
from semples.config.loading import load_config
from semples.config.plugins import import_object
from semples.config.registry import CRITERIA, GENERATORS, READERS, REFINEMENTS, generator_config
from semples.config.resolver import setting_keys
from semples.data.custom import OwnReaderConfig, read_own
from semples.errors import ConfigError
from semples.models.generators.own import OwnGeneratorConfig
from semples.models.vision_language.loading import KINDS, load_vision_language_model

pytestmark = pytest.mark.whole

SOURCE = REPOSITORY / "src" / "semples"
EXTENDING = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")

SMALL = {**TINY, "data.image_size": 64, "mask_generator.image_size": 64}


def test_the_generator_of_the_page_runs_through_the_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (name,) = re.findall(r"--mask_generator\.name (\S+)", EXTENDING)
    write_modules(tmp_path, monkeypatch)
    settings = {**SMALL, "mask_generator.name": name, "mask_generator.options": {"hidden": 16}}
    run = semples.run(load_config(overrides=settings), tmp_path / "run", "refine", quiet=True)
    assert [statuses(run)[stage] for stage in ("0-classify", "1-match", "2-prompts", "3-refine")] == ["done"] * 4
    first, last = ((run / stage / "mask_generator.safetensors").read_bytes() for stage in ("0-classify", "3-refine"))
    assert first != last
    assert load_file(run / "0-classify" / "mask_generator.safetensors")["head.0.weight"].shape[0] == 16


def test_the_generator_of_the_page_has_a_default_for_its_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_modules(tmp_path, monkeypatch)
    hidden = inspect.signature(importlib.import_module("my_generator").HiddenLayerGenerator).parameters["hidden"]
    assert (hidden.annotation, hidden.default) == (int, 64)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"hiden": 16}, ("mask_generator.options.hiden", "hidden")),
        ({"hidden": "many"}, ("mask_generator.options.hidden", '"many"')),
    ],
)
def test_options_that_do_not_fit_the_generator_of_the_page(
    options: dict[str, object], named: Sequence[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = re.findall(r"--mask_generator\.name (\S+)", EXTENDING)
    write_modules(tmp_path, monkeypatch)
    with pytest.raises(ConfigError, match=mentions(*named)):
        load_config(overrides={"mask_generator.name": name, "mask_generator.options": options})


def test_the_settings_of_the_page_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_modules(tmp_path, monkeypatch)
    (tmp_path / "page.yaml").write_text("\n".join(fenced(EXTENDING, "yaml")))
    config = load_config(tmp_path / "page.yaml")
    assert isinstance(config.mask_generator, OwnGeneratorConfig)
    assert isinstance(config.data, OwnReaderConfig)
    assert (config.mask_generator.options, config.data.options) == ({"hidden": 128}, {"held_out": 0.2})


def write_modules(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the files of the page importable; each begins with its name."""
    for code in fenced(EXTENDING, "python"):
        (folder / code[3:].split(":")[0]).write_text(code)
    monkeypatch.syspath_prepend(folder)


def write_named_photographs(folder: Path) -> Path:
    folder.mkdir()
    for number in range(20):
        name = f"{('boat', 'person', 'person+boat')[number % 3]}-{number:04}.jpg"
        Image.new("RGB", (80, 64), (10 * number, 99, 200)).save(folder / name)
    return folder


def test_the_reader_of_the_page_feeds_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (name,) = re.findall(r"--data\.reader (\S+\.\S+)", EXTENDING)
    write_modules(tmp_path, monkeypatch)
    settings = {
        "data.reader": name,
        "data.root": str(write_named_photographs(tmp_path / "photos")),
        "data.options": {"held_out": 0.2},
        "data.prompt_names": {"person": "player"},
        "guidance.enabled": False,
        "mask_generator.image_size": 64,
        "cams.scales": [1.0],
        "classify.epochs": 1,
        "device": "cpu",
    }
    run = semples.run(load_config(overrides=settings), tmp_path / "run", "classify", quiet=True)
    index = json.loads((run / "dataset.json").read_text())
    assert (index["classes"], index["prompt_names"]) == (["boat", "person"], ["boat", "player"])
    assert (len(index["train"]), len(index["val"])) == (16, 4)
    both = {"id": "person+boat-0002", "height": 64, "width": 80, "tags": [0, 1]}
    assert both.items() <= next(entry for entry in index["train"] if entry["id"] == both["id"]).items()
    assert (run / "0-classify" / "cams" / "person+boat-0002.safetensors").is_file()


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("def rad(root): ...", ("module 'odd_reader' has no attribute 'read'",)),
        ("import no_such_module", ("No module named 'no_such_module'",)),
        ("def read(root): return [root]", ("list", "semples.records.Dataset")),
    ],
)
def test_an_import_path_that_does_not_lead_to_a_reader(
    code: str, named: Sequence[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd_reader.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "odd_reader", raising=False)
    with pytest.raises(ConfigError, match=mentions("data.reader", "odd_reader.read", *named)):
        read_own("odd_reader.read", tmp_path)


def test_the_model_that_the_page_fine_tunes_is_one_for_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_modules(tmp_path, monkeypatch)
    own = importlib.import_module("my_clip")
    start = tiny.save_clip(tmp_path / "start")
    monkeypatch.setattr(own, "START", str(start))
    torch.manual_seed(0)
    own.fine_tune(torch.randn(2, 3, 24, 24), ["a boat", "a cat"], tmp_path / "my-clip", steps=2)
    before, after = (load_vision_language_model(str(path)) for path in (start, tmp_path / "my-clip"))
    features = after.encode_classes(["boat", "cat"])
    assert features.shape == (2, 8)
    assert not torch.equal(features, before.encode_classes(["boat", "cat"]))


def test_the_file_tree_of_the_readme_is_that_of_the_repository() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (tree,) = [block for block in fenced(readme, "") if block.startswith("src/semples/")]
    folder, named = REPOSITORY, set()
    for line in tree.splitlines():
        depth, entry = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        folder = REPOSITORY if depth == 0 else Path(*folder.parts[: len(SOURCE.parts) + depth - 1])
        named.add(folder / entry)
        if entry.endswith("/"):
            folder = folder / entry
    assert [str(path) for path in named if not path.exists()] == []
    shown = {path for path in SOURCE.iterdir() if not path.name.startswith("_") and path.name != "py.typed"}
    unnamed = {path.name for path in shown if path not in named and f"{path.name}," not in tree}
    assert unnamed == set(), "README: section Where things are does not name these; add them to its tree"


@pytest.mark.parametrize("page", ["architecture.md", "extending.md"])
def test_files_and_rooms_that_a_page_names_exist(page: str) -> None:
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    named = {path.replace("NAME", "*") for path in re.findall(r"`([\w/]+/(?:\w+\.py)?)`", text)}
    missing = [path for path in named if not any(base.glob(path) for base in (SOURCE, REPOSITORY))]
    assert len(named) > 10
    assert missing == []


def test_the_page_of_the_architecture_names_every_room_and_real_objects() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = {path.name for path in SOURCE.iterdir() if path.name not in ("__pycache__", "py.typed", "assets")}
    table = text.split("\n## ")[1]
    assert [room for room in rooms if not room.startswith("_") and f"`{room}" not in table] == []
    walk = text.split("\n## ")[2]
    source = "\n".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    objects = set(re.findall(r"`([A-Za-z_]+)`", walk))
    assert len(objects) > 10
    assert [name for name in objects if not re.search(rf"(class|def) {name}\b", source)] == []


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_documentation_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page.read_text(encoding="utf-8")):
        file = page.parent / target if target else page
        assert file.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(file), f"{page.name} links to {target}#{anchor}"


def test_the_page_names_every_kind_of_vision_language_model() -> None:
    assert re.findall(r"^\| `(\w+)` \|", EXTENDING, re.MULTILINE) == list(KINDS)


@pytest.mark.parametrize("page", sorted((REPOSITORY / "docs").glob("*.md")), ids=lambda path: path.name)
def test_settings_that_a_page_names_exist(page: Path) -> None:
    sections = {key.split(".")[0] for key in setting_keys() if "." in key}
    named = re.findall(r"`(?:--)?(\w+\.\w+)[^`.(]*`", page.read_text(encoding="utf-8"))
    settings = [
        key
        for key in named
        if key.split(".")[0] in sections and not key.endswith((".safetensors", ".json", ".html", ".py"))
    ]
    assert [key for key in settings if key not in setting_keys()] == []


@pytest.mark.parametrize(
    "path", [*READERS.values(), *GENERATORS.values(), *REFINEMENTS.values(), *(each.path for each in CRITERIA.values())]
)
def test_every_registered_part_exists(path: str) -> None:
    assert callable(import_object(path, "registry"))


@pytest.mark.parametrize("name", sorted(GENERATORS))
def test_every_named_generator_has_its_class(name: str) -> None:
    assert generator_config(name)(name=name).generator_class().__module__.startswith("semples.models")
