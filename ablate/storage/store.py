"""The only writer of the Optuna storage.

Every event of a trial (start, point of the curve, finish) is one transaction on Optuna's own tables, through the
models of its RDB storage: what Optuna's trial-by-trial API does in one transaction per attribute, with the same rows
as the result. A transaction costs the same whether the study has ten trials or ten thousand.
"""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypeVar, cast

from optuna.distributions import BaseDistribution, CategoricalDistribution, distribution_to_json
from optuna.storages import RDBStorage
from sqlalchemy import Connection

from ablate.errors import StorageError
from ablate.json_values import JsonValue
from ablate.outcome import Outcome, OutcomeKind
from ablate.search import Range
from ablate.storage import attributes as names
from ablate.storage import optuna_tables
from ablate.storage.address import shown, sqlite_path
from ablate.storage.database import explained, open_database
from ablate.storage.levels import ParamKind, covering, encoded, is_omitted, joined, stored_level
from ablate.storage.outages import Patience
from ablate.storage.read import read_study
from ablate.storage.rows import TrialRow
from ablate.storage.suggest import distribution as distribution_of

__all__ = ["JsonValue", "ParamKind", "Store"]

T = TypeVar("T")
_BUSY_S: Final = 5.0
"""A SQLite file that another program holds is waited for so long without a word by who has the patience to wait on."""


@dataclass
class _Running:
    """What must be known of a trial that has not finished."""

    trial_id: int
    key: tuple[str, int]
    steps: set[int]


class Store:
    """One study, open for writing. Use as a context manager; closing leaves a single, complete file behind.

    Opening takes the study over: a store that another process opened earlier on the same study can no longer write
    and says so, because two writers would count trials twice. Not safe to use from several threads at once.

    A storage that is away (a server that restarts, a file that another program holds) is waited for as `patience`
    says. Every transaction changes the writer's token, so that one whose connection broke while it was committed is
    neither lost nor repeated.
    """

    def __init__(
        self,
        storage: RDBStorage,
        url: str,
        study: optuna_tables.StudyKey,
        kinds: Mapping[str, ParamKind],
        searched: Mapping[str, BaseDistribution],
        patience: Patience,
    ) -> None:
        self._storage = storage
        self._url = url
        self._where = shown(url)
        self._study = study
        self._kinds = dict(kinds)
        self._searched = searched
        self._writer = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._transactions = 0
        self._patience = patience
        self._running: dict[int, _Running] = {}
        path = sqlite_path(url)
        self._file = None if path is None else (path, _identity(path))
        self._levels: dict[str, BaseDistribution] = {}

    @classmethod
    def open(
        cls,
        url: str,
        study: str,
        *,
        kinds: Mapping[str, ParamKind],
        primary: str,
        direction: Literal["max", "min"],
        attributes: Mapping[str, JsonValue],
        second: tuple[str, Literal["max", "min"]] | None = None,
        ranges: Sequence[Range] = (),
        permit: Callable[[Mapping[str, JsonValue]], None] | None = None,
        patience: Patience | None = None,
    ) -> Store:
        """Open the study `study` at `url`; the file, its tables and the study are created when they do not exist.

        `kinds` names every factor that may become a param. `attributes` are the study's user attributes: on a study
        that exists, only those it does not have yet are added (`set_attributes` replaces). `second` is a second metric
        of a search; its `ranges` are how Optuna sees the factors that are searched. Raises StorageError for a
        file or study that is not ablate's, is damaged, cannot be written, or was made with another primary metric or
        direction; nothing is written in these cases. With `patience` a file that another program holds is waited for,
        and a server that answers that it cannot serve yet; one that does not answer may have been mistyped.
        """
        waiting = patience or Patience()

        def attempt() -> Store:
            storage = open_database(url, busy_s=_BUSY_S if waiting.limit_s else None)
            try:
                with explained(shown(url)):
                    with storage.engine.begin() as connection:
                        objectives = [(primary, direction), *([second] if second else [])]
                        key = optuna_tables.find_or_create_study(connection, study, objectives, attributes, shown(url))
                    searched = {one.factor: distribution_of(one) for one in ranges}
                    store = cls(storage, url, key, kinds, searched, waiting)
                    store._take_over(permit)
            except BaseException:
                storage.engine.dispose()
                raise
            return store

        return waiting.through(attempt, shown(url), opening=True)

    def start(
        self, arm: str, seed: int, params: Mapping[str, JsonValue], attributes: Mapping[str, JsonValue] | None = None
    ) -> int:
        """Record a new RUNNING trial of the replicate (arm, seed) and return its number.

        `params` holds the arm's level of every factor. Raises StorageError when this replicate is running already or
        a level cannot be stored, ValueError for a param that `kinds` does not know.
        """
        if any(running.key == (arm, seed) for running in self._running.values()):
            raise StorageError(
                f"arm {arm!r}, seed {seed} is running already", hint="settle what an earlier run left first"
            )

        def write(connection: Connection) -> tuple[int, int, dict[str, BaseDistribution]]:
            trial_id, number = optuna_tables.insert_trial(connection, self._study)
            return trial_id, number, self._describe(connection, trial_id, arm, seed, params, attributes or {})

        trial_id, number, levels = self._write(write)
        self._levels.update(levels)
        self._running[number] = _Running(trial_id, (arm, seed), set())
        return number

    def adopt(self, rows: Sequence[TrialRow], artifacts: Sequence[Mapping[str, str]] = ()) -> list[int]:
        """Add trials that ended elsewhere, with their times and all that is known of them; return their numbers.

        `artifacts` holds those of each row, when given. All trials are added or none. Raises StorageError for a level
        that cannot be stored, ValueError for a param that `kinds` does not know and for a trial that has not ended.
        """
        if running := [row.number for row in rows if row.outcome is None]:
            raise ValueError(f"trials that have not ended: {running}")
        before = dict(self._levels)

        def write(connection: Connection) -> list[int]:
            self._levels = dict(before)
            pairs = zip(rows, artifacts or [{}] * len(rows), strict=True)
            return [self._adopt(connection, row, named) for row, named in pairs]

        try:
            return self._write(write)
        except BaseException:
            self._levels = before
            raise

    def _adopt(self, connection: Connection, row: TrialRow, artifacts: Mapping[str, str]) -> int:
        trial_id, number = optuna_tables.insert_trial(connection, self._study)
        values = self._values(row.outcome, row.metrics)
        optuna_tables.end_trial(connection, trial_id, values, pruned=row.outcome is OutcomeKind.PRUNED)
        optuna_tables.set_times(connection, trial_id, _moment(row.started_at), _moment(row.finished_at))
        attributes = cast("Mapping[str, JsonValue]", row.attributes)
        self._levels |= self._describe(connection, trial_id, row.arm, row.seed, row.params, attributes)
        optuna_tables.insert_points(connection, trial_id, row.curve)
        optuna_tables.put_system_attributes(connection, trial_id, artifacts)
        return number

    def _describe(
        self,
        connection: Connection,
        trial_id: int,
        arm: str,
        seed: int,
        params: Mapping[str, JsonValue],
        attributes: Mapping[str, JsonValue],
    ) -> dict[str, BaseDistribution]:
        """Write params and attributes of a new trial; return the distributions it widened or made."""
        unknown = sorted(params.keys() - self._kinds.keys())
        if unknown:
            raise ValueError(f"params that are no factors of this study: {unknown}")
        stored = {name: stored_level(value) for name, value in params.items()}
        unset: list[JsonValue] = [name for name, value in stored.items() if is_omitted(self._kinds[name], value)]
        record: dict[str, JsonValue] = {**attributes, names.ARM: arm, names.SEED: seed}
        if unset:
            record[names.UNSET] = unset
        levels = {
            name: covering(name, self._kinds[name], self._seen(name), value)
            for name, value in stored.items()
            if name not in unset
        }
        self._widen(connection, levels)
        coded = [(name, encoded(level, stored[name]), distribution_to_json(level)) for name, level in levels.items()]
        optuna_tables.insert_params(connection, trial_id, coded)
        optuna_tables.put_attributes(connection, trial_id, record)
        return levels

    def curve(self, number: int, images: int, value: float) -> bool:
        """Add a point of the primary metric's learning curve; return whether it was new and finite.

        The first value at `images` training images seen stays, as in Optuna; NaN and infinities are never stored.
        """
        running = self._running_trial(number)
        if not math.isfinite(value) or images in running.steps:
            return False
        self._write(lambda connection: optuna_tables.insert_points(connection, running.trial_id, [(images, value)]))
        running.steps.add(images)
        return True

    def finish(
        self,
        number: int,
        outcome: Outcome,
        attributes: Mapping[str, JsonValue] | None = None,
        *,
        artifacts: Mapping[str, str] | None = None,
    ) -> None:
        """End a trial for good: COMPLETE with the primary metric's value when it was measured, PRUNED, or FAIL.

        The outcome, every metric by name, `attributes` (which win over fields of the outcome of the same name) and
        `artifacts` (what `ablate.storage.artifacts.keep` returned) are written in the same transaction. Raises
        StorageError for a trial that has finished already.
        """
        running = self._running_trial(number)
        values = self._values(outcome.kind, outcome.metrics)
        record = names.outcome_attributes(outcome, self._study.primary)

        def write(connection: Connection) -> None:
            pruned = outcome.kind is OutcomeKind.PRUNED
            if not optuna_tables.end_trial(connection, running.trial_id, values, pruned=pruned):
                raise self._already_finished(number)
            optuna_tables.put_attributes(connection, running.trial_id, {**record, **(attributes or {})})
            optuna_tables.put_system_attributes(connection, running.trial_id, artifacts or {})

        self._write(write)
        del self._running[number]

    def amend(self, row: TrialRow, outcome: Outcome) -> None:
        """Replace what is remembered of a trial that was measured: its outcome now holds more metrics than before.

        Raises StorageError when the outcome is another recipe's, or changes a metric that is stored.
        """
        if row.outcome is not OutcomeKind.MEASURED or row.recipe_digest != outcome.recipe_digest:
            raise StorageError(f"trial {row.number} was not measured by this recipe")
        changed = sorted(name for name, value in row.metrics.items() if outcome.metrics.get(name) != value)
        if changed:
            raise StorageError(f"trial {row.number} has another value of {changed[0]} already")
        record = names.outcome_attributes(outcome, self._study.primary)

        def write(connection: Connection) -> None:
            trial_id = optuna_tables.trial_id(connection, self._study.study_id, row.number)
            optuna_tables.put_attributes(connection, trial_id, record)

        self._write(write)

    def _values(self, kind: OutcomeKind | None, metrics: Mapping[str, float]) -> list[float] | None:
        """What Optuna gets to know of a measured trial; None when a metric it is made for has no finite value."""
        found = [metrics.get(name) for name in self._study.objectives]
        known = [value for value in found if value is not None]
        return known if kind is OutcomeKind.MEASURED and len(known) == len(found) else None

    def settle(self, reason: str) -> list[TrialRow]:
        """End every trial still RUNNING as FAIL with outcome `lost` and `reason` as its error; return these trials.

        For the start of a run, when nothing of an earlier one can be alive any more.
        """
        numbers = sorted(self._running)

        def write(connection: Connection) -> None:
            for number in numbers:
                trial_id = self._running[number].trial_id
                if optuna_tables.end_trial(connection, trial_id, None):
                    record: dict[str, JsonValue] = {names.OUTCOME: OutcomeKind.LOST.value, names.ERROR: reason}
                    optuna_tables.put_attributes(connection, trial_id, record)

        self._write(write)
        self._running.clear()
        settled = set(numbers)
        return [row for row in self.rows() if row.number in settled] if settled else []

    def rows(self) -> list[TrialRow]:
        """Return every trial of the study, oldest first."""
        return self._patience.through(lambda: read_study(self._url, self._study.name), self._where)[1]

    def attributes(self) -> dict[str, JsonValue]:
        """Return the study's user attributes."""

        def attempt() -> dict[str, JsonValue]:
            with explained(self._where), self._storage.engine.connect() as connection:
                return optuna_tables.study_attributes(connection, self._study.study_id)

        return self._patience.through(attempt, self._where)

    def set_attributes(self, attributes: Mapping[str, JsonValue]) -> None:
        """Set user attributes of the study, replacing those of the same name."""
        self._write(lambda connection: optuna_tables.put_study_attributes(connection, self._study.study_id, attributes))

    def close(self) -> None:
        """Release the file. Trials still RUNNING stay so, for the next run to settle."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take_over(self, permit: Callable[[Mapping[str, JsonValue]], None] | None) -> None:
        """Become the study's one writer, and learn what it holds: running trials and the levels seen so far."""
        with self._storage.engine.begin() as connection:
            if permit is not None:
                permit(optuna_tables.study_attributes(connection, self._study.study_id))
            optuna_tables.set_writer(connection, self._study.study_id, self._token(0))
            for trial_id, number, arm, seed in optuna_tables.running_trials(connection, self._study.study_id):
                steps = optuna_tables.steps_of(connection, trial_id)
                self._running[number] = _Running(trial_id, (arm, seed), steps)
            self._levels = optuna_tables.stored_levels(connection, self._study.study_id)

    def check_there(self) -> None:
        """Raise StorageError when the database file was deleted or replaced: what is written then goes nowhere."""
        if self._file is not None and _identity(self._file[0]) != self._file[1]:
            raise StorageError(
                f"the database {self._where} was deleted or replaced while the study was run",
                hint="put it back, or run the same command again: results are taken from the outcome files",
            )

    def _token(self, number: int) -> str:
        return f"{self._writer} {number}"

    def _write(self, body: Callable[[Connection], T]) -> T:
        """Do `body` in one transaction, once, however often the storage goes away meanwhile; return what it returns."""
        before, after = self._token(self._transactions), self._token(self._transactions + 1)
        done: list[T] = []

        def attempt() -> T:
            self.check_there()
            with explained(self._where), self._storage.engine.begin() as connection:
                found = optuna_tables.take_turn(connection, self._study.study_id, before, after)
                if found is None:
                    done[:] = [body(connection)]
                elif not done or found != after:  # else the connection broke after the commit
                    raise self._not_mine(found)
            return done[0]

        result = self._patience.through(attempt, self._where)
        self._transactions += 1
        return result

    def _not_mine(self, found: str) -> StorageError:
        """The error for a study that another process writes to, or whose database has forgotten what was committed."""
        if found.startswith(f"{self._writer} "):
            return StorageError(
                f"{self._where} has lost transactions that it had confirmed",
                hint="run the same command again: results are taken from the outcome files",
            )
        return StorageError(
            f"study {self._study.name!r} was taken over by another process",
            hint="only one run of a study at a time may write; `ablate status` in the other's --results shows it",
        )

    def _seen(self, name: str) -> BaseDistribution | None:
        """What the distribution of a factor has to cover already: the levels so far, and where it is searched."""
        stored, searched = self._levels.get(name), self._searched.get(name)
        numeric = self._kinds[name] in ("int", "float") and not isinstance(searched, CategoricalDistribution)
        return joined(stored, searched) if searched is not None and numeric else stored

    def _widen(self, connection: Connection, levels: Mapping[str, BaseDistribution]) -> None:
        """Give the trials stored so far the wider distributions, so that a study has one per factor."""
        for name, level in levels.items():
            before = self._levels.get(name)
            if before is not None and before != level:
                optuna_tables.replace_distribution(
                    connection, self._study.study_id, name, distribution_to_json(before), distribution_to_json(level)
                )

    def _running_trial(self, number: int) -> _Running:
        running = self._running.get(number)
        if running is None:
            raise self._already_finished(number)
        return running

    def _already_finished(self, number: int) -> StorageError:
        return StorageError(
            f"trial {number} of study {self._study.name!r} is not running", hint="a finished trial is never changed"
        )


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one of its name; None without the file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _moment(text: str | None) -> datetime | None:
    """ISO 8601 in UTC as the naive UTC time that Optuna stores."""
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)
