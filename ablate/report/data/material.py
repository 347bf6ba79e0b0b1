"""What every page of a report is written from: the study, its results, the comparison, and where they came from."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from ablate.outcome import OutcomeKind
from ablate.report.data.frames import CheckedResults
from ablate.report.data.provenance import Provenance
from ablate.report.data.search_results import SearchResult
from ablate.report.statistics.equal_budget import Equal
from ablate.report.statistics.families import Family
from ablate.report.statistics.model import Comparison, Verdict
from ablate.report.statistics.pareto import Front
from ablate.report.statistics.time_to_event import Race
from ablate.report.statistics.trend import Trend, ordered_factors, trend_of
from ablate.storage.candidates import is_candidate
from ablate.storage.rows import TrialRow
from ablate.study.spec import Arm, Study

Point = tuple[str, int, int, str, float]
"""A point of a learning curve: arm, seed, images seen, metric, value."""
Results = Mapping[tuple[str, int], TrialRow]
"""(arm, seed) -> the trial that counts for this replicate."""


@dataclass(frozen=True)
class ArmCost:
    """What an arm took, over its measured seeds, in wall seconds per trial (work that was reused is included)."""

    seconds: float | None
    ratio: float | None
    """Geometric mean over the seeds shared with the baseline of arm seconds / baseline seconds."""
    total: float
    """Seconds of every trial of the arm, failed and repeated ones too."""


@dataclass(frozen=True)
class State:
    """How far a study is."""

    results: int
    planned: int
    failed: int
    """Replicates without a result whose last trial ended: to be run again."""
    running: int
    stale: bool
    """True when the study file on disk is no longer the one that was run."""

    @property
    def word(self) -> str:
        """``complete`` or ``partial``."""
        return "complete" if self.results >= self.planned else "partial"

    def __str__(self) -> str:
        text = "complete" if self.word == "complete" else f"partial: {self.results} of {self.planned} trials"
        return f"{text}, study file changed after the run" if self.stale else text


@dataclass(frozen=True)
class Material:
    """Everything that pages and figures read. Nothing in it can write."""

    study: Study
    rows: tuple[TrialRow, ...]
    results: Results
    comparison: Comparison
    costs: Mapping[str, ArmCost]
    trends: tuple[Trend, ...]
    """Dose response of every factor with numeric levels."""
    families: tuple[Family, ...]
    """Contrasts of several arms: main effects and interactions, steps of a path, neighbouring levels."""
    races: tuple[Race, ...]
    """Times to a declared quality, with the seeds that never got there."""
    equal: tuple[Equal, ...]
    """Arms with another budget than the baseline's, compared where both had spent the same."""
    front: Front | None
    """Who dominates whom in quality and time; None without a time."""
    points: tuple[Point, ...]
    """Points of all learning curves."""
    state: State
    provenance: Provenance
    generated_at: str
    """ISO 8601, UTC, whole seconds: the only line that differs between two reports of the same results."""
    command: str | None = None
    """What runs the study as it was run, with its overrides; None where only its file is known."""
    layout: str = "arms"
    """Of the table in report.md and table.tex; see `ablate.report.text.component_columns`."""
    columns: tuple[str, ...] = ()
    """Of the comparison table, as asked for; empty for each format's own choice. See `ablate.report.text.columns`."""
    searched: tuple[SearchResult, ...] = ()
    """What the searches found, before arms were compared."""
    planned: Study | None = None
    """Of a study with blocks: the study as it was planned and run. `study` then is that over all blocks."""
    trials: tuple[TrialRow, ...] = ()
    """Of a study with blocks: its trials as stored; `rows` and `results` then name arms without their block."""
    blocks: Mapping[str, Material] = field(default_factory=dict)
    """Block -> what its own report is written from."""

    @property
    def shown_arms(self) -> tuple[Arm, ...]:
        """Arms of the study in table order: the baseline, then grouped by factor in study-file order."""
        return in_groups(self.study.arms)

    @property
    def totals(self) -> dict[str, float | None]:
        """Seconds that all trials of each arm took; None where no trial says."""
        return {arm: cost.total if cost.seconds is not None or cost.total else None for arm, cost in self.costs.items()}

    def ratio(self, arm: str) -> float | None:
        """Time of `arm` relative to the baseline's."""
        cost = self.costs.get(arm)
        return cost.ratio if cost else None


def in_groups(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """Return the baseline first, then the others with those of one factor together, first come first."""
    order = {factor: at for at, factor in reversed(list(enumerate(arm.factor or "" for arm in arms[1:])))}
    return (*arms[:1], *sorted(arms[1:], key=lambda arm: order[arm.factor or ""]))


def results_of(results: CheckedResults) -> dict[tuple[str, int], TrialRow]:
    """Return per (arm, seed) the trial that counts, or the one that still runs where none has ended."""
    running = {(row.arm, row.seed): row for row in results.rows if row.outcome is None and not is_candidate(row)}
    return running | {(row.arm, row.seed): row for row in results.counting}


def trends_of(results: CheckedResults) -> tuple[Trend, ...]:
    """Return the trend of every factor with a few numeric levels on the primary metric."""
    found = []
    for factor, places in ordered_factors(results.study).items():
        if len(places) <= _MOST_LEVELS:
            levels, arms = zip(*places, strict=True)
            found.append(trend_of(results.matrix, results.study.primary, factor=factor, levels=levels, arms=arms))
    return tuple(found)


def without_numbers(results: Results, comparison: Comparison) -> frozenset[tuple[str, int]]:
    """Return the trials that diverged, and every trial of an arm that counts as diverged."""
    lost = {arm for (arm, metric), row in comparison.rows.items() if row.verdict is Verdict.DIVERGED}
    return frozenset(key for key, row in results.items() if row.outcome is not OutcomeKind.MEASURED or key[0] in lost)


_MOST_LEVELS = 12
"""Levels up to which a trend is tested: the exact distribution behind it grows fast."""


def costs_of(study: Study, rows: Sequence[TrialRow], results: Results) -> dict[str, ArmCost]:
    """Return what each arm took."""
    totals: dict[str, float] = defaultdict(float)
    for row in rows:
        totals[row.arm] += row.seconds or 0.0
    taken = {arm.name: _measured_seconds(arm.name, results) for arm in study.arms}
    base = taken[study.baseline.name]
    return {
        name: ArmCost(fmean(own.values()) if own else None, _ratio(own, base), totals[name])
        for name, own in taken.items()
    }


def _measured_seconds(arm: str, results: Results) -> dict[int, float]:
    return {
        seed: row.seconds
        for (name, seed), row in results.items()
        if name == arm and row.outcome is OutcomeKind.MEASURED and row.seconds is not None and row.seconds > 0
    }


def _ratio(own: Mapping[int, float], base: Mapping[int, float]) -> float | None:
    shared = own.keys() & base.keys()
    if not shared:
        return None
    return math.exp(fmean(math.log(own[seed] / base[seed]) for seed in sorted(shared)))


def state_of(study: Study, results: Results, *, stale: bool) -> State:
    """Return how far the study is: every arm is planned for at least the study's seeds."""
    kinds = [row.outcome for row in results.values()]
    done = sum(kind is not None and kind.is_result for kind in kinds)
    seeds = {seed for _, seed in results}
    planned = {(arm.name, seed) for arm in study.arms for seed in study.seed_range()} | {
        key for key in results if key[1] in seeds
    }
    running = sum(kind is None for kind in kinds)
    return State(done, len(planned), len(kinds) - done - running, running, stale)
