"""The arms as far as they are, as numbers without a verdict: words are for the declared looks (`ablate report`)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from rich.text import Text

from ablate.cli.columns import lay_out
from ablate.cli.units import number
from ablate.outcome import OutcomeKind
from ablate.study.spec import MetricSpec, Study


@dataclass(frozen=True)
class Result:
    """How one replicate stands: its kind (None while it runs) and the primary metric, where it has one."""

    kind: OutcomeKind | None
    value: float | None = None


Results = Mapping[tuple[str, int], Result]
"""(arm, seed) -> how it stands."""


@dataclass(frozen=True)
class ArmSoFar:
    """One arm: how many of its seeds gave a result, and the primary metric over these."""

    arm: str
    done: int
    planned: int
    mean: float | None
    diff: float | None
    """Arm minus baseline over the seeds both have; a fraction of the baseline on the log scale."""
    counts: Mapping[str, int]
    """How many replicates run, diverged, failed, ..."""


def arms_so_far(study: Study, planned: Mapping[str, int], results: Results) -> list[ArmSoFar]:
    """Return every arm that has a plan or a result, in study order."""
    base = _values(study.baseline.name, results)
    found = []
    for arm in study.arms:
        own = {seed: result for (name, seed), result in results.items() if name == arm.name}
        if not own and not planned.get(arm.name):
            continue
        done = sum(result.kind is not None and result.kind.is_result for result in own.values())
        counts = Counter("running" if result.kind is None else result.kind.value for result in own.values())
        values = _values(arm.name, results)
        diff = None if arm is study.baseline else _difference(values, base, study.primary)
        mean = fmean(values.values()) if values else None
        total = max(planned.get(arm.name, 0), len(own))
        found.append(ArmSoFar(arm.name, done, total, mean, diff, counts))
    return found


def _values(arm: str, results: Results) -> dict[int, float]:
    return {seed: result.value for (name, seed), result in results.items() if name == arm and result.value is not None}


def _difference(values: Mapping[int, float], base: Mapping[int, float], metric: MetricSpec) -> float | None:
    both = sorted(values.keys() & base.keys())
    if not both:
        return None
    if metric.scale == "identity":
        return fmean(values[seed] - base[seed] for seed in both)
    if any(values[seed] <= 0 or base[seed] <= 0 for seed in both):
        return None
    return math.expm1(fmean(math.log(values[seed] / base[seed]) for seed in both))


def difference_text(diff: float | None, metric: MetricSpec) -> str:
    """Return a signed difference in the metric's unit, or in per cent on the log scale."""
    if diff is None:
        return ""
    sign = "+" if diff >= 0 else ""
    if metric.scale == "log":
        return f"{sign}{100 * diff:.1f} %"
    return sign + number(diff, metric.digits)


def table(arms: Sequence[ArmSoFar], metric: MetricSpec, width: int) -> list[Text]:
    """Return the lines of the table: arm, seeds done of planned, mean, difference, and what else there is to know."""
    unit = f" ({metric.unit})" if metric.unit else ""
    header = ("arm", "seeds", f"{metric.name}{unit}", "diff", "")
    rows = [
        (
            arm.arm,
            f"{arm.done}/{arm.planned}",
            "" if arm.mean is None else number(arm.mean, metric.digits),
            difference_text(arm.diff, metric),
            note(arm),
        )
        for arm in arms
    ]
    return lay_out(header, rows, align="~>>><", width=width)


def note(arm: ArmSoFar) -> str:
    """Return what the numbers do not say: ``1 running, diverged 2 of 3``."""
    parts = [f"{arm.counts[word]} {word}" for word in ("running", "failed", "lost", "stopped") if arm.counts.get(word)]
    if memory := arm.counts.get("out_of_memory"):
        parts.append(f"{memory} out of memory")
    if diverged := arm.counts.get("diverged"):
        parts.append(f"diverged {diverged} of {arm.done}")
    return ", ".join(parts)
