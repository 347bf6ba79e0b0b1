"""A batch of ``ddpm-dip`` recipes whose denoisers train in lanes of one program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ablate.core.ddpm_dip.batch_rules import trainings
from ablate.core.ddpm_dip.pipeline import diverged_outcome, run_recipe
from ablate.core.ddpm_dip.stages.digests import denoiser_stage
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.diffusion.cuda_graph_training import trainer_for
from ablate.core.diffusion.muon_lanes import lanes_for
from ablate.core.diffusion.training import Trainer, choose_images, keeps_snapshots
from ablate.core.diffusion.training_lanes import UNetLane
from ablate.core.programs.fusion_choice import ALONE, choose_width, seconds_per_update
from ablate.core.programs.lane_run import LaneRun, seconds_in_lanes
from ablate.core.shared.numerics import apply_numerics
from ablate.core.shared.stage_cache import StageFolder
from ablate.interface import TrialContext
from ablate.outcome import Outcome
from ablate.recipe import Recipe


def width_for(run: Run, key: str) -> int:
    """Return the width of the program for recipes like that of `run` (batch `key`); 0 for the plain training loop.

    Networks whose averages are not kept at the points of the curve are large, and train in the plain loop.
    """
    fusion = run.context.fusion
    if fusion.width == 1 or trainings(run.recipe, run.device.type, fusion).get("denoiser", "") is not None:
        return ALONE
    apply_numerics(run.settings)
    trainer = Trainer(run.settings, choose_images(run.images.train, run.settings, run.seed), run.seed)
    if not keeps_snapshots(trainer):
        return ALONE
    return choose_width(run.context, key, lambda width: _measure(run, width))


def _measure(run: Run, width: int) -> float:
    """Return seconds per update and training; nothing of it is kept."""
    images = choose_images(run.images.train, run.settings, run.seed)
    if width == ALONE:
        return seconds_per_update(trainer_for(run.settings, images, run.seed).update)
    trainer = Trainer(run.settings, images, run.seed)
    lanes = lanes_for(trainer, width)
    stage = denoiser_stage(run.settings, run.seed, run.core_version)
    one = _lane(run, trainer, [trainer.course.total], stage.digest)
    return seconds_in_lanes(lanes, one)


def _lane(run: Run, trainer: Trainer, ends: Sequence[int], digest: str) -> UNetLane:
    return UNetLane(trainer, ends, StageFolder(run.context.cache, digest), run.recipe, run.context)


def run_fused(runs: Sequence[Run], context: TrialContext, width: int) -> Iterator[tuple[Recipe, Outcome]]:
    """Compute the recipes of `runs` (one batch key, one `spent`); yield each outcome when it is known.

    Every training leaves in the stage cache what it would leave there alone, and every recipe then finds it there. Of
    recipes that share a stage the longest is trained. Raises StoppedError when asked to stop.
    """
    apply_numerics(runs[0].settings)
    sharing: dict[str, list[Run]] = {}
    for run in runs:
        sharing.setdefault(denoiser_stage(run.settings, run.seed, run.core_version).digest, []).append(run)
    # In order of digests: several workers take the locks of their stages in one order.
    lane_of = {digest: _training(sharing[digest], digest, width) for digest in sorted(sharing)}
    digest_of = {lane: digest for digest, lane in lane_of.items()}
    lanes = lanes_for(next(iter(lane_of.values())).trainer, width)
    for ended, before, divergence in LaneRun(lanes, list(lane_of.values()), context).run():
        assert isinstance(ended, UNetLane)
        digest = digest_of[ended]
        runs[0].spent[digest] = ended.trainer.seconds - before
        for run in sharing[digest]:
            if divergence is not None and divergence[0] < _updates(run, ended):
                yield run.recipe, diverged_outcome(run, divergence[1], run.spent.pop(digest, 0.0))
            else:
                yield run.recipe, run_recipe(run)


def _training(runs: Sequence[Run], digest: str, width: int) -> UNetLane:
    """The longest training of one stage, with the ends that its recipes ask for."""
    longest = max(runs, key=lambda run: run.settings.epochs)
    images = choose_images(longest.images.train, longest.settings, longest.seed)
    trainer = Trainer(longest.settings, images, longest.seed)
    trainer.lanes = width
    ends = [run.settings.epochs * trainer.course.per_epoch for run in runs]
    return _lane(longest, trainer, ends, digest)


def _updates(run: Run, lane: UNetLane) -> int:
    return run.settings.epochs * lane.trainer.course.per_epoch
