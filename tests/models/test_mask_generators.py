"""One contract for every mask generator on every backbone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from matching import mentions
from semples.config.mask_generator import GeneratorParts
from semples.config.registry import generator_config
from semples.errors import ConfigError, ModelError
from semples.models.backbones import load_backbone
from semples.models.generators.base import MaskGenerator, MaskGeneratorOutput
from semples.models.generators.cam.generator import CamGenerator
from semples.models.generators.cam.settings import CamConfig
from tiny import BACKBONES, save_backbone


@pytest.fixture(scope="module", params=sorted(BACKBONES))
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int]:
    folder = save_backbone(tmp_path_factory.mktemp(request.param), request.param)
    return str(folder), BACKBONES[request.param][1]


def parts(classes: int) -> GeneratorParts:
    return GeneratorParts(tuple(f"class {number}" for number in range(classes)), vision_language=None)


def build(backbone: str, stride: int | None = None) -> CamGenerator:
    torch.manual_seed(0)
    config = CamConfig(backbone=backbone, output_stride=stride, kernel_size=3, freeze_backbone=False)
    generator = config.build(parts(3))
    assert isinstance(generator, CamGenerator)
    return generator


class TestContract:
    def test_shapes_of_a_non_square_image(self, backbone: tuple[str, int]) -> None:
        folder, stride = backbone
        output = build(folder).eval()(torch.rand(2, 3, 64, 96))
        assert output.cams.shape == (2, 3, 64 // stride, 96 // stride)
        assert output.logits["cam"].shape == (2, 3)
        assert output.cams.min() >= 0

    def test_logits_are_the_mean_of_the_maps(self, backbone: tuple[str, int]) -> None:
        generator = build(backbone[0]).eval()
        with torch.no_grad():
            generator.head.bias.fill_(50.0)  # type: ignore[union-attr]  # all maps positive: ReLU changes nothing
        output = generator(torch.rand(1, 3, 64, 64))
        torch.testing.assert_close(output.logits["cam"], output.cams.mean(dim=(2, 3)))

    def test_a_frozen_trunk_gets_no_gradient_and_stays_in_evaluation_mode(self, backbone: tuple[str, int]) -> None:
        generator = build(backbone[0])
        generator.freeze_trunk()
        generator.train()
        generator(torch.rand(1, 3, 64, 64)).logits["cam"].sum().backward()
        assert all(p.grad is None for p in generator.trunk_parameters())
        assert all(p.grad is not None for p in generator.head_parameters())
        assert not any(m.training for m in generator.backbone.modules() if isinstance(m, nn.Module))

    def test_batch_norm_statistics_never_move(self, backbone: tuple[str, int]) -> None:
        generator = build(backbone[0]).train()
        before = {name: value.clone() for name, value in generator.named_buffers()}
        generator(torch.rand(4, 3, 64, 64))
        assert all(torch.equal(value, before[name]) for name, value in generator.named_buffers())


@pytest.mark.parametrize("kind", ["resnet", "bottleneck", "convnext", "mobilenet_v2"])
def test_dilation_halves_the_stride_and_keeps_the_weights(kind: str, tmp_path: Path) -> None:
    folder, own = str(save_backbone(tmp_path, kind)), BACKBONES[kind][1]
    plain, dilated = load_backbone(folder), load_backbone(folder, own // 2)
    pixels = torch.rand(1, 3, 128, 160)
    assert dilated(pixels).shape[-2:] == (128 * 2 // own, 160 * 2 // own)
    for (name, before), (_, after) in zip(plain.named_parameters(), dilated.named_parameters(), strict=True):
        assert torch.equal(before, after), name


def test_dilation_keeps_the_first_strided_position(tmp_path: Path) -> None:
    """Away from borders, every second output of a dilated last stage is the output of the strided one."""
    folder = str(save_backbone(tmp_path, "resnet"))
    pixels = torch.rand(1, 3, 256, 256)
    coarse, fine = load_backbone(folder, 16)(pixels), load_backbone(folder, 8)(pixels)
    torch.testing.assert_close(fine[..., ::2, ::2][..., 4:-4, 4:-4], coarse[..., 4:-4, 4:-4], atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["resnet", "bottleneck", "convnext", "mobilenet_v2", "efficientnet", "vit"])
def test_a_backbone_that_is_never_trained_gives_the_same_without_batch_norm(kind: str, tmp_path: Path) -> None:
    folder = str(save_backbone(tmp_path, kind))
    plain, frozen = load_backbone(folder), load_backbone(folder, frozen=True)
    pixels = torch.rand(2, 3, 64, 96)
    expected = plain.eval()(pixels)
    torch.testing.assert_close(frozen(pixels), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in frozen.modules())


def test_a_transformer_sees_the_edges_too(tmp_path: Path) -> None:
    """Patches have 8 pixels: of 30 x 21 the last 6 and 5 would be left out; resized, there are 4 x 3 patches."""
    backbone = load_backbone(str(save_backbone(tmp_path, "vit"))).eval()
    image = torch.zeros(1, 3, 30, 21)
    changed = image.clone()
    changed[..., -2:, -2:] = 1
    assert backbone(image).shape[-2:] == (4, 3)
    assert not torch.equal(backbone(image), backbone(changed))


@pytest.mark.parametrize("kind", [*BACKBONES])
def test_images_of_one_pixel_across_have_features(kind: str, tmp_path: Path) -> None:
    backbone = load_backbone(str(save_backbone(tmp_path, kind))).eval()
    for height, width in ((1, 1), (1, 40), (40, 1)):
        features = backbone(torch.rand(1, 3, height, width))
        assert features.isfinite().all()
        assert min(features.shape) >= 1


def test_a_stride_that_cannot_be_had_says_which_can(tmp_path: Path) -> None:
    folder = str(save_backbone(tmp_path, "vit"))
    with pytest.raises(ModelError, match=r"mask_generator\.output_stride: .*from 8 to 4; set it to 8 or null"):
        load_backbone(folder, 4)


class OwnGenerator(MaskGenerator):
    """A user's own: colour channels as maps."""

    def __init__(self, num_classes: int, **_: object) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_classes))

    def forward(self, pixels: Tensor, labels: Tensor | None = None) -> MaskGeneratorOutput:  # noqa: ARG002
        cams = pixels[:, : len(self.weight)] * self.weight[:, None, None]
        return MaskGeneratorOutput(cams, {"own": cams.mean(dim=(2, 3))})

    def trunk_parameters(self) -> list[nn.Parameter]:
        return []

    def head_parameters(self) -> list[nn.Parameter]:
        return [self.weight]

    def freeze_trunk(self) -> None:
        pass


def test_a_users_own_class_by_import_path() -> None:
    config = generator_config("test_mask_generators.OwnGenerator")
    generator = config(name="test_mask_generators.OwnGenerator", backbone="", kernel_size=1).build(parts(2))
    assert generator(torch.rand(1, 3, 5, 4)).cams.shape == (1, 2, 5, 4)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("weird", mentions("mask_generator.name", "weird", "cam", "weaktr", "clip", "dense")),
        ("no.such.Thing", mentions("mask_generator.name", "no.such.Thing")),
        ("torch.nn.Identity", mentions("mask_generator.name", "torch.nn.Identity", "MaskGenerator")),
    ],
)
def test_unknown_generators(name: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        generator_config(name)(name=name).build(parts(2))


def test_an_output_of_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"logits cam: .*\(2, 4\), expected \(2, 3\)"):
        MaskGeneratorOutput(torch.zeros(2, 3, 4, 4), {"cam": torch.zeros(2, 4)})
