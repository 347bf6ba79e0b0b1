"""One recipe of ``ddpm-dip`` from settings to outcome: its method makes models, its task scores them."""

from __future__ import annotations

import time

import numpy as np

from ablate.core.data import as_unit, image_grids
from ablate.core.ddpm_dip.methods import METHODS
from ablate.core.ddpm_dip.methods.base import Models
from ablate.core.ddpm_dip.stages.trial import CurvePoint, Run
from ablate.core.ddpm_dip.tasks import TASKS
from ablate.core.diffusion.validation import level_of
from ablate.core.shared.numerics import apply_numerics, device_name, environment
from ablate.errors import DivergedError
from ablate.outcome import Outcome, OutcomeKind

PICTURES = 4
"""Images kept at every point of the learning curve."""
PICTURES_FILE = "training.npz"
"""Where they are kept: one array per point, named by the training images seen."""


SPENT = ("train_seconds", "warm_seconds", "dip_train_seconds", "dip_seconds", "sample_seconds")
"""Metrics that add up to what a method spends, evaluation left out."""


def run_recipe(run: Run) -> Outcome:
    """Compute the recipe of `run`; a divergence is an outcome too. Raises StoppedError when the engine asks to stop."""
    began = time.perf_counter()
    apply_numerics(run.settings)
    try:
        samples = _compute(run)
    except DivergedError as error:
        return diverged_outcome(run, error, time.perf_counter() - began)
    took = time.perf_counter() - began
    return _outcome(run, OutcomeKind.MEASURED, took, images_seen=run.images_seen, samples=samples)


def measure_kept(run: Run) -> Outcome:
    """Measure what the study's context asks for from what the recipe's stages left in the cache; nothing is trained.

    The outcome holds what was asked for and can be measured. Raises ResultsError when a checkpoint is gone.
    """
    began = time.perf_counter()
    apply_numerics(run.settings)
    run.kept_only = True
    run.kept_curve()
    method = METHODS[run.settings.method]
    models = method.prepare(run, lambda images, seconds, models: None)
    if any(level_of(name) is None for name in run.context.wanted):
        TASKS[run.settings.task].score(run, method, models)
    run.found = {name: value for name, value in run.found.items() if name in run.context.wanted}
    return _outcome(run, OutcomeKind.MEASURED, time.perf_counter() - began, images_seen=run.images_seen)


def diverged_outcome(run: Run, error: DivergedError, took: float) -> Outcome:
    """Return the outcome of a recipe whose loss was not finite, `took` seconds after it began."""
    return _outcome(run, OutcomeKind.DIVERGED, took, error=str(error), images_seen=error.images_seen)


def _compute(run: Run) -> str:
    method, task = METHODS[run.settings.method], TASKS[run.settings.task]
    keep = run.kept_curve()

    def curve(images: int, seconds: float, models: Models) -> None:
        point = run.points.get(images)
        if point is None:
            values, scored = task.curve(run, method, models)
            point = keep(CurvePoint(images, seconds, values, scored[:PICTURES].cpu()))
        run.context.curve(run.recipe, images, **point.values, train_seconds=point.seconds)

    models = method.prepare(run, curve)
    if run.points:
        shown = {str(images): as_unit(run.points[images].pictures) for images in sorted(run.points)}
        image_grids.save_arrays(run.context.folder(run.recipe) / PICTURES_FILE, shown)
    samples = task.show(run, method, models, task.score(run, method, models))
    run.found["total_seconds"] = sum(run.found.get(name, 0.0) for name in SPENT)
    return samples


def _outcome(
    run: Run, kind: OutcomeKind, took: float, *, images_seen: int, error: str | None = None, samples: str | None = None
) -> Outcome:
    finite = {name: value for name, value in run.found.items() if np.isfinite(value)}
    return Outcome(
        kind=kind,
        recipe_digest=run.recipe.digest,
        metrics=finite,
        seconds=took - run.waited + run.charged + sum(run.reused.values()),
        images_seen=images_seen,
        device=run.context.device,
        device_name=device_name(run.device),
        error=error,
        reused=run.reused,
        samples=samples,
        environment={**environment(run.settings, run.context.threads), **run.environment},
        notes=(*run.notes, *(f"{name} has no finite value" for name in sorted(run.found.keys() - finite.keys()))),
    )
