"""What the rest of a study costs: expected seconds of what is left, with a range from how trials varied so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean

from ablate.api.request import PreparedRun
from ablate.api.stored_studies import latest
from ablate.engine.display.eta import History, estimate
from ablate.engine.rules.events_actions import Planned
from ablate.outcome import OutcomeKind
from ablate.recipe import Recipe
from ablate.search import Search
from ablate.storage.candidates import SEARCH

_LOOKED_AT = 50
"""Trial folders whose size is looked at."""


@dataclass(frozen=True)
class PlanCost:
    """What the work that is left will take, as far as it can be said. Ranges are the 10th and 90th percentile."""

    work_s: float
    """One trial after the other."""
    wall_s: float
    """On the slots."""
    measured: int
    """Finished trials this rests on; 0 when it rests on the core's own estimate for the reference laptop."""
    work_range_s: tuple[float, float] | None = None
    wall_range_s: tuple[float, float] | None = None
    """None where nothing is known of how much trials vary."""
    most_s: float | None = None
    """Work if every arm goes on to the last look; None where there is one look."""
    probed: bool = False
    """True when it rests on a part of one trial that was run to measure it."""


def cost_of(prepared: PreparedRun, slots: int, probe_s: float | None = None) -> PlanCost | None:
    """Return the cost of what is to run; None when nobody can say.

    `probe_s` is what the baseline's first trial would take here, as a probe measured it. Without it and without a
    finished trial a core's own estimate is all there is, and a core without stages gives none.
    """
    plan = prepared.plan
    if not plan.to_run:
        return PlanCost(0.0, 0.0, 0)
    history, measured = _history(prepared, probe_s)
    if measured == 0 and probe_s is None and plan.planned_cost == 0:
        return None
    waiting = [*_candidates(prepared), *(_planned(prepared, one.arm, one.recipe) for one in plan.todo)]
    work, wall = estimate(waiting, (), history, 1), estimate(waiting, (), history, slots)
    assert work is not None
    assert wall is not None
    shared = plan.cost / plan.planned_cost if plan.planned_cost > 0 and not plan.searches else 1.0
    known, most = measured > 1, _to_last_look(prepared, history, shared)
    rest = 0.0 if measured or probe_s is not None else _rest_s(prepared)
    return PlanCost(
        work_s=work.mid_s * shared + rest,
        # A shared stage is waited for, so sharing saves wall time only as far as the slots have other work.
        wall_s=max(wall.mid_s * shared, min(_longest(waiting, history), work.mid_s * shared)) + rest / slots,
        measured=measured,
        work_range_s=(work.low_s * shared, work.high_s * shared) if known and work.low_s < work.high_s else None,
        wall_range_s=(wall.low_s * shared, wall.high_s * shared) if known and wall.low_s < wall.high_s else None,
        most_s=None if most is None else most * (1 + rest / (work.mid_s * shared) if work.mid_s * shared else 1),
        probed=measured == 0 and probe_s is not None,
    )


def _history(prepared: PreparedRun, probe_s: float | None) -> tuple[History, int]:
    """What trials took, by arm, and how many there were; else what a probe or the core says."""
    history = History()
    recipes = {one.arm: one.recipe for one in prepared.replicates}
    starts = {search.name: _start(prepared, search) for search in prepared.study.searches}
    rows = latest(prepared.stored.rows).values() if prepared.stored is not None else ()
    measured = 0
    for row in rows:
        # A pruned trial says nothing of a whole one.
        recipe = starts.get(str(row.attributes.get(SEARCH)), recipes.get(row.arm))
        known = row.outcome in (OutcomeKind.MEASURED, OutcomeKind.DIVERGED)
        if row.seconds and known and recipe is not None:
            history.add(_planned(prepared, row.arm, recipe), row.seconds)
            measured += 1
    if not measured:
        baseline = _planned(prepared, prepared.study.baseline.name, prepared.study.recipe(prepared.study.baseline, 0))
        history.add(baseline, baseline.cost if probe_s is None else probe_s)
        history.by_arm = {} if probe_s is None else history.by_arm
        history.by_arm.setdefault("", [])  # known by cost alone
    return history, measured


def _candidates(prepared: PreparedRun) -> list[Planned]:
    """What is left of searches, each candidate as long as what the search starts from."""
    found = []
    for search, planned in zip(prepared.searches, prepared.plan.searches, strict=True):
        found += [_planned(prepared, search.candidate(search.trials), _start(prepared, search))] * planned.to_run
    return found


def _start(prepared: PreparedRun, search: Search) -> Recipe:
    """What the candidates of a search change: as good a guess of their work as there is."""
    from ablate.study.settle import settings_of

    return Recipe(prepared.study.core, settings_of(prepared.core, search, {}), 0)


def _planned(prepared: PreparedRun, arm: str, recipe: Recipe) -> Planned:
    return Planned((arm, recipe.seed), recipe.digest, "", prepared.core.stages(recipe))


def _rest_s(prepared: PreparedRun) -> float:
    """What all that is left takes besides its stages, as the core says; finished trials and a probe include it."""
    names = [metric.name for metric in prepared.study.metrics]
    recipes = {one.arm: one.recipe for one in prepared.plan.todo}
    work = [(recipes[arm], count) for arm, count in Counter(one.arm for one in prepared.plan.todo).items()]
    for search, planned in zip(prepared.searches, prepared.plan.searches, strict=True):
        work.append((_start(prepared, search), planned.to_run))
    return sum(count * prepared.core.rest_s(recipe, names) for recipe, count in work)


def _longest(waiting: Sequence[Planned], history: History) -> float:
    return max((history.expected_s(one) or 0.0 for one in waiting), default=0.0)


def _to_last_look(prepared: PreparedRun, history: History, shared: float) -> float | None:
    """Work until every arm has the seeds of the last look."""
    looks = prepared.plan.looks
    if len(looks) < 2:
        return None
    per_seed = {
        one.arm: history.expected_s(_planned(prepared, one.arm, one.recipe)) or 0.0 for one in prepared.replicates
    }
    have = Counter(one.arm for one in prepared.replicates)
    have.subtract(one.arm for one in prepared.plan.todo)
    return shared * sum(seconds * max(0, looks[-1] - have[arm]) for arm, seconds in per_seed.items())


def needed_bytes(prepared: PreparedRun) -> tuple[float, int] | None:
    """Return the bytes that the folders of what is left will take, and how many finished ones say so; None without."""
    folder = prepared.place.results.study(prepared.study.name).trials
    if not folder.is_dir():
        return None
    sizes = [_size(trial) for trial in islice(folder.iterdir(), _LOOKED_AT) if (trial / "outcome.json").exists()]
    return (fmean(sizes) * prepared.plan.to_run, len(sizes)) if sizes else None


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
