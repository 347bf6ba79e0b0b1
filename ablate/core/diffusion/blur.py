"""Gaussian blur, and the blur whose mean squared error is a given number: the control of every smoothed target."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ablate.errors import AblateError

LARGEST_SIGMA = 7.0
"""Pixels; at 32 pixels a wider kernel sees mostly reflections."""


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """Convolve images [N,C,H,W] with a Gaussian of `sigma` pixels, cut off at 4 sigma, edges reflected."""
    radius = min(math.ceil(4 * sigma), min(images.shape[-2:]) - 1)
    place = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (place / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(images.device, images.dtype)
    channels = images.shape[1]
    padded = F.pad(images, (radius,) * 4, mode="reflect")
    rows = F.conv2d(padded, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(rows, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)


def matched_sigma(images: Tensor, error: float, *, tolerance: float = 1e-3) -> float:
    """Return the sigma whose blur of `images` has the mean squared error `error`, to the relative `tolerance`.

    The error rises with sigma, so bisection finds it. Raises AblateError when no blur up to 7 pixels is that bad.
    """

    def error_of(sigma: float) -> float:
        return float((gaussian_blur(images, sigma) - images).double().square().mean())

    low, high = 0.0, LARGEST_SIGMA
    if error_of(high) < error:
        raise AblateError(
            f"the DIP's outputs differ more from the training images (mean squared error {error:.3g}) than a blur of "
            f"{LARGEST_SIGMA:g} pixels",
            hint="raise dip_steps: so few iterations give no image yet",
        )
    while high - low > 1e-4:
        middle = (low + high) / 2
        found = error_of(middle)
        if abs(found / error - 1) < tolerance:
            return middle
        low, high = (middle, high) if found < error else (low, middle)
    return (low + high) / 2
