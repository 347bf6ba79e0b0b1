"""Times to an event of which some were never seen: the Kaplan-Meier estimate and its median."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

_HALF = 0.5 - 1e-9
"""A half, but for rounding: shares are products of fractions."""


@dataclass(frozen=True)
class Time:
    """One seed: when its curve reached the quality, or when it ended without."""

    at: float
    reached: bool


@dataclass(frozen=True)
class Step:
    """A point of a Kaplan-Meier curve: from `at` on, this share has reached the quality (95 % interval)."""

    at: float
    share: float
    low: float | None
    """None where the formula has none: everybody got there."""
    high: float | None
    at_risk: int
    """Seeds that were still on their way just before `at`."""


@dataclass(frozen=True)
class Median:
    """The time by which half of the seeds got there, with its 95 % interval. None lies beyond what was watched."""

    at: float | None
    low: float | None
    high: float | None


def kaplan_meier(times: Sequence[Time]) -> tuple[Step, ...]:
    """Return the Kaplan-Meier estimate of the share that has reached the quality, with log-log 95 % intervals.

    One step per time at which a seed got there; no step where none did. Kaplan and Meier (1958); the interval is that
    of ln(-ln(1 - share)) with Greenwood's variance (Kalbfleisch and Prentice 1980).
    """
    there = [time.at for time in times if time.reached]
    if not there:
        return ()
    left = [time.at for time in times if not time.reached]
    shares = stats.ecdf(stats.CensoredData(uncensored=there, right=left)).cdf
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        # Where everybody got there the formula has no interval; its NaN becomes None below.
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = shares.confidence_interval(method="log-log")
    low, high = interval.low.probabilities, interval.high.probabilities
    return tuple(
        Step(float(at), float(share), _finite(low[place]), _finite(high[place]), at_risk(times, float(at)))
        for place, (at, share) in enumerate(zip(shares.quantiles, shares.probabilities, strict=True))
        if at in there
    )


def at_risk(times: Sequence[Time], at: float) -> int:
    """Return how many seeds were still on their way just before `at`: not there yet, and still watched."""
    return sum(time.at >= at for time in times)


def median_time(curve: Sequence[Step]) -> Median:
    """Return the first time at which the curve is at a half or above, and its interval.

    The interval's ends are the first times at which the upper and the lower bound of the share are at a half or above
    (Brookmeyer and Crowley 1982). Where all seeds got there, the last of them closes it; where all did at once, or
    there is one seed, nothing is known of its width and there is no interval.
    """
    middle = _first(curve, [step.share for step in curve])
    if all(step.low is None for step in curve):
        return Median(middle, None, None)
    return Median(
        middle,
        _first(curve, [step.share if step.high is None else step.high for step in curve]),
        _first(curve, [step.share if step.low is None else step.low for step in curve]),
    )


def _first(curve: Sequence[Step], shares: Sequence[float]) -> float | None:
    return next((step.at for step, share in zip(curve, shares, strict=True) if share >= _HALF), None)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
