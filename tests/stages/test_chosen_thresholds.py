"""The choice of a threshold in a run: by which criterion, on which maps, and where there is nothing to choose by."""

from __future__ import annotations

import json
import shutil
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

import semples
from matching import mentions
from run_files import PLAIN, config_from
from semples.config.loading import load_config
from semples.data.images import write_mask
from semples.errors import ConfigError
from semples.inference.thresholds.base import FALLBACK, Criterion
from semples.inference.thresholds.by_prompts import PromptsCriterion, RegionJudge
from semples.inference.thresholds.by_values import LiCriterion, OtsuCriterion
from semples.method.thresholds import CANDIDATES, lowest, otsu_costs
from semples.rundir.threshold import CONSTANT, ThresholdChoice
from semples.runtime.context import Run
from semples.runtime.models import RunModels
from semples.runtime.setup import open_run
from semples.runtime.threshold_choice import build_criterion, choose_for_masks, choose_threshold, judged_maps
from semples.stages.stage_warnings import doubtful_masks, threshold_at_edge

pytestmark = pytest.mark.whole


@pytest.fixture(scope="module")
def finished(plain_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guided run up to the pseudo masks, each with thresholds of its own."""
    each = {"pseudo_masks__criterion": "prompts_image", "pseudo_masks__refinement": ["pixel_adaptive"]}
    copy = shutil.copytree(plain_run, tmp_path_factory.mktemp("run") / "guided")
    return semples.run(config_from(PLAIN, **each), copy, until="pseudo-masks", quiet=True)


@pytest.fixture
def run(copied_run: Path) -> Run:
    return open_run(load_config(copied_run / "config.yaml"), copied_run, quiet=True)


def with_settings(run: Run, **changes: Any) -> Run:
    return replace(run, config=replace(run.config, pseudo_masks=replace(run.config.pseudo_masks, **changes)))


def choice(directory: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((directory / "4-pseudo-masks" / "threshold.json").read_text())
    return record


def put_cams(run: Run, cams: np.ndarray[Any, Any]) -> None:
    """Give every image of stage 3 the same map for each of its classes."""
    for sample in run.dataset.train:
        classes = np.array(sample.tags, np.int64)
        maps = np.stack([cams] * len(classes)) if len(classes) else np.zeros((0, *cams.shape), np.uint8)
        path = run.directory.cams("refine") / f"{sample.id}.safetensors"
        save_file({"cams": maps.astype(np.uint8), "classes": classes}, path)


def test_guided_runs_choose_by_prompts_and_others_by_their_maps(run: Run) -> None:
    by_default = with_settings(run, criterion="auto")
    assert by_default.config.criterion == build_criterion(by_default.models).name == "prompts"
    unguided = replace(by_default.config, guidance=replace(by_default.config.guidance, enabled=False))
    assert unguided.criterion == build_criterion(replace(by_default, config=unguided).models).name == "li"


def test_a_choice_for_each_image_says_so(finished: Path) -> None:
    record = choice(finished)
    assert record["criterion"] == "prompts_image"
    assert list(record["costs"]) == [f"{t:.2f}" for t in CANDIDATES]
    assert record["threshold"] == pytest.approx(lowest(list(record["costs"].values())), abs=0.01)


def test_masks_are_cut_at_the_choice_after_refinement(run: Run) -> None:
    own = choice(run.directory.path)["images"]
    for shown in judged_maps(run, "refine", range(len(run.dataset.train)), refined=True):
        mask = np.asarray(Image.open(run.directory.pseudo_mask(shown.sample.id)))
        above = shown.cams - torch.tensor(own[shown.sample.id])[:, None, None]
        assert ((mask > 0) == (above.amax(0) > 0).numpy()).mean() > 0.999  # but for rounding


def test_one_threshold_for_all_is_the_mean_of_the_same_costs(finished: Path, run: Run) -> None:
    one = choose_for_masks(with_settings(run, criterion="prompts"), "refine")
    assert one.threshold == choice(finished)["threshold"]
    assert one.images == {}


def test_without_any_mask_the_choice_is_the_same(finished: Path, run: Run) -> None:
    shutil.rmtree(run.directory.scenes / "masks")
    shutil.rmtree(run.directory.pseudo_masks)
    semples.run(run.config, run.directory.path, until="pseudo-masks", quiet=True)
    before, after = (folder / "4-pseudo-masks" / "threshold.json" for folder in (finished, run.directory.path))
    assert before.read_bytes() == after.read_bytes()


def test_a_number_is_taken_as_it_is(run: Run) -> None:
    chosen = choose_threshold(with_settings(run, threshold=0.25), "refine")
    assert chosen == ThresholdChoice(CONSTANT, 0.25)


def test_otsu_sees_the_values_of_the_maps(run: Run) -> None:
    stored = np.concatenate(
        [
            load_file(run.directory.cams("refine") / f"{s.id}.safetensors")["cams"].max(0).ravel()
            for s in run.dataset.train
        ]
    )
    expected = otsu_costs(torch.from_numpy(np.bincount(stored, minlength=256))).tolist()
    chosen = choose_threshold(with_settings(run, criterion="otsu"), "refine")
    assert chosen.criterion == "otsu"
    assert list(chosen.costs.values()) == pytest.approx(expected)
    assert chosen.threshold == lowest(expected)


def test_refined_maps_are_other_maps_only_where_refinement_begins_with_them(run: Run) -> None:
    def first(some: Run, refined: bool) -> torch.Tensor:
        return next(judged_maps(some, "refine", [0], refined)).cams

    plain = with_settings(run, refinement=[])
    assert torch.equal(first(plain, True), first(run, False))
    assert not torch.equal(first(run, True), first(run, False))


@pytest.mark.parametrize("criterion", ["prompts", "li", "otsu"])
@pytest.mark.parametrize("peak", [0, 255], ids=["nothing", "one pixel"])
def test_maps_that_look_the_same_at_every_threshold_leave_the_fallback(run: Run, criterion: str, peak: int) -> None:
    cams = np.zeros((96, 96), np.uint8)
    cams[40, 50] = peak
    put_cams(run, cams)
    assert choose_threshold(with_settings(run, criterion=criterion), "refine").threshold == FALLBACK


FALLING, RISING = [1.0 + t for t in CANDIDATES], [2.0 - t for t in CANDIDATES]
"""Costs whose minimum is the lowest candidate, and the highest."""


@pytest.mark.parametrize(
    ("criterion", "kind", "costs", "used", "threshold", "other"),
    [
        # The maps miss the objects: neither the edge nor the other criterion is trusted.
        ("prompts", PromptsCriterion, FALLING, "prompts", FALLBACK, "li"),
        # The prompts describe the classes: the other criterion decides.
        ("prompts", PromptsCriterion, RISING, "li", None, "prompts"),
        # Values alone are not overruled.
        ("li", LiCriterion, FALLING, "li", CANDIDATES[0], "otsu"),
        ("otsu", OtsuCriterion, RISING, "otsu", CANDIDATES[-1], "li"),
    ],
)
def test_a_choice_at_the_edge_of_the_candidates_asks_another_criterion(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    criterion: str,
    kind: type[Criterion],
    costs: list[float],
    used: str,
    threshold: float | None,
    other: str,
) -> None:
    by_values = {
        name: choose_threshold(with_settings(run, criterion=name), "refine").threshold for name in ("li", "otsu")
    }
    monkeypatch.setattr(kind, "costs", lambda _criterion, _maps: deque(_maps, maxlen=0) or costs)
    chosen = choose_threshold(with_settings(run, criterion=criterion), "refine")
    assert chosen.criterion == used
    assert chosen.threshold == (by_values["li"] if threshold is None else threshold)
    assert chosen.others == {other: by_values.get(other, CANDIDATES[-1])}
    (warning,) = threshold_at_edge(chosen)
    assert all(text in warning for text in (used, other, f"{chosen.threshold:g}", "pseudo_masks.threshold"))


def test_a_doubted_mean_leaves_one_threshold_for_all_images(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = torch.tensor(RISING)
    monkeypatch.setattr(
        RegionJudge, "pair_costs", lambda _judge, maps: [(int(c), costs) for image in maps for c in image.classes]
    )
    chosen = choose_for_masks(with_settings(run, criterion="prompts_image"), "refine")
    assert chosen.criterion == "li"
    assert chosen.images == {}


def leave_out(monkeypatch: pytest.MonkeyPatch, *left_out: bool) -> None:
    monkeypatch.setattr(RunModels, "left_out_classes", lambda _models: torch.tensor(left_out))


def test_classes_that_are_left_out_prefer_no_threshold(
    run: Run, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = choice(finished)["images"]
    leave_out(monkeypatch, True, *[False] * (run.num_classes - 1))
    chosen = choose_for_masks(run, "refine")
    assert chosen.criterion == "prompts_image"
    tagged = [sample for sample in run.dataset.train if 0 in sample.tags]
    assert tagged
    assert {chosen.images[sample.id][0] for sample in tagged} == {chosen.threshold}
    assert {before[sample.id][0] for sample in tagged} != {chosen.threshold}
    maps = list(judged_maps(run, "refine", range(len(run.dataset.train)), refined=True))
    criterion = build_criterion(run.models)
    assert isinstance(criterion, PromptsCriterion)
    for index, costs in criterion.judge.pair_costs(maps):
        assert costs.eq(0).all() == (index == 0)


@pytest.mark.parametrize("criterion", ["prompts", "prompts_image"])
def test_another_criterion_decides_if_all_classes_are_left_out(
    run: Run, monkeypatch: pytest.MonkeyPatch, criterion: str
) -> None:
    leave_out(monkeypatch, *[True] * run.num_classes)
    chosen = choose_for_masks(with_settings(run, criterion=criterion), "refine")
    assert chosen.criterion == "li"
    assert chosen.images == {}


@pytest.mark.parametrize(("value", "state", "fix"), [(0, "empty", "lower"), (1, "full", "raise")])
def test_masks_nearly_all_empty_or_full_are_a_warning(run: Run, value: int, state: str, fix: str) -> None:
    assert not list(doubtful_masks(run))
    tagged = [sample for sample in run.dataset.train if sample.tags]
    half = len(tagged) // 2
    for index, sample in enumerate(tagged):
        if index == half:
            assert not list(doubtful_masks(run))  # half of them may be right
        write_mask(run.directory.pseudo_mask(sample.id), np.full(sample.size, value, np.uint8))
    (warning,) = doubtful_masks(run)
    assert f"{len(tagged)} of {len(tagged)}" in warning
    assert state in warning
    assert f"{fix} pseudo_masks.threshold" in warning


@pytest.mark.parametrize("criterion", ["prompts", "li", "otsu"])
def test_images_without_a_tag_leave_the_fallback(run: Run, criterion: str) -> None:
    samples = tuple(replace(sample, tags=()) for sample in run.dataset.train)
    untagged = with_settings(replace(run, dataset=replace(run.dataset, train=samples)), criterion=criterion)
    put_cams(untagged, np.zeros((96, 96), np.uint8))
    assert choose_threshold(untagged, "refine").threshold == FALLBACK
    assert choose_for_masks(untagged, "refine").threshold == FALLBACK


def test_prompts_need_guidance() -> None:
    with pytest.raises(ConfigError, match=mentions("pseudo_masks.criterion", "prompts", "guidance.enabled", "false")):
        load_config(overrides={"pseudo_masks.criterion": "prompts", "guidance.enabled": False})
