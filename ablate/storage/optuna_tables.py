"""Statements on Optuna's tables, each inside the caller's transaction. Nothing outside this room knows of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy import Connection, Table, delete, func, insert, select, update

from ablate.errors import StorageError
from ablate.json_values import JsonValue
from ablate.storage import attributes as names
from ablate.storage.artifacts import PREFIX
from ablate.storage.row_reading import check_schema

_STUDIES: Final[Table] = models.StudyModel.__table__
_DIRECTIONS: Final[Table] = models.StudyDirectionModel.__table__
_STUDY_ATTRIBUTES: Final[Table] = models.StudyUserAttributeModel.__table__
_STUDY_SYSTEM: Final[Table] = models.StudySystemAttributeModel.__table__
_TRIALS: Final[Table] = models.TrialModel.__table__
_ATTRIBUTES: Final[Table] = models.TrialUserAttributeModel.__table__
_SYSTEM: Final[Table] = models.TrialSystemAttributeModel.__table__
_PARAMS: Final[Table] = models.TrialParamModel.__table__
_VALUES: Final[Table] = models.TrialValueModel.__table__
_POINTS: Final[Table] = models.TrialIntermediateValueModel.__table__
_FINITE: Final = models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE
_FINITE_VALUE: Final = models.TrialValueModel.TrialValueType.FINITE
_DIRECTION: Final = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}


@dataclass(frozen=True)
class StudyKey:
    """What identifies a study in the storage, and the metrics whose values its trials report."""

    study_id: int
    name: str
    objectives: tuple[str, ...]

    @property
    def primary(self) -> str:
        """The metric that decides."""
        return self.objectives[0]


def find_or_create_study(
    connection: Connection,
    name: str,
    objectives: Sequence[tuple[str, Literal["max", "min"]]],
    attributes: Mapping[str, JsonValue],
    where: str,
) -> StudyKey:
    """Return the study, created with all its attributes at once when there is none of this name."""
    rows = connection.execute(select(_STUDIES.c.study_name, _STUDIES.c.study_id).where(_STUDIES.c.study_name == name))
    same = {str(row[0]): int(row[1]) for row in rows}
    study_id = same.get(name)
    if study_id is None and same:  # MySQL and MariaDB take upper and lower case for the same
        raise StorageError(
            f"{where} has a study {next(iter(same))!r}, and takes {name!r} for the same name",
            hint="give the study another --name",
        )
    if study_id is None:
        study_id = _create_study(connection, name, objectives)
        present: dict[str, JsonValue] = {}
    else:
        present = study_attributes(connection, study_id)
        check_schema(name, present, where)
        _check_objectives(connection, StudyKey(study_id, name, (str(present[names.PRIMARY]),)), objectives, where)
    added = {names.SCHEMA: names.SCHEMA_VERSION, names.PRIMARY: objectives[0][0], **attributes}
    put_study_attributes(connection, study_id, {key: added[key] for key in added if key not in present})
    return StudyKey(study_id, name, tuple(metric for metric, _ in objectives))


def _check_objectives(
    connection: Connection, study: StudyKey, wanted: Sequence[tuple[str, Literal["max", "min"]]], where: str
) -> None:
    query = select(_DIRECTIONS.c.direction).where(_DIRECTIONS.c.study_id == study.study_id)
    stored = list(connection.scalars(query.order_by(_DIRECTIONS.c.objective)))
    if study.primary == wanted[0][0] and stored == [_DIRECTION[direction] for _, direction in wanted]:
        return
    were = f"{study.primary!r} ({', '.join(_word(one) for one in stored)})"
    now = f"{wanted[0][0]!r} ({', '.join(direction for _, direction in wanted)})"
    raise StorageError(
        f"study {study.name!r} in {where} was made for {were}, not {now}",
        hint="give the study another --name, or --results another folder",
    )


def study_attributes(connection: Connection, study_id: int) -> dict[str, JsonValue]:
    """Return the attributes of a study that are ours: its user attributes and the long ones beside them."""
    found: dict[str, JsonValue] = {}
    for table in (_STUDY_ATTRIBUTES, _STUDY_SYSTEM):
        rows = connection.execute(select(table.c.key, table.c.value_json).where(table.c.study_id == study_id))
        found |= {key: json.loads(text) for key, text in rows if table is _STUDY_ATTRIBUTES or key in names.LONG}
    return found


def put_study_attributes(connection: Connection, study_id: int, attributes: Mapping[str, JsonValue]) -> None:
    """Set attributes of a study, replacing those of the same name; the long ones where Optuna does not print them."""
    shown = {key: value for key, value in attributes.items() if key not in names.LONG}
    hidden = {key: value for key, value in attributes.items() if key in names.LONG}
    _put(connection, _STUDY_ATTRIBUTES, {"study_id": study_id}, shown)
    _put(connection, _STUDY_SYSTEM, {"study_id": study_id}, hidden)


def put_attributes(connection: Connection, trial_id: int, attributes: Mapping[str, JsonValue]) -> None:
    """Set user attributes of a trial, replacing those of the same name."""
    _put(connection, _ATTRIBUTES, {"trial_id": trial_id}, attributes)


def put_system_attributes(connection: Connection, trial_id: int, attributes: Mapping[str, str]) -> None:
    """Set system attributes of a trial, replacing those of the same name."""
    _put(connection, _SYSTEM, {"trial_id": trial_id}, attributes)


def artifacts(connection: Connection, study_id: int | None = None) -> set[str]:
    """Return the identities of the artifacts that the trials of a study name, or those of all studies."""
    query = select(_SYSTEM.c.key).where(_SYSTEM.c.key.startswith(PREFIX))
    if study_id is not None:
        query = query.where(_SYSTEM.c.trial_id.in_(select(_TRIALS.c.trial_id).where(_TRIALS.c.study_id == study_id)))
    return {key.removeprefix(PREFIX) for key in connection.scalars(query)}


def take_turn(connection: Connection, study_id: int, before: str, after: str) -> str | None:
    """Replace the writer's token `before` by `after`; return None, or the token that was there instead.

    It is somebody else's when another process writes to the study now; and it is `after` when an earlier attempt was
    committed, though its connection broke before it was told so.
    """
    table = _STUDY_SYSTEM
    mine = (table.c.study_id == study_id) & (table.c.key == names.WRITER)
    told = update(table).where(mine, table.c.value_json == json.dumps(before)).values(value_json=json.dumps(after))
    if connection.execute(told).rowcount == 1:
        return None
    text = connection.scalar(select(table.c.value_json).where(mine))
    return "" if text is None else str(json.loads(text))


def set_writer(connection: Connection, study_id: int, token: str) -> None:
    """Make `token` the study's only writer."""
    _put(connection, _STUDY_SYSTEM, {"study_id": study_id}, {names.WRITER: token})


def insert_trial(connection: Connection, study: StudyKey) -> tuple[int, int]:
    """Insert a RUNNING trial that starts now; return its id and its number."""
    # The row lock keeps numbers consecutive on servers; SQLite's immediate transaction does so by itself.
    connection.execute(select(_STUDIES.c.study_id).where(_STUDIES.c.study_id == study.study_id).with_for_update())
    last = select(_TRIALS.c.number).where(_TRIALS.c.study_id == study.study_id)
    number = connection.scalar(last.order_by(_TRIALS.c.trial_id.desc()).limit(1))
    number = 0 if number is None else number + 1
    values = {"study_id": study.study_id, "number": number, "state": TrialState.RUNNING, "datetime_start": _now()}
    result = connection.execute(insert(_TRIALS).values(values))
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0]), number


def set_times(connection: Connection, trial_id: int, started: datetime | None, ended: datetime | None) -> None:
    """Give a trial that ran elsewhere its times, as far as they are known."""
    times = {"datetime_start": started, "datetime_complete": ended}
    known = {name: moment for name, moment in times.items() if moment is not None}
    if known:
        connection.execute(update(_TRIALS).where(_TRIALS.c.trial_id == trial_id).values(known))


def insert_params(connection: Connection, trial_id: int, params: Sequence[tuple[str, float, str]]) -> None:
    """Insert (name, stored number, distribution as JSON) of every param of a trial."""
    rows = [
        {"trial_id": trial_id, "param_name": name, "param_value": value, "distribution_json": text}
        for name, value, text in params
    ]
    if rows:
        connection.execute(insert(_PARAMS), rows)


def insert_points(connection: Connection, trial_id: int, points: Sequence[tuple[int, float]]) -> None:
    """Insert intermediate values: (step, value)."""
    rows = [
        {"trial_id": trial_id, "step": step, "intermediate_value": value, "intermediate_value_type": _FINITE}
        for step, value in points
    ]
    if rows:
        connection.execute(insert(_POINTS), rows)


def end_trial(connection: Connection, trial_id: int, values: Sequence[float] | None, *, pruned: bool = False) -> bool:
    """Finish a RUNNING trial, COMPLETE with `values` or PRUNED or FAIL without; False when it is not running."""
    state = TrialState.PRUNED if pruned else TrialState.FAIL if values is None else TrialState.COMPLETE
    running = (_TRIALS.c.trial_id == trial_id) & (_TRIALS.c.state == TrialState.RUNNING)
    result = connection.execute(update(_TRIALS).where(running).values(state=state, datetime_complete=_now()))
    if result.rowcount != 1:
        return False
    rows = [
        {"trial_id": trial_id, "objective": objective, "value": value, "value_type": _FINITE_VALUE}
        for objective, value in enumerate(values or ())
    ]
    if rows:
        connection.execute(insert(_VALUES), rows)
    return True


def trial_id(connection: Connection, study_id: int, number: int) -> int:
    """Return the id of the trial `number` of a study."""
    query = select(_TRIALS.c.trial_id).where(_TRIALS.c.study_id == study_id, _TRIALS.c.number == number)
    return int(connection.execute(query).scalar_one())


def running_trials(connection: Connection, study_id: int) -> list[tuple[int, int, str, int]]:
    """Return (id, number, arm, seed) of ablate's RUNNING trials of a study."""
    arm, seed = _ATTRIBUTES.alias(), _ATTRIBUTES.alias()
    query = (
        select(_TRIALS.c.trial_id, _TRIALS.c.number, arm.c.value_json, seed.c.value_json)
        .join(arm, (arm.c.trial_id == _TRIALS.c.trial_id) & (arm.c.key == names.ARM))
        .join(seed, (seed.c.trial_id == _TRIALS.c.trial_id) & (seed.c.key == names.SEED))
        .where(_TRIALS.c.study_id == study_id, _TRIALS.c.state == TrialState.RUNNING)
    )
    rows = connection.execute(query)
    return [
        (trial_id, number, json.loads(arm_json), json.loads(seed_json))
        for trial_id, number, arm_json, seed_json in rows
    ]


def steps_of(connection: Connection, trial_id: int) -> set[int]:
    """Return the steps at which a trial has intermediate values."""
    return set(connection.scalars(select(_POINTS.c.step).where(_POINTS.c.trial_id == trial_id)))


def stored_levels(connection: Connection, study_id: int) -> dict[str, BaseDistribution]:
    """Return the distribution of every param of a study: that of its latest trial."""
    oldest_first = (
        select(_PARAMS.c.param_name, _PARAMS.c.distribution_json)
        .join(_TRIALS, _TRIALS.c.trial_id == _PARAMS.c.trial_id)
        .where(_TRIALS.c.study_id == study_id)
        .group_by(_PARAMS.c.param_name, _PARAMS.c.distribution_json)
        .order_by(func.max(_PARAMS.c.param_id))
    )
    return {name: json_to_distribution(text) for name, text in connection.execute(oldest_first)}


def replace_distribution(connection: Connection, study_id: int, name: str, before: str, after: str) -> None:
    """Give every trial of the study whose param has the distribution `before` the distribution `after`."""
    trials = select(_TRIALS.c.trial_id).where(_TRIALS.c.study_id == study_id)
    same = (_PARAMS.c.param_name == name) & (_PARAMS.c.distribution_json == before)
    connection.execute(update(_PARAMS).where(same, _PARAMS.c.trial_id.in_(trials)).values(distribution_json=after))


def _create_study(connection: Connection, name: str, objectives: Sequence[tuple[str, Literal["max", "min"]]]) -> int:
    result = connection.execute(insert(_STUDIES).values(study_name=name))
    key = result.inserted_primary_key
    assert key is not None
    study_id = int(key[0])
    for number, (_, direction) in enumerate(objectives):
        row = {"study_id": study_id, "objective": number, "direction": _DIRECTION[direction]}
        connection.execute(insert(_DIRECTIONS).values(row))
    _put(connection, _STUDY_SYSTEM, {"study_id": study_id}, {names.METRIC_NAMES: [metric for metric, _ in objectives]})
    return study_id


def _put(connection: Connection, table: Table, owner: Mapping[str, int], attributes: Mapping[str, JsonValue]) -> None:
    """Delete and insert: the one way to replace rows that every database understands."""
    if not attributes:
        return
    ((column, number),) = owner.items()
    connection.execute(delete(table).where(table.c[column] == number, table.c.key.in_(list(attributes))))
    rows = [
        {column: number, "key": key, "value_json": json.dumps(value, allow_nan=False)}
        for key, value in attributes.items()
    ]
    connection.execute(insert(table), rows)


def _now() -> datetime:
    """Naive UTC: the form in which Optuna 5 stores times."""
    return datetime.now(UTC).replace(tzinfo=None)


def _word(direction: object) -> str:
    return next((word for word, known in _DIRECTION.items() if known is direction), str(direction))
