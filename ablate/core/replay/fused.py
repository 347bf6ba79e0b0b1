"""A batch of ``replay`` recipes whose trainings run in lanes of one program, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ablate.core.programs.lane_run import LaneRun
from ablate.core.replay.lanes import ReplayLane, ReplayLanes
from ablate.core.replay.network import Autoencoder
from ablate.core.replay.training import Training
from ablate.core.replay.trial import Trial, denoiser_training, dip_training, diverged, frozen_dip, prepare, run_recipe
from ablate.core.shared.stage_cache import StageFolder
from ablate.errors import DivergedError
from ablate.interface import Stage, TrialContext
from ablate.outcome import Outcome
from ablate.recipe import Recipe


@dataclass
class _Batch:
    """What is known of a batch on its way."""

    context: TrialContext
    width: int
    trials: dict[str, Trial]
    """Recipe digest -> trial, of those without an outcome yet."""
    spent: dict[str, float] = field(default_factory=dict)
    """Stage digest -> seconds that its training has cost in this batch."""
    diverged: dict[str, tuple[int, DivergedError]] = field(default_factory=dict)
    """Stage digest -> update at which it diverged, and how."""


def run_fused(
    recipes: Sequence[Recipe], context: TrialContext, stages_of: Callable[[Recipe], Sequence[Stage]], width: int
) -> Iterator[tuple[Recipe, Outcome]]:
    """Compute recipes of one batch key in a program of `width` lanes; yield each outcome when it is known.

    Every training leaves in the stage cache what it would leave there alone, and every recipe then finds its stages
    there. Of recipes that share a stage the longest is trained. Raises StoppedError when asked to stop.
    """
    trials: dict[str, Trial] = {}
    for recipe in recipes:
        first = next(iter(trials.values()), None)
        trials[recipe.digest] = prepare(recipe, context, stages_of(recipe), like=first)
    batch = _Batch(context, width, trials)
    some = next(iter(trials.values())).settings
    if some.trains_dip:
        yield from _stage(batch, "dip", last=not some.trains_denoiser)
    if some.trains_denoiser:
        yield from _stage(batch, "denoiser", last=True)


def _stage(batch: _Batch, name: str, *, last: bool) -> Iterator[tuple[Recipe, Outcome]]:
    """Train one stage of all trials. After the `last`, and after a divergence, trials have outcomes."""
    lanes_of = _lane_trainings(batch, name)
    if not lanes_of:
        return
    some = next(iter(lanes_of.values()))
    lanes = ReplayLanes(
        some.network,
        some.training.images,
        batch.width,
        some.training.batch,
        dips=some.dip is not None,
    )
    digest_of = {lane: digest for digest, lane in lanes_of.items()}
    for ended, before, divergence in LaneRun(lanes, list(lanes_of.values()), batch.context).run():
        assert isinstance(ended, ReplayLane)
        digest = digest_of[ended]
        batch.spent[digest] = ended.training.seconds - before
        if divergence is not None:
            batch.diverged[digest] = divergence
        yield from _outcomes(batch, name, digest, last=last)


def _lane_trainings(batch: _Batch, name: str) -> dict[str, ReplayLane]:
    """Stage digest -> its longest training, in order of digests: several workers take their locks in one order."""
    found: dict[str, ReplayLane] = {}
    for trial in batch.trials.values():
        digest = trial.stages[name].digest
        training, dip = _training(trial, name)
        if digest not in found or training.total > found[digest].total:
            training.lanes = batch.width
            folder = StageFolder(batch.context.cache, digest)
            found[digest] = ReplayLane(training, dip, folder, trial.recipe, batch.context)
    return {digest: found[digest] for digest in sorted(found)}


def _training(trial: Trial, name: str) -> tuple[Training, Autoencoder | None]:
    if name == "dip":
        return dip_training(trial), None
    dip = frozen_dip(trial) if trial.settings.trains_dip else None
    return denoiser_training(trial, dip), dip


def _outcomes(batch: _Batch, name: str, digest: str, *, last: bool) -> Iterator[tuple[Recipe, Outcome]]:
    """Yield the outcomes that follow from the end of one stage's training."""
    for trial in [trial for trial in batch.trials.values() if trial.stages[name].digest == digest]:
        divergence = batch.diverged.get(digest)
        if divergence is not None and divergence[0] < _total(trial, name):
            del batch.trials[trial.recipe.digest]
            yield trial.recipe, diverged(trial, divergence[1], batch.spent.pop(digest, 0.0))
        elif last:
            del batch.trials[trial.recipe.digest]
            stages = tuple(trial.stages.values())
            yield trial.recipe, run_recipe(trial.recipe, batch.context, stages, batch.spent)


def _total(trial: Trial, name: str) -> int:
    """Updates of a trial's stage."""
    settings = trial.settings
    epochs = settings.dip_epochs if name == "dip" else settings.epochs
    return epochs * -(-len(trial.train_images) // settings.batch_size)
