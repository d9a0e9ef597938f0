"""Checkpoints of the WeakTr authors, by a synthetic file with their names and shapes."""

from __future__ import annotations

import argparse
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from semples.config.mask_generator import GeneratorParts
from semples.errors import ModelError
from semples.models.generators.weaktr.generator import WeakTrGenerator, WeakTrOptions
from semples.models.generators.weaktr.settings import WeakTrConfig
from semples.models.generators.weaktr.weights import load_weaktr_checkpoint
from tiny import save_backbone
from weaktr_support import build_weaktr

CLASSES, WIDTH, DEPTH, HEADS, MLP, PATCHES = 3, 16, 2, 2, 32, 16
MAPS, HIDDEN, SQUEEZED = DEPTH * HEADS, 2, 1
AAF = "adaptive_attention_fusion"

SHAPES: dict[str, tuple[int, ...]] = {
    "cls_token": (1, CLASSES, WIDTH),
    "pos_embed_cls": (1, CLASSES, WIDTH),
    "pos_embed_pat": (1, PATCHES, WIDTH),
    "patch_embed.proj.weight": (WIDTH, 3, 8, 8),
    "patch_embed.proj.bias": (WIDTH,),
    "norm.weight": (WIDTH,),
    "norm.bias": (WIDTH,),
    "head.weight": (CLASSES, WIDTH, 3, 3),
    "head.bias": (CLASSES,),
    f"{AAF}.attn_head_ffn.0.weight": (HIDDEN, MAPS),
    f"{AAF}.attn_head_ffn.2.weight": (MAPS, HIDDEN),
    f"{AAF}.attn_feat_ffn.0.weight": (SQUEEZED, WIDTH // HEADS),
    f"{AAF}.attn_feat_ffn.0.bias": (SQUEEZED,),
    f"{AAF}.attn_feat_ffn.1.weight": (1, SQUEEZED),
    f"{AAF}.attn_feat_ffn.1.bias": (1,),
}
for i in range(DEPTH):
    for name, shape in {
        "norm1.weight": (WIDTH,),
        "norm1.bias": (WIDTH,),
        "attn.qkv.weight": (3 * WIDTH, WIDTH),
        "attn.qkv.bias": (3 * WIDTH,),
        "attn.proj.weight": (WIDTH, WIDTH),
        "attn.proj.bias": (WIDTH,),
        "norm2.weight": (WIDTH,),
        "norm2.bias": (WIDTH,),
        "mlp.fc1.weight": (MLP, WIDTH),
        "mlp.fc1.bias": (MLP,),
        "mlp.fc2.weight": (WIDTH, MLP),
        "mlp.fc2.bias": (WIDTH,),
    }.items():
        SHAPES[f"blocks.{i}.{name}"] = shape


def published() -> dict[str, Tensor]:
    torch.manual_seed(4)
    return OrderedDict((name, torch.randn(shape)) for name, shape in SHAPES.items())


def generator() -> WeakTrGenerator:
    options = WeakTrOptions(reduction=2)
    return build_weaktr(
        CLASSES, image_size=32, patch_size=8, width=WIDTH, depth=DEPTH, heads=HEADS, mlp_width=MLP, options=options
    )


def save_pth(tensors: dict[str, Tensor], path: Path) -> Path:
    torch.save({"model": tensors, "epoch": 59, "args": argparse.Namespace(lr=4e-4)}, path)
    return path


def save_plain_pth(tensors: dict[str, Tensor], path: Path) -> Path:
    torch.save(tensors, path)
    return path


def save_safetensors(tensors: dict[str, Tensor], path: Path) -> Path:
    path = path.with_suffix(".safetensors")
    save_file(tensors, path)
    return path


@pytest.mark.parametrize("save", [save_pth, save_plain_pth, save_safetensors])
def test_every_tensor_arrives_where_it_belongs(save: Callable[[dict[str, Tensor], Path], Path], tmp_path: Path) -> None:
    tensors, filled = published(), generator()
    load_weaktr_checkpoint(save(tensors, tmp_path / "weaktr.pth"), filled)
    state = filled.state_dict()
    assert torch.equal(state["trunk.class_tokens"], tensors["cls_token"][0])
    assert torch.equal(state["trunk.class_positions"], tensors["pos_embed_cls"][0])
    assert torch.equal(state["trunk.patch_positions"], tensors["pos_embed_pat"][0])
    packed = tensors["blocks.1.attn.qkv.weight"]
    for index, part in enumerate("qkv"):
        ours = state[f"trunk.layers.1.attention.{part}_proj.weight"]
        assert torch.equal(ours, packed[index * WIDTH : (index + 1) * WIDTH])
    assert torch.equal(state["trunk.layers.0.layernorm_after.bias"], tensors["blocks.0.norm2.bias"])
    assert torch.equal(state["trunk.layers.1.mlp.fc2.weight"], tensors["blocks.1.mlp.fc2.weight"])
    assert torch.equal(state["fusion.mix_out.weight"], tensors[f"{AAF}.attn_head_ffn.2.weight"])
    assert torch.equal(state["fusion.squeeze.weight"], tensors[f"{AAF}.attn_feat_ffn.0.weight"])
    assert torch.equal(state["head.weight"], tensors["head.weight"])


def test_stage_0_can_start_from_one(tmp_path: Path) -> None:
    tensors = published()
    config = WeakTrConfig(
        name="weaktr",
        backbone=str(save_backbone(tmp_path / "vit", "vit")),
        fusion_reduction=2,
        checkpoint=str(save_safetensors(tensors, tmp_path / "weaktr")),
    )
    names = tuple(f"class {number}" for number in range(CLASSES))
    built = config.build(GeneratorParts(names, vision_language=None, with_checkpoint=True))
    assert torch.equal(built.state_dict()["head.weight"], tensors["head.weight"])


def without(name: str) -> dict[str, Tensor]:
    return {key: value for key, value in published().items() if key != name}


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        (without("blocks.1.attn.proj.bias"), "weaktr.pth: lacks blocks.1.attn.proj.bias, "),
        (published() | {"decoder.weight": torch.zeros(1)}, "weaktr.pth: has unknown decoder.weight, "),
        (
            published() | {"head.weight": torch.zeros(20, WIDTH, 3, 3)},
            "head.weight has shape (20, 16, 3, 3), expected (3, 16, 3, 3); set the number of classes",
        ),
        (
            published() | {"blocks.0.attn.qkv.weight": torch.zeros(2, WIDTH)},
            "blocks.0.attn.qkv.weight has shape (2, 16), expected (48, 16)",
        ),
        ({"weight": torch.zeros(1)}, "lacks adaptive_attention_fusion.attn_feat_ffn.0.bias, "),
    ],
)
def test_what_does_not_fit_is_named(tensors: dict[str, Tensor], problem: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=re.escape(problem)):
        load_weaktr_checkpoint(save_pth(tensors, tmp_path / "weaktr.pth"), generator())


class Surprise:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("executed",))


def test_a_file_with_code_is_refused_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "weaktr.pth"
    torch.save({"model": published(), "extra": Surprise()}, path)
    with pytest.raises(ModelError, match="cannot read checkpoint"):
        load_weaktr_checkpoint(path, generator())
    assert "executed" not in capsys.readouterr().out


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.pth: not found"):
        load_weaktr_checkpoint(tmp_path / "none.pth", generator())
    (tmp_path / "text.pth").write_text("no checkpoint")
    with pytest.raises(ModelError, match="cannot read checkpoint"):
        load_weaktr_checkpoint(tmp_path / "text.pth", generator())
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ModelError, match=r"list\.pth: holds no tensors by name"):
        load_weaktr_checkpoint(tmp_path / "list.pth", generator())
