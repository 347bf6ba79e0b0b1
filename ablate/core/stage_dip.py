"""The stage ``dip``: a Deep Image Prior fitted to every observed image, computed once per digest."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ablate.core import dip
from ablate.core.run import Run
from ablate.core.settings import DdpmDipSettings
from ablate.core.stages import dip_stage
from ablate.errors import StoppedError


def dip_outputs(run: Run) -> Tensor:
    """Return the DIP's output for every observed image, [N,3,H,W] in [-1,1]; its time and stops are recorded."""
    stage = dip_stage(run.settings, run.seed, run.core_version)
    with run.stage(stage) as folder:
        state = folder.load("dip", run.settings.dip_steps)
        if state is None:
            state = _fit(run)
            folder.save("dip", run.settings.dip_steps, state)
            folder.describe({"stage": "dip", "seconds": state["seconds"], "recipe": run.recipe.to_dict()})
            run.report.checkpointed()
        else:
            run.reused["dip"] = state["seconds"]
    run.found["dip_seconds"] = state["seconds"]
    run.found["dip_stopped_at"] = float(state["stopped_at"].double().mean())
    restored: Tensor = state["restored"].to(run.device)
    return restored


def fit_settings(settings: DdpmDipSettings) -> dip.DipSettings:
    """How the settings say that every image is fitted."""
    return dip.DipSettings(
        architecture=settings.dip_architecture,
        channels=settings.dip_channels,
        scales=settings.dip_scales,
        lr=settings.dip_lr,
        steps=settings.dip_steps,
        stop=settings.dip_stop,
        ema=settings.dip_ema,
        window=settings.dip_window,
        patience=settings.dip_patience,
        input_noise=settings.dip_input_noise,
    )


def _fit(run: Run) -> dict[str, Any]:
    settings, report = run.settings, run.report

    def on_step(done: int, total: int, loss: float) -> None:
        if report.stop_requested:
            raise StoppedError("stopped during the DIP fit, which is short and starts again")
        report.progress(run.recipe, "dip", done, total, loss=loss)

    observed = run.observed
    # Ulyanov et al. 2018 fit to the image as a file would hold it: clipped to the valid range.
    measured = (observed.measured.clamp(-1, 1) + 1) / 2

    def losses(chosen: slice, outputs: Tensor) -> Tensor:
        return observed.operator.part(chosen).losses(outputs, measured[chosen])

    fit = dip.fit(
        (observed.noisy.clamp(-1, 1) + 1) / 2,
        fit_settings(settings),
        seed=run.seed,
        on_step=on_step,
        clean=(observed.clean + 1) / 2 if settings.dip_stop == "oracle" else None,
        losses=None if observed.only_noisy else losses,
    )
    return {"restored": fit.restored.cpu() * 2 - 1, "stopped_at": fit.stopped_at.cpu(), "seconds": fit.seconds}
