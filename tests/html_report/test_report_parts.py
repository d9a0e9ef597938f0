from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from fake_run import EVALUATION, make_run, put_json, report

from matching import assert_mentions
from semples.html_report import build, charts, findings, summaries
from semples.html_report.collect import collect
from semples.rundir.evaluation import parse_evaluation
from semples.rundir.metrics import EpochMetrics
from semples.rundir.words import LearnedWords


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path)


def test_headline_gains_are_over_the_first_cam() -> None:
    found = summaries.headlines(parse_evaluation(json.dumps(EVALUATION)).scores)
    assert [tile.label for tile in found] == ["CAM", "CAM + full", "Pseudo masks", "Segmentation, held out"]
    assert [tile.gain for tile in found] == [None, *map(pytest.approx, (0.112, 0.15, 0.18))]


def test_refinement_steps_stand_between_cams_and_masks_in_their_order() -> None:
    steps = {"dense_crf": EVALUATION["pseudo_masks"], "pixel_adaptive": EVALUATION["pseudo_masks"]}
    labels = [score.label for score in parse_evaluation(json.dumps({**EVALUATION, "refinements": steps})).scores]
    assert labels[1:5] == ["CAM + full", "After dense_crf", "After pixel_adaptive", "Pseudo masks"]


def test_warnings_of_the_stages_are_passed_on(run: Path) -> None:
    assert findings.warnings(collect(run), []) == ["1-match: 12 % of the scores of loss background were clamped."]
    assert "12 % of the scores of loss background" in report(run).text


def test_words_show_bars_and_their_history(run: Path) -> None:
    cat, _ = summaries.class_words(collect(run))
    assert [(bar.word, bar.score, bar.length) for bar in cat.bars] == [("sofa", 0.8, 0.8), ("rug", 0.4, 0.4)]
    text = re.sub(r"\s+", " ", report(run).text)
    assert_mentions(text, "epoch", "cat 1 → sofa 2", "epoch", "sea 1–2")


def test_long_histories_keep_both_ends(run: Path) -> None:
    epochs = list(range(1, 21))
    words = {"cat": [[[f"w{epoch}", 0.5]] for epoch in epochs]}
    put_json(run / "2-prompts/words.json", {"epochs": epochs, "words": words})
    history = summaries.class_words(collect(run))[0].history
    periods = [(period.word, period.first, period.last) for period in history]
    assert periods[:4] == [("w1", 1, 1), ("w2", 2, 2), ("w3", 3, 3), (None, 4, 16)]
    assert periods[4:] == [(f"w{epoch}", epoch, epoch) for epoch in (17, 18, 19, 20)]


def test_words_are_followed_over_the_epochs_where_they_were_near() -> None:
    words = LearnedWords((1, 2, 3), {"cat": ((("a", 0.1), ("b", 0.0)), (("c", 0.2),), (("b", 0.3), ("a", 0.2)))})
    chart = charts.word_chart(words, "cat")
    assert chart is not None
    assert [(line.name, line.last, len(line.points)) for line in chart.lines] == [("b", 0.3, 2), ("a", 0.2, 2)]
    assert charts.word_chart(LearnedWords((1,), {"cat": ((("a", 0.1),),)}), "cat") is None
    assert charts.word_chart(LearnedWords((1, 2), {"cat": ((("a", 0.1),), ())}), "cat") is None


def test_negative_scores_have_no_bar_and_large_ones_share_the_scale(run: Path) -> None:
    words = {"cat": [[["far", 2.0], ["near", 1.0], ["against", -0.5]]]}
    put_json(run / "2-prompts/words.json", {"epochs": [1], "words": words})
    assert [bar.length for bar in summaries.class_words(collect(run))[0].bars] == [1.0, 0.5, 0.0]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.03, 0.11, [0.0, 0.05, 0.1]),
        (1, 60, [20, 40, 60]),
        (1, 2, [1.0, 1.2, 1.4, 1.6, 1.8, 2.0]),
        (950.0, 1420.0, [1000, 1100, 1200, 1300, 1400]),
    ],
)
def test_nice_ticks(low: float, high: float, expected: list[float]) -> None:
    assert charts.nice_ticks(low, high) == pytest.approx(expected)


def epoch_of(epoch: int, loss: float, **parts: float) -> EpochMetrics:
    return EpochMetrics("match", epoch, loss=loss, parts=parts)


def test_chart_places_points_between_the_margins() -> None:
    (training,) = charts.trainings([epoch_of(1, 2.0), epoch_of(3, 1.0), epoch_of(2, 1.5)])
    chart = training.chart
    (line,) = chart.lines
    # x: 46 .. 350 over epochs 1 .. 3; y: range 0.95 .. 2.05 over 174 .. 10
    assert [(point.x, point.y) for point in line.points] == [(46, 17.45), (198, 92.0), (350, 166.55)]
    assert [tick.label for tick in chart.x_ticks] == ["1", "2", "3"]
    assert [tick.label for tick in chart.y_ticks] == ["1", "1.5", "2"]
    assert (line.last, training.learning_rates, training.images_per_second) == (1.0, None, None)


def test_chart_shows_parts_only_where_there_are_several_and_leaves_out_what_is_not_finite() -> None:
    (single,) = charts.trainings([epoch_of(1, 0.5, only=0.5)])
    assert [line.name for line in single.chart.lines] == ["total"]
    (several,) = charts.trainings([epoch_of(1, 3.0, a=1.0, b=2.0), epoch_of(2, math.nan, a=math.inf, b=2.0)])
    assert [(line.name, len(line.points)) for line in several.chart.lines] == [("total", 1), ("a", 1), ("b", 2)]
    (empty,) = charts.trainings([epoch_of(1, math.nan)])
    assert empty.chart.lines == ()


def test_labels() -> None:
    assert [build.duration(seconds) for seconds in (3.21, 59.96, 75, 3700, math.nan)] == [
        *("3.2 s", "1 min 00 s", "1 min 15 s", "1 h 01 min", "–")
    ]
    assert [build.memory(size) for size in (812.4, 2048, math.nan)] == ["812 MB", "2.0 GB", "–"]
    assert [build.percent(rate) for rate in (0.5664, 0.0, None)] == ["56.6", "0.0", "–"]
