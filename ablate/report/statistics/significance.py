"""Closed forms behind every verdict, on plain arrays: t tests, equivalence, intervals, exact sign flips.

Matrices are [arms, seeds] float64 with NaN where an arm has no value for a seed; vectors are [arms]. Of scipy only
`special` is used, which loads in a fifth of a second: `ablate plan` asks here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ablate.study.verdict_method import LARGEST_FLIP

Floats = NDArray[np.float64]

LEVEL = 0.95
"""Confidence of every interval that is shown."""
NO_NOISE = 1e-12
"""Standard deviations below this part of the values are no seed noise at all, but the rounding of floats."""


@dataclass(frozen=True)
class Summary:
    """A mean difference per arm with its uncertainty; every field is a vector [arms], NaN where undefined."""

    n: Floats
    """Differences behind the mean (for two samples: the smaller sample)."""
    mean: Floats
    sd: Floats
    """Standard deviation of one difference, ddof 1."""
    se: Floats
    """Standard error of `mean`."""
    df: Floats

    def of(self, arms: NDArray[np.bool_]) -> Summary:
        """Return the summary of some arms [arms] alone."""
        return Summary(self.n[arms], self.mean[arms], self.sd[arms], self.se[arms], self.df[arms])


def count_mean_sd(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Return n, mean and standard deviation (ddof 1) of each row over its non-NaN entries."""
    there = np.isfinite(values)
    n = there.sum(axis=1).astype(np.float64)
    total = np.where(there, values, 0.0).sum(axis=1)
    mean = np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)
    squares = np.where(there, (values - mean[:, None]) ** 2, 0.0).sum(axis=1)
    sd = np.sqrt(np.divide(squares, n - 1, out=np.full(len(n), np.nan), where=n > 1))
    return n, mean, sd


def paired_summary(differences: Floats) -> Summary:
    """Summarise paired differences [arms, seeds]: SE = s / sqrt(n), df = n - 1."""
    n, mean, sd = count_mean_sd(differences)
    se = np.divide(sd, np.sqrt(n), out=np.full(len(n), np.nan), where=n > 1)
    return Summary(n, mean, sd, se, np.where(n > 1, n - 1, np.nan))


def welch_summary(values: Floats, baseline: Floats) -> Summary:
    """Summarise mean(values) - mean(baseline) of independent samples with unequal variances (Welch 1947).

    `values` is [arms, seeds], `baseline` the same or [seeds]; df is Satterthwaite's.
    """
    n1, mean1, sd1 = count_mean_sd(values)
    n0, mean0, sd0 = count_mean_sd(np.broadcast_to(baseline, (len(values), baseline.shape[-1])))
    enough = (n1 > 1) & (n0 > 1)
    nan = np.full(len(n1), np.nan)
    part1 = np.divide(sd1**2, n1, out=nan.copy(), where=enough)
    part0 = np.divide(sd0**2, n0, out=nan.copy(), where=enough)
    below = np.divide(part1**2, n1 - 1, out=nan.copy(), where=enough)
    below += np.divide(part0**2, n0 - 1, out=nan.copy(), where=enough)
    df = np.divide((part1 + part0) ** 2, below, out=nan.copy(), where=below > 0)
    return Summary(np.minimum(n1, n0), mean1 - mean0, np.sqrt(sd1**2 + sd0**2), np.sqrt(part1 + part0), df)


def no_noise(sd: Floats, size: Floats) -> NDArray[np.bool_]:
    """True where numbers have no seed noise at all: s <= 1e-12 size. False where s is undefined.

    `size` is how large the numbers are that were measured or subtracted, in the same unit: rounding is a part of that.
    """
    return np.asarray(sd <= NO_NOISE * size)


def sizes(values: Floats) -> Floats:
    """Return the largest size of each row's values, 0 where there is none."""
    return np.asarray(np.where(np.isfinite(values), np.abs(values), 0.0).max(axis=1, initial=0.0))


def two_sided_p(mean: Floats, se: Floats, df: Floats) -> Floats:
    """Student's t: p = 2 P(T > |mean| / SE); NaN where df is."""
    return np.asarray(2 * special.stdtr(df, -np.abs(mean) / se), dtype=np.float64)


def equivalence_p(mean: Floats, se: Floats, df: Floats, margin: Floats) -> Floats:
    """Two one-sided tests (Schuirmann 1987): small p says that the true mean lies within (-margin, margin)."""
    above_lower = special.stdtr(df, -(mean + margin) / se)
    below_upper = special.stdtr(df, (mean - margin) / se)
    return np.asarray(np.maximum(above_lower, below_upper), dtype=np.float64)


def half_width(se: Floats, df: Floats, level: Floats | float = 1 - LEVEL) -> Floats:
    """Half-width of the two-sided t-interval that misses the true mean with probability `level`."""
    return np.asarray(special.stdtrit(df, 1 - np.asarray(level) / 2) * se, dtype=np.float64)


def t_interval(values: ArrayLike, level: float = LEVEL) -> tuple[float, float]:
    """Return (low, high) of the t-interval of the mean; (nan, nan) for fewer than two values.

    It has the form seaborn's ``errorbar=`` wants; seaborn's default (a percentile bootstrap) is too narrow for a
    handful of seeds.
    """
    row = np.asarray(values, dtype=np.float64).reshape(1, -1)
    summary = paired_summary(row)
    if summary.n[0] < 2:
        return (float("nan"), float("nan"))
    width = half_width(summary.se, summary.df, 1 - level)[0]
    return (float(summary.mean[0] - width), float(summary.mean[0] + width))


def correlations(values: Floats, baseline: Floats) -> Floats:
    """Pearson correlation over seeds of each row with `baseline`, the same row of it or [seeds].

    NaN below 3 shared seeds or without spread.
    """
    shared = np.isfinite(values) & np.isfinite(baseline)
    ours = np.where(shared, values, np.nan)
    theirs = np.where(shared, baseline, np.nan)
    n, mean1, sd1 = count_mean_sd(ours)
    _, mean0, sd0 = count_mean_sd(theirs)
    products = np.where(shared, (ours - mean1[:, None]) * (theirs - mean0[:, None]), 0.0).sum(axis=1)
    usable = (n > 2) & ~no_noise(sd1, sizes(ours)) & ~no_noise(sd0, sizes(np.atleast_2d(theirs)))
    rho = np.divide(products, (n - 1) * sd1 * sd0, out=np.full(len(n), np.nan), where=usable)
    return np.asarray(np.clip(rho, -1.0, 1.0))


def sign_flips(n: int) -> NDArray[np.int8]:
    """Every sign pattern of n differences, [2**n, n] of -1 and +1; the first row is all +1."""
    codes = np.arange(2**n, dtype=np.int64)[:, None] >> np.arange(n)
    return (1 - 2 * (codes & 1)).astype(np.int8)


def sign_flip_p(differences: Sequence[float] | Floats, *, one_sided: bool = False) -> float:
    """Exact sign-flip test of symmetric differences around 0: share of all 2**n flips at least as extreme.

    Two-sided by |mean|, or by the mean itself (large is extreme) when `one_sided`. Exact for n <= 20; raises
    ValueError above.

    The sums of both halves are enumerated and their pairs counted: 2**(n/2) steps instead of 2**n.
    """
    row = np.asarray(differences, dtype=np.float64)
    if not 1 <= len(row) <= LARGEST_FLIP:
        raise ValueError(f"the exact sign-flip test takes 1 to {LARGEST_FLIP} differences, got {len(row)}")
    half = len(row) // 2
    first = sign_flips(half) @ row[:half]
    second = np.sort(sign_flips(len(row) - half) @ row[half:])
    # Sums in another order differ by rounding: what is equal on paper must count as equal.
    slack = 1e-12 * np.abs(row).sum()
    seen = row.sum() if one_sided else abs(row.sum())
    if not one_sided and seen <= slack:
        return 1.0
    extreme = len(second) - np.searchsorted(second, seen - slack - first)
    share = float(extreme.sum()) / 2.0 ** len(row)
    # With every pattern its opposite is among them: as many are as extreme on the other side.
    return share if one_sided else 2 * share
