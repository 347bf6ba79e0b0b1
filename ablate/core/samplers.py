"""Reverse processes as one function: ancestral sampling, DDIM and Heun's method, from any start step, on any grid.

All walk down a grid of steps and share everything but the move: estimate x_0, clip it, make it consistent with the
data, move. In x_t / sqrt(a) = x_0 + s eps with s = sqrt((1 - a) / a), DDIM with eta = 0 is Euler's method for
dx/ds = (x - x_0) / s, and Heun's method (Karras et al. 2022, algorithm 1 without churn) averages that slope with the
one found where Euler's step ends. Coefficients are float64 Python numbers.
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

Sampler = Literal["ddim", "ancestral", "heun"]
Grid = Literal["linspace", "karras", "log-snr"]
KARRAS_RHO = 7.0
"""rho of the grid of Karras et al. 2022, eq. 5."""

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(x_t [N,...], t int64 [N]) -> the network's prediction [N,...]."""
Adjust = Callable[[Tensor, float], Tensor]
"""(estimate of x_0, alpha-bar of the current step) -> a better estimate, for example one consistent with the data."""
Noise = Callable[[int], Tensor]
"""t -> standard normal noise of the images' shape, addressed by the step it is added at."""
Estimate = Callable[[Tensor, int], Tensor]
"""(x_t, t) -> estimate of x_0, clipped and adjusted."""


@dataclass(frozen=True)
class Reverse:
    """How the reverse process is run."""

    sampler: Sampler = "ddim"
    steps: int = 50
    """Network evaluations, at most."""
    eta: float = 0.0
    variance: Literal["large", "small"] = "large"
    clip: bool = True
    """Clip estimates of x_0 to [-1, 1]: right for images, wrong for unbounded toy data."""
    grid: Grid = "linspace"


def time_grid(start: int, steps: int) -> list[int]:
    """Return the grid named ``linspace``: at most `steps` different steps, evenly spread from `start` down to 1.

    A single step stands at `start`.
    """
    if steps == 1:
        return [start]
    return [int(t) + 1 for t in np.unique(np.round(np.linspace(0, start - 1, steps)))[::-1]]


def grid_of(settings: Reverse, start: int, schedule: Schedule) -> list[int]:
    """Return the steps at which the network is asked, falling from `start`, under the grid and sampler of `settings`.

    Besides ``linspace`` in t: ``log-snr``, even in log-SNR, which is the same noise levels under every schedule; and
    ``karras``, even in s^(1/7) (Karras et al. 2022, eq. 5). Both are rounded to the nearest steps of the schedule. Heun
    asks twice per point except at the last, so it has half as many points.
    """
    points = (settings.steps + 1) // 2 if settings.sampler == "heun" else settings.steps
    if settings.grid == "linspace" or points == 1 or start == 1:
        return time_grid(start, points)
    levels = schedule.log_snr[:start]
    finite = levels[np.isfinite(levels)]  # the last one is -inf where alpha-bar ends at 0
    if settings.grid == "log-snr":
        wanted = np.linspace(finite[-1], finite[0], points)
    else:
        first, last = (np.exp(-level / 2) ** (1 / KARRAS_RHO) for level in (finite[-1], finite[0]))
        wanted = -2 * KARRAS_RHO * np.log(np.linspace(first, last, points))
    nearest = {int(np.argmin(np.abs(levels - level))) + 1 for level in wanted[1:]}
    return sorted(nearest | {start}, reverse=True)


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

    def estimate(x: Tensor, t: int) -> Tensor:
        here = float(schedule.alpha_bars[t - 1])
        output = denoise(x, torch.full((len(x),), t, dtype=torch.int64, device=x.device))
        x0 = x0_from(prediction, output, x, _as_tensor(here, x))
        if settings.clip:
            x0 = x0.clamp(-1.0, 1.0)
        return x0 if adjust is None else adjust(x0, here)

    grid = grid_of(settings, start, schedule)
    for t, t_next in zip(grid, [*grid[1:], 0], strict=True):
        here = float(schedule.alpha_bars[t - 1])
        before = float(schedule.alpha_bars[t_next - 1]) if t_next else 1.0
        x0 = estimate(x, t)
        if settings.sampler == "heun":
            x, spread = _heun(estimate, x0, x, here, before, t_next), 0.0
        elif settings.sampler == "ancestral":
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


def _heun(estimate: Estimate, x0: Tensor, x: Tensor, here: float, before: float, t_next: int) -> Tensor:
    """Karras et al. 2022, algorithm 1, lines 7 to 11: Euler's step, corrected by the slope where it ends.

    The last step, to s = 0, is Euler's alone; so is one from s = infinity (alpha-bar 0), where no slope is finite.
    """
    euler, _ = _ddim(x0, x, here, before, 0.0)
    if before == 1.0 or here == 0.0:
        return euler
    s_here, s_before = (((1.0 - a) / a) ** 0.5 for a in (here, before))
    scaled, end = x / here**0.5, euler / before**0.5
    slopes = (scaled - x0) / s_here + (end - estimate(euler, t_next)) / s_before
    corrected: Tensor = before**0.5 * (scaled + (s_before - s_here) / 2 * slopes)
    return corrected


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
