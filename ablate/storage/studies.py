"""Whole studies: given another name, removed. Each is one transaction; a run that is alive is found out and refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from optuna.storages._rdb import models
from sqlalchemy import Connection, delete, select, update

from ablate.errors import StorageError
from ablate.json_values import JsonValue
from ablate.storage import optuna_tables
from ablate.storage.address import shown
from ablate.storage.database import explained, open_database
from ablate.storage.row_reading import unknown_study

_STUDIES = models.StudyModel.__table__
_ATTRIBUTES = models.TrialUserAttributeModel.__table__
_TRIALS = models.TrialModel.__table__


def rename_study(
    url: str, name: str, new_name: str, *, attributes: Mapping[str, JsonValue], folder: str, new_folder: str
) -> None:
    """Give the study `name` the name `new_name`, and replace its `attributes` (its plan holds the name too).

    The ``log`` of every trial that lies below `folder` moves below `new_folder`. Raises StorageError when there is no
    study of that name or one of the new name.
    """
    with _changing(url) as connection:
        study_id = _find(connection, name, url)
        if connection.scalar(select(_STUDIES.c.study_id).where(_STUDIES.c.study_name == new_name)) is not None:
            raise StorageError(f"{shown(url)} has a study {new_name!r} already", hint="choose another name")
        connection.execute(update(_STUDIES).where(_STUDIES.c.study_id == study_id).values(study_name=new_name))
        optuna_tables.put_study_attributes(connection, study_id, attributes)
        _move_logs(connection, study_id, folder, new_folder)


@dataclass(frozen=True)
class Removed:
    """What went with a study."""

    trials: int
    artifacts: frozenset[str]
    """Identities of artifacts that no trial names any more."""


def remove_study(url: str, name: str) -> Removed:
    """Delete the study and all its trials. Raises StorageError when there is none of that name."""
    with _changing(url) as connection:
        study_id = _find(connection, name, url)
        mine = select(_TRIALS.c.trial_id).where(_TRIALS.c.study_id == study_id)
        count = len(connection.scalars(mine).all())
        named = optuna_tables.artifacts(connection, study_id)
        # Those that point at others first: what belongs to trials, then to the study, then the study.
        for table in reversed(models.BaseModel.metadata.sorted_tables):
            if "study_id" in table.c:
                connection.execute(delete(table).where(table.c.study_id == study_id))
            elif "trial_id" in table.c:
                connection.execute(delete(table).where(table.c.trial_id.in_(mine)))
        return Removed(count, frozenset(named - optuna_tables.artifacts(connection)))


@contextlib.contextmanager
def _changing(url: str) -> Iterator[Connection]:
    storage = open_database(url)
    try:
        with explained(shown(url)), storage.engine.begin() as connection:
            yield connection
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _find(connection: Connection, name: str, url: str) -> int:
    study_id = connection.scalar(select(_STUDIES.c.study_id).where(_STUDIES.c.study_name == name))
    if study_id is None:
        raise unknown_study(name, connection.scalars(select(_STUDIES.c.study_name)).all(), shown(url))
    return int(study_id)


def _move_logs(connection: Connection, study_id: int, folder: str, new_folder: str) -> None:
    mine = _ATTRIBUTES.c.trial_id.in_(select(_TRIALS.c.trial_id).where(_TRIALS.c.study_id == study_id))
    key = _ATTRIBUTES.c.trial_user_attribute_id
    logs = connection.execute(select(key, _ATTRIBUTES.c.value_json).where(mine, _ATTRIBUTES.c.key == "log")).all()
    for row, text in logs:
        log = json.loads(text)
        if isinstance(log, str) and log.startswith(f"{folder}/"):
            moved = json.dumps(new_folder + log.removeprefix(folder))
            connection.execute(update(_ATTRIBUTES).where(key == row).values(value_json=moved))
