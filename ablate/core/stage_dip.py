"""The stages ``dip`` and ``dip-train``: Deep Image Priors fitted to many images, one trajectory per image for ever.

A duration is a place on the way: the outputs at usual steps are kept as the fit passes them, so 50 iterations are
served from a fit of 100, and 200 continue it. What is kept belongs to a group of images that are fitted in one program
(their rounding depends on the group), so 16 images and the first 16 of 32 are the same files.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ablate.core import dip
from ablate.core.cache import StageFolder
from ablate.core.data import as_unit
from ablate.core.run import Run
from ablate.core.seeding import address
from ablate.core.settings import DdpmDipSettings
from ablate.core.stages import dip_stage, dip_train_stage
from ablate.core.training import choose_images
from ablate.errors import StoppedError
from ablate.interface import Stage

FINAL_STATE_BYTES = 64_000_000
"""A larger state is kept while the fit runs and not beyond: a longer duration then begins anew."""


def dip_outputs(run: Run) -> Tensor:
    """Return the DIP's output for every observed image, [N,3,H,W] in [-1,1]; its time and stops are recorded."""
    settings = fit_settings(run.settings)
    fits = _Fits(run, dip_stage(run.settings, run.seed, run.core_version), settings, run.seed)
    observed = run.observed
    # Ulyanov et al. 2018 fit to the image as a file would hold it: clipped to the valid range.
    measured = _unit(observed.measured)

    def losses(chosen: slice, outputs: Tensor) -> Tensor:
        return observed.operator.part(chosen).losses(outputs, measured[chosen])

    clean = observed.clean if settings.stop == "oracle" else None
    outputs = fits.of(observed.noisy, clean, None if observed.only_noisy else losses)
    run.found["dip_seconds"] = fits.seconds
    run.found["dip_stopped_at"] = float(torch.cat(fits.stopped_at).double().mean())
    return outputs


def dip_of_training(run: Run) -> Tensor:
    """Return DIP_k(x_0) of every image the denoiser is trained on, [N,3,H,W] in [-1,1], k being ``dip_steps``.

    Training images are clean, so there is nothing to stop early for: every fit runs for `dip_steps`.
    """
    settings = replace(fit_settings(run.settings), stop="fixed")
    images = choose_images(run.images.train, run.settings, run.seed)
    stage = dip_train_stage(run.settings, run.seed, run.core_version)
    fits = _Fits(run, stage, settings, address(run.seed, "dip-of-training"))
    outputs = fits.of(as_unit(images))
    run.found["dip_train_seconds"] = fits.seconds
    return outputs


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


def is_kept(step: int) -> bool:
    """True for the durations whose outputs are kept in passing: 10, 20, 25, 30, 40, ..., 90, 100, 200, 250, ..."""
    digits = str(step).rstrip("0")
    return step >= 10 and (len(digits) == 1 or digits == "25")


@dataclass
class _Fits:
    """Fits of one stage, group by group, and what they took."""

    run: Run
    stage: Stage
    settings: dip.DipSettings
    seed: int
    seconds: float = 0.0
    """Seconds up to the duration that was asked for, whenever they were spent."""
    spent_before: float = 0.0
    stopped_at: list[Tensor] = field(default_factory=list)

    def of(self, images: Tensor, clean: Tensor | None = None, losses: dip.Losses | None = None) -> Tensor:
        """Fit every image of `images` [N,3,H,W] in [-1,1] (clipped); the oracle looks at `clean`."""
        groups = dip.groups_of(len(images), images.device.type)
        parts = []
        with self.run.stage(self.stage) as folder:
            for number, chosen in enumerate(groups):
                place = StageFolder(folder.path, f"images-{chosen.start:06d}-{chosen.stop - chosen.start}")
                members = list(range(chosen.start, chosen.stop))
                known = None if clean is None else _unit(clean[chosen])
                own = None if losses is None else partial(losses, chosen)
                fitting = dip.Fitting(_unit(images[chosen]), self.settings, self.seed, members, known, own)
                state = _Group(self, place, fitting).reach(number, len(groups))
                parts.append(state["restored"].to(images.device) * 2 - 1)
                self.stopped_at.append(state["stopped_at"])
                self.seconds += state["seconds"]
            folder.describe({"stage": self.stage.name, "seconds": self.seconds, "recipe": self.run.recipe.to_dict()})
        if self.spent_before:
            self.run.reused[self.stage.name] = self.spent_before
        return torch.cat(parts)


@dataclass
class _Group:
    """The images of one program, not yet fitted, and the folder that keeps their trajectory."""

    fits: _Fits
    folder: StageFolder
    fitting: dip.Fitting

    def reach(self, number: int, groups: int) -> dict[str, Any]:
        """Return the outputs after `steps` (or where the rule ended the fit before): kept, continued or computed."""
        steps, fitting = self.fits.settings.steps, self.fitting
        kept = self.folder.load("out", steps) or self._ended(steps)
        if kept is not None:
            self.fits.spent_before += kept["seconds"]
            return kept
        seconds = self._continue(steps)
        self.fits.spent_before += seconds
        began = time.perf_counter()
        for step, loss in fitting.run():
            seconds += time.perf_counter() - began
            self._report(number * steps + step, groups * steps, loss)
            if is_kept(step) or step == steps or bool(fitting.stop.done.all()):
                self._keep(seconds)
            self._pause(seconds)
            began = time.perf_counter()  # keeping and reporting are not the fit's time
        self._finish()
        found = self.folder.load("out", fitting.step)
        assert found is not None  # it was written just now
        return found

    def _ended(self, steps: int) -> dict[str, Any] | None:
        newest = self.folder.newest("out", at_most=steps)
        return newest[1] if newest is not None and newest[1]["ended"] else None

    def _continue(self, steps: int) -> float:
        """Go to the newest kept state before `steps`; return the seconds it took to get there."""
        newest = self.folder.newest("state", at_most=steps - 1)
        if newest is None:
            return 0.0
        self.fitting.load(newest[1]["fit"])
        return float(newest[1]["seconds"])

    def _report(self, done: int, total: int, loss: float) -> None:
        self.fits.run.report.progress(self.fits.run.recipe, self.fits.stage.name, done, total, loss=loss)

    def _keep(self, seconds: float) -> None:
        stop = self.fitting.stop
        out = {"restored": stop.best, "stopped_at": stop.best_step, "ended": bool(stop.done.all()), "seconds": seconds}
        self.folder.save("out", self.fitting.step, {name: _on_cpu(value) for name, value in out.items()})

    def _pause(self, seconds: float) -> None:
        """Save the fit when it is time to, or when the engine asks to stop, and at the end of the way."""
        report, fitting = self.fits.run.report, self.fitting
        if not (report.stop_requested or report.checkpoint_due or fitting.step == self.fits.settings.steps):
            return
        self.folder.save("state", fitting.step, {"fit": fitting.state(), "seconds": seconds})
        self.folder.prune("state", keep=2)
        report.checkpointed()
        if report.stop_requested:
            raise StoppedError(f"stopped after {fitting.step} iterations of the DIP")

    def _finish(self) -> None:
        # Weights, two moments and the saved weights, in float32.
        if 16 * self.fitting.bank.count * self.fitting.bank.size_of_one() > FINAL_STATE_BYTES:
            self.folder.prune("state", keep=0)


def _unit(images: Tensor) -> Tensor:
    """[-1,1], clipped, to [0,1]."""
    return (images.clamp(-1, 1) + 1) / 2


def _on_cpu(value: Any) -> Any:
    return value.cpu() if isinstance(value, Tensor) else value
