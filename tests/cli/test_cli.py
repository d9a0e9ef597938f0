"""The command line with stand-ins for the verbs: calls, output, error texts, exit statuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

import semples
from fake_api import COMPARISON, EVALUATION, SCORES, FakeApi, Finding, cells, error_line
from matching import assert_mentions
from semples.cli import main
from semples.config.loading import DEMO, load_config
from semples.data.scenes.settings import DEFAULT_PAIRS
from semples.errors import DataError, RunError
from semples.rundir.layout import STAGE_NAMES

Output = pytest.CaptureFixture[str]
VERBS = ["demo", "run", "init", "predict", "evaluate", "prompts", "export", "report", "compare", "doctor"]
METHODS = ["classify", "match", "generic", "manual", "clip-es", "full", "supervised-bound"]
ABLATIONS = ["losses", "prompt-length", "lambda-text", "lambda-suppress", "lambda-background"]


def test_demo_prints_scores_and_report(api: FakeApi, capsys: Output) -> None:
    assert main(["demo"]) == 0
    config = load_config(overrides=DEMO)
    assert (config.to_dict()["data"]["train_size"], config.segment.supervised_bound) == (200, False)
    assert api.only_call() == {"out": Path("runs/demo"), "config": config, "force": None, "quiet": False}
    output = capsys.readouterr().out
    assert cells(output) == [
        ["oracle", "oracle", "false", "false"],
        ["result", "mIoU %", "mIoU %", "threshold", "threshold", "positive", "negative"],
        ["CAM", "51.2", "58.8", "0.40", "0.35", "0.30", "0.25"],
        ["Pseudo masks", "53.3", "-", "-", "-", "0.30", "0.25"],
        ["Segmentation, train", "61.1", "-", "-", "-", "0.30", "0.25"],
        ["Segmentation, held out", "62.2", "-", "-", "-", "0.30", "0.25"],
    ]
    assert output.endswith(f" {Path('runs/demo/report.html')}\n")


def test_demo_takes_options_and_settings_in_both_spellings(api: FakeApi) -> None:
    words = [
        "--out",
        "here",
        "--seed",
        "3",
        "--data.bias=0.5",
        "--cams.flip",
        "false",
        "--quiet",
        "--force=match",
        "--data.train_size=50",
    ]
    assert main(["demo", *words, "--data.pairs.boat", "sand"]) == 0
    call = api.only_call()
    config = call.pop("config")
    assert call == {"out": Path("here"), "force": "match", "quiet": True}
    assert (config.seed, config.data.bias, config.cams.flip) == (3, 0.5, False)
    assert (config.to_dict()["data"]["train_size"], config.to_dict()["data"]["val_size"]) == (50, DEMO["data.val_size"])
    assert config.data.pairs == {**DEFAULT_PAIRS, "boat": "sand"}


def test_run_names_the_run_after_the_file(api: FakeApi, tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "boats.yaml").write_text("data: {reader: voc, root: VOC2012}\n")
    assert main(["run", "--config", "boats.yaml", "--match.epochs", "2"]) == 0
    call = api.only_call()
    config = call.pop("config")
    assert call == {"out": Path("runs/boats"), "until": None, "force": None, "quiet": False}
    assert (config.data.root, config.match.epochs) == ("VOC2012", 2)
    assert capsys.readouterr().out.endswith(f" {Path('runs/boats/report.html')}\n")


def test_run_until_a_stage_has_no_report_yet(api: FakeApi, tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "boats.yaml").touch()
    words = ["run", "--config", "boats.yaml", "--out", "o", "--until", "pseudo-masks", "--force", "classify"]
    assert main(words) == 0
    call = api.only_call()
    assert (call["until"], call["force"], call["out"]) == ("pseudo-masks", "classify", Path("o"))
    output = capsys.readouterr().out
    assert output.endswith(" o\n")
    assert "report.html" not in output


def test_a_run_without_scores_ends_with_a_table_of_its_stages(
    api: FakeApi, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave_manifest(out: Path) -> None:
        out.mkdir(parents=True)
        done = {"status": "done", "seconds": 61.4, "peak_memory_mb": 812, "warnings": ["few [images]"]}
        skipped = {"status": "skipped", "reason": "guidance.enabled is false"}
        (out / "manifest.json").write_text(json.dumps({"stages": {"1-match": skipped, "0-classify": done}}))

    monkeypatch.setattr(api, "leave_results", leave_manifest)
    (tmp_path / "boats.yaml").touch()
    assert main(["run", "--config", "boats.yaml", "--out", "o"]) == 0
    output = capsys.readouterr().out
    assert cells(output) == [
        ["stage", "seconds", "memory MB"],
        ["0-classify", "61", "812", "done; few [images]"],
        ["1-match", "-", "-", "skipped; guidance.enabled is false"],
    ]
    assert output.endswith(" o\n")
    assert "report.html" not in output


@pytest.mark.usefixtures("api")
def test_quiet_leaves_standard_output_to_others(tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "boats.yaml").touch()
    for words in (["demo"], ["run", "--config", "boats.yaml"]):
        assert main([*words, "--quiet"]) == 0
        assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("more", [[], ["--quiet"]])
def test_json_of_a_run_has_a_line_for_each_stage_and_one_for_the_result(capsys: Output, more: list[str]) -> None:
    assert main(["demo", "--json", *more]) == 0
    *stages, result = map(json.loads, capsys.readouterr().out.splitlines())
    first = {"stage": "classify", "status": "done", "seconds": 1.5, "peak_memory_mb": 300}
    assert stages[0] == {"event": "stage", **first, "reason": None, "warnings": ["few images"]}
    assert [(line["stage"], line["status"]) for line in stages[1:]] == [("match", "skipped"), ("segment", "unchanged")]
    assert stages[1]["reason"] == "guidance.enabled is false"
    report = str(Path("runs/demo/report.html"))
    assert result == {"event": "result", "run": str(Path("runs/demo")), "report": report, "evaluation": EVALUATION}


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["predict", "m", "a.jpg", "--out", "o"], {"out": "o", "masks": [str(Path("o/a.png"))]}),
        (["prompts", "r"], {"boat[s]": [["water", 0.912], ["sea", 0.5]], "cat": [["sky", -0.1]]}),
        (["compare"], COMPARISON),
        (["doctor"], [{"subject": "device", "state": "ok", "found": "cpu", "advice": ""}]),
    ],
)
def test_json_of_other_verbs_is_one_line(capsys: Output, words: list[str], expected: object) -> None:
    assert main([*words, "--json"]) == 0
    output = capsys.readouterr().out
    assert output.count("\n") == 1
    assert json.loads(output) == expected


def test_doctor_fails_after_its_json_when_there_is_a_problem(api: FakeApi, capsys: Output) -> None:
    api.findings = [Finding("data", "problem", "no such folder", "see docs/own-data.md")]
    assert main(["doctor", "--json"]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)[0]["state"] == "problem"
    assert re.fullmatch(r"semples: error: 1 problem[^\n]*\n", captured.err)


def test_print_config_needs_no_data(api: FakeApi, tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "boats.yaml").write_text("data: {reader: voc, root: no/such/folder}\n")
    assert main(["run", "--config", "boats.yaml", "--seed=4", "--print_config"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert (printed["seed"], printed["data"]["root"]) == (4, "no/such/folder")
    assert printed["data"]["train_split"] == "train"
    assert main(["run", "--print_config"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert (printed["seed"], printed["data"]["pairs"]) == (0, DEFAULT_PAIRS)
    assert api.calls == []


def test_predict(api: FakeApi, capsys: Output) -> None:
    assert main(["predict", "model", "a.jpg", "folder", "--out", "masks"]) == 0
    call = {"model": Path("model"), "images": [Path("a.jpg"), Path("folder")], "out": Path("masks")}
    assert api.only_call() == {**call, "overlays": True, "quiet": False, "skip_bad_images": False}
    assert_mentions(capsys.readouterr().out, 2, Path("masks"))


def test_predict_without_overlays(api: FakeApi, capsys: Output) -> None:
    assert main(["predict", "model", "photos/*.jpg", "--no-overlays", "--quiet", "--out", "masks"]) == 0
    call = api.only_call()
    assert (call["overlays"], call["quiet"], call["images"]) == (False, True, [Path("photos/*.jpg")])
    assert_mentions(capsys.readouterr().out, 1, Path("masks"))


@pytest.mark.parametrize(("more", "copied"), [([], False), (["--with-images"], True)])
def test_export(api: FakeApi, capsys: Output, more: list[str], copied: bool) -> None:
    assert main(["export", "runs/demo", "--format", "coco", *more]) == 0
    assert api.only_call() == {"run": Path("runs/demo"), "format": "coco", "with_images": copied}
    assert capsys.readouterr().out == f"{Path('runs/demo/export/coco')}\n"


def test_evaluate_prints_a_table(api: FakeApi, capsys: Output) -> None:
    assert main(["evaluate", "masks", "truth", "--classes", "boat[s], cat"]) == 0
    call = {"predictions": Path("masks"), "truth": Path("truth"), "classes": ("boat[s]", "cat")}
    assert api.only_call() == call
    output = capsys.readouterr().out
    rows = [["class", "IoU %"], ["background", "90.0"], ["boat[s]", "12.5"], ["cat", "-"], ["mean", "51.2"]]
    assert cells(output) == rows
    named = (20, "false positive", "0.30", "false negative", 0.25, "coverage", "1.00")
    assert_mentions(" ".join(output.split()), *named)


@pytest.mark.usefixtures("api")
def test_evaluate_prints_json(capsys: Output) -> None:
    assert main(["evaluate", "masks", "truth", "--classes", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == SCORES


def test_classes_from_a_file_a_number_or_a_long_list(api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("boat\n traffic light \n\n")
    many = [f"a rather long class name {number}" for number in range(80)]
    for given in ("classes.txt", "2", ",".join(many)):
        assert main(["evaluate", "masks", "truth", "--classes", given]) == 0
    found = [call["classes"] for _, call in api.calls]
    assert found == [("boat", "traffic light"), ("class 1", "class 2"), tuple(many)]


def test_prompts(api: FakeApi, capsys: Output) -> None:
    assert main(["prompts", "runs/demo"]) == 0
    assert api.only_call() == {"run": Path("runs/demo")}
    rows = [["class", "nearest words"], ["boat[s]", "water 0.91, sea 0.50"], ["cat", "sky -0.10"]]
    assert cells(capsys.readouterr().out) == rows


def test_report(api: FakeApi, capsys: Output) -> None:
    assert main(["report", "runs/demo"]) == 0
    assert api.only_call() == {"run": Path("runs/demo")}
    assert capsys.readouterr().out == f"{Path('runs/demo/report.html')}\n"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["dmeo"], ("dmeo", *VERBS, "demo")),
        (["--debugg"], ("--debugg", "debug")),
        (["demo", "--outt=x"], ("--outt", "out")),
        (["demo", "--seeds", "3"], ("--seeds", "seed")),
        (["demo", "--bias", "3", "--qqqqq"], ("--bias", "data.bias", "--qqqqq")),
        (["demo", "--data.rot", "3"], ("--data.rot", "root")),
        (["demo", "--data.bias", "7", "--seed=x"], ("--seed", "x", "whole number", "--data.bias", "7.0", 0, 1)),
        (["demo", "--cams.flip"], ("--cams.flip",)),
        (["demo", "here"], ("here", "--section.key")),
        (["demo", "--force", "mtach"], ("--force", "mtach", *STAGE_NAMES, "semples demo --help")),
        (["demo", "--out"], ("--out", "semples demo --help")),
        (["run"], ("--config", "semples run --print_config")),
        (["run", "--config", "no.yaml"], ("no.yaml", "No such file or directory", "YAML")),
        (["report", "--version"], ("--version",)),
        (["predict", "model", "a.jpg", "--ot", "x"], ("--ot", "out")),
        (["predict", "model", "a.jpg"], ("--out", "semples predict --help")),
        (["predict", "model", "a.jpg", "--seed", "1", "--out", "x"], ("--seed",)),
        (["report", "runs/a", "runs/b"], ("runs/b", "semples report --help")),
        (["export", "runs/a"], ("--format", "semples export --help")),
        (
            ["export", "runs/a", "--format", "yolo"],
            ("--format", "yolo", "coco", "voc", "onnx", "semples export --help"),
        ),
        (["compare", "--seeds", "0"], ("--seeds", 0, "whole number", "semples compare --help")),
        (["compare", "--methods", "match,ful"], ("--methods", "ful", *METHODS, "semples compare --help")),
        (["compare", "--ablation", "loss"], ("--ablation", "loss", *ABLATIONS, "semples compare --help")),
        (["compare", "--pairings", "no.json"], ("no.json", "No such file or directory", "JSON")),
    ],
)
def test_usage_errors_name_option_value_and_what_is_right(
    api: FakeApi, capsys: Output, words: list[str], named: Sequence[object]
) -> None:
    assert_mentions(error_line(words, capsys), *named)
    assert api.calls == []


@pytest.mark.parametrize(
    ("classes", "named"),
    [
        ("background,boat", ("background",)),
        ("boat,,cat", ("boat,,cat",)),
        ("boat,boat", ("boat,boat",)),
        ("0", (0, 1, 254)),
        ("255", (255, 1, 254)),
        ("no.txt", ("no.txt",)),
        ("binary.txt", ("binary.txt",)),
    ],
)
@pytest.mark.usefixtures("api")
def test_errors_in_classes_name_them(tmp_path: Path, capsys: Output, classes: str, named: Sequence[object]) -> None:
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\xfa")
    line = error_line(["evaluate", "masks", "truth", "--classes", classes], capsys)
    assert_mentions(line, "--classes", *named, "semples evaluate --help")


@pytest.mark.parametrize(
    ("error", "status", "named"),
    [
        (DataError("train.txt is empty:\n  add names"), 2, ("train.txt is empty: add names",)),
        (RunError("the loss is not finite"), 1, ("the loss is not finite",)),
        (ValueError("two\nlines"), 1, ("ValueError", "two lines", "--debug")),
    ],
)
def test_errors_of_a_verb(api: FakeApi, capsys: Output, error: Exception, status: int, named: Sequence[object]) -> None:
    api.error = error
    text = error_line(["demo"], capsys, status)
    assert_mentions(text, *named)
    assert main(["--debug", "demo"]) == main(["demo", "--debug"]) == status
    captured = capsys.readouterr().err
    assert captured.count("Traceback (most recent call last)") == 2
    assert captured.endswith(f"semples: error: {text}\n")


def test_interrupt(api: FakeApi, capsys: Output) -> None:
    api.error = KeyboardInterrupt()
    assert main(["demo"]) == 130
    assert re.fullmatch(r"semples: stopped[^\n]*\n", capsys.readouterr().err)


def test_help_and_version(capsys: Output) -> None:
    assert main([]) == 0
    bare = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == bare
    verbs = ("demo", "run", "predict", "evaluate", "prompts", "export", "report", "compare")
    assert all(f"    {verb} " in bare for verb in verbs)
    assert main(["demo", "--help"]) == 0
    assert "--data.pairs.boat sand" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"semples {semples.__version__}\n"


def test_help_and_settings_import_nothing_heavy() -> None:
    code = (
        "import sys; from semples.cli import main;"
        "assert main(['--help']) == main(['run', '--print_config']) == 0;"
        "print([name for name in ('torch', 'transformers', 'numpy', 'rich') if name in sys.modules])"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.splitlines()[-1] == "[]"


def test_python_dash_m() -> None:
    command = [sys.executable, "-m", "semples", "dmeo"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert_mentions(finished.stderr, "semples: error: ", "dmeo", "demo")


def test_stages_are_those_of_the_pipeline() -> None:
    from semples.stages.pipeline import STAGES

    assert (*(stage.name for stage in STAGES), "report") == STAGE_NAMES
