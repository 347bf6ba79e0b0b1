"""Learning curves: mean over seeds with its t-interval, and single seeds where they are few, over the baseline's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ablate.outcome import OutcomeKind
from ablate.report.data.material import Material, Point
from ablate.report.figures.base import Words, finish, new_figure, styled, t_interval, titled
from ablate.report.figures.figure import PALETTE, Drawing
from ablate.report.formats.csv_cells import CURVE_COLUMNS
from ablate.report.statistics.spent import TRAIN_SECONDS
from ablate.report.text import numerals

MOST_ARMS = 12
"""Arms that are drawn; the data of all of them is in curves.csv."""
_COLUMNS = 3
_TITLE = 34
"""Characters that fit over a panel."""
_FEW_SEEDS = 5
_FEWEST_IMAGES = 2


def curves(material: Material, points: Sequence[Point]) -> list[Drawing]:
    """Draw the curve of the primary metric, or of the metric most trials recorded, over images and over seconds.

    Returns nothing without any curve, and only the first figure where points have no times.
    """
    metric = _metric(material, points)
    if metric is None:
        return []
    table = _table(points, metric)
    found = [_figure(material, table.drop(columns="seconds"), metric, "images")]
    timed = table.dropna(subset=["seconds"])
    if timed["seconds"].nunique() >= _FEWEST_IMAGES:
        found.append(_figure(material, timed, metric, "seconds"))
    return found


def _metric(material: Material, points: Sequence[Point]) -> str | None:
    """The primary metric where it has a curve of at least two points, or else the one with most points."""
    places: dict[str, set[int]] = {}
    for _, _, images, name, _ in points:
        places.setdefault(name, set()).add(images)
    counts = Counter(point[3] for point in points)
    usable = [name for name in sorted(counts) if len(places[name]) >= _FEWEST_IMAGES and name != TRAIN_SECONDS]
    primary = material.study.primary.name
    return primary if primary in usable else max(usable, key=lambda name: counts[name], default=None)


def _table(points: Sequence[Point], metric: str) -> pd.DataFrame:
    """The metric's points, with the seconds trained up to each where they are known."""
    times = {(arm, seed, images): value for arm, seed, images, name, value in points if name == TRAIN_SECONDS}
    rows = [(*point, times.get(point[:3])) for point in points if point[3] == metric]
    return pd.DataFrame(rows, columns=[*CURVE_COLUMNS[1:], "seconds"]).astype({"seconds": float})


def _figure(material: Material, table: pd.DataFrame, metric: str, x: str) -> Drawing:
    baseline = material.study.baseline.name
    there = set(table["arm"])
    arms = [arm.name for arm in material.shown_arms[1:] if arm.name in there]
    shown = arms[:MOST_ARMS] or [baseline]
    with styled():
        columns = min(_COLUMNS, len(shown))
        rows = -(-len(shown) // columns)
        figure, axes = new_figure(max(4.2, 2.9 * columns), 0.5 + 2.2 * rows, rows, columns, sharex=True, sharey=True)
        for axis, arm in zip(axes, shown, strict=False):
            _series(axis, table[table["arm"] == baseline], x, PALETTE["grey"], "--", _diverged(material, baseline))
            if arm != baseline:
                _series(axis, table[table["arm"] == arm], x, PALETTE["blue"], "-", _diverged(material, arm))
            _finish_panel(axis, arm)
        for at, axis in enumerate(axes):
            axis.set_visible(at < len(shown))
            # The panel above an empty place is the last of its column, and says what its axis shows.
            axis.xaxis.set_tick_params(labelbottom=at + columns >= len(shown))
        over = material.study.curve_over if x == "images" else "seconds of training"
        figure.supxlabel(over, fontsize=9.5)
        figure.supylabel(_with_unit(material, metric), fontsize=9.5)
        words = _words(metric, len(shown), len(arms), x, over)
        return finish(words, figure, list(table.columns), table.itertuples(index=False))


def _with_unit(material: Material, metric: str) -> str:
    """The metric as its axis has it; a metric that the study does not name has no known unit."""
    unit = next((one.unit for one in material.study.metrics if one.name == metric), "")
    return f"{numerals.label(metric)}{f' ({unit})' if unit else ''}"


def _finish_panel(axis: Axes, arm: str) -> None:
    titled(axis, arm, _TITLE)
    axis.set(xlabel="", ylabel="")
    axis.grid(visible=True)
    axis.set_axisbelow(True)
    axis.xaxis.set_major_locator(MaxNLocator(4))


def _diverged(material: Material, arm: str) -> set[int]:
    results = material.results.items()
    return {seed for (name, seed), row in results if name == arm and row.outcome is OutcomeKind.DIVERGED}


def _series(axis: Axes, table: pd.DataFrame, x: str, colour: str, line: str, diverged: set[int]) -> None:
    if table.empty:
        return
    seeds = table["seed"].nunique()
    for seed, one in table.groupby("seed"):
        if seeds <= _FEW_SEEDS or seed in diverged:
            axis.plot(one[x], one["value"], line, color=colour, linewidth=0.6, alpha=0.55)
        if seed in diverged:
            axis.plot(one[x].iloc[-1], one["value"].iloc[-1], "X", color=PALETTE["vermilion"], markersize=6)
    # A mean over the seeds that are left would hide those that diverged.
    whole = table[table.groupby("images")["seed"].transform("nunique") == seeds]
    if whole.empty:
        return
    # Seeds reach the same number of images at different times: the mean stands at their mean time.
    whole = whole.assign(place=whole.groupby("images")[x].transform("mean"))
    sns.lineplot(
        whole, x="place", y="value", estimator="mean", errorbar=t_interval, ax=axis, color=colour, linestyle=line,
        linewidth=1.8, err_kws={"alpha": 0.18, "linewidth": 0}, legend=False,
    )  # fmt: skip


def _words(metric: str, shown: int, arms: int, x: str, over: str) -> Words:
    left_out = f" The first {shown} of {arms} arms are drawn; curves.csv has all." if arms > shown else ""
    placed = "" if x == "images" else " A mean is drawn at the mean time at which its seeds had seen the same images."
    return Words(
        name="curves" if x == "images" else "curves-seconds",
        section="curves",
        title=f"Learning curves, {numerals.label(metric)} over {over}",
        alt=f"Learning curves of {numerals.label(metric)} against {over}, {numerals.plural(shown, 'panel')}, "
        "each an arm over the baseline. The numbers are in curves.csv.",
        caption=f"Over {over}. Solid: the arm; dashed grey: the baseline. Bands are 95 % t-intervals of the mean over "
        "seeds; thin lines are single seeds, a cross marks where one diverged; no mean is drawn where a seed is "
        f"missing.{placed}{left_out}",
    )
