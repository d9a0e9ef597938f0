"""Confusion matrices and the threshold sweep against golden numbers, torchmetrics, hand and brute force."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.numpy import load_file
from torchmetrics import JaccardIndex

from references import early_stopping_best, label_map
from semples.errors import DataError
from semples.method.metrics import THRESHOLDS, ConfusionMatrix, ThresholdSweep

Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def golden(shared_data: Path) -> dict[str, Array]:
    return load_file(shared_data / "parity" / "fixture.safetensors")


def mask(*rows: list[int]) -> Array:
    return np.array(rows, np.uint8)


def matrix_of(num_labels: int, prediction: Array, truth: Array) -> ConfusionMatrix:
    matrix = ConfusionMatrix(num_labels)
    matrix.update(prediction, truth)
    return matrix


def random_masks(seed: int, num_labels: int, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """A prediction that is right in about half of the pixels, and a truth with some 255."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, num_labels, shape).astype(np.uint8)
    prediction = np.where(rng.random(shape) < 0.5, truth, rng.integers(0, num_labels, shape)).astype(np.uint8)
    truth[rng.random(shape) < 0.1] = 255
    return prediction, truth


class TestConfusionMatrixByHand:
    """Two rows of three pixels, labels 0 to 3, of which 3 never occurs; one truth pixel is ignored."""

    truth = mask([0, 0, 1], [1, 2, 255])
    prediction = mask([0, 1, 1], [255, 0, 2])

    def test_counts(self) -> None:
        matrix = matrix_of(4, self.prediction, self.truth)
        assert matrix.counts.dtype == np.int64
        assert matrix.counts.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]

    def test_shares(self) -> None:
        matrix = matrix_of(4, self.prediction, self.truth)
        np.testing.assert_array_equal(matrix.iou, [1 / 4, 1 / 3, 0, np.nan])
        np.testing.assert_array_equal(matrix.false_positive_share, [2 / 4, 1 / 3, 0, np.nan])
        np.testing.assert_array_equal(matrix.false_negative_share, [1 / 4, 1 / 3, 1, np.nan])

    def test_scores(self) -> None:
        scores = matrix_of(4, self.prediction, self.truth).scores(["boat", "train", "cow"])
        assert scores["iou"] == {"background": 1 / 4, "boat": 1 / 3, "train": 0.0, "cow": None}
        assert scores["miou"] == pytest.approx((1 / 4 + 1 / 3 + 0) / 3)
        assert scores["false_positive"] == pytest.approx((1 / 3 + 0) / 2)
        assert scores["false_negative"] == pytest.approx((1 / 3 + 1) / 2)
        assert scores["coverage"] == pytest.approx(4 / 5)
        assert scores["images"] == 1
        assert list(scores) == ["images", "miou", "iou", "false_positive", "false_negative", "coverage"]

    def test_means_over_chosen_labels(self) -> None:
        """Background and class 2 only: IoU 1/4 and 0, and the one object's shares."""
        matrix = ConfusionMatrix(4, averaged=[0, 2])
        matrix.update(self.prediction, self.truth)
        assert matrix.miou == pytest.approx(1 / 8)
        assert (matrix.false_positive, matrix.false_negative) == (0, 1)
        assert matrix.scores(["boat", "train", "cow"])["iou"]["boat"] == 1 / 3


class TestConfusionMatrix:
    @pytest.mark.parametrize("threshold", ["0.42", "0.5"])
    def test_golden(self, golden: dict[str, Array], threshold: str) -> None:
        matrix = ConfusionMatrix(6)
        for image in (0, 1):
            matrix.update(golden[f"out.ms.{image}.pred.t{threshold}"], golden[f"in.ms.{image}.truth"])
        np.testing.assert_allclose(matrix.iou, golden[f"out.ms.iou.t{threshold}"], rtol=1e-12)
        assert matrix.miou == pytest.approx(float(golden[f"out.ms.miou.t{threshold}"]), rel=1e-12)

    @pytest.mark.parametrize("num_labels", [2, 5, 81])
    def test_agrees_with_torchmetrics(self, num_labels: int) -> None:
        jaccard = JaccardIndex(task="multiclass", num_classes=num_labels, average="none", ignore_index=255)
        mean = JaccardIndex(task="multiclass", num_classes=num_labels, average="macro", ignore_index=255)
        matrix = ConfusionMatrix(num_labels)
        for seed in range(3):
            prediction, truth = random_masks(seed, num_labels, (60, 50 + seed))
            matrix.update(prediction, truth)
            for metric in (jaccard, mean):
                metric.update(torch.from_numpy(prediction).long(), torch.from_numpy(truth).long())
        np.testing.assert_allclose(matrix.iou, jaccard.compute().numpy(), rtol=1e-5)
        assert matrix.miou == pytest.approx(mean.compute().item(), rel=1e-5)

    def test_shares_of_a_label_sum_to_one(self) -> None:
        matrix = matrix_of(7, *random_masks(0, 7, (40, 30)))
        np.testing.assert_allclose(matrix.iou + matrix.false_positive_share + matrix.false_negative_share, 1)

    def test_parts_of_an_image_count_like_the_whole(self) -> None:
        prediction, truth = random_masks(4, 3, (20, 30))
        parts = ConfusionMatrix(3)
        for part in (slice(0, 7), slice(7, 20)):
            parts.update(prediction[part], truth[part])
        assert np.array_equal(parts.counts, matrix_of(3, prediction, truth).counts)
        assert parts.images == 2

    def test_predicted_255_scores_as_background_and_lowers_coverage(self) -> None:
        matrix = matrix_of(2, mask([255, 255, 1, 255]), mask([0, 1, 1, 255]))
        assert matrix.counts.tolist() == [[1, 0], [1, 1]]
        assert matrix.coverage == pytest.approx(1 / 3)

    def test_absent_objects_leave_no_object_mean(self) -> None:
        scores = matrix_of(3, mask([0, 0]), mask([0, 0])).scores(["a", "b"])
        assert scores["miou"] == 1
        assert scores["iou"] == {"background": 1, "a": None, "b": None}
        assert scores["false_positive"] is None
        assert scores["false_negative"] is None

    def test_one_label_and_one_pixel(self) -> None:
        assert matrix_of(1, mask([0]), mask([0])).scores([])["iou"] == {"background": 1}
        assert matrix_of(2, mask([1]), mask([1])).iou.tolist()[1] == 1

    def test_nothing_scored(self) -> None:
        matrix = matrix_of(2, mask([0, 1]), mask([255, 255]))
        assert math.isnan(matrix.miou)
        assert math.isnan(matrix.coverage)
        with pytest.raises(DataError, match=r"^1 ground-truth masks .*255"):
            matrix.scores(["a"])

    def test_all_254_classes_fit(self) -> None:
        every = np.arange(256, dtype=np.uint8)
        matrix = matrix_of(255, every, every)
        assert np.array_equal(matrix.counts, np.eye(255))

    def test_bad_masks_are_refused_and_not_counted(self) -> None:
        matrix = ConfusionMatrix(3)
        good = mask([0, 1, 2], [0, 0, 255])
        for prediction, truth, expected in (
            (good.T, good, r"prediction .*\(3, 2\).*\(2, 3\)"),
            (good + np.uint8(1), good, "prediction .*value 3, .*0 to 2 or 255"),
            (good, np.full((2, 3), 254, np.uint8), "truth .*value 254, .*0 to 2 or 255"),
            (good.astype(np.int64), good, "prediction .*int64.*uint8"),
            (good, good / 2, "truth .*float64.*uint8"),
        ):
            with pytest.raises(ValueError, match=expected):
                matrix.update(prediction, truth)
        assert matrix.images == matrix.counts.sum() == 0

    def test_other_bad_input_is_refused(self) -> None:
        for num_labels in (0, 256):
            with pytest.raises(ValueError, match=f"^{num_labels} labels.*1 to 255"):
                ConfusionMatrix(num_labels)
        for names in (["a"], ["a", "a"], ["a", "background"], ["background", "a", "b"]):
            with pytest.raises(ValueError, match=r"class names \[.*\].*2 different"):
                matrix_of(3, mask([0]), mask([0])).scores(names)


def brute_force(cams: Array, class_ids: list[int], truth: Array, num_labels: int) -> list[ConfusionMatrix]:
    """One label map and one confusion matrix for every threshold."""
    floats = cams.astype(np.float32) / 255 if cams.dtype == np.uint8 else cams
    maps, ids = torch.from_numpy(floats), torch.tensor(class_ids, dtype=torch.int64)
    return [matrix_of(num_labels, label_map(maps, ids, t).numpy(), truth) for t in THRESHOLDS]


def assert_sweep_is_exact(cams: Array, class_ids: list[int], truth: Array, num_labels: int) -> None:
    sweep = ThresholdSweep(num_labels)
    sweep.update(cams, class_ids, truth)
    for index, expected in enumerate(brute_force(cams, class_ids, truth, num_labels)):
        np.testing.assert_array_equal(sweep.matrix_at(index).counts, expected.counts, err_msg=f"{index}")


class TestThresholdSweep:
    def test_golden(self, golden: dict[str, Array]) -> None:
        sweep = ThresholdSweep(6)
        for image in (0, 1):
            names = (f"out.ms.{image}.maps", f"out.ms.{image}.class_ids", f"in.ms.{image}.truth")
            cams, class_ids, truth = (golden[name] for name in names)
            sweep.update(cams, class_ids, truth)
        mious = [sweep.matrix_at(index).miou for index in range(40, 60)]
        np.testing.assert_allclose(mious, golden["out.ms.sweep.miou"], atol=3e-4)
        np.testing.assert_allclose(sweep.matrix_at(42).iou, golden["out.ms.iou.t0.42"], rtol=1e-12)
        np.testing.assert_allclose(sweep.matrix_at(50).iou, golden["out.ms.iou.t0.5"], rtol=1e-12)

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_exact_at_and_next_to_every_threshold(self, dtype: type[np.floating[Any]]) -> None:
        edges = np.asarray(THRESHOLDS, dtype)
        below, above = np.nextafter(edges, dtype(0)), np.nextafter(edges, dtype(1))
        cams = np.stack([below, edges, above])[None]
        truth = np.resize(np.array([0, 1], np.uint8), cams.shape[1:])
        assert_sweep_is_exact(cams, [0], truth, 2)

    def test_exact_for_every_byte(self) -> None:
        cams = np.arange(256, dtype=np.uint8).reshape(1, 8, 32)  # 51 is 0.2, 102 is 0.4, ...
        truth = np.resize(np.array([0, 1, 255], np.uint8), (8, 32))
        assert_sweep_is_exact(cams, [0], truth, 2)

    @pytest.mark.parametrize("class_ids", [[0], [4, 1], [5, 0, 3, 2]])
    def test_exact_for_random_maps_with_ties(self, class_ids: list[int]) -> None:
        rng = np.random.default_rng(len(class_ids))
        shape = (len(class_ids), 30, 41)
        _, truth = random_masks(1, 7, shape[1:])
        coarse = rng.integers(0, 6, shape) * 51  # ties between classes, and with thresholds
        assert_sweep_is_exact(coarse.astype(np.uint8), class_ids, truth, 7)
        assert_sweep_is_exact((coarse / 255).astype(np.float32), class_ids, truth, 7)
        assert_sweep_is_exact(rng.random(shape).astype(np.float32), class_ids, truth, 7)

    def test_image_without_classes_is_background(self) -> None:
        truth = mask([0, 1, 255], [2, 0, 0])
        assert_sweep_is_exact(np.zeros((0, 2, 3), np.float32), [], truth, 3)
        assert_sweep_is_exact(np.zeros((0, 2, 3), np.uint8), [], truth, 3)

    def test_best_over_two_images_is_the_lowest_of_equals(self) -> None:
        sweep = ThresholdSweep(3)
        sweep.update(np.array([[[0.305, 0.555]]]), [0], mask([0, 1]))  # right from 0.31 to 0.55
        sweep.update(np.array([[[0.405, 0.655]]]), [1], mask([0, 2]))  # right from 0.41 to 0.65
        threshold, matrix = sweep.best()
        assert threshold == 0.41
        assert matrix.miou == 1
        assert matrix.images == 2
        assert matrix.counts.tolist() == [[2, 0, 0], [0, 1, 0], [0, 0, 1]]

    def test_one_pixel_object_and_full_range(self) -> None:
        sweep = ThresholdSweep(2)
        sweep.update(np.array([[[0.0, 1.0]]], np.float32), [0], mask([0, 1]))
        assert sweep.best()[0] == 0.0
        assert sweep.matrix_at(99).miou == 1
        assert sweep.matrix_at(100).counts.tolist() == [[1, 0], [1, 0]]

    def test_bad_input_is_refused_and_not_counted(self) -> None:
        sweep = ThresholdSweep(3)
        cams, truth = np.full((2, 2, 3), 0.5, np.float32), mask([0, 1, 2], [0, 0, 255])
        nan = cams.copy()
        nan[1, 0, 0] = np.nan
        for maps, class_ids, true, expected in (
            (cams, [0], truth, r"CAMs .*\(2, 2, 3\).*\(1, 2, 3\)"),
            (cams, [0, 1], truth.T, r"CAMs .*\(2, 2, 3\).*\(2, 3, 2\)"),
            (cams, [1, 1], truth, r"class ids \[1, 1\].*below 2"),
            (cams, [0, 2], truth, r"class ids \[0, 2\].*below 2"),
            (cams, [-1, 0], truth, r"class ids \[-1, 0\].*below 2"),
            (cams * 3, [0, 1], truth, r"CAMs .*1\.5.*\[0, 1\]"),
            (nan, [0, 1], truth, r"CAMs .*nan.*\[0, 1\]"),
            (cams, [0, 1], truth + np.uint8(1), "truth .*value 3, .*0 to 2 or 255"),
            (cams, [0, 1], truth.astype(np.int32), "truth .*int32.*uint8"),
        ):
            with pytest.raises(ValueError, match=expected):
                sweep.update(maps, class_ids, true)
        assert sweep.images == sweep.histogram.sum() == 0
        with pytest.raises(DataError, match=r"^0 ground-truth masks"):
            sweep.best()
        for index in (-1, 101):
            with pytest.raises(ValueError, match=f"threshold index {index}.*0 to 100"):
                sweep.matrix_at(index)


class TestEarlyStopping:
    @pytest.mark.parametrize(
        ("mious", "expected"),
        [
            ([0.1, 0.3, 0.2, 0.9], (0.5, 0.3)),  # the second hump is never seen
            ([0.3, 0.3, 0.4, 0.5], (0.4, 0.3)),  # an equal one stops it too
            ([0.1, 0.2, 0.3, 0.4], (0.7, 0.4)),
        ],
    )
    def test_it_stops_at_the_first_that_is_not_better(self, mious: list[float], expected: tuple[float, float]) -> None:
        assert early_stopping_best([0.4, 0.5, 0.6, 0.7], mious) == expected

    def test_it_wants_one_score_for_each_threshold(self) -> None:
        with pytest.raises(ValueError, match="2 thresholds and 1 mIoUs"):
            early_stopping_best([0.1, 0.2], [0.3])
        with pytest.raises(ValueError, match="0 thresholds and 0 mIoUs"):
            early_stopping_best([], [])
