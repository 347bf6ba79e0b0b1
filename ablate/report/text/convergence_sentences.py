"""What learning curves say: who reaches a declared quality, and what holds at equal images or seconds."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.report.statistics.equal_budget import Equal
from ablate.report.statistics.model import Verdict
from ablate.report.statistics.time_to_event import Race, Reaching
from ablate.report.text import numerals
from ablate.report.text.budget_cells import columns_of
from ablate.report.text.escape import visible
from ablate.report.text.time_cells import time_text
from ablate.study.spec import MetricSpec

_SAID = 6
"""Arms of one kind that are spelt out."""
_CLEAR = 0.05
"""Level from which a ratio of times is told in a sentence; exploratory."""


def race_sentences(races: Sequence[Race]) -> list[str]:
    """Return, per time to a quality, who did not get there in every seed, and who was clearly sooner or later.

    Where every seed got there the comparison itself has the time as one of its metrics, and nothing is said twice.
    """
    return [_race(race) for race in races if race.censored]


def _race(race: Race) -> str:
    name = visible(race.metric)
    declared = "" if race.quality is None else f" (quality {race.quality:g})"
    base = race.arms[race.baseline]
    half = "" if base.median.at is None else f", half of them by {time_text(base.median.at, race.unit)}"
    others = [found for arm, found in race.arms.items() if arm != race.baseline]
    late = [f"{visible(found.arm)} in {_share(found)}" for found in others if found.reached < len(found.times)]
    sooner = [_ratio(found) for found in others if _told(found) and (found.ratio or 1.0) < 1]
    later = [_ratio(found) for found in others if _told(found) and (found.ratio or 1.0) > 1]
    parts = [f"{name}{declared}: the baseline reached it in {_share(base)}{half}"]
    parts += [
        f"{words} {_few(names)}" for words, names in (("only", late), ("sooner", sooner), ("later", later)) if names
    ]
    return f"{'; '.join(parts)} (exploratory; every arm in the section on times to the quality)."


def _told(found: Reaching) -> bool:
    return found.ratio is not None and found.p is not None and found.p <= _CLEAR


def _ratio(found: Reaching) -> str:
    return f"{visible(found.arm)} {found.ratio:.2f}x"


def _few(names: Sequence[str]) -> str:
    more = len(names) - _SAID
    return ", ".join(names[:_SAID]) + (f" and {more} more" if more > 0 else "")


def _share(reaching: Reaching) -> str:
    return f"{reaching.reached} of {numerals.plural(len(reaching.times), 'seed')}"


def equal_sentences(equal: Sequence[Equal], metric: MetricSpec) -> list[str]:
    """Return one sentence per budget of which arms had spent different amounts: what holds where they are equal."""
    return [_equal(words, tuple(found.values()), metric) for words, found in columns_of(equal).items()]


def _equal(words: str, own: Sequence[Equal], metric: MetricSpec) -> str:
    told = [_at_equal(one, metric) for one in own if one.row.verdict not in (None, Verdict.UNDECIDED)]
    open_ones = [visible(one.arm) for one in own if one.row.verdict in (None, Verdict.UNDECIDED)]
    parts = [_few(told)] if told else []
    parts += [f"undecided {_few(open_ones)}"] if open_ones else []
    return f"At equal {words}: {'; '.join(parts)} ({numerals.label(metric)}, from learning curves, exploratory)."


def _at_equal(one: Equal, metric: MetricSpec) -> str:
    still = (one.row.verdict is Verdict.BETTER and one.ratio > 1) or (
        one.row.verdict is Verdict.WORSE and one.ratio < 1
    )
    return (
        f"{visible(one.arm)} {'still ' if still else ''}{one.row.verdict}, "
        f"{numerals.difference_text(one.row, metric, unit=True)} (it spent {numerals.times_text(one.ratio)})"
    )
