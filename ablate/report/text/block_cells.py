"""The table of arms by blocks, and what is said about several blocks, the same for every format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ablate.report.statistics.blocks.aggregates import Estimate
from ablate.report.statistics.blocks.findings import ArmInBlocks, BlockFindings, listed
from ablate.report.statistics.model import Comparison, Row
from ablate.report.text import numerals
from ablate.report.text.cells import verdict_word
from ablate.study.spec import MetricSpec

OVER_ALL = "over all"


@dataclass(frozen=True)
class BlockCell:
    """One arm in one block, or over all of them."""

    text: str
    """Difference to the baseline; of the baseline its mean."""
    interval: str
    verdict: str
    """Empty for the baseline."""
    symbol: str
    value: float | None


@dataclass(frozen=True)
class BlockLine:
    """One arm: a cell per block, then the one over all."""

    arm: str
    baseline: bool
    cells: tuple[BlockCell, ...]


def block_header(comparison: Comparison) -> tuple[str, ...]:
    """Return the names of the columns behind the arm."""
    return (*(comparison.blocks.names if comparison.blocks is not None else ()), OVER_ALL)


def block_lines(comparison: Comparison) -> list[BlockLine]:
    """Return the baseline and every arm, on the primary metric."""
    parts = [*(comparison.blocks.comparisons.values() if comparison.blocks is not None else ()), comparison]
    return [
        BlockLine(arm, arm == comparison.baseline, tuple(_cell(part, arm) for part in parts)) for arm in comparison.arms
    ]


def _cell(comparison: Comparison, arm: str) -> BlockCell:
    metric = comparison.primary
    row = comparison.rows.get((arm, metric.name))
    if row is None:
        return BlockCell("-", "", "", "", None)
    if arm == comparison.baseline:
        mean, sign, half = numerals.mean_text(row, metric).partition(" ± ")
        return BlockCell(mean, f"± {half}" if sign else "", "", "", row.mean)
    diff, interval = numerals.difference_parts(row, metric)
    return BlockCell(diff or "-", interval, verdict_word(row) if row.runs else "no result", _symbol(row), row.diff)


def _symbol(row: Row) -> str:
    return row.verdict.symbol if row.verdict is not None and row.runs else ""


def block_caption(comparison: Comparison) -> str:
    """Say what stands in the table and how its verdicts are corrected."""
    found = comparison.blocks
    assert found is not None
    metric = comparison.primary
    unit = numerals.unit_of_difference(metric)
    count = len(found.names)
    share = comparison.study_alpha / count
    return (
        f"{numerals.label(metric)}, difference to the baseline{f' in {unit}' if unit else ''} with 95 % t-interval "
        f"({numerals.arrow_words(metric)}; the baseline's own row shows its mean). Verdicts in a block: corrected over "
        f"all arms and all {count} blocks (level {share:.4g} in each block). {_over_all(found)}"
    )


def _over_all(found: BlockFindings) -> str:
    if found.kind == "fixed":
        return (
            "Over all: the mean of these blocks, each with equal weight; one difference per seed. It says nothing "
            "about other blocks."
        )
    return "Over all: blocks of this kind, of which these are a sample; one difference per block."


AGGREGATES = ("arm", "IQM", "P(better)", "p, same everywhere")


def aggregate_cells(comparison: Comparison) -> list[tuple[str, ...]]:
    """Return one line per arm: interquartile mean, chance to beat the baseline, p of one difference everywhere."""
    found = comparison.blocks
    if found is None:
        return []
    return [_aggregates(own, comparison.primary) for own in found.arms.values()]


def _aggregates(own: ArmInBlocks, metric: MetricSpec) -> tuple[str, ...]:
    return (own.arm, _estimate(own.iqm, metric.digits), _estimate(own.chance, 2), numerals.p_text(own.p_same))


def _estimate(found: Estimate | None, fallback: int) -> str:
    if found is None:
        return "-"
    decimals = numerals.decimals_for((found.high - found.low) / 2, fallback)
    low, high = numerals.fixed(found.low, decimals), numerals.fixed(found.high, decimals)
    return f"{numerals.fixed(found.value, decimals)} [{low}, {high}]"


def aggregate_caption(comparison: Comparison) -> str:
    """Say what the three numbers are and what they are not."""
    metric = numerals.label(comparison.primary)
    return (
        f"IQM: mean of the middle half of all runs of all blocks, in the unit of {metric}; it compares arms only where "
        "blocks have a like scale. P(better): chance that a run beats one of the baseline in the same block, averaged "
        "over blocks. Both with 95 % percentile intervals of a bootstrap stratified by block, as in rliable: with few "
        "seeds these are too narrow, and no verdict rests on them. p, same everywhere: F test that the difference to "
        "the baseline is the same in every block; exploratory."
    )


def rank_sentences(comparison: Comparison) -> list[str]:
    """Return what ranks over many blocks say; nothing for few."""
    found = comparison.blocks.ranks if comparison.blocks is not None else None
    if found is None:
        return []
    order = sorted(found.mean_ranks, key=lambda arm: found.mean_ranks[arm])
    shown = ", ".join(f"{arm} {found.mean_ranks[arm]:.2f}" for arm in order)
    sure = "the arms do not all rank alike" if found.p <= found.alpha else "no difference in rank is shown"
    wilcoxon = [f"{arm} {numerals.p_text(p)}" for arm, p in found.against_baseline.items()]
    return [
        f"Mean ranks over {found.blocks} blocks (1 is best): {shown}.",
        f"Friedman's test: chi squared {found.statistic:.2f}, p {_p_said(found.p)}, so {sure}; mean ranks "
        f"that differ by less than {found.difference:.2f} (Nemenyi, level {found.alpha:g}) are not told apart.",
        *([f"Wilcoxon's signed-rank test against the baseline, p by Holm: {', '.join(wilcoxon)}."] if wilcoxon else []),
    ]


def _p_said(p: float) -> str:
    text = numerals.p_text(p)
    return text.replace("<", "< ") if text.startswith("<") else f"= {text}"


def contradictions(comparison: Comparison) -> list[str]:
    """Return one sentence per arm for which there is no one word over all blocks."""
    found = comparison.blocks
    if found is None:
        return []
    return [
        f"{own.arm} depends on {found.word}: {_sides(own)}; its mean over all blocks hides that."
        for own in found.arms.values()
        if own.opposite
    ]


def _sides(own: ArmInBlocks) -> str:
    sides: Sequence[tuple[str, tuple[str, ...]]] = (("better", own.better), ("worse", own.worse))
    return ", ".join(f"{word} in {listed(blocks)}" for word, blocks in sides if blocks)
