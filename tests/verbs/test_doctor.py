"""What `semples doctor` finds, and what it says to do."""

from __future__ import annotations

import re
import shutil
import threading
from collections import namedtuple
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError

from matching import assert_mentions
from sample_data import write_class_folders
from semples.cli import main
from semples.config.loading import load_config
from semples.verbs import hub
from semples.verbs.diagnosis import doctor, run_bytes
from semples.verbs.findings import Finding
from tiny import save_backbone


def find(subject: str, out: Path, **settings: Any) -> list[Finding]:
    config = load_config(overrides={key.replace("__", "."): value for key, value in settings.items()})
    return [finding for finding in doctor(config, out) if finding.subject == subject]


def test_the_demo_has_no_problem(tmp_path: Path) -> None:
    findings = doctor(out=tmp_path / "not" / "yet")
    assert [finding for finding in findings if finding.state == "problem"] == []
    assert {"python", "device", "threads", "packages", "vision_language.model", "segment.model", "data", "disk"} <= {
        finding.subject for finding in findings
    }
    assert all(finding.advice for finding in findings if finding.state != "ok")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    (found,) = find("device", tmp_path, device="cuda:1")
    assert found.state == "problem"
    assert_mentions(found.found, "device", "cuda:1")
    assert_mentions(found.advice, "device", "auto", "cpu")
    (other,) = find("device", tmp_path, device="tpu")
    assert_mentions(other.found, "device", "tpu")


def test_extras_are_those_of_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = ["numpy>=1", 'there>=1; extra == "a"', "lost-package>=1; extra == 'b'", 'ruff; extra == "dev"']
    versions = {"there": "1.5"}

    def version(name: str) -> str:
        if name == "lost-package":
            raise metadata.PackageNotFoundError(name)
        return versions.get(name, "0")

    monkeypatch.setattr(metadata, "requires", lambda _: lines)
    monkeypatch.setattr(metadata, "version", version)
    assert find("extra a", tmp_path) == [Finding("extra a", "ok", "there 1.5")]
    (note,) = find("extra b", tmp_path)
    assert (note.state, note.advice) == ("note", "pip install 'semples[b]'")
    assert_mentions(note.found, "lost-package")
    assert find("extra dev", tmp_path) == []


def test_weights_by_folder(tmp_path: Path) -> None:
    (found,) = find("segment.model", tmp_path, segment__model=str(tmp_path / "lost"))
    assert found.state == "problem"
    assert_mentions(found.found, tmp_path / "lost")
    (tmp_path / "tiny.json").write_text("{}")
    (config,) = find("segment.model", tmp_path, segment__model=str(tmp_path / "tiny.json"))
    assert config.state == "ok"
    assert_mentions(config.found, "tiny.json", "random")
    folder = save_backbone(tmp_path / "mine", "mobilenet_v2")
    (local,) = find("segment.model", tmp_path, segment__model=str(folder))
    assert local.state == "ok"
    assert_mentions(local.found, folder, "local folder", "MB")


HUB_NAME = "nobody/nothing-like-this"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names that the hub is asked for; it has them all. Nothing is in the cache, and the network is allowed."""
    names: list[str] = []

    def model_info(_: Any, name: str, timeout: float) -> None:
        assert 0 < timeout <= 5
        names.append(name)

    monkeypatch.setattr(HfApi, "model_info", model_info)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: None)
    for variable in hub.OFFLINE_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    return names


def test_the_hub_is_asked_for_its_names_only(tmp_path: Path, asked: list[str]) -> None:
    (bundled,) = find("segment.model", tmp_path)
    assert bundled.state == "ok"
    assert_mentions(bundled.found, "bundled/scenes", "bundled", "MB")
    assert asked == []
    (note,) = find("segment.model", tmp_path, segment__model=HUB_NAME)
    assert (note.state, asked) == ("note", [HUB_NAME])
    assert_mentions(note.found, HUB_NAME, "hub name", "cache")
    assert "download" in note.advice


@pytest.mark.parametrize("variable", hub.OFFLINE_VARIABLES)
def test_a_machine_that_is_offline_on_purpose(
    variable: str, tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "1")
    (problem,) = find("segment.model", tmp_path, segment__model=HUB_NAME)
    assert (problem.state, asked) == ("problem", [])
    assert_mentions(problem.advice, variable, "bundled", "folder")


def test_models_in_the_cache_need_config_and_weights(
    tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = {"config.json"}
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda _, file: file if file in cached else None)
    assert find("segment.model", tmp_path, segment__model=HUB_NAME)[0].state == "note"
    cached.add("model.safetensors.index.json")
    assert len(asked) == 1
    (found,) = find("segment.model", tmp_path, segment__model=HUB_NAME)
    assert (found.state, len(asked)) == ("ok", 1)
    assert_mentions(found.found, HUB_NAME, "cache")


def test_a_hub_without_the_model_or_out_of_reach(
    tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(error: Exception) -> None:
        def model_info(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr(HfApi, "model_info", model_info)

    refuse(RepositoryNotFoundError.__new__(RepositoryNotFoundError))  # made from an HTTP response otherwise
    (unknown,) = find("segment.model", tmp_path, segment__model=HUB_NAME)
    assert unknown.state == "problem"
    assert_mentions(unknown.advice, "spelling", "log in")
    refuse(OSError("Name or service not known"))
    (away,) = find("segment.model", tmp_path, segment__model=HUB_NAME)
    assert away.state == "problem"
    assert_mentions(away.found, HUB_NAME, "reached")
    assert_mentions(away.advice, "bundled", "folder")
    assert asked == []


def test_a_hub_that_never_answers(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(hub, "SECONDS", 0.05)
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: answer.wait(5))
    assert hub.ask_hub(HUB_NAME) == "does not answer"
    answer.set()
    assert asked == []


def test_own_photographs_with_the_bundled_model(tmp_path: Path) -> None:
    root = str(write_class_folders(tmp_path / "photos", cat=3, dog=3))
    found = find("vision_language.model", tmp_path, data__reader="folder", data__root=root)
    assert [finding.state for finding in found] == ["ok", "note"]
    assert_mentions(found[0].found, "bundled/photos")
    model = {"vision_language__model": "bundled/scenes"}
    found = find("vision_language.model", tmp_path, data__reader="folder", data__root=root, **model)
    assert [finding.state for finding in found] == ["ok", "problem"]
    assert_mentions(found[1].found, "built-in scenes")
    (segmenter,) = find("segment.model", tmp_path, data__reader="folder", data__root=root)
    assert segmenter.state == "ok"
    assert_mentions(segmenter.found, "bundled/photos", "MB")
    named = {"segment__model": "bundled/scenes", "mask_generator__backbone": "bundled/scenes"}
    for subject in ("segment.model", "mask_generator.backbone"):
        found = find(subject, tmp_path, data__reader="folder", data__root=root, **named)
        assert [finding.state for finding in found] == ["ok", "note"]
        assert_mentions(found[1].found, "built-in scenes")
    (vit,) = find(
        "mask_generator.backbone", tmp_path, data__reader="folder", data__root=root, mask_generator__name="weaktr"
    )
    assert vit.state == "problem"
    assert_mentions(vit.found, "mask_generator.backbone", "facebook/deit-small-patch16-224")
    unguided = {"data__reader": "folder", "data__root": root, "guidance__enabled": False}
    assert find("vision_language.model", tmp_path, **unguided) == []
    (data,) = find("data", tmp_path, **unguided)
    assert_mentions(data.found, 2, "masks", "scores")


def test_data_that_cannot_be_read(tmp_path: Path) -> None:
    (found,) = find("data", tmp_path, data__reader="folder", data__root=str(tmp_path / "lost"))
    assert found.state == "problem"
    assert "lost" in found.found
    assert find("disk", tmp_path, data__reader="folder", data__root=str(tmp_path / "lost")) == []


def test_bytes_of_a_run_by_hand() -> None:
    # 100 pixels with 2 classes: three stages of 2 maps and one mask; 50 pixels with none: the mask
    assert run_bytes([(100, 2), (50, 0)], guided=True) == 750
    assert run_bytes([(100, 2), (50, 0)], guided=False) == 350


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 5, 5))
    (found,) = find("disk", tmp_path)
    assert found.state == "problem"
    assert_mentions(found.advice, "--out")


def test_the_verb_prints_a_table_and_fails_on_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["doctor", "--out", str(tmp_path)]) == 0
    assert_mentions(capsys.readouterr().out, 400, 100, "scenes")
    assert main(["doctor", "--out", str(tmp_path), "--segment.model", "./lost"]) == 2
    captured = capsys.readouterr()
    assert_mentions(captured.out, "lost", "segment.model")
    assert re.fullmatch(r"semples: error: 1 problem[^\n]*\n", captured.err)
