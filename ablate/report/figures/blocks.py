"""Figures of several blocks: every arm's difference in each of them, and ranks with their critical difference."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from ablate.report.data.material import Material
from ablate.report.figures.base import COLOURS, MARKERS, Words, brief, finish, new_figure, styled
from ablate.report.figures.figure import INK, SHADE, Drawing
from ablate.report.statistics.blocks.ranks import Ranks
from ablate.report.statistics.model import Comparison, Row, Verdict
from ablate.report.text import numerals
from ablate.report.text.block_cells import OVER_ALL
from ablate.report.text.cells import verdict_word
from ablate.study.spec import MetricSpec

MOST_PANELS = 24
"""Arms that have a panel of their own; the table has all of them."""
_COLUMNS = ("arm", "block", "verdict", "diff", "ci_low", "ci_high")
_PANELS_IN_ROW = 3


def blocks(material: Material) -> list[Drawing]:
    """Draw the differences block by block, and the ranks where there are enough blocks; nothing without blocks."""
    comparison = material.comparison
    if comparison.blocks is None:
        return []
    found = [_differences(comparison)]
    if comparison.blocks.ranks is not None:
        found.append(_ranks(comparison.blocks.ranks, comparison.primary))
    return [drawing for drawing in found if drawing is not None]


def _differences(comparison: Comparison) -> Drawing | None:
    assert comparison.blocks is not None
    arms = [arm for arm in comparison.arms if arm != comparison.baseline][:MOST_PANELS]
    parts = {**comparison.blocks.comparisons, OVER_ALL: comparison}
    rows = {arm: {name: part.row(arm) for name, part in parts.items()} for arm in arms}
    if not any(row.diff is not None for own in rows.values() for row in own.values()):
        return None
    columns = min(_PANELS_IN_ROW, len(arms))
    lines = -(-len(arms) // columns)
    metric = comparison.primary
    with styled():
        figure, axes = new_figure(
            8.6, lines * (0.6 + 0.24 * len(parts)) + 0.5, lines, columns, sharex=True, sharey=True
        )
        for axis, arm in zip(axes, arms, strict=False):
            _panel(axis, arm, rows[arm], metric)
        for place in range(len(arms), len(axes)):
            axes[place].set_visible(False)
            axes[place - columns].tick_params(labelbottom=True)  # nothing below has the labels
        axes[0].set_yticks(range(len(parts)), [brief(name) for name in parts])
        axes[0].set_ylim(len(parts) - 0.4, -0.6)
        unit = numerals.unit_of_difference(metric)
        label = f"{numerals.label(metric)}, arm minus baseline{f' ({unit})' if unit else ''}"
        figure.supxlabel(f"{label}; {numerals.arrow_words(metric)}", fontsize=9.5)
        data = [
            (arm, name, verdict_word(row), row.diff, row.ci_low, row.ci_high)
            for arm, own in rows.items()
            for name, row in own.items()
        ]
        return finish(_difference_words(comparison, len(arms)), figure, _COLUMNS, data)


def _panel(axis: Axes, arm: str, own: dict[str, Row], metric: MetricSpec) -> None:
    factor = 100.0 if metric.scale == "log" else 1.0
    if metric.margin is not None and (metric.scale == "log" or not metric.relative):
        axis.axvspan(-factor * metric.margin, factor * metric.margin, color=SHADE, linewidth=0, zorder=0)
    axis.axvline(0, color=INK, linewidth=0.9, zorder=1)
    axis.axhline(len(own) - 1.5, color=INK, linewidth=0.5, zorder=1)
    axis.set_title(brief(arm), loc="left")
    axis.tick_params(axis="y", length=0)
    for place, row in enumerate(own.values()):
        verdict = row.verdict or Verdict.UNDECIDED
        if row.diff is None:
            continue
        if row.ci_low is not None and row.ci_high is not None:
            axis.hlines(
                place, factor * row.ci_low, factor * row.ci_high, color=COLOURS[verdict], linewidth=2.6, zorder=3
            )
        axis.plot(
            factor * row.diff, place, MARKERS[verdict], color=COLOURS[verdict], markersize=7, markeredgecolor="white",
            markeredgewidth=0.7, zorder=4,
        )  # fmt: skip


def _difference_words(comparison: Comparison, drawn: int) -> Words:
    assert comparison.blocks is not None
    count = len(comparison.blocks.names)
    more = len(comparison.arms) - 1 - drawn
    return Words(
        name="blocks",
        section="blocks",
        title=f"{numerals.label(comparison.primary)} difference to the baseline, block by block",
        alt=f"One panel per arm with its difference to the baseline in each of {numerals.plural(count, 'block')} and "
        "over all. The numbers are in the table of arms by blocks.",
        caption="Point and 95 % t-interval in every block, and over all below the line; the marks are those of the "
        "verdicts (triangles: better and worse, square: equivalent, circle: undecided)."
        + (f" {more} more arms are in the table." if more > 0 else ""),
    )


def _ranks(found: Ranks, metric: MetricSpec) -> Drawing:
    order = sorted(found.arms, key=lambda arm: (found.mean_ranks[arm], arm))
    count = len(order)
    half = (count + 1) // 2
    with styled():
        height = 1.0 + 0.24 * half + 0.14 * len(found.cliques)
        figure, (axis,) = new_figure(8.6, height)
        axis.set_xlim(0.6, count + 0.4)
        axis.set_ylim(-(1.0 + 0.9 * half + 0.5 * len(found.cliques)), 1.4)
        axis.axis("off")
        axis.hlines(0, 1, count, color=INK, linewidth=1)
        for rank in range(1, count + 1):
            axis.vlines(rank, 0, 0.22, color=INK, linewidth=1)
            axis.text(rank, 0.32, str(rank), ha="center", va="bottom")
        if found.difference < count - 1:
            axis.hlines(1.25, 1, 1 + found.difference, color=INK, linewidth=1.6)
            axis.text(1 + found.difference + 0.05, 1.25, f"critical difference {found.difference:.2f}", va="center")
        low = 0.5 * len(found.cliques)
        for at, clique in enumerate(found.cliques):
            ranks = [found.mean_ranks[arm] for arm in clique]
            axis.hlines(-0.45 * (at + 1), min(ranks) - 0.03, max(ranks) + 0.03, color=INK, linewidth=3.2)
        for place, arm in enumerate(order):
            _name(axis, arm, found.mean_ranks[arm], place, half, count, low)
        data = [(arm, found.mean_ranks[arm], found.against_baseline.get(arm)) for arm in order]
        return finish(_rank_words(found, metric), figure, ("arm", "mean_rank", "p_wilcoxon_holm"), data)


def _name(axis: Axes, arm: str, rank: float, place: int, half: int, count: int, low: float) -> None:
    left = place < half
    row = place if left else count - 1 - place
    down, side = -(low + 0.9 * (row + 1)), 0.75 if left else count + 0.25
    axis.plot([rank, rank, side], [0, down, down], color=INK, linewidth=0.8)
    axis.text(
        side - 0.05 if left else side + 0.05,
        down,
        f"{brief(arm)} {rank:.2f}" if left else f"{rank:.2f} {brief(arm)}",
        ha="right" if left else "left",
        va="center",
        clip_on=False,
    )


def _rank_words(found: Ranks, metric: MetricSpec) -> Words:
    best: Sequence[str] = sorted(found.arms, key=lambda arm: found.mean_ranks[arm])
    return Words(
        name="ranks",
        section="blocks",
        title=f"Mean ranks over {found.blocks} blocks on {numerals.label(metric)}",
        alt=f"Critical-difference diagram of {numerals.plural(len(found.arms), 'arm')} over {found.blocks} blocks; "
        f"best mean rank: {best[0]}. The ranks are in the text below.",
        caption="Mean rank of every arm over blocks, 1 is best. Thick bars join arms whose mean ranks differ by less "
        f"than the critical difference (Nemenyi, level {found.alpha:g}): they are not told apart.",
    )
