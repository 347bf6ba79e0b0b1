"""Combinations of DIP and DDPM that change what is trained: ``dip_target``, ``truncated`` and ``dip_warm``."""

from __future__ import annotations

from torch import Tensor

from ablate.core.data import as_unit
from ablate.core.ddpm_dip.methods.base import Curve, Models
from ablate.core.ddpm_dip.methods.standard import Ddpm
from ablate.core.ddpm_dip.stages.compute_budget import updates_spent
from ablate.core.ddpm_dip.stages.denoiser import trained_denoiser
from ablate.core.ddpm_dip.stages.dip import dip_of_training, dip_outputs
from ablate.core.ddpm_dip.stages.start_images import start_at
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.ddpm_dip.stages.warm_start import warm_weights
from ablate.core.diffusion.blur import gaussian_blur, matched_sigma
from ablate.core.diffusion.denoiser import Denoiser
from ablate.core.diffusion.generation import from_step
from ablate.core.diffusion.restoration import Observation, restore, start_step
from ablate.core.diffusion.samplers import Noise, Reverse
from ablate.core.diffusion.training import choose_images
from ablate.core.diffusion.training_target import TrainingTarget


class DipTarget(Ddpm):
    """The denoiser is trained with DIP_k(x_0), or with a blur of equal error, of every image it is trained on.

    ``condition``: x_t as ever, and the smoothed image beside it; restoring y, it is shown DIP(y), or the blur of y.
    ``literal``: x_t is built from the smoothed image and the target is x_0; sampling then knows nothing of a DIP, so
    the network undoes a smoothing that nobody has done.
    """

    def prepare(self, run: Run, curve: Curve) -> Models:
        """Smooth the training images, train, and smooth what is to be restored."""
        literal, spent = run.settings.dip_target_form == "literal", updates_spent(run)
        smooth, sigma = smoothed_images(run)
        prior = dip_outputs(run) if run.settings.uses_dip else None
        guides = None if literal else prior if sigma is None else gaussian_blur(run.observed.noisy, sigma)

        def models(denoiser: Denoiser) -> Models:
            return Models(denoiser if guides is None else denoiser.guided_by(guides), prior)

        lesson = TrainingTarget(smooth=smooth, literal=literal, updates_spent=spent)
        return models(trained_denoiser(run, lambda images, seconds, now: curve(images, seconds, models(now)), lesson))

    def restore(self, run: Run, models: Models, observed: Observation, steps: int) -> Tensor:
        """Reverse from the observation; a DIP's output guides the denoiser and is no start."""
        assert models.denoiser is not None
        settings = run.settings.model_copy(update={"sample_steps": steps})
        return restore(models.denoiser, observed, settings, run.seed, None)

    def generates(self, run: Run) -> bool:
        """A guided denoiser needs an image to begin with."""
        return not run.settings.is_guided


def smoothed_images(run: Run) -> tuple[Tensor, float | None]:
    """Every training image smoothed, float32 [N,3,H,W] in [-1,1]; and the blur's sigma where it is one."""
    outputs = dip_of_training(run)
    if run.settings.dip_target_source == "dip":
        return outputs, None
    images = as_unit(choose_images(run.images.train, run.settings, run.seed))
    sigma = matched_sigma(images, float((outputs - images).double().square().mean()))
    run.found["blur_sigma_matched"] = sigma
    return gaussian_blur(images, sigma), sigma


class Truncated(Ddpm):
    """Only steps up to t0 are trained (ES-DDPM, Lyu et al. 2022); it restores from the observation below t0."""

    def prepare(self, run: Run, curve: Curve) -> Models:
        """Train on t = 1..t0, every image as often as a full training would."""
        last = start_step(run.settings, run.schedule)
        lesson = TrainingTarget(last_step=last, updates_spent=updates_spent(run))
        return Models(trained_denoiser(run, lambda images, seconds, now: curve(images, seconds, Models(now)), lesson))

    def generates(self, run: Run) -> bool:
        """Where it starts from is prepared for the task ``generation`` only."""
        return run.settings.task == "generation"

    def generate(self, run: Run, models: Models, start: Tensor, how: Reverse, noise: Noise) -> Tensor:
        """Reverse from t0, from the start distribution `truncated_start`."""
        assert models.denoiser is not None
        last = start_step(run.settings, models.denoiser.schedule)
        alpha_bar = float(models.denoiser.schedule.alpha_bars[last - 1])
        x = start_at(run, run.settings.truncated_start, start, alpha_bar)
        return from_step(models.denoiser, x, last, how, noise)


class DipWarm(Ddpm):
    """An ordinary training that begins with the weights of a U-Net fitted as a DIP (or warmed up by denoising)."""

    def prepare(self, run: Run, curve: Curve) -> Models:
        """Warm up, then train."""
        lesson = TrainingTarget(updates_spent=updates_spent(run), weights=warm_weights(run))
        return Models(trained_denoiser(run, lambda images, seconds, now: curve(images, seconds, Models(now)), lesson))
