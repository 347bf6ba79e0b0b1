"""Who is ahead when: the difference to the baseline at equal images and at equal seconds, from the learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ablate.report.data.material import Material, Point, without_numbers
from ablate.report.figures.base import Words, finish, new_figure, span_labels, styled, t_interval, titled
from ablate.report.figures.figure import INK, PALETTE, SHADE, Drawing
from ablate.report.figures.learning_curves import MOST_ARMS
from ablate.report.statistics.contrast import transform
from ablate.report.statistics.equal_budget import Curve, by_trial, shared_seeds
from ablate.report.statistics.significance import Floats
from ablate.report.statistics.spent import BUDGETS, Budget, spending
from ablate.report.text import numerals
from ablate.study.spec import MetricSpec

_COLUMNS = 4
_TITLE = 22
"""Characters that fit over a panel."""
_PLACES = 25
"""Places along the shared budget at which the difference is taken."""
_DRAWN: dict[Budget, tuple[str, str]] = {"images": (PALETTE["blue"], "-"), "seconds": (PALETTE["orange"], "--")}
_HEADER = ("arm", "budget", "share", "spent", "seeds", "diff", "low", "high")


@dataclass(frozen=True)
class _Course:
    """The difference of one arm along one budget; vectors over the places."""

    share: Floats
    """Of the smaller whole budget, in per cent."""
    spent: Floats
    """Mean over seeds, in the budget's unit."""
    seeds: int
    diff: Floats
    low: Floats
    high: Floats


def budgets(material: Material, points: Sequence[Point]) -> Drawing | None:
    """Draw the difference of the primary metric along the budget, arm by arm; None without curves to compare."""
    left_out = without_numbers(material.results, material.comparison)
    table = spending(material.study, [point for point in points if point[:2] not in left_out])
    found = {budget: _courses(table, material, budget) for budget in _DRAWN}
    names = [arm.name for arm in material.shown_arms if any(arm.name in courses for courses in found.values())]
    if not names:
        return None
    drawn = names[:MOST_ARMS]
    with styled():
        columns = min(_COLUMNS, len(drawn))
        rows = -(-len(drawn) // columns)
        figure, axes = new_figure(max(4.6, 2.2 * columns), 0.5 + 1.6 * rows, rows, columns, sharex=True, sharey=True)
        for axis, arm in zip(axes, drawn, strict=False):
            _panel(axis, arm, material.comparison.primary)
            for budget, style in _DRAWN.items():
                if (course := found[budget].get(arm)) is not None:
                    _draw(axis, course, *style)
        for at, axis in enumerate(axes):
            axis.set_visible(at < len(drawn))
            axis.xaxis.set_tick_params(labelbottom=at + columns >= len(drawn))
            span_labels(axis)
        metric = material.comparison.primary
        unit = numerals.unit_of_difference(metric)
        figure.supxlabel("share of the smaller budget spent (%)", fontsize=9.5)
        figure.supylabel(f"{numerals.label(metric)} diff{f' ({unit})' if unit else ''}", fontsize=9.5)
        data = [row for arm in names for budget in _DRAWN for row in _data(arm, budget, found[budget].get(arm))]
        return finish(_words(metric, len(drawn), len(names)), figure, _HEADER, data)


def _courses(table: pd.DataFrame, material: Material, budget: Budget) -> dict[str, _Course]:
    """Every arm's course along one budget, where two seeds or more have a curve in arm and baseline."""
    baseline, parts = material.study.baseline.name, by_trial(table, budget)
    found = {}
    for arm, own in parts.items():
        if arm != baseline and (course := _course(own, parts.get(baseline, {}), material.comparison.primary)):
            found[arm] = course
    return found


def _course(own: Mapping[int, Curve], base: Mapping[int, Curve], metric: MetricSpec) -> _Course | None:
    scale, share = transform(metric), np.linspace(1 / _PLACES, 1.0, _PLACES)
    differences, spent = [], []
    for seed in shared_seeds(own, base):
        at = share * min(own[seed].end, base[seed].end)
        pair = [curve[seed].heights(at) for curve in (own, base)]
        if metric.scale == "log" and any((values <= 0).any() for values in pair):
            continue
        differences.append(scale(pair[0]) - scale(pair[1]))
        spent.append(at)
    if len(differences) < 2:
        return None
    known = np.isfinite(differences).all(axis=0)
    if known.sum() < 2:
        return None
    columns = np.array(differences)[:, known]
    ends = np.array([t_interval(column) for column in columns.T])
    return _Course(
        100 * share[known],
        np.mean(spent, axis=0)[known],
        len(columns),
        _shown(columns.mean(axis=0), metric),
        _shown(ends[:, 0], metric),
        _shown(ends[:, 1], metric),
    )


def _shown(values: Floats, metric: MetricSpec) -> Floats:
    """As the tables show it: in the metric's unit, or per cent of the baseline."""
    return 100 * np.expm1(values) if metric.scale == "log" else values


def _panel(axis: Axes, arm: str, metric: MetricSpec) -> None:
    titled(axis, arm, _TITLE)
    if metric.margin is not None and not metric.relative and metric.scale == "identity":
        axis.axhspan(-metric.margin, metric.margin, color=SHADE, zorder=0)
    axis.axhline(0, color=INK, linewidth=0.8)
    axis.set_xlim(0, 100)
    axis.set_xticks([0, 50, 100])
    axis.grid(visible=True)
    axis.set_axisbelow(True)


def _draw(axis: Axes, course: _Course, colour: str, line: str) -> None:
    axis.plot(course.share, course.diff, line, color=colour, linewidth=1.6)
    axis.fill_between(course.share, course.low, course.high, color=colour, alpha=0.16, linewidth=0)


def _data(arm: str, budget: Budget, course: _Course | None) -> list[tuple[object, ...]]:
    if course is None:
        return []
    columns = (course.share, course.spent, course.diff, course.low, course.high)
    return [
        (arm, budget, share, spent, course.seeds, diff, low, high)
        for share, spent, diff, low, high in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _words(metric: MetricSpec, shown_arms: int, arms: int) -> Words:
    left_out = f" The first {shown_arms} of {arms} arms are drawn; the CSV has all." if arms > shown_arms else ""
    name = numerals.label(metric)
    margin = f" Shaded: the margin, {numerals.margin_text(metric)}." if metric.margin is not None else ""
    return Words(
        name="budgets",
        section="budgets",
        title=f"{name} at equal budgets",
        alt=f"Difference of {name} to the baseline along the budget, at equal {BUDGETS['images']} and at equal "
        f"{BUDGETS['seconds']}, {numerals.plural(shown_arms, 'panel')}, one per arm. The numbers at the end of the "
        "budget are in the table.",
        caption=f"{name}, arm minus baseline, at equal spending, along the smaller of their two budgets: "
        "solid blue at equal training images, dashed orange at equal seconds of training. Bands are pointwise 95 % "
        f"t-intervals of the paired difference, read from the learning curves between their points.{margin}{left_out}",
    )
