"""Reverse processes: ancestral sampling (Ho et al. 2020) and DDIM (Song, Meng and Ermon 2021), from any start step.

Both walk down a strided grid of steps and share everything but the last line: estimate x_0, clip it, recompute the
noise that goes with the clipped estimate, move. Coefficients are float64 Python numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ablate.core.diffusion import Prediction, epsilon_from, posterior_between, x0_from
from ablate.core.schedules import Schedule

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(x_t [N,...], t int64 [N]) -> the network's prediction [N,...]."""
Adjust = Callable[[Tensor, float], Tensor]
"""(estimate of x_0, alpha-bar of the current step) -> a better estimate, for example one consistent with the data."""
Noise = Callable[[int], Tensor]
"""t -> standard normal noise of the images' shape, addressed by the step it is added at."""


@dataclass(frozen=True)
class Reverse:
    """How the reverse process is run."""

    sampler: Literal["ddim", "ancestral"] = "ddim"
    steps: int = 50
    eta: float = 0.0
    variance: Literal["large", "small"] = "large"
    clip: bool = True
    """Clip estimates of x_0 to [-1, 1]: right for images, wrong for unbounded toy data."""


def time_grid(start: int, steps: int) -> list[int]:
    """Return the grid named ``linspace``: at most `steps` different steps, evenly spread from `start` down to 1.

    A single step stands at `start`.
    """
    if steps == 1:
        return [start]
    return [int(t) + 1 for t in np.unique(np.round(np.linspace(0, start - 1, steps)))[::-1]]


@torch.no_grad()
def reverse(
    denoise: Denoiser,
    x: Tensor,
    *,
    start: int,
    schedule: Schedule,
    prediction: Prediction,
    settings: Reverse,
    noise: Noise,
    adjust: Adjust | None = None,
) -> Tensor:
    """Run the reverse process from x_start = `x` [N,...] and return the sample of x_0. No noise is added at the end."""
    grid = time_grid(start, settings.steps)
    alpha_bars = [float(schedule.alpha_bars[t - 1]) for t in grid]
    for t, here, before in zip(grid, alpha_bars, [*alpha_bars[1:], 1.0], strict=True):
        output = denoise(x, torch.full((len(x),), t, dtype=torch.int64, device=x.device))
        x0 = x0_from(prediction, output, x, _as_tensor(here, x))
        if settings.clip:
            x0 = x0.clamp(-1.0, 1.0)
        if adjust is not None:
            x0 = adjust(x0, here)
        if settings.sampler == "ancestral":
            x, spread = _ancestral(x0, x, here, before, settings.variance)
        else:
            x, spread = _ddim(x0, x, here, before, settings.eta)
        if spread > 0.0:
            x = x + spread * noise(t)
    return x


def _as_tensor(value: float, like: Tensor) -> Tensor:
    return torch.tensor([value], dtype=torch.float64, device=like.device)


def _ancestral(x0: Tensor, x: Tensor, here: float, before: float, variance: str) -> tuple[Tensor, float]:
    """Posterior mean and noise of Ho et al. 2020, section 3.2, with beta' of the stride; none at the last step."""
    mean, small = posterior_between(x0, x, here, before)
    large = 0.0 if before == 1.0 else 1.0 - here / before
    return mean, (large if variance == "large" else small) ** 0.5


def _ddim(x0: Tensor, x: Tensor, here: float, before: float, eta: float) -> tuple[Tensor, float]:
    """Song, Meng and Ermon 2021, eqs. 12 and 16; the noise is recomputed from the (clipped, adjusted) x_0."""
    variance = eta**2 * (1.0 - before) / (1.0 - here) * (1.0 - here / before)
    epsilon = epsilon_from("x0", x0, x, _as_tensor(here, x))
    return before**0.5 * x0 + max(1.0 - before - variance, 0.0) ** 0.5 * epsilon, variance**0.5


def consistent_with(noisy: Tensor, noise_std: float) -> Adjust:
    """Return the data-consistency step of DiffPIR (Zhu et al. 2023, eq. 13) for pure denoising, with lambda = 1.

    argmin_x ||x - y||^2 + rho ||x - x_0||^2 with rho = s^2 a / (1 - a): x = (y + rho x_0) / (1 + rho). The measurement
    counts as much as the network's estimate where the process is as noisy as the measurement, and less below.

    `noisy` [N,C,H,W] and its noise `noise_std` are on the [-1, 1] scale.
    """

    def adjust(x0: Tensor, alpha_bar: float) -> Tensor:
        rho = noise_std**2 * alpha_bar / (1.0 - alpha_bar)
        return (noisy + rho * x0) / (1.0 + rho)

    return adjust
