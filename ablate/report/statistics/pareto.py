"""Quality against time between all arms: who dominates whom, and who is left on the front.

An arm dominates another when it is better or equivalent in both, and better in one of them. No score is made of the
two: what is not decided dominates nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ablate.report.statistics.contrast import margins, transform
from ablate.report.statistics.corrections import adjust
from ablate.report.statistics.granularity import proves_nothing
from ablate.report.statistics.model import Comparison, Row, Verdict
from ablate.report.statistics.significance import (
    equivalence_p,
    no_noise,
    paired_summary,
    sizes,
    two_sided_p,
    welch_summary,
)
from ablate.study.spec import MetricSpec
from ablate.study.verdict_method import Correction

MOST_ARMS = 60
"""Arms up to which every pair is compared."""
_OPPOSITE = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}
_GOOD = (Verdict.BETTER, Verdict.EQUIVALENT)
Pairs = NDArray[np.int64]
"""[pairs, 2]: places of two arms."""


@dataclass(frozen=True)
class Domination:
    """One arm over another, and by which verdicts."""

    arm: str
    over: str
    quality: Verdict
    time: Verdict


@dataclass(frozen=True)
class Front:
    """What is left when every arm that another dominates is taken away."""

    quality: str
    """Metric of quality: the primary one."""
    time: str
    """Metric of time."""
    arms: tuple[str, ...]
    """Arms that nobody dominates, in study order."""
    dominated: tuple[Domination, ...]
    pairs: int
    """Pairs of arms beside the baseline that were compared: the family that quality is corrected over."""

    def over(self, arm: str) -> tuple[str, ...]:
        """Return the arms that dominate `arm`."""
        return tuple(one.arm for one in self.dominated if one.over == arm)


def time_metric(comparison: Comparison) -> MetricSpec | None:
    """Return the time that most arms have; the first in study order of those."""
    times = [metric for metric in comparison.metrics if metric.unit == "s" and not metric.primary]
    rows = [row for row in comparison.rows.values() if row.mean is not None]
    return max(times, key=lambda metric: sum(row.metric == metric.name for row in rows), default=None)


def front_of(comparison: Comparison) -> Front | None:
    """Compare all arms in quality and time; None without a time, or with more than `MOST_ARMS` arms.

    Against the baseline the verdicts of the comparison hold. All other pairs are tested alike (paired by seed, or Welch
    where that is declared): quality as a family of their own with the report's correction, time without one. Arms
    without a mean in either, diverged ones among them, take no part.
    """
    time = time_metric(comparison)
    if time is None or comparison.problem is not None:
        return None
    arms = [arm for arm in comparison.arms if _has(comparison, arm, comparison.primary) and _has(comparison, arm, time)]
    if not 2 <= len(arms) <= MOST_ARMS:
        return None
    quality = _verdicts(comparison, comparison.primary, arms, comparison.correct)
    cost = _verdicts(comparison, time, arms, "none")
    found = tuple(
        Domination(first, second, quality[first, second], cost[first, second])
        for first in arms
        for second in arms
        if first != second and _dominates(quality[first, second], cost[first, second])
    )
    beaten = {one.over for one in found}
    others = len([arm for arm in arms if arm != comparison.baseline])
    left = tuple(arm for arm in arms if arm not in beaten)
    return Front(comparison.primary.name, time.name, left, found, others * (others - 1) // 2)


def _dominates(quality: Verdict, time: Verdict) -> bool:
    return quality in _GOOD and time in _GOOD and Verdict.BETTER in (quality, time)


def _has(comparison: Comparison, arm: str, metric: MetricSpec) -> bool:
    row = comparison.rows.get((arm, metric.name))
    return row is not None and row.mean is not None


def _verdicts(
    comparison: Comparison, metric: MetricSpec, arms: Sequence[str], correct: Correction
) -> dict[tuple[str, str], Verdict]:
    """(first, second) -> what the first is against the second, in both orders."""
    rows = {arm: comparison.row(arm, metric.name) for arm in arms}
    known = {arm: row.verdict or Verdict.UNDECIDED for arm, row in rows.items() if arm != comparison.baseline}
    found = {(arm, comparison.baseline): verdict for arm, verdict in known.items() if comparison.baseline in arms}
    pairs = list(combinations(known, 2))
    if pairs:
        found |= dict(zip(pairs, _tested(comparison, metric, rows, pairs, correct), strict=True))
    return found | {(second, first): _OPPOSITE.get(word, word) for (first, second), word in found.items()}


def _tested(
    comparison: Comparison,
    metric: MetricSpec,
    rows: Mapping[str, Row],
    pairs: Sequence[tuple[str, str]],
    correct: Correction,
) -> Iterator[Verdict]:
    """What the first of each pair is against the second."""
    seeds = sorted({seed for row in rows.values() for seed in row.values})
    values = {arm: np.array([row.values.get(seed, np.nan) for seed in seeds]) for arm, row in rows.items()}
    first, second = (np.array([values[pair[side]] for pair in pairs]) for side in (0, 1))
    scale, sign = transform(metric), 1.0 if metric.direction == "max" else -1.0
    differences = sign * (scale(first) - scale(second))
    summary = paired_summary(differences)
    if comparison.test == "welch":
        two = welch_summary(scale(first), scale(second))
        summary = replace(two, mean=sign * two.mean)
    margin = margins(metric, second, differences)
    still = no_noise(summary.sd, np.maximum(sizes(scale(first)), sizes(scale(second))))
    coarse = proves_nothing(np.array(list(values.values())), summary.n)
    p, same = np.full(len(pairs), np.nan), np.full(len(pairs), np.nan)
    usable = (summary.n >= 2) & ~still
    mean, se, df = summary.mean[usable], summary.se[usable], summary.df[usable]
    p[usable], same[usable] = two_sided_p(mean, se, df), equivalence_p(mean, se, df, margin[usable])
    clear = adjust(p, np.full(len(pairs), comparison.look_level), correct).p <= comparison.look_level
    alike = same <= comparison.look_level
    for middle, equal, decided, quiet, few in zip(summary.mean.tolist(), alike, clear, still, coarse, strict=True):
        yield _word(middle, same=bool(equal), decided=bool(decided), still=bool(quiet), coarse=bool(few))


def _word(mean: float, *, same: bool, decided: bool, still: bool, coarse: bool) -> Verdict:
    """The verdict table of a comparison, but for divergence: such arms take no part."""
    if still:
        return Verdict.EQUIVALENT if mean == 0 and not coarse else Verdict.UNDECIDED
    if same:
        return Verdict.EQUIVALENT
    if decided:
        return Verdict.BETTER if mean > 0 else Verdict.WORSE
    return Verdict.UNDECIDED


def front_sentences(front: Front, shown: Callable[[str], str], most: int = 6) -> list[str]:
    """Return who dominates whom, one sentence per arm that does; `shown` turns names of metrics into words."""
    arms = dict.fromkeys(one.arm for one in front.dominated)
    said = [_sentence(front, arm, shown) for arm in list(arms)[:most]]
    rest = len(arms) - most
    return said + ([f"... and {rest} more that dominate others: see report.json."] if rest > 0 else [])


def _sentence(front: Front, arm: str, shown: Callable[[str], str]) -> str:
    alike: dict[tuple[Verdict, Verdict], list[str]] = {}
    for one in front.dominated:
        if one.arm == arm:
            alike.setdefault((one.quality, one.time), []).append(one.over)
    parts = [
        f"{', '.join(over)} ({quality} in {shown(front.quality)}, {time} in {shown(front.time)})"
        for (quality, time), over in alike.items()
    ]
    return f"{arm} dominates {'; '.join(parts)}."


def front_text(front: Front | None, arm: str) -> str:
    """Return ``on the front``, by whom an arm is dominated, or ``–`` for one that takes no part."""
    if front is None:
        return "–"
    by = front.over(arm)
    if by:
        return f"dominated by {', '.join(by[:2])}{f' and {len(by) - 2} more' if len(by) > 2 else ''}"
    return "on the front" if arm in front.arms else "–"
