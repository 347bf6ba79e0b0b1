"""The forest plot: every arm's difference to the baseline with its uncertainty, its seeds and its verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes

from ablate.report.data.material import Material
from ablate.report.figures.base import COLOURS, MARKERS, Words, brief, finish, new_figure, styled
from ablate.report.figures.figure import INK, SHADE, Drawing
from ablate.report.statistics.model import Comparison, Row, Verdict
from ablate.report.text import numerals
from ablate.report.text.cells import unit_of, verdict_word
from ablate.study.spec import Arm, MetricSpec

MOST_ARMS = 60
"""Arms that are drawn; the table has all of them."""
_ROW_HEIGHT = 0.34
_BEYOND = 0.5
"""How far thin intervals may go beyond everything else, as a part of its range; what goes on gets an arrow."""
_COLUMNS = ("arm", "verdict", "diff", "ci_low", "ci_high", "holm_low", "holm_high", "seed", "seed_diff")


def forest(material: Material) -> Drawing | None:
    """Draw the primary metric; None when no arm has a difference."""
    comparison, metric = material.comparison, material.comparison.primary
    arms = [arm for arm in material.shown_arms[1:] if (arm.name, metric.name) in comparison.rows]
    arms, left_out = _most_certain(arms, comparison)
    rows = [comparison.row(arm.name) for arm in arms]
    if not any(row.diff is not None for row in rows):
        return None
    places = _places([arm.factor for arm in arms])
    with styled():
        figure, (axes,) = new_figure(8.6, 1.1 + _ROW_HEIGHT * (places[-1] + 1))
        _zones(axes, metric)
        limits = _limits(rows, metric)
        for row, place in zip(rows, places, strict=True):
            _draw(axes, row, place, metric, limits)
        if limits is not None:
            axes.set_xlim(*limits)
        axes.set_yticks(places, [brief(row.arm) for row in rows])
        axes.set_ylim(places[-1] + 0.7, -0.7)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        unit = numerals.unit_of_difference(metric)
        label = f"{numerals.label(metric)}, arm minus baseline{f' ({unit})' if unit else ''}"
        axes.set_xlabel(f"{label}; {numerals.arrow_words(metric)}")
        return finish(_words(comparison, rows, left_out, cut=limits is not None), figure, _COLUMNS, _data(rows))


def _limits(rows: Sequence[Row], metric: MetricSpec) -> tuple[float, float] | None:
    """Ends of the axis where thin intervals would leave no room for the rest; None where they do not.

    At an early look the level is small, and with three seeds an interval at it is twenty times as wide as the others.
    """
    factor = 100.0 if metric.scale == "log" else 1.0
    rest = [0.0, *(end for row in rows for end in (row.ci_low, row.ci_high, row.diff) if end is not None)]
    rest += [difference for row in rows for difference in row.differences.values()]
    thin = [end for row in rows for end in (row.holm_low, row.holm_high) if end is not None]
    low, high = min(rest), max(rest)
    room = _BEYOND * (high - low)
    if not thin or (min(thin) >= low - room and max(thin) <= high + room):
        return None
    return factor * (low - room), factor * (high + room)


def _most_certain(arms: list[Arm], comparison: Comparison) -> tuple[list[Arm], int]:
    """Return the arms to draw, in their order, and how many are left out: of very many, those of the smallest p."""
    if len(arms) <= MOST_ARMS:
        return arms, 0
    p_values = {arm.name: comparison.row(arm.name).p for arm in arms}
    ranked = sorted(arms, key=lambda arm: (p_values[arm.name] is None, p_values[arm.name] or 0.0))
    chosen = {arm.name for arm in ranked[:MOST_ARMS]}
    return [arm for arm in arms if arm.name in chosen], len(arms) - MOST_ARMS


def _places(factors: Sequence[str | None]) -> list[float]:
    """Heights of the arms, with a gap where another factor begins."""
    found = [0.0]
    for before, after in pairwise(factors):
        found.append(found[-1] + (1.0 if before == after else 1.45))
    return found


def _zones(axes: Axes, metric: MetricSpec) -> None:
    if metric.margin is not None and (metric.scale == "log" or not metric.relative):
        factor = 100.0 if metric.scale == "log" else 1.0
        axes.axvspan(-factor * metric.margin, factor * metric.margin, color=SHADE, linewidth=0, zorder=0)
    axes.axvline(0, color=INK, linewidth=1, zorder=1)


def _draw(axes: Axes, row: Row, place: float, metric: MetricSpec, limits: tuple[float, float] | None) -> None:
    verdict = row.verdict or Verdict.UNDECIDED
    colour, factor = COLOURS[verdict], 100.0 if metric.scale == "log" else 1.0
    axes.annotate(
        _remark(row),
        (1.0, place),
        xycoords=("axes fraction", "data"),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        annotation_clip=False,
    )
    if row.diff is None:
        return
    if row.holm_low is not None and row.holm_high is not None:
        low, high = factor * row.holm_low, factor * row.holm_high
        goes_on = [] if limits is None else [(limits[0], "<", low < limits[0]), (limits[1], ">", high > limits[1])]
        for end, mark, is_cut in goes_on:
            if is_cut:
                axes.plot(end, place, mark, color=colour, markersize=5, clip_on=False, zorder=3)
        if limits is not None:
            low, high = max(low, limits[0]), min(high, limits[1])
        axes.hlines(place, low, high, color=colour, linewidth=1.1, zorder=3)
    if row.ci_low is not None and row.ci_high is not None:
        axes.hlines(place, factor * row.ci_low, factor * row.ci_high, color=colour, linewidth=3.6, zorder=4)
    seeds = [factor * difference for difference in row.differences.values()]
    axes.plot(seeds, [place + 0.27] * len(seeds), "|", color=INK, markersize=6, markeredgewidth=0.9, zorder=2)
    axes.plot(
        factor * row.diff, place, MARKERS[verdict], color=colour, markersize=8, markeredgecolor="white",
        markeredgewidth=0.8, zorder=5,
    )  # fmt: skip


def _remark(row: Row) -> str:
    return f"{verdict_word(row)}, n = {numerals.seeds_text(row)}"


def _words(comparison: Comparison, rows: Sequence[Row], left_out: int, *, cut: bool) -> Words:
    metric = comparison.primary
    counts = Counter(row.verdict.value for row in rows if row.verdict is not None)
    said = ", ".join(f"{counts[verdict.value]} {verdict.value}" for verdict in Verdict if counts[verdict.value])
    arms = numerals.plural(len(rows), "arm")
    margin = numerals.margin_text(metric)
    thin = (
        "thin: interval at the level at which Holm's procedure decided"
        if comparison.correct == "holm"
        else "thin: corrected"
    )
    return Words(
        name="forest",
        section="forest",
        title=f"{numerals.label(metric)} difference to the baseline",
        alt=f"Forest plot of the {numerals.label(metric)} difference to the baseline for {arms}: {said}. "
        "The numbers are in the comparison table.",
        caption=f"Thick: 95 % t-interval of the paired difference; {thin}. Small ticks: single {unit_of(comparison)}s."
        + (" Arrow: the thin interval goes on." if cut else "")
        + (f" Shaded: differences that do not matter ({margin})." if margin else "")
        + (f" The {len(rows)} arms with the smallest p; {left_out} more are in the table." if left_out else ""),
    )


def _data(rows: Sequence[Row]) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for row in rows:
        numbers = (row.diff, row.ci_low, row.ci_high, row.holm_low, row.holm_high)
        seeds: list[tuple[object, object]] = list(row.differences.items()) or [(None, None)]
        found += [(row.arm, verdict_word(row), *numbers, *pair) for pair in seeds]
    return found
