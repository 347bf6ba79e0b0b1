"""The methods ``ddpm``, ``dip`` and ``dip+ddpm``."""

from __future__ import annotations

from torch import Tensor

from ablate.core.ddpm_dip.methods.base import Curve, Models
from ablate.core.ddpm_dip.stages.compute_budget import updates_spent
from ablate.core.ddpm_dip.stages.denoiser import trained_denoiser
from ablate.core.ddpm_dip.stages.dip import dip_outputs
from ablate.core.ddpm_dip.stages.start_images import start_at
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.diffusion.generation import from_noise, from_step
from ablate.core.diffusion.restoration import Observation, restore, start_step
from ablate.core.diffusion.samplers import Noise, Reverse
from ablate.core.diffusion.training_target import TrainingTarget


class Ddpm:
    """A denoiser trained on images; it restores from the observation itself and generates from pure noise."""

    def prepare(self, run: Run, curve: Curve) -> Models:
        """Train the denoiser, after the DIP has been fitted where the method has one."""
        lesson = TrainingTarget(updates_spent=updates_spent(run))
        prior = dip_outputs(run) if run.settings.uses_dip else None
        denoiser = trained_denoiser(
            run, lambda images, seconds, now: curve(images, seconds, Models(now, prior)), lesson
        )
        return Models(denoiser, prior)

    def restore(self, run: Run, models: Models, observed: Observation, steps: int) -> Tensor:
        """Reverse from the observation, or from the re-noised DIP output where there is one."""
        assert models.denoiser is not None
        settings = run.settings.model_copy(update={"sample_steps": steps})
        return restore(models.denoiser, observed, settings, run.seed, models.prior)

    def generates(self, run: Run) -> bool:
        """Always: pure noise is a start."""
        return True

    def generate(self, run: Run, models: Models, start: Tensor, how: Reverse, noise: Noise) -> Tensor:
        """Reverse from pure noise at step T; ``dip+ddpm`` asked to generate, from diffused DIPs of training images."""
        assert models.denoiser is not None
        if not run.settings.smooths_training:
            return from_noise(models.denoiser, start, how, noise)
        step = start_step(run.settings, models.denoiser.schedule)
        x = start_at(run, "dip", start, float(models.denoiser.schedule.alpha_bars[step - 1]))
        return from_step(models.denoiser, x, step, how, noise)


class Dip:
    """A Deep Image Prior alone: its output is the result."""

    def prepare(self, run: Run, curve: Curve) -> Models:
        """Fit the DIP; there is no learning curve over training images."""
        return Models(prior=dip_outputs(run))

    def restore(self, run: Run, models: Models, observed: Observation, steps: int) -> Tensor:
        """Return the DIP's outputs."""
        assert models.prior is not None
        return models.prior

    def generates(self, run: Run) -> bool:
        """Never."""
        return False

    def generate(self, run: Run, models: Models, start: Tensor, how: Reverse, noise: Noise) -> Tensor:
        """There is nothing to generate from: a DIP knows one image."""
        raise AssertionError("method dip does not generate")
