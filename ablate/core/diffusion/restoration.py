"""Restoring held-out corrupted images: what is observed, where the reverse process starts, what comes out.

Three starts are compared. DDPM alone starts from the observation y itself when it is only noisy: y = x + s n and x_t =
sqrt(a) x + sqrt(1 - a) eps have the same noise where (1 - a) / a = s^2, so sqrt(a) y *is* a sample of x_t there. From
masked or shrunk images no such step exists: then it starts from pure noise, and sees the data by the consistency step
alone. DIP as prior diffuses the DIP's output to a step t0 and reverses from it (the truncated start of SDEdit and
CCDF). DIP alone does not diffuse at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ablate.core.data import ImageSet, as_unit
from ablate.core.diffusion.corruption import Operator, Whole, consistent_with, operator_of
from ablate.core.diffusion.denoiser import Denoiser
from ablate.core.diffusion.forward_process import add_noise
from ablate.core.diffusion.samplers import Reverse, reverse
from ablate.core.diffusion.validation import fixed_choice
from ablate.core.schedules import Schedule
from ablate.core.settings import DdpmDipSettings
from ablate.core.shared.seeding import generator


@dataclass(frozen=True)
class Observation:
    """Held-out images and what is observed of them, float32 [N,3,H,W].

    `noisy` is not clipped: its noise is Gaussian everywhere, as the forward process assumes.
    """

    clean: Tensor
    noisy: Tensor
    """The corrupted images at full size: what doing nothing gives."""
    noise_std: float
    """On the [-1, 1] scale: 2 sigma / 255."""
    measured: Tensor
    """What was measured: `noisy` itself, with missing pixels, or smaller."""
    operator: Operator

    def first(self, count: int) -> Observation:
        """The first `count` images."""
        first = slice(count)
        return Observation(
            self.clean[first], self.noisy[first], self.noise_std, self.measured[first], self.operator.part(first)
        )

    @property
    def only_noisy(self) -> bool:
        """True when nothing but noise stands between the observation and the image."""
        return isinstance(self.operator, Whole)


def observe(images: ImageSet, settings: DdpmDipSettings, seed: int, device: torch.device) -> Observation:
    """Return the held-out images of the study, corrupted by the trial's seed: the same in every arm.

    Further evaluations (`eval_seeds`) are the same images once more, each time with noise and masks of their own.
    """
    chosen = fixed_choice(len(images.test), settings.eval_images, "evaluation-images").to(images.test.device)
    clean = as_unit(images.test[chosen]).to(device)
    std = 2.0 * settings.noise_sigma / 255.0
    repeats = range(settings.eval_seeds)
    suffixes = ["", *(f"-{number}" for number in repeats[1:])]
    clean = clean.repeat(len(repeats), 1, 1, 1)
    streams = [generator(seed, f"evaluation-mask{suffix}", i) for suffix in suffixes for i in range(len(chosen))]
    operator = operator_of(settings.corruption, clean.shape, streams, settings.mask_fraction).to(device)
    measured = operator.measure(clean)
    one = (len(chosen), *measured.shape[1:])
    noise = torch.cat([addressed_noise(one, seed, f"evaluation-noise{suffix}") for suffix in suffixes]).to(device)
    measured = measured + std * noise
    return Observation(clean, operator.show(measured), std, measured, operator)


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
    if dip is None and not observed.only_noisy:
        start, x = schedule.steps, addressed_noise(shape, seed, "start-noise").to(device)
    elif dip is None:
        start = schedule.step_at(settings.noise_sigma)
        x = float(schedule.alpha_bars[start - 1]) ** 0.5 * observed.noisy
    else:
        start = start_step(settings, schedule)
        alpha_bar = torch.tensor([float(schedule.alpha_bars[start - 1])], dtype=torch.float64, device=device)
        x = add_noise(dip, addressed_noise(shape, seed, "start-noise").to(device), alpha_bar)
    consistent = consistent_with(observed.operator, observed.measured, observed.noise_std)
    return reverse(
        denoiser.predict,
        x,
        start=start,
        schedule=schedule,
        prediction=denoiser.prediction,
        settings=reverse_settings(settings),
        noise=lambda t: addressed_noise(shape, seed, f"sampler-noise-{t}").to(device),
        adjust=consistent if settings.data_consistency else None,
        through=denoiser.through,
    ).clamp(-1.0, 1.0)
