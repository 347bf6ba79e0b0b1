"""The arms as far as they are, as numbers without a verdict: verdicts are for the declared looks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from ablate.human_units import number
from ablate.outcome import OutcomeKind
from ablate.search import Search
from ablate.storage.rows import TrialRow
from ablate.study.spec import MetricSpec, Study


@dataclass(frozen=True)
class Result:
    """How one replicate stands: its kind (None while it runs) and the primary metric, where it has one."""

    kind: OutcomeKind | None
    value: float | None = None


Results = Mapping[tuple[str, int], Result]
"""(arm, seed) -> how it stands."""


def results_of(study: Study, rows: Mapping[tuple[str, int], TrialRow]) -> dict[tuple[str, int], Result]:
    """How each replicate stands, given the trial that counts of each."""
    metric = study.primary.name
    return {key: Result(row.outcome, row.metrics.get(metric)) for key, row in rows.items()}


@dataclass(frozen=True)
class InterimArm:
    """One arm: how many of its seeds gave a result, and the primary metric over these."""

    arm: str
    done: int
    planned: int
    mean: float | None
    diff: float | None
    """Arm minus baseline over the seeds both have; a fraction of the baseline on the log scale."""
    counts: Mapping[str, int]
    """How many replicates run, diverged, failed, ..."""


def interim_arms(study: Study, planned: Mapping[str, int], results: Results) -> list[InterimArm]:
    """Return every arm that has a plan or a result, in study order."""
    by_arm = _by_arm(results)
    found = []
    for arm in study.arms:
        own = by_arm.get(arm.name, {})
        if not own and not planned.get(arm.name):
            continue
        done = sum(result.kind is not None and result.kind.is_result for result in own.values())
        counts = Counter("running" if result.kind is None else result.kind.value for result in own.values())
        values = _values(own)
        base = study.baseline_of(arm.name).name
        diff = None if arm.name == base else _difference(values, _values(by_arm.get(base, {})), study.primary)
        mean = fmean(values.values()) if values else None
        total = max(planned.get(arm.name, 0), len(own))
        found.append(InterimArm(arm.name, done, total, mean, diff, counts))
    return found


def candidate_keys(searches: Iterable[Search]) -> set[tuple[str, int]]:
    """Return (candidate, seed) of every replicate that searches plan."""
    return {
        (search.candidate(number), seed)
        for search in searches
        for number in range(search.trials)
        for seed in search.seed_indices
    }


def search_lines(study: Study, results: Results) -> list[str]:
    """Return one line per search that has begun: how far it is, and the best so far."""
    return [line for search in study.searches if (line := _search_line(study, search, results))]


def _search_line(study: Study, search: Search, results: Results) -> str:
    keys = candidate_keys([search])
    own = {key: result for key, result in results.items() if key in keys}
    if not own:
        return ""
    counts = Counter(result.kind.value for result in own.values() if result.kind is not None)
    answered = sum(result.kind is not None and result.kind.is_result for result in own.values())
    parts = [f"{answered} of {len(keys)}"]
    parts += [f"{counts[word]} {word}" for word in ("pruned", "diverged", "out_of_memory", "failed") if counts[word]]
    values: dict[str, list[float]] = {}
    for (name, _), result in own.items():
        if result.value is not None:
            values.setdefault(name, []).append(result.value)
    means = {name: fmean(some) for name, some in values.items() if len(some) == search.seeds}
    if means:
        pick = max if search.objectives[0][1] == "max" else min
        top = pick(means, key=lambda name: means[name])
        unit = f" {study.primary.unit}" if study.primary.unit else ""
        parts.append(f"best {study.primary.name} {number(means[top], study.primary.digits)}{unit} ({top})")
    what = f"tuning {search.name}" if search.tunes else search.name
    return f"{what}: {', '.join(parts)}"


def _by_arm(results: Results) -> dict[str, dict[int, Result]]:
    """Arm -> seed -> how it stands: one walk, however many arms there are."""
    found: dict[str, dict[int, Result]] = {}
    for (arm, seed), result in results.items():
        found.setdefault(arm, {})[seed] = result
    return found


def _values(own: Mapping[int, Result]) -> dict[int, float]:
    return {seed: result.value for seed, result in own.items() if result.value is not None}


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
