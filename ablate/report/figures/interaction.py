"""Cell means of a factorial or grid as heatmaps: one panel per pair of factors, the other factors averaged over."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import cast

import numpy as np
import seaborn as sns
from matplotlib import colormaps
from matplotlib.axes import Axes

from ablate.json_values import JsonValue
from ablate.report.data.material import Material
from ablate.report.figures.base import Words, brief, finish, new_figure, styled, t_interval
from ablate.report.figures.figure import Drawing
from ablate.report.statistics.families import Family
from ablate.report.statistics.model import Comparison
from ablate.report.text import numerals
from ablate.study.factors import level_text
from ablate.study.spec import MetricSpec

DESIGNS = ("factorial", "grid")
_COLOURS = "cividis"
"""Even in lightness, and read the same with any colour vision."""
_MOST_PAIRS = 6
_COLUMNS = 2
_COLUMN_NAMES = ("first", "first_level", "second", "second_level", "seeds", "mean", "ci_low", "ci_high")


@dataclass(frozen=True)
class InteractionCell:
    """One combination of two levels: mean over seeds of the mean over arms, with its 95 % t-interval."""

    seeds: int
    mean: float | None
    low: float | None
    high: float | None


def interactions(material: Material) -> list[Drawing]:
    """Draw one figure per factorial or grid of two factors or more; nothing where no cell has a mean."""
    families = [family for family in material.families if family.kind in DESIGNS and len(family.factors) > 1]
    found = [_figure(family, at, material.comparison) for at, family in enumerate(families)]
    return [drawing for drawing in found if drawing is not None]


def _figure(family: Family, at: int, comparison: Comparison) -> Drawing | None:
    pairs = list(itertools.combinations(family.factors, 2))
    shown = pairs[:_MOST_PAIRS]
    tables = [cell_means(family, first, second, comparison) for first, second in shown]
    means = [cell.mean for table in tables for cell in table.values() if cell.mean is not None]
    if not means:
        return None
    with styled():
        columns = min(_COLUMNS, len(shown))
        rows = -(-len(shown) // columns)
        figure, axes = new_figure(4.2 * columns, 0.4 + 2.6 * rows, rows, columns)
        for axis, pair, table in zip(axes, shown, tables, strict=False):
            _panel(axis, pair, table, comparison.primary, (min(means), max(means)))
        for axis in axes[len(shown) :]:
            axis.set_visible(False)
        data = [_data(pair, table) for pair, table in zip(shown, tables, strict=True)]
        return finish(
            _words(family, at, comparison.primary, shown, len(pairs)),
            figure,
            _COLUMN_NAMES,
            itertools.chain.from_iterable(data),
        )


Table = Mapping[tuple[str, str], InteractionCell]
"""(level of the first factor, level of the second) -> cell, in study-file order."""


def cell_means(family: Family, first: str, second: str, comparison: Comparison) -> Table:
    """Return the mean of every pair of levels over the arms that have them, seed by seed."""
    arms: dict[tuple[str, str], list[str]] = {}
    for arm, cell in family.cells.items():
        one, other = (level_text(cast("JsonValue", cell[name])) for name in (first, second))
        arms.setdefault((one, other), []).append(arm)
    return {levels: _cell(own, comparison) for levels, own in arms.items()}


def _cell(arms: Sequence[str], comparison: Comparison) -> InteractionCell:
    rows = [comparison.rows.get((arm, comparison.primary.name)) for arm in arms]
    # An arm whose runs diverged has no mean, and a cell without it would be the mean of something else.
    known = [row for row in rows if row is not None and row.mean is not None]
    if len(known) < len(arms):
        return InteractionCell(0, None, None, None)
    seeds = sorted(set.intersection(*(set(row.values) for row in known)))
    if not seeds:
        return InteractionCell(0, None, None, None)
    values = [fmean(row.values[seed] for row in known) for seed in seeds]
    low, high = t_interval(values)
    interval = (low, high) if len(seeds) > 1 else (None, None)
    return InteractionCell(len(seeds), fmean(values), *interval)


def _panel(axis: Axes, pair: tuple[str, str], table: Table, metric: MetricSpec, span: tuple[float, float]) -> None:
    down, across = (list(dict.fromkeys(levels[at] for levels in table)) for at in (0, 1))
    cells = [[table.get((one, other), InteractionCell(0, None, None, None)) for other in across] for one in down]
    heights = np.array([[np.nan if cell.mean is None else cell.mean for cell in row] for row in cells], dtype=float)
    words = np.array([[_text(cell, metric) for cell in row] for row in cells])
    sns.heatmap(
        heights, annot=words, fmt="", cmap=_COLOURS, vmin=span[0], vmax=span[1], cbar=False, linewidths=1.5, ax=axis,
        linecolor="white", annot_kws={"fontsize": 8.5}, xticklabels=[brief(level) for level in across],
        yticklabels=[brief(level) for level in down],
    )  # fmt: skip
    for text in axis.texts:
        column, row = (int(place) for place in text.get_position())
        text.set_color(_ink(heights[row, column], span))
    axis.set(xlabel=brief(pair[1]), ylabel=brief(pair[0]))
    axis.tick_params(length=0)


def _ink(height: float, span: tuple[float, float]) -> str:
    """Black or white, whichever has more contrast on the cell's colour (WCAG 2.2, relative luminance)."""
    place = (height - span[0]) / (span[1] - span[0]) if span[1] > span[0] else 0.0
    shares = np.array(colormaps[_COLOURS](place)[:3])
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return "black" if float(linear @ (0.2126, 0.7152, 0.0722)) > 0.179 else "white"


def _text(cell: InteractionCell, metric: MetricSpec) -> str:
    if cell.mean is None:
        return ""
    half = None if cell.low is None else cell.mean - cell.low
    decimals = numerals.decimals_for(half, metric.digits)
    spread = "" if half is None else f"\n± {numerals.fixed(half, decimals)}"
    return f"{numerals.fixed(cell.mean, decimals)}{spread}"


def _data(pair: tuple[str, str], table: Table) -> list[tuple[object, ...]]:
    return [
        (pair[0], one, pair[1], other, cell.seeds, cell.mean, cell.low, cell.high)
        for (one, other), cell in table.items()
    ]


def _words(family: Family, at: int, metric: MetricSpec, shown: Sequence[tuple[str, str]], pairs: int) -> Words:
    named = "; ".join(f"{first} by {second}" for first, second in shown)
    left_out = f" The first {len(shown)} of {pairs} pairs of factors are drawn." if pairs > len(shown) else ""
    averaged = " The other factors are averaged over." if len(family.factors) > 2 else ""
    return Words(
        name=f"interactions{'' if at == 0 else f'-{at + 1}'}",
        section="contrasts",
        title=f"{numerals.label(metric)} by two factors at a time",
        alt=f"Heatmap of the mean {numerals.label(metric)} for {named}. The numbers are in the figure's CSV file, the "
        "tests in the table of contrasts.",
        caption=f"Mean {numerals.label(metric)} over seeds with the half-width of its 95 % t-interval; bright is high "
        f"({numerals.arrow_words(metric)}).{averaged} Whether effects add up is tested below and cannot be seen here: "
        f"intervals of cell means are wider than those of their differences.{left_out}",
    )
