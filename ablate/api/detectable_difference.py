"""The smallest difference that the seeds of a plan can show, from how the seeds measured so far scatter."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from ablate.api.request import PreparedRun
from ablate.api.stored_studies import latest
from ablate.display.interim_results import difference_text
from ablate.human_units import plural
from ablate.storage.rows import TrialRow
from ablate.study.blocks import split_name
from ablate.study.spec import MetricSpec


def can_see(prepared: PreparedRun) -> str:
    """Return the line of the plan that says so: at 80 % power, for the primary metric; a range where arms differ."""
    study, plan = prepared.study, prepared.plan
    metric = study.primary
    arms = len(plan.arms) if study.blocks is None else len({split_name(arm)[0] for arm in plan.arms})
    if arms < 2:
        return ""
    spreads = spreads_of(prepared)
    if not spreads:
        return f"detectable difference   unknown until an arm and the baseline have 2 seeds ({metric.name})"
    from ablate.report.statistics.power import smallest_detectable
    from ablate.report.statistics.sequential.boundaries import LookLevels
    from ablate.report.statistics.sequential.futility import next_level

    # With several looks, what counts is what the last one shows: the first ones decide large differences only.
    seeds = plan.looks[-1] if len(plan.looks) > 1 else plan.seeds
    unit = "seed"
    if study.blocks is not None and study.blocks.kind == "random":
        seeds, unit = len(plan.blocks), "block"
    levels = LookLevels(tuple(plan.looks), study.alpha, study.method.boundaries)
    level = next_level(levels, study.alpha, "holm", arms - 1, 0)
    found = sorted(smallest_detectable(sd, seeds, 1, level) for sd in spreads.values())
    if not math.isfinite(found[-1]):
        return "detectable difference   none: a verdict takes 2 seeds or more"
    low, high = (_size(value, metric) for value in (found[0], found[-1]))
    text = low if low == high else f"{low} to {high}"
    return f"detectable difference   {metric.name} {text} or more, with {plural(seeds, unit)} at 80 % power"


def _size(value: float, metric: MetricSpec) -> str:
    """A size without a sign, in the metric's unit or in per cent."""
    text = difference_text(math.expm1(value) if metric.scale == "log" else value, metric).lstrip("+")
    return f"{text} {metric.unit}" if metric.unit and metric.scale != "log" else text


def spreads_of(prepared: PreparedRun) -> dict[str, float]:
    """Arm -> standard deviation of its paired differences, where two pairs or more are measured."""
    rows: Iterable[TrialRow] = latest(prepared.stored.rows).values() if prepared.stored is not None else ()
    metric, study, arms = prepared.study.primary, prepared.study, prepared.plan.arms
    if study.blocks is not None and rows:
        from ablate.report.data.block_results import rows_over

        rows, arms = rows_over(study, list(rows)), tuple(dict.fromkeys(split_name(arm)[0] for arm in arms))
        study = study.over_blocks()
    values: dict[str, dict[int, float]] = {}
    for row in rows:
        value = row.metrics.get(metric.name)
        if row.outcome == "measured" and value is not None and (metric.scale == "identity" or value > 0):
            values.setdefault(row.arm, {})[row.seed] = math.log(value) if metric.scale == "log" else value
    base = values.get(study.baseline.name, {})
    found = {arm: _deviation(values.get(arm, {}), base) for arm in arms if arm != study.baseline.name}
    return {arm: sd for arm, sd in found.items() if sd is not None}


def _deviation(own: Mapping[int, float], base: Mapping[int, float]) -> float | None:
    from statistics import stdev

    pairs = [own[seed] - base[seed] for seed in own.keys() & base.keys()]
    return stdev(pairs) if len(pairs) > 1 else None
