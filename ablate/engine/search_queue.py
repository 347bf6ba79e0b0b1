"""The searches of a run: which candidates are to come, what each of them tries, and what came of those before.

Every candidate has its place in the plan from the start, so that the state machine treats it like any replicate. What
it tries is decided when it is placed, from all that is known then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from ablate.engine.rules.events_actions import Key, Planned
from ablate.errors import AblateError
from ablate.interface import Core, Stage
from ablate.json_values import JsonValue
from ablate.outcome import Outcome, OutcomeKind
from ablate.recipe import Recipe
from ablate.search import CURVE_PRUNERS, Candidate, CandidateState, Search, Tried, candidates
from ablate.storage.candidates import candidate_attributes, tried_of
from ablate.storage.prune import CurvePruner, worse_by_seeds
from ablate.storage.rows import TrialRow
from ablate.storage.suggest import suggest
from ablate.study.settle import settings_of
from ablate.study.spec import Replicate, Study

_MOST_REFUSED = 100
"""Suggestions for one candidate that the core's settings may refuse."""


@dataclass(frozen=True)
class CandidatePlace:
    """A replicate of a candidate: its place in the plan of a search."""

    search: Search
    number: int
    seed: int

    @property
    def key(self) -> Key:
        """What identifies it inside the study."""
        return (self.search.candidate(self.number), self.seed)


class SearchQueue:
    """Hands out what candidates try, and learns from what they gave."""

    def __init__(self, study: Study, core: type[Core], searches: Sequence[Search], rows: Iterable[TrialRow]) -> None:
        """Take the searches that are not finished and what is stored of them."""
        self._study = study
        self._core = core
        self._searches = tuple(searches)
        self._places = {place.key: place for place in _in_order(searches)}
        self._tried = {(one.search, one.number, one.seed): one for one in tried_of(rows)}
        self._curves: dict[Key, dict[int, float]] = {}
        self._pruners: dict[str, CurvePruner] = {}
        for search in searches:
            if search.pruner in CURVE_PRUNERS:
                self._pruners[search.name] = CurvePruner(search, self._found(search))

    @property
    def total(self) -> int:
        """Replicates of all candidates."""
        return len(self._places)

    def __contains__(self, key: Key) -> bool:
        return key in self._places

    def begun(self) -> list[Replicate]:
        """Return the replicates whose levels are known, because their candidate was begun in an earlier run."""
        found = []
        for key, place in self._places.items():
            levels = self._levels(place)
            if levels is not None:
                found.append(Replicate(*key, self._recipe(place, levels)))
        return found

    def too_large(self) -> list[Key]:
        """Return the replicates of candidates that did not fit, even alone: for a search, that is an answer."""
        sizes = {
            (search.name, one.number)
            for search in self._searches
            for one in self._found(search)
            if one.state is CandidateState.TOO_LARGE
        }
        return [key for key, place in self._places.items() if (place.search.name, place.number) in sizes]

    def planned(self, done: Iterable[Key]) -> list[Planned]:
        """Return what is to be run: candidates in order, all seeds of one before the next.

        A recipe is not known before it is placed, so a replicate's digests stand for its place alone: nothing is taken
        for equal that may not be, and batches hold one candidate, which can be given up by itself.
        """
        answered = set(done)
        memory = {search.name: self._memory_key(search) for search in self._searches}
        found = []
        for wave, place in enumerate(self._places.values()):
            if place.key in answered:
                continue
            name = f"{place.search.name} #{place.number} seed {place.seed}"
            start = Recipe(self._study.core, settings_of(self._core, place.search, {}), place.seed)
            stages = tuple(Stage(one.name, f"{name} {one.name}", one.cost) for one in self._core.stages(start))
            found.append(Planned(place.key, name, name, stages, memory[place.search.name], wave))
        return found

    def _memory_key(self, search: Search) -> str:
        """What all candidates of a search share in memory; empty when a searched factor changes it."""
        ends = [(one.factor, end) for one in search.ranges for end in (one.choices or (one.low, one.high))]
        try:
            settings = [settings_of(self._core, search, dict(levels)) for levels in ([], *([end] for end in ends))]
        except ValidationError:
            return ""
        keys = {self._core.memory_key(Recipe(self._study.core, one, 0)) for one in settings}
        return keys.pop() if len(keys) == 1 else ""

    def replicate(self, key: Key) -> Replicate:
        """Return the replicate of a key with the recipe it is to run: that of its candidate, or a new suggestion."""
        place = self._places[key]
        levels = self._levels(place)
        if levels is None:
            levels = self._suggest(place)
        self._keep(place, levels, None)
        return Replicate(*key, self._recipe(place, levels))

    def params(self, key: Key) -> dict[str, JsonValue]:
        """Return the level of every factor, as Optuna shows it; what does not apply to the candidate is left out."""
        place = self._places[key]
        levels = self._levels(place) or {}
        settings = settings_of(self._core, place.search, levels)
        stated = {**place.search.start, **levels}
        absent = {one.factor for one in place.search.ranges} - levels.keys()
        return {
            name: stated.get(name) if settings[name] is None or name in levels else settings[name]
            for name in self._study.factors
            if name not in absent
        }

    def attributes(self, key: Key) -> dict[str, JsonValue]:
        """Return the attributes that make the trial one of its search's."""
        place = self._places[key]
        return candidate_attributes(place.search.name, place.number, self._levels(place) or {})

    def gives_up(self, key: Key, digest: str) -> Outcome | None:
        """Return the outcome of a replicate that need not be run, because its candidate's first seeds say enough."""
        place = self._places[key]
        if place.search.pruner != "wilcoxon" or not worse_by_seeds(
            place.search, place.number, self._found(place.search)
        ):
            return None
        return Outcome(OutcomeKind.PRUNED, digest, error="pruned: its first seeds are worse than the best candidate's")

    def observe(self, key: Key, images: int, value: float) -> bool:
        """Take note of a point of a learning curve; True when the candidate is to be given up."""
        place = self._places.get(key)
        if place is None:
            return False
        self._curves.setdefault(key, {}).setdefault(images, value)
        pruner = self._pruners.get(place.search.name)
        return pruner is not None and pruner.observe(place.number, images, value)

    def finished(self, key: Key, outcome: Outcome) -> None:
        """Take note of an outcome."""
        place = self._places.get(key)
        levels = self._levels(place) if place is not None else None
        if place is None or levels is None:
            return
        self._keep(place, levels, outcome)
        pruner = self._pruners.get(place.search.name)
        candidate = next((one for one in self._found(place.search) if one.number == place.number), None)
        if pruner is not None and candidate is not None:
            pruner.end(candidate)

    def _keep(
        self,
        place: CandidatePlace,
        levels: Mapping[str, JsonValue],
        outcome: Outcome | None,
        curve: tuple[tuple[int, float], ...] = (),
    ) -> None:
        one = Tried(place.search.name, place.number, place.seed, levels, None)
        if outcome is not None:
            one = replace(one, outcome=outcome.kind, metrics=outcome.metrics, curve=curve)
        self._tried[(place.search.name, place.number, place.seed)] = one

    def _found(self, search: Search) -> tuple[Candidate, ...]:
        return candidates(search, self._tried.values())

    def _levels(self, place: CandidatePlace) -> Mapping[str, JsonValue] | None:
        """What the candidate of a place tries; None when it has not been begun."""
        for seed in place.search.seed_indices:
            one = self._tried.get((place.search.name, place.number, seed))
            if one is not None:
                return one.levels
        return None

    def _suggest(self, place: CandidatePlace) -> dict[str, JsonValue]:
        """A suggestion that the core's settings accept."""
        found = self._found(place.search)
        refusal = ""
        for again in range(_MOST_REFUSED):
            levels = suggest(place.search, place.number, found, again=again)
            try:
                settings_of(self._core, place.search, levels)
            except ValidationError as error:
                refusal = str(error.errors(include_url=False)[0]["msg"])
            else:
                return levels
        raise AblateError(
            f"search {place.search.name!r}: the core refused {_MOST_REFUSED} suggestions in a row: {refusal}",
            hint="narrow the ranges, or search a factor only where it applies (when:)",
        )

    def _recipe(self, place: CandidatePlace, levels: Mapping[str, JsonValue]) -> Recipe:
        return Recipe(self._study.core, settings_of(self._core, place.search, levels), place.seed)


def _in_order(searches: Sequence[Search]) -> list[CandidatePlace]:
    """All places: the first candidates of every search, then the second ones, each with all its seeds."""
    most = max((search.trials for search in searches), default=0)
    return [
        CandidatePlace(search, number, seed)
        for number in range(most)
        for search in searches
        if number < search.trials
        for seed in search.seed_indices
    ]
