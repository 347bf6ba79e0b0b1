"""How held-out images are corrupted, and what each corruption asks of a method: y = A x + s n.

An operator A measures an image, shows its measurement as an image of full size (the input, what doing nothing
scores), gives the loss a Deep Image Prior is fitted with (Ulyanov, Vedaldi and Lempitsky 2018, eqs. 3 to 5), and pulls
an estimate of x_0 towards the data (the proximal step of DiffPIR, Zhu et al. 2023, eq. 13, lambda = 1):

    argmin over x of ||y - A x||^2 + rho ||x - x_0||^2,    rho = s^2 a / (1 - a).

For the operators here it has a closed form, and with rho = 0 (no noise) it is the projection onto A x = y.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor
from torch.nn import functional

from ablate.core.diffusion.samplers import Adjust


class Operator(Protocol):
    """A for N images; images are [N,3,H,W] in [-1,1] (losses: in [0,1])."""

    def measure(self, images: Tensor) -> Tensor:
        """Return A x, without noise."""

    def show(self, measured: Tensor) -> Tensor:
        """Return a measurement as images of full size."""

    def losses(self, outputs: Tensor, measured: Tensor) -> Tensor:
        """Return the mean squared error [N] of A `outputs` over what was measured."""

    def pull(self, x0: Tensor, measured: Tensor, rho: Tensor) -> Tensor:
        """Return the minimiser of the module's formula; `rho` is float64 [] on the images' device."""

    def part(self, chosen: slice) -> Self:
        """The operator of some of the images."""

    def to(self, device: torch.device) -> Self:
        """The operator for images on `device`."""


@dataclass(frozen=True)
class Whole:
    """Every pixel is measured: A = I."""

    def measure(self, images: Tensor) -> Tensor:
        """Nothing is lost."""
        return images

    def show(self, measured: Tensor) -> Tensor:
        """The measurement is an image already."""
        return measured

    def losses(self, outputs: Tensor, measured: Tensor) -> Tensor:
        """Mean over all values."""
        return (outputs - measured).square().mean((1, 2, 3))

    def pull(self, x0: Tensor, measured: Tensor, rho: Tensor) -> Tensor:
        """(y + rho x_0) / (1 + rho)."""
        return (measured + rho * x0) / (1.0 + rho)

    def part(self, chosen: slice) -> Self:
        """The same for any images."""
        return self

    def to(self, device: torch.device) -> Self:
        """It holds no tensors."""
        return self


@dataclass(frozen=True)
class Masked:
    """Some pixels are missing, all three channels of each; measurements are 0 (mid-grey) there."""

    mask: Tensor
    """float32 [N,1,H,W]: 1 where a pixel is measured."""

    def measure(self, images: Tensor) -> Tensor:
        """Missing pixels become 0."""
        return images * self.mask

    def show(self, measured: Tensor) -> Tensor:
        """Missing pixels are grey, whatever noise was drawn for them."""
        return measured * self.mask

    def losses(self, outputs: Tensor, measured: Tensor) -> Tensor:
        """Mean over the values that are there."""
        squared = ((outputs - measured) * self.mask).square().sum((1, 2, 3))
        return squared / (outputs.shape[1] * self.mask.sum((1, 2, 3)))

    def pull(self, x0: Tensor, measured: Tensor, rho: Tensor) -> Tensor:
        """As without a mask where a pixel is measured; x_0 elsewhere."""
        return torch.where(self.mask > 0, (measured + rho * x0) / (1.0 + rho), x0)

    def part(self, chosen: slice) -> Self:
        """The masks of some images."""
        return type(self)(self.mask[chosen])

    def to(self, device: torch.device) -> Self:
        """With the masks there."""
        return type(self)(self.mask.to(device))


@dataclass(frozen=True)
class Shrunk:
    """A is the mean over blocks of `factor` x `factor` pixels, so that A A' = I / factor^2."""

    factor: int

    def measure(self, images: Tensor) -> Tensor:
        """[N,3,H,W] -> [N,3,H/factor,W/factor]."""
        count, channels, height, width = images.shape
        size, k = (count, channels), self.factor
        return images.reshape(*size, height // k, k, width // k, k).mean((3, 5))

    def show(self, measured: Tensor) -> Tensor:
        """Bicubic interpolation (Keys 1981), pixel centres kept in place.

        torch takes the usual a = -1/2, which keeps straight ramps straight, only when asked for antialiasing.
        """
        size = [side * self.factor for side in measured.shape[-2:]]
        return functional.interpolate(measured, size, mode="bicubic", align_corners=False, antialias=True)

    def losses(self, outputs: Tensor, measured: Tensor) -> Tensor:
        """Mean over the small image."""
        return (self.measure(outputs) - measured).square().mean((1, 2, 3))

    def pull(self, x0: Tensor, measured: Tensor, rho: Tensor) -> Tensor:
        """x_0 + A' (y - A x_0) / (1 / factor^2 + rho), by the matrix inversion lemma; A' spreads a value evenly."""
        missing = (measured - self.measure(x0)) / (1.0 + self.factor**2 * rho)
        return x0 + functional.interpolate(missing, scale_factor=self.factor, mode="nearest")

    def part(self, chosen: slice) -> Self:
        """The same for any images."""
        return self

    def to(self, device: torch.device) -> Self:
        """It holds no tensors."""
        return self


def operator_of(corruption: str, shape: Sequence[int], streams: Sequence[torch.Generator], missing: float) -> Operator:
    """Return the operator that a study calls `corruption` for images of `shape` [N,3,H,W].

    `missing` is the share of pixels that inpainting removes: exactly that many, rounded, drawn from each image's own
    stream.
    """
    if corruption == "noise":
        return Whole()
    if corruption == "inpainting":
        pixels = shape[2] * shape[3]
        masks = torch.ones(shape[0], pixels)
        for mask, stream in zip(masks, streams, strict=True):
            mask[torch.randperm(pixels, generator=stream)[: round(missing * pixels)]] = 0.0
        return Masked(masks.reshape(shape[0], 1, shape[2], shape[3]))
    return Shrunk({"super-resolution-2x": 2, "super-resolution-4x": 4}[corruption])


def consistent_with(operator: Operator, measured: Tensor, noise_std: float) -> Adjust:
    """Return the step that pulls an estimate of x_0 towards `measured`, whose noise is `noise_std` ([-1,1] scale).

    The measurement counts as much as the network's estimate where the process is as noisy as the measurement, and
    less below; without noise the estimate is made to agree with it.
    """

    def adjust(x0: Tensor, alpha_bar: Tensor) -> Tensor:
        return operator.pull(x0, measured, noise_std**2 * alpha_bar / (1.0 - alpha_bar))

    return adjust
