"""What the evaluation of a trial costs, before any was run. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection

from ablate.core.ddpm_dip.metric_list import VALIDATION_SIGMAS
from ablate.core.ddpm_dip.stages.digests import images_of
from ablate.core.diffusion.training_course import TrainingCourse
from ablate.core.settings import DdpmDipSettings
from ablate.recipe import Recipe

_S_PER_EVALUATION = 0.002
"""Of the network on one image, with 16 channels and 1 block: a third of its part of an update, and what is around."""
_TIMED_BATCHES = 7
"""Two to warm up, five that count."""
_VALIDATED = 64 * (10 + len(VALIDATION_SIGMAS))
"""Validation images, at ten steps and at the fixed noise levels."""


def evaluation_s(recipe: Recipe, metrics: Collection[str]) -> float:
    """Return the seconds, on the reference machine, that the network's evaluations after training take.

    A reverse process that starts near its end takes fewer steps than it may: this is the most.
    """
    settings = DdpmDipSettings.model_validate(dict(recipe.settings))
    if not settings.uses_ddpm:
        return 0.0
    network = float((settings.channels / 16) ** 1.5 * settings.blocks)
    return _S_PER_EVALUATION * network * (_sampled(settings, metrics) + _VALIDATED)


def _sampled(settings: DdpmDipSettings, metrics: Collection[str]) -> int:
    """Images times steps of every reverse process."""
    images = images_of(settings)
    points = len(TrainingCourse(images, min(settings.batch_size, images), settings.epochs).curve_steps())
    restores = settings.task == "restoration"
    steps = settings.sample_steps if restores else settings.generation_steps
    scored = settings.eval_images if restores else settings.samples
    asked = settings.quality is not None and any(name.startswith("steps_to_quality") for name in metrics)
    return (
        steps * (settings.eval_seeds * scored + points * settings.curve_count + _TIMED_BATCHES * settings.timing_batch)
        + restores * settings.generation_steps * settings.generated_images
        + asked * sum(settings.steps_grid) * scored
    )
