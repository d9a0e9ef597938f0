"""Stage 4: order of refinement steps, what they leave, the ignore band, and what a run reports of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file
from torch import Tensor

import semples
from matching import mentions
from run_files import UNGUIDED, config_from, digests
from semples.config import Config
from semples.config.loading import load_config
from semples.errors import ConfigError, RunError
from semples.inference.cutting import band_ends, refined_label_maps
from semples.method.refinement.pixel_adaptive.refine import pixel_adaptive_refinement

pytestmark = pytest.mark.whole


def refining(*steps: str, **changes: Any) -> Config:
    return config_from(UNGUIDED, pseudo_masks__refinement=list(steps), **changes)


@pytest.fixture
def finished(unguided_run: Path) -> Path:
    return unguided_run


def masks(folder: Path) -> dict[str, Any]:
    return {path.stem: np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))}


def halve(_: Tensor, scores: Tensor) -> Tensor:
    return torch.cat([scores[:1], scores[1:] / 2])


def cut_off(_: Tensor, scores: Tensor) -> Tensor:
    return torch.cat([scores[:1], (scores[1:] > 0.55).float()])


def test_steps_act_in_their_order() -> None:
    """A CAM of 0.8 against 0.45: halved first it loses; cut off first it is 1, and wins even halved."""
    image, cams, class_ids = torch.zeros(3, 1, 2), torch.tensor([[[0.8, 1.2]]]), torch.tensor([4])
    maps = partial(refined_label_maps, image, cams, class_ids, threshold=0.45)
    assert [labels.tolist() for labels in maps([halve, cut_off])] == [[[5, 5]], [[0, 5]], [[0, 5]]]
    assert [labels.tolist() for labels in maps([cut_off, halve])] == [[[5, 5]], [[5, 5]], [[5, 5]]]
    assert [labels.tolist() for labels in maps([])] == [[[5, 5]]]


def test_steps_come_from_their_sections_in_the_order_of_the_list() -> None:
    config = load_config(
        overrides={
            "pseudo_masks.refinement": ["dense_crf", "pixel_adaptive"],
            "pixel_adaptive.dilations": [2],
            "pixel_adaptive.iterations": 3,
            "pixel_adaptive.color_scale": 0.5,
        }
    )
    steps = {name: step.step() for name, step in config.refinement_steps().items()}
    assert list(steps) == ["dense_crf", "pixel_adaptive"]
    image, scores = torch.rand(3, 9, 9), torch.rand(2, 9, 9)
    expected = pixel_adaptive_refinement(image, scores, [2], 3, 0.5)
    assert torch.equal(steps["pixel_adaptive"](image, scores), expected)


def test_band_ends_stay_in_0_to_1() -> None:
    assert band_ends(0.5, 0.2) == pytest.approx((0.4, 0.6))
    assert band_ends(0.1, 0.4) == pytest.approx((0.0, 0.3))
    assert band_ends(0.9, 0.4) == pytest.approx((0.7, 1.0))


def test_each_step_leaves_its_masks_and_its_scores(copied_run: Path) -> None:
    pytest.importorskip("pydensecrf", reason='needs pydensecrf2: pip install "semples[crf]"')
    before = masks(copied_run / "4-pseudo-masks")
    run = semples.run(refining("pixel_adaptive", "dense_crf"), copied_run, quiet=True)
    after = masks(run / "4-pseudo-masks")
    assert set(masks(run / "4-pseudo-masks" / "after-pixel_adaptive")) == set(before)
    assert not (run / "4-pseudo-masks" / "after-dense_crf").exists()  # those are the final ones
    assert any((after[name] != before[name]).any() for name in before)
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert list(evaluation["refinements"]) == ["pixel_adaptive", "dense_crf"]
    assert evaluation["refinements"]["dense_crf"].items() <= evaluation["pseudo_masks"].items()
    assert evaluation["refinements"]["pixel_adaptive"]["split"] == "train"
    assert "After pixel_adaptive" in (run / "report.html").read_text()


def test_a_setting_of_a_step_runs_stage_4_and_those_after_it_again(copied_run: Path) -> None:
    first = digests(semples.run(refining("pixel_adaptive"), copied_run, until="segment", quiet=True))
    second = digests(
        semples.run(refining("pixel_adaptive", pixel_adaptive__iterations=3), copied_run, until="segment", quiet=True)
    )
    assert {name for name in first if first[name] != second[name]} == {"4-pseudo-masks", "5-segment"}


def test_the_ignore_band_takes_what_lies_between_its_ends(copied_run: Path, finished: Path) -> None:
    """Without a step: the masks are those at the threshold, less the pixels in the band; coverage counts them."""
    run = semples.run(refining(pseudo_masks__ignore_band=0.3), copied_run, quiet=True)
    without, banded = masks(finished / "4-pseudo-masks"), masks(run / "4-pseudo-masks")
    ignored = 0
    for name, mask in banded.items():
        kept = mask != 255
        ignored += int((~kept).sum())
        assert np.array_equal(mask[kept], without[name][kept])
    share = ignored / sum(mask.size for mask in banded.values())
    assert 0 < share < 1
    scores = json.loads((run / "evaluation.json").read_text())["pseudo_masks"]
    assert scores["coverage"] == pytest.approx(1 - share)


def test_with_a_band_the_masks_of_the_last_step_are_kept_beside(copied_run: Path) -> None:
    config = refining("pixel_adaptive", pseudo_masks__ignore_band=0.1)
    run = semples.run(config, copied_run, until="pseudo-masks", quiet=True)
    banded, whole = masks(run / "4-pseudo-masks"), masks(run / "4-pseudo-masks" / "after-pixel_adaptive")
    assert set(banded) == set(whole)
    assert all(255 not in mask for mask in whole.values())
    assert any(255 in mask for mask in banded.values())


def test_confidence_is_written_where_it_is_asked_for_and_weights_the_training(copied_run: Path, finished: Path) -> None:
    """Without a step it is the distance of the highest CAM to the threshold, with 255 for 1; masks stay the same."""
    assert not (finished / "4-pseudo-masks" / "confidence").exists()
    run = semples.run(refining(segment__confidence_weighting=True), copied_run, until="segment", quiet=True)
    assert masks(run / "4-pseudo-masks").keys() == masks(run / "4-pseudo-masks" / "confidence").keys()
    threshold = json.loads((run / "4-pseudo-masks" / "threshold.json").read_text())["threshold"]
    for name, confidence in masks(run / "4-pseudo-masks" / "confidence").items():
        cams = load_file(run / "0-classify" / "cams" / f"{name}.safetensors")["cams"] / 255
        best, second = np.sort(np.concatenate([cams, np.full((2, *cams.shape[1:]), [[[threshold]], [[0]]])]), 0)[:-3:-1]
        assert (confidence.dtype, confidence.shape) == (np.uint8, cams.shape[1:])
        np.testing.assert_allclose(confidence, 255 * (best - second), atol=0.51)
    for name, mask in masks(run / "4-pseudo-masks").items():
        np.testing.assert_array_equal(mask, masks(finished / "4-pseudo-masks")[name])
    before, after = digests(finished), digests(run)
    assert {name for name in after if before[name] != after[name]} == {"4-pseudo-masks", "5-segment"}
    weights = "5-segment/model/model.safetensors"
    assert (run / weights).read_bytes() != (finished / weights).read_bytes()
    path = run / "4-pseudo-masks" / "confidence" / "train-00001.png"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(RunError, match=mentions("confidence/train-00001.png", "--force pseudo-masks")):
        semples.run(refining(segment__confidence_weighting=True), copied_run, force="segment", quiet=True)


def test_a_missing_package_is_told_before_anything_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    with pytest.raises(ConfigError, match="pydensecrf2"):
        semples.run(refining("dense_crf"), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"pseudo_masks.refinement": ["crf"]}, ("pseudo_masks.refinement", "crf", "pixel_adaptive", "dense_crf")),
        ({"pseudo_masks.refinement": ["dense_crf"] * 2}, ("pseudo_masks.refinement", "dense_crf", "dense_crf", "once")),
        ({"pseudo_masks.ignore_band": 1.5}, ("pseudo_masks.ignore_band", 1.5, 0, 1)),
        ({"pixel_adaptive.dilations": []}, ("pixel_adaptive.dilations", "[]")),
        ({"pixel_adaptive.dilations": [1, 0]}, ("pixel_adaptive.dilations", "[1, 0]", 0)),
        ({"pixel_adaptive.color_scale": 0.0}, ("pixel_adaptive.color_scale", "0.0", 0)),
        ({"dense_crf.label_confidence": 1.0}, ("dense_crf.label_confidence", "1.0", 0, 1)),
        ({"dense_crf.bilateral_compat": -1}, ("dense_crf.bilateral_compat", "-1.0", 0)),
    ],
)
def test_settings_out_of_range_are_told(changes: dict[str, Any], named: Sequence[object]) -> None:
    with pytest.raises(ConfigError, match=mentions(*named)):
        load_config(overrides=changes)


def test_each_class_may_have_a_threshold_of_its_own() -> None:
    """0.5 is above 0.4 by more than 0.6 is above 0.55; where neither is above its own there is background."""
    cams = torch.tensor([[[0.6, 0.5, 0.9]], [[0.5, 0.4, 0.2]]])
    labels = refined_label_maps(torch.zeros(3, 1, 3), cams, torch.tensor([3, 5]), [], torch.tensor([0.55, 0.4]))
    assert labels[0].tolist() == [[6, 0, 4]]


def test_a_band_around_several_thresholds_stays_between_0_and_1() -> None:
    low, high = (torch.as_tensor(end) for end in band_ends(torch.tensor([0.1, 0.95]), 0.4))
    assert torch.allclose(low, torch.tensor([0.0, 0.75]))
    assert torch.allclose(high, torch.tensor([0.3, 1.0]))
