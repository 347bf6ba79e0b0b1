"""PSNR and SSIM: the reference implementation, closed forms, and the founding report's convention beside ours."""

from __future__ import annotations

import math
from typing import Any

import pytest
import skimage.metrics
import torch
from torch import Tensor

from ablate.core.scores import psnr_ssim

reference: Any = skimage.metrics  # its functions carry no types


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    """Smooth images and noisy versions that leave [-1,1] in places; [5,3,32,32]."""
    generator = torch.Generator().manual_seed(4)
    grid = torch.linspace(-1, 1, 32)
    clean = torch.sin(3 * grid[:, None] + torch.arange(5.0)[:, None, None, None] + 2 * grid) * torch.ones(3, 1, 1)
    noisy = clean + 0.3 * torch.randn(clean.shape, generator=generator)
    assert bool((noisy.abs() > 1).any())
    return clean, noisy


def _last(images: Tensor) -> list[object]:
    return list(images.double().permute(0, 2, 3, 1).numpy())


def _unit(images: Tensor) -> Tensor:
    return (images.double().clamp(-1, 1) + 1) / 2


def test_psnr_agrees_with_scikit_image(pair: tuple[Tensor, Tensor]) -> None:
    """On clipped [0,1] images with range 1."""
    expected = [
        reference.peak_signal_noise_ratio(a, b, data_range=1)
        for a, b in zip(*(_last(_unit(images)) for images in pair), strict=True)
    ]
    assert psnr_ssim.psnr(*pair).tolist() == pytest.approx(expected, abs=1e-9)


def test_ssim_agrees_with_scikit_image(pair: tuple[Tensor, Tensor]) -> None:
    """Gaussian window sigma 1.5, population covariance, range 1."""
    expected = [
        reference.structural_similarity(
            a, b, data_range=1, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for a, b in zip(*(_last(_unit(images)) for images in pair), strict=True)
    ]
    assert psnr_ssim.ssim(*pair).tolist() == pytest.approx(expected, abs=1e-6)


def test_seed_metrics_agree_with_scikit_image(pair: tuple[Tensor, Tensor]) -> None:
    """On [-1,1] as it is, range 2, 7x7 uniform window, sample covariance."""
    images = list(zip(*(_last(images) for images in pair), strict=True))
    ssims = [reference.structural_similarity(a, b, data_range=2, channel_axis=2) for a, b in images]
    psnrs = [reference.peak_signal_noise_ratio(a, b, data_range=2) for a, b in images]
    assert psnr_ssim.ssim_seed(*pair).tolist() == pytest.approx(ssims, abs=1e-6)
    assert psnr_ssim.psnr_seed(*pair).tolist() == pytest.approx(psnrs, abs=1e-9)


@pytest.mark.acceptance("M6")
def test_identical_images() -> None:
    """PSNR is infinite (never a number to average), SSIM is 1."""
    image = torch.rand(2, 3, 16, 16) * 2 - 1
    assert psnr_ssim.psnr(image, image).tolist() == [math.inf, math.inf]
    assert psnr_ssim.ssim(image, image).tolist() == pytest.approx([1, 1], abs=1e-12)
    assert psnr_ssim.ssim_seed(image, image).tolist() == pytest.approx([1, 1], abs=1e-12)


@pytest.mark.acceptance("M5")
@pytest.mark.parametrize("shift", [0.02, 0.1, 0.5])
def test_psnr_of_a_constant_shift(shift: float) -> None:
    """A shift of s on [-1,1] is s/2 on [0,1]: 20 log10(2/s)."""
    a = torch.zeros(1, 3, 8, 8, dtype=torch.float64)
    assert psnr_ssim.psnr(a, a + shift).item() == pytest.approx(20 * math.log10(2 / shift), abs=1e-9)
    assert psnr_ssim.mse(a, a + shift).item() == pytest.approx(shift**2 / 4)


@pytest.mark.acceptance("M5")
def test_bright_images_lose_nothing() -> None:
    """An image whose values are all above 0 has the same PSNR as its negative: no range guessed from the data."""
    generator = torch.Generator().manual_seed(0)
    bright = torch.rand(3, 3, 32, 32, generator=generator) * 0.8 + 0.1
    noisy = (bright + 0.1 * torch.randn(bright.shape, generator=generator)).clamp(-1, 1)
    assert psnr_ssim.psnr(bright, noisy).tolist() == pytest.approx(psnr_ssim.psnr(-bright, -noisy).tolist())
    assert psnr_ssim.psnr_seed(bright, noisy).tolist() == pytest.approx(psnr_ssim.psnr(bright, noisy).tolist())


def test_values_outside_the_range_are_clipped_before_scoring() -> None:
    """An overshoot costs nothing in our convention, and something in the founding report's."""
    white = torch.ones(1, 3, 12, 12)
    assert psnr_ssim.psnr(white, white + 0.5).item() == math.inf
    assert math.isfinite(psnr_ssim.psnr_seed(white, white + 0.5).item())


@pytest.mark.acceptance("M5")
def test_each_image_is_scored_alone(pair: tuple[Tensor, Tensor]) -> None:
    """A value does not depend on the rest of the batch."""
    clean, noisy = pair
    alone = torch.cat([psnr_ssim.ssim(clean[i : i + 1], noisy[i : i + 1]) for i in range(len(clean))])
    assert psnr_ssim.ssim(clean, noisy).tolist() == pytest.approx(alone.tolist(), abs=1e-12)


def test_ssim_refuses_images_smaller_than_its_window() -> None:
    """No silent other window."""
    small = torch.zeros(1, 3, 10, 32)
    with pytest.raises(ValueError, match="smaller than the 11-tap window"):
        psnr_ssim.ssim(small, small)


@pytest.mark.parametrize("side", [7, 8, 10, 28])
def test_small_images_have_a_smaller_window_when_it_is_asked_for(side: int) -> None:
    """The largest odd window that fits; identical images still score 1, and the convention says so."""
    a = torch.rand(3, 1, side, side, generator=torch.Generator().manual_seed(side)) * 2 - 1
    taps = psnr_ssim.ssim_taps(side)
    assert taps == {7: 7, 8: 7, 10: 9, 28: 11}[side]
    assert psnr_ssim.ssim(a, a, taps).tolist() == pytest.approx([1.0] * 3)
    assert 0 < float(psnr_ssim.ssim(a, a + 0.3 * torch.sin(20 * a), taps).mean()) < 1
    assert (f"{taps} taps" in psnr_ssim.ssim_convention(side)) == (side < 11)
