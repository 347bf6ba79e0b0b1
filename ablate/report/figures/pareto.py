"""Quality against cost, and quality against the level of a numeric factor."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ablate.report.data.material import Material
from ablate.report.figures.base import COLOURS, MARKERS, Words, brief, finish, new_figure, styled
from ablate.report.figures.figure import INK, PALETTE, Drawing
from ablate.report.statistics.model import Row, Verdict
from ablate.report.statistics.pareto import front_text, time_metric
from ablate.report.text import numerals
from ablate.study.spec import Arm, MetricSpec

_FAR_APART = 8.0
"""Ratio of times from which the axis is logarithmic."""
_MOST_NAMES = 20
_MOST_TICKS = 10


def pareto(material: Material) -> Drawing | None:
    """Draw every arm's quality against its time, with interval crosses; None without times."""
    comparison = material.comparison
    time = time_metric(comparison)
    points = [
        (arm, comparison.rows[arm, comparison.primary.name], cost)
        for arm in comparison.arms
        if (cost := _cost(material, arm, time)) is not None
        if (row := comparison.rows.get((arm, comparison.primary.name))) is not None and row.mean is not None
    ]
    if len(points) < 2:
        return None
    with styled():
        figure, (axis,) = new_figure(7.4, 4.2)
        for arm, row, (mean, half) in points:
            _point(axis, row, mean, half, baseline=arm == comparison.baseline)
            if material.front is not None and arm in material.front.arms:
                axis.plot(mean, row.mean or 0.0, "o", markersize=14, fillstyle="none", color=INK, markeredgewidth=0.9)
        _front(axis, [(cost[0], row.mean or 0.0) for _, row, cost in points], comparison.primary)
        label = numerals.label(time) if time is not None else "seconds per trial"
        axis.set_xlabel(f"{label}{f' ({time.unit})' if time is not None else ''}; lower is better")
        metric = comparison.primary
        unit = f" ({metric.unit})" if metric.unit else ""
        axis.set_ylabel(f"{numerals.label(metric)}{unit}; {numerals.arrow_words(metric)}")
        axis.margins(0.12)
        _time_axis(axis, [cost for _, _, cost in points])
        if len(points) <= _MOST_NAMES:
            _names(axis, [(arm, cost[0], row.mean or 0.0) for arm, row, cost in points])
        axis.grid(visible=True)
        axis.set_axisbelow(True)
        rows = [(arm, row.mean, row.half_width, *cost, front_text(material.front, arm)) for arm, row, cost in points]
        return finish(_pareto_words(metric, label, len(points)), figure, _PARETO, rows)


_PARETO = ("arm", "quality", "quality_half_width", "time", "time_half_width", "front")


def _time_axis(axis: Axes, times: Sequence[tuple[float, float | None]]) -> None:
    """Logarithmic where times lie far apart; an interval that reaches below zero goes out of the picture."""
    shortest, longest = min(mean for mean, _ in times), max(mean for mean, _ in times)
    if shortest <= 0 or longest / shortest < _FAR_APART:
        axis.set_xlim(left=max(0.0, axis.get_xlim()[0]))
        return
    axis.set_xscale("log")
    axis.set_xlim(shortest / 1.7, max(longest * 1.7, *(1.1 * (mean + (half or 0.0)) for mean, half in times)))
    # The formatter of a logarithmic axis writes TeX, which is not read here.
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())


def _cost(material: Material, arm: str, time: MetricSpec | None) -> tuple[float, float | None] | None:
    """Mean time of an arm and the half-width of its interval where the time is a metric of the study."""
    if time is None:
        cost = material.costs.get(arm)
        return (cost.seconds, None) if cost is not None and cost.seconds is not None else None
    row = material.comparison.rows.get((arm, time.name))
    return (row.mean, row.half_width) if row is not None and row.mean is not None else None


def _point(axis: Axes, row: Row, time: float, half: float | None, *, baseline: bool) -> None:
    verdict = row.verdict or Verdict.UNDECIDED
    colour, marker = (INK, "D") if baseline else (COLOURS[verdict], MARKERS[verdict])
    axis.errorbar(
        time, row.mean or 0.0, xerr=half, yerr=row.half_width, fmt=marker, color=colour, markersize=7, linewidth=1.2,
        markeredgecolor="white", markeredgewidth=0.7,
    )  # fmt: skip


def _front(axis: Axes, points: Sequence[tuple[float, float]], metric: MetricSpec) -> None:
    """Join the means that no other mean beats in both, as steps: what a budget of time buys."""
    sign = 1.0 if metric.direction == "max" else -1.0
    front: list[tuple[float, float]] = []
    for time, quality in sorted(points, key=lambda point: (point[0], -sign * point[1])):
        if not front or sign * quality > sign * front[-1][1]:
            front.append((time, quality))
    if len(front) > 1:
        style: dict[str, Any] = {"color": PALETTE["grey"], "linewidth": 1.2, "linestyle": (0, (1, 2)), "zorder": 1}
        axis.step(*zip(*front, strict=True), where="post", **style)


def _names(axis: Axes, points: Sequence[tuple[str, float, float]]) -> None:
    """Write each arm's name beside its point: at the first place where no other name and no point is in the way."""
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    along = axis.xaxis.get_transform().transform
    left, right = (float(along(end)) for end in (left, right))
    shares = [(float(along(x)) - left) / (right - left) for _, x, _ in points]
    places = [
        (_PLOT[0] * share, _PLOT[1] * (y - bottom) / (top - bottom))
        for share, (_, _, y) in zip(shares, points, strict=True)
    ]
    taken = [(x - _POINT, y - _POINT, 2 * _POINT) for x, y in places]
    for (arm, x, y), (at_x, at_y) in zip(points, places, strict=True):
        name = brief(arm)
        width = _LETTER * len(name)
        sides = [(side, height) for height in (6, -13, 20, -27, 34, -41, 48, -55) for side in (9.0, -9.0 - width)]
        free = [side for side in sides if _is_free(at_x + side[0], at_y + side[1], width, taken)]
        shift = (free or sides)[0]
        taken.append((at_x + shift[0], at_y + shift[1], width))
        far = abs(shift[1]) > _NEAR
        line = {"arrowstyle": "-", "color": INK, "linewidth": 0.5, "shrinkB": 4} if far else None
        axis.annotate(name, (x, y), xytext=shift, textcoords="offset points", fontsize=8.5, arrowprops=line)


_PLOT, _LETTER, _LINE, _POINT, _NEAR = (460.0, 250.0), 5.2, 11.0, 8.0, 13
"""Points: about the size of the plot, the width of a letter, the height of a line, half a ring, no line needed."""


def _is_free(x: float, y: float, width: float, taken: Sequence[tuple[float, float, float]]) -> bool:
    inside = x >= 0 and x + width <= _PLOT[0] + 40 and 0 <= y <= _PLOT[1]
    return inside and all(
        x + width < left or left + other < x or abs(y - bottom) >= _LINE for left, bottom, other in taken
    )


def _pareto_words(metric: MetricSpec, label: str, count: int) -> Words:
    return Words(
        name="cost",
        section="cost",
        title=f"{numerals.label(metric)} against {label}",
        alt=f"Scatter plot of {numerals.label(metric)} against {label} for {numerals.plural(count, 'arm')}. "
        "The numbers are in the comparison table.",
        caption="Means over seeds; crosses are 95 % t-intervals of each arm's own mean (not of the difference). "
        "Shape and colour are the verdict on quality; the diamond is the baseline. "
        "Rings: arms that no other is shown to dominate (better or equivalent in both, better in one). Dotted: the "
        "means that no other mean beats in both, whether decided or not.",
    )


def doses(material: Material) -> list[Drawing]:
    """Draw quality against level for every varied factor whose levels are numbers, three of them at the least."""
    factors = dict.fromkeys(arm.factor for arm in material.study.arms if arm.factor is not None)
    return [found for factor in factors if (found := _dose(factor, material)) is not None]


def _dose(factor: str, material: Material) -> Drawing | None:
    study, comparison = material.study, material.comparison
    arms = [study.baseline, *(arm for arm in study.arms if arm.factor == factor)]
    found = sorted(
        ((value, comparison.row(arm.name)) for arm in arms if (value := _number(arm, factor)) is not None
         if (arm.name, comparison.primary.name) in comparison.rows),
        key=lambda pair: pair[0],
    )  # fmt: skip
    found = [(value, row) for value, row in found if row.mean is not None]
    if len(found) < 3:
        return None
    metric = comparison.primary
    with styled():
        figure, (axis,) = new_figure(5.6, 3.2)
        for seed in sorted({seed for _, row in found for seed in row.values}):
            line = [(value, row.values[seed]) for value, row in found if seed in row.values]
            axis.plot(*zip(*line, strict=True), color=PALETTE["grey"], alpha=0.6, linewidth=0.8, zorder=1)
        values = [value for value, _ in found]
        halves = [row.half_width or 0.0 for _, row in found]
        means = [row.mean or 0.0 for _, row in found]
        axis.errorbar(values, means, yerr=halves, fmt="o-", color=PALETTE["blue"], capsize=3)
        if min(values) > 0 and max(values) / min(values) >= 8:
            axis.set_xscale("log")
        # Labels only where there is a level: a logarithmic axis would write its own as TeX.
        ticks = values if len(values) <= _MOST_TICKS else values[:: -(-len(values) // _MOST_TICKS)]
        axis.set_xticks(ticks, [f"{value:g}" for value in ticks])
        axis.set_xticks([], minor=True)
        unit = f" ({metric.unit})" if metric.unit else ""
        axis.set(xlabel=factor, ylabel=f"{numerals.label(metric)}{unit}")
        axis.grid(visible=True)
        axis.set_axisbelow(True)
        rows = [(value, row.arm, row.mean, row.half_width) for value, row in found]
        return finish(_dose_words(factor, metric, values), figure, (factor, "arm", "mean", "half_width"), rows)


def _number(arm: Arm, factor: str) -> float | None:
    value = arm.settings.get(factor, arm.levels.get(factor))
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _dose_words(factor: str, metric: MetricSpec, values: Sequence[float]) -> Words:
    levels = ", ".join(f"{value:g}" for value in values[:_MOST_NAMES]) + ", …" * (len(values) > _MOST_NAMES)
    return Words(
        name="dose-" + re.sub(r"[^A-Za-z0-9_]+", "_", factor),
        section="factors",
        title=f"{numerals.label(metric)} against {factor}",
        alt=f"{numerals.label(metric)} at {factor} = {levels}, mean over seeds with 95 % t-intervals.",
        caption=f"{factor}: mean over seeds with the 95 % t-interval of each level; thin lines connect the levels of "
        "one seed.",
    )
