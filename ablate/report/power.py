"""How many seeds a decision takes, and what a number of seeds can see."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from ablate.report.stats import Floats

POWER = 0.8
MOST_SEEDS = 50
"""Beyond this many seeds in all, a difference is called within seed noise."""
_CERTAIN = 30.0
"""Above critical value + this many standard errors the test all but always rejects; the series is not summed there."""


def power_at(effect: Floats | float, sd: Floats | float, n: NDArray[np.int64] | int, alpha: Floats | float) -> Floats:
    """Chance that a two-sided paired t-test at `alpha` with n seeds rejects towards the true side.

    `effect` and `sd` are mean and standard deviation of the paired differences (sd > 0), n >= 2. Arguments broadcast.
    """
    shift, critical = np.broadcast_arrays(
        np.abs(effect) * np.sqrt(n) / np.asarray(sd), stats.t.isf(np.asarray(alpha) / 2, n - 1)
    )
    # A non-central t is (Z + shift) / sqrt(V): far above its critical value even for V ten times its mean.
    certain = shift > 4 * critical + _CERTAIN
    safe = np.where(certain, 0.0, shift)
    return np.asarray(np.where(certain, 1.0, stats.nct.sf(critical, n - 1, safe)), dtype=np.float64)


def seeds_needed(improvement: Floats, sd: Floats, n: Floats, margin: Floats, level: Floats) -> Floats:
    """Return the smallest number of seeds N > n with 80 % power for what is left to decide, NaN above 50.

    That is h = max(|d|, margin - |d|) (|d| without a margin, NaN): N with
    P(T'(N-1, h sqrt(N)/sd) > t(1 - level/2, N-1)) >= 0.8. All arguments are vectors [arms]; sd > 0.
    """
    size = np.abs(improvement)
    effect = np.where(np.isfinite(margin), np.maximum(size, margin - size), size)
    seeds = np.arange(2, MOST_SEEDS + 1)
    power = power_at(effect[:, None], sd[:, None], seeds, level[:, None])
    enough = (power >= POWER) & (seeds > n[:, None])
    return np.where(enough.any(axis=1), seeds[enough.argmax(axis=1)], np.nan)


def smallest_detectable(sd: float, n: int, tests: int = 1, alpha: float = 0.05, power: float = POWER) -> float:
    """Return the smallest true difference that n shared seeds find with probability `power`.

    `sd` is the standard deviation of the paired differences: sqrt(2 (1 - rho)) times one arm's seed standard
    deviation. `tests` arms share `alpha` as at the first step of Holm's procedure. In the unit of `sd`; infinite
    below two seeds.
    """
    if sd < 0 or tests < 1 or not 0 < alpha < 1 or not 0 < power < 1:
        raise ValueError(f"need sd >= 0, tests >= 1, 0 < alpha, power < 1; got {sd}, {tests}, {alpha}, {power}")
    if n < 2:
        return math.inf
    if sd == 0:
        return 0.0
    level = alpha / tests
    high = 1.0
    while power_at(high, 1.0, n, level) < power:
        high *= 2
    return sd * float(optimize.brentq(lambda h: float(power_at(h, 1.0, n, level)) - power, 0.0, high, xtol=1e-10))
