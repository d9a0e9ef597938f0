"""The golden numbers, each as a test, and proof that the script that checks them can fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from conftest import find_shared_data
from parity import Check, Golden, all_outputs, compare, main, run_checks
from semples.models.generators.weaktr.generator import WeakTrGenerator, WeakTrOptions
from weaktr_support import GOLDEN_NAMES, build_weaktr


def expected_names() -> list[str]:
    folder = find_shared_data()
    if folder is None:
        return []
    with safe_open(folder / "parity" / "fixture.safetensors", "pt") as file:
        return sorted(name for name in file.keys() if name.startswith("out."))  # noqa: SIM118


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "parity"


@pytest.fixture(scope="module")
def checks(folder: Path) -> dict[str, Check]:
    return {check.name: check for check in run_checks(folder)}


@pytest.mark.parametrize("name", expected_names())
def test_golden_number(name: str, checks: dict[str, Check]) -> None:
    assert checks[name].passed, str(checks[name])


def test_tokens_are_those_of_the_fixture(folder: Path) -> None:
    golden = Golden(folder)
    meta = golden.meta
    classes = [meta["template"].format(name) for name in meta["class_names"]]
    for given, texts in (("tok.token_ids", meta["tokenizer_sentences"]), ("text.token_ids", classes)):
        for expected, ids in zip(golden.given(given).tolist(), golden.clip.tokenizer(texts)["input_ids"], strict=True):
            assert ids == expected[: len(ids)]
            assert not any(expected[len(ids) :])


def copy_of(folder: Path, copy: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> Path:
    (copy / "weights").mkdir(parents=True)
    for path in (folder / "weights").iterdir():
        (copy / "weights" / path.name).symlink_to(path)
    save_file(tensors, copy / "fixture.safetensors")
    (copy / "meta.json").write_text(json.dumps(meta))
    return copy


def test_one_wrong_number_fails(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = load_file(folder / "fixture.safetensors")
    tensors["out.mg.nonsquare.patch_attn"][1, 5, 7] += 1e-5
    status = main([str(copy_of(folder, tmp_path / "broken", tensors, Golden(folder).meta))])
    lines = capsys.readouterr().out.splitlines()
    count = len(Golden(folder).expected)
    assert status == 1
    assert lines[-1] == f"{count - 1} of {count}"
    assert [line.split()[1] for line in lines if line.startswith("FAIL")] == ["out.mg.nonsquare.patch_attn"]


def small_generator() -> WeakTrGenerator:
    options = WeakTrOptions("average", 2, 4, "strided", "offset", "drop")
    return build_weaktr(3, image_size=24, patch_size=6, width=32, depth=2, heads=4, mlp_width=40, options=options)


def plain_weights(generator: WeakTrGenerator) -> dict[str, Tensor]:
    state, depth = generator.state_dict(), len(generator.trunk.layers)
    return {
        theirs.replace("{i}", str(i)): torch.cat([state[name.replace("{i}", str(i))] for name in ours])
        for theirs, ours in GOLDEN_NAMES.items()
        for i in range(depth if "{i}" in theirs else 1)
    }


def second_inputs(sizes: list[tuple[int, int]], scales: list[float]) -> dict[str, Tensor]:
    torch.manual_seed(5)
    tensors = {
        "clip.pixels": torch.randn(2, 3, 64, 64),
        "prompt.probe": torch.randn(3, 32),
        "prompt.vectors": torch.rand(3, 2, 64),
        "mg.square.input": torch.randn(2, 3, 24, 24),
        "mg.nonsquare.input": torch.randn(1, 3, 31, 44),
        "clamp.similarity": torch.linspace(-0.1, 1, 7),
        "labels": torch.tensor([[0.0, 1, 1], [1, 0, 0]]),
    }
    for index, (height, width) in enumerate(sizes):
        tensors[f"ms.{index}.labels"] = torch.tensor([1.0, 0, 1])
        tensors[f"ms.{index}.truth"] = torch.randint(0, 4, (height, width), dtype=torch.uint8)
        for scale in scales:
            tensors[f"ms.{index}.input.scale{scale}"] = torch.randn(3, round(height * scale), round(width * scale))
    return {f"in.{name}": value for name, value in tensors.items()}


def test_a_second_set_of_other_sizes_runs_through(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No size, option or weight of the public set stands in the script: all are changed here.

    The numbers are semples' own, so this shows that the script reads meta.json, not that the numbers are right.
    """
    meta, sizes, scales = dict(Golden(folder).meta), [(25, 40), (30, 30), (26, 24)], [0.75, 1.0, 1.5]
    generator = {"image_size": 24, "patch": 6, "width": 32, "depth": 2, "heads": 4, "mlp_hidden": 40}
    meta["mask_generator"] = {**generator, "layer_norm_eps": 1e-6, "pool": "average", "reduction": 2}
    meta["mask_generator"]["feat_reduction"] = 4
    meta |= {"num_classes": 3, "class_names": ["cat", "toy train", "sky"], "template": "one {}.", "prompt_length": 2}
    meta |= {"mask_eps": {"soft": 0.2, "sharp": 1e-3}, "similarity_clamp": [1e-3, 0.999]}
    meta |= {"weights": {"a": [0.7], "b": [0.3], "c": [1.1, 0.4]}, "tokenizer_sentences": ["two cats"]}
    meta["multiscale"] = {"scales": scales, "flip": False, "sizes_hw": sizes, "minmax_eps": 1e-6}
    meta["multiscale"] |= {"thresholds": [0.3], "sweep": [0.2, 0.35, 0.5]}
    inputs = second_inputs(sizes, scales)
    second = copy_of(folder, tmp_path / "second", inputs, meta)
    (second / "weights" / "mask_generator.safetensors").unlink()
    save_file(plain_weights(small_generator()), second / "weights" / "mask_generator.safetensors")

    found, problems = all_outputs(Golden(second))
    assert problems == []
    save_file({**inputs, **{k: v.clone().contiguous() for k, v in found.items()}}, second / "fixture.safetensors")
    meta["tolerance"] = {name: {"atol": 1e-6} for name in found}
    (second / "meta.json").write_text(json.dumps(meta))
    assert main([str(second)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{len(found)} of {len(found)}"

    eps = {"soft": 0.1, "sharp": 1e-3}
    (second / "meta.json").write_text(json.dumps({**meta, "mask_eps": eps, "weights": {**meta["weights"], "b": [9]}}))
    failed = {check.name for check in run_checks(second) if not check.passed}
    assert {"out.mask.soft", "out.stage_a.loss", "out.stage_b.loss"} <= failed
    assert not {"out.mask.sharp", "out.stage_b.pull", "out.mg.square.fine_cam"} & failed


@pytest.mark.parametrize(
    ("found", "passed", "note"),
    [
        ({}, False, "skipped: nothing to compare it with"),
        ({"out.a": torch.zeros(3)}, False, "has shape (3,), expected (2,)"),
        ({"out.a": torch.tensor([1.0, float("nan")])}, True, "largest error 0.00e+00, tolerance 1.00e-02"),
        ({"out.a": torch.tensor([1.02, float("nan")])}, False, "largest error 2.00e-02, tolerance 1.00e-02"),
        ({"out.a": torch.tensor([1.0, 2.0])}, False, "largest error inf, tolerance 1.00e-02"),
    ],
)
def test_how_a_tensor_is_compared(found: dict[str, Tensor], passed: bool, note: str) -> None:
    check = compare("out.a", torch.tensor([1.0, float("nan")]), found, {"out.a": {"atol": 0.01}})
    assert (check.passed, check.note) == (passed, note)


def test_a_float_without_tolerance_and_a_wrong_integer_fail() -> None:
    one = torch.ones(1)
    assert compare("out.a", one, {"out.a": one}, {}).note == "meta.json has no tolerance for it"
    assert not compare("out.a", torch.tensor([3]), {"out.a": torch.tensor([4])}, {}).passed
    assert compare("out.a", torch.tensor([3]), {"out.a": torch.tensor([3])}, {}).passed
