"""Loss of a denoiser on fixed (x_0, t, eps) triples, beside what the best linear denoiser reaches on the same.

Mean losses of different noise schedules weigh noise levels differently and are not comparable. So the loss is also
taken at fixed noise levels, where every schedule stands at (nearly) the same log-SNR.

The bar is the Wiener filter: for x_0 ~ N(m, C) with the mean and covariance of the training images,
E[x_0 | x_t] = m + sqrt(a) C (a C + (1 - a) I)^-1 (x_t - sqrt(a) m). A network below it has learnt more than
second-order statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ablate.core.denoiser import Denoiser
from ablate.core.diffusion import add_noise
from ablate.core.schedules import Schedule
from ablate.core.seeding import generator

EVALUATION_SEED = 20_200_619
"""Fixes what every trial of every study is measured on: which images, which steps, which noise."""
IMAGES = 64
MEAN_STEPS = 10
_CHUNK = 64

Epsilon = Callable[[Tensor, Tensor], Tensor]
"""(x_t [N,3,H,W], t int64 [N]) -> estimate of the noise."""


@dataclass(frozen=True)
class Wiener:
    """Mean [D] and eigen-decomposition of the covariance of flattened images: eigenvalues [D], vectors [D,D]."""

    mean: Tensor
    values: Tensor
    vectors: Tensor

    @classmethod
    def fit(cls, images: Tensor, chunk: int = 4096) -> Wiener:
        """Fit to float images [N,3,H,W] given as a tensor of any layout; covariance with N - 1."""
        flat = images.flatten(1)
        mean = flat.mean(0)
        covariance = torch.zeros(flat.shape[1], flat.shape[1], dtype=flat.dtype, device=flat.device)
        for first in range(0, len(flat), chunk):
            centred = flat[first : first + chunk] - mean
            covariance += centred.T @ centred
        values, vectors = torch.linalg.eigh(covariance / (len(flat) - 1))
        return cls(mean, values.clamp(min=0.0), vectors)

    def epsilon(self, xt: Tensor, alpha_bar: float) -> Tensor:
        """Best linear estimate of the noise in x_t [N,3,H,W].

        With z = V^T (x_t - sqrt(a) m), E[eps | x_t] = sqrt(1 - a) V (z / (a lambda + 1 - a)).
        """
        shifted = xt.flatten(1) - alpha_bar**0.5 * self.mean
        scaled = (shifted @ self.vectors) / (alpha_bar * self.values + 1.0 - alpha_bar)
        estimate: Tensor = (1.0 - alpha_bar) ** 0.5 * (scaled @ self.vectors.T)
        return estimate.reshape(xt.shape)

    def state(self) -> dict[str, Any]:
        """Plain tensors for the stage cache."""
        return {"mean": self.mean, "values": self.values, "vectors": self.vectors}


def fixed_choice(count: int, wanted: int, purpose: str) -> Tensor:
    """Return `wanted` (or all) of `count` positions, int64, the same in every trial of every study."""
    return torch.randperm(count, generator=generator(EVALUATION_SEED, purpose))[:wanted]


def mean_loss_steps(total: int) -> list[int]:
    """Steps spread evenly over 1..`total`: the middles of `MEAN_STEPS` equal parts."""
    return sorted({int((part + 0.5) * total / MEAN_STEPS) + 1 for part in range(MEAN_STEPS)})


def epsilon_error(epsilon: Epsilon, images: Tensor, t: int, schedule: Schedule) -> float:
    """Mean squared error per pixel of the estimated noise at step `t`, over fixed noise on `images`."""
    alpha_bar = torch.tensor([float(schedule.alpha_bars[t - 1])], dtype=torch.float64, device=images.device)
    # The noise depends on the image alone: every step and schedule meets the same directions.
    noise = torch.randn(images.shape, generator=generator(EVALUATION_SEED, "validation-noise")).to(images.device)
    total = 0.0
    for first in range(0, len(images), _CHUNK):
        x0, eps = images[first : first + _CHUNK], noise[first : first + _CHUNK]
        xt = add_noise(x0, eps, alpha_bar)
        estimate = epsilon(xt, torch.full((len(xt),), t, dtype=torch.int64, device=xt.device))
        total += float((estimate - eps).double().square().sum())
    return total / images.numel()


def validate(denoiser: Denoiser, wiener: Wiener, images: Tensor, sigmas: Sequence[int]) -> dict[str, float]:
    """Return every validation metric of `denoiser`, the same of the Wiener filter, and their ratios.

    `images` is float [N,3,H,W] in [-1,1]; `sigmas` are pixel noise levels on the 0..255 scale.
    """
    schedule = denoiser.schedule

    def linear(xt: Tensor, t: Tensor) -> Tensor:
        return wiener.epsilon(xt, float(schedule.alpha_bars[int(t[0]) - 1]))

    metrics: dict[str, float] = {}
    for prefix, epsilon in (("val_loss", denoiser.epsilon), ("wiener", linear)):
        steps = mean_loss_steps(schedule.steps)
        mean = sum(epsilon_error(epsilon, images, t, schedule) for t in steps) / len(steps)
        metrics["val_loss" if prefix == "val_loss" else "wiener_loss"] = mean
        for sigma in sigmas:
            metrics[f"{prefix}_s{sigma}"] = epsilon_error(epsilon, images, schedule.step_at(sigma), schedule)
        lowest = sorted(sigmas)[:2]
        metrics[f"{prefix}_low"] = sum(metrics[f"{prefix}_s{sigma}"] for sigma in lowest) / len(lowest)
    for level in (*(f"s{sigma}" for sigma in sigmas), "low"):
        metrics[f"val_ratio_{level}"] = metrics[f"val_loss_{level}"] / metrics[f"wiener_{level}"]
    return metrics
