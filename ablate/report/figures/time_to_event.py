"""How many seeds have reached the declared quality by when: Kaplan-Meier curves, arm by arm over the baseline's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ablate.report.data.material import Material
from ablate.report.figures.base import Words, finish, new_figure, styled, titled
from ablate.report.figures.figure import INK, PALETTE, Drawing
from ablate.report.figures.learning_curves import MOST_ARMS
from ablate.report.statistics.kaplan_meier import at_risk
from ablate.report.statistics.significance import Floats
from ablate.report.statistics.time_to_event import Race, Reaching
from ablate.report.text import numerals
from ablate.report.text.time_cells import time_text

_COLUMNS = 4
_TITLE = 22
"""Characters that fit over a panel."""
_HEADER = ("arm", "time", "share", "low", "high", "at_risk", "reached", "censored")
_BASELINE = (PALETTE["grey"], "--")
_ARM = (PALETTE["blue"], "-")


def reaching(material: Material) -> list[Drawing]:
    """Draw one figure per time to a quality; none where nothing was declared."""
    return [_figure(material, race) for race in material.races]


def _figure(material: Material, race: Race) -> Drawing:
    arms = [arm.name for arm in material.shown_arms if arm.name in race.arms and arm.name != race.baseline]
    shown = arms[:MOST_ARMS] or [race.baseline]
    base, end = race.arms[race.baseline], _end(race)
    with styled():
        columns = min(_COLUMNS, len(shown))
        rows = -(-len(shown) // columns)
        figure, axes = new_figure(max(4.6, 2.2 * columns), 0.4 + 1.9 * rows, rows, columns, sharex=True, sharey=True)
        for axis, arm in zip(axes, shown, strict=False):
            _panel(axis, end, race.unit)
            _curve(axis, base, end, *_BASELINE)
            if arm != race.baseline:
                _curve(axis, race.arms[arm], end, *_ARM)
            _numbers(axis, [(race.arms[arm], _ARM[0]), (base, INK)] if arm != race.baseline else [(base, INK)])
            titled(axis, arm, _TITLE)
        for at, axis in enumerate(axes):
            axis.set_visible(at < len(shown))
        figure.supxlabel(_axis_label(race), fontsize=9.5)
        figure.supylabel("seeds that reached it (%)", fontsize=9.5)
        return finish(_words(race, len(shown), len(arms)), figure, _HEADER, _data(race))


def _end(race: Race) -> float:
    return max(time.at for arm in race.arms.values() for time in arm.times.values())


def _axis_label(race: Race) -> str:
    return {"s": "seconds", "": numerals.label(race.metric)}.get(race.unit, race.unit)


def _panel(axis: Axes, end: float, unit: str) -> None:
    axis.set_xlim(0, 1.04 * end)
    axis.set_ylim(-4, 104)
    axis.set_yticks([0, 50, 100])
    axis.xaxis.set_major_locator(MaxNLocator(3))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, unit)))
    axis.tick_params(labelbottom=True)
    axis.grid(visible=True)
    axis.set_axisbelow(True)


def _tick(value: float, unit: str) -> str:
    if unit == "s" or abs(value) < 10_000:
        return f"{value:g}"
    return f"{value / 1e6:g}M" if abs(value) >= 1e6 else f"{value / 1000:g}k"


def _curve(axis: Axes, found: Reaching, end: float, colour: str, line: str) -> None:
    """The curve with its band, and a mark where the watching of a seed ended."""
    times = list(found.times.values())
    last = max(time.at for time in times)
    at, share, low, high = _steps(found, last)
    axis.step(at, share, line, where="post", color=colour, linewidth=1.8)
    axis.fill_between(at, low, high, step="post", color=colour, alpha=0.16, linewidth=0)
    if last < end and found.reached == len(times):  # Everybody is there: nothing changes any more.
        axis.plot([last, end], [100, 100], line, color=colour, linewidth=1.8)
    censored = sorted({time.at for time in times if not time.reached})
    heights = [share[np.searchsorted(at, place, side="right") - 1] for place in censored]
    axis.plot(censored, heights, "|", color=colour, markersize=9, markeredgewidth=1.6)


def _steps(found: Reaching, last: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Times, shares and bounds in per cent, from 0 to `last`."""
    rows = [(0.0, 0.0, 0.0, 0.0)]
    for step in found.curve:
        low, high = (step.share if bound is None else bound for bound in (step.low, step.high))
        rows.append((step.at, 100 * step.share, 100 * low, 100 * high))
    rows.append((last, *rows[-1][1:]))
    at, share, low_ends, high_ends = np.array(rows, dtype=np.float64).T
    return at, share, low_ends, high_ends


def _numbers(axis: Axes, rows: Sequence[tuple[Reaching, str]]) -> None:
    """Under every tick, how many seeds are still on their way: the arm's first, the baseline's below."""
    ticks = [tick for tick in axis.get_xticks() if 0 <= tick <= axis.get_xlim()[1]]
    for line, (found, colour) in enumerate(rows):
        for tick in ticks:
            axis.annotate(
                str(at_risk(list(found.times.values()), tick)), (tick, 0), xycoords=("data", "axes fraction"),
                xytext=(0, -22 - 10 * line), textcoords="offset points", ha="center", va="top", fontsize=7.5,
                color=colour, annotation_clip=False,
            )  # fmt: skip


def _data(race: Race) -> Iterator[tuple[object, ...]]:
    """Every arm's curve, with a row for each time at which a seed got there or was seen for the last time."""
    for name, found in race.arms.items():
        times = list(found.times.values())
        share, low, high = 0.0, None, None
        steps = {step.at: step for step in found.curve}
        for at in sorted({0.0, *(time.at for time in times)}):
            if (step := steps.get(at)) is not None:
                share, low, high = step.share, step.low, step.high
            here = [time.reached for time in times if time.at == at]
            yield name, at, share, low, high, at_risk(times, at), sum(here), len(here) - sum(here)


def _words(race: Race, shown: int, arms: int) -> Words:
    left_out = f" The first {shown} of {arms} arms are drawn; the CSV has all." if arms > shown else ""
    quality = "" if race.quality is None else f" of {race.quality:g}"
    name = numerals.label(race.metric)
    medians = ", ".join(
        f"{arm} {time_text(found.median.at, race.unit)}" for arm, found in list(race.arms.items())[: shown + 1]
    )
    return Words(
        name="reached-" + re.sub(r"[^A-Za-z0-9_]+", "_", race.metric),
        section="reaching",
        title=f"Seeds that reached the quality, over {name}",
        alt=f"Kaplan-Meier curves of the share of seeds that reached the quality{quality} against {name}, "
        f"{numerals.plural(shown, 'panel')}, each an arm over the baseline. Medians: {medians}.",
        caption=f"Kaplan-Meier estimate of the share of seeds that reached the quality{quality}, over {name}. Solid: "
        "the arm; dashed grey: the baseline; bands are pointwise 95 % log-log intervals; a bar marks where a seed was "
        "last observed without having reached it. Numbers below: seeds at risk at that time, the arm's first, then "
        f"the baseline's.{left_out}",
    )
