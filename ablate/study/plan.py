"""Plan: the replicates of a study, what is done of them, what is shared, and what the rest costs."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.errors import AblateError, Problem
from ablate.interface import Core, Stage
from ablate.outcome import OutcomeKind
from ablate.recipe import JsonValue, Recipe
from ablate.search import CandidateState, Search, Tried, candidates
from ablate.study.blocks import split_name
from ablate.study.problems import did_you_mean, known_words
from ablate.study.spec import BUDGET_UNITS, Replicate, Study, levels_of

UNEQUAL_WORK = 1.5
"""An arm that takes this many times the work of the baseline, or as many times less, is warned about."""


def replicates(
    study: Study, *, seeds: int | None = None, arms: Sequence[str] = (), only: range | None = None
) -> tuple[Replicate, ...]:
    """Return what is to be computed: all arms of seed 0, then of seed 1, and so on.

    `seeds` is the number of seeds per arm (default: the study's first look), or else `only` are the seeds themselves.
    `arms` are names or globs; the baseline is always among the arms. In a study with blocks, a name or glob without a
    block means the arm in every block, and each block that is left has its baseline. Raises AblateError for a glob that
    matches no arm, and for fewer than one seed.
    """
    count = study.seeds if seeds is None else seeds
    if count < 1:
        raise AblateError(f"{count} seeds per arm", hint="at least 1")
    chosen = _chosen(study, arms)
    picked = [arm for arm in study.arms if arm.name in chosen]
    indices = study.seed_range(count) if only is None else only
    return tuple(Replicate(arm.name, seed, study.recipe(arm, seed)) for seed in indices for arm in picked)


def _chosen(study: Study, globs: Sequence[str]) -> set[str]:
    names = [arm.name for arm in study.arms]
    if not globs:
        return set(names)
    chosen: set[str] = set()
    for glob in globs:
        matched = _matched(study, glob, names)
        if not matched:
            known = names if study.blocks is None else [*dict.fromkeys(split_name(name)[0] for name in names), *names]
            raise AblateError(
                f"no arm is called {glob!r}", hint=did_you_mean(glob, known) or known_words(_first_few(known))
            )
        chosen |= matched
    return chosen | {study.baseline_of(name).name for name in chosen}


def _matched(study: Study, glob: str, names: Sequence[str]) -> set[str]:
    # A name is a name first: `lr=[1]` is an arm before it is a pattern.
    if glob in names:
        return {glob}
    if study.blocks is not None:
        plain = [split_name(name)[0] for name in names]
        own = {glob} & set(plain) or set(fnmatch.filter(plain, glob))
        return {name for name, arm in zip(names, plain, strict=True) if arm in own} or set(fnmatch.filter(names, glob))
    return set(fnmatch.filter(names, glob))


def _first_few(names: Sequence[str]) -> list[str]:
    return list(names) if len(names) <= 12 else [*names[:12], f"and {len(names) - 12} more"]


def require(core: type[Core], study: Study, replicates: Sequence[Replicate]) -> None:
    """Let the core refuse arms whose data is not here or whose metrics cannot be measured, before anything starts.

    Raises the core's AblateError.
    """
    arms = {replicate.arm: replicate.recipe.settings for replicate in replicates}
    for settings in arms.values():
        validated = core.Settings.model_validate(dict(settings))
        core.require(validated)
        core.require_metrics(validated, [metric.name for metric in study.metrics])


@dataclass(frozen=True)
class FactorLevels:
    """A factor and the levels that the planned arms give it, the baseline's first."""

    name: str
    levels: tuple[JsonValue, ...]
    arms: int
    """Arms whose level differs from the baseline's."""


@dataclass(frozen=True)
class StageSharing:
    """How often a stage is asked for by what is to run, and how often it has to be computed."""

    name: str
    planned: int
    executed: int
    planned_cost: float
    """Reference seconds if every trial computed its own."""
    executed_cost: float
    """Reference seconds when equal stages are computed once and those of measured trials are reused."""
    planned_steps: int = 0
    """Updates if every trial computed its own; 0 when the core does not count them."""
    executed_steps: int = 0
    """Updates that remain when they are shared: of a short and a long training only the long one's."""


@dataclass(frozen=True)
class SearchPlan:
    """How far a search is. Counts are candidates, but for `to_run`."""

    name: str
    trials: int
    answered: int
    pruned: int
    to_run: int
    """Replicates of candidates that have no answer."""
    then: str | None
    """The arm that the best candidate becomes."""


@dataclass(frozen=True)
class Plan:
    """What a run would do. Costs are in reference seconds: one trial at a time on the reference laptop."""

    study: str
    arms: tuple[str, ...]
    seeds: int
    """Seeds per arm."""
    looks: tuple[int, ...]
    replicates: int
    done: int
    """Replicates that are answered: measured or diverged."""
    to_run: int
    failed: int
    """Of those to run: had a trial that failed for infrastructure reasons, and will be run again."""
    baseline_done: bool
    duplicates: int
    """Replicates to run whose recipe an earlier one to run has too."""
    factors: tuple[FactorLevels, ...]
    stages: tuple[StageSharing, ...]
    planned_cost: float
    cost: float
    todo: tuple[Replicate, ...]
    warnings: tuple[Problem, ...]
    searches: tuple[SearchPlan, ...] = ()
    """Searches that are not finished; `to_run` counts their replicates too."""
    blocks: tuple[str, ...] = ()
    """Blocks that are planned; `arms` then has every arm once per block."""
    blocks_are: str = ""
    """``fixed`` or ``random``; empty without blocks."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data."""
        plain = {name: value for name, value in vars(self).items() if name not in ("todo", "warnings")}
        return plain | {
            "schema_version": 1,
            "arms": list(self.arms),
            "looks": list(self.looks),
            "blocks": list(self.blocks),
            "factors": [dict(vars(factor)) | {"levels": list(factor.levels)} for factor in self.factors],
            "stages": [dict(vars(stage)) for stage in self.stages],
            "todo": [{"arm": one.arm, "seed": one.seed, "recipe": one.recipe.digest} for one in self.todo],
            "warnings": [dict(vars(warning)) for warning in self.warnings],
            "searches": [dict(vars(search)) for search in self.searches],
        }


def make_plan(
    study: Study,
    core: type[Core],
    replicates: Sequence[Replicate],
    results_by_key: Mapping[tuple[str, int], OutcomeKind],
    searches: Sequence[SearchPlan] = (),
) -> Plan:
    """Return what is left to do of `replicates`; `results_by_key` is the latest outcome of each (arm, seed).

    `searches` come before the arms.
    """
    done = [one for one in replicates if _is_done(one, results_by_key)]
    todo = tuple(one for one in replicates if not _is_done(one, results_by_key))
    names = tuple(dict.fromkeys(one.arm for one in replicates))
    measured = [one.recipe for one in done if results_by_key[one.key] is OutcomeKind.MEASURED]
    stages = _sharing(core, [one.recipe for one in todo], measured)
    cost = sum(stage.executed_cost for stage in stages)
    return Plan(
        study=study.name,
        arms=names,
        seeds=len({one.seed for one in replicates}),
        looks=study.looks,
        replicates=len(replicates),
        done=len(done),
        to_run=len(todo) + sum(search.to_run for search in searches),
        failed=sum(one.key in results_by_key for one in todo),
        baseline_done=all(one.arm not in study.baselines for one in todo),
        duplicates=len(todo) - len({one.recipe.digest for one in todo}),
        factors=_factor_levels(study, set(names)),
        stages=stages,
        planned_cost=sum(stage.planned_cost for stage in stages),
        cost=cost,
        todo=todo,
        warnings=(
            *study.warnings,
            *_unequal_work(core, study, names),
            *_over_budget(study, cost),
            *_lost_in_pandas(study),
        ),
        searches=tuple(searches),
        blocks=() if study.blocks is None else tuple(dict.fromkeys(split_name(name)[1] for name in names)),
        blocks_are="" if study.blocks is None else study.blocks.kind,
    )


def _is_done(replicate: Replicate, results_by_key: Mapping[tuple[str, int], OutcomeKind]) -> bool:
    kind = results_by_key.get(replicate.key)
    return kind is not None and kind.is_result


def _sharing(core: type[Core], todo: Iterable[Recipe], measured: Iterable[Recipe]) -> tuple[StageSharing, ...]:
    """Count stages by name: each digest is computed once, as far as no measured trial has computed it.

    The longest training of a digest holds the shorter ones.
    """
    known = longest_of_each(stage for recipe in measured for stage in core.stages(recipe))
    asked: dict[str, list[Stage]] = {}
    for recipe in todo:
        for stage in core.stages(recipe):
            asked.setdefault(stage.name, []).append(stage)
    rows = []
    for name, stages in asked.items():
        needed = longest_of_each(stages)
        left = [_beyond(known.get(digest), stage) for digest, stage in needed.items()]
        rows.append(
            StageSharing(
                name=name,
                planned=len(stages),
                executed=sum(cost > 0 for cost, _ in left),
                planned_cost=sum(stage.cost for stage in stages),
                executed_cost=sum(cost for cost, _ in left),
                planned_steps=sum(stage.steps for stage in stages),
                executed_steps=sum(steps for _, steps in left),
            )
        )
    return tuple(rows)


def longest_of_each(stages: Iterable[Stage]) -> dict[str, Stage]:
    """Return digest -> the stage with the most steps (and so the highest cost)."""
    found: dict[str, Stage] = {}
    for stage in stages:
        other = found.get(stage.digest)
        if other is None or (stage.steps, stage.cost) > (other.steps, other.cost):
            found[stage.digest] = stage
    return found


def _beyond(known: Stage | None, stage: Stage) -> tuple[float, int]:
    """Return cost and steps of what `stage` needs beyond what is `known` of it."""
    if known is None:
        return stage.cost, stage.steps
    return max(stage.cost - known.cost, 0.0), max(stage.steps - known.steps, 0)


def _factor_levels(study: Study, arms: set[str]) -> tuple[FactorLevels, ...]:
    if study.blocks is not None:
        first = study.over_blocks()
        return _factor_levels(first, {split_name(name)[0] for name in arms})
    levels = {arm.name: levels_of(study, arm) for arm in study.arms}
    rows = []
    for name in study.factors:
        base = levels[study.baseline.name][name]
        others = [levels[arm][name] for arm in levels if arm in arms and levels[arm][name] != base]
        rows.append(FactorLevels(name, tuple(dict.fromkeys([base, *others])), len(others)))
    return tuple(rows)


def _unequal_work(core: type[Core], study: Study, arms: Sequence[str]) -> list[Problem]:
    """Warn when arms take clearly more or less work than the baseline, by the core's own estimate."""
    work = {arm.name: sum(stage.cost for stage in core.stages(study.recipe(arm, 0))) for arm in study.arms}
    base = {arm: work[study.baseline_of(arm).name] for arm in arms}
    ratios = {arm: work[arm] / base[arm] for arm in arms if base[arm] > 0}
    unequal = {arm: ratio for arm, ratio in ratios.items() if not 1 / UNEQUAL_WORK <= ratio <= UNEQUAL_WORK}
    if not unequal:
        return []
    others = len(arms) - len(study.baselines & set(arms))
    most = max(unequal, key=lambda arm: abs(math.log(max(unequal[arm], 1e-9))))
    return [
        Problem(
            f"unequal compute: {len(unequal)} of {others} arms, {most} takes {unequal[most]:.2g} times "
            "the work of the baseline",
            file=study.file,
            severity="warning",
            note="an arm that costs more may win because of that; the report says so too",
        )
    ]


_PANDAS_MISSING = frozenset(
    [
        *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
        *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    ]
)
"""Texts that `pandas.read_csv` takes for a missing value unless it is told otherwise."""


def _lost_in_pandas(study: Study) -> Iterator[Problem]:
    """Warn of arms that disappear from the CSV files when pandas reads them with default arguments."""
    lost = [arm for arm in study.arms if arm.name in _PANDAS_MISSING]
    if lost:
        names = ", ".join(repr(arm.name) for arm in lost)
        yield Problem(
            f"pandas reads the arm's name {names} in a CSV file as a missing value",
            study.file,
            lost[0].line,
            suggestion="give it another name, or read it with ablate.load(STUDY).trials",
            severity="warning",
        )


def _over_budget(study: Study, cost: float) -> list[Problem]:
    allowed = sum(amount * BUDGET_UNITS[unit] for unit, amount in study.budget.items())
    if not study.budget or cost <= allowed:
        return []
    return [
        Problem(
            f"about {cost:.0f} s of work, one trial at a time on the reference laptop; the budget is {allowed:.0f} s",
            file=study.file,
            severity="warning",
            note="the run stops when the budget is spent; the same command resumes it",
        )
    ]


def search_plan(search: Search, tried: Iterable[Tried]) -> SearchPlan:
    """Return how far a search is."""
    tried = tuple(tried)
    found = [one for one in candidates(search, tried) if one.number < search.trials]
    answered = [one for one in found if one.state is not CandidateState.OPEN]
    settled = {one.number for one in answered}
    results = {
        (one.number, one.seed)
        for one in tried
        if one.search == search.name and one.outcome is not None and one.outcome.is_result
    }
    open_ones = [number for number in range(search.trials) if number not in settled]
    return SearchPlan(
        name=search.name,
        trials=search.trials,
        answered=len(answered),
        pruned=sum(one.state is CandidateState.PRUNED for one in answered),
        to_run=sum((number, seed) not in results for number in open_ones for seed in search.seed_indices),
        then=search.arm,
    )
