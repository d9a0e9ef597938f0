"""``semples compare`` on the command line, with stand-ins for the verbs: calls, tables, texts of errors."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from fake_api import COMPARISON, METHOD, FakeApi, cells, error_line
from matching import assert_mentions
from semples.cli import main

Output = pytest.CaptureFixture[str]


def test_compare_ends_with_one_json_object(api: FakeApi, capsys: Output) -> None:
    assert main(["compare", "--data.bias", "0.8"]) == 0
    call = api.only_call()
    assert call.pop("config").data.bias == 0.8
    assert call.pop("command") == "semples compare --data.bias 0.8"
    given = {"seeds": 3, "out": Path("runs/compare"), "quiet": False}
    assert call == given | dict.fromkeys(("pairings", "methods", "ablation", "results", "contexts"))
    output = capsys.readouterr().out
    assert json.loads(output.splitlines()[-1]) == COMPARISON
    assert cells(output) == [
        ["method", "mIoU %", "oracle mIoU %", "false positive", "false negative"],
        ["CAM", "54.0 (50.0-60.0)", "61.0", "0.25 (0.20-0.30)", "0.10"],
        ["CAM + full", "70.0", "61.0", "0.25 (0.20-0.30)", "0.10"],
        ["Supervised bound", "85.0 (80.0-90.0)"],
    ]
    assert_mentions(output, "context", "2, 1, 0", 2)
    assert_mentions(output, "full - classify", "+12.0", "oracle mIoU", 95, "+1.0", "+23.0")
    assert_mentions(output, "full - match", "-2.1", "oracle mIoU")


def test_compare_takes_settings_from_a_file_and_nouns(api: FakeApi, tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "photos.yaml").write_text("data: {reader: folder, root: photos}\nseed: 3\n")
    api.comparison = {
        "seeds": [0], "reader": "folder", "images": 4, "classes": ["background", "cat"], "supervised_bound": None,
        "methods": {"dense-picked": METHOD}, "masks": {"dense-picked": {**METHOD, "miou": [0.7] * 3}},
        "words_right": {"dense-picked": [5]}, "words_judged": 6,
    }  # fmt: skip
    assert main(["compare", "--config", "photos.yaml", "--data.root", "there", "--contexts", "nouns.json"]) == 0
    call = api.only_call()
    assert (call["config"].data.root, call["config"].seed, call["contexts"]) == ("there", 3, Path("nouns.json"))
    output = capsys.readouterr().out
    assert cells(output)[1:3] == [
        ["Dense + picked words", "54.0 (50.0-60.0)", "61.0", "0.25 (0.20-0.30)", "0.10"],
        ["Dense + picked words", "70.0", "61.0", "0.25 (0.20-0.30)", "0.10"],
    ]
    assert_mentions(output, "masks after refinement", "70.0")
    assert_mentions(output, "Dense + picked words", "words right", 5, "of", 6)


def test_compare_shows_a_method_that_has_nothing_to_train(api: FakeApi, capsys: Output) -> None:
    methods = {"classify": METHOD, "match": None, "full": METHOD}
    api.comparison = {**COMPARISON, "methods": methods, "differences": {}}
    assert main(["compare"]) == 0
    assert ["CAM + match", "-", "-", "-", "-"] in cells(capsys.readouterr().out)


def test_compare_takes_several_pairings(api: FakeApi, tmp_path: Path, capsys: Output) -> None:
    pairings = [{"boat": "sand"}, {"boat": "snow", "cat": "road"}]
    (tmp_path / "pairings.json").write_text(json.dumps(pairings))
    api.comparison = {"runs": [COMPARISON, {**COMPARISON, "supervised_bound": None}]}
    assert main(["compare", "--pairings", "pairings.json", "--seeds", "1", "--out", "there"]) == 0
    call = api.only_call()
    assert (call["pairings"], call["seeds"], call["out"]) == (pairings, 1, Path("there"))
    output = capsys.readouterr().out
    assert json.loads(output.splitlines()[-1]) == api.comparison
    names = [re.split(r"\s{2,}", line)[0] for line in output.splitlines()]
    run = ["CAM", "CAM + full"]
    assert [name for name in names if name.strip()][2:9] == ["pairing 1", *run, "Supervised bound", "pairing 2", *run]
    assert re.search(r"pairing 2: .* context", output)


def test_compare_takes_a_number_of_pairings_methods_an_ablation_and_a_page(api: FakeApi) -> None:
    assert main(["compare", "--pairings", "4", "--methods", "match, full", "--results", "a b.md"]) == 0
    call = api.only_call()
    assert (call["pairings"], call["methods"], call["results"]) == (4, ["match", "full"], Path("a b.md"))
    assert call["command"] == "semples compare --pairings 4 --methods 'match, full' --results 'a b.md'"
    assert main(["compare", "--ablation", "losses"]) == 0
    assert api.calls[1][1]["ablation"] == "losses"


def test_compare_shows_the_variants_of_an_ablation(api: FakeApi, capsys: Output) -> None:
    record = {key: value for key, value in COMPARISON.items() if key not in ("methods", "supervised_bound", "words")}
    variants = {"length 1": METHOD, "length 2": METHOD}
    found = {"length 1": [0, 1, 0], "length 2": [2, 2, 2]}
    api.comparison = {"ablation": "prompt-length", **record, "variants": variants, "words_found": found}
    assert main(["compare", "--ablation", "prompt-length"]) == 0
    output = capsys.readouterr().out
    assert [row[0] for row in cells(output)[:3]] == ["variant", "length 1", "length 2"]
    assert_mentions(output, "length 2", "context", "2, 2, 2", 2)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('{"boat": "sand"}', ("list", '[{"boat": "water", ...}, ...]')),
        ("[]", ("list", '[{"boat": "water", ...}, ...]')),
        ('[{"boat": 1}]', ("list", '[{"boat": "water", ...}, ...]')),
        ("[", ("JSON", "line 1 column 2")),
    ],
)
@pytest.mark.usefixtures("api")
def test_errors_in_pairings_name_the_file(
    tmp_path: Path, capsys: Output, content: str, named: Sequence[object]
) -> None:
    (tmp_path / "p.json").write_text(content)
    assert_mentions(error_line(["compare", "--pairings", "p.json"], capsys), "p.json", *named)
