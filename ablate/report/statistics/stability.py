"""How often arms diverge: exact intervals of shares, and an exact test against the baseline."""

from __future__ import annotations

from functools import lru_cache

from scipy import stats

from ablate.report.statistics.model import Stability
from ablate.report.statistics.significance import LEVEL


@lru_cache(maxsize=4096)
def share_interval(diverged: int, runs: int) -> tuple[float, float]:
    """Return the exact binomial (Clopper-Pearson) 95 % interval of a share; needs runs >= 1."""
    interval = stats.binomtest(diverged, runs).proportion_ci(confidence_level=LEVEL, method="exact")
    return (float(interval.low), float(interval.high))


@lru_cache(maxsize=4096)
def share_p(diverged: int, runs: int, baseline_diverged: int, baseline_runs: int) -> float:
    """Return p of Boschloo's exact test that two shares are the same; needs runs >= 1 in both."""
    if diverged * baseline_runs == baseline_diverged * runs:
        return 1.0
    table = [[diverged, baseline_diverged], [runs - diverged, baseline_runs - baseline_diverged]]
    return float(stats.boschloo_exact(table).pvalue)


def stability(arm: str, diverged: int, runs: int, baseline: tuple[int, int] | None) -> Stability:
    """Describe one arm; `baseline` is its (diverged, runs), or None for the baseline itself."""
    low, high = share_interval(diverged, runs) if runs else (None, None)
    p = share_p(diverged, runs, *baseline) if baseline is not None and runs and baseline[1] else None
    return Stability(arm, diverged, runs, low, high, p)
