"""The stages ``denoiser`` and ``wiener``: a trained denoiser with its validation losses beside the linear bound's."""

from __future__ import annotations

import time

from ablate.core.data import as_unit
from ablate.core.ddpm_dip.stages.digests import denoiser_stage, wiener_stage
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.diffusion.compiled_training import prepare
from ablate.core.diffusion.cuda_graph_training import trainer_for
from ablate.core.diffusion.denoiser import Denoiser
from ablate.core.diffusion.training import OnPoint, Trainer, choose_images, train
from ablate.core.diffusion.training_target import ORDINARY, TrainingTarget
from ablate.core.diffusion.validation import (
    IMAGES,
    Wiener,
    fixed_choice,
    level_errors,
    level_of,
    levels_needed,
    linear_epsilon,
    validation_metric,
)
from ablate.core.programs.compile_rules import Choice
from ablate.core.programs.fusion_choice import charge
from ablate.core.shared.stage_cache import StageFolder

_CALM_LR = 1e-6


def trained_denoiser(run: Run, on_point: OnPoint, lesson: TrainingTarget = ORDINARY) -> Denoiser:
    """Return the trained denoiser (averaged weights); its times and validation losses are recorded.

    `on_point` is called at every point of the learning curve, also at those that earlier computation left.
    """
    stage = denoiser_stage(run.settings, run.seed, run.core_version)
    with run.stage(stage) as folder:
        training = choose_images(run.images.train, run.settings, run.seed)
        trainer = trainer_for(run.settings, training, run.seed, lesson)
        chosen: list[Choice] = []
        # What an update takes does not depend on its step size; a small one cannot diverge while it is measured.
        calm = run.settings.model_copy(update={"lr": _CALM_LR})
        make = lambda: trainer_for(calm, training, run.seed, lesson)  # noqa: E731

        def before() -> None:
            run.needs_training(stage.name)
            chosen.append(prepare(trainer, stage.program, run.context, make))

        reused = train(trainer, folder, recipe=run.recipe, context=run.context, on_point=on_point, before=before)
        charged = charge(run.spent, stage.digest, reused)
        run.charged += charged
        if reused > charged:
            run.reused["denoiser"] = reused - charged
        run.environment |= {"lanes": str(trainer.lanes), "compile": _how_compiled(trainer)}
        if chosen:
            run.environment["compile_why"] = chosen[0].why
        run.images_seen = trainer.course.images_seen(trainer.step)
        _record(run, trainer)
        if not run.settings.is_guided:  # validation images have nothing that could guide a denoiser
            run.found.update(_validation(run, trainer, folder))
        folder.describe({"stage": "denoiser", "seconds": trainer.seconds, "recipe": run.recipe.to_dict()})
    return trainer.denoiser


def _how_compiled(trainer: Trainer) -> str:
    """Say whether the updates were done by a compiled network; some of them may have been done by an earlier run."""
    if not trainer.compiled_updates:
        return "eager"
    return "inductor" if trainer.compiled_updates == trainer.step else "in part"


def _record(run: Run, trainer: Trainer) -> None:
    run.found["train_seconds"] = trainer.seconds
    run.found["seconds_per_epoch"] = trainer.seconds * trainer.course.per_epoch / trainer.step
    run.found["updates"] = float(trainer.step)


def _validation(run: Run, trainer: Trainer, folder: StageFolder) -> dict[str, float]:
    """The validation losses that were asked for, at the levels that were asked for.

    Errors are kept beside the weights, level by level: every arm that shares the denoiser needs them.
    """
    network_levels, linear_levels = levels_needed(run.context.wanted, run.sigmas)
    if not network_levels and not linear_levels:
        return {}
    kept = folder.load("losses", trainer.step)
    if kept is None or "network" not in kept:
        kept = {"network": {}, "linear": {}, "seconds": 0.0}
    network, linear, seconds = dict(kept["network"]), dict(kept["linear"]), float(kept["seconds"])
    missing = [level for level in network_levels if level not in network]
    missing_linear = [level for level in linear_levels if level not in linear]
    if seconds:
        run.reused["validation"] = seconds
    if missing or missing_linear:
        began, waited = time.perf_counter(), 0.0
        chosen = fixed_choice(len(run.images.validation), IMAGES, "validation-images").to(run.images.validation.device)
        images, schedule = as_unit(run.images.validation[chosen]), trainer.denoiser.schedule
        network |= level_errors(trainer.denoiser.epsilon, images, missing, schedule)
        if missing_linear:
            fetched = time.perf_counter()
            wiener, wiener_seconds = wiener_of(run)
            waited = time.perf_counter() - fetched
            seconds += wiener_seconds
            linear |= level_errors(linear_epsilon(wiener, trainer.denoiser), images, missing_linear, schedule)
        seconds += time.perf_counter() - began - waited
        folder.save("losses", trainer.step, {"network": network, "linear": linear, "seconds": seconds})
    asked = [name for name in sorted(run.context.wanted) if level_of(name) is not None]
    return {name: validation_metric(name, network, linear, run.sigmas) for name in asked}


def wiener_of(run: Run) -> tuple[Wiener, float]:
    """The best linear denoiser of the training images, the same for every seed and arm, and what it took in seconds."""
    with run.stage(wiener_stage(run.settings, run.core_version)) as folder:
        state = folder.load("wiener", 0)
        if state is None:
            run.context.progress(run.recipe, "wiener", 0, 1)
            began = time.perf_counter()
            state = Wiener.fit(as_unit(run.images.train)).state()
            state["seconds"] = time.perf_counter() - began
            folder.save("wiener", 0, state)
            folder.describe({"stage": "wiener", "seconds": state["seconds"], "recipe": run.recipe.to_dict()})
        else:
            run.reused["wiener"] = state["seconds"]
    return Wiener(*(state[name].to(run.device) for name in ("mean", "values", "vectors"))), state["seconds"]
