"""How much each searched factor mattered, by Optuna's PED-ANOVA, and how often chance alone says as much.

Importances add up to 1 whatever the results are: in pure noise one factor is likely to get most of it. So every
importance comes with the share of shuffled results in which the factor got at least as much, before shares are taken:
one factor's share near 1 is nothing special.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.storages import InMemoryStorage

from ablate.search import FEWEST_RANKED, SHUFFLES, Candidate, CandidateState, Importance, Search
from ablate.storage.levels import stored_level
from ablate.storage.suggest import directions, distribution, quiet


def importances(search: Search, found: Sequence[Candidate]) -> tuple[Importance, ...]:
    """Return the importance of every factor that all candidates have, the greatest first; empty when unknown.

    Measured candidates only, by their first objective. The same candidates give the same numbers.
    """
    measured = [one for one in found if one.state is CandidateState.MEASURED and one.values is not None]
    names = [one.factor for one in search.ranges if not one.when]
    values = [one.values[0] for one in measured if one.values is not None]
    if len(measured) < FEWEST_RANKED or not names or len(set(values)) < 2:
        return ()
    with quiet():
        raw = _raw(search, measured, names, values)
        source = Random(0)  # noqa: S311 - no secret
        as_much = dict.fromkeys(names, 0)
        for _ in range(SHUFFLES):
            shuffled = _raw(search, measured, names, source.sample(values, len(values)))
            for name in names:
                as_much[name] += shuffled[name] >= raw[name]
    total = sum(raw.values()) or 1.0
    every = [Importance(name, raw[name] / total, (1 + as_much[name]) / (1 + SHUFFLES)) for name in names]
    return tuple(sorted(every, key=lambda one: -one.share))


def _raw(
    search: Search, measured: Sequence[Candidate], names: Sequence[str], values: Sequence[float]
) -> dict[str, float]:
    study = optuna.create_study(storage=InMemoryStorage(), direction=directions(search)[0])
    ranges = {one.factor: distribution(one) for one in search.ranges if one.factor in names}
    for one, value in zip(measured, values, strict=True):
        params = {name: stored_level(one.levels[name]) for name in names}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=ranges, value=value))
    return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(), params=list(names), normalize=False)
