"""Bookkeeping: what the storage and the outcome files hold already, and the writing down of what happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ablate.engine.records.claim import Claim
from ablate.engine.records.folders import check_recipe, copy_trial, make_trial, read_outcome
from ablate.engine.rules.events_actions import Key
from ablate.interface import Stage
from ablate.json_values import JsonValue
from ablate.outcome import Outcome, OutcomeKind
from ablate.paths import ResultsPaths, StudyPaths, TrialPaths, write_json
from ablate.recipe import Recipe
from ablate.storage.artifacts import keep
from ablate.storage.attributes import STAGES
from ablate.storage.candidates import PHASE
from ablate.storage.rows import TrialRow
from ablate.storage.store import Store
from ablate.study.spec import Replicate, Study, levels_of

LEFT_RUNNING = "the run that started this trial was killed"


@dataclass
class Found:
    """What a run finds when it starts."""

    done: dict[Key, OutcomeKind] = field(default_factory=dict)
    """Replicates that have a result, in the storage when `Recorder.take_stock` returns."""
    todo: list[Replicate] = field(default_factory=list)
    recorded: list[tuple[Key, int, Outcome, str | None]] = field(default_factory=list)
    """Outcomes that were on disk and are in the storage now: key, trial number, outcome, arm it was copied from."""
    settled: int = 0
    """Trials of a killed run that were lost."""


class Recorder:
    """Writes trials into the storage, and keeps the trial folders in step with it."""

    def __init__(
        self,
        store: Store,
        study: Study,
        paths: StudyPaths,
        replicates: Sequence[Replicate],
        commit: str | None,
        stages: Callable[[Recipe], Sequence[Stage]] | None = None,
    ) -> None:
        """`stages` gives those of a user's own core: their digests are kept, because readers do not run its code."""
        self._store = store
        self._study = study
        self._paths = paths
        self._replicates = {replicate.key: replicate for replicate in replicates}
        self._levels = {arm.name: levels_of(study, arm) for arm in study.arms}
        self._more: dict[str, Mapping[str, JsonValue]] = {}
        self._answers: dict[str, Key] = {}
        self._commit = commit
        self._stages = stages
        self._artifacts = ResultsPaths(paths.folder.parent).artifacts
        self.numbers: dict[Key, int] = {}
        """Trial number of every running replicate."""
        self.claim: Claim | None = None
        """What the run says of itself in the storage."""

    def sign_of_life(self, *, over: bool = False) -> None:
        """Renew the run's claim on the study, or end it; raises StorageError when the database was taken away."""
        self._store.check_there()
        if self.claim is not None:
            self._store.set_attributes(self.claim.attribute(over=over))

    @property
    def folder(self) -> Path:
        """The folder that holds all trials."""
        return self._paths.trials

    def trial(self, key: Key) -> TrialPaths:
        """Return the paths of a replicate."""
        return self._paths.trial(*key)

    def log_of(self, key: Key) -> str:
        """Return the path of a replicate's log."""
        return str(self.trial(key).log)

    def take_stock(self) -> Found:
        """Compare the plan with the storage and the outcome files, and bring the storage up to date. The file decides.

        An outcome that a worker wrote while nobody could record it is recorded now; a trial left running without one
        is lost. Raises ResultsError when a trial's folder belongs to another recipe.
        """
        found = Found()
        rows = self._store.rows()
        left = {(row.arm, row.seed): row for row in rows if row.state == "RUNNING"}
        results = {(row.arm, row.seed, row.recipe_digest): row for row in rows if row.outcome and row.outcome.is_result}
        for key, replicate in self._replicates.items():
            check_recipe(self.trial(key), replicate.recipe)
            row = results.get((*key, replicate.recipe.digest))
            if row is not None and row.outcome is not None:
                found.done[key] = row.outcome
            else:
                self._look_at_file(found, replicate, left.get(key))
        found.settled = len(self._store.settle(LEFT_RUNNING))
        self._copy_results(found)
        self._answers = {self._replicates[key].recipe.digest: key for key in found.done}
        found.todo = [replicate for key, replicate in self._replicates.items() if key not in found.done]
        return found

    def _look_at_file(self, found: Found, replicate: Replicate, row: TrialRow | None) -> None:
        """Record the outcome file of a replicate that has no result in the storage, if it says something new."""
        outcome = read_outcome(self.trial(replicate.key), replicate.recipe.digest)
        if outcome is None or (row is None and not outcome.kind.is_result):
            return
        number = row.number if row is not None else self._begin(replicate.key, {})
        self._end(replicate.key, number, outcome)
        found.recorded.append((replicate.key, number, outcome, None))
        if outcome.kind.is_result:
            found.done[replicate.key] = outcome.kind

    def _copy_results(self, found: Found) -> None:
        """Give replicates the result of another arm that has the same recipe and is done."""
        sources = {self._replicates[key].recipe.digest: key for key in reversed(found.done)}
        for key, replicate in self._replicates.items():
            source = sources.get(replicate.recipe.digest)
            if key in found.done or source is None:
                continue
            outcome = read_outcome(self.trial(source), replicate.recipe.digest)
            if outcome is not None:
                number = self.copy(source, key, outcome)
                found.recorded.append((key, number, outcome, source[0]))
                found.done[key] = outcome.kind

    def params(self, key: Key) -> Mapping[str, JsonValue]:
        """Return the level of every factor of a replicate's arm, as the storage has them."""
        return self._levels[key[0]]

    def add(self, replicate: Replicate, levels: Mapping[str, JsonValue], attributes: Mapping[str, JsonValue]) -> None:
        """Take a replicate of a search's candidate into the book: its params, and what its trials are marked with."""
        self._replicates[replicate.key] = replicate
        self._levels[replicate.arm] = dict(levels)
        self._more[replicate.arm] = attributes

    def answer(self, key: Key) -> tuple[Key, Outcome] | None:
        """Return the result of another replicate with the same recipe, and which one that is; None without any."""
        digest = self._replicates[key].recipe.digest
        source = self._answers.get(digest)
        outcome = read_outcome(self.trial(source), digest) if source not in (None, key) else None
        return (source, outcome) if source is not None and outcome is not None else None

    def give(self, key: Key, outcome: Outcome, source: Key | None) -> None:
        """Put the outcome of a replicate that has begun and needs no worker into its folder.

        With a `source`, a replicate with the same recipe, it gets that one's files too.
        """
        if source is None:
            write_json(self.trial(key).outcome, outcome.to_dict())
        else:
            copy_trial(self.trial(source), self.trial(key), self._replicates[key].recipe, outcome)

    def start(self, key: Key, *, slot: int, attempt: int, copied_from: str | None = None) -> int:
        """Begin an attempt: the folder is made ready, the trial is RUNNING. Returns the trial's number."""
        make_trial(self.trial(key), self._replicates[key].recipe)
        number = self._begin(key, {"slot": slot, "attempt": attempt, "copied_from": copied_from})
        self.numbers[key] = number
        return number

    def _begin(self, key: Key, more: Mapping[str, JsonValue]) -> int:
        replicate = self._replicates[key]
        known: dict[str, JsonValue] = {
            "recipe": replicate.recipe.digest,
            "log": self.log_of(key),
            "commit": self._commit,
            **self._stage_digests(replicate.recipe),
            **self._more.get(replicate.arm, self._phase),
            **more,
        }
        attributes = {name: value for name, value in known.items() if value is not None}
        return self._store.start(replicate.arm, replicate.seed, self._levels[replicate.arm], attributes)

    def _stage_digests(self, recipe: Recipe) -> dict[str, JsonValue]:
        return {} if self._stages is None else {STAGES: [stage.digest for stage in self._stages(recipe)]}

    @property
    def _phase(self) -> Mapping[str, JsonValue]:
        """What marks the trials of arms in a study that searches: they tell what the search chose from chance."""
        return {PHASE: "confirm"} if self._study.searches else {}

    def curve(self, key: Key, images: int, values: Mapping[str, float]) -> float | None:
        """Add a point to the learning curve of the primary metric, if the point has it; return it."""
        value = values.get(self._study.primary.name)
        if value is not None and key in self.numbers:
            self._store.curve(self.numbers[key], images, value)
        return value

    def finish(self, key: Key, outcome: Outcome) -> int:
        """End the running attempt; returns the trial's number."""
        number = self.numbers.pop(key)
        self._end(key, number, outcome)
        if outcome.kind.is_result:
            self._answers.setdefault(self._replicates[key].recipe.digest, key)
        return number

    def _end(self, key: Key, number: int, outcome: Outcome) -> None:
        """Record an outcome; the pictures of a measured trial go where optuna-dashboard finds them."""
        measured = outcome.kind is OutcomeKind.MEASURED
        pictures = keep(self.trial(key).pictures(), self._artifacts) if measured else {}
        self._store.finish(number, outcome, artifacts=pictures)

    def copy(self, source: Key, target: Key, outcome: Outcome) -> int:
        """Give `target` the outcome of `source`, which has the same recipe, as a trial of its own."""
        if outcome.kind.is_result:
            copy_trial(self.trial(source), self.trial(target), self._replicates[target].recipe, outcome)
        number = self._begin(target, {"copied_from": source[0]})
        self._end(target, number, outcome)
        return number
