"""Quantities that other libraries call by the same name and compute otherwise, measured, as a Markdown table.

    pip install 'ablate[references]'
    python -m benchmarks.same_name          # seconds

Images: 64 held-out embedded photographs, with pixel noise 25 where two images are compared. Networks: the exact noise
prediction for data N(0.1, 0.25) per pixel, under the linear schedule with T = 1000.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import diffusers
import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from ablate.core.data import as_unit, load, to_uint8
from ablate.core.diffusion.samplers import Grid, Reverse, Sampler, reverse
from ablate.core.schedules import make_schedule
from ablate.core.scores.psnr_ssim import psnr, ssim

LINEAR = make_schedule("linear", 1000)
SHAPE = (64, 3, 16, 16)
Row = tuple[str, str, str, str]


def generator(seed: int) -> torch.Generator:
    """A fresh stream."""
    return torch.Generator().manual_seed(seed)


def exact(x: Tensor, t: int) -> Tensor:
    """E[eps | x_t] for data N(0.1, 0.25); `t` counts from 1."""
    a = float(LINEAR.alpha_bars[t - 1])
    return (1 - a) ** 0.5 * (x - 0.1 * a**0.5) / (0.25 * a + 1 - a)


def start() -> Tensor:
    """Noise of step 1000."""
    return torch.randn(SHAPE, dtype=torch.float64, generator=generator(0))


def theirs(kind: str, steps: int, gain: float = 1.0, **config: Any) -> Tensor:
    """What diffusers' scheduler makes of `start`, with `gain` times the exact prediction."""
    scheduler = getattr(diffusers, kind)(1000, **config)
    scheduler.set_timesteps(steps)
    x, draw = start(), generator(1)
    for t in scheduler.timesteps:
        x = scheduler.step(gain * exact(x, int(t) + 1), t, x, generator=draw).prev_sample
    return x


def ours(sampler: Sampler, steps: int, grid: Grid, *, clip: bool = True, gain: float = 1.0) -> Tensor:
    """The same by ablate."""
    draw = generator(1)
    return reverse(
        lambda x, t: gain * exact(x, int(t[0])),
        start(),
        start=1000,
        schedule=LINEAR,
        prediction="epsilon",
        settings=Reverse(sampler, steps, clip=clip, grid=grid),
        noise=lambda t: torch.randn(SHAPE, dtype=torch.float64, generator=draw),
    )


def distance(a: Tensor, b: Tensor) -> str:
    """Root mean square difference on the 0..255 scale."""
    return f"{127.5 * math.sqrt(float((a - b).square().mean())):.1f}"


def schedules() -> Iterator[Row]:
    """Schedules of one name."""
    mid = float(diffusers.DDPMScheduler(beta_schedule="sigmoid").alphas_cumprod[499])
    curve = make_schedule("sigmoid", 1000).alpha_bars[499]
    yield (
        "schedule `sigmoid`, ᾱ at T/2",
        "rescaled logistic ᾱ (Jabri et al. 2022)",
        f"{curve:.3f}",
        (f"diffusers: {mid:.3f}; β on a logistic curve, here `sigmoid-beta`"),
    )
    end = float(diffusers.DDPMScheduler(num_train_timesteps=200).alphas_cumprod[-1])
    yield (
        "schedule `linear`, ᾱ_T for T = 200",
        "β scaled by 1000/T",
        f"{make_schedule('linear', 200).alpha_bars[-1]:.1e}",
        (f"diffusers: {end:.3f}; β_T = 0.02 for every T"),
    )


def samplers() -> Iterator[Row]:
    """Samplers of one name: distances of samples from ours, in grey levels of 255."""
    for spacing, steps in (("linspace", 10), ("linspace", 50), ("trailing", 30)):
        grid: Grid = "trailing" if spacing == "trailing" else "linspace"
        other = theirs("DDIMScheduler", steps, clip_sample=False, timestep_spacing=spacing)
        mine = ours("ddim", steps, grid, clip=False)
        yield (
            f"DDIM, `{spacing}`, {steps} of 1000 steps: variance of samples",
            "moves to the next step of the grid",
            (f"{float(mine.var()):.3f}"),
            (
                f"diffusers: {float(other.var()):.3f}, {distance(other, mine)} grey levels away; moves by T // steps, "
                "which is another step where T / steps is not whole or the grid is `linspace`"
            ),
        )
    other = theirs("DDIMScheduler", 50, 0.8, timestep_spacing="trailing")
    mine = ours("ddim", 50, "trailing", gain=0.8)
    yield (
        "DDIM with clipped x̂₀ (a network that predicts 0.8 of the noise)",
        "ε̂ recomputed from the clipped x̂₀",
        "",
        (f"diffusers: {distance(other, mine)} grey levels away; ε̂ as predicted unless `use_clipped_model_output`"),
    )
    other = theirs("DDPMScheduler", 10, timestep_spacing="trailing", variance_type="fixed_large")
    mine = ours("ancestral", 10, "trailing")
    yield (
        "ancestral, large variance, 10 `trailing` steps",
        "no noise at the last step",
        "",
        (f"diffusers: {distance(other, mine)} grey levels away: noise is left in the image, added wherever t > 0"),
    )


def scores() -> Iterator[Row]:
    """Scores of one name, of 64 noisy photographs."""
    patches = load("skimage-patches").test
    clean = as_unit(patches[:: len(patches) // 64][:64]).double()
    noisy = as_unit(to_uint8(clean + 25 / 127.5 * torch.randn(clean.shape, generator=generator(2)))).double()
    unit_clean, unit_noisy = (clean + 1) / 2, (noisy + 1) / 2
    mine = float(ssim(noisy, clean).mean())
    other = float(structural_similarity_index_measure(unit_noisy, unit_clean, data_range=1.0))
    yield (
        "SSIM, Gaussian window",
        "borders left out",
        f"{mine:.4f}",
        (f"torchmetrics: {other:.4f}; borders mirrored and counted, and `kernel_size` has no effect on the Gaussian"),
    )
    default = np.mean(
        [
            structural_similarity(a.numpy(), b.numpy(), channel_axis=0, data_range=1.0)
            for a, b in zip(unit_noisy, unit_clean, strict=True)
        ]
    )
    yield (
        "SSIM, default arguments",
        "σ = 1.5, population covariance",
        f"{mine:.4f}",
        (f"scikit-image: {default:.4f}; 7x7 uniform window, sample covariance"),
    )
    levels = torch.linspace(5, 60, 64, dtype=torch.float64)[:, None, None, None]
    uneven = (clean + levels / 127.5 * torch.randn(clean.shape, generator=generator(3), dtype=torch.float64)).clamp(
        -1, 1
    )
    whole = float(peak_signal_noise_ratio((uneven + 1) / 2, unit_clean, data_range=1.0))
    yield (
        "PSNR of a set, noise 5 to 60",
        "mean of the images' values",
        f"{float(psnr(uneven, clean).mean()):.2f} dB",
        (f"torchmetrics: {whole:.2f} dB; of the mean squared error of all images"),
    )


def main() -> None:
    """Print the table."""
    print("| name | ablate | value | elsewhere |\n|---|---|---|---|")
    for row in (*schedules(), *samplers(), *scores()):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
