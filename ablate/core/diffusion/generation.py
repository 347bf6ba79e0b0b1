"""Images from pure noise: which noise, in which portions, and the reverse process from step T.

Noise is common to all arms of a study: it depends on the trial's seed, the evaluation and the image's position only,
so that image i of one arm can be laid beside image i of another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ablate.core.diffusion.denoiser import Denoiser
from ablate.core.diffusion.restoration import addressed_noise
from ablate.core.diffusion.samplers import Noise, Reverse, reverse
from ablate.core.shared.seeding import generator

PURPOSE = "generation-noise"

FromNoise = Callable[[Tensor, Noise], Tensor]
"""(standard normal [N,3,H,W], noise that the sampler adds) -> images [N,3,H,W] in [-1,1]."""


def images_at_once(device: torch.device) -> int:
    """Images per batch of the reverse process; part of the numbers, since step noise is drawn batch by batch."""
    return 64 if device.type == "cpu" else 512


def purpose_of(evaluation: int) -> str:
    """Name of the noise of an evaluation; the first one's is the one that pictures are made from."""
    return PURPOSE if evaluation == 0 else f"{PURPOSE}-{evaluation}"


def start_noise(
    count: int, image: Sequence[int], seed: int, device: torch.device, *, evaluation: int = 0, first: int = 0
) -> Tensor:
    """Return the noise that images `first` to `first + count` of shape `image` [C,H,W] start from.

    float32 [count,C,H,W] on `device`.
    """
    shape = (count, *image)
    return addressed_noise(shape, seed, purpose_of(evaluation), first=first).to(device)


def generate(
    make: FromNoise, count: int, image: Sequence[int], seed: int, device: torch.device, *, evaluation: int = 0
) -> Iterator[Tensor]:
    """Yield `count` images [n,C,H,W] in [-1,1], batch by batch, each made by `make` from the study's common noise.

    `image` is the shape [C,H,W] of one.
    """
    size = images_at_once(device)
    for first in range(0, count, size):
        start = start_noise(min(size, count - first), image, seed, device, evaluation=evaluation, first=first)
        yield make(start, step_noise(start, seed, f"{purpose_of(evaluation)}-{first}"))


def step_noise(like: Tensor, seed: int, purpose: str) -> Noise:
    """Return what a stochastic sampler adds at step t: addressed by t, drawn on the images' device."""
    device = like.device

    def noise(t: int) -> Tensor:
        return torch.randn(like.shape, generator=generator(seed, purpose, t, device=str(device)), device=device)

    return noise


def from_noise(denoiser: Denoiser, start: Tensor, how: Reverse, noise: Noise) -> Tensor:
    """Run the reverse process from `start` [N,3,H,W], a sample of x_T, and return images in [-1,1]."""
    return from_step(denoiser, start, denoiser.schedule.steps, how, noise)


def from_step(denoiser: Denoiser, x: Tensor, step: int, how: Reverse, noise: Noise) -> Tensor:
    """Run the reverse process from `x` [N,3,H,W] at step `step`, and return images in [-1,1]."""
    return reverse(
        denoiser.predict,
        x,
        start=step,
        schedule=denoiser.schedule,
        prediction=denoiser.prediction,
        settings=how,
        noise=noise,
        through=denoiser.through,
    ).clamp(-1.0, 1.0)
