"""What several looks add to a report: why an arm was stopped, what stopping early does to a number, what it saved."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.report.statistics.model import Comparison, Row, Verdict
from ablate.report.text import numerals
from ablate.study.spec import MetricSpec


def stopped_text(row: Row, comparison: Comparison) -> str:
    """Return why a stopped arm was, and what its seeds could still have shown; empty for any other arm."""
    if not row.stopped or row.chance is None:
        return ""
    last = numerals.plural(comparison.looks[-1], "seed")
    chance = f"{100 * row.chance:.0f} %" if row.chance >= 0.01 else "below 1 %"
    shown = _size(row, comparison.primary)
    still = f"; with {last}, differences of {shown} or more are found in 80 % of cases" if shown else ""
    return f" (chance to decide it by {last}: {chance}{still})"


def _size(row: Row, metric: MetricSpec) -> str:
    """A size without a sign, with two digits."""
    if row.could_show is None:
        return ""
    unit = numerals.unit_of_difference(metric)
    text = f"{(100 if metric.scale == 'log' else 1) * row.could_show:.2g}"
    return f"{text} {unit}" if unit else text


def early_text(row: Row, comparison: Comparison) -> str:
    """Return what has to be said of a number that stands because its arm was decided before the last look."""
    if not is_early(row, comparison) or row.verdict not in (Verdict.BETTER, Verdict.WORSE):
        return ""
    text = f"; decided early, at {row.runs} of {numerals.plural(comparison.looks[-1], 'seed')}: such differences are "
    return f"{text}on average too large{repeated_text(row, comparison.primary)}"


def repeated_text(row: Row, metric: MetricSpec) -> str:
    """Return the interval that holds at every look at once: `` (at every look at once: [+0.2, +0.9])``, or nothing."""
    if row.repeated_low is None or row.repeated_high is None:
        return ""
    factor = 100.0 if metric.scale == "log" else 1.0
    low, high = factor * row.repeated_low, factor * row.repeated_high
    decimals = numerals.decimals_for((high - low) / 2, metric.digits)
    unit = numerals.unit_of_difference(metric)
    shown = f"[{numerals.signed(low, decimals)}, {numerals.signed(high, decimals)}]{f' {unit}' if unit else ''}"
    return f" (95 % interval for all looks together: {shown})"


def is_early(row: Row, comparison: Comparison) -> bool:
    """True for an arm that is judged before the last of several looks."""
    return len(comparison.looks) > 1 and row.p is not None and row.runs < comparison.looks[-1]


def saved_text(rows: Sequence[Row], comparison: Comparison) -> str:
    """Return how many trials looks saved, empty while an arm is open or where nothing was saved.

    `rows` are those of the arms beside the baseline.
    """
    looks = comparison.looks
    if len(looks) < 2 or not rows or comparison.problem is not None or any(_is_open(row, looks[-1]) for row in rows):
        return ""
    used = sum(row.runs for row in rows) + comparison.row(comparison.baseline).runs
    planned = looks[-1] * (len(rows) + 1)
    blocks = 1 if comparison.blocks is None else len(comparison.blocks.names)
    used, planned = blocks * used, blocks * planned
    if used >= planned:
        return ""
    stopped = sum(row.stopped for row in rows)
    early = sum(row.runs < looks[-1] and not row.stopped for row in rows)
    parts = [f"{early} decided" if early else "", f"{stopped} stopped" if stopped else ""]
    return (
        f"Looking early saved {planned - used} of {planned} trials ({100 * (planned - used) / planned:.0f} %): of "
        f"{numerals.plural(len(rows), 'arm')}, {' and '.join(filter(None, parts))} before the last look at "
        f"{looks[-1]} seeds."
    )


def _is_open(row: Row, last: int) -> bool:
    return row.verdict in (None, Verdict.UNDECIDED) and not row.stopped and row.runs < last
