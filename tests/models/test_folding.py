from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tiny
from semples.models.layers.folding import fold_batch_norms

PIXELS = torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(0))


def with_statistics(model: nn.Module) -> nn.Module:
    """Running statistics, gains and shifts unlike those of a new network."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
            nn.init.normal_(module.weight, 1.0, 0.2, generator=generator)
            nn.init.normal_(module.bias, 0.0, 0.2, generator=generator)
    return model.eval()


def normalisations(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def output_and_gradient(model: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    pixels = pixels.clone().requires_grad_()
    output = model(pixel_values=pixels).last_hidden_state
    output.square().sum().backward()
    assert pixels.grad is not None
    return output.detach(), pixels.grad


@pytest.mark.parametrize("kind", ["resnet", "bottleneck", "mobilenet_v2", "efficientnet"])
def test_folded_network_is_the_same_function(kind: str) -> None:
    torch.manual_seed(0)
    model = with_statistics(tiny.BACKBONES[kind][0]())
    folded = copy.deepcopy(model)
    before = normalisations(folded)
    assert before > 0
    assert fold_batch_norms(folded, lambda: folded(pixel_values=PIXELS)) == before
    assert normalisations(folded) == 0
    (output, gradient), (folded_output, folded_gradient) = (output_and_gradient(m, PIXELS) for m in (model, folded))
    torch.testing.assert_close(folded_output, output, rtol=1e-4, atol=1e-4 * output.abs().max().item())
    torch.testing.assert_close(folded_gradient, gradient, rtol=1e-4, atol=1e-4 * gradient.abs().max().item())


def test_by_hand() -> None:
    """A 1 x 1 convolution by 2, then (x - 1) / sqrt(4) * 3 + 5: together 3 x + 3.5."""
    convolution, norm = nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1, eps=0.0)
    nn.init.constant_(convolution.weight, 2.0)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.fill_(1.0)
    norm.running_var.fill_(4.0)
    nn.init.constant_(norm.weight, 3.0)
    nn.init.constant_(norm.bias, 5.0)
    model = nn.Sequential(convolution, norm).eval()
    assert fold_batch_norms(model, lambda: model(torch.zeros(1, 1, 2, 2))) == 1
    assert convolution.weight.item() == pytest.approx(3.0)
    assert convolution.bias is not None
    assert convolution.bias.item() == pytest.approx(3.5)
    assert not convolution.weight.requires_grad


def test_normalisation_after_anything_else_stays() -> None:
    model = with_statistics(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)))
    expected = model(PIXELS)
    assert fold_batch_norms(model, lambda: model(PIXELS)) == 0
    assert torch.equal(model(PIXELS), expected)
