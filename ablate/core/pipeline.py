"""One recipe of ``ddpm-dip`` from settings to outcome: DIP stage, denoiser stage, evaluation."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ablate.core import data, dip, grids, metrics
from ablate.core.cache import StageFolder
from ablate.core.data import ImageSet, as_unit, to_uint8
from ablate.core.denoiser import Denoiser
from ablate.core.numerics import apply_numerics, device_name, environment
from ablate.core.restoration import Observation, evaluations, generate, observe, one_step, restore
from ablate.core.settings import IMAGE_SIZE, DdpmDipSettings
from ablate.core.stages import denoiser_stage, dip_stage, wiener_stage
from ablate.core.training import Trainer, choose_images, train
from ablate.core.validation import IMAGES, Wiener, fixed_choice, validate
from ablate.errors import DivergedError, StoppedError
from ablate.interface import Report, Stage
from ablate.outcome import Outcome, OutcomeKind
from ablate.paths import write_atomic
from ablate.recipe import Recipe

CURVE_IMAGES = 8
"""Held-out images restored at every point of a learning curve."""
SHOWN_IMAGES = 8
"""Held-out images kept as pictures."""


@dataclass
class Run:
    """What one trial knows and has found so far."""

    recipe: Recipe
    report: Report
    core_version: str
    sigmas: tuple[int, ...]
    found: dict[str, float] = field(default_factory=dict)
    reused: dict[str, float] = field(default_factory=dict)
    images_seen: int = 0
    waited: float = 0.0
    """Seconds spent waiting for another worker to finish a shared stage: nobody's cost, since the stage's counts."""

    @cached_property
    def settings(self) -> DdpmDipSettings:
        """The recipe's settings, validated."""
        return DdpmDipSettings.model_validate(dict(self.recipe.settings))

    @cached_property
    def device(self) -> torch.device:
        """Where to compute."""
        return torch.device(self.report.device)

    @cached_property
    def images(self) -> ImageSet:
        """The data set, resident on the device."""
        settings = self.settings
        return data.load(settings.data, cap_per_image=settings.cap_per_image, split=settings.split).to(self.device)

    @cached_property
    def observed(self) -> Observation:
        """What is to be restored."""
        return observe(self.images, self.settings, self.recipe.seed, self.device)

    @contextlib.contextmanager
    def stage(self, stage: Stage) -> Iterator[StageFolder]:
        """Hold the cache folder of `stage` alone."""
        folder = StageFolder(self.report.cache, stage.digest)
        with folder.locked(lambda: self.report.stop_requested) as waited:
            self.waited += waited
            yield folder


def run_recipe(recipe: Recipe, report: Report, *, core_version: str, sigmas: tuple[int, ...]) -> Outcome:
    """Compute `recipe`; a divergence is an outcome too. Raises StoppedError when the engine asks to stop."""
    run = Run(recipe, report, core_version, sigmas)
    began = time.perf_counter()
    apply_numerics(run.settings)
    try:
        samples = _compute(run)
    except DivergedError as error:
        return _outcome(run, OutcomeKind.DIVERGED, began, error=str(error), images_seen=error.images_seen)
    return _outcome(run, OutcomeKind.MEASURED, began, images_seen=run.images_seen, samples=samples)


def _outcome(
    run: Run, kind: OutcomeKind, began: float, *, images_seen: int, error: str | None = None, samples: str | None = None
) -> Outcome:
    finite = {name: value for name, value in run.found.items() if np.isfinite(value)}
    return Outcome(
        kind=kind,
        recipe_digest=run.recipe.digest,
        metrics=finite,
        seconds=time.perf_counter() - began - run.waited + sum(run.reused.values()),
        images_seen=images_seen,
        device=run.report.device,
        device_name=device_name(run.device),
        error=error,
        reused=run.reused,
        samples=samples,
        environment=environment(run.settings, run.report.threads),
        notes=tuple(f"{name} has no finite value" for name in sorted(run.found.keys() - finite.keys())),
    )


def _compute(run: Run) -> str:
    settings = run.settings
    prior = _dip_outputs(run) if settings.uses_dip else None
    denoiser = _denoiser(run, prior) if settings.uses_ddpm else None
    began = time.perf_counter()
    if denoiser is not None:
        restored = restore(denoiser, run.observed, settings, run.recipe.seed, prior)
        _wait(run.device)
    else:
        assert prior is not None  # method dip
        restored = prior
    run.found["sample_seconds"] = time.perf_counter() - began
    _score(run, restored, prior, denoiser)
    return _pictures(run, restored, prior, denoiser)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


# ---------------------------------------------------------------------------------------------------- stages


def _dip_outputs(run: Run) -> Tensor:
    """DIP outputs of all held-out images, [N,3,H,W] in [-1,1], computed once per stage digest."""
    stage = dip_stage(run.settings, run.recipe.seed, run.core_version)
    with run.stage(stage) as folder:
        state = folder.load("dip", run.settings.dip_steps)
        if state is None:
            state = _fit_dip(run)
            folder.save("dip", run.settings.dip_steps, state)
            folder.describe({"stage": "dip", "seconds": state["seconds"], "recipe": run.recipe.to_dict()})
            run.report.checkpointed()
        else:
            run.reused["dip"] = state["seconds"]
    run.found["dip_seconds"] = state["seconds"]
    run.found["dip_stopped_at"] = float(state["stopped_at"].double().mean())
    restored: Tensor = state["restored"].to(run.device)
    return restored


def _fit_dip(run: Run) -> dict[str, Any]:
    settings, report = run.settings, run.report

    def on_step(done: int, total: int, loss: float) -> None:
        if report.stop_requested:
            raise StoppedError("stopped during the DIP fit, which is short and starts again")
        report.progress(run.recipe, "dip", done, total, loss=loss)

    fit = dip.fit(
        # Ulyanov et al. 2018 fit to the image as a file would hold it: clipped to the valid range.
        (run.observed.noisy.clamp(-1, 1) + 1) / 2,
        dip.DipSettings(
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
        ),
        seed=run.recipe.seed,
        on_step=on_step,
        clean=(run.observed.clean + 1) / 2 if settings.dip_stop == "oracle" else None,
    )
    return {"restored": fit.restored.cpu() * 2 - 1, "stopped_at": fit.stopped_at.cpu(), "seconds": fit.seconds}


def _denoiser(run: Run, prior: Tensor | None) -> Denoiser:
    """The trained denoiser (averaged weights), its times and its validation losses."""
    settings, seed = run.settings, run.recipe.seed
    stage = denoiser_stage(settings, seed, run.core_version)
    few = run.observed.first(CURVE_IMAGES)
    start = None if prior is None else prior[:CURVE_IMAGES]

    def on_point(images: int, denoiser: Denoiser) -> None:
        scores = metrics.psnr(restore(denoiser, few, settings, seed, start), few.clean)
        run.report.curve(run.recipe, images, psnr=float(scores.mean()))

    with run.stage(stage) as folder:
        training = choose_images(run.images.train, settings, seed)
        trainer, reused = train(
            settings, training, seed, folder, recipe=run.recipe, report=run.report, on_point=on_point
        )
        if reused:
            run.reused["denoiser"] = reused
        run.images_seen = trainer.course.images_seen(trainer.step)
        _record_training(run, trainer)
        run.found.update(_validation(run, trainer, folder))
        folder.describe({"stage": "denoiser", "seconds": trainer.seconds, "recipe": run.recipe.to_dict()})
    return trainer.denoiser


def _record_training(run: Run, trainer: Trainer) -> None:
    run.found["train_seconds"] = trainer.seconds
    run.found["seconds_per_epoch"] = trainer.seconds / trainer.course.epochs
    run.found["updates"] = float(trainer.step)


def _validation(run: Run, trainer: Trainer, folder: StageFolder) -> dict[str, float]:
    """Validation losses of the trained denoiser, kept beside its weights: every arm that shares it needs them."""
    kept = folder.load("validation", trainer.step)
    if kept is not None:
        run.reused["validation"] = float(kept["seconds"])
        return {name: float(value) for name, value in kept["metrics"].items()}
    wiener, wiener_seconds = _wiener(run)
    began = time.perf_counter()
    chosen = fixed_choice(len(run.images.validation), IMAGES, "validation-images").to(run.device)
    measured = validate(trainer.denoiser, wiener, as_unit(run.images.validation[chosen]), run.sigmas)
    seconds = wiener_seconds + time.perf_counter() - began
    folder.save("validation", trainer.step, {"metrics": measured, "seconds": seconds})
    return measured


def _wiener(run: Run) -> tuple[Wiener, float]:
    """The best linear denoiser of the training images, the same for every seed and arm, and what it took in seconds."""
    with run.stage(wiener_stage(run.settings, run.core_version)) as folder:
        state = folder.load("wiener", 0)
        if state is None:
            run.report.progress(run.recipe, "wiener", 0, 1)
            began = time.perf_counter()
            state = Wiener.fit(as_unit(run.images.train)).state()
            state["seconds"] = time.perf_counter() - began
            folder.save("wiener", 0, state)
            folder.describe({"stage": "wiener", "seconds": state["seconds"], "recipe": run.recipe.to_dict()})
        else:
            run.reused["wiener"] = state["seconds"]
    return Wiener(*(state[name].to(run.device) for name in ("mean", "values", "vectors"))), state["seconds"]


# ------------------------------------------------------------------------------------------------ evaluation


def _score(run: Run, restored: Tensor, prior: Tensor | None, denoiser: Denoiser | None) -> None:
    settings, observed, found = run.settings, run.observed, run.found

    def mean_psnr(images: Tensor) -> float:
        return float(metrics.psnr(images, observed.clean).double().mean())

    found["psnr"], found["psnr_input"] = mean_psnr(restored), mean_psnr(observed.noisy)
    found["ssim"] = float(metrics.ssim(restored, observed.clean).double().mean())
    found["ssim_input"] = float(metrics.ssim(observed.noisy, observed.clean).double().mean())
    found["mse"] = float(metrics.mse(restored, observed.clean).double().mean())
    if prior is not None:
        found["psnr_start"] = mean_psnr(prior)
    if denoiser is not None:
        found["psnr_onestep"] = mean_psnr(one_step(denoiser, observed, settings.noise_sigma))
        found["nfe"] = float(evaluations(settings, denoiser.schedule))
    seconds = found.get("dip_seconds", 0.0) + found["sample_seconds"]
    found["seconds_per_image"] = seconds / len(observed.clean)
    if denoiser is None:
        # Nothing was sampled: a time of about 0 s has no place on a log scale.
        del found["sample_seconds"]


def _pictures(run: Run, restored: Tensor, prior: Tensor | None, denoiser: Denoiser | None) -> str:
    """Write ``samples.png``, ``restored.npz`` and, with a denoiser, ``generated.png``; return the first one's name."""
    folder = run.report.folder(run.recipe)
    rows = [("original", run.observed.clean), ("noisy", run.observed.noisy)]
    if prior is not None:
        rows.append(("DIP", prior))
    if denoiser is not None:
        rows.append(("DDPM" if prior is None else "DIP+DDPM", restored))
    rows = [(label, images[:SHOWN_IMAGES]) for label, images in rows]
    grids.save_grid(folder / "samples.png", rows)
    arrays = {"original": rows[0][1], "noisy": rows[1][1], "restored": restored[:SHOWN_IMAGES]}
    if prior is not None:
        arrays["start"] = prior[:SHOWN_IMAGES]
    if denoiser is not None and run.settings.generated_images:
        arrays["generated"] = generate(denoiser, run.settings, IMAGE_SIZE)
        grids.save_grid(folder / "generated.png", [("generated", arrays["generated"])])
    write_atomic(folder / "restored.npz", _npz(arrays))
    return "samples.png"


def _npz(arrays: dict[str, Tensor]) -> bytes:
    """Images in [-1,1] as a compressed npz of uint8 arrays [N,3,H,W]."""
    pixels: dict[str, Any] = {name: to_uint8(images).cpu().numpy() for name, images in arrays.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **pixels)
    return buffer.getvalue()
