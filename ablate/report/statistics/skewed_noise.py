"""Skewed noise that arms do not share with the baseline: how to see it, and a test that holds all the same.

What arm and baseline have alike cancels in their paired difference. Where arms are much noisier than the baseline and
skewed, it does not: then a few seeds that happen to lie close together on the long side's far end look like a sure
difference, and the t-test errs far more often than it says. No single arm's seeds show that; all arms together do.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ablate.report.statistics.significance import Floats, Summary, count_mean_sd, equivalence_p, two_sided_p

_DRAWS = 100_000
_SEED = 20261123
_GRID: Floats = np.linspace(0.0, 4.0, 21)
"""Skewnesses that samples are drawn for; beyond, noise has almost no side but one."""
_CAUTION = 0.5
"""Standard errors by which the common skewness is taken for larger than it looks."""
_NOISIER = 2.0
"""Ratio of an arm's noise to the baseline's above which the arm's skewness stays in the difference."""
_CLEAR = 2.5
"""Standard errors from 0 at which the common skewness is called real: one false alarm in eighty studies."""


def sample_skewness(rows: Floats) -> Floats:
    """Return m3 / m2^1.5 of each row's finite values; NaN below three of them or without spread."""
    n, mean, sd = count_mean_sd(rows)
    centred = np.where(np.isfinite(rows), rows - mean[:, None], 0.0)
    usable = (n > 2) & (sd > 0)
    below = np.where(usable, np.sqrt(np.maximum(n - 1, 0) / np.maximum(n, 1)) * sd, 1.0)
    third = (centred**3).sum(axis=1) / np.maximum(n, 1)
    return np.asarray(np.where(usable, third / below**3, np.nan), dtype=np.float64)


def common_skewness(rows: Floats, caution: float = _CAUTION) -> float:
    """Return the skewness of the noise behind `rows` [arms, seeds], taken for the same in all arms.

    It is that of the gamma distribution whose samples are as skewed in the mean as these, `caution` standard errors
    further from 0. Samples of few seeds are less skewed than what they are drawn from. 0 without three seeds.
    """
    found = sample_skewness(rows)
    found = found[np.isfinite(found)]
    if not len(found):
        return 0.0
    n = int(np.median(np.isfinite(rows).sum(axis=1)[np.isfinite(sample_skewness(rows))]))
    middle = float(found.mean())
    spread = float(found.std(ddof=1)) if len(found) > 1 else np.sqrt(_normal_variance(n))
    size = abs(middle) + caution * spread / np.sqrt(len(found))
    return float(np.copysign(np.interp(size, _expected(n), _GRID), middle))


def _normal_variance(n: int) -> float:
    """Variance of the sample skewness of n normal values (n >= 3)."""
    return 6.0 * (n - 2) / ((n + 1) * (n + 3))


def skewed_p(differences: Floats, summary: Summary) -> Floats:
    """Return two-sided p of no difference that hold for normal and for skewed noise: the larger of two, [arms].

    One is the paired t's; the other is twice the smaller tail of the same statistic under gamma noise with the arms'
    common skewness. Needs three seeds or more per arm, and is NaN where the t-test is undefined.
    """
    plain = two_sided_p(summary.mean, summary.se, summary.df)
    low, high = _tails(differences, summary, summary.mean)
    return np.asarray(np.maximum(plain, np.minimum(1.0, 2 * np.minimum(low, high))), dtype=np.float64)


def skewed_equivalence_p(differences: Floats, summary: Summary, margin: Floats) -> Floats:
    """Return p of two one-sided tests that hold for normal and for skewed noise, [arms]; NaN without a margin."""
    plain = equivalence_p(summary.mean, summary.se, summary.df, margin)
    _, above_lower = _tails(differences, summary, summary.mean + margin)
    below_upper, _ = _tails(differences, summary, summary.mean - margin)
    return np.asarray(np.maximum(plain, np.maximum(above_lower, below_upper)), dtype=np.float64)


def _tails(differences: Floats, summary: Summary, shift: Floats) -> tuple[Floats, Floats]:
    """Chance of a t at most, and at least, `shift` / SE under the common skewness, [arms]."""
    skewness = common_skewness(differences)
    side, size = (1.0 if skewness >= 0 else -1.0), round(abs(skewness), 1)
    below, above = np.full(len(shift), np.nan), np.full(len(shift), np.nan)
    for at in np.flatnonzero(np.isfinite(shift) & (summary.se > 0)):
        drawn, t = _drawn_t(int(summary.n[at]), size), side * shift[at] / summary.se[at]
        low = (np.searchsorted(drawn, t, side="right") + 1) / (len(drawn) + 1)
        high = (len(drawn) - np.searchsorted(drawn, t, side="left") + 1) / (len(drawn) + 1)
        below[at], above[at] = (low, high) if side > 0 else (high, low)
    return below, above


def _gamma(rng: np.random.Generator, skewness: float, shape: tuple[int, ...]) -> Floats:
    """Noise of mean 0, standard deviation 1 and this skewness; normal at 0."""
    if skewness == 0:
        return rng.standard_normal(shape)
    form = 4 / skewness**2
    return np.asarray((rng.standard_gamma(form, shape) - form) * skewness / 2, dtype=np.float64)


@lru_cache(maxsize=64)
def _drawn_t(n: int, skewness: float) -> Floats:
    """One-sample t statistics of n draws without an effect, sorted."""
    rows = _gamma(np.random.default_rng(_SEED), skewness, (_DRAWS, n))
    return np.sort(rows.mean(axis=1) / (rows.std(axis=1, ddof=1) / np.sqrt(n)))


@lru_cache(maxsize=64)
def _expected(n: int) -> Floats:
    """The mean sample skewness of n draws for every skewness of the grid; it rises along the grid."""
    rng = np.random.default_rng(_SEED)
    means = [float(np.nanmean(sample_skewness(_gamma(rng, float(one), (_DRAWS // 5, n))))) for one in _GRID]
    return np.maximum.accumulate(np.array([0.0, *means[1:]]))


def is_one_sided(arms: Floats, baseline: Floats) -> tuple[list[int], float]:
    """Return the rows of `arms` [arms, seeds] that are far noisier than their row of `baseline`, and their skewness.

    No rows where the skewness that they have in common is not clear.
    """
    own, theirs = count_mean_sd(arms)[2], count_mean_sd(baseline)[2]
    noisy = np.flatnonzero((own > _NOISIER * theirs) & np.isfinite(sample_skewness(arms)))
    if not len(noisy):
        return [], 0.0
    found = sample_skewness(arms[noisy])
    counts = np.isfinite(arms[noisy]).sum(axis=1)
    error = np.sqrt(sum(_normal_variance(int(n)) for n in counts)) / len(noisy)
    if abs(float(found.mean())) <= _CLEAR * error:
        return [], 0.0
    return noisy.tolist(), common_skewness(arms[noisy], caution=0.0)
