"""Whole runs in which one prompt becomes its class and is mended, and another is left out of stage 3."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

import semples
from matching import assert_mentions, mentions
from run_files import TINY, artefacts, config_from, stages
from semples.errors import ResultError
from semples.rundir.maps import read_maps
from semples.rundir.words import LearnedWords, read_words
from semples.runtime.context import Run
from semples.runtime.regions import CachedRegions
from semples.runtime.setup import open_run
from semples.stages import prompt_learning
from semples.stages.guided import GuidedStep
from semples.stages.prompt_mending import FinalPrompts, mend_prompts

pytestmark = pytest.mark.whole

small = partial(
    config_from,
    {
        **TINY,
        "mask_generator.image_size": 64,
        "data.image_size": 64,
        "data.val_size": 2,
        "segment.supervised_bound": False,
    },
)
BOAT, BALL = 0, 1
"""The prompt of class boat is mended, that of class ball is left out."""


@pytest.fixture(autouse=True)
def collapse() -> Iterator[None]:
    """Let the prompt of boat become nearly, and that of ball entirely, the class text."""

    def mend(prompts: Tensor, texts: Tensor, regions: CachedRegions, *others: Any) -> FinalPrompts:
        del prompts
        outside = F.normalize(regions.features.mean(0)[regions.classes == BOAT].mean(0), dim=0)
        collapsed = F.normalize(torch.stack([texts[BOAT] + 0.1 * outside, texts[BALL]]), dim=1)
        return mend_prompts(collapsed, texts, regions, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prompt_learning, "mend_prompts", mend)
        yield


def opened(directory: Path, **changes: Any) -> Run:
    return open_run(small(**changes), directory, quiet=True)


def test_a_trained_generator_is_guided_by_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[GuidedStep] = []
    call = GuidedStep.__call__

    def noted(step: GuidedStep, *arguments: Any) -> Any:
        steps.append(step)
        return call(step, *arguments)

    monkeypatch.setattr(GuidedStep, "__call__", noted)
    run = semples.run(small(), tmp_path / "run", until="pseudo-masks", quiet=True)
    models = opened(run).models
    prompts, texts = models.prompt_features(), models.class_features()
    assert float(prompts[BOAT] @ texts[BOAT]) == pytest.approx(0, abs=1e-5)
    torch.testing.assert_close(prompts[BALL], texts[BALL])
    assert models.left_out_classes().tolist() == [False, True]
    last = steps[-1]
    assert last.suppressed is not None
    assert last.suppressed_weights is not None
    torch.testing.assert_close(last.suppressed[BOAT, 0], prompts[BOAT])
    assert last.suppressed_weights.tolist() == [[1], [0]]
    # Files and remarks
    stored = load_file(run / "2-prompts" / "prompts.safetensors")
    assert {name: values.dtype for name, values in stored.items()} == {
        "vectors": torch.float32,
        "features": torch.float32,
        "left_out": torch.uint8,
    }
    assert read_words(run / "2-prompts" / "words.json").mended == ("boat",)
    nearest = semples.prompts(run)["boat"][0][0]
    assert nearest != "boat"
    warned = [text for text in stages(run)["2-prompts"]["warnings"] if "became" in text]
    assert_mentions(warned[0], "boat", "mended", f'"{nearest}"')
    assert_mentions(warned[1], "ball", "left out", "stage refine", "raise", "prompts.lambda_text")
    page = Path(semples.report(run)).read_text()
    assert "boat became the class itself and was mended" in page
    assert "left out of stage refine" in page
    maps = [read_maps(path)[1].tolist() for path in (run / "2-prompt-maps").rglob("*.safetensors")]
    assert {tag for tags in maps for tag in tags} == {BOAT}


@pytest.mark.parametrize("words", [["grass", "sky"], []])
def test_a_foundation_generator_contrasts_what_is_left_out_with_the_generic_words(
    words: list[str], tmp_path: Path
) -> None:
    settings = {"mask_generator__name": "dense", "mask_generator__background_words": words}
    run = semples.run(small(**settings), tmp_path / "run", until="refine", quiet=True)
    models = opened(run, **settings).models
    first, last = (
        load_file(run / stage / "mask_generator.safetensors")["backgrounds"] for stage in ("0-classify", "3-refine")
    )
    prompts = models.prompt_features()
    generic = F.normalize(first.mean(0), dim=0) if words else prompts[BOAT]
    torch.testing.assert_close(last[: len(prompts)], torch.stack([prompts[BOAT], generic]))


def test_a_run_killed_after_its_prompts_are_stored_ends_with_the_same_bytes(tmp_path: Path) -> None:
    semples.run(small(), tmp_path / "whole", until="refine", quiet=True)

    def killed(path: Path, words: LearnedWords) -> None:
        raise KeyboardInterrupt(path, words)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prompt_learning, "write_words", killed)
        with pytest.raises(KeyboardInterrupt):
            semples.run(small(), tmp_path / "run", until="refine", quiet=True)
    semples.run(small(), tmp_path / "run", until="refine", quiet=True)
    assert artefacts(tmp_path / "run") == artefacts(tmp_path / "whole")


@pytest.mark.parametrize("name", ["features", "left_out"])
def test_prompts_of_another_shape_are_an_error(name: str, tmp_path: Path) -> None:
    run = semples.run(small(), tmp_path / "run", until="prompts", quiet=True)
    path = run / "2-prompts" / "prompts.safetensors"
    stored = load_file(path)
    save_file({**stored, name: stored[name][:1]}, path)
    models = opened(run).models
    with pytest.raises(ResultError, match=mentions(path, name, "--force prompts")):
        models.prompt_features() if name == "features" else models.left_out_classes()
