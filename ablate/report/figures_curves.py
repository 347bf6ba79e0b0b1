"""Learning curves: mean over seeds with its t-interval, and single seeds where they are few, over the baseline's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ablate.outcome import OutcomeKind
from ablate.report import digits
from ablate.report.drawing import PALETTE, Drawing
from ablate.report.figures_base import Words, brief, finish, new_figure, styled, t_interval
from ablate.report.files import CURVE_COLUMNS, Point
from ablate.report.material import Material

MOST_ARMS = 12
"""Arms that are drawn; the data of all of them is in curves.csv."""
_COLUMNS = 3
_FEW_SEEDS = 5
_FEWEST_IMAGES = 2


def curves(material: Material, points: Sequence[Point]) -> Drawing | None:
    """Draw the curve of the primary metric, or of the metric most trials recorded; None without any curve."""
    metric = _metric(material, points)
    if metric is None:
        return None
    table = pd.DataFrame([point for point in points if point[3] == metric], columns=list(CURVE_COLUMNS[1:]))
    base = table[table["arm"] == material.study.baseline.name]
    there = set(table["arm"])
    arms = [arm.name for arm in material.shown_arms[1:] if arm.name in there]
    shown = arms[:MOST_ARMS] or [material.study.baseline.name]
    with styled():
        columns = min(_COLUMNS, len(shown))
        rows = -(-len(shown) // columns)
        figure, axes = new_figure(max(4.2, 2.9 * columns), 0.5 + 2.2 * rows, rows, columns, sharex=True, sharey=True)
        for axis, arm in zip(axes, shown, strict=False):
            _panel(axis, base, table[table["arm"] == arm], arm, material)
        for axis in axes[len(shown) :]:
            axis.set_visible(False)
        figure.supxlabel("training images seen", fontsize=9.5)
        figure.supylabel(digits.label(metric), fontsize=9.5)
        words = _words(metric, len(shown), len(arms))
        return finish(words, figure, CURVE_COLUMNS[1:], table.itertuples(index=False))


def _metric(material: Material, points: Sequence[Point]) -> str | None:
    """The primary metric where it has a curve of at least two points, or else the one with most points."""
    places: dict[str, set[int]] = {}
    for _, _, images, name, _ in points:
        places.setdefault(name, set()).add(images)
    counts = Counter(point[3] for point in points)
    usable = [name for name in sorted(counts) if len(places[name]) >= _FEWEST_IMAGES]
    primary = material.study.primary.name
    return primary if primary in usable else max(usable, key=lambda name: counts[name], default=None)


def _panel(axis: Axes, base: pd.DataFrame, own: pd.DataFrame, arm: str, material: Material) -> None:
    baseline = material.study.baseline.name
    _series(axis, base, PALETTE["grey"], "--", _diverged_seeds(material, baseline))
    if arm != baseline:
        _series(axis, own, PALETTE["blue"], "-", _diverged_seeds(material, arm))
    axis.set_title(brief(arm), loc="left")
    axis.set_xlabel("")
    axis.set_ylabel("")
    axis.grid(visible=True)
    axis.set_axisbelow(True)
    axis.xaxis.set_major_locator(MaxNLocator(4))


def _diverged_seeds(material: Material, arm: str) -> set[int]:
    results = material.results.items()
    return {seed for (name, seed), row in results if name == arm and row.outcome is OutcomeKind.DIVERGED}


def _series(axis: Axes, table: pd.DataFrame, colour: str, line: str, diverged: set[int]) -> None:
    if table.empty:
        return
    seeds = table["seed"].nunique()
    for seed, one in table.groupby("seed"):
        if seeds <= _FEW_SEEDS or seed in diverged:
            axis.plot(one["images"], one["value"], line, color=colour, linewidth=0.6, alpha=0.55)
        if seed in diverged:
            axis.plot(one["images"].iloc[-1], one["value"].iloc[-1], "X", color=PALETTE["vermilion"], markersize=6)
    # A mean over the seeds that are left would hide those that diverged.
    whole = table[table.groupby("images")["seed"].transform("nunique") == seeds]
    if whole.empty:
        return
    sns.lineplot(
        whole, x="images", y="value", estimator="mean", errorbar=t_interval, ax=axis, color=colour, linestyle=line,
        linewidth=1.8, err_kws={"alpha": 0.18, "linewidth": 0}, legend=False,
    )  # fmt: skip


def _words(metric: str, shown: int, arms: int) -> Words:
    left_out = f" The first {shown} of {arms} arms are drawn; curves.csv has all." if arms > shown else ""
    return Words(
        name="curves",
        section="curves",
        title=f"Learning curves, {digits.label(metric)}",
        alt=f"Learning curves of {digits.label(metric)} against training images seen, {digits.plural(shown, 'panel')}, "
        "each an arm over the baseline. The numbers are in curves.csv.",
        caption="Solid: the arm; dashed grey: the baseline. Bands are 95 % t-intervals of the mean over seeds"
        f"; thin lines are single seeds, a cross is where one diverged; "
        f"there is no mean where a seed is missing.{left_out}",
    )
