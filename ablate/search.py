"""Search: what is looked for, where and how, and what came of it. Words that study, storage, engine and report share.

A search tries candidates: levels that a sampler suggests within declared ranges. A candidate's replicates run on seeds
of their own, never on those of the arms, so that what the search chose can be tested on fresh seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from statistics import fmean
from typing import Any, Literal

from ablate.json_values import JsonValue, freeze, frozen_settings, is_same, plain_settings, thaw
from ablate.outcome import OutcomeKind

SAMPLERS = ("tpe", "random", "qmc", "gp", "cma-es", "nsga-ii")
PRUNERS = ("none", "asha", "hyperband", "median", "wilcoxon")
CURVE_PRUNERS = frozenset({"asha", "hyperband", "median"})
"""Pruners that look at learning curves; the Wilcoxon pruner compares seeds."""
NEEDED_PACKAGES: Mapping[str, tuple[str, ...]] = {"cma-es": ("cmaes",), "gp": ("torch", "scipy"), "qmc": ("scipy",)}
"""Sampler -> modules that Optuna imports for it."""
FEWEST_RANKED = 10
"""With fewer measured candidates nothing is said of the importance of factors."""
SHUFFLES = 99
"""Shuffled results that an importance is compared with."""
FIRST_SEED = 1000
"""Seeds of candidates count from here; those of arms stay below."""

Direction = Literal["max", "min"]


@dataclass(frozen=True)
class Range:
    """Where the levels of one factor are looked for: between `low` and `high`, or among `choices`."""

    factor: str
    low: float | None = None
    high: float | None = None
    """Both inclusive; None where there are choices."""
    whole: bool = False
    log: bool = False
    step: float | None = None
    choices: tuple[JsonValue, ...] = ()
    when: Mapping[str, tuple[JsonValue, ...]] = field(default_factory=dict)
    """Other factor -> levels with which this one is searched; elsewhere it keeps the level the search starts from."""

    def is_active(self, levels: Mapping[str, JsonValue]) -> bool:
        """True when a candidate with `levels` has a level of this factor."""
        return all(any(is_same(levels.get(name), level) for level in wanted) for name, wanted in self.when.items())

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data."""
        return {
            **vars(self),
            "choices": thaw(self.choices),
            "when": {name: thaw(levels) for name, levels in self.when.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Range:
        """Rebuild a range from `to_dict`."""
        when = {name: _frozen(levels) for name, levels in data["when"].items()}
        return cls(**{**data, "choices": _frozen(data["choices"]), "when": when})


def _frozen(levels: Iterable[Any]) -> tuple[JsonValue, ...]:
    return tuple(freeze(level) for level in levels)


@dataclass(frozen=True)
class Search:
    """One search. `name` is ``search``, or the arm that is tuned."""

    name: str
    ranges: tuple[Range, ...]
    objectives: tuple[tuple[str, Direction], ...]
    """Metric and direction; the first is the primary metric. Two have no single best candidate."""
    start: Mapping[str, JsonValue]
    """What candidates change: the stated levels of the baseline, or of the arm that is tuned."""
    sampler: str = "tpe"
    pruner: str = "none"
    trials: int = 40
    """Candidates."""
    seeds: int = 1
    """Replicates of a candidate."""
    tunes: bool = False
    """True when the best candidate's levels become those of the arm `name`; else they make an arm of their own."""
    confirm: bool = True
    """Whether that arm is run, on the study's own seeds."""

    @property
    def arm(self) -> str | None:
        """The arm that the best candidate becomes; None when it becomes none."""
        if self.tunes:
            return self.name
        return f"best of {self.name}" if self.confirm and len(self.objectives) == 1 else None

    def candidate(self, number: int) -> str:
        """The name of a candidate, used where an arm's is: ``search #7``."""
        return f"{self.name} #{number}"

    @property
    def seed_indices(self) -> range:
        """The seeds of every candidate: the same, so that candidates are compared on equal luck."""
        return range(FIRST_SEED, FIRST_SEED + self.seeds)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data."""
        return {
            **vars(self),
            "ranges": [one.to_dict() for one in self.ranges],
            "objectives": [list(pair) for pair in self.objectives],
            "start": [[name, level] for name, level in plain_settings(self.start).items()],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Search:
        """Rebuild a search from `to_dict`."""
        ranges = tuple(Range.from_dict(one) for one in data["ranges"])
        objectives = tuple((metric, direction) for metric, direction in data["objectives"])
        return cls(
            **{**data, "ranges": ranges, "objectives": objectives, "start": frozen_settings(dict(data["start"]))}
        )


def second_objective(searches: Iterable[Search]) -> tuple[str, Direction] | None:
    """Return the second metric, and its direction, of the search that has one; None without such a search."""
    return next((search.objectives[1] for search in searches if len(search.objectives) > 1), None)


class CandidateState(StrEnum):
    """Where a candidate is."""

    OPEN = "open"
    """Some replicate has no answer yet, or has to be run again."""
    MEASURED = "measured"
    PRUNED = "pruned"
    """Given up, by its learning curve or by its first seeds."""
    DIVERGED = "diverged"
    TOO_LARGE = "out_of_memory"


@dataclass(frozen=True)
class Tried:
    """One replicate of a candidate, as stored: the attempt that counts."""

    search: str
    number: int
    seed: int
    levels: Mapping[str, JsonValue]
    """Of the factors that are searched, as far as they are active."""
    outcome: OutcomeKind | None
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[tuple[int, float], ...] = ()
    """Images seen and the primary metric there."""


@dataclass(frozen=True)
class Candidate:
    """One candidate and what came of it."""

    number: int
    levels: Mapping[str, JsonValue]
    state: CandidateState
    values: tuple[float, ...] | None
    """Mean over its seeds of each objective; None when it was not measured."""
    by_seed: Mapping[int, float] = field(default_factory=dict)
    """Seed -> first objective."""
    curve: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Importance:
    """Of one factor: its share, and how likely shuffled results give it as much (at least 1 / (SHUFFLES + 1))."""

    factor: str
    share: float
    chance: float


def candidates(search: Search, tried: Iterable[Tried]) -> tuple[Candidate, ...]:
    """Return the candidates of `search` by number, from the replicates of any search."""
    own: dict[int, list[Tried]] = {}
    for one in tried:
        if one.search == search.name:
            own.setdefault(one.number, []).append(one)
    return tuple(_candidate(search, number, own[number]) for number in sorted(own))


def _candidate(search: Search, number: int, tried: Sequence[Tried]) -> Candidate:
    names = [name for name, _ in search.objectives]
    measured = [
        one for one in tried if one.outcome is OutcomeKind.MEASURED and all(name in one.metrics for name in names)
    ]
    values = tuple(fmean(one.metrics[name] for one in measured) for name in names) if measured else None
    state = _state(search, tried, measured=len(measured))
    return Candidate(
        number=number,
        levels=tried[0].levels,
        state=state,
        values=values if state in (CandidateState.MEASURED, CandidateState.PRUNED) else None,
        by_seed={one.seed: one.metrics[names[0]] for one in measured},
        curve=tried[0].curve,
    )


def _state(search: Search, tried: Sequence[Tried], *, measured: int) -> CandidateState:
    outcomes = {one.outcome for one in tried}
    if OutcomeKind.OUT_OF_MEMORY in outcomes:
        return CandidateState.TOO_LARGE
    if OutcomeKind.PRUNED in outcomes:
        return CandidateState.PRUNED
    answered = sum(one.outcome is not None and one.outcome.is_result for one in tried)
    if answered > measured:
        # A metric without a finite value is no better than a loss without one.
        return CandidateState.DIVERGED
    return CandidateState.MEASURED if measured == search.seeds else CandidateState.OPEN


def is_complete(search: Search, found: Sequence[Candidate]) -> bool:
    """True when as many candidates as were asked for have an answer."""
    return sum(one.state is not CandidateState.OPEN for one in found) >= search.trials


def best(search: Search, found: Iterable[Candidate]) -> Candidate | None:
    """Return the measured candidate with the best first objective (the earliest of equals); None without any."""
    sign = 1 if search.objectives[0][1] == "max" else -1
    measured = [one for one in found if one.state is CandidateState.MEASURED and one.values is not None]
    return max(measured, key=lambda one: (sign * _first(one), -one.number), default=None)


def front(search: Search, found: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Return the measured candidates that no other is at least as good as in all objectives and better in one."""
    signs = [1 if direction == "max" else -1 for _, direction in search.objectives]
    measured = [one for one in found if one.state is CandidateState.MEASURED and one.values is not None]
    points = {
        one.number: tuple(sign * value for sign, value in zip(signs, one.values or (), strict=True)) for one in measured
    }

    def dominated(own: tuple[float, ...]) -> bool:
        return any(all(a >= b for a, b in zip(other, own, strict=True)) and other != own for other in points.values())

    return tuple(one for one in measured if not dominated(points[one.number]))


def latest_of(tried: Iterable[Tried]) -> tuple[Tried, ...]:
    """Keep one attempt per (search, candidate, seed): the first answer, else the last attempt. In order of attempts."""
    kept: dict[tuple[str, int, int], Tried] = {}
    for one in tried:
        key = (one.search, one.number, one.seed)
        known = kept.get(key)
        if known is None or known.outcome is None or not known.outcome.is_result:
            kept[key] = one
    return tuple(kept.values())


def without_budget(search: Search) -> Search:
    """The search but for how far it goes: what may not change once it has begun."""
    return replace(search, trials=0, confirm=True)


def _first(one: Candidate) -> float:
    assert one.values is not None
    return one.values[0]
