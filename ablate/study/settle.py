"""From a study as written to the study as it stands: the arms that searches have decided by now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ablate.errors import Problem
from ablate.interface import Core
from ablate.json_values import JsonValue
from ablate.search import Candidate, Search, Tried, best, candidates, is_complete
from ablate.study.spec import Arm, Study


@dataclass(frozen=True)
class Standing:
    """A study and how far its searches are."""

    study: Study
    """With every arm that a finished search has decided; arms that wait for one are left out."""
    open: tuple[Search, ...] = ()
    """Searches that have candidates to try."""


def stand(study: Study, core: type[Core], tried: Iterable[Tried]) -> Standing:
    """Return how `study`, as it was written, stands after what was tried. The same rows give the same arms."""
    tried = tuple(tried)
    found = {search.name: candidates(search, tried) for search in study.searches}
    unfinished = tuple(search for search in study.searches if not is_complete(search, found[search.name]))
    arms = {arm.name: arm for arm in study.arms}
    warnings = list(study.warnings)
    for search in study.searches:
        if search.arm is None or search in unfinished:
            continue
        winner = best(search, found[search.name])
        if winner is None:
            warnings.append(_nothing_found(search, study))
        else:
            start = arms.get(search.arm, replace(study.baseline, name=search.arm, levels={}, line=0, column=0))
            arms[search.arm] = tuned_arm(start, search, winner, core)
    waiting = {search.name for search in unfinished if search.tunes}
    kept = tuple(arm for name, arm in arms.items() if name not in waiting or name == study.baseline.name)
    return Standing(replace(study, arms=kept, warnings=tuple(warnings)), unfinished)


def tuned_arm(arm: Arm, search: Search, winner: Candidate, core: type[Core]) -> Arm:
    """Return `arm` with the levels of a search's best candidate."""
    levels = {**arm.levels, **winner.levels}
    return replace(arm, levels=levels, settings=settings_of(core, search, winner.levels), tuned=dict(winner.levels))


def settings_of(core: type[Core], search: Search, levels: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the complete settings of a candidate. Raises ValueError when the core refuses the combination."""
    return core.Settings.model_validate({**search.start, **levels}).resolved()


def _nothing_found(search: Search, study: Study) -> Problem:
    kept = f"arm {search.name!r} keeps its stated levels" if search.tunes else "there is nothing to confirm"
    return Problem(f"no candidate of {search.name!r} was measured: {kept}", file=study.file, severity="warning")
