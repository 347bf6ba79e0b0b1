"""Whether equal results say anything: a metric with few possible values is often equal by chance."""

from __future__ import annotations

import numpy as np

from ablate.report.statistics.significance import Floats, count_mean_sd
from ablate.report.statistics.trial_matrix import Flags, Trials

_ROUNDING = 1e-9
"""Steps below this part of the largest value are no grid but the rounding of floats."""
_FINE = 1e-6
"""Without any seed noise to compare with, the part of the largest value that counts as a fine step."""
_TIES = 4.0
"""Chance of a tie in one seed, in units of step / seed noise: for arms whose paired differences scatter by a tenth of
one arm's seed noise, 1 / (0.1 sqrt(2 pi)), as shared seeds may make them."""
_BY_CHANCE = 1e-3
"""Chance of ties in all seeds above which they prove nothing."""


def grid_step(values: Floats) -> float:
    """Return the largest step of which all differences between finite `values` are multiples.

    About 0 for values that lie on no grid. With one distinct value it is the last decimal place that this value uses,
    and without any it is NaN.
    """
    distinct = np.unique(values[np.isfinite(values)])
    if not len(distinct):
        return float("nan")
    size = float(np.abs(distinct).max())
    if len(distinct) == 1:
        return next((10.0**-places for places in range(16) if round(size, places) == size), 0.0)
    step = 0.0
    for gap in np.diff(distinct).tolist():
        step = _common(step, gap, _ROUNDING * size)
        if step <= _ROUNDING * size:
            return 0.0
    return step


def _common(first: float, second: float, slack: float) -> float:
    """Euclid's algorithm on numbers that are rounded by up to `slack`."""
    while second > slack:
        rest = first % second
        first, second = second, 0.0 if min(rest, second - rest) <= slack else rest
    return first


def proves_nothing(values: Floats, n: Floats) -> Flags:
    """Return where being identical in `n` [arms] seeds says little, for a metric with `values` [arms, seeds].

    True where arms that differ a little would often be identical all the same: the grid of possible values is not
    much finer than seed noise.
    """
    step = grid_step(values)
    sds = count_mean_sd(values)[2]
    noise = sds[np.isfinite(sds) & (sds > 0)]
    size = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 0.0
    if not len(noise):
        return np.full(len(n), not step <= _FINE * size)
    tie = min(1.0, _TIES * step / float(np.median(noise)))
    return np.asarray(tie ** np.maximum(n, 1) > _BY_CHANCE)


def one_experiment(trials: Trials, used: Flags, names: list[str]) -> Flags:
    """Return the arms [arms] that are one experiment with their partner, whatever a coarse metric says.

    That is: the recipes are the same in every shared seed, or the values of some fine-grained metric among `names`.
    """
    there = used & trials.measured
    shared = there & there[trials.partner]
    found = np.zeros(len(trials.arms), dtype=np.bool_)
    for name in names:
        values = np.where(there, trials.values[name], np.nan)
        alike = (values == values[trials.partner]) | ~shared
        fine = ~proves_nothing(values, shared.sum(axis=1).astype(np.float64))
        found |= alike.all(axis=1) & shared.any(axis=1) & fine
    if trials.recipes is not None:
        same = (trials.recipes == trials.recipes[trials.partner]) & (trials.recipes != "")
        found |= (same | ~shared).all(axis=1) & shared.any(axis=1)
    return np.asarray(found & ~trials.baselines)
