"""Fréchet distance: three other ways to compute it, closed forms, and its floor; the ordering of known degradations."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from ablate.core.data import as_unit, load, to_uint8
from ablate.core.scores.features import FeatureScale, gabor_features
from ablate.core.scores.frechet import diagonal_frechet_distance, frechet_distance, gaussian_floor, white_floor


def _normal(n: int, d: int, seed: int, spread: float = 1.0, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.eye(d, dtype=torch.float64) + spread * torch.rand(d, d, generator=generator, dtype=torch.float64)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) @ mixing + shift


def _by_square_root(a: Tensor, b: Tensor) -> float:
    """tr (C1 C2)^(1/2) by scipy's matrix square root."""
    first, second = np.cov(a.numpy().T), np.cov(b.numpy().T)
    root = scipy.linalg.sqrtm(first @ second)
    shift = (a.mean(0) - b.mean(0)).square().sum()
    return float(shift) + float(np.trace(first + second - 2 * np.real(root)))


def _by_eigenvalues(a: Tensor, b: Tensor) -> float:
    """tr (C1 C2)^(1/2) as the sum of the roots of the product's eigenvalues."""
    first, second = np.cov(a.numpy().T), np.cov(b.numpy().T)
    roots = np.sqrt(np.clip(np.linalg.eigvals(first @ second).real, 0, None))
    return float((a.mean(0) - b.mean(0)).square().sum()) + float(np.trace(first + second) - 2 * roots.sum())


@pytest.mark.acceptance("M1")
@pytest.mark.parametrize(("n", "m"), [(300, 300), (60, 500)])
def test_agrees_with_square_root_and_eigenvalue_forms(n: int, m: int) -> None:
    a, b = _normal(n, 20, 0), _normal(m, 20, 1, spread=2.0, shift=0.5)
    distance = frechet_distance(a, b)
    assert distance == pytest.approx(_by_square_root(a, b), rel=1e-6)
    assert distance == pytest.approx(_by_eigenvalues(a, b), rel=1e-6)


@pytest.mark.acceptance("M1")
@pytest.mark.parametrize("n", [10, 200])
def test_distance_to_itself_is_zero(n: int) -> None:
    """Also with fewer images than features, where other forms lose digits."""
    a = _normal(n, 40, 2)
    assert 0.0 <= frechet_distance(a, a) < 1e-8
    assert 0.0 <= frechet_distance(a, a.flip(0)) < 1e-8


@pytest.mark.acceptance("M1")
def test_is_symmetric_and_blind_to_rotations() -> None:
    a, b = _normal(90, 12, 3), _normal(70, 12, 4, shift=1.0)
    distance = frechet_distance(a, b)
    assert frechet_distance(b, a) == pytest.approx(distance, rel=1e-10)
    rotation = torch.linalg.qr(_normal(12, 12, 5)).Q
    assert frechet_distance(a @ rotation, b @ rotation) == pytest.approx(distance, rel=1e-10)


def test_shifted_and_scaled_sets_have_closed_forms() -> None:
    """A shift adds |s|^2; a factor f scales every standard deviation: (f - 1)^2 times the trace."""
    a = _normal(150, 8, 6)
    shift = torch.arange(8, dtype=torch.float64)
    assert frechet_distance(a, a + shift) == pytest.approx(float(shift.square().sum()), rel=1e-9)
    centred = a - a.mean(0)
    assert frechet_distance(centred, 3 * centred) == pytest.approx(4 * float(a.var(0).sum()), rel=1e-9)


@pytest.mark.acceptance("M1")
def test_diagonal_gaussians() -> None:
    """Uncorrelated samples with exactly known moments reach the closed form."""
    white = torch.linalg.qr(_normal(400, 6, 7) - _normal(400, 6, 7).mean(0)).Q * 399**0.5
    white = white - white.mean(0)
    means = torch.tensor([[0.0, 1, 2, 3, 4, 5], [1.0, 1, 0, 3, -4, 5]], dtype=torch.float64)
    sds = torch.tensor([[1.0, 2, 3, 1, 1, 0.5], [2.0, 2, 1, 0.1, 1, 0.5]], dtype=torch.float64)
    a, b = (mean + sd * white for mean, sd in zip(means, sds, strict=True))
    exact = diagonal_frechet_distance(means[0], sds[0] ** 2, means[1], sds[1] ** 2)
    assert exact == pytest.approx(1 + 4 + 64 + 1 + 4 + 0.81)
    assert frechet_distance(a, b) == pytest.approx(exact, rel=1e-6)


@pytest.mark.acceptance("M2")
@pytest.mark.parametrize(("d", "n"), [(16, 500), (64, 1000)])
def test_floor_of_white_features(d: int, n: int) -> None:
    """d (d + 5) / 2N within 5 %; the mean of a few repeats at a fixed seed."""
    generator = torch.Generator().manual_seed(8)
    repeats = 40 if d == 16 else 6
    found = [
        frechet_distance(*torch.randn(2, n, d, generator=generator, dtype=torch.float64).unbind())
        for _ in range(repeats)
    ]
    assert sum(found) / repeats == pytest.approx(white_floor(d, n), rel=0.05)


def test_floor_of_correlated_features() -> None:
    """Equals the white one for ones, ignores directions without variance, and is met by simulation."""
    ones = torch.ones(16, dtype=torch.float64)
    assert gaussian_floor(ones, 500) == pytest.approx(white_floor(16, 500)) == pytest.approx(16 * 21 / 1000)
    assert gaussian_floor(torch.cat([ones, torch.zeros(5)]), 500, 900) == pytest.approx(white_floor(16, 500, 900))
    sds = torch.logspace(-1, 1, 12, dtype=torch.float64)
    generator = torch.Generator().manual_seed(9)
    found = [
        frechet_distance(*(sds * torch.randn(2, 800, 12, generator=generator, dtype=torch.float64)).unbind())
        for _ in range(60)
    ]
    assert sum(found) / 60 == pytest.approx(gaussian_floor(sds**2, 800), rel=0.1)


def test_one_image_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="two images"):
        frechet_distance(torch.zeros(1, 3), torch.zeros(5, 3))


# ------------------------------------------------------------------------------------ with the Gabor features

N = 400


@pytest.fixture(scope="module")
def images() -> Tensor:
    """2 N different training patches in random order, uint8."""
    train = load("skimage-patches").train
    return train[torch.randperm(len(train), generator=torch.Generator().manual_seed(10))[: 2 * N]]


@pytest.fixture(scope="module")
def reference(images: Tensor) -> tuple[FeatureScale, Tensor, float]:
    """Unit of the features, the reference half, and what the other half scores."""
    features = gabor_features(images)
    scale = FeatureScale.fit(features[:N])
    return scale, scale(features[:N]), frechet_distance(scale(features[:N]), scale(features[N:]))


def _noisy(images: Tensor, sigma: float) -> Tensor:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(11))
    return to_uint8(as_unit(images) + sigma / 127.5 * noise)


def _blurred(images: Tensor, sigma: float) -> Tensor:
    offsets = torch.arange(-8.0, 9.0)
    taps = torch.exp(-offsets.square() / (2 * sigma**2))
    kernel = (torch.outer(taps, taps) / taps.sum() ** 2).expand(3, 1, -1, -1)
    padded = torch.nn.functional.pad(as_unit(images), (8,) * 4, mode="reflect")
    return to_uint8(torch.nn.functional.conv2d(padded, kernel, groups=3))


def _gaussian_texture(images: Tensor) -> Tensor:
    """A Gaussian with the images' own mean and covariance: random combinations of the centred images."""
    flat = as_unit(images).flatten(1)
    weights = torch.randn(N, len(flat), generator=torch.Generator().manual_seed(12)) / (len(flat) - 1) ** 0.5
    return to_uint8((flat.mean(0) + weights @ (flat - flat.mean(0))).reshape(N, 3, 32, 32))


@pytest.mark.acceptance("M4")
def test_known_degradations_are_ordered(images: Tensor, reference: tuple[FeatureScale, Tensor, float]) -> None:
    """Noise 2 < 5 < 10 < 25 < 50 and blur 0.5 < 1 < 2, all above the floor."""
    scale, real, floor = reference

    def distance(changed: Tensor) -> float:
        return frechet_distance(real, scale(gabor_features(changed)))

    noise = [distance(_noisy(images[N:], sigma)) for sigma in (2, 5, 10, 25, 50)]
    blur = [distance(_blurred(images[N:], sigma)) for sigma in (0.5, 1, 2)]
    assert [floor, *noise] == sorted([floor, *noise])
    assert [floor, *blur] == sorted([floor, *blur])


@pytest.mark.acceptance("M4")
def test_a_gaussian_with_the_right_covariance_is_seen(
    images: Tensor, reference: tuple[FeatureScale, Tensor, float]
) -> None:
    """More than ten times the floor, though mean and covariance of the pixels are right."""
    scale, real, floor = reference
    assert frechet_distance(real, scale(gabor_features(_gaussian_texture(images)))) > 10 * floor


@pytest.mark.acceptance("M4")
def test_few_images_repeated_are_seen(images: Tensor, reference: tuple[FeatureScale, Tensor, float]) -> None:
    """Ten images forty times score more than five times the floor, though each of them is real."""
    scale, real, floor = reference
    few = scale(gabor_features(images[N : N + 10])).repeat(40, 1)
    assert frechet_distance(real, few) > 5 * floor
