"""Methods without a network: the Gaussian model, NL-means and total variation. What any network has to beat."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle
from torch import Tensor

from ablate.core.ddpm_dip.methods.base import Curve, Models
from ablate.core.ddpm_dip.stages.denoiser import wiener_of
from ablate.core.ddpm_dip.stages.start_images import gaussian_samples
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.diffusion.restoration import Observation
from ablate.core.diffusion.samplers import Noise, Reverse

NL_MEANS_STRENGTH = 0.8
"""h of NL-means, in standard deviations of the noise (scikit-image's advice for its fast version)."""
TV_WEIGHT = 1.0
"""Weight of Chambolle's total variation, in standard deviations of the noise on [0, 1]."""


Pixels = NDArray[np.float64]


class _Unlearned:
    def prepare(self, run: Run, curve: Curve) -> Models:
        """There is nothing to train."""
        return Models()

    def generates(self, run: Run) -> bool:
        """A filter makes no images."""
        return False

    def generate(self, run: Run, models: Models, start: Tensor, how: Reverse, noise: Noise) -> Tensor:
        """Refused before anything starts."""
        raise AssertionError(f"method {run.settings.method} does not generate")


class Gaussian(_Unlearned):
    """A Gaussian with the training images' mean and covariance: the Wiener filter, and texture without objects."""

    def restore(self, run: Run, models: Models, observed: Observation, steps: int) -> Tensor:
        """E[x | y] = m + V lambda / (lambda + s^2) V^T (y - m): the best linear estimate."""
        model, _ = wiener_of(run)
        shrink = model.values / (model.values + observed.noise_std**2)
        coordinates = (observed.noisy.flatten(1) - model.mean) @ model.vectors
        restored: Tensor = model.mean + (coordinates * shrink) @ model.vectors.T
        return restored.reshape(observed.noisy.shape).clamp(-1.0, 1.0)

    def generates(self, run: Run) -> bool:
        """Samples of the model itself."""
        return True

    def generate(self, run: Run, models: Models, start: Tensor, how: Reverse, noise: Noise) -> Tensor:
        """Samples m + V sqrt(lambda) z."""
        return gaussian_samples(run, start).clamp(-1.0, 1.0)


class NlMeans(_Unlearned):
    """Non-local means (Buades, Coll and Morel 2005) of scikit-image, told the noise level."""

    def restore(self, run: Run, models: Models, observed: Observation, steps: int) -> Tensor:
        """Average similar 5x5 patches within 13x13 pixels."""
        sigma = observed.noise_std / 2  # on [0, 1]

        def denoise(image: Pixels) -> Pixels:
            # With an axis for a single channel scikit-image 0.26 returns the image without it, and transposed.
            grey = len(image) == 1
            found: Pixels = denoise_nl_means(
                image[0] if grey else image,
                patch_size=5,
                patch_distance=6,
                h=NL_MEANS_STRENGTH * sigma,
                sigma=sigma,
                fast_mode=True,
                channel_axis=None if grey else 0,
            )
            return found[None] if grey else found

        return _one_by_one(observed.noisy, denoise)


class TotalVariation(_Unlearned):
    """Total variation (Rudin, Osher and Fatemi 1992) by Chambolle's method of scikit-image, told the noise level."""

    def restore(self, run: Run, models: Models, observed: Observation, steps: int) -> Tensor:
        """Minimise distance to the observation plus variation; the weight follows the noise, never the clean image."""
        weight = TV_WEIGHT * observed.noise_std / 2

        def denoise(image: Pixels) -> Pixels:
            found: Pixels = denoise_tv_chambolle(image, weight=weight, channel_axis=0)  # type: ignore[no-untyped-call]
            return found

        return _one_by_one(observed.noisy, denoise)


def _one_by_one(images: Tensor, denoise: Callable[[Pixels], Pixels]) -> Tensor:
    """Apply a filter of float arrays [C,H,W] in [0,1] to images [N,C,H,W] in [-1,1]."""
    unit = ((images + 1) / 2).clamp(0, 1).double().cpu().numpy()
    restored = np.stack([denoise(image) for image in unit])
    return torch.from_numpy(restored).to(images.device, images.dtype) * 2 - 1
