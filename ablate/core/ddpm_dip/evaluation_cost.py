"""What the evaluation of a trial costs, before any was run. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection

from ablate.core.ddpm_dip.metric_list import SAMPLING_TIMES, VALIDATION_SIGMAS
from ablate.core.ddpm_dip.stages.digests import images_of, network_factor
from ablate.core.diffusion.training_course import TrainingCourse
from ablate.core.settings import DdpmDipSettings
from ablate.recipe import Recipe

_S_PER_EVALUATION = 0.002
"""Of the network on one image, with 16 channels and 1 block: a third of its part of an update, and what is around."""
LOWEST = tuple(f"s{sigma}" for sigma in sorted(VALIDATION_SIGMAS)[:2])
"""The noise levels of ``val_loss_low``."""
_TIMED_BATCHES = 7
"""Two to warm up, five that count."""
_VALIDATED = 64
"""Validation images."""
_MEAN_STEPS = 10
"""Steps at which ``val_loss`` is taken."""


def evaluation_s(recipe: Recipe, metrics: Collection[str]) -> float:
    """Return the seconds, on the reference machine, that the network's evaluations after training take.

    A reverse process that starts near its end takes fewer steps than it may: this is the most.
    """
    settings = DdpmDipSettings.model_validate(dict(recipe.settings))
    if not settings.uses_ddpm:
        return 0.0
    return _S_PER_EVALUATION * network_factor(settings) * (_sampled(settings, metrics) + _VALIDATED * _levels(metrics))


def _levels(metrics: Collection[str]) -> int:
    """Steps at which the validation losses among `metrics` ask the network."""
    found: set[str] = set()
    for name in metrics:
        prefix, _, level = name.rpartition("_")
        if name == "val_loss":
            found.add("mean")
        elif prefix in ("val_loss", "val_ratio"):
            found.update(LOWEST if level == "low" else (level,))
    return len(found) + (_MEAN_STEPS - 1 if "mean" in found else 0)


def _sampled(settings: DdpmDipSettings, metrics: Collection[str]) -> int:
    """Images times steps of every reverse process."""
    images = images_of(settings)
    points = len(TrainingCourse(images, min(settings.batch_size, images), settings.epochs).curve_steps())
    restores = settings.task == "restoration"
    steps = settings.sample_steps if restores else settings.generation_steps
    scored = settings.eval_images if restores else settings.samples
    timed = _TIMED_BATCHES * settings.timing_batch if not SAMPLING_TIMES.isdisjoint(metrics) else 0
    asked = settings.quality is not None and any(name.startswith("steps_to_quality") for name in metrics)
    return (
        steps * (settings.eval_seeds * scored + points * settings.curve_count + timed)
        + restores * settings.generation_steps * settings.generated_images
        + asked * sum(settings.steps_grid) * scored
    )
