"""Arms ranked in every block: Friedman's test, Nemenyi's critical difference, and Wilcoxon's test with Holm's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from ablate.report.statistics.corrections import adjust
from ablate.report.statistics.significance import Floats

FEWEST_ARMS = 3
FEWEST_BLOCKS = 5
"""Blocks from which ranks are shown: with fewer, even a perfect order proves next to nothing."""


@dataclass(frozen=True)
class Ranks:
    """How arms rank over blocks, one mean value per arm and block (Demsar 2006)."""

    arms: tuple[str, ...]
    blocks: int
    """Blocks in which all arms have a value."""
    mean_ranks: Mapping[str, float]
    """Arm -> its rank averaged over blocks; 1 is the best, ties share theirs."""
    statistic: float
    """Friedman's chi squared, corrected for ties."""
    p: float
    difference: float
    """Nemenyi's critical difference of two mean ranks at `alpha`."""
    alpha: float
    cliques: tuple[tuple[str, ...], ...]
    """Largest groups of arms whose mean ranks differ by less than `difference`, best first."""
    against_baseline: Mapping[str, float] = field(default_factory=dict)
    """Arm -> p of Wilcoxon's signed-rank test against the baseline over blocks, corrected by Holm."""


def ranks_of(
    values: Mapping[str, Sequence[float]], *, lower: bool, alpha: float, baseline: str | None = None
) -> Ranks | None:
    """Rank the arms in every block; `values` are arm -> its mean in every block, NaN where there is none.

    Blocks without a value of some arm are left out. None with fewer than 3 arms or 5 blocks.
    """
    arms = tuple(values)
    table = np.array([values[arm] for arm in arms], dtype=np.float64).reshape(len(arms), -1)
    table = table[:, np.isfinite(table).all(axis=0)]
    blocks = table.shape[1]
    if len(arms) < FEWEST_ARMS or blocks < FEWEST_BLOCKS:
        return None
    ranks = stats.rankdata(table if lower else -table, axis=0)
    mean = ranks.mean(axis=1)
    statistic, p = friedman(ranks)
    difference = critical_difference(len(arms), blocks, alpha)
    return Ranks(
        arms=arms,
        blocks=blocks,
        mean_ranks=dict(zip(arms, mean.tolist(), strict=True)),
        statistic=statistic,
        p=p,
        difference=difference,
        alpha=alpha,
        cliques=_cliques(arms, mean, difference),
        against_baseline=_wilcoxon(arms, table, baseline, alpha) if baseline in arms else {},
    )


def friedman(ranks: Floats) -> tuple[float, float]:
    """Return Friedman's chi squared (corrected for ties) and its p, for `ranks` [arms, blocks]."""
    arms, blocks = ranks.shape
    ties = sum(
        float((count**3 - count).sum()) for column in ranks.T for count in [np.unique(column, return_counts=True)[1]]
    )
    correction = 1 - ties / (blocks * arms * (arms**2 - 1))
    if correction <= 0:
        return 0.0, 1.0
    total = 12 / (blocks * arms * (arms + 1)) * float((ranks.sum(axis=1) ** 2).sum()) - 3 * blocks * (arms + 1)
    statistic = total / correction
    return statistic, float(stats.chi2.sf(statistic, arms - 1))


def critical_difference(arms: int, blocks: int, alpha: float) -> float:
    """Return Nemenyi's difference, of the studentized range with infinite degrees of freedom."""
    quantile = float(stats.studentized_range.ppf(1 - alpha, arms, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(arms * (arms + 1) / (6 * blocks))


def _cliques(arms: Sequence[str], mean: Floats, difference: float) -> tuple[tuple[str, ...], ...]:
    order = np.argsort(mean, kind="stable")
    found: list[tuple[str, ...]] = []
    reached = 0
    for start in range(len(order)):
        end = int(np.searchsorted(mean[order], mean[order[start]] + difference, side="left"))
        if end - start > 1 and end > reached:
            found.append(tuple(arms[place] for place in order[start:end]))
            reached = end
    return tuple(found)


def _wilcoxon(arms: Sequence[str], table: Floats, baseline: str | None, alpha: float) -> dict[str, float]:
    base = table[arms.index(baseline)] if baseline is not None else table[0]
    others = [place for place, arm in enumerate(arms) if arm != baseline]
    p = np.array([_signed_rank(table[place] - base) for place in others])
    adjusted = adjust(p, np.full(len(p), alpha), "holm").p
    return {arms[place]: float(one) for place, one in zip(others, adjusted, strict=True)}


def _signed_rank(differences: Floats) -> float:
    return 1.0 if not differences.any() else float(stats.wilcoxon(differences).pvalue)
