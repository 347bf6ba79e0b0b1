"""Convergence: the mean height of learning curves, and times to a declared quality."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from ablate.outcome import OutcomeKind
from ablate.report.data.frames import CheckedResults
from ablate.report.statistics.kaplan_meier import Time
from ablate.report.statistics.significance import Floats
from ablate.report.statistics.time_to_event import Race, race
from ablate.report.statistics.trial_matrix import REACHED
from ablate.storage.rows import TrialRow

LIMIT = "_limit"
"""Behind a metric's name: the last value tried, where it may be censored."""


def curve_means(curves: pd.DataFrame, *, start: float | None = None, stop: float | None = None) -> pd.DataFrame:
    """Return arm, seed, area: the area under each learning curve over its length, in the metric's unit.

    `curves` has arm, seed, images, value. All curves are taken over the same stretch of images seen (default: the
    longest that every curve covers), by the trapezium rule with straight lines between points, so that arms with
    other checkpoints remain comparable. NaN for a curve that does not cover the stretch or has a single point.
    """
    trials = {key: part.sort_values("images") for key, part in curves.groupby(["arm", "seed"], sort=False)}
    usable = [part for part in trials.values() if len(part) > 1]
    low = start if start is not None else max((float(part["images"].iloc[0]) for part in usable), default=np.nan)
    high = stop if stop is not None else min((float(part["images"].iloc[-1]) for part in usable), default=np.nan)
    records = [(*key, _mean_height(part, low, high)) for key, part in trials.items()]
    return pd.DataFrame.from_records(records, columns=["arm", "seed", "area"])


def _mean_height(part: pd.DataFrame, low: float, high: float) -> float:
    images: Floats = part["images"].to_numpy(dtype=np.float64)
    values: Floats = part["value"].to_numpy(dtype=np.float64)
    if len(images) < 2 or not low < high or images[0] > low or images[-1] < high:
        return float("nan")
    inside = (images > low) & (images < high)
    grid = np.concatenate(([low], images[inside], [high]))
    heights = np.interp(grid, images, values)
    steps = [(right - left) for left, right in pairwise(grid)]
    return float(np.dot(steps, (heights[1:] + heights[:-1]) / 2) / (high - low))


def with_convergence(frame: pd.DataFrame, curves: pd.DataFrame, name: str = "curve_mean") -> pd.DataFrame:
    """Return `frame` with the column `name`: each trial's mean curve height, ready to be compared like any metric."""
    areas = curve_means(curves).rename(columns={"area": name})
    return frame.merge(areas, on=["arm", "seed"], how="left")


def races_of(results: CheckedResults) -> tuple[Race, ...]:
    """Return the race to the declared quality for every metric of the study that trials recorded as reached or not."""
    study = results.study
    measured = [row for row in results.counting if row.outcome is OutcomeKind.MEASURED]
    quality = study.baseline.settings.get("quality")
    found = []
    for metric in study.metrics:
        times: dict[str, dict[int, Time]] = {arm.name: {} for arm in study.arms}
        for row in measured:
            time = _time(row, metric.name)
            if time is not None and row.arm in times:
                times[row.arm][row.seed] = time
        if times[study.baseline.name]:
            there = {arm: own for arm, own in times.items() if own}
            what = quality if isinstance(quality, int | float) else None
            found.append(race(there, study.baseline.name, metric=metric.name, quality=what, unit=metric.unit))
    return tuple(found)


def _time(row: TrialRow, metric: str) -> Time | None:
    reached = row.metrics.get(metric + REACHED)
    if reached is None:
        return None
    at = row.metrics.get(metric if reached else metric + LIMIT)
    return None if at is None else Time(at, bool(reached))
