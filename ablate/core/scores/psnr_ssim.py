"""PSNR and SSIM of restored images, one value per image, in stated conventions.

``psnr``/``ssim`` are what ablate reports: images clipped to the valid range and mapped to [0,1], data range 1.
``psnr_seed``/``ssim_seed`` are what the founding report happened to compute (data range 2 on [-1,1], not clipped) and
exist to test its claims. SSIM values of different conventions must never be compared. All agree with scikit-image to
1e-6; they are batched, computed in float64, and run where their inputs are.
"""

from __future__ import annotations

import torch
from torch import Tensor

CONVENTION_PSNR = "clip [0,1], data_range 1, mean of the images' values"
CONVENTION_SSIM = "clip [0,1], data_range 1, gaussian window sigma 1.5, population covariance, mean over channels"
CONVENTION_PSNR_SEED = "[-1,1] not clipped, data_range 2"
CONVENTION_SSIM_SEED = "[-1,1], data_range 2, 7x7 uniform window, sample covariance, mean over channels"

SSIM_TAPS = 11
K1, K2 = 0.01, 0.03  # Wang, Bovik, Sheikh, Simoncelli 2004


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Return 10 log10(1/MSE) in dB per image as float64 [N]; +inf for identical images.

    `a` and `b` are [N,3,H,W] in [-1,1]; both are clipped and mapped to [0,1] first. Average these values over images,
    never the mean squared errors.
    """
    return -10 * torch.log10(mse(a, b))


def mse(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean squared error on the [0,1] scale per image as float64 [N], clipped as for `psnr`."""
    return (_unit(a) - _unit(b)).square().mean((1, 2, 3))


def psnr_seed(a: Tensor, b: Tensor) -> Tensor:
    """Return 10 log10(4/MSE) in dB per image as float64 [N] of [-1,1] images as they are (range 2, no clipping)."""
    return 10 * torch.log10(4 / (a.double() - b.double()).square().mean((1, 2, 3)))


def ssim(a: Tensor, b: Tensor, taps: int = SSIM_TAPS) -> Tensor:
    """Return the structural similarity per image as float64 [N]; 1 for identical images.

    `a` and `b` are [N,C,H,W] in [-1,1], clipped and mapped to [0,1], data range 1, gaussian window with sigma 1.5,
    population covariance, borders left out, mean over channels. The window has `taps`, an odd number; ValueError for
    images smaller than that.
    """
    radius = taps // 2
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64, device=a.device)
    window = torch.exp(-0.5 * (offsets / 1.5).square())
    return _ssim(_unit(a), _unit(b), window / window.sum(), data_range=1.0, sample=False)


def ssim_taps(side: int) -> int:
    """Taps of the window for images of `side` pixels: 11, or the largest odd number that fits."""
    return min(SSIM_TAPS, side - 1 + side % 2)


def ssim_convention(side: int) -> str:
    """Return how `ssim` is computed for images of `side` pixels."""
    taps = ssim_taps(side)
    if taps == SSIM_TAPS:
        return CONVENTION_SSIM
    return f"{CONVENTION_SSIM}; {taps} taps, because {SSIM_TAPS} do not fit"


def ssim_seed(a: Tensor, b: Tensor) -> Tensor:
    """Return SSIM per image as float64 [N] the way scikit-image up to 0.19 did it for [-1,1] images by default.

    Data range 2, 7x7 uniform window, sample covariance, borders left out, no clipping.
    """
    window = torch.full((7,), 1 / 7, dtype=torch.float64, device=a.device)
    return _ssim(a.double(), b.double(), window, data_range=2.0, sample=True)


def _unit(images: Tensor) -> Tensor:
    return images.double().clamp(-1, 1).add(1).div(2)


def _ssim(a: Tensor, b: Tensor, window: Tensor, *, data_range: float, sample: bool) -> Tensor:
    """Mean of the SSIM map over channels and over all positions where the window lies inside the image."""
    if min(a.shape[-2:]) < len(window):
        raise ValueError(f"images of {a.shape[-2]}x{a.shape[-1]} pixels are smaller than the {len(window)}-tap window")
    mean_a, mean_b, aa, bb, ab = _blur(torch.stack([a, b, a * a, b * b, a * b]), window)
    pixels = len(window) ** 2
    unbiased = pixels / (pixels - 1) if sample else 1.0
    var_a, var_b = unbiased * (aa - mean_a**2), unbiased * (bb - mean_b**2)
    covariance = unbiased * (ab - mean_a * mean_b)
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (var_a + var_b + c2)
    similarity: Tensor = luminance * structure
    return similarity.mean((1, 2, 3))


def _blur(images: Tensor, window: Tensor) -> Tensor:
    """Filter [...,H,W] with the separable `window`, valid positions only: two products with banded matrices."""
    height, width = images.shape[-2:]
    return _band(height, window).T @ images @ _band(width, window)


def _band(side: int, window: Tensor) -> Tensor:
    """Return [side, side - len(window) + 1]: column j holds `window` from row j on."""
    taps = len(window)
    rows = torch.arange(taps, device=window.device)[:, None]
    columns = torch.arange(side - taps + 1, device=window.device)
    band = window.new_zeros(side, len(columns))
    band[rows + columns, columns] = window[:, None].expand(-1, len(columns))
    return band
