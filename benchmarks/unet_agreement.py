"""Whether ablate and the libraries of `unet_peers` compute the same numbers where their definitions agree.

Everything is given to both sides: weights, images, noise and steps. Numbers are those of the update and of the sampler
themselves, not of data loading.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ablate.core.diffusion.generation import from_noise
from ablate.core.diffusion.samplers import Noise
from ablate.core.dip.fit import Fitting
from benchmarks import unet_sides as sides

UPDATES = 20
DIP_ITERATIONS = 5
TOLERANCES = {"losses": 1e-5, "samples": 1e-4, "restored": 1e-6}
"""Of losses relative, of samples in [-1, 1] in float32, of images restored in float64 in [0, 1]."""
Agreement = tuple[str, bool]


def _said(what: str, apart: float, tolerance: float) -> Agreement:
    return f"{what}: {apart:.1e} apart at most (asked: {tolerance:g})", apart <= tolerance


def _no_noise(t: int) -> Tensor:
    raise AssertionError("DDIM with eta 0 draws nothing")


no_noise: Noise = _no_noise


def prepared() -> tuple[sides.Ablate, sides.Diffusers]:
    """Both programs with one set of weights and one optimiser (Adam, 1e-3, clipping, no warm-up)."""
    mine, theirs = sides.Ablate(warmup_steps=0, lr=1e-3), sides.Diffusers(plain_adam=True)
    sides.give_weights(mine.network, theirs.network)
    return mine, theirs


def diffusers_updates(mine: sides.Ablate, theirs: sides.Diffusers) -> Agreement:
    """Losses of updates with ablate's draws."""
    worst = 0.0
    for _ in range(UPDATES):
        x0, noise, t = mine.trainer.draw()
        mine.trainer.update()
        expected, found = theirs.step(x0, noise, t - 1), mine.trainer.settle()
        worst = max(worst, abs(found - expected) / expected)
    return _said(f"{UPDATES} losses with equal draws", worst, TOLERANCES["losses"])


def diffusers_samples(mine: sides.Ablate, theirs: sides.Diffusers) -> Agreement:
    """Samples of one trained network, from one noise."""
    sides.give_weights(mine.network, theirs.network)
    expected = theirs.sample(torch.Generator().manual_seed(0))
    start = torch.randn(sides.SAMPLES, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = from_noise(mine.trainer.denoiser, start, sides.HOW, no_noise)
    apart = float((found - expected).abs().max())
    return _said(f"{sides.STEPS}-step samples of one network", apart, TOLERANCES["samples"])


class _Borrowed(nn.Module):
    """ablate's network as GaussianDiffusion wants one."""

    channels = out_dim = 3
    self_condition = False

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor, condition: None = None) -> Tensor:
        """Steps `t` are 0..T-1."""
        output: Tensor = self.network(x, t + 1)
        return output


def lucidrains(mine: sides.Ablate) -> tuple[Agreement, Agreement]:
    """Losses and samples of their GaussianDiffusion around ablate's network: the networks themselves differ."""
    from denoising_diffusion_pytorch import GaussianDiffusion

    borrowed: Any = _Borrowed(mine.network)
    how = {"image_size": 32, "sampling_timesteps": sides.STEPS, "objective": "pred_noise", "beta_schedule": "linear"}
    theirs = GaussianDiffusion(borrowed, auto_normalize=False, **how)
    worst = 0.0
    for _ in range(UPDATES):
        x0, noise, t = mine.trainer.draw()
        expected = float(theirs.p_losses(x0, t - 1, noise).detach())
        mine.trainer.update()
        worst = max(worst, abs(mine.trainer.settle() - expected) / expected)
    torch.manual_seed(0)
    with contextlib.redirect_stderr(io.StringIO()):
        expected_samples = theirs.sample(batch_size=sides.SAMPLES)
    torch.manual_seed(0)
    start = torch.randn(sides.SAMPLES, 3, 32, 32)
    apart = float((from_noise(mine.trainer.denoiser, start, sides.HOW, no_noise) - expected_samples).abs().max())
    return (
        _said(f"{UPDATES} losses of one network with equal draws", worst, TOLERANCES["losses"]),
        _said(f"{sides.STEPS}-step samples of one network", apart, TOLERANCES["samples"]),
    )


def dip(folder: Path) -> Agreement:
    """Images restored after five iterations, in float64, from equal weights, code and noise."""
    images = sides.noisy_images()[:4].double()
    settings = replace(sides.DIP, steps=DIP_ITERATIONS)
    worst = 0.0
    for number, image in enumerate(images.split(1)):
        fit = Fitting(image, settings, 0, [number])
        other = sides.DipAuthors(folder, image)
        with torch.no_grad():
            for source, target in zip(fit.weights.values(), other.network.parameters(), strict=True):
                target.copy_(source[0])
        other.code = fit.code.clone()
        stream = torch.Generator()
        stream.set_state(fit.noise[0].get_state())
        other.draw = lambda other=other, stream=stream: other.drawn.normal_(generator=stream)
        other.run(DIP_ITERATIONS)
        list(fit.run())
        worst = max(worst, float((fit.stop.best - other.average).abs().max()))
    return _said("4 restored images in float64 with equal draws", worst, TOLERANCES["restored"])


def size_of(network: nn.Module) -> tuple[int, float]:
    """Parameters, and GFLOP of a forward and backward pass of one batch."""
    x, t = torch.zeros(sides.BATCH, 3, 32, 32), torch.ones(sides.BATCH, dtype=torch.int64)
    counter = FlopCounterMode(display=False)
    with counter:
        output = network(x, t)
        (output if isinstance(output, Tensor) else output.sample).sum().backward()
    return sum(weight.numel() for weight in network.parameters()), counter.get_total_flops() / 1e9


def sizes() -> dict[str, tuple[int, float]]:
    """`size_of` each side's network."""
    return {
        "ablate": size_of(sides.Ablate().network),
        "diffusers UNet2DModel": size_of(sides.diffusers_network()),
        "denoising-diffusion-pytorch, least attention": size_of(sides.lucidrains_network(attention=False)),
        "denoising-diffusion-pytorch, its default attention": size_of(sides.lucidrains_network(attention=True)),
    }
