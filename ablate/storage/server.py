"""A storage on a database server, through Optuna's own storage class: opened for writing, opened for reading, and read.

Imported only when there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy
import sqlalchemy.exc
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial

from ablate.errors import DamagedError, StorageError
from ablate.storage import attributes as names
from ablate.storage.address import shown
from ablate.storage.faults import explain, unusable
from ablate.storage.row_reading import MAY_HELP, check_schema, damaged_study, damaged_trial, trial_row, unknown_study
from ablate.storage.rows import StudyRow, TrialRow

_CONNECT_S: Final = 10
_SILENT_S: Final = 90
_KEEPALIVE: Final = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 6}
_POSTGRES: Final = {"connect_timeout": _CONNECT_S, **_KEEPALIVE, "tcp_user_timeout": _SILENT_S * 1000}
_TIMES: Final[Mapping[str, Mapping[str, int]]] = {
    "psycopg2": _POSTGRES,
    "psycopg": _POSTGRES,
    "pymysql": {"connect_timeout": _CONNECT_S, "read_timeout": _SILENT_S, "write_timeout": _SILENT_S},
    "mysqldb": {"connect_timeout": _CONNECT_S, "read_timeout": _SILENT_S, "write_timeout": _SILENT_S},
}
"""Driver -> after how long it says that nobody answers: without these a machine that is gone is waited for for ever."""
_CREATION_ATTEMPTS: Final = 8
_KIND_OF_TEXT: Final = (
    "SELECT data_type FROM information_schema.columns WHERE table_schema = DATABASE() "
    "AND table_name = 'study_system_attributes' AND column_name = 'value_json'"
)


def open_server(url: str) -> RDBStorage:
    """Open the storage at `url` for writing; tables are created where there are none. Raises StorageError."""
    for attempt in range(_CREATION_ATTEMPTS):
        try:
            storage = _opened(url, reading=False)
            _make_room(storage.engine)
            return storage
        except sqlalchemy.exc.DBAPIError as error:
            # Another process creates the same tables, or has just written which version they are: the next attempt
            # finds them.
            made = any(word in str(error.orig).lower() for word in ("exist", "duplicate", "deadlock"))
            if not made or attempt == _CREATION_ATTEMPTS - 1:
                raise explain(error, shown(url)) from error
    raise AssertionError("unreachable")


def open_for_reading(url: str) -> RDBStorage | None:
    """Open the storage at `url` without making anything; None for a database without Optuna's tables."""
    try:
        return _opened(url, reading=True)
    except sqlalchemy.exc.DBAPIError as error:
        if _is_empty(url):
            return None
        raise explain(error, shown(url)) from error


def _opened(url: str, *, reading: bool) -> RDBStorage:
    """Open it; raises what the driver says, and StorageError for everything else."""
    where = shown(url)
    try:
        return RDBStorage(url, engine_kwargs=_settings(url), skip_table_creation=reading)
    except sqlalchemy.exc.DBAPIError:
        raise
    except sqlalchemy.exc.NoSuchModuleError as error:
        raise StorageError(
            f"not a storage URL: {where!r}: there is no such kind of database or driver",
            hint="for example postgresql+psycopg2://user@host/db or mysql+pymysql://user@host/db",
        ) from error
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise StorageError(
            f"not a storage URL: {where!r}",
            hint="write special characters of a user or password as %XX: / is %2F, @ is %40, : is %3A",
        ) from error
    except StorageInternalError as error:
        if isinstance(error.__cause__, sqlalchemy.exc.DBAPIError):
            raise error.__cause__ from error
        raise explain(error.__cause__ or error, where) from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise explain(error, where) from error
    except (ImportError, RuntimeError) as error:
        raise unusable(error, where) from error


def _make_room(engine: sqlalchemy.Engine) -> None:
    """Let MySQL and MariaDB keep the plan of a large study: what Optuna makes there ends at 64 KB."""
    if engine.dialect.name not in ("mysql", "mariadb"):
        return
    with engine.begin() as connection:
        kind = connection.exec_driver_sql(_KIND_OF_TEXT).scalar()
        if kind == "text":
            connection.exec_driver_sql("ALTER TABLE study_system_attributes MODIFY value_json LONGTEXT")


def _settings(url: str) -> dict[str, Any]:
    """What the engine is made with. A broken connection is noticed when it is used, and told: see Patience."""
    parsed = sqlalchemy.make_url(url)
    times = _TIMES.get(parsed.drivername.partition("+")[2], {})
    known = {name: value for name, value in times.items() if name not in parsed.query}
    return {"pool_pre_ping": False, "connect_args": known}


def _is_empty(url: str) -> bool:
    engine = sqlalchemy.create_engine(url, **_settings(url))
    try:
        return "version_info" not in sqlalchemy.inspect(engine).get_table_names()
    except sqlalchemy.exc.SQLAlchemyError:
        return False
    finally:
        engine.dispose()


def study_names(url: str) -> list[str]:
    """Return the names of ablate's studies at `url`, oldest first. Raises StorageError."""
    storage = open_for_reading(url)
    if storage is None:
        return []
    try:
        return [study.study_name for study in storage.get_all_studies() if names.SCHEMA in study.user_attrs]
    except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError) as error:
        raise explain(error.__cause__ or error, shown(url)) from error
    except (
        ValueError,
        TypeError,
        RecursionError,
    ) as error:  # of Optuna's own decoding, which reads all studies at once
        raise StorageError(f"{shown(url)} is damaged: an attribute is not JSON: {error}", hint=MAY_HELP) from error
    finally:
        storage.remove_session()
        storage.engine.dispose()


def read_study(url: str, name: str) -> tuple[StudyRow, list[TrialRow]]:
    """Return the study `name` at `url` and its trials, oldest first. Raises StorageError."""
    storage = open_for_reading(url)
    if storage is None:
        raise unknown_study(name, (), shown(url))
    try:
        study = _find(storage.get_all_studies(), name, shown(url))
        check_schema(name, study.user_attrs, shown(url))
        trials = storage.get_all_trials(study._study_id, deepcopy=False)
    except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError) as error:
        raise explain(error.__cause__ or error, shown(url)) from error
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:  # of Optuna's own decoding
        raise damaged_study(name, shown(url), error) from error
    finally:
        storage.remove_session()
        storage.engine.dispose()
    ours = [trial for trial in trials if names.ARM in trial.user_attrs and names.SEED in trial.user_attrs]
    long = {key: value for key, value in study.system_attrs.items() if key in names.LONG}
    return StudyRow(name, {**study.user_attrs, **long}), [_row(trial, name, shown(url)) for trial in ours]


def _find(studies: list[FrozenStudy], name: str, where: str) -> FrozenStudy:
    for study in studies:
        if study.study_name == name:
            return study
    raise unknown_study(name, [study.study_name for study in studies if names.SCHEMA in study.user_attrs], where)


def _row(trial: FrozenTrial, study: str, where: str) -> TrialRow:
    try:
        return trial_row(
            number=trial.number,
            state=trial.state.name,
            attributes=trial.user_attrs,
            params=trial.params,
            curve=tuple(sorted(trial.intermediate_values.items())),
            started_at=_moment(trial.datetime_start),
            finished_at=_moment(trial.datetime_complete),
        )
    except DamagedError as error:
        raise damaged_study(study, where, damaged_trial(trial.number, error)) from error


def _moment(when: datetime | None) -> str | None:
    """Optuna's naive local time as ISO 8601 in UTC."""
    if when is None:
        return None
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
