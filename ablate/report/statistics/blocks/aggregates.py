"""Interquartile mean and probability of improvement over blocks, as Agarwal et al. (2021, rliable) define them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ablate.report.statistics.significance import LEVEL, Floats

DRAWS = 2000
"""Bootstrap samples: the interval's ends are quantiles of that many."""
_SEED = 20210830


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % percentile interval of the stratified bootstrap."""

    value: float
    low: float
    high: float


def interquartile_mean(values: Floats) -> float:
    """Return the mean of the middle half of all values: 25 % are cut off at each end (rounded down)."""
    return float(stats.trim_mean(values, 0.25, axis=None))


def iqm(strata: Sequence[Floats], draws: int = DRAWS) -> Estimate | None:
    """Return the interquartile mean over all runs of all blocks; `strata` are the values [seeds] of each block.

    Each bootstrap sample draws as many runs from every block as it has, with replacement. Samples are drawn block by
    block in the order of `strata`. None without a run in some block.
    """
    if not strata or any(len(own) == 0 for own in strata):
        return None
    random = np.random.default_rng(_SEED)
    sampled = np.concatenate([_resample(own, draws, random) for own in strata], axis=1)
    found = np.asarray(stats.trim_mean(sampled, 0.25, axis=1))
    return _estimate(interquartile_mean(np.concatenate(strata)), found)


def improvement_chance(
    arm: Sequence[Floats], baseline: Sequence[Floats], *, lower: bool = False, draws: int = DRAWS
) -> Estimate | None:
    """Return the chance that a run of the arm beats a run of the baseline, averaged over blocks; a tie counts half.

    Runs are taken as independent, as in rliable: shared seeds are not used. `lower` values are better where it says so.
    None without a run in some block.
    """
    if not arm or any(len(own) == 0 for own in (*arm, *baseline)):
        return None
    random = np.random.default_rng(_SEED)
    sign = -1.0 if lower else 1.0
    values, sampled = [], []
    for own, base in zip(arm, baseline, strict=True):
        values.append(float(_wins(sign * own[None, :], sign * base[None, :])[0]))
        sampled.append(_wins(sign * _resample(own, draws, random), sign * _resample(base, draws, random)))
    return _estimate(float(np.mean(values)), np.mean(sampled, axis=0))


def _resample(values: Floats, draws: int, random: np.random.Generator) -> Floats:
    return np.asarray(values[random.integers(0, len(values), (draws, len(values)))])


def _wins(own: Floats, base: Floats) -> Floats:
    """[draws]: share of pairs in which `own` [draws, n] is larger than `base` [draws, m], ties half."""
    above = (own[:, :, None] > base[:, None, :]).mean(axis=(1, 2))
    same = (own[:, :, None] == base[:, None, :]).mean(axis=(1, 2))
    return np.asarray(above + same / 2)


def _estimate(value: float, sampled: Floats) -> Estimate:
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(sampled, [tail, 100 - tail])
    return Estimate(value, float(low), float(high))
