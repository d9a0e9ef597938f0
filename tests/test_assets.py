"""The bundled models: they load, they are small, and each kind of images gets those that suit it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import ViTModel

import semples
from matching import mentions
from sample_data import write_class_folders
from semples.config import Config
from semples.config.loading import load_config
from semples.config.mask_generator import GeneratorParts
from semples.data.scenes import CONTEXTS, Placement, draw_scene
from semples.errors import ModelError
from semples.models.backbones import load_backbone
from semples.models.loading import fingerprint, image_statistics, load_pretrained, resolve
from semples.models.segmentation import build_segmentation_network
from semples.records import ClassCatalogue
from semples.rundir.layout import RunDirectory
from semples.runtime.models import RunModels

ASSETS = Path(resolve("bundled", "vit")).parent
FOLDERS = sorted(path.parent for path in ASSETS.rglob("config.json"))


def scene(thing: str | None, context: str, seed: int) -> Tensor:
    image = draw_scene(np.random.default_rng(seed), 96, [Placement(thing, context)]).image
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


def test_all_assets_stay_below_40_megabytes() -> None:
    assert sum(path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()) < 40_000_000


def photos(**settings: object) -> Config:
    named = {key.replace("__", "."): value for key, value in settings.items()}
    return load_config(overrides={"data.reader": "folder", "data.root": ".", **named})


def folders(config: Config) -> dict[str, Path]:
    """Purpose -> folder in the assets of the models that a config names."""
    (backbone,) = config.generator.checkpoints()
    named = {
        "vision_language": config.vision_language_model,
        str(backbone.bundled): backbone.name,
        "segmentation": config.segmentation_model,
    }
    return {purpose: Path(resolve(name, purpose)).relative_to(ASSETS) for purpose, name in named.items()}


OF_SCENES = {
    "vision_language": Path("vision_language"),
    "backbone": Path("vision_language"),
    "segmentation": Path("segmentation"),
}
OF_PHOTOS = {
    "vision_language": Path("photos/vision_language"),
    "backbone": Path("photos/backbone"),
    "segmentation": Path("photos/backbone"),
}
SETTINGS = ("vision_language__model", "mask_generator__backbone", "segment__model")


def test_bundled_models_suit_the_kind_of_images() -> None:
    assert folders(load_config()) == OF_SCENES
    config = photos()
    assert config.vision_language.model == config.segment.model == "bundled"
    assert folders(config) == OF_PHOTOS
    assert folders(photos(**dict.fromkeys(SETTINGS, "bundled/scenes"))) == OF_SCENES
    named = {key.replace("__", "."): "bundled/photos" for key in SETTINGS}
    assert folders(load_config(overrides=named)) == OF_PHOTOS


def test_a_name_that_is_not_bundled() -> None:
    for purpose in OF_SCENES:
        with pytest.raises(ModelError, match=mentions("bundled/drawings", "bundled/photos")):
            resolve("bundled/drawings", purpose)


def test_weaktr_has_no_backbone_of_photographs(tmp_path: Path) -> None:
    weaktr = {"mask_generator__name": "weaktr"}
    (backbone,) = photos(**weaktr).generator.checkpoints()
    with pytest.raises(ModelError, match=r"mask_generator\.backbone: .*facebook/deit-small.*bundled/scenes"):
        resolve(backbone.name, "vit")
    (named,) = photos(**weaktr, mask_generator__backbone="bundled/scenes").generator.checkpoints()
    assert resolve(named.name, "vit") == str(ASSETS / "vit")
    root = write_class_folders(tmp_path / "pets", cat=3, dog=3)
    with pytest.raises(ModelError, match=r"^mask_generator\.backbone: "):
        semples.run(photos(**weaktr, data__root=str(root), device="cpu"), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "0-classify").exists()


def test_fingerprints_are_those_of_the_models_in_use() -> None:
    def found(config: Config) -> dict[str, list[tuple[str, str]]]:
        catalogue = ClassCatalogue(names=("cat",), prompt_names=("cat",))
        return RunModels(RunDirectory(Path()), config, catalogue, torch.device("cpu")).fingerprints

    config = photos()
    assert found(config) == found(photos(**dict.fromkeys(SETTINGS, "bundled/photos")))
    by_section = {"vision_language": "vision_language", "mask_generator": "backbone", "segment": "segmentation"}
    for section, purpose in by_section.items():
        assert found(config)[section] == fingerprint(str(ASSETS / OF_PHOTOS[purpose]))
        assert found(load_config())[section] == fingerprint(str(ASSETS / OF_SCENES[purpose]))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.relative_to(ASSETS).as_posix())
def test_weights_are_safetensors_in_half_precision_and_nothing_is_executable(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "preprocessor_config.json"} <= names
    assert {Path(name).suffix for name in names - {"LICENSE"}} - {".md"} == {".json", ".safetensors"}
    sizes: Counter[torch.dtype] = Counter()
    for weight in load_file(folder / "model.safetensors").values():
        sizes[weight.dtype] += weight.numel()
    assert set(sizes) <= {torch.float16, torch.float32, torch.int64}
    assert sizes[torch.float32] < 0.07 * sizes[torch.float16]  # what must not be rounded
    is_segmenter = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"] == "upernet"
    model = load_pretrained("AutoModelForSemanticSegmentation" if is_segmenter else "AutoModel", str(folder))
    assert {value.dtype for value in model.state_dict().values()} <= {torch.float32, torch.int64}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.relative_to(ASSETS).as_posix())
def test_the_readme_names_every_asset(folder: Path) -> None:
    assert f"| `{folder.relative_to(ASSETS).as_posix()}` |" in (ASSETS / "README.md").read_text(encoding="utf-8")
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]


class TestPhotoBackbone:
    def test_it_is_the_source_without_its_classifier(self, shared_data: Path) -> None:
        source = load_file(shared_data / "weights/mobilenet_v2_imagenet/model.safetensors")
        weights = load_file(ASSETS / "photos/backbone/model.safetensors")
        assert set(source) - set(weights) == {"classifier.weight", "classifier.bias"}
        for name, weight in weights.items():
            torch.testing.assert_close(weight, source[name], rtol=0, atol=0)

    @pytest.mark.parametrize(("setting", "side"), [("auto", 20), (None, 10), (8, 40)])
    def test_cams_have_stride_16_unless_told_otherwise(self, setting: object, side: int) -> None:
        settings = {"data.reader": "folder", "data.root": ".", "mask_generator.output_stride": setting}
        config = load_config(overrides=settings)
        generator = config.generator.build(GeneratorParts(("cat", "dog"), None)).eval()
        assert generator(torch.rand(1, 3, 320, 320)).cams.shape == (1, 2, side, side)

    def test_batch_normalization_is_never_in_training_mode(self) -> None:
        config = photos(mask_generator__freeze_backbone=False)
        generator = config.generator.build(GeneratorParts(("cat", "dog"), None)).train()
        network = build_segmentation_network("bundled/photos", ("cat", "dog"), 64).train()
        for trunk in (generator.backbone, network.model.mobilenet_v2):
            norms = [module for module in trunk.modules() if isinstance(module, torch.nn.BatchNorm2d)]
            assert len(norms) == 52
            assert not any(norm.training for norm in norms)

    def test_deeplab_has_its_weights_below_a_new_head(self) -> None:
        network = build_segmentation_network("bundled/photos", ("cat", "dog"), 64)
        assert network(torch.rand(1, 3, 64, 96)).shape == (1, 3, 64, 96)
        assert network.new_modules is not None
        assert all(name.startswith("segmentation_head.") for name in network.new_modules)
        weights = load_file(ASSETS / "photos/backbone/model.safetensors")
        name = "mobilenet_v2.conv_1x1.convolution.weight"
        torch.testing.assert_close(network.model.state_dict()[name], weights[name].float(), rtol=0, atol=0)


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
