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

from ablate.core.data import as_unit
from ablate.core.ddpm_dip.stages.digests import dip_stage, dip_train_stage
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.diffusion.training import choose_images
from ablate.core.dip import fit
from ablate.core.dip.fit_batch import DipProgram
from ablate.core.programs.fusion_choice import charge
from ablate.core.settings import DdpmDipSettings
from ablate.core.shared.seeding import address
from ablate.core.shared.stage_cache import StageFolder
from ablate.errors import StoppedError
from ablate.interface import Stage

FINAL_STATE_BYTES = 64_000_000
"""A larger state is kept while the fit runs and not beyond: a longer duration then begins anew."""


def dip_outputs(run: Run) -> Tensor:
    """Return the DIP's output for every observed image, [N,3,H,W] in [-1,1]; its time and stops are recorded."""
    fits = fits_of_observed(run)
    outputs = fits.outputs()
    run.found["dip_seconds"] = fits.seconds
    run.found["dip_stopped_at"] = float(torch.cat(fits.stopped_at).double().mean())
    if run.dip_rows:
        run.environment["dip_rows"] = str(run.dip_rows)
    return outputs


def fits_of_observed(run: Run) -> Fits:
    """The fits of a trial's observed images."""
    settings = fit_settings(run.settings)
    observed = run.observed
    # Ulyanov et al. 2018 fit to the image as a file would hold it: clipped to the valid range.
    measured = _unit(observed.measured)

    def losses(chosen: slice, outputs: Tensor) -> Tensor:
        return observed.operator.part(chosen).losses(outputs, measured[chosen])

    return Fits(
        run,
        dip_stage(run.settings, run.seed, run.core_version),
        settings,
        run.seed,
        observed.noisy,
        observed.clean if settings.stop == "oracle" else None,
        None if observed.only_noisy else losses,
        least=run.dip_rows,
    )


def dip_of_training(run: Run) -> Tensor:
    """Return DIP_k(x_0) of every image the denoiser is trained on, [N,3,H,W] in [-1,1], k being ``dip_steps``.

    Training images are clean, so there is nothing to stop early for: every fit runs for `dip_steps`.
    """
    settings = replace(fit_settings(run.settings), stop="fixed")
    images = choose_images(run.images.train, run.settings, run.seed)
    stage = dip_train_stage(run.settings, run.seed, run.core_version)
    fits = Fits(run, stage, settings, address(run.seed, "dip-of-training"), as_unit(images))
    outputs = fits.outputs()
    run.found["dip_train_seconds"] = fits.seconds
    return outputs


def fit_settings(settings: DdpmDipSettings) -> fit.DipSettings:
    """How the settings say that every image is fitted."""
    return fit.DipSettings(
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
        image_channels=settings.image_shape[0],
    )


def is_kept(step: int) -> bool:
    """True for the durations whose outputs are kept in passing: 10, 20, 25, 30, 40, ..., 90, 100, 200, 250, ..."""
    digits = str(step).rstrip("0")
    return step >= 10 and (len(digits) == 1 or digits == "25")


@dataclass
class Fits:
    """Fits of one stage, group by group, and what they took."""

    run: Run
    stage: Stage
    settings: fit.DipSettings
    seed: int
    images: Tensor
    """[N,3,H,W] in [-1,1] (clipped)."""
    clean: Tensor | None = None
    """What the oracle looks at."""
    losses: fit.Losses | None = None
    least: int = 0
    """Fewest rows of the programs that compute them, 0 for a program of each group's own; see `least_rows`."""
    seconds: float = 0.0
    """Seconds up to the duration that was asked for, whenever they were spent."""
    stopped_at: list[Tensor] = field(default_factory=list)

    def groups(self) -> list[Group]:
        """Images that are fitted in one program, in order; nothing is begun yet."""
        chosen = fit.groups_of(len(self.images), self.images.device.type)
        return [Group(self, some, number, len(chosen)) for number, some in enumerate(chosen)]

    def outputs(self) -> Tensor:
        """Fit what is not fitted yet, and return the outputs for all images, [N,3,H,W] in [-1,1]."""
        run, parts, spent_before = self.run, [], 0.0
        with run.stage(self.stage) as folder:
            for group in self.groups():
                state = group.reach()
                parts.append(state["restored"].to(self.images.device) * 2 - 1)
                self.stopped_at.append(state["stopped_at"])
                self.seconds += state["seconds"]
                spent_before += group.spent_before
            folder.describe({"stage": self.stage.name, "seconds": self.seconds, "recipe": run.recipe.to_dict()})
        charged = charge(run.spent, self.stage.digest, spent_before)
        run.charged += charged
        if spent_before > charged:
            run.reused[self.stage.name] = spent_before - charged
        return torch.cat(parts)


class Group:
    """The images of one program, not yet fitted, and the folder that keeps their trajectory."""

    def __init__(self, fits: Fits, chosen: slice, number: int, groups: int) -> None:
        """`chosen` are the images of group `number` of so many."""
        self.fits, self.chosen, self.number, self.number_of_groups = fits, chosen, number, groups
        self.steps = fits.settings.steps
        self.ends = {self.steps}
        """Durations whose outputs are kept besides the usual ones."""
        self.seconds = self.spent_before = 0.0
        self._fitting: fit.Fitting | None = None
        # Digits depend on the program: what another kind of program left is another trajectory.
        kind = f"rows-{fits.least}" if fits.least else "images"
        name = f"{kind}-{chosen.start:06d}-{len(self)}"
        self.folder = StageFolder(fits.run.context.cache / fits.stage.digest, name)

    def __len__(self) -> int:
        """How many images it has."""
        return int(self.chosen.stop - self.chosen.start)

    @property
    def fitting(self) -> fit.Fitting:
        """The fit itself, made when it is first asked for."""
        if self._fitting is None:
            self._fitting = self.new_fitting()
        return self._fitting

    def new_fitting(self) -> fit.Fitting:
        """The fit at its beginning."""
        fits, chosen = self.fits, self.chosen
        known = None if fits.clean is None else _unit(fits.clean[chosen])
        own = None if fits.losses is None else partial(fits.losses, chosen)
        members = list(range(chosen.start, chosen.stop))
        return fit.Fitting(_unit(fits.images[chosen]), fits.settings, fits.seed, members, known, own)

    def reach(self) -> dict[str, Any]:
        """Return the outputs after `steps` (or where the rule ended the fit before): kept, continued or computed."""
        kept = self.kept()
        if kept is not None:
            return kept
        self.fits.run.needs_training(self.fits.stage.name)
        self.begin()
        program = DipProgram(self.fits.least)
        context = self.fits.run.context
        while not self.fitting.ended:
            began = time.perf_counter()
            ((output, losses),) = program.descend([self.fitting])
            loss = self.fitting.follow(output, losses)
            self.passed(time.perf_counter() - began, loss)
            if context.stop_requested or context.checkpoint_due:
                self.checkpoint()
            if context.stop_requested:
                raise StoppedError(f"stopped after {self.fitting.step} iterations of the DIP")
        return self.finish()

    def kept(self) -> dict[str, Any] | None:
        """The outputs after `steps`, where an earlier fit left them."""
        kept = self.folder.load("out", self.steps) or self._ended()
        if kept is not None:
            self.seconds = self.spent_before = float(kept["seconds"])
        return kept

    def begin(self) -> None:
        """Go to the newest kept state before `steps`."""
        newest = self.folder.newest("state", at_most=self.steps - 1)
        if newest is not None:
            self.fitting.load(newest[1]["fit"])
            self.seconds = self.spent_before = float(newest[1]["seconds"])

    def passed(self, seconds: float, loss: float) -> None:
        """A step was done, of which `seconds` are this group's: tell it, and keep what is to be kept."""
        self.seconds += seconds
        run, step = self.fits.run, self.fitting.step
        done, total = self.number * self.steps + step, self.number_of_groups * self.steps
        run.context.progress(run.recipe, self.fits.stage.name, done, total, loss=loss)
        if is_kept(step) or step in self.ends or self.fitting.ended:
            self._keep()

    def checkpoint(self) -> None:
        """Save where the fit stands."""
        self.folder.save("state", self.fitting.step, {"fit": self.fitting.state(), "seconds": self.seconds})
        self.folder.prune("state", keep=2)
        self.fits.run.context.checkpointed()

    def finish(self) -> dict[str, Any]:
        """Save the state at the end for longer durations, where it is small; return the outputs."""
        fitting = self.fitting
        # Weights, two moments and the saved weights, in float32.
        if 16 * fitting.bank.count * fitting.bank.size_of_one() > FINAL_STATE_BYTES:
            self.folder.prune("state", keep=0)
        elif fitting.step == self.steps:
            self.checkpoint()
        found = self.folder.load("out", fitting.step)
        assert found is not None  # it was written just now
        return found

    def _ended(self) -> dict[str, Any] | None:
        newest = self.folder.newest("out", at_most=self.steps)
        return newest[1] if newest is not None and newest[1]["ended"] else None

    def _keep(self) -> None:
        stop = self.fitting.stop
        out = {
            "restored": stop.best,
            "stopped_at": stop.best_step,
            "ended": stop.all_done(),
            "seconds": self.seconds,
        }
        self.folder.save("out", self.fitting.step, {name: _on_cpu(value) for name, value in out.items()})


def _unit(images: Tensor) -> Tensor:
    """[-1,1], clipped, to [0,1]."""
    return (images.clamp(-1, 1) + 1) / 2


def _on_cpu(value: Any) -> Any:
    return value.cpu() if isinstance(value, Tensor) else value
