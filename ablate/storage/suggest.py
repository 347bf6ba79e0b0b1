"""Suggestions: what a search tries next, as a function of what it has tried. Nothing is remembered in between.

Optuna's samplers keep their state in a study. Here that study lives in memory and is built anew from the candidates for
every suggestion, and the sampler is seeded by (search, number). So the same candidates with the same answers give the
same suggestion, bit for bit, in this process or after any crash; and no sampler writes into the storage (the state that
CMA-ES keeps there is a pickle, which nobody should have to trust).
"""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ablate.json_values import JsonValue
from ablate.search import Candidate, CandidateState, Range, Search
from ablate.storage.levels import stored_level

_REPLAYED: Final = frozenset({"cma-es", "nsga-ii"})
"""Samplers that number generations: each trial is asked for again, so that it gets its generation."""
_STATES: Final = {
    CandidateState.OPEN: TrialState.RUNNING,
    CandidateState.MEASURED: TrialState.COMPLETE,
    CandidateState.PRUNED: TrialState.PRUNED,
    CandidateState.DIVERGED: TrialState.PRUNED,
    CandidateState.TOO_LARGE: TrialState.PRUNED,
}


def suggest(search: Search, number: int, found: Sequence[Candidate], *, again: int = 0) -> dict[str, JsonValue]:
    """Return the levels that candidate `number` tries, given all others. Inactive factors are left out.

    `again` counts the suggestions for this number that the core's settings refused.
    """
    with quiet():
        study = _study_of(search, number, found)
        study.sampler = _sampler(search, number, again)
        trial = study.ask()
        levels: dict[str, JsonValue] = {}
        for one in search.ranges:
            if one.is_active({**search.start, **levels}):
                levels[one.factor] = _suggested(trial, one)
    return levels


def distribution(one: Range) -> BaseDistribution:
    """Return the range as Optuna knows it."""
    if one.low is None or one.high is None:
        return CategoricalDistribution([stored_level(choice) for choice in one.choices])
    if one.whole:
        return IntDistribution(int(one.low), int(one.high), log=one.log, step=int(one.step or 1))
    return FloatDistribution(one.low, one.high, log=one.log, step=one.step)


def directions(search: Search) -> list[StudyDirection]:
    """Return the directions of the objectives as Optuna knows them."""
    known = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
    return [known[direction] for _, direction in search.objectives]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna from telling that it makes studies, and that parts of it are experimental."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


def _suggested(trial: optuna.Trial, one: Range) -> JsonValue:
    if one.low is None or one.high is None:
        by_label = {_exact(stored_level(choice)): choice for choice in one.choices}
        return by_label[_exact(trial.suggest_categorical(one.factor, [stored_level(choice) for choice in one.choices]))]
    if one.whole:
        return trial.suggest_int(one.factor, int(one.low), int(one.high), log=one.log, step=int(one.step or 1))
    return trial.suggest_float(one.factor, one.low, one.high, log=one.log, step=one.step)


def _exact(level: object) -> tuple[type, object]:
    """A key that tells true from 1."""
    return type(level), level


def _study_of(search: Search, number: int, found: Sequence[Candidate]) -> optuna.Study:
    """Return a study in memory in which trial n is candidate n, up to `number`."""
    study = optuna.create_study(
        storage=InMemoryStorage(), study_name=search.name, directions=directions(search), sampler=RandomSampler(0)
    )
    known, worst = {one.number: one for one in found}, _worst(search, found)
    for place in range(number):
        frozen = _frozen(search, known.get(place), worst)
        if search.sampler in _REPLAYED:
            _replay(search, study, frozen)
        else:
            study.add_trial(frozen)
    return study


def _frozen(search: Search, candidate: Candidate | None, worst: Sequence[float] | None) -> FrozenTrial:
    """The candidate as a trial of Optuna's; a number nobody has tried yet is a failed one.

    Divergence is bad news, and a sampler must hear it. TPE ranks a pruned trial without any value last; the others only
    listen to values, and hear the `worst` that was measured.
    """
    if candidate is None:
        return optuna.trial.create_trial(state=TrialState.FAIL)
    state, values = _STATES[candidate.state], candidate.values
    if candidate.state in (CandidateState.DIVERGED, CandidateState.TOO_LARGE) and search.sampler != "tpe" and worst:
        state, values = TrialState.COMPLETE, tuple(worst)
    points: Sequence[tuple[int, float]] = ()
    if candidate.state is CandidateState.PRUNED:
        points = tuple(candidate.by_seed.items()) if search.seeds > 1 else candidate.curve
    if len(search.objectives) > 1 and state is TrialState.PRUNED:
        state = TrialState.FAIL  # there is no pruning with two objectives
    return optuna.trial.create_trial(
        state=state,
        params={name: stored_level(level) for name, level in candidate.levels.items()},
        distributions={one.factor: distribution(one) for one in search.ranges if one.factor in candidate.levels},
        values=list(values) if state is TrialState.COMPLETE and values is not None else None,
        intermediate_values=dict(points[-1:]),
    )


def _worst(search: Search, found: Sequence[Candidate]) -> list[float] | None:
    """The worst value of each objective that was measured."""
    measured = [one.values for one in found if one.state is CandidateState.MEASURED and one.values is not None]
    if not measured:
        return None
    picks = [min if direction == "max" else max for _, direction in search.objectives]
    return [pick(column) for pick, column in zip(picks, zip(*measured, strict=True), strict=True)]


def _replay(search: Search, study: optuna.Study, frozen: FrozenTrial) -> None:
    """Add a trial with the notes that its sampler makes when it is asked for it."""
    study.sampler = _sampler(search, len(study.trials), 0)
    asked = study.ask()
    _ = asked.relative_params  # what makes the sampler decide, and take its notes
    notes = study.trials[asked.number].system_attrs
    storage = study._storage
    for name, level in frozen.distributions.items():
        storage.set_trial_param(asked._trial_id, name, level.to_internal_repr(frozen.params[name]), level)
    for name, note in notes.items():
        storage.set_trial_system_attr(asked._trial_id, name, note)
    if frozen.state.is_finished():
        storage.set_trial_state_values(asked._trial_id, frozen.state, frozen.values)


def _sampler(search: Search, number: int, again: int) -> BaseSampler:
    """A sampler for one suggestion, that knows from the start what it samples."""
    seed = _seed(f"{search.name}|{number}|{again}")
    space = {one.factor: distribution(one) for one in search.ranges if not one.when}
    match search.sampler:
        case "tpe":
            startup = min(10, max(2, search.trials // 4))
            return _knowing(TPESampler, space, seed=seed, n_startup_trials=startup)
        case "gp":
            startup = min(10, max(2, search.trials // 4))
            return _knowing(GPSampler, space, seed=seed, n_startup_trials=startup, warn_independent_sampling=False)
        case "qmc":
            return _sobol(search, space, number + again * search.trials)
        case "cma-es":
            numeric = {name: level for name, level in space.items() if not isinstance(level, CategoricalDistribution)}
            return _knowing(CmaEsSampler, numeric, seed=seed, warn_independent_sampling=False)
        case "nsga-ii":
            # Five generations at least, or nothing evolves.
            size = max(4, min(50, search.trials // 5))
            return _knowing(NSGAIISampler, space, seed=seed, population_size=size)
        case _:
            return RandomSampler(seed)


def _knowing(kind: type[BaseSampler], space: Mapping[str, BaseDistribution], **options: Any) -> BaseSampler:
    """A sampler that need not infer the search space from finished trials."""

    class Knowing(kind):  # type: ignore[misc, valid-type]  # one of Optuna's own
        def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
            return dict(space)

    return Knowing(**options)


def _sobol(search: Search, space: Mapping[str, BaseDistribution], point: int) -> BaseSampler:
    """The sampler that gives the point number `point` of the search's scrambled Sobol sequence."""

    class Point(QMCSampler):
        def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
            return dict(space)

        def _find_sample_id(self, study: optuna.Study, search_space: dict[str, BaseDistribution]) -> int:
            return point

    independent = RandomSampler(_seed(f"{search.name}|{point}"))
    return Point(
        scramble=True,
        seed=_seed(search.name),
        independent_sampler=independent,
        warn_independent_sampling=False,
        warn_asynchronous_seeding=False,
    )


def _seed(address: str) -> int:
    """32 bits that depend on `address` and on nothing else."""
    return int.from_bytes(hashlib.sha256(f"ablate|search|{address}".encode()).digest()[:4], "big")
