"""Times to a quality as plain text cells, the same for report.html and report.md."""

from __future__ import annotations

from collections.abc import Mapping

from ablate.report.statistics.kaplan_meier import Median
from ablate.report.statistics.model import Stability
from ablate.report.statistics.time_to_event import Race, Reaching
from ablate.report.text import numerals

HEAD = ("arm", "got there", "median", "95 % interval", "against the baseline", "p")


def race_cells(race: Race, stability: Mapping[str, Stability]) -> list[tuple[str, ...]]:
    """Return one row per arm: `HEAD` says what is in it."""
    return [_cells(race.arms[arm], race, stability.get(arm)) for arm in race.arms]


def _cells(found: Reaching, race: Race, stability: Stability | None) -> tuple[str, ...]:
    lost = stability.diverged if stability is not None else 0
    there = f"{found.reached} of {len(found.times)}{f', {lost} diverged' if lost else ''}"
    middle = "not by half" if found.median.at is None else time_text(found.median.at, race.unit)
    against = "–" if found.arm == race.baseline else _against(found)
    return (found.arm, there, middle, interval_text(found.median, race.unit), against, numerals.p_text(found.p))


def _against(found: Reaching) -> str:
    if found.ratio is None:
        return f"first in {found.earlier}, later in {found.later}"
    if found.ci_low is None or found.ci_high is None:
        return f"{found.ratio:.2f}x"
    return f"{found.ratio:.2f}x [{found.ci_low:.2f}, {found.ci_high:.2f}]"


def interval_text(median: Median, unit: str) -> str:
    """Return ``16,000 to 24,000``, ``16,000 or more`` where the upper end was not seen, or ``–``."""
    if median.low is None:
        return "–"
    if median.high is None:
        return f"{time_text(median.low, unit)} or more"
    return f"{time_text(median.low, unit)} to {time_text(median.high, unit)}"


def time_text(at: float | None, unit: str) -> str:
    """Return a time for a reader: ``24,000``, ``3 min 10 s``; ``not by half`` for one that was not seen."""
    if at is None:
        return "not by half"
    if unit == "s":
        return numerals.duration(at)
    return f"{at:,.0f}" if at >= 100 else f"{at:.3g}"


def race_caption(race: Race) -> str:
    """Return what the table shows and how far it may be read."""
    quality = "" if race.quality is None else f" of {race.quality:g}"
    unit = {"s": "seconds", "": numerals.label(race.metric)}.get(race.unit, race.unit)
    return (
        f"Reaching the quality{quality}, counted in {unit}: in how many seeds it was reached, the Kaplan-Meier median "
        "with "
        "its log-log interval (asymptotic: a rough guide for few seeds), and the arm against the baseline: the ratio "
        "of times if every shared seed reached it, else in how many seeds each was first. A seed that never reached "
        "it is censored; a diverged run has no time. Exploratory"
    )
