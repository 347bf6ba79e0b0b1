"""Blocks in machine code are the convolutions they stand for."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ablate.core.replay import conv_block
from ablate.core.replay import conv_block_numba as kernels
from ablate.core.replay.network import Autoencoder, ReplayDenoiser, draw
from ablate.core.replay.noise_tables import noise_table
from ablate.core.replay.vectors import LANES, load, store


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
        added = 0.0 if noise is None or sigma is None else x + sigma[:, None, None, None] * noise[block]
        x = net(x) if noise is None else added - net(x)
    return x


def key_and_noise(blocks: int, x: Tensor, seed: int = 0) -> tuple[Any, Tensor]:
    """What names the noise of a batch, and that noise."""
    key = conv_block.drawn_key(torch.Generator().manual_seed(seed))
    return key, conv_block.noise(blocks, x, torch.Generator().manual_seed(seed))


def gradients(loss: Tensor, layers: list[nn.Sequential]) -> list[Tensor]:
    return list(torch.autograd.grad(loss, [weight for net in layers for weight in net.parameters()]))


@pytest.mark.parametrize("blocks", [1, 2, 10])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_blocks_their_loss_and_its_gradients_equal_the_plain_ones(
    blocks: int, count: int, residual: bool, last: bool
) -> None:
    """In float64 torch's operations are exact beside float32: what is left is this code's rounding."""
    layers = nets(blocks)
    x, target = drawn(count, 3, 32, 32, seed=100), drawn(count, 3, 32, 32, seed=101)
    x = x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    key, noise = key_and_noise(blocks, x)
    levels, noise_or_none = torch.linspace(0.1, 0.9, count) if residual else None, noise if residual else None
    key = key if residual else None
    result = conv_block.apply(conv_block.layers_of(layers), x, key, levels)
    loss = conv_block.squared_error(
        conv_block.layers_of(layers), x, target, key, None if levels is None else levels[:1]
    )
    mine = gradients(3 * loss, layers)
    for net in layers:
        net.double()
    doubles = [None if one is None else one.double() for one in (noise_or_none, levels)]
    expected = plain(layers, x.double(), *doubles)
    one_level = None if doubles[1] is None else doubles[1][:1].expand(count)
    exact = (plain(layers, x.double(), doubles[0], one_level) - target).square().mean()
    theirs = gradients(3 * exact, layers)
    for found, right in zip([result, loss, *mine], [expected, exact, *theirs], strict=True):
        scale = float(right.detach().abs().max())
        assert scale > 0
        assert float((found.double() - right).detach().abs().max()) < 2e-5 * scale


def test_images_get_no_gradient_and_are_not_changed() -> None:
    layers, x = nets(2), drawn(2, 3, 32, 32).requires_grad_()
    before = x.detach().clone()
    torch.autograd.backward(conv_block.squared_error(conv_block.layers_of(layers), x, before))
    assert x.grad is None
    assert torch.equal(x.detach(), before)
    assert all(weight.grad is not None for net in layers for weight in net.parameters())
    assert not conv_block.apply(conv_block.layers_of(layers), x).requires_grad


def test_an_image_does_not_depend_on_those_after_it() -> None:
    """Its noise follows from the key and its place."""
    layers, x = nets(3), drawn(4, 3, 32, 32)
    (key, noise), sigma = key_and_noise(3, x), torch.linspace(0.1, 0.4, 4)
    together = conv_block.apply(conv_block.layers_of(layers), x, key, sigma)
    for n in range(1, 4):
        assert torch.equal(conv_block.apply(conv_block.layers_of(layers), x[:n], key, sigma[:n]), together[:n])
        assert torch.equal(key_and_noise(3, x[:n])[1], noise[:, :n])
    assert not torch.equal(key_and_noise(3, x, seed=1)[1], noise)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["image", "first weight", "second bias"])
def test_what_is_not_finite_stays_so(value: float, where: str) -> None:
    """A diverged training must not come back: neither ReLU nor a faster order of sums may swallow NaN."""
    layers, x, target = nets(2), drawn(1, 3, 32, 32), drawn(1, 3, 32, 32, seed=1)
    with torch.no_grad():
        if where == "image":
            x[0, 1, 5, 5] = value
        elif where == "first weight":
            next(layers[0].parameters())[0, 0, 1, 1] = value
        else:
            bias_of(layers[0], 2)[1] = value
    theirs = plain(layers, x, None, None)
    assert torch.equal(conv_block.apply(conv_block.layers_of(layers), x).isfinite(), theirs.isfinite())
    assert not bool(conv_block.squared_error(conv_block.layers_of(layers), x, target).isfinite())


# --- noise


def test_noise_is_normal_and_independent() -> None:
    """Moments, tails and Kolmogorov's distance of two million numbers; none knows of its neighbours."""
    noise = key_and_noise(10, torch.empty(64, 3, 32, 32), seed=3)[1].double()
    count = noise.numel()
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
        assert abs(float(noise.pow(power).mean()) - moment) < 4.5 * (variance / count) ** 0.5
    for bound in (1.0, 2.0, 3.0, 4.0):
        expected = count * math.erfc(bound / 2**0.5)
        assert abs(int((noise.abs() > bound).sum()) - expected) < 4.5 * expected**0.5
    assert float(noise.abs().max()) < 6.7
    ordered = noise.flatten().sort().values
    steps = torch.arange(1, count + 1, dtype=torch.float64) / count
    assert float((torch.special.ndtr(ordered) - steps).abs().max()) < 1.95 / count**0.5  # once in a thousand
    flat = noise.flatten()
    for one in (flat, flat.square() - 1):
        scale = one.square().mean()
        # Within a vector, to the other of a pair, along columns, between channels, images and blocks.
        for lag in (1, 2, 4, 8, 16, 32, 1024, 3072, 64 * 3072):
            assert abs(float((one[lag:] * one[:-lag]).mean() / scale)) < 4.5 / (count - lag) ** 0.5


def test_the_generator_is_xoshiro128_plus_plus_seeded_by_splitmix64() -> None:
    """Against both as their authors wrote them, in Python's integers."""
    key, image = 0x0123456789ABCDEF, 5
    state = np.empty((4, LANES), np.uint32)
    kernels._seeded(np.uint64(key), image, state)
    assert (
        state.tolist()
        == np.array(splitmix64(key, 16 * (image + 1))[16 * image :], "<u8").view("<u4").reshape(4, 8).tolist()
    )
    found = np.empty((3, LANES), np.uint32)
    three_steps(state, found)
    for lane in range(LANES):
        words = [int(state[row, lane]) for row in range(4)]
        assert found[:, lane].tolist() == xoshiro128_plus_plus(words, 3)


@numba.njit
def three_steps(state: Any, found: Any) -> None:  # pragma: no cover
    a, b, c, d = load(state, 0), load(state, 8), load(state, 16), load(state, 24)
    for step in range(3):
        bits, a, b, c, d = kernels._next(a, b, c, d)
        store(found, 8 * step, bits)


def splitmix64(x: int, count: int) -> list[int]:
    """The first outputs of the generator with state `x`."""
    found, mask = [], 2**64 - 1
    for _ in range(count):
        x = (x + 0x9E3779B97F4A7C15) & mask
        z = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        found.append(z ^ (z >> 31))
    return found


def xoshiro128_plus_plus(s: list[int], count: int) -> list[int]:
    """The next outputs of the generator with state `s`."""

    def turned(x: int, k: int) -> int:
        return ((x << k) | (x >> (32 - k))) & 0xFFFFFFFF

    found = []
    for _ in range(count):
        found.append((turned((s[0] + s[3]) & 0xFFFFFFFF, 7) + s[0]) & 0xFFFFFFFF)
        t = (s[1] << 9) & 0xFFFFFFFF
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = turned(s[3], 11)
    return found


@pytest.mark.parametrize(
    ("side", "width", "dtype"), [(32, 31, torch.float32), (16, 16, torch.float32), (32, 32, torch.float64)]
)
def test_other_images_go_the_plain_way(side: int, width: int, dtype: torch.dtype) -> None:
    x = torch.rand(2, 3, side, width, dtype=dtype)
    assert not conv_block.pays(x)
    net = Autoencoder().to(x.dtype)
    assert torch.equal(net(x), net.net(x))


def test_the_denoiser_is_its_blocks_one_after_the_other() -> None:
    """With a level for the batch or for every image; the identity meets the same noise."""
    denoiser, x = ReplayDenoiser(3, noise_table("linear")), drawn(4, 3, 32, 32)
    draw(denoiser, torch.Generator().manual_seed(1))
    noise = key_and_noise(3, x, seed=2)[1]
    for t in (torch.tensor([700]), torch.tensor([1, 200, 500, 999])):
        sigma = denoiser.table[t].expand(4)
        expected = plain(list(denoiser.nets), x, noise, sigma)  # type: ignore[arg-type]
        torch.testing.assert_close(denoiser(x, t, torch.Generator().manual_seed(2)), expected, atol=1e-5, rtol=1e-5)
        identity = ReplayDenoiser(3, noise_table("linear"), identity=True)
        added = x + sigma[:, None, None, None] * noise.sum(0)
        torch.testing.assert_close(identity(x, t, torch.Generator().manual_seed(2)), added, atol=1e-5, rtol=1e-5)


def test_without_a_place_for_machine_code_every_process_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba refuses to cache where neither the source's folder nor the user's can be written."""
    njit: Any = numba.njit

    def nowhere(*, cache: bool = False, **options: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", nowhere)
    assert kernels._compiled(lambda x: x + 1)(1) == 2
