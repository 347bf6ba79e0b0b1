"""What a core gives is looked at before it counts: every first mistake ends its trial with one clear sentence."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from types import GeneratorType
from typing import Any

from ablate.errors import CoreError
from ablate.interface import Core
from ablate.outcome import Outcome, OutcomeKind
from ablate.recipe import Recipe

_PAIR = "yield recipe, Outcome(OutcomeKind.MEASURED, recipe.digest, metrics={...})"


def outcomes_of(core: Core, recipes: Sequence[Recipe], given: Any) -> Iterator[tuple[Recipe, Outcome]]:
    """Yield the pairs of what `core.run(recipes, ...)` returned, each checked to be one of these recipes' outcomes.

    Raises CoreError where it is anything else: nothing, a single outcome, an outcome without its recipe, of another
    recipe, a second one, or none in the end; and whatever the core raises.
    """
    who = f"run of {type(core).__name__}"
    waiting = {recipe.digest: recipe for recipe in recipes}
    for item in _items(given, who):
        recipe, outcome = _pair(item, who)
        if recipe.digest not in waiting:
            known = any(recipe.digest == one.digest for one in recipes)
            words = "gave a second outcome for" if known else "gave an outcome for a recipe it was not asked for:"
            raise CoreError(f"{who} {words} {_named(recipe)}")
        if outcome.recipe_digest != recipe.digest:
            other = next((one for one in recipes if one.digest == outcome.recipe_digest), None)
            whose = f"of seed {other.seed} of the same batch" if other is not None else "of no recipe of the batch"
            raise CoreError(
                f"{who} gave {_named(recipe)} an outcome whose recipe_digest is {whose}",
                hint="make it with Outcome(kind, recipe.digest, ...)",
            )
        yield recipe, outcome
        del waiting[recipe.digest]
    if waiting:
        count = f"{len(waiting)} of {len(recipes)} recipes" if len(recipes) > 1 else "its recipe"
        raise CoreError(f"{who} gave no outcome for {count}", hint=f"end each with: {_PAIR}")


def _items(given: Any, who: str) -> Iterator[Any]:
    """The items of what run returned; a generator that also returns a value has forgotten a yield."""
    if given is None:
        raise CoreError(f"{who} returned nothing", hint=f"write: {_PAIR}")
    pair_alone = isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], Recipe)
    if pair_alone or isinstance(given, Outcome | dict | str) or not isinstance(given, Iterable):
        found = "one pair" if pair_alone else _described(given)
        raise CoreError(f"{who} returned {found}, expected pairs of recipe and outcome", hint=f"write: {_PAIR}")
    iterator = iter(given)
    while True:
        try:
            item = next(iterator)
        except StopIteration as end:
            if isinstance(given, GeneratorType) and end.value is not None:
                raise CoreError(
                    f"{who} is a generator and returned {_described(end.value)}, which goes nowhere",
                    hint=f"instead of return, write: {_PAIR}",
                ) from None
            return
        yield item


def _pair(item: Any, who: str) -> tuple[Recipe, Outcome]:
    if not (isinstance(item, tuple | list) and len(item) == 2):
        raise CoreError(
            f"{who} yielded {_described(item)}, expected a pair of recipe and outcome", hint=f"write: {_PAIR}"
        )
    recipe, outcome = item
    if not isinstance(recipe, Recipe):
        raise CoreError(f"{who} yielded {_described(recipe)}, expected a recipe", hint=f"write: {_PAIR}")
    if not isinstance(outcome, Outcome):
        raise CoreError(f"{who} yielded {_described(outcome)}, expected an Outcome", hint=f"write: {_PAIR}")
    return recipe, outcome


def _described(value: Any) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def _named(recipe: Recipe) -> str:
    return f"seed {recipe.seed} (recipe {recipe.digest[:12]})"


class MetricChecks:
    """Compares the metrics of outcomes with those that the study asks for."""

    def __init__(self, core: Core, wanted: Collection[str], primary: str) -> None:
        """`wanted` are the study's metrics; without a `primary` nothing is required."""
        self._core = core
        self._wanted = tuple(wanted)
        self._primary = primary
        self._said: set[str] = set()

    def settled(self, outcome: Outcome) -> tuple[Outcome, list[str]]:
        """Return the outcome as it counts, and what is worth saying about it, each sentence once per worker.

        A measured outcome without the primary metric is failed; with one that is not finite it is diverged. Any other
        metric that is not finite or not there is missing, and the outcome's notes say so.
        """
        if outcome.kind is not OutcomeKind.MEASURED:
            return replace(outcome, non_finite={}), []
        if self._primary in outcome.non_finite:
            value = outcome.non_finite[self._primary]
            error = f"the primary metric {self._primary!r} is {value}"
            return replace(outcome, kind=OutcomeKind.DIVERGED, error=error, non_finite={}), []
        if self._primary and self._primary not in outcome.metrics:
            return self._without_primary(outcome), []
        notes = [f"metric {name!r} is {value}: it is missing here" for name, value in outcome.non_finite.items()]
        silent = [
            name
            for name in self._wanted
            if name not in outcome.metrics
            and name not in outcome.non_finite
            and not any(name in note for note in outcome.notes)
        ]
        notes += [f"metric {name!r} was not measured: it is missing here" for name in silent]
        said = [note for note in (*notes, *self._unknown(outcome)) if note not in self._said]
        self._said.update(said)
        return replace(outcome, notes=(*outcome.notes, *notes), non_finite={}), said

    def _without_primary(self, outcome: Outcome) -> Outcome:
        given = sorted({*outcome.metrics, *outcome.non_finite})
        close = difflib.get_close_matches(self._primary, given, n=1)
        hint = f"; did it mean {close[0]!r}?" if close else ""
        what = f"it gave: {', '.join(given)}" if given else "it gave no metrics"
        error = f"the core did not measure {self._primary!r}, the study's primary metric; {what}{hint}"
        return replace(outcome, kind=OutcomeKind.FAILED, error=error, non_finite={})

    def _unknown(self, outcome: Outcome) -> list[str]:
        if self._core.more_metrics:
            return []
        known = {info.name for info in self._core.metrics} | {*self._wanted}
        return [
            f"metric {name!r} is not declared in the core's metrics: it is kept, and not compared"
            for name in outcome.metrics
            if name not in known
        ]
