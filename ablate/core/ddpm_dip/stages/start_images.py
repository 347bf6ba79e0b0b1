"""Where a truncated reverse process starts when it generates: at step t0, from images that are not from nowhere.

ES-DDPM (Lyu et al. 2022) diffuses samples of another generator to t0 and reverses from there. The generators here: DIP
outputs of training images (a DIP knows one image, so this is SDEdit on training data), blurred training images, a
Gaussian with the training images' mean and covariance (no network at all: what every other start has to beat), and
pure noise, which is not the law of x_t0: the control that must fail.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import torch
from torch import Tensor

from ablate.core.data import as_unit
from ablate.core.ddpm_dip.stages.denoiser import wiener_of
from ablate.core.ddpm_dip.stages.dip import dip_of_training
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.diffusion.blur import gaussian_blur
from ablate.core.diffusion.forward_process import add_noise
from ablate.core.diffusion.training import choose_images

StartSource = Literal["dip", "blur", "gaussian", "noise"]


def start_at(run: Run, source: StartSource, normal: Tensor, alpha_bar: float) -> Tensor:
    """Return x_t0 [N,3,H,W] = sqrt(a) g + sqrt(1 - a) `normal`, g drawn from `source`; just `normal` for ``noise``.

    Which g belongs to image i is decided by ``normal[i]`` itself, so it is the same in every arm and batch.
    """
    if source == "noise":
        return normal
    drawn = gaussian_samples(run, normal) if source == "gaussian" else _of_training(run, source, normal)
    return add_noise(drawn, normal, torch.tensor([alpha_bar], dtype=torch.float64, device=normal.device))


def gaussian_samples(run: Run, normal: Tensor) -> Tensor:
    """Samples m + V sqrt(lambda) z of the Gaussian model of the training images, z addressed by ``normal[i]``."""
    model, _ = wiener_of(run)
    own = [torch.randn(model.mean.shape, generator=stream) for stream in _streams(normal)]
    coordinates = torch.stack(own).to(normal.device) * model.values.sqrt()
    return (model.mean + coordinates @ model.vectors.T).reshape(normal.shape)


def _of_training(run: Run, source: StartSource, normal: Tensor) -> Tensor:
    if source == "dip":
        images = dip_of_training(run)
    else:
        images = as_unit(choose_images(run.images.train, run.settings, run.seed))
    picked = torch.cat([torch.randint(len(images), (1,), generator=stream) for stream in _streams(normal)])
    chosen = images[picked.to(images.device)]
    return gaussian_blur(chosen, run.settings.blur_sigma) if source == "blur" else chosen


def _streams(normal: Tensor) -> list[torch.Generator]:
    """One stream per image, addressed by the bytes of its noise."""
    raw = normal.detach().float().cpu().contiguous().numpy()
    digests = [hashlib.sha256(image.tobytes()).digest() for image in raw]
    return [torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1) for digest in digests]
