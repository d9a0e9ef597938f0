"""WeakTr: its contract on ViT and DeiT, its parts by hand, and that the lean fusion is the plain one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModel

from semples.errors import ModelError
from semples.models.generators.weaktr.fusion import AttentionFusion, attention_map, gated_attention_sum, pool_heads
from semples.models.generators.weaktr.generator import WeakTrGenerator, WeakTrOptions, load_weaktr
from semples.models.generators.weaktr.settings import WeakTrConfig
from semples.models.generators.weaktr.transformer import ClassTokenTransformer
from tiny import MEAN, STD, save_backbone
from weaktr_support import build_weaktr, trace

CLASSES, SIDE, PATCH = 3, 32, 8


@pytest.fixture(scope="module", params=["vit", "deit"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder whose special tokens and positions differ from one another (new DeiTs have zeros)."""
    path = save_backbone(tmp_path_factory.mktemp(request.param), request.param)
    model: Any = AutoModel.from_pretrained(path, add_pooling_layer=False)
    torch.manual_seed(1)
    for name, parameter in model.embeddings.named_parameters():
        if "token" in name or "position" in name:
            torch.nn.init.normal_(parameter)
    model.save_pretrained(path)
    return str(path)


def build(folder: str, classes: int = CLASSES, **options: Any) -> WeakTrGenerator:
    torch.manual_seed(0)
    return load_weaktr(folder, classes, WeakTrOptions(**options)).eval()


def random_small(**options: Any) -> WeakTrGenerator:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"image_size": SIDE, "patch_size": PATCH, "width": 16, "depth": 2, "heads": 2}
    return build_weaktr(CLASSES, **sizes, mlp_width=32, options=WeakTrOptions(**options)).eval()


class TestContract:
    @pytest.mark.parametrize(("size", "grid"), [((32, 32), (4, 4)), ((64, 40), (8, 5)), ((33, 60), (4, 8))])
    def test_shapes(self, folder: str, size: tuple[int, int], grid: tuple[int, int]) -> None:
        output = build(folder)(torch.rand(2, 3, *size))
        assert output.cams.shape == (2, CLASSES, *grid)
        assert output.cams.min() >= 0
        assert {name: tuple(logits.shape) for name, logits in output.logits.items()} == {
            "class_token": (2, CLASSES),
            "coarse": (2, CLASSES),
            "fused": (2, CLASSES),
        }
        assert output.affinity is not None
        assert output.affinity.shape == (2, grid[0] * grid[1], grid[0] * grid[1])
        assert output.affinity.min() > 0
        assert output.affinity.sum(-1).max() < 1  # a gate is below 1, and some attention goes to class tokens

    def test_everything_learns_in_stage_0(self, folder: str) -> None:
        generator = build(folder).train()
        logits = generator(torch.rand(2, 3, SIDE, SIDE)).logits
        sum((value**2).sum() for value in logits.values()).backward()
        assert all(p.grad is not None for p in generator.parameters())
        assert len([*generator.trunk_parameters(), *generator.head_parameters()]) == len([*generator.parameters()])

    def test_after_freezing_only_convolution_and_fusion_learn(self, folder: str) -> None:
        generator = build(folder)
        generator.freeze_trunk()
        generator.train()
        generator(torch.rand(2, 3, SIDE, SIDE)).cams.sum().backward()
        learning = {name for name, p in generator.named_parameters() if p.grad is not None}
        fusion = {"squeeze.weight", "squeeze.bias", "score.weight", "score.bias", "mix_in.weight", "mix_out.weight"}
        assert learning == {"head.weight", "head.bias", *(f"fusion.{name}" for name in fusion)}
        assert not any(module.training for module in generator.trunk.modules())

    def test_freezing_changes_no_number(self, folder: str) -> None:
        generator, pixels = build(folder), torch.rand(1, 3, 40, SIDE)
        before = generator(pixels)
        generator.freeze_trunk()
        assert torch.equal(generator(pixels).cams, before.cams)

    def test_trace_ends_where_forward_does(self, folder: str) -> None:
        generator, pixels = build(folder), torch.rand(2, 3, SIDE, 48)
        steps, output = trace(generator, pixels), generator(pixels)
        torch.testing.assert_close(steps.fine_cams, output.cams)
        assert steps.attention.shape == (2, 2, 2, CLASSES + 24, CLASSES + 24)
        assert steps.attention_outputs.shape == (2, 2, CLASSES + 24, 16)
        torch.testing.assert_close(output.logits["fused"], output.cams.mean((2, 3)))
        torch.testing.assert_close(output.logits["class_token"], steps.tokens[:, :CLASSES].mean(2))

    def test_cams_are_used_in_their_own_range(self, folder: str) -> None:
        assert build(folder).divide_by_peak is False

    def test_images_are_normalised_with_the_checkpoints_own_mean(self, folder: str) -> None:
        generator = build(folder)
        assert generator.normalize_pixels.mean.flatten().tolist() == pytest.approx(MEAN)
        assert generator.normalize_pixels.std.flatten().tolist() == pytest.approx(STD)
        pixels = torch.rand(1, 3, SIDE, SIDE)
        tokens, _ = generator.trunk.embed(generator.normalize_pixels(pixels))
        for layer in generator.trunk.layers:
            tokens = layer(tokens)
        torch.testing.assert_close(trace(generator, pixels).tokens, tokens)


class TestClassTokens:
    def test_they_are_copies_of_the_pretrained_one(self, folder: str) -> None:
        trunk, pretrained = build(folder).trunk, AutoModel.from_pretrained(folder).embeddings
        positions = pretrained.position_embeddings[0]
        assert torch.equal(trunk.class_tokens, pretrained.cls_token[0].expand(CLASSES, -1))
        assert torch.equal(trunk.class_positions, positions[:1].expand(CLASSES, -1))
        assert torch.equal(trunk.patch_positions, positions[-16:])  # DeiT's distillation token is left out

    def test_one_class_token_on_a_vit_is_that_vit(self, tmp_path: Path) -> None:
        """Tokens before the final norm and attention of transformers' own forward."""
        folder = str(save_backbone(tmp_path, "vit"))
        own: Any = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
        generator, pixels = build(folder, classes=1), torch.rand(2, 3, SIDE, SIDE)
        steps = trace(generator, pixels)
        normalised = generator.normalize_pixels(pixels)
        expected = own(pixel_values=normalised, output_hidden_states=True, output_attentions=True)
        torch.testing.assert_close(steps.tokens, expected.hidden_states[-1], atol=1e-5, rtol=0)
        torch.testing.assert_close(steps.attention, torch.stack(expected.attentions), atol=1e-5, rtol=0)

    def test_another_network_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"mask_generator\.backbone: .*\bresnet\b.*ViT or DeiT"):
            build(str(save_backbone(tmp_path, "resnet")))

    def test_bundled_means_the_vit(self) -> None:
        assert WeakTrGenerator.bundled_backbone == "vit"
        (backbone,) = WeakTrConfig(name="weaktr").checkpoints()
        assert (backbone.name, backbone.bundled) == ("bundled", "vit")


class TestLeftover:
    def test_resized_images_are_seen_whole(self) -> None:
        generator, pixels = random_small(), torch.rand(1, 3, 35, 38)
        changed = pixels.clone()
        changed[..., -1] = 0
        output = generator(pixels)
        assert output.cams.shape[-2:] == (4, 5)
        assert not torch.allclose(output.logits["coarse"], generator(changed).logits["coarse"])

    def test_dropped_pixels_are_not_seen(self) -> None:
        generator, pixels = random_small(leftover="drop"), torch.rand(1, 3, 35, 38)
        changed = pixels.clone()
        changed[:, :, 32:] = 0
        changed[..., 32:] = 0
        output = generator(pixels)
        assert output.cams.shape[-2:] == (4, 4)
        assert torch.equal(output.cams, generator(changed).cams)

    def test_tiny_images(self) -> None:
        pixels = torch.rand(1, 3, 3, 20)
        assert random_small()(pixels).cams.shape[-2:] == (1, 2)
        with pytest.raises(ValueError, match=r"\(3, 20\) pixels.*\(8, 8\)"):
            random_small(leftover="drop")(pixels)


def ramp_at(position: float) -> float:
    """The ramp 0, 1, 2, 3 read at a position by Keys' cubic kernel of coefficient -0.75, borders repeated."""
    a, neighbours = -0.75, range(math.floor(position) - 1, math.floor(position) + 3)

    def weight(x: float) -> float:
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * (x**3 - 5 * x**2 + 8 * x - 4)

    return sum(weight(abs(position - k)) * min(max(k, 0), 3) for k in neighbours)


class TestPositions:
    """A ramp along the columns tells which source coordinates were read."""

    def embedded_ramp(self, size: tuple[int, int], **options: Any) -> Tensor:
        """Column positions [h, w] that an image without content is given."""
        generator = random_small(**options)
        trunk = generator.trunk
        ramp = torch.arange(4.0).repeat(4)[:, None].expand(-1, 16)
        with torch.no_grad():
            trunk.patch_positions.copy_(ramp)
            for parameter in trunk.patch_embeddings.parameters():
                parameter.zero_()
        tokens, grid = trunk.embed(torch.zeros(1, 3, *size))
        return tokens[0, CLASSES:, 0].detach().view(grid)

    def test_stored_ones_where_the_grid_is_that_of_the_pretraining(self) -> None:
        for interpolation in ("exact", "offset"):
            found = self.embedded_ramp((32, 32), interpolation=interpolation)
            assert torch.equal(found, torch.arange(4.0).expand(4, -1))

    def test_exact_coordinates(self) -> None:
        found = self.embedded_ramp((32, 64))  # 8 columns read at (i + 0.5) / 2 - 0.5
        assert found[2].tolist() == pytest.approx([ramp_at((i + 0.5) / 2 - 0.5) for i in range(8)], abs=1e-5)

    def test_offset_coordinates(self) -> None:
        found = self.embedded_ramp((32, 64), interpolation="offset")  # read at (i + 0.5) / (8.1 / 4) - 0.5
        assert found[2].tolist() == pytest.approx([ramp_at((i + 0.5) / 2.025 - 0.5) for i in range(8)], abs=1e-5)

    def test_offset_resamples_a_side_that_kept_its_length_when_the_image_is_not_square(self) -> None:
        found = self.embedded_ramp((64, 32), interpolation="offset")  # 4 columns read at (i + 0.5) / (4.1 / 4) - 0.5
        assert found[2].tolist() == pytest.approx([ramp_at((i + 0.5) / 1.025 - 0.5) for i in range(4)], abs=1e-5)
        torch.testing.assert_close(self.embedded_ramp((64, 32))[0], torch.arange(4.0))


class TestPoolHeads:
    output = torch.tensor([[[1.0, 2, 3, 4], [5, 0, 1, 8]]])  # one image, two tokens, four channels

    def test_contiguous(self) -> None:
        assert pool_heads(self.output, 2, "max", "contiguous").tolist() == [[[5, 2], [3, 8]]]
        assert pool_heads(self.output, 2, "average", "contiguous").tolist() == [[[3, 1], [2, 6]]]

    def test_strided(self) -> None:
        assert pool_heads(self.output, 2, "max", "strided").tolist() == [[[5, 3], [2, 8]]]


class TestFusion:
    def test_gates_are_ordered_head_by_head(self) -> None:
        """With unit weights throughout a gate is the sigmoid of its map's only feature."""
        fusion = AttentionFusion(depth=2, heads=2, head_dim=1, reduction=1, feat_reduction=1)
        with torch.no_grad():
            for layer in (fusion.squeeze, fusion.score, fusion.mix_in, fusion.mix_out):
                torch.nn.init.eye_(layer.weight)
            fusion.squeeze.bias.zero_()
            fusion.score.bias.zero_()
        first, second = torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[3.0], [-4.0]]])  # [B, H, d] of each layer
        gates = fusion([first, second])
        torch.testing.assert_close(gates, torch.sigmoid(torch.tensor([[1.0, 3.0, 2.0, 0.0]])))  # ReLU: -4 -> 0

    def test_bottlenecks(self) -> None:
        fusion = AttentionFusion(depth=12, heads=6, head_dim=64, reduction=8, feat_reduction=8)
        assert fusion.squeeze.weight.shape == (8, 64)
        assert fusion.mix_in.weight.shape == (9, 72)
        tiny = AttentionFusion(depth=1, heads=2, head_dim=4, reduction=8, feat_reduction=8)
        assert tiny.squeeze.weight.shape == (1, 4)
        assert tiny.mix_in.weight.shape == (1, 2)

    def naive(self, trunk: ClassTokenTransformer, inputs: list[Tensor], gates: Tensor) -> Tensor:
        maps = [attention_map(a, x) for a, x in zip(trunk.attentions, inputs, strict=True)]
        stacked = torch.stack(maps, dim=2).flatten(1, 2)  # [B, H * depth, T, T], head by head
        return (stacked * gates[..., None, None]).sum(1) / gates.shape[1]

    def test_lean_sum_is_the_naive_one_with_its_gradients(self) -> None:
        trunk = random_small().trunk
        results = []
        for form in (gated_attention_sum, None):
            torch.manual_seed(2)
            inputs = [torch.randn(2, 9, 16, requires_grad=True) for _ in range(2)]
            gates = torch.rand(2, 4, requires_grad=True)
            fused = form(trunk.attentions, inputs, gates) if form else self.naive(trunk, inputs, gates)
            trunk.zero_grad()
            (fused * torch.randn(2, 9, 9)).sum().backward()
            weight = trunk.attentions[0].q_proj.weight.grad
            assert weight is not None
            results.append([fused.detach(), gates.grad, inputs[0].grad, weight.clone()])
        for lean, naive in zip(*results, strict=True):
            torch.testing.assert_close(lean, naive)

    def test_without_gradients_it_is_the_same(self) -> None:
        trunk, inputs, gates = random_small().trunk, [torch.randn(1, 9, 16) for _ in range(2)], torch.rand(1, 4)
        with torch.no_grad():
            lean = gated_attention_sum(trunk.attentions, inputs, gates)
        torch.testing.assert_close(lean, self.naive(trunk, inputs, gates))

    @pytest.mark.parametrize("frozen", [True, False])
    def test_no_map_is_kept_for_the_backward_pass(self, frozen: bool) -> None:
        """Of what has T * T numbers or more an image, only the fused sum and its halves may be kept."""
        generator = random_small()
        if frozen:
            generator.freeze_trunk()
        tokens, kept = CLASSES + 16 * 16, []

        def note(tensor: Tensor) -> Tensor:
            kept.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            generator.train()(torch.rand(1, 3, 128, 128)).cams.sum()
        assert max(kept) <= tokens**2  # the maps of one layer are twice as many
        assert sum(count >= (tokens - CLASSES) ** 2 for count in kept) <= 1
