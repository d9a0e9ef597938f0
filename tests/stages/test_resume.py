"""A run that is stopped everywhere ends with the bytes of an undisturbed one; what is damaged is told in one line."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import semples
from matching import assert_mentions, mentions
from run_files import SMALL, artefacts, config_from, metrics, running
from semples.errors import DataError, RunError
from semples.rundir.manifest import Manifest
from semples.rundir.metrics import EpochMetrics
from semples.runtime.context import Run
from semples.runtime.setup import open_run
from semples.stages.pipeline import Stage, perform
from semples.stages.stage_warnings import clamped_scores, collapsed_prompts
from semples.stages.updates import StageUpdate
from semples.training.checkpoints import TrainingState

pytestmark = pytest.mark.whole


class KilledError(BaseException):
    """What stands for the end of the process."""


small = partial(config_from, {**SMALL, "checkpoint_seconds": 0.0})


class Fuse:
    """Ends a run at the given moments, one after the other: (stage, "step" or a folder of files, how many of them)."""

    def __init__(self, run: Path, moments: list[tuple[str, str, int]], monkeypatch: pytest.MonkeyPatch) -> None:
        self.run, self.moments = run, moments
        self.seen: Counter[tuple[str, str]] = Counter()
        self.steps = 0
        end_step, replace = TrainingState.end_step, Path.replace

        def counted(state: TrainingState, *arguments: Any) -> None:
            self.steps += 1
            self.burn("step")
            end_step(state, *arguments)

        def replaced(path: Path, target: Path) -> Path:
            if run in target.parents:
                self.burn(target.parent.name)
            return replace(path, target)

        monkeypatch.setattr(TrainingState, "end_step", counted)
        monkeypatch.setattr(Path, "replace", replaced)

    def burn(self, event: str) -> None:
        now = (running(self.run), event)
        self.seen[now] += 1
        if self.moments and self.moments[0] == (*now, self.seen[now]):
            self.moments.pop(0)
            self.seen.clear()
            raise KilledError


MOMENTS = [
    ("0-classify", "step", 5),
    ("0-classify", "cams", 3),
    ("1-match", "step", 2),
    ("2-prompts", "step", 4),
    ("3-refine", "step", 3),
    ("4-pseudo-masks", "4-pseudo-masks", 4),
    ("4-pseudo-masks", "confidence", 2),
    ("5-segment", "step", 4),
    ("5-segment", "predictions", 2),
    ("5-supervised-bound", "step", 6),
    ("6-evaluate", "predictions", 3),
]


def test_stopped_in_every_stage_it_ends_with_the_same_bytes(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, moments = tmp_path / "run", list(MOMENTS)
    fuse = Fuse(run, moments, monkeypatch)
    while moments:
        with pytest.raises(KilledError):
            semples.run(small(), run, quiet=True)
    semples.run(small(), run, quiet=True)
    assert artefacts(run) == artefacts(tiny_run)
    assert metrics(run) == metrics(tiny_run)
    # Nothing was trained twice but the steps in which it was stopped.
    steps = dict.fromkeys(("classify", "match", "refine", "segment", "supervised-bound"), 3)
    pairs = sum(len(entry["tags"]) for entry in json.loads((run / "dataset.json").read_text())["train"])
    stopped = sum(event == "step" for _, event, _ in MOMENTS)
    assert fuse.steps == 2 * (sum(steps.values()) + -(-pairs // 2)) + stopped


@pytest.fixture
def opened(tmp_path: Path) -> Run:
    return open_run(small(data__train_size=2, data__val_size=1), tmp_path / "run", quiet=True)


def test_a_stopped_stage_finds_its_files_again_but_not_those_of_other_settings(opened: Run) -> None:
    found: list[list[str]] = []

    def act(run: Run) -> None:
        folder = run.directory.folder("classify")
        found.append(sorted(path.name for path in folder.glob("*")))
        folder.mkdir(exist_ok=True)
        (folder / f"{len(found)}.txt").touch()
        if len(found) < 4:
            raise KilledError

    stage, manifest = Stage("classify", act, ("seed",)), Manifest(opened.directory)
    for digest in ("first", "first", "second"):
        with pytest.raises(KilledError):
            perform(stage, opened, manifest, digest, print)
        manifest = Manifest(opened.directory)
        assert not manifest.is_done("classify", digest)
    perform(stage, opened, manifest, "second", print)
    assert found == [[], ["1.txt"], [], ["3.txt"]]
    assert Manifest(opened.directory).is_done("classify", "second")


def test_a_folder_that_was_half_removed_counts_for_nothing(opened: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while old results are removed, and then the old settings again: they must not be taken for whole."""
    manifest = Manifest(opened.directory)
    stage = Stage("classify", lambda run: run.directory.folder("classify").mkdir(), ("seed",))
    perform(stage, opened, manifest, "old", print)

    def stop(_: Path) -> None:
        raise KilledError

    monkeypatch.setattr(shutil, "rmtree", stop)
    with pytest.raises(KilledError):
        perform(stage, opened, manifest, "new", print)
    again = Manifest(opened.directory)
    assert opened.directory.folder("classify").is_dir()
    assert not again.is_done("classify", "old")
    assert not again.is_running("classify", "new")


def test_the_number_of_threads_is_part_of_the_digest_on_processors(opened: Run) -> None:
    stage, manifest = Stage("classify", lambda _: None, ("seed",)), Manifest(opened.directory)
    one = stage.digest(opened, manifest)
    torch.set_num_threads(2)
    try:
        assert stage.digest(opened, manifest) != one
    finally:
        torch.set_num_threads(1)
    assert stage.digest(opened, manifest) == one


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def cut(run: Path, name: str) -> None:
    truncate(run / name)


def delete(run: Path, name: str) -> None:
    (run / name).unlink()


@pytest.mark.parametrize(
    ("spoil", "name", "force", "fix"),
    [
        (cut, "1-match/mask_generator.safetensors", "prompts", "--force match"),
        (delete, "2-prompts/prompts.safetensors", "refine", "--force prompts"),
        (cut, "2-prompts/prompts.safetensors", "refine", "--force prompts"),
        (cut, "3-refine/cams/train-00002.safetensors", "pseudo-masks", "--force refine"),
        (delete, "3-refine/cams/train-00002.safetensors", "pseudo-masks", "--force refine"),
        (cut, "4-pseudo-masks/train-00003.png", "segment", "--force pseudo-masks"),
        (cut, "5-segment/model/model.safetensors", "evaluate", "--force segment"),
        (cut, "5-supervised-bound/model/model.safetensors", "evaluate", "--force supervised-bound"),
    ],
)  # fmt: skip
def test_a_damaged_result_of_an_earlier_stage_names_file_and_stage(
    spoil: Any, name: str, force: str, fix: str, copied_run: Path
) -> None:
    spoil(copied_run, name)
    before = {key: value for key, value in artefacts(copied_run).items() if key[0] < name[0]}
    damaged = name.removesuffix("/model.safetensors")  # transformers names the folder
    with pytest.raises(RunError, match=mentions(copied_run / damaged, fix)):
        semples.run(small(), copied_run, force=force, quiet=True)
    assert before.items() <= artefacts(copied_run).items()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"stages": {"0-cl', ()),
        ("[]", ()),
        ('{"stages": []}', ()),
        ('{"stages": {"0-classify": "done"}}', ("0-classify",)),
    ],
)
def test_a_manifest_that_is_none_is_told_and_nothing_is_touched(
    text: str, named: Sequence[object], copied_run: Path
) -> None:
    (copied_run / "manifest.json").write_text(text)
    before = artefacts(copied_run)
    with pytest.raises(DataError, match=mentions(copied_run / "manifest.json", *named)):
        semples.run(small(), copied_run, quiet=True)
    assert artefacts(copied_run) == before


def test_an_edited_digest_runs_that_stage_alone_again(finished: Path, copied_run: Path) -> None:
    manifest = json.loads((copied_run / "manifest.json").read_text())
    manifest["stages"]["4-pseudo-masks"]["digest"] = "edited"
    (copied_run / "manifest.json").write_text(json.dumps(manifest))
    times = {path: path.stat().st_mtime_ns for path in (copied_run / "3-refine").rglob("*.safetensors")}
    semples.run(small(), copied_run, until="pseudo-masks", quiet=True)
    assert artefacts(copied_run) == artefacts(finished)
    assert {path: path.stat().st_mtime_ns for path in times} == times


def write_metrics(run: Run, stage: str, *shares: dict[str, float]) -> None:
    for epoch, figures in enumerate(shares, start=1):
        run.log.write(EpochMetrics(stage, epoch, figures=figures))


def warnings_of(run: Run, stage: str) -> list[str]:
    found = list(clamped_scores(run.directory.metrics, stage))
    return [*found, *collapsed_prompts(run)] if stage == "prompts" else found


def test_clamped_scores_above_5_percent_name_loss_epoch_and_setting(opened: Run) -> None:
    write_metrics(opened, "match", {"clamped/match_background": 0.9})
    write_metrics(
        opened,
        "refine",
        {"clamped/suppress": 0.05, "clamped/match_background": 0.2, "mask_area": 0.7},
        {"clamped/suppress": 0.04, "clamped/match_background": 0.06, "mask_area": 0.7},
    )
    (warning,) = warnings_of(opened, "refine")
    assert_mentions(warning, 20, "match_background", "epoch 1", "vision_language.score", "vision_language.model")
    assert warnings_of(opened, "segment") == []


def test_a_prompt_that_became_its_class_names_class_and_setting(opened: Run) -> None:
    words = {"boat": [[["sea", 0.9]], [["Boat", 0.8], ["sea", 0.7]]], "ball": [[["ball", 0.9]], [["grass", 0.8]]]}
    opened.directory.words.parent.mkdir()
    opened.directory.words.write_text(json.dumps({"epochs": [1, 2], "words": words}))
    write_metrics(opened, "prompts", {"clamped/push": 0.3}, {"clamped/pull": 0.08})
    push, pull, diverged = warnings_of(opened, "prompts")
    assert_mentions(push, "push", "lower", "prompts.lambda_text")
    assert_mentions(pull, "pull", "raise", "prompts.approach", "prompts.score", "auto")
    assert_mentions(diverged, "boat", "Boat", "raise", "prompts.lambda_text", 0.02)


def test_warnings_are_told_and_kept_in_the_manifest(opened: Run) -> None:
    def act(run: Run) -> None:
        write_metrics(run, "match", {"clamped/match_background": 0.9})

    told: list[StageUpdate] = []
    perform(Stage("match", act, ("seed",)), opened, Manifest(opened.directory), "d", told.append)
    (warning,) = json.loads(opened.directory.manifest.read_text())["stages"]["1-match"]["warnings"]
    assert told[-1].warnings == (warning,)
    assert str(told[-1]).splitlines()[-1] == f"match            warning: {warning}"
