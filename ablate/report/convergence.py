"""Convergence as one number per trial: the mean height of its learning curve."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from ablate.report.stats import Floats


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
