"""How many trials a study with several looks will take, before it is run: if nothing matters, and if one arm does."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean, median
from typing import TYPE_CHECKING

from ablate.api.detectable_difference import spreads_of
from ablate.api.plan_cost import PlanCost
from ablate.api.request import PreparedRun
from ablate.api.stored_studies import latest
from ablate.human_units import spoken

if TYPE_CHECKING:
    from ablate.report.statistics.sequential.expected_seeds import ExpectedSeeds, Prediction


def expected_trials(prepared: PreparedRun) -> Prediction | None:
    """Return what ``--until decided`` takes from the first trial on; None for a study with one look.

    Where seeds are measured already, their noise says whether the margin leaves a chance to call arms equivalent;
    before that, none is assumed.
    """
    study = prepared.study
    if len(study.looks) < 2:
        return None
    from ablate.report.statistics.sequential.expected_seeds import predict

    if study.blocks is None:
        return predict(len(study.arms) - 1, study.looks, study.alpha, study.method, _margin(prepared))
    # An arm is decided over all blocks, and goes on in all of them.
    count = len(study.blocks.names)
    found = predict(len(study.arms) // count - 1, study.looks, study.alpha, study.method, _margin(prepared))
    if found is None:
        return None
    return replace(found, nothing=_times(found.nothing, count), one=_times(found.one, count), most=count * found.most)


def _times(expected: ExpectedSeeds, blocks: int) -> ExpectedSeeds:
    return replace(expected, trials=blocks * expected.trials, low=blocks * expected.low, high=blocks * expected.high)


def expected_lines(prepared: PreparedRun, found: Prediction | None, cost: PlanCost | None) -> list[str]:
    """Return the lines of the plan that say so; `cost` prices what is left."""
    if found is None:
        return []
    named = [
        ("nothing matters", found.nothing, ""),
        ("one arm matters", found.one, f", found in {100 * found.one.decided:.0f} % of studies"),
    ]
    lines = [
        f"{what}: about {one.trials:.0f} of {found.most} trials ({one.per_arm:.1f} seeds per arm"
        f"{_time(prepared, one, cost)}){more}"
        for what, one, more in named
    ]
    return [f"until decided   {lines[0]}", f"{'':16s}{lines[1]}"]


def _time(prepared: PreparedRun, expected: ExpectedSeeds, cost: PlanCost | None) -> str:
    """What the trials that are not done yet take, at the mean price of those that are planned."""
    plan = prepared.plan
    if cost is None or not plan.to_run:
        return ""
    left = max(0.0, expected.trials - plan.done)
    return f", {spoken(left * cost.work_s / plan.to_run)} of work"


def _margin(prepared: PreparedRun) -> float:
    """The margin in standard deviations of a paired difference; NaN where one of the two is not known."""
    metric = prepared.study.primary
    known = [sd for sd in spreads_of(prepared).values() if sd > 0]
    if metric.margin is None or not known:
        return math.nan
    if metric.scale == "log":
        return math.log1p(metric.margin) / median(known)
    return metric.margin * (abs(_baseline_mean(prepared)) if metric.relative else 1.0) / median(known)


def _baseline_mean(prepared: PreparedRun) -> float:
    rows = latest(prepared.stored.rows).values() if prepared.stored is not None else ()
    name, baselines = prepared.study.primary.name, prepared.study.baselines
    return fmean(value for row in rows if row.arm in baselines and (value := row.metrics.get(name)) is not None)
