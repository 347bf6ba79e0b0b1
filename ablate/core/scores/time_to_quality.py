"""When a declared quality is reached: in sampling steps, in training images, in seconds; and how fast on the way.

A quality that is never reached is a censored observation, not a missing one: the number is larger than the last one
tried. It stays out of the metrics, which hold numbers only, and is kept beside them so that a survival analysis can
use it: ``<name>_reached`` is 0, and ``<name>_limit`` is the last number tried.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Direction = Literal["max", "min"]


@dataclass(frozen=True)
class QualityReached:
    """Where along a grid a quality is reached for good."""

    at: float | None
    """None: not on this grid (right-censored at `limit`)."""
    limit: float
    """The last point of the grid."""
    first: bool = False
    """True when the first point of the grid has the quality already: reached there or before."""


def reached(places: Sequence[float], values: Sequence[float], quality: float, direction: Direction) -> QualityReached:
    """Return where `values` over ascending, positive `places` are at least as good as `quality` from then on.

    One good value followed by a bad one is luck, so all later values must be good too. Between the last bad point and
    the first good one the place is interpolated linearly in the value and logarithmically in the place. A value that
    is not finite is bad. Raises ValueError for an empty grid.
    """
    if not places or len(places) != len(values):
        raise ValueError("reaching a quality needs a value at every one of at least one place")
    sign = 1.0 if direction == "max" else -1.0
    gains = [sign * (value - quality) if math.isfinite(value) else -math.inf for value in values]
    bad = [index for index, gain in enumerate(gains) if gain < 0]
    if not bad:
        return QualityReached(float(places[0]), float(places[-1]), first=True)
    if bad[-1] == len(places) - 1:
        return QualityReached(None, float(places[-1]))
    return QualityReached(_between(places, gains, bad[-1]), float(places[-1]))


def _between(places: Sequence[float], gains: Sequence[float], last_bad: int) -> float:
    low, high = gains[last_bad], gains[last_bad + 1]
    share = -low / (high - low) if math.isfinite(low) else 1.0
    return float(math.exp(math.log(places[last_bad]) * (1 - share) + math.log(places[last_bad + 1]) * share))


def mean_over_log(places: Sequence[float], values: Sequence[float]) -> float:
    """Return the mean of `values` over log `places` (trapezoidal rule): the area under the curve over its width.

    In the unit of the values, so that two trainings of equal length can be compared. NaN for fewer than two places.
    """
    if len(places) < 2:
        return math.nan
    logs = [math.log(place) for place in places]
    area = sum((b - a) * (u + v) / 2 for a, b, u, v in zip(logs, logs[1:], values, values[1:], strict=False))
    return area / (logs[-1] - logs[0])
