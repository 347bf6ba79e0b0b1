"""Diversity and the Gabor-map difference: closed forms, limits, and the order of what they judge."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from ablate.core.data import as_unit, load
from ablate.core.scores.distances import BLOCK
from ablate.core.scores.diversity import effective_rank, gaussian_pairwise_distance, mean_pairwise_distance
from ablate.core.scores.gpd import gpd


def _normal(n: int, d: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(d), dtype=torch.float64)


def test_mean_pairwise_distance_by_hand() -> None:
    """Points 0, 3 and 7 on a line: (3 + 7 + 4) / 3."""
    assert mean_pairwise_distance(torch.tensor([[0.0], [3.0], [7.0]])) == pytest.approx(14 / 3)


@pytest.mark.parametrize("d", [1, 2, 78])
def test_mean_pairwise_distance_of_a_gaussian(d: int) -> None:
    """2 / sqrt(pi) in one dimension, sqrt(pi) in two; N larger than a block."""
    closed = gaussian_pairwise_distance(d)
    assert closed == pytest.approx({1: 2 / math.sqrt(math.pi), 2: math.sqrt(math.pi)}.get(d, closed))
    assert mean_pairwise_distance(_normal(BLOCK + 500, d)) == pytest.approx(closed, rel=0.03)


def test_copies_have_no_distance() -> None:
    """Of the pairs of n images repeated k times, the share (n - 1) k / (n k - 1) differs at all."""
    few = _normal(10, 5)
    assert mean_pairwise_distance(few[:1].expand(6, -1)) == pytest.approx(0, abs=1e-6)
    pairs_that_differ = (10 - 1) * 40 / (10 * 40 - 1)
    repeated = mean_pairwise_distance(few.repeat(40, 1))
    assert repeated == pytest.approx(mean_pairwise_distance(few) * pairs_that_differ, rel=1e-6)


def test_effective_rank_of_known_spectra() -> None:
    """d for d equal variances, 1 on a line, 2 for two equal directions, 0 for one point; blind to scale and shift."""
    white = torch.linalg.qr(_normal(200, 6) - _normal(200, 6).mean(0)).Q
    white = white - white.mean(0)
    assert effective_rank(white) == pytest.approx(6, abs=1e-6)
    assert effective_rank(white * torch.tensor([1.0, 0, 0, 0, 0, 0])) == pytest.approx(1)
    assert effective_rank(5 + 3 * white[:, :2]) == pytest.approx(2, abs=1e-6)
    assert effective_rank(torch.ones(4, 3)) == 0
    shares = torch.tensor([0.7, 0.3])
    assert effective_rank(white[:, :2] * shares.sqrt()) == pytest.approx(
        math.exp(-sum(p * math.log(p) for p in (0.7, 0.3)))
    )


def test_a_pair_needs_two_images() -> None:
    with pytest.raises(ValueError, match="two images"):
        mean_pairwise_distance(torch.zeros(1, 3))


@pytest.fixture(scope="module")
def images() -> Tensor:
    train = load("skimage-patches", cap_per_image=300).train
    return as_unit(train[torch.randperm(len(train), generator=torch.Generator().manual_seed(1))[:40]])


def test_gpd_of_equal_images_is_zero(images: Tensor) -> None:
    assert gpd(images, images).tolist() == [0.0] * 40


def test_gpd_grows_with_noise_and_is_symmetric(images: Tensor) -> None:
    """Every image alone, in batches of any size."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(2)) / 127.5
    found = [gpd(images, images + sigma * noise) for sigma in (2, 5, 10, 25)]
    assert all(bool((after > before).all()) for before, after in itertools.pairwise(found))
    assert torch.allclose(gpd(images + 5 * noise, images), found[1], rtol=1e-9)
    assert torch.allclose(gpd(images[35:36], images[35:36] + 5 * noise[35:36]), found[1][35:36], rtol=1e-9)


def test_gpd_forgives_a_shift_of_texture_more_than_its_loss(images: Tensor) -> None:
    """Fine stripes moved by half a wavelength: wrong in every pixel, where plain grey is nearer."""
    columns = torch.arange(32.0).expand(1, 3, 32, 32)
    stripes = 0.5 * torch.cos(2 * math.pi * columns / 4)
    moved, grey = -stripes, torch.zeros_like(stripes)
    assert float((stripes - moved).square().mean()) > float((stripes - grey).square().mean())
    assert float(gpd(stripes, moved)) < 0.1 * float(gpd(stripes, grey))
