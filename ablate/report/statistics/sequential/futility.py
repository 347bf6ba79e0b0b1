"""Whether more seeds would still decide an arm: its chance to be decided by the last look, and what that could show.

An arm is stopped when its chance is small. The boundaries do not count on it (it is "non-binding"): whoever runs a
stopped arm on all the same, or stops another one by hand, keeps the error rate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ablate.report.statistics.power import smallest_detectable
from ablate.report.statistics.sequential.boundaries import LookLevels
from ablate.study.verdict_method import Correction, Method

if TYPE_CHECKING:
    from ablate.report.statistics.contrast import Contrast
    from ablate.report.statistics.sequential.looks import LookPlan
    from ablate.report.statistics.significance import Summary

Floats = NDArray[np.float64]

_BORROWED = 4.0
"""Degrees of freedom that the other arms' noise counts for."""


@dataclass(frozen=True)
class Outlook:
    """What the seeds up to the last look may still do for each arm; vectors [arms], NaN where there is nothing left."""

    chance: Floats
    """Chance that the arm is decided at the last look, given what was seen."""
    could_show: Floats
    """Smallest true difference that an arm with this noise shows by the last look with 80 % power, on the test's
    scale."""
    stopped: NDArray[np.bool_]

    def taking(self, other: Outlook, arms: NDArray[np.bool_]) -> Outlook:
        """Return this outlook with that of `other` for some arms [arms]."""
        return Outlook(
            np.where(arms, other.chance, self.chance),
            np.where(arms, other.could_show, self.could_show),
            np.asarray(np.where(arms, other.stopped, self.stopped)),
        )


def outlook(numbers: Contrast, plan: LookPlan, method: Method) -> Outlook:
    """Return the outlook of every tested arm that is not at the last look; nothing without several looks.

    An arm's outlook is that of the moment at which its look was taken: `plan` has no arm at a later one.

    Seed noise is drawn towards that of the other arms: with three seeds an arm's own tells little.
    """
    looks, alpha = plan.looks, plan.levels.alpha
    chance, could = np.full(len(numbers.p), np.nan), np.full(len(numbers.p), np.nan)
    usable = np.isfinite(numbers.p)
    if len(looks) < 2 or method.futility == 0 or not usable.any():
        return Outlook(chance, could, np.zeros(len(chance), dtype=np.bool_))
    summary = _drawn(numbers.tested, usable) if method.test == "paired" and method.noise == "own" else numbers.tested
    rejected = int(np.sum(numbers.p_corrected[usable] <= plan.alpha[usable]))
    equal = int(np.sum(numbers.p_equal[usable] <= plan.alpha[usable]))
    differ = next_level(plan.levels, alpha, method.correct, numbers.family, rejected)
    same = next_level(plan.levels, 2 * alpha, method.equivalence, numbers.family, equal) / 2
    for at in np.flatnonzero(usable & (plan.places < len(looks) - 1)):
        n, sd = float(summary.n[at]), float(summary.se[at] * np.sqrt(summary.n[at]))
        last = max(looks[-1], int(n) + 1)
        mean, margin = float(summary.mean[at]), float(numbers.margin[at])
        chance[at] = float(chance_decided(np.array(mean), np.array(sd), n, last, differ, same, margin))
        could[at] = smallest_detectable(sd, last, 1, differ)
    return Outlook(chance, could, np.asarray(chance < method.futility))


def _drawn(own: Summary, usable: NDArray[np.bool_]) -> Summary:
    arms = np.flatnonzero(usable)
    if len(arms) < 2:
        return own
    se = own.se.copy()
    se[arms] = np.sqrt(drawn_variance(own.sd[arms] ** 2, own.df[arms]) / own.n[arms])
    return replace(own, se=se)


def drawn_variance(variance: Floats, nu: Floats) -> Floats:
    """Return variances [..., arms] drawn towards the median arm's, as if four more degrees of freedom had shown that.

    A test could not: its errors would depend on how alike arms are. Stopping costs no errors, whatever it leans on.
    """
    # The median of a chi-square variable lies below its mean: undo that, arm by arm, before taking the median.
    typical = np.median(variance * nu / special.chdtri(nu, 0.5), axis=-1, keepdims=True)
    return np.asarray((nu * variance + _BORROWED * typical) / (nu + _BORROWED), dtype=np.float64)


def next_level(levels: LookLevels, alpha: float, correct: Correction, family: int, rejected: int) -> float:
    """Return the level of a single test at the last look for the next arm that the correction would reject.

    `rejected` of `family` arms are rejected already; `alpha` is the level of the whole study.
    """
    left = max(1, family - rejected)
    share = {"holm": 1 / left, "bh": min(1.0, (rejected + 1) / max(1, family)), "none": 1.0}[correct]
    last = np.array([len(levels.looks) - 1])
    part = levels.alpha_at(last) / levels.alpha * alpha * share
    return float(levels.nominal(np.minimum(1.0, part), last)[0])


def chance_decided(
    mean: Floats, sd: Floats, n: Floats | float, last: int, differ: float, same: float, margin: Floats | float
) -> Floats:
    """Return the predictive chance that a difference with `mean` after `n` seeds is decided at `last` seeds.

    Before any data every true difference is taken for equally likely, and `sd`, of one paired difference, for known:
    then the mean at the last look is normal around the mean now with variance sd^2 (1 / n - 1 / last). Decided is
    better, worse (two-sided level `differ`) or within +-`margin` (one-sided level `same`; NaN: no margin declared).
    """
    spread = sd * np.sqrt(1 / np.asarray(n) - 1 / last)
    limit = -special.stdtrit(last - 1, differ / 2) * sd / np.sqrt(last)
    size = np.abs(mean)
    away = special.ndtr((size - limit) / spread) + special.ndtr((-size - limit) / spread)
    inside = np.nan_to_num(margin + special.stdtrit(last - 1, same) * sd / np.sqrt(last), nan=-1.0)
    within = special.ndtr((inside - size) / spread) - special.ndtr((-inside - size) / spread)
    both = away + np.where(inside > 0, within, 0.0)
    return np.asarray(np.where(inside >= limit, 1.0, np.minimum(both, 1.0)), dtype=np.float64)
