"""Convolutions as products of matrices: the numbers and gradients of torch's own, lane by lane."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ablate.core.replay.lane_conv import as_products, convolved


def drawn(lanes: int, batch: int, channels: int, outputs: int, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images, weights and biases, float64, with gradients."""
    source = torch.Generator().manual_seed(0)
    shapes = (lanes, batch, channels, side, side + 2), (lanes, outputs, channels, 3, 3), (lanes, outputs)
    x, weight, bias = (torch.randn(shape, generator=source, dtype=torch.float64) for shape in shapes)
    return x.requires_grad_(), weight.requires_grad_(), bias.requires_grad_()


@pytest.mark.parametrize(("lanes", "batch", "channels", "outputs"), [(1, 1, 3, 3), (3, 4, 3, 3), (2, 2, 3, 5)])
def test_results_and_gradients_are_those_of_a_convolution(lanes: int, batch: int, channels: int, outputs: int) -> None:
    given = drawn(lanes, batch, channels, outputs, side=6)
    found = as_products(*given)
    x, weight, bias = given
    expected = torch.stack([F.conv2d(x[k], weight[k], bias[k], padding=1) for k in range(lanes)])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(convolved(*given), expected)
    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    theirs = torch.autograd.grad(expected, given, upstream)
    torch.testing.assert_close(torch.autograd.grad(found, given, upstream), theirs)


def test_images_without_a_gradient_cost_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """One product goes back to the weights, and none to the images."""
    products, bmm = [], torch.bmm

    def counted(one: Tensor, other: Tensor) -> Tensor:
        products.append(one.shape)
        return bmm(one, other)

    monkeypatch.setattr(torch, "bmm", counted)
    x, weight, bias = drawn(2, 2, 3, 3, side=4)
    expected = torch.autograd.grad(as_products(x, weight, bias).square().sum(), (weight, bias))
    both = len(products)
    found = torch.autograd.grad(as_products(x.detach(), weight, bias).square().sum(), (weight, bias))
    assert len(products) - both == both - 1
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_lane_that_is_not_finite_changes_no_bit_of_another() -> None:
    x, weight, bias = drawn(3, 2, 3, 3, side=4)
    ill = x.detach().clone()
    ill[1] = math.nan

    def kept(images: Tensor) -> list[Tensor]:
        losses = as_products(images, weight, bias).square().mean((1, 2, 3, 4))
        gradients = [losses, *torch.autograd.grad(losses.sum(), (images, weight, bias))]
        return [gradient.detach()[[0, 2]] for gradient in gradients]

    pairs = zip(kept(x), kept(ill.requires_grad_()), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
