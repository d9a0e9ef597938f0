from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from fake_run import CLASSES, HOSTILE, Page, make_run, metrics, put_json, report, viewer_data

from matching import assert_mentions, mentions
from semples.errors import DataError
from semples.html_report import write_report
from semples.html_report.collect import collect


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path)


def test_finished_run_shows_every_section(run: Path) -> None:
    page = report(run)
    assert {"results", "classes", "pictures", "prompts", "training", "stages", "settings"} == {
        attributes["id"] for attributes in page.attributes("h2")
    }
    assert "2 classes, 3 training images, 1 held out" in page.text
    assert "missing or damaged" in page.text  # "c" has no tags, so no CAMs
    assert "Not run yet" not in page.text


def test_the_slider_starts_where_the_pseudo_masks_were_cut(run: Path) -> None:
    put_json(run / "4-pseudo-masks" / "threshold.json", {"criterion": "li", "threshold": 0.26, "costs": {}})
    assert collect(run).threshold == 0.26
    (run / "4-pseudo-masks" / "threshold.json").unlink()
    assert collect(run).threshold == 0.4  # of the first scores


def test_score_tables_hold_the_numbers_of_evaluation_json(run: Path) -> None:
    page = report(run)
    # stage, images, mIoU, threshold, oracle mIoU, oracle threshold, FP, FN, coverage
    assert page.row("CAM") == ["CAM", "3", "50.0", "0.40", "52.0", "0.31", "25.0", "12.5", "–"]
    assert page.row("Pseudo masks") == ["Pseudo masks", "3", "65.0", "–", "–", "–", "25.0", "12.5", "93.4"]
    assert not any(row[0] in ("Matched CAM", "Supervised bound, train") for row in page.rows)
    assert page.row("cat") == ["cat", "50.0", "61.2", "65.0", "70.0", "68.0"]
    assert page.row(HOSTILE)[1:] == ["–"] * 5
    assert page.row("background")[1] == "90.0"


def test_stage_table_shows_status_time_and_memory(run: Path) -> None:
    assert report(run).row("0-classify") == ["0-classify", "done", "1 min 15 s", "812 MB", ""]


def test_everything_from_the_run_is_escaped(run: Path) -> None:
    html = write_report(run).read_text(encoding="utf-8")
    assert html.count("<script") == html.count("</script") == 2  # our code, and the data for it
    assert "<b>bold" not in html
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in html


def test_hostile_names_survive_the_way_to_the_script(run: Path) -> None:
    data = viewer_data(run)
    assert [entry["name"] for entry in data["classes"]] == CLASSES
    assert data["classes"][0]["words"] == ["sofa", "rug"]


def test_only_the_script_of_the_page_may_run(run: Path) -> None:
    html = write_report(run).read_text(encoding="utf-8")
    script = html[html.index("<script>") + len("<script>") : html.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(tag["content"] for tag in Page(html).attributes("meta") if "http-equiv" in tag)
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert not [name for _, attributes in Page(html).tags for name in attributes if name.startswith("on")]


def test_page_is_self_contained(run: Path) -> None:
    html = write_report(run).read_text(encoding="utf-8")
    assert not re.findall(r"https?:|url\(|@import|<iframe|<object|fetch\(|import\(", html)
    page = Page(html)
    assert all((image["src"] or "").startswith("data:image/") for image in page.attributes("img"))
    assert [link["href"] for link in page.attributes("link")] == ["data:,"]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.attributes("meta")


def test_settings_show_what_is_not_at_its_default(run: Path) -> None:
    page = report(run)
    assert page.row("data.bias") == ["data.bias", "0.5", "0.9"]
    assert page.row("data.root") == ["data.root", "<b>bold</b>", "None"]
    (run / "config.yaml").write_text("seed: 0\n")
    page = report(run)
    assert not any(row[0].startswith("data.") for row in page.rows)
    assert "default" in page.text


def test_heading_tells_time_memory_and_environment(run: Path) -> None:
    (run / "config.yaml").write_text("seed: 3\nenvironment: {device: cuda, versions: {torch: 2.6}}\n")
    page = report(run)
    assert "8 min 45 s" in page.text  # seven stages of 75 s
    assert "812 MB" in page.text
    assert "device cudaseed 3torch 2.6" in page.text


JSON_FILES = [
    *("manifest.json", "dataset.json", "evaluation.json"),
    *("2-prompts/words.json", "6-evaluate/samples.json"),
]


@pytest.mark.parametrize("name", [*JSON_FILES, "metrics.jsonl", "config.yaml"])
def test_any_file_may_be_absent(run: Path, name: str) -> None:
    (run / name).unlink()
    assert collect(run).problems == ()
    report(run)


@pytest.mark.parametrize("name", JSON_FILES)
@pytest.mark.parametrize("text", ["{", "[1]", '{"stages": 3, "words": 3, "classes": 3, "train": 3}'])
def test_a_damaged_file_is_named_and_left_out(run: Path, name: str, text: str) -> None:
    (run / name).write_text(text)
    (problem,) = collect(run).problems
    assert problem.startswith(name)
    assert problem in report(run).text


@pytest.mark.parametrize("text", ["- a list", "data: [", "[1"])
def test_a_damaged_config_is_named(run: Path, text: str) -> None:
    (run / "config.yaml").write_text(text)
    (problem,) = collect(run).problems
    assert problem.startswith("config.yaml")
    assert problem in report(run).text


def test_a_half_written_last_line_of_the_log_costs_that_line_only(run: Path) -> None:
    with (run / "metrics.jsonl").open("a") as log:
        log.write('{"stage": "match", "epo')
    found = collect(run)
    assert len(found.epochs) == 3
    (problem,) = found.problems
    assert_mentions(problem, "metrics.jsonl", 4)


def test_a_repeated_epoch_keeps_its_last_line(run: Path) -> None:
    with (run / "metrics.jsonl").open("a") as log:
        log.write(json.dumps(metrics("classify", 1, 0.25, {})) + "\n")
    assert [epoch.loss for epoch in collect(run).epochs] == [0.25, 1.5, 1.2]


def test_a_stopped_run_names_what_is_missing(tmp_path: Path) -> None:
    stages = {"0-classify": {"status": "done", "seconds": 3.2}, "1-match": {"status": "running"}}
    stages["2-prompts"] = {"status": "skipped", "reason": "guidance is off"}
    put_json(tmp_path / "manifest.json", {"stages": stages})
    page = report(tmp_path)
    assert_mentions(page.text, "3-refine, 4-pseudo-masks, 5-segment, 6-evaluate")
    assert re.search(r"1-match [^.]*finish", page.text)
    assert page.row("2-prompts") == ["2-prompts", "skipped", "–", "–", "guidance is off"]
    assert page.row("6-evaluate") == ["6-evaluate", "not run", "–", "–", ""]
    assert page.attributes("img") == []


def test_samples_are_spread_evenly_where_none_are_chosen(run: Path) -> None:
    (run / "6-evaluate/samples.json").unlink()
    dataset = json.loads((run / "dataset.json").read_text())
    dataset["train"] = [{**dataset["train"][0], "id": str(index)} for index in range(30)]
    put_json(run / "dataset.json", dataset)
    (run / "config.yaml").write_text("report: {images: 12}\n")
    expected = ["0", "2", "5", "7", "10", "12", "15", "17", "20", "22", "25", "27"]
    assert list(collect(run).shown_ids["train"]) == expected
    (run / "config.yaml").write_text("report: {images: many}\n")
    assert len(collect(run).shown_ids["train"]) == 24  # the default
    assert list(collect(run).shown_ids["val"]) == ["held"]


def test_an_id_that_leaves_the_run_directory_is_refused(run: Path) -> None:
    dataset = json.loads((run / "dataset.json").read_text())
    dataset["train"][0]["id"] = "../../etc/secret"
    put_json(run / "dataset.json", dataset)
    (problem,) = collect(run).problems
    assert_mentions(problem, "dataset.json", "../../etc/secret")
    assert problem in report(run).text


def test_the_same_run_gives_the_same_bytes_and_leaves_nothing_else(run: Path) -> None:
    first = write_report(run).read_bytes()
    names = sorted(path.name for path in run.iterdir())
    assert write_report(run).read_bytes() == first
    assert sorted(path.name for path in run.iterdir()) == names


@pytest.mark.parametrize(("make", "named"), [(False, ("folder",)), (True, ("run directory", "manifest.json"))])
def test_what_is_no_run_directory_is_said(tmp_path: Path, make: bool, named: Sequence[object]) -> None:
    directory = tmp_path / "elsewhere"
    if make:
        directory.mkdir()
    with pytest.raises(DataError, match=mentions(directory, *named)):
        write_report(directory)
    assert not (directory / "report.html").exists()


def test_report_needs_neither_torch_nor_matplotlib() -> None:
    heavy = "{'torch', 'matplotlib', 'transformers'}"
    code = f"import sys, semples.html_report; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_unknown_run_has_a_heading_of_its_own(run: Path) -> None:
    (run / "dataset.json").unlink()
    found = collect(run)
    assert found.classes == tuple(CLASSES)  # known from evaluation.json
    assert_mentions(report(run).text, "dataset.json")
