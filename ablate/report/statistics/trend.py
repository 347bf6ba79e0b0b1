"""Dose response: does a metric rise or fall over the ordered levels of a numeric factor?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from ablate.errors import AblateError
from ablate.report.statistics.significance import Floats
from ablate.report.statistics.trial_matrix import Trials, read_trials
from ablate.study.spec import MetricSpec, Study

TrendDirection = Literal["rising", "falling"]


@dataclass(frozen=True)
class Trend:
    """Page's trend test of one factor on one metric."""

    factor: str
    metric: str
    levels: tuple[float, ...]
    """Ascending, the baseline's own level among them."""
    arms: tuple[str, ...]
    """The arms of `levels`, in the same order."""
    seeds: int
    """Seeds measured at every level."""
    p: float | None
    """Small when the metric follows the order of the levels; None below 2 seeds."""
    course: TrendDirection | None
    """The direction that was declared, or the one the data lean to (then `p` is doubled for the choice)."""
    declared: bool
    hump: bool
    """True when the mean is best or worst strictly inside: compare neighbours instead of trusting a trend."""


def page_p(doses: Floats, course: TrendDirection) -> float:
    """Return p of Page's test (1963) on a matrix [seeds, levels] with columns in rising order of the levels.

    The alternative is that values rise (or fall) with the level. Exact for small tables. Needs 2 seeds and 3 levels.
    """
    ordered = doses if course == "rising" else doses[:, ::-1]
    return float(stats.page_trend_test(ordered).pvalue)


def ordered_factors(study: Study) -> dict[str, tuple[tuple[float, str], ...]]:
    """Return factor -> (level, arm) in rising order, for numeric factors that `vary` gives 2 or more levels of.

    The baseline stands at its own level.
    """
    found = {}
    for factor in dict.fromkeys(arm.factor for arm in study.arms if arm.factor is not None):
        arms = [study.baseline, *(arm for arm in study.arms if arm.factor == factor)]
        levels = [arm.settings.get(factor) for arm in arms]
        numbers = [float(level) for level in levels if isinstance(level, int | float) and not isinstance(level, bool)]
        if len(numbers) == len(arms) and len(set(numbers)) == len(arms) >= 3:
            found[factor] = tuple(sorted(zip(numbers, (arm.name for arm in arms), strict=True)))
    return found


def trends(
    study: Study, frame: pd.DataFrame, metric: MetricSpec, course: TrendDirection | None = None
) -> tuple[Trend, ...]:
    """Test every ordered factor of `study` on `metric`; `frame` is that of `trials_frame`.

    Without a declared `course` both directions are tested and the smaller p is doubled.
    """
    return tuple(_trends(study, frame, metric, course))


def _trends(study: Study, frame: pd.DataFrame, metric: MetricSpec, course: TrendDirection | None) -> Iterator[Trend]:
    for factor, places in ordered_factors(study).items():
        levels, arms = zip(*places, strict=True)
        yield trend(frame, metric, factor=factor, levels=levels, arms=arms, course=course)


def trend(
    frame: pd.DataFrame,
    metric: MetricSpec,
    *,
    factor: str,
    levels: tuple[float, ...],
    arms: tuple[str, ...],
    course: TrendDirection | None = None,
) -> Trend:
    """Test one factor. `arms` are in rising order of `levels`; only seeds measured in all of them take part."""
    if len(arms) < 3 or len(arms) != len(levels):
        raise AblateError(f"a trend needs 3 levels with one arm each, got {len(levels)} levels and {len(arms)} arms")
    trials = read_trials(frame, [metric], arms[0], arms)
    return trend_of(trials, metric, factor=factor, levels=levels, arms=arms, course=course)


def trend_of(
    trials: Trials,
    metric: MetricSpec,
    *,
    factor: str,
    levels: tuple[float, ...],
    arms: tuple[str, ...],
    course: TrendDirection | None = None,
) -> Trend:
    """Do what `trend` does, on matrices that have been read already; they may hold more arms than the factor's."""
    values = trials.of(arms).values[metric.name]
    complete = values[:, np.isfinite(values).all(axis=0)].T
    p, leaning = _tested(complete, course)
    return Trend(factor, metric.name, levels, arms, len(complete), p, leaning, course is not None, _is_hump(complete))


def _tested(doses: Floats, course: TrendDirection | None) -> tuple[float | None, TrendDirection | None]:
    if len(doses) < 2:
        return None, course
    if course is not None:
        return page_p(doses, course), course
    rising, falling = page_p(doses, "rising"), page_p(doses, "falling")
    return min(1.0, 2 * min(rising, falling)), "rising" if rising <= falling else "falling"


def _is_hump(doses: Floats) -> bool:
    if not len(doses):
        return False
    mean = doses.mean(axis=0)
    ends = mean[[0, -1]]
    return bool(mean[1:-1].max() > ends.max() or mean[1:-1].min() < ends.min())
