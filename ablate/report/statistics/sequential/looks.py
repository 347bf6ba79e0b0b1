"""Which seeds and which level an arm's verdict is taken at, when a study declares several looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.errors import AblateError
from ablate.report.statistics.corrections import check_looks
from ablate.report.statistics.sequential.boundaries import LookLevels
from ablate.report.statistics.significance import Floats
from ablate.report.statistics.trial_matrix import Flags, Trials
from ablate.study.verdict_method import Boundaries


@dataclass(frozen=True)
class LookPlan:
    """What each arm is judged on."""

    used: Flags
    """[arms, seeds]: results that belong to the arm's look. The baseline gives all it has."""
    alpha: Floats
    """[arms]: the level that corrected p values are held against at the arm's look."""
    reached: Flags
    """[arms]: False where an arm (or its baseline) has not reached the first declared look."""
    runs_wanted: int
    """Seeds per arm of the (furthest) look, 0 when none was declared."""
    levels: LookLevels
    """What each look may decide at."""
    places: NDArray[np.int64]
    """[arms]: the look an arm is at, from 0."""

    @property
    def looks(self) -> tuple[int, ...]:
        """Declared looks, seeds per arm."""
        return self.levels.looks


def plan_looks(
    trials: Trials, alpha: float, looks: Sequence[int] | None, look: int | None, boundaries: Boundaries = "spending"
) -> LookPlan:
    """Place every arm at its look.

    With several declared `looks`, an arm is at the largest look (up to `look`) that its results and its baseline's
    fill, and is judged on its first seeds up to that look only, at that look's level: any other choice would be one
    more look.
    With one look, everything measured is used at `alpha`, once the arm and the baseline have that many results: a
    verdict taken from the first two of five seeds would be a look that nobody declared. Without a look there is no
    plan to be held to.
    """
    if not 0 < alpha < 1:
        raise AblateError(f"alpha must lie between 0 and 1, got {alpha}")
    declared = check_looks(looks) if looks is not None else ()
    levels = LookLevels(declared, alpha, boundaries)
    results = trials.measured | trials.diverged
    runs = results.sum(axis=1)
    if len(declared) < 2:
        wanted = look if look is not None else (declared[0] if declared else 0)
        places = np.zeros(len(trials.arms), dtype=np.int64)
        reached = np.minimum(runs, runs[trials.partner]) >= wanted
        return LookPlan(results, levels.alpha_at(places), reached, wanted, levels, places)
    if look is not None and look not in declared:
        raise AblateError(f"{look} seeds is not a declared look", hint=f"declared: {', '.join(map(str, declared))}")
    open_looks = np.array([number for number in declared if look is None or number <= look])
    found = np.searchsorted(open_looks, np.minimum(runs, runs[trials.partner]), side="right") - 1
    reached, places = found >= 0, np.maximum(found, 0)
    used = results & (np.cumsum(results, axis=1) <= open_looks[places][:, None])
    used[trials.baselines] = results[trials.baselines]
    compared = reached & ~trials.baselines
    furthest = int(open_looks[places[compared].max()]) if compared.any() else int(open_looks[0])
    return LookPlan(used, levels.alpha_at(places), reached, furthest, levels, places)
