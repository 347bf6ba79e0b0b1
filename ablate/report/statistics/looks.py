"""Which seeds and which level an arm's verdict is taken at, when a study declares several looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ablate.errors import AblateError
from ablate.report.statistics.corrections import check_looks, split_alpha
from ablate.report.statistics.significance import Floats
from ablate.report.statistics.trial_matrix import Flags, Trials


@dataclass(frozen=True)
class LookPlan:
    """What each arm is judged on."""

    used: Flags
    """[arms, seeds]: results that belong to the arm's look. The baseline gives all it has."""
    alpha: Floats
    """[arms]: the level at the arm's look."""
    reached: Flags
    """[arms]: False where an arm (or its baseline) has not reached the first declared look."""
    runs_wanted: int
    """Seeds per arm of the (furthest) look, 0 when none was declared."""
    looks: tuple[int, ...]


def plan_looks(trials: Trials, alpha: float, looks: Sequence[int] | None, look: int | None) -> LookPlan:
    """Place every arm at its look.

    With several declared `looks`, an arm is at the largest look (up to `look`) that its results and its baseline's
    fill, and is judged on its first seeds up to that look only, at that look's share of `alpha`: any other choice
    would be one more look.
    With one look, everything measured is used at `alpha`, once the arm and the baseline have that many results: a
    verdict taken from the first two of five seeds would be a look that nobody declared. Without a look there is no
    plan to be held to.
    """
    if not 0 < alpha < 1:
        raise AblateError(f"alpha must lie between 0 and 1, got {alpha}")
    declared = check_looks(looks) if looks is not None else ()
    results = trials.measured | trials.diverged
    if len(declared) < 2:
        wanted = look if look is not None else (declared[0] if declared else 0)
        runs = results.sum(axis=1)
        return LookPlan(
            results,
            np.full(len(trials.arms), alpha),
            np.minimum(runs, runs[trials.partner]) >= wanted,
            wanted,
            declared,
        )
    if look is not None and look not in declared:
        raise AblateError(f"{look} seeds is not a declared look", hint=f"declared: {', '.join(map(str, declared))}")
    open_looks = np.array([number for number in declared if look is None or number <= look])
    parts = np.array(split_alpha(alpha, len(declared)))
    runs = results.sum(axis=1)
    place = np.searchsorted(open_looks, np.minimum(runs, runs[trials.partner]), side="right") - 1
    reached = place >= 0
    place = np.maximum(place, 0)
    used = results & (np.cumsum(results, axis=1) <= open_looks[place][:, None])
    used[trials.baselines] = results[trials.baselines]
    compared = reached & ~trials.baselines
    furthest = int(open_looks[place[compared].max()]) if compared.any() else int(open_looks[0])
    return LookPlan(used, parts[place], reached, furthest, declared)
