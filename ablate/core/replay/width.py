"""How wide a program the recipes of one ``replay`` batch are trained in."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.core.programs.fusion_choice import ALONE, choose_width, seconds_per_update
from ablate.core.programs.lane_run import seconds_in_lanes
from ablate.core.replay.lanes import ReplayLane, ReplayLanes
from ablate.core.replay.network import Autoencoder
from ablate.core.replay.trial import Trial, denoiser_training, dip_training, prepare
from ablate.core.shared.stage_cache import StageFolder
from ablate.interface import Stage, TrialContext
from ablate.recipe import Recipe


def width_for(recipes: Sequence[Recipe], context: TrialContext, key: str, stages: Sequence[Stage]) -> int:
    """Return the width of the program for `recipes` (equal batch `key`; `stages` of the first); 0 for no program."""
    if recipes[0].settings["network"] == "identity":
        return ALONE
    # On a GPU one lane is a CUDA graph: the plain loop would wait for its many small kernels.
    alone = ALONE if context.device == "cpu" else 1
    return choose_width(context, key, lambda width: _measure(prepare(recipes[0], context, stages), width), alone=alone)


def _measure(trial: Trial, width: int) -> float:
    """Return seconds per update and training of the trial's longest stage; nothing of it is kept."""
    dip = Autoencoder().to(trial.test.device) if trial.settings.method == "dip+ddpm" else None
    training = denoiser_training(trial, dip) if trial.settings.trains_denoiser else dip_training(trial)
    if width == ALONE:
        return seconds_per_update(training.update)
    lanes = ReplayLanes(training.network, training.images, width, training.batch, dips=dip is not None)
    folder = StageFolder(trial.context.cache, trial.stages[training.name].digest)
    one = ReplayLane(training, dip, folder, trial.recipe, trial.context)
    return seconds_in_lanes(lanes, one)
