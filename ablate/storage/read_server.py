"""Reading a storage on a database server, through Optuna. Imported only when there is one."""

from __future__ import annotations

from datetime import UTC, datetime

from optuna.exceptions import StorageInternalError
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from ablate.errors import DamagedError
from ablate.storage import attributes as names
from ablate.storage.address import shown
from ablate.storage.faults import explain
from ablate.storage.row_reading import check_schema, damaged_study, damaged_trial, trial_row, unknown_study
from ablate.storage.rows import StudyRow, TrialRow
from ablate.storage.server import open_for_reading


def study_names(url: str) -> list[str]:
    """Return the names of ablate's studies at `url`, oldest first. Raises StorageError."""
    storage = open_for_reading(url)
    if storage is None:
        return []
    try:
        return [study.study_name for study in storage.get_all_studies() if names.SCHEMA in study.user_attrs]
    except (SQLAlchemyError, StorageInternalError) as error:
        raise explain(error.__cause__ or error, shown(url)) from error
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
    except (SQLAlchemyError, StorageInternalError) as error:
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
