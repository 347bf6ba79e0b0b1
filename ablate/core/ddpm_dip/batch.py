"""A batch of ``ddpm-dip`` recipes: DIP fits as programs, then denoisers as a program, then what is left one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ablate.core.ddpm_dip.denoiser_fused import run_fused, width_for
from ablate.core.ddpm_dip.dip_fused import Fitted, fit_together
from ablate.core.ddpm_dip.pipeline import diverged_outcome, run_recipe
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.interface import TrialContext
from ablate.outcome import Outcome
from ablate.recipe import Recipe


def run_batch(
    recipes: Sequence[Recipe], context: TrialContext, key: str, version: str, sigmas: tuple[int, ...]
) -> Iterator[tuple[Recipe, Outcome]]:
    """Compute recipes of one batch `key` and yield each outcome when it is known.

    What is fused only fills the stage cache: every recipe then takes from there what it would have left there alone.
    Raises StoppedError when asked to stop.
    """
    spent: dict[str, float] = {}
    left = {recipe.digest: Run(recipe, context, version, sigmas, spent=spent) for recipe in recipes}
    for fitted in fit_together(list(left.values()), context):
        spent[fitted.digest] = fitted.seconds
        for run in fitted.runs:
            outcome = _outcome_of_fit(run, fitted)
            if outcome is not None:
                del left[run.recipe.digest]
                yield run.recipe, outcome
    runs = list(left.values())
    width = width_for(runs[0], key) if runs else 0
    if width:
        yield from run_fused(runs, context, width)
        return
    for run in runs:
        yield run.recipe, run_recipe(run)


def _outcome_of_fit(run: Run, fitted: Fitted) -> Outcome | None:
    """The outcome of a recipe whose fit has ended, when that decides it."""
    if fitted.divergence is not None and fitted.divergence[0] <= run.settings.dip_steps:
        return diverged_outcome(run, fitted.divergence[1], run.spent.pop(fitted.digest, 0.0))
    return None if run.settings.uses_ddpm else run_recipe(run)
