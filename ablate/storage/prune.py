"""Pruning: whether a candidate of a search is given up before its end, by Optuna's pruners."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, SuccessiveHalvingPruner, WilcoxonPruner
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from ablate.search import Candidate, CandidateState, Search
from ablate.storage.suggest import directions, quiet


class CurvePruner:
    """Watches the learning curves of one search's candidates. What is stored is enough to make it anew."""

    def __init__(self, search: Search, found: Iterable[Candidate]) -> None:
        self._storage = InMemoryStorage()
        with quiet():
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=search.name,
                direction=directions(search)[0],
                pruner=_pruner(search.pruner),
            )
        self._ids: dict[int, int] = {}
        for one in found:
            for step, value in one.curve:
                self.observe(one.number, step, value)
            self.end(one)

    def observe(self, number: int, step: int, value: float) -> bool:
        """Take note of a point of a candidate's curve (images seen, value); True when it is to be given up."""
        trial_id = self._id(number)
        trial = self._storage.get_trial(trial_id)
        if trial.state.is_finished() or not math.isfinite(value) or step in trial.intermediate_values:
            return False
        self._storage.set_trial_intermediate_value(trial_id, step, value)
        return bool(self._study.pruner.prune(self._study, self._storage.get_trial(trial_id)))

    def end(self, candidate: Candidate) -> None:
        """Take note of an answer; open candidates stay open."""
        trial_id = self._id(candidate.number)
        if candidate.state is CandidateState.OPEN or self._storage.get_trial(trial_id).state.is_finished():
            return
        measured = candidate.state is CandidateState.MEASURED
        state = TrialState.COMPLETE if measured else TrialState.PRUNED
        values = list(candidate.values[:1]) if measured and candidate.values else None
        self._storage.set_trial_state_values(trial_id, state, values)

    def _id(self, number: int) -> int:
        """The trial of a candidate: its number is the candidate's, because Hyperband deals brackets by number."""
        while number >= len(self._ids):
            self._ids[len(self._ids)] = self._storage.create_new_trial(self._study._study_id)
        return self._ids[number]


def worse_by_seeds(search: Search, number: int, found: Sequence[Candidate]) -> bool:
    """True when the seeds that candidate `number` has had say that it is worse than the best (Wilcoxon)."""
    own = next((one for one in found if one.number == number), None)
    if own is None or own.state is not CandidateState.OPEN:
        return False
    others = [one for one in found if one.state is CandidateState.MEASURED and one.values is not None]
    with quiet():
        study = optuna.create_study(storage=InMemoryStorage(), study_name=search.name, direction=directions(search)[0])
        for one in others:
            study.add_trial(
                optuna.trial.create_trial(values=list(one.values or ()), intermediate_values=dict(one.by_seed))
            )
        trial = optuna.trial.create_trial(state=TrialState.RUNNING, intermediate_values=dict(own.by_seed))
        return bool(others) and bool(_pruner("wilcoxon").prune(study, trial))


def _pruner(name: str) -> BasePruner:
    match name:
        case "asha":
            return SuccessiveHalvingPruner()
        case "hyperband":
            return HyperbandPruner()
        case "median":
            return MedianPruner()
        case _:
            return WilcoxonPruner()
