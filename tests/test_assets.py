"""The bundled models: they load, they are small, and the ViT is what the weaktr generator needs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from transformers import ViTModel

from matching import mentions
from semples.config.loading import load_config
from semples.data.scenes import CONTEXTS, Placement, draw_scene
from semples.errors import ModelError
from semples.models.backbones import load_backbone
from semples.models.loading import image_statistics, load_pretrained, resolve

ASSETS = Path(resolve("bundled", "vit")).parent
FOLDERS = sorted(path.parent for path in ASSETS.rglob("config.json"))


def scene(thing: str | None, context: str, seed: int) -> Tensor:
    image = draw_scene(np.random.default_rng(seed), 96, [Placement(thing, context)]).image
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


def test_all_assets_stay_below_40_megabytes() -> None:
    assert sum(path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()) < 40_000_000


def test_the_vision_language_model_suits_the_kind_of_images() -> None:
    scenes, photos = load_config(), load_config(overrides={"data.reader": "folder", "data.root": "."})
    assert scenes.vision_language.model == photos.vision_language.model == "bundled"
    folders = [Path(resolve(config.vision_language_model, "vision_language")) for config in (scenes, photos)]
    assert folders == [ASSETS / "vision_language", ASSETS / "photos" / "vision_language"]
    assert resolve("bundled/scenes", "vision_language") == str(folders[0])
    named = load_config(
        overrides={"data.reader": "folder", "data.root": ".", "vision_language.model": "bundled/scenes"}
    )
    assert named.vision_language_model == "bundled/scenes"
    with pytest.raises(ModelError, match=mentions("bundled/photos", "vit")):
        resolve("bundled/photos", "vit")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.relative_to(ASSETS).as_posix())
def test_weights_are_safetensors_in_half_precision_and_nothing_is_executable(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "preprocessor_config.json"} <= names
    assert {Path(name).suffix for name in names} - {".md"} == {".json", ".safetensors"}
    with safe_open(folder / "model.safetensors", framework="pt") as weights:
        kinds = {weights.get_tensor(name).dtype for name in weights.keys()}  # noqa: SIM118
    assert kinds <= {torch.float16, torch.int64}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.relative_to(ASSETS).as_posix())
def test_the_readme_names_every_asset(folder: Path) -> None:
    assert f"| `{folder.relative_to(ASSETS).as_posix()}` |" in (ASSETS / "README.md").read_text(encoding="utf-8")
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]


class TestViT:
    @pytest.fixture(scope="class")
    def vit(self) -> ViTModel:
        return load_pretrained("ViTModel", str(ASSETS / "vit"), attn_implementation="eager", add_pooling_layer=False)

    @pytest.mark.parametrize(("height", "width"), [(96, 96), (64, 64), (64, 112)])
    def test_tokens_and_attention_at_several_sizes(self, vit: ViTModel, height: int, width: int) -> None:
        with torch.no_grad():
            output = vit(
                pixel_values=torch.rand(2, 3, height, width) * 2 - 1,
                interpolate_pos_encoding=True,
                output_attentions=True,
            )
        tokens = 1 + height * width // 64
        assert output.last_hidden_state.dtype == torch.float32
        assert output.last_hidden_state.shape == (2, tokens, vit.config.hidden_size)
        assert output.last_hidden_state.isfinite().all()
        assert len(output.attentions) == vit.config.num_hidden_layers
        for attention in output.attentions:
            assert attention.shape == (2, vit.config.num_attention_heads, tokens, tokens)
            torch.testing.assert_close(attention.sum(dim=-1), torch.ones_like(attention[..., 0]))

    def test_as_a_backbone_it_is_a_map_of_stride_8(self) -> None:
        backbone = load_backbone(str(ASSETS / "vit")).eval()
        assert backbone.patch_size == 8
        assert backbone(torch.rand(1, 3, 96, 64)).shape == (1, 128, 12, 8)
        assert image_statistics(str(ASSETS / "vit")) == ((0.5,) * 3, (0.5,) * 3)

    def test_scenes_are_grouped_by_context_not_by_seed(self, vit: ViTModel) -> None:
        """Nearest neighbour among other scenes, by the class token: far above chance (1 of 14)."""
        pixels = torch.stack([scene(None, context, seed) for seed in range(4) for context in CONTEXTS])
        with torch.no_grad():
            tokens = vit(pixel_values=pixels * 2 - 1).last_hidden_state[:, 0]
        tokens = torch.nn.functional.normalize(tokens - tokens.mean(dim=0), dim=1)
        nearest = (tokens @ tokens.T).fill_diagonal_(-1).argmax(dim=1)
        same = nearest % len(CONTEXTS) == torch.arange(len(pixels)) % len(CONTEXTS)
        assert same.float().mean() > 0.8
