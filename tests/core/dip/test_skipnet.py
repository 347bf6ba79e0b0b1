"""The bank of generators: published parameter counts, shapes, and networks that do not see each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ablate.core.dip.skipnet import Architecture, Bank, doubled, mirrored

Layer = Callable[[Tensor], Tensor]


@pytest.mark.acceptance("I1")
@pytest.mark.parametrize(
    ("architecture", "channels", "scales", "parameters"),
    [
        ("skip", 128, 5, 2_217_831),
        ("skip", 32, 4, 121_779),
        ("skip", 16, 3, 26_575),
        ("decoder", 128, 5, 100_224),
        ("decoder", 64, 5, 25_536),
    ],
)
def test_parameter_counts(architecture: Architecture, channels: int, scales: int, parameters: int) -> None:
    """As published, and for N networks N times as many."""
    bank = Bank(architecture, count=2, channels=channels, scales=scales)
    assert bank.size_of_one() == parameters
    assert sum(parameter.numel() for parameter in bank.parameters()) == 2 * parameters


@pytest.mark.parametrize(("architecture", "code"), [("skip", (32, 16, 16)), ("decoder", (8, 4, 4))])
def test_shapes_and_range(architecture: Architecture, code: tuple[int, int, int]) -> None:
    """A code of the stated shape becomes images in (0,1)."""
    bank = Bank(architecture, count=3, channels=8, scales=2)
    bank.draw([torch.Generator().manual_seed(seed) for seed in range(3)])
    assert bank.code_channels == code[0]
    assert 16 // bank.code_shrink == code[1]
    images = bank(torch.rand(1, 3 * code[0], *code[1:]))
    assert images.shape == (3, 3, 16, 16)
    assert 0 < images.min() < images.max() < 1


@pytest.mark.parametrize("architecture", ["skip", "decoder"])
def test_networks_do_not_see_each_other(architecture: Architecture) -> None:
    """One network's loss has no gradient in another's weights, and a non-finite neighbour changes nothing."""
    bank = Bank(architecture, count=2, channels=8, scales=2)
    bank.draw([torch.Generator().manual_seed(seed) for seed in range(2)])
    side = 16 // bank.code_shrink
    code = torch.rand(1, 2 * bank.code_channels, side, side)
    before = bank(code)
    before[0].square().sum().backward()
    assert all(parameter.grad is not None and not parameter.grad[1].any() for parameter in bank.parameters())
    assert any(parameter.grad is not None and parameter.grad[0].any() for parameter in bank.parameters())
    with torch.no_grad():
        for parameter in bank.parameters():
            parameter[1] = torch.nan
    assert torch.equal(bank(code)[0], before[0])


def test_drawn_weights_are_within_torch_default_bounds() -> None:
    """Uniform within 1/sqrt(fan in), each network from its own generator."""
    bank = Bank("skip", count=2, channels=8, scales=1)
    bank.draw([torch.Generator().manual_seed(seed) for seed in (7, 7)])
    weights = [parameter for name, parameter in bank.named_parameters() if name.endswith("weight")]
    largest = [weight for weight in weights if weight.dim() == 5]
    assert all(torch.equal(weight[0], weight[1]) for weight in weights)
    assert all(weight.abs().max() <= weight[0, 0].numel() ** -0.5 for weight in largest)
    assert all(weight.abs().max() > 0.5 * weight[0, 0].numel() ** -0.5 for weight in largest)


@pytest.mark.parametrize(
    ("own", "torchs"),
    [
        (lambda x: mirrored(x, 1), lambda x: F.pad(x, (1,) * 4, mode="reflect")),
        (lambda x: mirrored(x, 2), lambda x: F.pad(x, (2,) * 4, mode="reflect")),
        (doubled, lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)),
    ],
)
def test_what_gpus_get_instead_of_torchs_functions(own: Layer, torchs: Layer) -> None:
    """The same values and gradients within rounding."""
    x = torch.randn(1, 3, 6, 4, dtype=torch.float64, requires_grad=True)
    found, expected = own(x), torchs(x)
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, rtol=0, atol=1e-14)
    weight = torch.randn_like(expected)
    gradients = [torch.autograd.grad((one * weight).sum(), x)[0] for one in (found, expected)]
    assert torch.allclose(gradients[0], gradients[1], rtol=0, atol=1e-14)
