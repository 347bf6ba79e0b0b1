"""How many rows a program of DIP fits has: what is asked for, whether it pays, and whether digits depend on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ablate.core.ddpm_dip.batch_rules import dip_key, images, most_rows
from ablate.core.ddpm_dip.stages.dip import fits_of_observed
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.dip.fit import Fitting
from ablate.core.dip.fit_batch import DipProgram
from ablate.core.programs.fusion_choice import GATE, kept_record, seconds_per_update
from ablate.core.shared.numerics import apply_numerics

_COMPARED_STEPS = 2
_MEASURED_STEPS = 100
"""More than any measurement here does."""


@dataclass(frozen=True)
class Rows:
    """Networks of a program in which DIP fits of several trials run."""

    most: int = 0
    """As many are used when enough fits wait; 0 for no such program."""
    least: int = 0
    """Rows are added, empty, up to this many; 0 when digits are those of the fit alone, whatever its company."""


ALONE = Rows()


def choose_rows(run: Run) -> Rows:
    """Return the program for DIP fits like those of `run`.

    Unless the user asked for a width, it must be measured to pay. Records are kept in the stage cache, so every worker,
    and a run that goes on later, fits the images of a study in the same way, whoever is there to share a program.
    """
    fusion, settings = run.context.fusion, run.settings
    count = images(settings)
    most = most_rows(count, fusion.width, run.device.type)
    if fusion.width == 1 or not most:
        return ALONE
    apply_numerics(settings)
    about = {"key": dip_key(settings), "rows": most, "threads": run.context.threads}

    def make(number: int) -> Fitting:
        return _a_fit(run, number)

    if not fusion.forced:
        gain = kept_record(run.context, {**about, "calibration": "dip-seconds"}, lambda: time_rows(make, count, most))
        if gain["alone"] / gain["together"] < GATE[run.device.type]:
            return ALONE
    if run.device.type != "cpu":  # an algorithm may be chosen by the width there, and empty rows cost little
        return Rows(most, most)
    found = kept_record(
        run.context, {**about, "calibration": "dip-digits"}, lambda: {"least": least_rows(make, count, most)}
    )
    return Rows(most, int(found["least"]))


def _a_fit(run: Run, number: int) -> Fitting:
    """A fit like those of `run`, with other draws for every `number`."""
    fits = fits_of_observed(run)
    fits.seed += number
    fits.settings = replace(fits.settings, stop="fixed", steps=_MEASURED_STEPS)
    return fits.groups()[0].new_fitting()


def time_rows(make: Callable[[int], Fitting], count: int, most: int) -> dict[str, float]:
    """Seconds per image and step, alone and in a full program."""
    alone, together = [make(0)], [make(number) for number in range(most // count)]
    return {
        "alone": seconds_per_update(lambda: _step(DipProgram(), alone)) / count,
        "together": seconds_per_update(lambda: _step(DipProgram(), together)) / most,
    }


def _step(program: DipProgram, fits: Sequence[Fitting]) -> None:
    for fit, done in zip(fits, program.descend(fits), strict=True):
        fit.follow(*done)


def least_rows(make: Callable[[int], Fitting], count: int, most: int) -> int:
    """Return how many rows a program must have for digits that depend on nothing else; 0 for those of a fit alone.

    A fit of `count` images is done in programs of every width up to `most`, and in the last place of the widest. Where
    all leave the same bits in its weights and moments, a program may have as many rows as its fits need, those of two
    fits at least; otherwise every program has `most`.
    """
    companions = [make(number) for number in range(1, most // count)]
    alone = _bits([make(0)], 0)
    found = [_bits([make(0), *companions[:others]], 0) for others in range(1, len(companions) + 1)]
    found.append(_bits([*companions, make(0)], len(companions)))
    if all(_equal(bits, alone) for bits in found):
        return 0
    return 2 * count if all(_equal(bits, found[0]) for bits in found) else most


def _bits(fits: Sequence[Fitting], place: int) -> list[Tensor]:
    """Weights and moments of the fit at `place` after a few steps of all."""
    program, fit = DipProgram(), fits[place]
    for _ in range(_COMPARED_STEPS):
        _step(program, fits)
    moments = [value for state in fit.adam.state.values() for value in (state["exp_avg"], state["exp_avg_sq"])]
    return [*(parameter.detach() for parameter in fit.weights.values()), *moments]


def _equal(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
