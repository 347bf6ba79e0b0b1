"""Scoring as the founding report did it, only often enough to see its spread: PSNR and SSIM on the [-1,1] scale."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ablate.core.replay.network import ReplayDenoiser
from ablate.core.scores.psnr_ssim import psnr_seed, ssim_seed
from ablate.core.shared.seeding import generator
from ablate.errors import DivergedError

Restore = Callable[[Tensor, torch.Generator], Tensor]
"""Clean images [N,3,H,W] in [-1,1] and the noise of this evaluation -> what the report scored against them."""


@dataclass(frozen=True)
class Scores:
    """Metrics, and what to know about them."""

    metrics: dict[str, float]
    notes: tuple[str, ...]


@torch.no_grad()
def denoise(denoiser: ReplayDenoiser, images: Tensor, noise: torch.Generator, steps: int) -> Tensor:
    """Apply the denoiser `steps` times, each time at a level drawn afresh for every image: the report's evaluation.

    It starts from the clean image. What is scored is therefore what the denoiser destroys, its own noise above all.
    """
    x = images
    for _ in range(steps):
        t = torch.randint(len(denoiser.table), (len(x),), generator=noise, device=x.device)
        x = denoiser(x, t, noise)
    return x


def score(restore: Restore, images: Tensor, first: Tensor, *, seed: int, draws: int, images_seen: int = 0) -> Scores:
    """Score `restore` on held-out `images` ([N,3,H,W] in [-1,1]) with `draws` evaluations each.

    `first` ([1,3,H,W]) is the first training image: one evaluation of it was all that the report did. Draws are
    addressed by the seed alone, so every arm meets the same noise. The spread over draws (`*_eval_sd`) is the standard
    deviation of a single evaluation of one image, averaged over images as variance. An infinite PSNR (nothing
    changed) is left out and noted. Raises DivergedError, with `images_seen`, when restored values are not finite.
    """
    noise = generator(seed, "replay-score", device=images.device.type)
    quality = [_both(restore(images, noise), images, images_seen) for _ in range(draws)]
    psnr, ssim = (torch.stack([pair[which] for pair in quality]) for which in (0, 1))  # [draws, images]
    metrics, notes = {}, []
    for name, values in (("psnr", psnr), ("ssim", ssim)):
        finite = values.isfinite()
        if bool(finite.all()):
            metrics[f"{name}_eval_sd"] = values.var(dim=0).mean().sqrt().item()
        else:
            notes.append(f"{name}: {int((~finite).sum())} of {values.numel()} evaluations are not finite and left out")
        metrics[name] = values[finite].mean().item()
    only = generator(seed, "replay-first-image", device=images.device.type)
    once = _both(restore(first, only), first, images_seen)
    metrics["psnr_first_image"], metrics["ssim_first_image"] = once[0].item(), once[1].item()
    return Scores({name: value for name, value in metrics.items() if math.isfinite(value)}, tuple(notes))


def _both(restored: Tensor, clean: Tensor, images_seen: int) -> tuple[Tensor, Tensor]:
    if not bool(restored.isfinite().all()):
        raise DivergedError("restored images are not finite", images_seen=images_seen)
    return psnr_seed(restored, clean), ssim_seed(restored, clean)
