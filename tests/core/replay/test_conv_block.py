"""Blocks in machine code are the convolutions they stand for."""

from __future__ import annotations

import math
from typing import Any

import numba
import pytest
import torch
from torch import Tensor, nn

from ablate.core.replay import conv_block
from ablate.core.replay import conv_block_numba as kernels
from ablate.core.replay.network import Autoencoder, ReplayDenoiser, draw
from ablate.core.replay.noise_tables import noise_table


def bias_of(net: nn.Sequential, place: int) -> Tensor:
    layer = net[place]
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    return layer.bias


def nets(count: int) -> list[nn.Sequential]:
    """As many blocks, with weights that keep images in bounds."""
    made = [
        nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1)) for _ in range(count)
    ]
    for seed, net in enumerate(made):
        draw(net, torch.Generator().manual_seed(seed))
        with torch.no_grad():
            bias_of(net, 0).add_(0.3)  # so that no block is dead
    return made


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def plain(blocks: list[nn.Sequential], x: Tensor, noise: Tensor | None, sigma: Tensor | None) -> Tensor:
    for block, net in enumerate(blocks):
        if noise is None or sigma is None:
            x = net(x)
        else:
            x = x + sigma[:, None, None, None] * noise[block].permute(0, 3, 1, 2) - net(x)
    return x


def gradients(result: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    weights = torch.cos(torch.arange(result.numel(), dtype=result.dtype)).view(result.shape)
    return list(torch.autograd.grad((result * weights).sum(), inputs))


@pytest.mark.parametrize("blocks", [1, 2, 10])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_blocks_and_all_their_gradients_equal_the_plain_ones(
    blocks: int, count: int, residual: bool, last: bool
) -> None:
    """In float64 torch's operations are exact beside float32: what is left is this code's rounding."""
    layers = nets(blocks)
    x = drawn(count, 3, 32, 32, seed=100)
    x = x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format).requires_grad_()
    noise = drawn(blocks, count, 32, 32, 3, seed=101) if residual else None
    sigma = torch.linspace(0.1, 0.9, count) if residual else None
    ours = conv_block.apply(layers, x, noise, sigma)
    mine = gradients(ours, [x, *(weight for net in layers for weight in net.parameters())])
    for net in layers:
        net.double()
    exact = x.detach().double().requires_grad_()
    reference = plain(layers, exact, *(None if one is None else one.double() for one in (noise, sigma)))
    theirs = gradients(reference, [exact, *(weight for net in layers for weight in net.parameters())])
    for found, expected in zip([ours, *mine], [reference, *theirs], strict=True):
        scale = float(expected.detach().abs().max())
        assert scale > 0
        assert float((found.double() - expected).detach().abs().max()) < 2e-5 * scale


def test_what_needs_no_gradient_gets_none_and_changes_nothing() -> None:
    layers, x = nets(2), drawn(2, 3, 32, 32)
    noise, sigma = drawn(2, 2, 32, 32, 3), torch.ones(2)
    trained = conv_block.apply(layers, x, noise, sigma)
    torch.autograd.backward(trained.sum())
    assert x.grad is None
    assert all(weight.grad is not None for net in layers for weight in net.parameters())
    with torch.no_grad():
        scored = conv_block.apply(layers, x, noise, sigma)
    assert torch.equal(scored, trained)
    assert not scored.requires_grad


def test_an_image_does_not_depend_on_its_companions() -> None:
    layers, x = nets(3), drawn(4, 3, 32, 32)
    noise, sigma = drawn(3, 4, 32, 32, 3), torch.linspace(0.1, 0.4, 4)
    together = conv_block.apply(layers, x, noise, sigma)
    for n in range(4):
        alone = conv_block.apply(layers, x[n : n + 1], noise[:, n : n + 1], sigma[n : n + 1])
        assert torch.equal(alone[0], together[n])


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["image", "first weight", "second bias"])
def test_what_is_not_finite_stays_so(value: float, where: str) -> None:
    """A diverged training must not come back: neither ReLU nor a faster order of sums may swallow NaN."""
    layers, x = nets(2), drawn(1, 3, 32, 32)
    with torch.no_grad():
        if where == "image":
            x[0, 1, 5, 5] = value
        elif where == "first weight":
            next(layers[0].parameters())[0, 0, 1, 1] = value
        else:
            bias_of(layers[0], 2)[1] = value
    ours, theirs = conv_block.apply(layers, x), plain(layers, x, None, None)
    assert torch.equal(ours.isfinite(), theirs.isfinite())
    for found, expected in zip(*(gradients(one, list(layers[1].parameters())) for one in (ours, theirs)), strict=True):
        assert torch.equal(found.isfinite(), expected.isfinite())


@pytest.mark.parametrize(
    ("side", "width", "dtype"), [(32, 31, torch.float32), (16, 16, torch.float32), (32, 32, torch.float64)]
)
def test_other_images_go_the_plain_way(side: int, width: int, dtype: torch.dtype) -> None:
    x = torch.rand(2, 3, side, width, dtype=dtype)
    assert not conv_block.pays(x)
    net = Autoencoder().to(x.dtype)
    assert torch.equal(net(x), net.net(x))


def test_the_denoiser_is_its_blocks_one_after_the_other() -> None:
    """With the noise that is drawn channels last, and a level for the batch or for every image."""
    denoiser, x = ReplayDenoiser(3, noise_table("linear")), drawn(4, 3, 32, 32)
    draw(denoiser, torch.Generator().manual_seed(1))
    for t in (torch.tensor([700]), torch.tensor([1, 200, 500, 999])):
        noise = torch.randn((3, 4, 32, 32, 3), generator=torch.Generator().manual_seed(2))
        expected = plain(list(denoiser.nets), x, noise, denoiser.table[t].expand(4))  # type: ignore[arg-type]
        torch.testing.assert_close(denoiser(x, t, torch.Generator().manual_seed(2)), expected, atol=1e-5, rtol=1e-5)


def test_without_a_place_for_machine_code_every_process_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba refuses to cache where neither the source's folder nor the user's can be written."""
    njit: Any = numba.njit

    def nowhere(*, cache: bool = False, **options: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", nowhere)
    assert kernels._compiled(lambda x: x + 1)(1) == 2
