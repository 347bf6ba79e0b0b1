"""Loss of a denoiser on fixed (x_0, t, eps) triples, beside what the best linear denoiser reaches on the same.

Mean losses of different noise schedules weigh noise levels differently and are not comparable. So the loss is also
taken at fixed noise levels, where every schedule stands at (nearly) the same log-SNR.

The bar is the Wiener filter: for x_0 ~ N(m, C) with the mean and covariance of the training images,
E[x_0 | x_t] = m + sqrt(a) C (a C + (1 - a) I)^-1 (x_t - sqrt(a) m). A network below it has learnt more than
second-order statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ablate.core.diffusion.denoiser import Denoiser
from ablate.core.diffusion.forward_process import add_noise
from ablate.core.schedules import Schedule
from ablate.core.shared.seeding import generator

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

    def epsilon(self, xt: Tensor, alpha_bar: Tensor) -> Tensor:
        """Best linear estimate of the noise in x_t [N,3,H,W]; `alpha_bar` is float64 [].

        With z = V^T (x_t - sqrt(a) m), E[eps | x_t] = sqrt(1 - a) V (z / (a lambda + 1 - a)).
        """
        shifted = xt.flatten(1) - alpha_bar.sqrt() * self.mean
        scaled = (shifted @ self.vectors) / (alpha_bar * self.values + 1.0 - alpha_bar)
        estimate: Tensor = (1.0 - alpha_bar).sqrt() * (scaled @ self.vectors.T)
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


def epsilon_errors(epsilon: Epsilon, images: Tensor, steps: Sequence[int], schedule: Schedule) -> list[float]:
    """Mean squared error per pixel of the estimated noise at each of `steps`, over fixed noise on `images`.

    Waits for the device once.
    """
    # The noise depends on the image alone: every step and schedule meets the same directions.
    noise = torch.randn(images.shape, generator=generator(EVALUATION_SEED, "validation-noise")).to(images.device)
    table = torch.tensor([float(schedule.alpha_bars[t - 1]) for t in steps], dtype=torch.float64).to(images.device)
    at = torch.tensor(steps, dtype=torch.int64).to(images.device)
    sums = torch.zeros(len(steps), dtype=torch.float64, device=images.device)
    for first in range(0, len(images), _CHUNK):
        x0, eps = images[first : first + _CHUNK], noise[first : first + _CHUNK]
        for place in range(len(steps)):
            xt = add_noise(x0, eps, table[place])
            estimate = epsilon(xt, at[place].expand(len(xt)))
            sums[place] += (estimate - eps).double().square().sum()
    return [total / images.numel() for total in sums.tolist()]


MEAN, LOW = "mean", "low"
"""Levels besides the noise levels ``s15``, ``s25``, ...: steps spread over 1..T, and the two lowest noise levels."""
_NETWORK, _LINEAR = ("val_loss", "val_ratio"), ("wiener", "val_ratio")


def level_of(name: str) -> str | None:
    """Return the level that the validation metric `name` is taken at; None for any other metric."""
    if name in ("val_loss", "wiener_loss"):
        return MEAN
    prefix, _, level = name.rpartition("_")
    known = prefix in {*_NETWORK, *_LINEAR} and (level == LOW or (level[:1] == "s" and level[1:].isdecimal()))
    return level if known else None


def levels_needed(names: Iterable[str], sigmas: Sequence[int]) -> tuple[list[str], list[str]]:
    """Return the levels at which the network's error, and the linear filter's, have to be measured for `names`.

    Names of other metrics ask for nothing. Levels are `MEAN` and the noise levels, in one order whatever was asked.
    """
    order = [MEAN, *(f"s{sigma}" for sigma in sigmas)]
    network: set[str] = set()
    linear: set[str] = set()
    for name in names:
        level = level_of(name)
        parts = () if level is None else _parts(level, sigmas)
        if name.startswith(_NETWORK):
            network.update(parts)
        if name.startswith(_LINEAR):
            linear.update(parts)
    return [level for level in order if level in network], [level for level in order if level in linear]


def _parts(level: str, sigmas: Sequence[int]) -> tuple[str, ...]:
    return tuple(f"s{sigma}" for sigma in sorted(sigmas)[:2]) if level == LOW else (level,)


def level_errors(epsilon: Epsilon, images: Tensor, levels: Sequence[str], schedule: Schedule) -> dict[str, float]:
    """Return the error of `epsilon` at each of `levels`; each is the same whatever else is asked for.

    `images` is float [N,C,H,W] in [-1,1].
    """
    steps = {
        level: mean_loss_steps(schedule.steps) if level == MEAN else [schedule.step_at(int(level[1:]))]
        for level in levels
    }
    if not steps:
        return {}
    errors = iter(epsilon_errors(epsilon, images, [t for some in steps.values() for t in some], schedule))
    return {level: sum(next(errors) for _ in some) / len(some) for level, some in steps.items()}


def linear_epsilon(wiener: Wiener, denoiser: Denoiser) -> Epsilon:
    """The Wiener filter, asked at the steps of `denoiser`."""
    # t[0] as an index would wait for the device.
    return lambda xt, t: wiener.epsilon(xt, denoiser.alpha_bar(t[:1])[0])


def validation_metric(
    name: str, network: Mapping[str, float], linear: Mapping[str, float], sigmas: Sequence[int]
) -> float:
    """Return the validation metric `name` from the errors at the levels that `levels_needed` names for it."""
    level = level_of(name)
    assert level is not None

    def mean(errors: Mapping[str, float]) -> float:
        parts = _parts(level, sigmas)
        return sum(errors[part] for part in parts) / len(parts)

    if name.startswith("val_ratio"):
        return mean(network) / mean(linear)
    return mean(network if name.startswith("val_loss") else linear)


def validation_names(sigmas: Sequence[int]) -> list[str]:
    """Return the names of all validation metrics."""
    levels = [*(f"s{sigma}" for sigma in sigmas), LOW]
    return [
        "val_loss",
        "wiener_loss",
        *(f"{p}_{level}" for p in ("val_loss", "wiener", "val_ratio") for level in levels),
    ]


def validate(denoiser: Denoiser, wiener: Wiener, images: Tensor, sigmas: Sequence[int]) -> dict[str, float]:
    """Return every validation metric of `denoiser`, the same of the Wiener filter, and their ratios.

    `images` is float [N,C,H,W] in [-1,1]; `sigmas` are pixel noise levels on the 0..255 scale.
    """
    names = validation_names(sigmas)
    levels, _ = levels_needed(names, sigmas)
    network = level_errors(denoiser.epsilon, images, levels, denoiser.schedule)
    linear = level_errors(linear_epsilon(wiener, denoiser), images, levels, denoiser.schedule)
    return {name: validation_metric(name, network, linear, sigmas) for name in names}
