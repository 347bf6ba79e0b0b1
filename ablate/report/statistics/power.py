"""How many seeds a decision takes, and what a number of seeds can see.

Of scipy only `special` is used, which loads in a fifth of a second: `ablate plan` asks here.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import special

if TYPE_CHECKING:
    from ablate.report.statistics.significance import Floats

POWER = 0.8
MOST_SEEDS = 50
"""Beyond this many seeds in all, a difference is called within seed noise."""
_FAR = 1000.0
"""Standard errors from 0 beyond which the limit is right to a millionth; the series is slow there."""
_HALVINGS = 60
"""Of an interval that holds the smallest detectable difference: down to the last digit."""


def power_at(effect: Floats | float, sd: Floats | float, n: NDArray[np.int64] | int, alpha: Floats | float) -> Floats:
    """Chance that a two-sided paired t-test at `alpha` with n seeds rejects towards the true side.

    `effect` and `sd` are mean and standard deviation of the paired differences (sd > 0), n >= 2. Arguments broadcast.
    """
    df = np.asarray(n) - 1.0
    shift, critical, df = np.broadcast_arrays(
        np.abs(effect) * np.sqrt(n) / np.asarray(sd), -special.stdtrit(df, np.asarray(alpha) / 2), df
    )
    # A non-central t is (Z + shift) / sqrt(V / df). Where the shift is so large that Z is nothing beside it, V, a chi
    # square, decides. The series also gives up (NaN) here and there above 36, where the limit is 1 to rounding.
    series = 1.0 - special.nctdtr(df, np.minimum(shift, _FAR), critical)
    limit = special.chdtr(df, df * (shift / critical) ** 2)
    return np.asarray(np.where(np.isnan(series) | (shift > _FAR), limit, series), dtype=np.float64)


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
    return sd * _detectable_sds(n, alpha / tests, power)


@cache
def _detectable_sds(n: int, level: float, power: float) -> float:
    """The same for sd = 1 and one test at `level`: power rises with the effect, so halving finds it."""
    low, high = 0.0, 1.0
    while power_at(high, 1.0, n, level) < power:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if power_at(middle, 1.0, n, level) < power else (low, middle)
    return high
