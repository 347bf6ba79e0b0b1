"""Damaged files of trials: set aside, and written again from what the storage and the plan know."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.engine.records.audit import planned_keys
from ablate.engine.records.folders import is_damaged, set_aside
from ablate.engine.records.stored_outcome import stored_outcome
from ablate.engine.rules.events_actions import Key
from ablate.human_units import plural
from ablate.outcome import Outcome
from ablate.paths import StudyPaths, write_json
from ablate.recipe import Recipe
from ablate.storage.rows import TrialRow
from ablate.study.spec import Study


@dataclass(frozen=True)
class Damaged:
    """A file that is not what ablate writes."""

    path: Path
    again: Recipe | Outcome | None
    """What it is written from; None where nobody knows what was in it."""


@dataclass(frozen=True)
class Repaired:
    """What became of the damaged files of a study."""

    again: int = 0
    """Files that are written again."""
    aside: int = 0
    """Files that are only set aside."""

    def __str__(self) -> str:
        parts = []
        if self.again:
            parts.append(f"{plural(self.again, 'damaged file')} of trials set aside and written again")
        if self.aside:
            parts.append(f"{plural(self.aside, 'damaged file')} of trials set aside")
        return ", ".join(parts)


def find_damaged(study: Study, rows: Sequence[TrialRow], paths: StudyPaths) -> Iterator[Damaged]:
    """Yield the damaged files of the trials that an audit looks at, as far as a run sets them aside.

    The recipe of a finished search's candidate is left as it is: nobody could write it again.
    """
    by_key: dict[Key, list[TrialRow]] = defaultdict(list)
    for row in rows:
        by_key[row.arm, row.seed].append(row)
    arms = {arm.name: arm for arm in study.arms}
    for key in dict.fromkeys((*planned_keys(study, rows), *by_key)):
        trial = paths.trial(*key)
        recipe = study.recipe(arms[key[0]], key[1]) if key[0] in arms else None
        results = {row.recipe_digest for row in by_key[key] if row.outcome is not None and row.outcome.is_result}
        fits = recipe is not None and (not results or recipe.digest in results)
        if fits and is_damaged(trial.recipe, Recipe.from_dict):
            yield Damaged(trial.recipe, recipe)
        if is_damaged(trial.outcome, Outcome.from_dict):
            yield Damaged(trial.outcome, stored_outcome(by_key[key], None if recipe is None else recipe.digest))


def repair(study: Study, rows: Sequence[TrialRow], paths: StudyPaths) -> Repaired:
    """Set damaged files aside, and write again what is known. Call it with the study's lock; raises OSError."""
    again = aside = 0
    for damaged in find_damaged(study, rows, paths):
        set_aside(damaged.path)
        if damaged.again is None:
            aside += 1
        else:
            write_json(damaged.path, damaged.again.to_dict())
            again += 1
    return Repaired(again, aside)
