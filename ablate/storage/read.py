"""Reading what is remembered: never writes, never creates a file, and works while a run is going on.

A SQLite file is read with plain sqlite3 (no Optuna, no SQLAlchemy: `ablate status` answers at once); any other
storage through Optuna.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

from ablate.errors import StorageError
from ablate.recipe import Scalar
from ablate.storage import attributes as names
from ablate.storage.address import sqlite_path
from ablate.storage.records import RUN_FIRST, check_schema, trial_row, unknown_study
from ablate.storage.rows import StudyRow, TrialRow
from ablate.storage.sqlitefile import check_header, check_ours, read

T = TypeVar("T")


def study_names(url: str) -> list[str]:
    """Return the names of ablate's studies, oldest first; studies that others keep in the same storage are left out.

    Raises StorageError when there is no such file, or it is damaged or another program's.
    """
    path = sqlite_path(url)
    if path is None:
        from ablate.storage import read_server

        return read_server.study_names(url)
    return _query(path, lambda connection: _names(connection, path))


def read_study(url: str, name: str) -> tuple[StudyRow, list[TrialRow]]:
    """Return the study `name` and its trials, oldest first, as one consistent state.

    Raises StorageError when there is no such file or study, or the file is damaged or another program's.
    """
    path = sqlite_path(url)
    if path is None:
        from ablate.storage import read_server

        return read_server.read_study(url, name)
    return _query(path, partial(_study, path=path, name=name))


def _query(path: Path, query: Callable[[sqlite3.Connection], T]) -> T:
    check_header(path)
    if not path.exists():
        raise StorageError(f"there is no storage {path}", hint=RUN_FIRST)
    return read(path, query)


def _names(connection: sqlite3.Connection, path: Path) -> list[str]:
    if not check_ours(connection, path):
        return []  # caught while it is being created
    rows = connection.execute(
        "SELECT study_name FROM studies NATURAL JOIN study_user_attributes WHERE key = ? ORDER BY study_id",
        (names.SCHEMA,),
    )
    return [name for (name,) in rows]


def _study(connection: sqlite3.Connection, *, path: Path, name: str) -> tuple[StudyRow, list[TrialRow]]:
    found = None
    if check_ours(connection, path):
        found = connection.execute("SELECT study_id FROM studies WHERE study_name = ?", (name,)).fetchone()
    if found is None:
        raise unknown_study(name, _names(connection, path), str(path))
    rows = connection.execute("SELECT key, value_json FROM study_user_attributes WHERE study_id = ?", found)
    attributes = {key: json.loads(text) for key, text in rows}
    rows = connection.execute("SELECT key, value_json FROM study_system_attributes WHERE study_id = ?", found)
    attributes |= {key: json.loads(text) for key, text in rows if key in names.LONG}
    check_schema(name, attributes, str(path))
    return StudyRow(name, attributes), _trials(connection, found[0])


def _trials(connection: sqlite3.Connection, study_id: int) -> list[TrialRow]:
    def select(columns: str, table: str, order: str = "") -> sqlite3.Cursor:
        text = (
            f"SELECT trial_id, {columns} FROM {table} "  # noqa: S608 (only literals of this module)
            f"WHERE trial_id IN (SELECT trial_id FROM trials WHERE study_id = ?) {order}"
        )
        return connection.execute(text, (study_id,))

    attributes: dict[int, dict[str, Any]] = defaultdict(dict)
    for trial_id, key, text in select("key, value_json", "trial_user_attributes"):
        attributes[trial_id][key] = json.loads(text)
    params: dict[int, dict[str, Scalar]] = defaultdict(dict)
    for trial_id, key, value, distribution in select(
        "param_name, param_value, distribution_json", "trial_params", "ORDER BY param_id"
    ):
        params[trial_id][key] = _decoded(value, distribution)
    curves: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for trial_id, step, value, kind in select(
        "step, intermediate_value, intermediate_value_type", "trial_intermediate_values", "ORDER BY step"
    ):
        if kind == "FINITE":
            curves[trial_id].append((step, value))
    return [
        trial_row(
            number=number,
            state=state,
            attributes=attributes[trial_id],
            params=params[trial_id],
            curve=tuple(curves[trial_id]),
            started_at=_moment(started),
            finished_at=_moment(finished),
        )
        for trial_id, number, state, started, finished in select(
            "number, state, datetime_start, datetime_complete", "trials", "ORDER BY trial_id"
        )
        if names.ARM in attributes[trial_id] and names.SEED in attributes[trial_id]
    ]


def _decoded(value: float, distribution: str) -> Scalar:
    kind, choices = _decoder(distribution)
    if kind == "CategoricalDistribution":
        return choices[int(value)]
    return int(value) if kind == "IntDistribution" else value


@lru_cache(maxsize=1024)
def _decoder(distribution: str) -> tuple[str, tuple[Scalar, ...]]:
    data = json.loads(distribution)
    return data["name"], tuple(data["attributes"].get("choices", ()))


def _moment(text: str | None) -> str | None:
    """Optuna's naive UTC text (``2026-11-23 02:41:07.123456``) as ISO 8601 (``2026-11-23T02:41:07.123Z``)."""
    return None if text is None else f"{text[:23].replace(' ', 'T')}Z"
