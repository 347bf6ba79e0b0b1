"""What the searches of a study found: the best candidates, how many were given up, and which factors mattered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ablate.search import (
    FEWEST_RANKED,
    SHUFFLES,
    Candidate,
    CandidateState,
    Importance,
    Search,
    candidates,
    front,
)
from ablate.storage.candidates import tried_of
from ablate.storage.rows import TrialRow
from ablate.study.factors import level_text
from ablate.study.spec import MetricSpec, Study

SHOWN = 5
"""Candidates in the table of a search with one metric; with two, the whole front is shown."""


@dataclass(frozen=True)
class SearchResult:
    """One search as the report shows it."""

    search: Search
    counts: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    importance: tuple[Importance, ...]
    measured: int

    @property
    def caption(self) -> str:
        """How it was searched, and what came of it."""
        pruner = "" if self.search.pruner == "none" else f", pruner {self.search.pruner}"
        return f"{self.counts}; sampler {self.search.sampler}{pruner}."

    @property
    def importance_text(self) -> str:
        """Which factors mattered, with what chance would give."""
        if not self.importance:
            return (
                f"Importance of factors: not given, because only {self.measured} candidates are measured, fewer than "
                f"{FEWEST_RANKED}."
            )
        parts = [f"{one.factor} {one.share:.2f} (p = {one.chance:.2g})" for one in self.importance]
        return (
            f"Importance (PED-ANOVA): {', '.join(parts)}. Shares add up to 1 even in pure noise; p says how often a "
            f"factor got such a share in {SHUFFLES} shuffles of the results."
        )


def search_results_of(study: Study, rows: Iterable[TrialRow]) -> tuple[SearchResult, ...]:
    """Return what was searched, in the order of the study; searches without a candidate are left out."""
    tried = tried_of(rows)
    found = [(search, candidates(search, tried)) for search in study.searches]
    metrics = {metric.name: metric for metric in study.metrics}
    return tuple(_searched(search, some, metrics) for search, some in found if some)


def _searched(search: Search, found: Sequence[Candidate], metrics: Mapping[str, MetricSpec]) -> SearchResult:
    # Only here: Optuna takes longer to import than most reports to write.
    from ablate.storage.importance import importances

    names = [one.factor for one in search.ranges]
    shown = [metrics[name] for name, _ in search.objectives]
    rows = [
        (
            f"#{one.number}",
            *(_value(value, metric) for metric, value in zip(shown, one.values or (), strict=True)),
            *(_level(one, name) for name in names),
        )
        for one in _best(search, found)
    ]
    units = [f"{metric.name} ({metric.unit})" if metric.unit else metric.name for metric in shown]
    states = Counter(one.state.value.replace("_", " ") for one in found)
    counts = ", ".join(f"{count} {word}" for word, count in sorted(states.items()))
    return SearchResult(
        search,
        f"{len(found)} of {search.trials} candidates: {counts}",
        ("candidate", *units, *names),
        tuple(rows),
        importances(search, found) if len(search.objectives) == 1 else (),
        sum(one.state is CandidateState.MEASURED for one in found),
    )


def _best(search: Search, found: Sequence[Candidate]) -> list[Candidate]:
    if len(search.objectives) > 1:
        return sorted(front(search, found), key=lambda one: one.values or ())
    sign = -1 if search.objectives[0][1] == "max" else 1
    measured = [one for one in found if one.state is CandidateState.MEASURED]
    return sorted(measured, key=lambda one: (sign * (one.values or (0.0,))[0], one.number))[:SHOWN]


def _value(value: float, metric: MetricSpec) -> str:
    return f"{value:.{metric.digits}f}"


def _level(one: Candidate, name: str) -> str:
    if name not in one.levels:
        return "-"
    level = one.levels[name]
    return f"{level:.3g}" if isinstance(level, float) else level_text(level)
