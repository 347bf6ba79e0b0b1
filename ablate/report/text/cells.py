"""The comparison table as plain text cells, the same for the terminal, Markdown, LaTeX and HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.stats import t as student

from ablate.report.statistics.model import Comparison, Row, Verdict
from ablate.report.statistics.significance import NO_NOISE
from ablate.report.text import numerals
from ablate.study.spec import MetricSpec

MOST_SECONDARY = 3
"""Secondary metrics in the table of a page; more would not fit beside the verdict."""


@dataclass(frozen=True)
class TableLine:
    """One arm of the table."""

    arm: str
    baseline: bool
    verdict: str
    """The word; ``-`` for the baseline, ``running`` without any result."""
    symbol: str
    n: str
    primary: tuple[str, str]
    """Difference and interval; for the baseline mean and half-width (``29.36``, ``± 0.14``)."""
    p_holm: str
    secondary: Mapping[str, str]
    """Difference with interval per secondary metric, by its name; for the baseline its mean."""
    time: str
    ratio: float | None
    """Time relative to the baseline's."""
    bold: bool
    """Best, or better and not shown to be worse than the best."""


def lines_of(
    comparison: Comparison, order: Sequence[str] | None = None, times: Mapping[str, float | None] | None = None
) -> list[TableLine]:
    """Return the table's lines, the baseline first; `order` (default: the comparison's) names the arms."""
    arms = order if order is not None else comparison.arms
    best = best_arms(comparison)
    rest = [arm for arm in arms if arm != comparison.baseline]
    return [
        _line(arm, comparison, best, times or {}) for arm in (comparison.baseline, *rest) if _known(arm, comparison)
    ]


def _known(arm: str, comparison: Comparison) -> bool:
    return (arm, comparison.primary.name) in comparison.rows


def _line(arm: str, comparison: Comparison, best: frozenset[str], times: Mapping[str, float | None]) -> TableLine:
    row = comparison.row(arm)
    baseline = arm == comparison.baseline
    return TableLine(
        arm=arm,
        baseline=baseline,
        verdict="-" if baseline else verdict_word(row),
        symbol="" if baseline or row.verdict is None else row.verdict.symbol,
        n=numerals.seeds_text(row),
        primary=_baseline_cell(row, comparison.primary) if baseline else _cell(row, comparison.primary),
        p_holm="" if baseline else numerals.p_text(row.p_holm),
        secondary={
            metric.name: _secondary(comparison, arm, metric, baseline=baseline)
            for metric in secondary_metrics(comparison)
        },
        time=numerals.times_text(times.get(arm)),
        ratio=times.get(arm),
        bold=arm in best,
    )


def verdict_word(row: Row) -> str:
    """Return the verdict's word, or what stands in its place."""
    if row.verdict is not None:
        return row.verdict.value
    return "no verdict" if row.runs else "no result"


def _cell(row: Row, metric: MetricSpec) -> tuple[str, str]:
    diff, interval = numerals.difference_parts(row, metric)
    return (diff or "-", interval)


def _baseline_cell(row: Row, metric: MetricSpec) -> tuple[str, str]:
    mean, sign, half = numerals.mean_text(row, metric).partition(" ± ")
    return (mean, f"± {half}" if sign else "")


def _secondary(comparison: Comparison, arm: str, metric: MetricSpec, *, baseline: bool) -> str:
    row = comparison.rows.get((arm, metric.name))
    if row is None:
        return "-"
    return numerals.mean_text(row, metric) if baseline else numerals.difference_text(row, metric)


def best_arms(comparison: Comparison) -> frozenset[str]:
    """Return the arms to print in bold: the best of those decided better, and those not shown to be worse than it.

    "Shown to be worse" is a paired t-test against the best arm at the comparison's level. Empty when no arm is
    decided better: nothing is emphasised without a verdict.
    """
    better = [
        row
        for (_, metric), row in comparison.rows.items()
        if metric == comparison.primary.name and row.verdict is Verdict.BETTER and row.improvement is not None
    ]
    if not better:
        return frozenset()
    best = max(better, key=lambda row: row.improvement or 0.0)
    sign = 1.0 if comparison.primary.direction == "max" else -1.0
    return frozenset(row.arm for row in better if not _shown_worse(row, best, sign, comparison.look_level))


def _shown_worse(row: Row, best: Row, sign: float, alpha: float) -> bool:
    shared = sorted(row.differences.keys() & best.differences.keys())
    gaps = [sign * (best.differences[seed] - row.differences[seed]) for seed in shared]
    if row.arm == best.arm or len(gaps) < 2:
        return False
    mean, spread = fmean(gaps), stdev(gaps)
    if spread <= NO_NOISE * max(map(abs, (*row.values.values(), *best.values.values()))):
        return mean > 0
    return bool(2 * student.sf(mean / (spread / len(gaps) ** 0.5), len(gaps) - 1) <= alpha)


def primary_header(comparison: Comparison, *, arrow: bool = True) -> str:
    """Return the header of the primary metric's column, ``PSNR diff (dB) ↑``."""
    return difference_header(comparison.primary, arrow=arrow)


def difference_header(metric: MetricSpec, *, arrow: bool = True) -> str:
    """Return the header of a column of differences, ``SSIM diff ↑``."""
    unit = numerals.unit_of_difference(metric)
    return f"{numerals.label(metric)} diff{f' ({unit})' if unit else ''}{arrow_of(metric) if arrow else ''}"


def p_header(comparison: Comparison) -> str:
    """Return the header of the column of corrected p values."""
    return {"holm": "p (Holm)", "bh": "p (BH)", "none": "p"}[comparison.correct]


def secondary_metrics(comparison: Comparison) -> tuple[MetricSpec, ...]:
    """Return every metric but the primary one, in study order."""
    return tuple(metric for metric in comparison.metrics if not metric.primary)


def headline_metrics(comparison: Comparison) -> tuple[MetricSpec, ...]:
    """Return the few secondary metrics that stand in the table beside the primary one, in study order.

    Those with a declared margin come before the others: the study says that they matter.
    """
    others = secondary_metrics(comparison)
    first = sorted(others, key=lambda metric: metric.margin is None)[:MOST_SECONDARY]
    return tuple(metric for metric in others if metric in first)


def unit_of(comparison: Comparison) -> str:
    """What one difference behind a verdict is of: a seed, or a block where these are a sample."""
    return "block" if comparison.blocks is not None and comparison.blocks.kind == "random" else "seed"


def arrow_of(metric: MetricSpec) -> str:
    """Return `` ↑`` where higher is better, `` ↓`` where lower is."""
    return " ↑" if metric.direction == "max" else " ↓"
