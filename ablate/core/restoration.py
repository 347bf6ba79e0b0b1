"""Restoring held-out noisy images: what is observed, where the reverse process starts, what comes out.

Three starts are compared. DDPM alone starts from the observation y itself: y = x + s n and x_t = sqrt(a) x +
sqrt(1 - a) eps have the same noise where (1 - a) / a = s^2, so sqrt(a) y *is* a sample of x_t there. DIP as prior
diffuses the DIP's output to a step t0 and reverses from it (the truncated start of SDEdit and CCDF). DIP alone does
not diffuse at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ablate.core.data import ImageSet, as_unit
from ablate.core.denoiser import Denoiser
from ablate.core.diffusion import add_noise
from ablate.core.samplers import Reverse, consistent_with, reverse
from ablate.core.schedules import Schedule
from ablate.core.seeding import generator
from ablate.core.settings import DdpmDipSettings
from ablate.core.validation import fixed_choice


@dataclass(frozen=True)
class Observation:
    """Held-out images and what is observed of them, float32 [N,3,H,W].

    `noisy` is not clipped: its noise is Gaussian everywhere, as the forward process assumes.
    """

    clean: Tensor
    noisy: Tensor
    noise_std: float
    """On the [-1, 1] scale: 2 sigma / 255."""

    def first(self, count: int) -> Observation:
        """The first `count` images."""
        return Observation(self.clean[:count], self.noisy[:count], self.noise_std)


def observe(images: ImageSet, settings: DdpmDipSettings, seed: int, device: torch.device) -> Observation:
    """Return the held-out images of the study with the noise of the trial's seed: the same in every arm."""
    chosen = fixed_choice(len(images.test), settings.eval_images, "evaluation-images").to(images.test.device)
    clean = as_unit(images.test[chosen])
    std = 2.0 * settings.noise_sigma / 255.0
    noise = addressed_noise(clean.shape, seed, "evaluation-noise").to(device)
    clean = clean.to(device)
    return Observation(clean, clean + std * noise, std)


def addressed_noise(shape: Sequence[int], seed: int, purpose: str, *, first: int = 0) -> Tensor:
    """Standard normal noise on the CPU, every image from a stream of its own, whatever their number.

    Image i of the result has the stream of position `first` + i.
    """
    streams = (generator(seed, purpose, first + i) for i in range(shape[0]))
    return torch.stack([torch.randn(tuple(shape[1:]), generator=stream) for stream in streams])


def start_step(settings: DdpmDipSettings, schedule: Schedule) -> int:
    """Return t0, the step to which a DIP output is diffused: `start_fraction` of T, or the noise `start_sigma`."""
    if settings.start_fraction is not None:
        return max(1, round(settings.start_fraction * schedule.steps))
    return schedule.step_at(settings.start_sigma)


def reverse_settings(settings: DdpmDipSettings) -> Reverse:
    """The sampler the settings name."""
    return Reverse(settings.sampler, settings.sample_steps, settings.eta, settings.variance, grid=settings.sample_grid)


def one_step(denoiser: Denoiser, observed: Observation, sigma: float) -> Tensor:
    """Estimate x_0 by one network evaluation on the observation, at the step of its own noise (1 NFE)."""
    t = denoiser.schedule.step_at(sigma)
    steps = torch.full((len(observed.noisy),), t, dtype=torch.int64, device=observed.noisy.device)
    signal = denoiser.alpha_bar(steps[:1]).sqrt().to(observed.noisy.dtype)
    return denoiser.x0(signal * observed.noisy, steps)


def restore(
    denoiser: Denoiser, observed: Observation, settings: DdpmDipSettings, seed: int, dip: Tensor | None
) -> Tensor:
    """Restore the observed images, [N,3,H,W] in [-1,1]: from the observation, or from `dip` (DIP outputs in [-1,1])."""
    schedule, device = denoiser.schedule, observed.noisy.device
    shape = observed.noisy.shape
    if dip is None:
        start = schedule.step_at(settings.noise_sigma)
        x = float(schedule.alpha_bars[start - 1]) ** 0.5 * observed.noisy
    else:
        start = start_step(settings, schedule)
        alpha_bar = torch.tensor([float(schedule.alpha_bars[start - 1])], dtype=torch.float64, device=device)
        x = add_noise(dip, addressed_noise(shape, seed, "start-noise").to(device), alpha_bar)
    return reverse(
        denoiser,
        x,
        start=start,
        schedule=schedule,
        prediction=denoiser.prediction,
        settings=reverse_settings(settings),
        noise=lambda t: addressed_noise(shape, seed, f"sampler-noise-{t}").to(device),
        adjust=consistent_with(observed.noisy, observed.noise_std) if settings.data_consistency else None,
    ).clamp(-1.0, 1.0)
