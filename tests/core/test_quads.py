"""Convolutions four pixels at a time are the convolutions they stand for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ablate.core import quads
from ablate.core.replay_network import Autoencoder, Denoiser, draw
from ablate.core.replay_tables import noise_table


def _net(channels: int, hidden: int, seed: int) -> nn.Sequential:
    net = nn.Sequential(
        nn.Conv2d(channels, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, channels, 3, padding=1)
    ).double()
    draw(net, torch.Generator().manual_seed(seed))
    return net


def _in_quads(net: nn.Sequential, x: Tensor) -> Tensor:
    (first,), (second,) = quads.kernels([net[0]]), quads.kernels([net[2]])  # type: ignore[list-item]
    return quads.pair(x, first, second)


def _gradients(result: Tensor, x: Tensor, net: nn.Module) -> list[Tensor]:
    weights = torch.cos(torch.arange(result.numel(), dtype=result.dtype)).view(result.shape)
    return list(torch.autograd.grad((result * weights).sum(), [x, *net.parameters()]))


@given(
    count=st.integers(1, 3),
    channels=st.integers(1, 4),
    hidden=st.integers(1, 5),
    height=st.integers(1, 9),
    quarter=st.integers(1, 5),
    seed=st.integers(0, 999),
    last=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_a_pair_of_convolutions_and_all_its_gradients_equal_the_plain_ones(
    count: int, channels: int, hidden: int, height: int, quarter: int, seed: int, last: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, channels, height, 4 * quarter, dtype=torch.float64, generator=generator)
    x = x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format).requires_grad_()
    net = _net(channels, hidden, seed)
    plain, ours = net(x), _in_quads(net, x)
    torch.testing.assert_close(ours, plain)
    for mine, reference in zip(_gradients(ours, x, net), _gradients(plain, x, net), strict=True):
        torch.testing.assert_close(mine, reference)


def test_images_that_need_no_gradient_get_none() -> None:
    x, net = torch.zeros(1, 3, 4, 8, dtype=torch.float64), _net(3, 3, 0)
    torch.autograd.backward(_in_quads(net, x).sum())
    assert x.grad is None
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_all_kernels_at_once_are_those_of_each() -> None:
    nets = [_net(3, 3, seed) for seed in range(3)]
    layers = [layer for net in nets for layer in (net[0], net[2])]
    for together, layer in zip(quads.kernels(layers), layers, strict=True):  # type: ignore[arg-type]
        (alone,) = quads.kernels([layer])  # type: ignore[list-item]
        assert all(torch.equal(one, other) for one, other in zip(together, alone, strict=True))


@pytest.mark.parametrize("width", [30, 31, 33])
def test_other_widths_go_the_plain_way(width: int) -> None:
    x = torch.rand(2, 3, 32, width)
    assert not quads.pays(x)
    net = Autoencoder()
    assert torch.equal(net(x), net.net(x))


def test_the_denoiser_is_its_blocks_one_after_the_other() -> None:
    denoiser = Denoiser(3, noise_table("linear")).double()
    draw(denoiser, torch.Generator().manual_seed(1))
    x, t = torch.rand(2, 3, 8, 12, dtype=torch.float64), torch.tensor([700])
    noise = torch.randn((3, 2, 8, 12, 3), generator=torch.Generator().manual_seed(5)).permute(0, 1, 4, 2, 3)
    expected = x
    for block in range(3):
        expected = expected + denoiser.table[t] * noise[block] - denoiser.nets[block](expected)
    torch.testing.assert_close(denoiser(x, t, torch.Generator().manual_seed(5)), expected)
