"""How long until a quality is reached: time-to-event, with seeds that never got there kept as what they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import stats

from ablate.errors import AblateError
from ablate.report.statistics.kaplan_meier import Median, Step, Time, kaplan_meier, median_time
from ablate.report.statistics.significance import half_width, no_noise, paired_summary, two_sided_p
from ablate.study.spec import Direction

FEWEST_WITH_P = 6
"""Shared seeds below which censored times get no p: no exact paired test can reach 0.05."""


@dataclass(frozen=True)
class Reaching:
    """One arm on its way to the quality, against the baseline."""

    arm: str
    times: Mapping[int, Time]
    """Seed -> time."""
    curve: tuple[Step, ...]
    """Kaplan-Meier estimate of the share that has reached it, from 0."""
    median: Median
    """The time by which half of the seeds have."""
    ratio: float | None = None
    """Geometric mean of arm time / baseline time, where every shared seed of both reached it."""
    ci_low: float | None = None
    ci_high: float | None = None
    earlier: int = 0
    """Shared seeds in which the arm was there before the baseline."""
    later: int = 0
    """Shared seeds in which the baseline was there before the arm."""
    p: float | None = None
    """Paired t on ln(time) where all reached it, else the exact sign test on earlier / later from 6 shared seeds on."""
    test: str = ""
    """Name of the test behind `p`; why there is none, where there is none."""

    @property
    def reached(self) -> int:
        """Seeds that reached it."""
        return sum(time.reached for time in self.times.values())


@dataclass(frozen=True)
class Race:
    """Every arm's time to one declared quality."""

    metric: str
    """The time, as the study calls it: images_to_quality."""
    quality: float | None
    """None where it is not known."""
    unit: str
    """What time is counted in: images, seconds, steps."""
    baseline: str
    arms: Mapping[str, Reaching] = field(default_factory=dict)

    @property
    def censored(self) -> bool:
        """True when some seed never got there."""
        return any(arm.reached < len(arm.times) for arm in self.arms.values())


def times_to(
    curves: pd.DataFrame, quality: float, direction: Direction, *, time: str = "images"
) -> dict[str, dict[int, Time]]:
    """Return arm -> seed -> the first point of its learning curve at which `quality` is reached.

    `curves` has arm, seed, value and a column `time`. A curve is only known at its points, so the time is that of the
    first point at or beyond the quality, never one in between. A curve that ends before is censored at its last point.
    """
    found: dict[str, dict[int, Time]] = {}
    for _, part in curves.sort_values(time).groupby(["arm", "seed"], sort=False):
        arm, seed = str(part["arm"].iloc[0]), int(part["seed"].iloc[0])
        there = part["value"] >= quality if direction == "max" else part["value"] <= quality
        hit = part.loc[there, time]
        reached = len(hit) > 0
        at = float(hit.iloc[0]) if reached else float(part[time].iloc[-1])
        found.setdefault(arm, {})[seed] = Time(at, reached)
    return found


def race(
    times: Mapping[str, Mapping[int, Time]],
    baseline: str,
    *,
    metric: str = "images_to_quality",
    quality: float | None = None,
    unit: str = "images",
) -> Race:
    """Compare every arm's times with the baseline's over the seeds both have.

    Where all of these reached the quality, as ratios: a paired t on ln(time). Where some did not, the seeds in which
    one was there first are counted, with an exact sign test from 6 shared seeds on; below, no p is given. Raises
    AblateError where the baseline has no times.
    """
    if not times.get(baseline):
        raise AblateError(f"the baseline {baseline!r} has no times")
    own = times[baseline]
    curve = kaplan_meier(list(own.values()))
    arms = {baseline: Reaching(baseline, own, curve, median_time(curve))}
    for arm, theirs in times.items():
        if arm != baseline:
            arms[arm] = _against(arm, theirs, own)
    return Race(metric, quality, unit, baseline, arms)


def _against(arm: str, times: Mapping[int, Time], baseline: Mapping[int, Time]) -> Reaching:
    shared = sorted(times.keys() & baseline.keys())
    pairs = [(times[seed], baseline[seed]) for seed in shared]
    earlier, later = sum(_first(a, b) for a, b in pairs), sum(_first(b, a) for a, b in pairs)
    curve = kaplan_meier(list(times.values()))
    middle = median_time(curve)
    if pairs and all(a.reached and b.reached and a.at > 0 and b.at > 0 for a, b in pairs):
        ratio, low, high, p, test = _ratio(pairs)
        return Reaching(arm, times, curve, middle, ratio, low, high, earlier, later, p, test)
    decided = earlier + later
    if len(shared) < FEWEST_WITH_P:
        return Reaching(arm, times, curve, middle, earlier=earlier, later=later, test=_TOO_FEW)
    p = float(stats.binomtest(earlier, decided).pvalue) if decided else 1.0
    return Reaching(arm, times, curve, middle, earlier=earlier, later=later, p=p, test="exact sign test")


_TOO_FEW = f"no test: some seeds never reached it, and there are fewer than {FEWEST_WITH_P} shared seeds"


def _first(one: Time, other: Time) -> bool:
    """True when `one` was certainly there first: the other came later, or was watched for longer without."""
    return one.reached and (one.at < other.at if other.reached else one.at <= other.at)


def _ratio(pairs: Sequence[tuple[Time, Time]]) -> tuple[float, float | None, float | None, float | None, str]:
    logs = np.array([[math.log(a.at / b.at) for a, b in pairs]])
    summary = paired_summary(logs)
    ratio = math.exp(float(summary.mean[0]))
    if len(pairs) < 2:
        return ratio, None, None, None, "no test: one shared seed"
    if no_noise(summary.sd, np.ones(1))[0]:
        return ratio, ratio, ratio, None, "no test: the same ratio in every seed"
    width = float(half_width(summary.se, summary.df)[0])
    p = float(two_sided_p(summary.mean, summary.se, summary.df)[0])
    middle = float(summary.mean[0])
    return ratio, math.exp(middle - width), math.exp(middle + width), p, "paired t on ln(time)"
